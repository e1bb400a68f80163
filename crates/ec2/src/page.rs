//! Pages of Describe actions (spec 1.3.9): in the order of a stable key; a token says after which key the next page begins.

use model::ResourceId;

use crate::Error;

/// What a request says about paging.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    pub max_results: Option<i32>,
    pub next_token: Option<&'a str>,
}

/// Without MaxResults a page still ends here.
const ITEMS_MAX: usize = 1000;

impl Page<'_> {
    /// Cuts the page out of the items, which are in the order of their keys.
    ///
    /// # Errors
    /// `InvalidParameterValue` where MaxResults is outside `allowed`, `InvalidNextToken` for a token that this did not make.
    pub fn cut<T>(
        self,
        allowed: std::ops::RangeInclusive<i32>,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> Result<(Vec<T>, Option<String>), Error> {
        let size = match self.max_results {
            None => ITEMS_MAX,
            Some(n) if allowed.contains(&n) => n.unsigned_abs() as usize,
            Some(n) => {
                let why = format!("Expecting a value between {} and {}.", allowed.start(), allowed.end());
                return Err(Error::invalid_parameter("MaxResults", n, &why));
            }
        };
        let after = self.next_token.map(|token| decode(token).ok_or_else(invalid_token)).transpose()?;
        let mut rest = items.into_iter().filter(|item| after.as_ref().is_none_or(|after| key(item) > *after));
        let page: Vec<T> = rest.by_ref().take(size).collect();
        let next = rest.next().and(page.last()).map(|last| encode(&key(last)));
        Ok((page, next))
    }

    /// The token, if there is one, is from a list of things with ids of this kind: another action's would silently begin in the
    /// middle.
    ///
    /// # Errors
    /// `InvalidNextToken`.
    pub fn check<Id: ResourceId>(self) -> Result<(), Error> {
        let Some(token) = self.next_token else { return Ok(()) };
        let id = decode(token).and_then(|key| key.parse::<Id>().ok());
        id.map(|_| ()).ok_or_else(invalid_token)
    }
}

fn invalid_token() -> Error {
    Error::new(
        "InvalidNextToken",
        "The specified NextToken is not valid; use the one of the previous page or leave it out",
    )
}

/// The key in hexadecimal behind a check byte, so that a token made up by hand is refused.
fn encode(key: &str) -> String {
    let hex: String = key.bytes().map(|b| format!("{b:02x}")).collect();
    format!("{:02x}{hex}", check(key.as_bytes()))
}

fn decode(token: &str) -> Option<String> {
    if !token.len().is_multiple_of(2) || !token.is_ascii() || token.len() < 4 {
        return None;
    }
    let bytes: Option<Vec<u8>> =
        (0..token.len()).step_by(2).map(|at| u8::from_str_radix(token.get(at..at + 2)?, 16).ok()).collect();
    let bytes = bytes?;
    let (first, key) = bytes.split_first()?;
    (*first == check(key)).then(|| String::from_utf8(key.to_vec()).ok()).flatten()
}

fn check(key: &[u8]) -> u8 {
    key.iter().fold(0x5a, |sum, b| sum.rotate_left(3) ^ b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pages_give_everything_once_in_order(count in 0_usize..60, size in 5_i32..20) {
            let items: Vec<String> = (0..count).map(|n| format!("k{n:03}")).collect();
            let (mut seen, mut token) = (Vec::new(), None::<String>);
            loop {
                let page = Page { max_results: Some(size), next_token: token.as_deref() };
                let (part, next) = page.cut(5..=1000, items.clone(), Clone::clone).unwrap();
                seen.extend(part);
                token = next;
                if token.is_none() { break }
            }
            prop_assert_eq!(seen, items);
        }

        #[test]
        fn no_token_panics(token: String) {
            let _ = decode(&token);
        }
    }

    #[test]
    fn a_token_is_good_for_its_own_kind() {
        let check = |key: &str| Page { max_results: None, next_token: Some(&encode(key)) }.check::<model::VpcId>();
        assert_eq!(check("vpc-0123456789abcdef0"), Ok(()));
        assert_eq!(check("subnet-0123456789abcdef0").unwrap_err().code, "InvalidNextToken");
        assert_eq!(Page::default().check::<model::VpcId>(), Ok(()));
    }

    #[test]
    fn sizes_out_of_range_and_foreign_tokens_are_refused() {
        let cut = |page: Page<'_>| page.cut(5..=1000, ["a".to_string()], Clone::clone).unwrap_err().code;
        assert_eq!(cut(Page { max_results: Some(4), next_token: None }), "InvalidParameterValue");
        for token in ["", "zz", "abc", "0041", "é"] {
            assert_eq!(cut(Page { max_results: None, next_token: Some(token) }), "InvalidNextToken", "{token}");
        }
    }
}
