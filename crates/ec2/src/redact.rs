//! What of a request may be written down: its parameters without secrets and without what users keep to themselves (abuse case 52).

use crate::Node;

/// Parameters of one request that are written down; of the others only how many there were.
pub const PARAMETERS_MAX: usize = 64;
/// Of one value, in characters.
pub const VALUE_MAX: usize = 256;

/// A parameter is not shown if a part of its name has one of these in it, in letters of any case.
const HIDDEN: &[&str] = &[
    "userdata",
    "secret",
    "token",
    "password",
    "signature",
    "credential",
    "privatekey",
    "keymaterial",
    "authorization",
    "assertion",
    "passphrase",
];
/// These have such a word in their name and are harmless.
const SHOWN: &[&str] = &["clienttoken", "nexttoken", "httptokens"];

/// The parameters by their full names, in order; and how many more there were.
pub fn parameters(form: &Node) -> (Vec<(String, String)>, usize) {
    let mut all = Vec::new();
    let mut more = 0;
    // `Attribute=userData&Value=...`: the name is in another parameter.
    let hides_value = form.text("Attribute").is_some_and(|attribute| attribute.eq_ignore_ascii_case("userData"));
    form.walk(&mut |name, value| {
        if all.len() >= PARAMETERS_MAX {
            more += 1;
            return;
        }
        let is_hidden = is_hidden(name) || (hides_value && name.starts_with("Value"));
        let value = if is_hidden { "***".into() } else { shortened(value) };
        all.push((shortened(name), value));
    });
    (all, more)
}

/// A text of a client as it may be written down: bounded.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(VALUE_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
    }
}

fn is_hidden(name: &str) -> bool {
    name.split('.')
        .map(str::to_ascii_lowercase)
        .any(|part| !SHOWN.contains(&part.as_str()) && HIDDEN.iter().any(|word| part.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(form: &str) -> Vec<(String, String)> {
        parameters(&Node::parse(form.as_bytes()).unwrap()).0
    }

    #[test]
    fn what_is_secret_is_not_written_down() {
        for hidden in [
            "UserData=c2VjcmV0",
            "UserData.Value=c2VjcmV0",
            "LaunchSpecification.UserData=c2VjcmV0",
            "Attribute=userData&Value=c2VjcmV0",
            "attribute=UserData&Value.1=c2VjcmV0",
            "SecretAccessKey=c2VjcmV0",
            "X-Amz-Security-Token=c2VjcmV0",
            "x-amz-signature=c2VjcmV0",
            "X-Amz-Credential=c2VjcmV0",
            "PublicKeyMaterial=c2VjcmV0",
            "TokenCode=c2VjcmV0",
            "a.1.MasterPassword.b=c2VjcmV0",
        ] {
            let all = of(hidden);
            assert!(all.iter().any(|(_, value)| value == "***"), "{hidden}");
            assert!(!format!("{all:?}").contains("c2VjcmV0"), "{hidden}");
        }
    }

    #[test]
    fn the_rest_is_and_stays_short() {
        let shown = of("Action=CreateVpc&CidrBlock=10.0.0.0/16&ClientToken=once&Tag.2.Key=b&Tag.1.Key=a");
        let expected = [
            ("Action", "CreateVpc"),
            ("CidrBlock", "10.0.0.0/16"),
            ("ClientToken", "once"),
            ("Tag.1.Key", "a"),
            ("Tag.2.Key", "b"),
        ];
        assert_eq!(shown, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let long = format!("Description={}", "é".repeat(1000));
        assert_eq!(of(&long)[0].1, format!("{}... (2000 bytes)", "é".repeat(VALUE_MAX)));
        let many: String = (0..1000).map(|n| format!("P{n}=1&")).collect();
        let (all, more) = parameters(&Node::parse(many.as_bytes()).unwrap());
        assert_eq!((all.len(), more), (PARAMETERS_MAX, 1000 - PARAMETERS_MAX));
    }
}
