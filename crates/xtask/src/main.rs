//! Our tools: `cargo xtask test | tidy | model | conformance | bench | dist`.

mod bench;
mod conformance;
mod dist;
mod model;
mod run;
mod test;

use std::process::ExitCode;

const HELP: &str = "Peerway's tools

  cargo xtask test                all tests, with real clients and real packets; installs what they need
  cargo xtask tidy                format, lints and the shape of the house
  cargo xtask model               the names of EC2's requests and answers, from botocore
  cargo xtask conformance         docs/conformance.md: what of them is there, and which errors are tested
  cargo xtask dist                a static binary, checked and tried; --musl, --gnu, --debug
  cargo xtask bench local         packets between two instances of one host, beside others
  cargo xtask bench link          packets between two hosts, encrypted, beside others
  cargo xtask bench api           the API, beside an emulator
  cargo xtask bench handover      how long packets rest when an agent is reloaded or killed
  cargo xtask bench stages        what a packet costs, stage by stage
  cargo xtask bench policy        what the law costs, beside nftables
  cargo xtask bench NAME --quick  the same in a minute, to see that it runs
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["test"] => test::all(),
        ["tidy"] => test::tidy(),
        ["model"] => model::write(),
        ["conformance"] => conformance::write(),
        ["dist", ..] => dist::dist(&args[1..]),
        ["bench", ..] => bench::run(&args[1..]),
        _ => {
            print!("{HELP}");
            return ExitCode::from(u8::from(!args.is_empty()) * 2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
