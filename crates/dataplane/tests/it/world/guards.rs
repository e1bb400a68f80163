//! Tables that name the tests of abuse cases.

use std::path::Path;

/// Case, what is guarded or tried, file below `crates/`, test.
pub(crate) type Guard = (u8, &'static str, &'static str, &'static str);

/// Every test of the table is there, and every case is in it: one that is renamed or lost is noticed.
#[expect(clippy::disallowed_methods, reason = "it reads where other tests are; the data plane reads no file")]
pub(crate) fn check(guards: &[Guard], cases: impl IntoIterator<Item = u8>) {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (case, what, file, test) in guards {
        let text =
            std::fs::read_to_string(crates.join(file)).unwrap_or_else(|error| panic!("case {case}: {file}: {error}"));
        assert!(text.contains(&format!("fn {test}(")), "case {case}, {what}: no test `{test}` in {file}");
    }
    for case in cases {
        assert!(guards.iter().any(|guard| guard.0 == case), "case {case} has no guard");
    }
}
