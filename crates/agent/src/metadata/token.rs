//! Session tokens: when they end and whose they are, under a key that only this agent has. Nothing is kept for one.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use model::{Duration, InstanceId, Time};

/// How long a token may be wanted for, in seconds (EC2).
pub(crate) const TTL_SECS: std::ops::RangeInclusive<u32> = 1..=21_600;

/// The end, in milliseconds, and the tag.
const END_LEN: usize = 8;
const TAG_LEN: usize = 32;

/// What tokens are made and checked with.
pub(crate) struct Tokens(Key);

impl Tokens {
    /// Under a random secret; another agent's tokens are not valid here.
    pub(crate) fn new(secret: &[u8; 32]) -> Tokens {
        Tokens(Key::new(HMAC_SHA256, secret))
    }

    /// A token for the instance.
    pub(crate) fn issue(&self, instance: InstanceId, ttl_secs: u32, now: Time) -> String {
        let end = (now + Duration::seconds(ttl_secs.into())).as_unix_millis().to_be_bytes();
        let tag = sign(&self.0, &message(instance, end));
        hex(&end) + &hex(tag.as_ref())
    }

    /// Whether the token is the instance's and has not ended.
    pub(crate) fn holds(&self, token: &str, instance: InstanceId, now: Time) -> bool {
        let Some(bytes) = unhex(token) else { return false };
        let Some((end, tag)) = bytes.split_first_chunk::<END_LEN>() else { return false };
        let is_genuine = tag.len() == TAG_LEN && verify(&self.0, &message(instance, *end), tag).is_ok();
        is_genuine && now < Time::from_unix_millis(i64::from_be_bytes(*end))
    }
}

fn message(instance: InstanceId, end: [u8; END_LEN]) -> Vec<u8> {
    [instance.to_string().as_bytes(), &end].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 2 * (END_LEN + TAG_LEN) {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(digit(&pair[0])? << 4 | digit(&pair[1])?).ok();
    text.as_bytes().chunks_exact(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ResourceId;

    const NOW: Time = Time::from_unix_millis(1_700_000_000_000);

    #[test]
    fn a_token_is_one_instances_until_it_ends() {
        let (tokens, own, other) = (Tokens::new(&[7; 32]), InstanceId::from_random(1), InstanceId::from_random(2));
        let token = tokens.issue(own, 60, NOW);
        assert!(tokens.holds(&token, own, NOW) && tokens.holds(&token, own, NOW + Duration::seconds(59)));
        assert!(!tokens.holds(&token, own, NOW + Duration::seconds(60)), "it has ended");
        assert!(!tokens.holds(&token, other, NOW), "another instance's");
        assert!(!Tokens::new(&[8; 32]).holds(&token, own, NOW), "another agent's");
    }

    #[test]
    fn no_byte_of_a_token_can_be_changed() {
        let (tokens, own) = (Tokens::new(&[7; 32]), InstanceId::from_random(1));
        let token = tokens.issue(own, 60, NOW);
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            assert!(!tokens.holds(std::str::from_utf8(&other).unwrap(), own, NOW), "{at}");
        }
        for wrong in ["", "x", &token[1..], &format!("{token}00"), &"é".repeat(40), &"g".repeat(80)] {
            assert!(!tokens.holds(wrong, own, NOW), "{wrong}");
        }
    }
}
