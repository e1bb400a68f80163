//! The values of records, as Route 53's grammar has them (its Developer Guide, "Supported DNS record types").
//!
//! A value that passed can be given to a resolver: names in it are absolute, whether or not their last dot is written.

use std::net::{Ipv4Addr, Ipv6Addr};

use model::RecordType;

use super::name::{DomainName, NameError};

/// Why a value is none of its type, in Route 53's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)")]
    Ipv4,
    #[error("AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)")]
    Ipv6,
    #[error("{0}RRDATANot{1}Fields (Value must have exactly {2} fields, separated by spaces)")]
    Fields(&'static str, &'static str, usize),
    #[error("{0}RRDATAIllegalNumber (A number is missing or out of its range)")]
    Number(&'static str),
    #[error("InvalidCharacterString (Value should be enclosed in quotation marks)")]
    NotQuoted,
    #[error("CharacterStringTooLong (Value is too long)")]
    StringTooLong,
    #[error("InvalidEscapeCode (Escape code is not three octal digits up to 377)")]
    Escape,
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Of one string inside a TXT value (RFC 1035 3.3), and of a whole value.
const STRING_MAX: usize = 255;
const VALUE_MAX: usize = 4000;

/// Whether the text is a value of that type.
///
/// # Errors
/// [`ValueError`].
pub fn check(kind: RecordType, text: &str) -> Result<(), ValueError> {
    match kind {
        RecordType::A => text.parse::<Ipv4Addr>().map(drop).map_err(|_| ValueError::Ipv4),
        RecordType::Aaaa => text.parse::<Ipv6Addr>().map(drop).map_err(|_| ValueError::Ipv6),
        RecordType::Cname => one_name("CNAME", text),
        RecordType::Ns => one_name("NS", text),
        RecordType::Ptr => one_name("PTR", text),
        RecordType::Mx => {
            let [preference, exchange] = fields("MX", "Two", text)?;
            number::<u16>("MX", preference)?;
            name(exchange)
        }
        RecordType::Srv => {
            let [priority, weight, port, target] = fields("SRV", "Four", text)?;
            [priority, weight, port].into_iter().try_for_each(|text| number::<u16>("SRV", text))?;
            // The root says that there is no such service (RFC 2782).
            if target == "." { Ok(()) } else { name(target) }
        }
        RecordType::Soa => {
            let [server, mailbox, numbers @ ..] = fields::<7>("SOA", "Seven", text)?;
            name(server)?;
            name(mailbox)?;
            numbers.into_iter().try_for_each(|text| number::<u32>("SOA", text))
        }
        RecordType::Txt => strings(text),
    }
}

fn fields<'t, const N: usize>(
    kind: &'static str,
    count: &'static str,
    text: &'t str,
) -> Result<[&'t str; N], ValueError> {
    let fields: Vec<&str> = text.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
    fields.try_into().map_err(|_| ValueError::Fields(kind, count, N))
}

fn one_name(kind: &'static str, text: &str) -> Result<(), ValueError> {
    let [only] = fields(kind, "Single", text)?;
    name(only)
}

fn name(text: &str) -> Result<(), ValueError> {
    Ok(DomainName::parse(text).map(drop)?)
}

fn number<N: std::str::FromStr>(kind: &'static str, text: &str) -> Result<(), ValueError> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<N>().ok().filter(|_| is_digits).map(drop).ok_or(ValueError::Number(kind))
}

/// One or more strings in quotation marks, with spaces between them; `\"`, `\\` and octal codes inside.
fn strings(text: &str) -> Result<(), ValueError> {
    if text.len() > VALUE_MAX {
        return Err(ValueError::StringTooLong);
    }
    let mut letters = text.trim().chars().peekable();
    if letters.peek().is_none() {
        return Err(ValueError::NotQuoted);
    }
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => continue,
            '"' => {}
            _ => return Err(ValueError::NotQuoted),
        }
        let mut len = 0;
        loop {
            match letters.next().ok_or(ValueError::NotQuoted)? {
                '"' => break,
                '\\' => {
                    escape(&mut letters)?;
                    len += 1;
                }
                letter if letter.is_control() => return Err(ValueError::NotQuoted),
                letter => len += letter.len_utf8(),
            }
        }
        if len > STRING_MAX {
            return Err(ValueError::StringTooLong);
        }
        if letters.peek().is_some_and(|next| ![' ', '\t'].contains(next)) {
            return Err(ValueError::NotQuoted);
        }
    }
    Ok(())
}

