//! The crate against the kernel it runs on. Needs root; everything happens in namespaces made for it.
//!
//! Not the usual harness: instances and probes are this program again, so `main` must begin with `helper_main`.

mod capture;
mod links;
mod network;
mod sandbox;
mod support;
mod unprivileged;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    if let Some(code) = linux::helper_main() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(unprivileged::OUTER_WORD) => return unprivileged::outer(),
        Some(unprivileged::INNER_WORD) => return run(unprivileged::INNER, &arguments[1..]),
        Some(unprivileged::BARE_WORD) => return run(unprivileged::BARE, &[]),
        Some(sandbox::CREATOR_WORD) => return sandbox::creator(&arguments[1..]),
        _ => {}
    }
    assert!(rustix::process::geteuid().is_root(), "these tests make namespaces and need root: run them as root");
    let tests = [network::TESTS, links::TESTS, capture::TESTS, sandbox::TESTS, unprivileged::TESTS].concat();
    if arguments.iter().any(|a| a == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    run(&tests, &arguments)
}

fn run(tests: &[Test], arguments: &[String]) -> ExitCode {
    let filters: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, Vec::new());
    for &(name, test) in tests {
        if !filters.is_empty() && !filters.iter().any(|f| name.contains(f.as_str())) {
            continue;
        }
        let start = Instant::now();
        match catch_unwind(AssertUnwindSafe(test)) {
            Ok(()) => {
                println!("test {name} ... ok ({} ms)", start.elapsed().as_millis());
                passed += 1;
            }
            Err(_) => {
                println!("test {name} ... FAILED");
                failed.push(name);
            }
        }
    }
    println!("\ntest result: {passed} passed; {} failed {failed:?}", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
