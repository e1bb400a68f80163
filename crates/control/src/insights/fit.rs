//! Findings that fit into a record.

use model::insights::Findings;

/// Leaves out what is more than `bytes` of text, and says so: first what stands twice, then the last explanations.
pub(super) fn fit(findings: &mut Findings, bytes: usize) {
    let is_too_large = |findings: &Findings| serde_json::to_vec(findings).map_or(0, |text| text.len()) > bytes;
    if !is_too_large(findings) {
        return;
    }
    for stage in findings.forward.iter_mut().chain(&mut findings.back) {
        stage.explanations.clear();
    }
    let all = findings.explanations.len();
    while is_too_large(findings) && findings.explanations.len() > 1 {
        findings.explanations.pop();
    }
    if is_too_large(findings) {
        findings.forward.clear();
        findings.back.clear();
    }
    let left = findings.explanations.len();
    let said = format!("The findings are too large for one record: {left} of {all} explanations are shown");
    findings.warning = Some(match findings.warning.take() {
        Some(warning) => format!("{warning}. {said}"),
        None => said,
    });
}

#[cfg(test)]
mod tests {
    use model::insights::{Component, Explanation, PathComponent};

    use super::*;

    fn large(explanations: usize) -> Findings {
        let component = Component { id: "sg-1".into(), arn: "arn".into(), name: Some("\u{1}".repeat(200)) };
        let explanation =
            Explanation { component: Some(component), code: "BAD_STATE".into(), ..Explanation::default() };
        let stage = PathComponent { explanations: vec![explanation.clone(); explanations], ..PathComponent::default() };
        Findings {
            path_found: Some(false),
            forward: vec![stage],
            explanations: vec![explanation; explanations],
            ..Findings::default()
        }
    }

    #[test]
    fn what_fits_is_left_alone() {
        let mut findings = large(10);
        let size = serde_json::to_vec(&findings).unwrap().len();
        fit(&mut findings, size);
        assert_eq!(findings, large(10));
    }

    #[test]
    fn what_does_not_fit_is_cut_and_said() {
        for bytes in [20_000, 5000, 1000] {
            let mut findings = large(10);
            fit(&mut findings, bytes);
            assert!(!findings.explanations.is_empty());
            let said = findings.warning.take().unwrap();
            assert!(said.contains(&format!("{} of 10 explanations", findings.explanations.len())), "{said}");
            let size = serde_json::to_vec(&findings).unwrap().len();
            assert!(size <= bytes.max(2000), "{size} of {bytes}");
        }
    }
}
