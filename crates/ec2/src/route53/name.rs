//! Domain names as Route 53 takes them (its Developer Guide, "DNS domain name format"; RFC 1035 2.3.4).

use std::fmt;

/// A name that is absolute: lower case, its last dot included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

/// Why a text is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("DomainLabelEmpty (Domain label is empty)")]
    LabelEmpty,
    #[error("DomainLabelTooLong (Domain label is too long)")]
    LabelTooLong,
    #[error("DomainNameTooLong (Domain name is too long)")]
    TooLong,
    #[error("InvalidEscapeCode (Escape code is not three octal digits of a letter that may stand in a name)")]
    Escape,
    #[error(
        "InvalidCharacter (Domain name contains an illegal character: letters, digits, -, _, / and a leading * are taken)"
    )]
    Character,
}

const LABEL_MAX: usize = 63;
/// Without the length octet in front; the last dot stands for the root's.
const NAME_MAX: usize = 254;

impl DomainName {
    /// Reads a name with or without its last dot; `\052` is `*`.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn parse(text: &str) -> Result<DomainName, NameError> {
        let name = unescape(text)?.to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        for (at, label) in name.split('.').enumerate() {
            let is_wildcard = at == 0 && label == "*";
            match label.len() {
                0 => return Err(NameError::LabelEmpty),
                len if len > LABEL_MAX => return Err(NameError::LabelTooLong),
                _ if is_wildcard || label.bytes().all(is_letter) => {}
                _ => return Err(NameError::Character),
            }
        }
        if name.len() + 1 > NAME_MAX {
            return Err(NameError::TooLong);
        }
        Ok(DomainName(format!("{name}.")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It is the zone's name or below it.
    pub fn is_in(&self, zone: &str) -> bool {
        self.0 == zone || self.0.strip_suffix(zone).is_some_and(|labels| labels.ends_with('.'))
    }

    /// As Route 53 writes it.
    pub fn escaped(&self) -> String {
        escaped(&self.0)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name of a record as Route 53 writes it: the wildcard by its code.
pub fn escaped(name: &str) -> String {
    name.replace('*', "\\052")
}

/// What names are ordered by: their labels, the last one first.
pub fn order(name: &str) -> Vec<&str> {
    name.trim_end_matches('.').rsplit('.').collect()
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_/".contains(&byte)
}

/// Octal codes as what they stand for; one that stands for a dot or nothing printable is refused.
fn unescape(text: &str) -> Result<String, NameError> {
    let mut name = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            name.push(letter);
            continue;
        }
        let mut code = 0;
        for _ in 0..3 {
            code = code * 8 + letters.next().and_then(|digit| digit.to_digit(8)).ok_or(NameError::Escape)?;
        }
        let letter = char::from_u32(code).filter(|letter| letter.is_ascii_graphic() && *letter != '.');
        name.push(letter.ok_or(NameError::Escape)?);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<String, NameError> {
        DomainName::parse(text).map(|name| name.to_string())
    }

    #[test]
    fn names_become_absolute_and_lower_case() {
        assert_eq!(read("Corp.Example"), Ok("corp.example.".into()));
        assert_eq!(read("corp.example."), Ok("corp.example.".into()));
        assert_eq!(read("\\052.corp.example"), Ok("*.corp.example.".into()));
        assert_eq!(read("_sip._tcp.example"), Ok("_sip._tcp.example.".into()));
        assert_eq!(DomainName::parse("*.a.b").unwrap().escaped(), "\\052.a.b.");
    }

    #[test]
    fn what_no_zone_can_hold_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        let many = "a.".repeat(128);
        for (text, error) in [
            ("", NameError::LabelEmpty),
            (".", NameError::LabelEmpty),
            ("a..b", NameError::LabelEmpty),
            (&long, NameError::LabelTooLong),
            (&many, NameError::TooLong),
            ("a b", NameError::Character),
            ("a.*.b", NameError::Character),
            ("a*.b", NameError::Character),
            ("bücher.example", NameError::Character),
            ("a\n.b", NameError::Character),
            ("\\05", NameError::Escape),
            ("\\056", NameError::Escape),
            ("\\777", NameError::Escape),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_name_is_in_its_zone_by_whole_labels() {
        let is_in = |name: &str| DomainName::parse(name).unwrap().is_in("corp.example.");
        assert!(is_in("corp.example") && is_in("a.b.corp.example"));
        assert!(!is_in("notcorp.example") && !is_in("example") && !is_in("corp.example.org"));
    }

    #[test]
    fn names_are_ordered_by_labels_from_the_last() {
        let mut names = ["b.example.", "a.b.example.", "example.", "a.example.", "z.a.example."];
        names.sort_by_key(|name| order(name));
        assert_eq!(names, ["example.", "a.example.", "z.a.example.", "b.example.", "a.b.example."]);
    }

    proptest! {
        #[test]
        fn what_reads_reads_back(text in "\\PC{0,80}") {
            if let Ok(name) = DomainName::parse(&text) {
                prop_assert_eq!(DomainName::parse(name.as_str()), Ok(name.clone()));
                prop_assert_eq!(DomainName::parse(&name.escaped()), Ok(name));
            }
        }
    }
}
