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

/// `*` is any run of characters, `?` any one, `\` takes the special meaning from the next. Linear in both lengths' product.
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern = tokens(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to resume when what follows the last `*` does not fit: that star, and the first character it does not cover.
    let mut resume: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Token::Run) => {
                resume = Some((p, t));
                p += 1;
            }
            Some(Token::One) => (p, t) = (p + 1, t + 1),
            Some(Token::Letter(letter)) if *letter == text[t] => (p, t) = (p + 1, t + 1),
            _ => match resume {
                Some((star, covered)) => {
                    resume = Some((star, covered + 1));
                    (p, t) = (star + 1, covered + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|token| matches!(token, Token::Run))
}

enum Token {
    Run,
    One,
    Letter(char),
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut letters = pattern.chars();
    let mut tokens = Vec::new();
    while let Some(letter) = letters.next() {
        tokens.push(match letter {
            '*' => Token::Run,
            '?' => Token::One,
            '\\' => Token::Letter(letters.next().unwrap_or('\\')),
            other => Token::Letter(other),
        });
    }
    tokens
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
