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
/// What one page with MaxResults looks at, so that a filter which nothing passes holds nobody up.
const LOOKS_MAX: usize = 4000;

impl Page<'_> {
    /// The key after which the page begins, for who need not look at what is before it; `None`: there is none, or not a valid one.
    pub fn after(&self) -> Option<String> {
        self.next_token.and_then(decode)
    }

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
        self.sift(allowed, items, key, |_| true)
    }

    /// Cuts the page out of those items that are wanted. With MaxResults it looks at [`LOOKS_MAX`] of them at most: then the page holds
    /// less than there is, or nothing, and has a token all the same (as EC2's own pages may).
    ///
    /// # Errors
    /// As [`Page::cut`].
    pub fn sift<T>(
        self,
        allowed: std::ops::RangeInclusive<i32>,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> String,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Result<(Vec<T>, Option<String>), Error> {
        let size = self.size(allowed)?;
        let looks_max = self.max_results.map_or(usize::MAX, |_| LOOKS_MAX);
        let after = self.next_token.map(|token| decode(token).ok_or_else(invalid_token)).transpose()?;
        let rest = items.into_iter().filter(|item| after.as_ref().is_none_or(|after| key(item) > *after));
        let (mut page, mut passed_by) = (Vec::new(), None);
        for (looks, item) in rest.enumerate() {
            if looks == looks_max {
                let last = [page.last(), passed_by.as_ref()].into_iter().flatten().map(&key).max();
                return Ok((page, last.as_deref().map(encode)));
            }
            match is_wanted(&item) {
                false => passed_by = Some(item),
                true if page.len() < size => page.push(item),
                true => {
                    let last = page.last().map(|last| encode(&key(last)));
                    return Ok((page, last));
                }
            }
        }
        Ok((page, None))
    }

    fn size(self, allowed: std::ops::RangeInclusive<i32>) -> Result<usize, Error> {
        match self.max_results {
            None => Ok(ITEMS_MAX),
            Some(n) if allowed.contains(&n) => Ok(n.unsigned_abs() as usize),
            Some(n) => {
                let why = format!("Expecting a value between {} and {}.", allowed.start(), allowed.end());
                Err(Error::invalid_parameter("MaxResults", n, &why))
            }
        }
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

    /// The token, if there is one, is from a list whose keys begin so: from one within a thing, say.
    ///
    /// # Errors
    /// `InvalidNextToken`.
    pub fn check_within(self, prefix: &str) -> Result<(), Error> {
        let Some(token) = self.next_token else { return Ok(()) };
        decode(token).filter(|key| key.starts_with(prefix)).map(|_| ()).ok_or_else(invalid_token)
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
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

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
        fn pages_of_what_is_wanted_give_it_all(
            count in 0..3 * LOOKS_MAX, size in 5_i32..1000, every in 1_usize..9000, first in 0_usize..9000,
        ) {
            let is_wanted = |n: &usize| n % every == first % every;
            let (mut seen, mut token, mut pages) = (Vec::new(), None::<String>, 0);
            loop {
                let page = Page { max_results: Some(size), next_token: token.as_deref() };
                let looked_at = Cell::new(0);
                let look = |n: &usize| { looked_at.set(looked_at.get() + 1); is_wanted(n) };
                let (part, next) = page.sift(5..=1000, 0..count, |n| format!("{n:06}"), look).unwrap();
                prop_assert!(looked_at.get() <= LOOKS_MAX && part.len() <= size.unsigned_abs() as usize);
                seen.extend(part);
                (token, pages) = (next, pages + 1);
                if token.is_none() { break }
            }
            prop_assert!(pages <= 1 + count / LOOKS_MAX + seen.len() / size.unsigned_abs() as usize);
            prop_assert_eq!(&seen, &(0..count).filter(is_wanted).collect::<Vec<_>>());
            let whole = Page::default().sift(5..=1000, 0..count, |n| format!("{n:06}"), is_wanted).unwrap().0;
            seen.truncate(ITEMS_MAX);
            prop_assert_eq!(whole, seen);
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
