//! The randomness of one request: a stream of bits from a seed that the shell draws.

use model::ResourceId;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// 256 bits from the machine's generator.
pub type Seed = [u8; 32];

/// Same seed, same bits.
pub struct Draw(ChaCha12Rng);

impl Draw {
    pub fn new(seed: Seed) -> Draw {
        Draw(ChaCha12Rng::from_seed(seed))
    }

    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub fn u128(&mut self) -> u128 {
        u128::from(self.u64()) << 64 | u128::from(self.u64())
    }

    pub fn id<Id: ResourceId>(&mut self) -> Id {
        Id::from_random(self.u128())
    }

    /// So many characters of the alphabet; used for access keys, secrets and tokens.
    pub fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        let count = alphabet.len() as u64;
        // The modulo's bias is below 2^-56 for alphabets of at most 256 letters.
        (0..length).map(|_| char::from(alphabet[usize::try_from(self.u64() % count).unwrap_or(0)])).collect()
    }
}
