//! Names as tables know them: in lower case, labels joined by dots, without the last dot. A byte that is no letter, digit, `-`, `_` or
//! `*` stands as three octal digits, as Route 53 writes it, so that no two names have one key.

use hickory_proto::rr::Name;

/// The longest label, in bytes (RFC 1035 2.3.4).
const LABEL_MAX: usize = 63;

/// The key of a name.
pub(crate) fn key_of(name: &Name) -> String {
    let mut key = String::new();
    for label in name {
        if !key.is_empty() {
            key.push('.');
        }
        for byte in label {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'*' => {
                    key.push(char::from(byte.to_ascii_lowercase()));
                }
                other => key.push_str(&format!("\\{other:03o}")),
            }
        }
    }
    key
}

/// Reads a name as Route 53 writes it: `\ooo` is a byte in octal, `\` before anything else is that. A last dot may be there. `None`: no
/// name.
pub(crate) fn name_of(text: &str) -> Option<Name> {
    let text = match text.strip_suffix('.') {
        Some("") => return Some(Name::root()),
        Some(rest) => rest,
        None => text,
    };
    let (mut labels, mut label, mut bytes) = (Vec::new(), Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'.' => labels.push(std::mem::take(&mut label)),
            b'\\' => label.push(escaped(&mut bytes)?),
            byte => label.push(byte),
        }
    }
    labels.push(label);
    let are_labels = labels.iter().all(|label| (1..=LABEL_MAX).contains(&label.len()));
    are_labels.then(|| Name::from_labels(labels.iter().map(Vec::as_slice)).ok()).flatten()
}

/// What stands behind a backslash.
pub(crate) fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let first = bytes.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let digit = |byte: u8| (b'0'..=b'7').contains(&byte).then(|| u16::from(byte - b'0'));
    let value = digit(first)? * 64 + digit(bytes.next()?)? * 8 + digit(bytes.next()?)?;
    u8::try_from(value).ok()
}

/// Whether a name is in a zone or is its apex.
pub(crate) fn is_under(key: &str, zone: &str) -> bool {
    match key.strip_suffix(zone) {
        Some(rest) => rest.is_empty() || rest.ends_with('.') || zone.is_empty(),
        None => false,
    }
}

/// The name without its first label.
pub(crate) fn parent(key: &str) -> Option<&str> {
    key.split_once('.').map(|(_, parent)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn route_53s_spelling_is_read() {
        assert_eq!(name_of("\\052.Corp.Example.").map(|name| key_of(&name)).as_deref(), Some("*.corp.example"));
        assert_eq!(name_of("a\\.b.example").map(|name| key_of(&name)).as_deref(), Some("a\\056b.example"));
        assert_eq!(name_of(".").map(|name| key_of(&name)).as_deref(), Some(""));
        for wrong in ["", "a..b", ".a", "a\\", "a\\09", "a\\777.b", &"x".repeat(64)] {
            assert_eq!(name_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_is_under_its_own_zone_only() {
        assert!(is_under("a.corp.example", "corp.example") && is_under("corp.example", "corp.example"));
        assert!(!is_under("acorp.example", "corp.example") && !is_under("example", "corp.example"));
        assert!(is_under("anything", ""));
    }

    proptest! {
        #[test]
        fn a_key_reads_back_and_no_two_names_share_one(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..6)) {
            let name = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
            let key = key_of(&name);
            let back = name_of(&key).unwrap();
            prop_assert_eq!(key_of(&back), key);
            prop_assert!(back.eq_ignore_root(&name));
        }
    }
}