fn escape(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<(), ValueError> {
    let first = letters.next().ok_or(ValueError::Escape)?;
    if ['"', '\\'].contains(&first) {
        return Ok(());
    }
    let mut code = first.to_digit(8).ok_or(ValueError::Escape)?;
    for _ in 0..2 {
        code = code * 8 + letters.next().and_then(|digit| digit.to_digit(8)).ok_or(ValueError::Escape)?;
    }
    if code <= 0o377 { Ok(()) } else { Err(ValueError::Escape) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RecordType::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_each_type() {
        let long = format!("\"{}\"", "a".repeat(255));
        let (four, sixth) = ("é".repeat(127), "é".repeat(128));
        for (kind, text) in [
            (A, "10.0.0.5"),
            (Aaaa, "2001:db8::5"),
            (Cname, "www.corp.example"),
            (Cname, "www.corp.example."),
            (Ptr, "host.example."),
            (Ns, "ns.example"),
            (Mx, "10 mail.example."),
            (Srv, "10 60 5060 sip.example."),
            (Srv, "0 0 0 ."),
            (Soa, "ns.example. admin.example. 1 7200 900 1209600 86400"),
            (Txt, "\"a text\""),
            (Txt, "\"a\" \"b \\\" \\\\ \\303\\251\""),
            (Txt, "\"\""),
            (Txt, &long),
            (Txt, &format!("\"{four}\"")),
        ] {
            assert_eq!(check(kind, text), Ok(()), "{kind:?} {text}");
        }
        let too_long = format!("\"{}\"", "a".repeat(256));
        for (kind, text, error) in [
            (A, "10.0.0", ValueError::Ipv4),
            (A, "010.0.0.5", ValueError::Ipv4),
            (A, " 10.0.0.5", ValueError::Ipv4),
            (Aaaa, "10.0.0.5", ValueError::Ipv6),
            (Cname, "a b", ValueError::Fields("CNAME", "Single", 1)),
            (Cname, "", ValueError::Fields("CNAME", "Single", 1)),
            (Cname, "a..b", ValueError::Name(NameError::LabelEmpty)),
            (Mx, "mail.example", ValueError::Fields("MX", "Two", 2)),
            (Mx, "65536 mail.example", ValueError::Number("MX")),
            (Mx, "+1 mail.example", ValueError::Number("MX")),
            (Srv, "1 2 3", ValueError::Fields("SRV", "Four", 4)),
            (Soa, "a b 1 2 3 4 x", ValueError::Number("SOA")),
            (Txt, "bare", ValueError::NotQuoted),
            (Txt, "", ValueError::NotQuoted),
            (Txt, "\"open", ValueError::NotQuoted),
            (Txt, "\"a\"\"b\"", ValueError::NotQuoted),
            (Txt, "\"a\" b", ValueError::NotQuoted),
            (Txt, "\"\\9\"", ValueError::Escape),
            (Txt, "\"\\777\"", ValueError::Escape),
            (Txt, &too_long, ValueError::StringTooLong),
            (Txt, &format!("\"{sixth}\""), ValueError::StringTooLong),
        ] {
            assert_eq!(check(kind, text), Err(error), "{kind:?} {text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}|[\"\\\\0-9a. ]{0,40}") {
            for kind in [A, Aaaa, Cname, Mx, Ns, Ptr, Soa, Srv, Txt] {
                let _ = check(kind, &text);
            }
        }
    }
}
