//! Filters of Describe actions (spec 1.3.10): AND over filters, OR over a filter's values, `*` and `?` in values.

use crate::Error;

input! {
    Filter {
        name: String = "Name",
        values: Vec<String> = "Value",
    }
}

/// Values in all filters of one request.
pub const VALUES_MAX: usize = 200;

/// Refuses too many values, and any filter that the action does not know.
///
/// # Errors
/// `FilterLimitExceeded`, `InvalidParameterValue`.
pub fn check(filters: &[Filter], known: &[&str]) -> Result<(), Error> {
    let values: usize = filters.iter().map(|filter| filter.values.len()).sum();
    if values > VALUES_MAX {
        return Err(Error::new(
            "FilterLimitExceeded",
            format!("The request has {values} filter values, the limit is {VALUES_MAX}"),
        ));
    }
    let is_known =
        |name: &str| known.contains(&name) || name.starts_with("tag:") || ["tag-key", "tag-value"].contains(&name);
    match filters.iter().find(|filter| !is_known(&filter.name)) {
        Some(filter) => Err(Error::invalid_value(format!("The filter '{}' is invalid", filter.name))),
        None => Ok(()),
    }
}

/// One of the patterns matches one of the texts.
pub fn any_matches<'a>(patterns: &[String], texts: impl IntoIterator<Item = &'a str>) -> bool {
    texts.into_iter().any(|text| patterns.iter().any(|pattern| matches(pattern, text)))
}

/// The pattern matches itself and nothing else.
pub fn is_exact(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '\\'])
}

/// `*` is any run of characters, `?` any one, `\` takes the special meaning from the next. Linear in both lengths' product.
pub fn matches(pattern: &str, text: &str) -> bool {
    if pattern.contains(['?', '\\']) { matches_letters(pattern, text) } else { matches_runs(pattern, text) }
}

/// The common kind of pattern, with no special character but `*`: by its parts, which is many times faster.
fn matches_runs(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let (parts, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_prefix(head).and_then(|text| text.strip_suffix(tail)) else { return false };
    parts.split('*').all(|part| {
        let behind = text.find(part).and_then(|at| text.get(at + part.len()..));
        text = behind.unwrap_or_default();
        behind.is_some()
    })
}

fn matches_letters(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to resume when what follows the last `*` does not fit: behind that star, and at the first character that it does not cover.
    let mut resume: Option<(&str, &str)> = None;
    while let Some((letter, rest)) = split(text) {
        match token(pattern) {
            Some((Token::Run, after)) => {
                resume = Some((after, text));
                pattern = after;
            }
            Some((Token::One, after)) => (pattern, text) = (after, rest),
            Some((Token::Letter(wanted), after)) if wanted == letter => (pattern, text) = (after, rest),
            _ => match resume.and_then(|(after, covered)| Some((after, split(covered)?.1))) {
                Some((after, rest)) => {
                    resume = Some((after, rest));
                    (pattern, text) = (after, rest);
                }
                None => return false,
            },
        }
    }
    pattern.chars().all(|rest| rest == '*')
}

enum Token {
    Run,
    One,
    Letter(char),
}

/// What stands first in a pattern, and the rest.
fn token(pattern: &str) -> Option<(Token, &str)> {
    let (letter, rest) = split(pattern)?;
    Some(match letter {
        '*' => (Token::Run, rest),
        '?' => (Token::One, rest),
        '\\' => split(rest).map_or((Token::Letter('\\'), rest), |(letter, rest)| (Token::Letter(letter), rest)),
        other => (Token::Letter(other), rest),
    })
}

fn split(text: &str) -> Option<(char, &str)> {
    let mut letters = text.chars();
    letters.next().map(|letter| (letter, letters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_escapes() {
        for (pattern, text, expected) in [
            ("web*", "web-1", true),
            ("*web", "my web", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("Web", "web", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("\\", "\\", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn both_ways_to_match_agree(pattern in "[abä*]{0,9}", text in "[abä]{0,12}") {
            proptest::prop_assert_eq!(matches_runs(&pattern, &text), matches_letters(&pattern, &text));
        }
    }

    #[test]
    fn a_bomb_of_stars_ends() {
        assert!(!matches(&"*a".repeat(200), &"a".repeat(150)));
    }

    #[test]
    fn unknown_filters_and_too_many_values_are_refused() {
        let filter = |name: &str, n: usize| Filter { name: name.into(), values: vec!["x".into(); n] };
        assert_eq!(check(&[filter("nope", 1)], &["vpc-id"]).unwrap_err().message, "The filter 'nope' is invalid");
        assert_eq!(check(&[filter("vpc-id", 201)], &["vpc-id"]).unwrap_err().code, "FilterLimitExceeded");
        assert_eq!(check(&[filter("tag:Name", 1), filter("vpc-id", 1)], &["vpc-id"]), Ok(()));
    }
}
