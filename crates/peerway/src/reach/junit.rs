//! A test report that CI systems read: one case for each question.

use std::fmt::Write as _;

/// One question and its answer.
pub struct Case {
    pub name: String,
    /// `None`: as it shall be. Else the verdict, and the ladder.
    pub failure: Option<(String, String)>,
}

/// The document.
pub fn render(cases: &[Case]) -> String {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"peerway reach\" tests=\"{}\" failures=\"{failures}\">\n",
        cases.len()
    );
    for Case { name, failure } in cases {
        let name = escape(name);
        let _ = match failure {
            None => writeln!(out, "    <testcase classname=\"reach\" name=\"{name}\"/>"),
            Some((verdict, ladder)) => writeln!(
                out,
                "    <testcase classname=\"reach\" name=\"{name}\">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escape(verdict),
                escape(ladder)
            ),
        };
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            control if control < ' ' && control != '\n' && control != '\t' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_xml_with_its_counts() {
        let failure = Some(("BLOCKED: \"x\" <y> & z".to_owned(), "ladder\u{1b}".to_owned()));
        let cases = [Case { name: "web to db".into(), failure: None }, Case { name: "a < b".into(), failure }];
        let text = render(&cases);
        let document = roxmltree::Document::parse(&text).unwrap();
        let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
        assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("2"), Some("1")));
        let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
        assert_eq!(failure.attribute("message"), Some("BLOCKED: \"x\" <y> & z"));
        assert_eq!(failure.parent().unwrap().attribute("name"), Some("a < b"));
    }
}
