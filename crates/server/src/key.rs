//! New key pairs: made outside of the writer's turn, because an RSA key takes a good part of a second.

use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use control::ssh_key::PrivateKey;
use ec2::Error;
use std::sync::Arc;
use tokio::sync::Semaphore;

use crate::region::internal;

/// Keys that are made at once; other requests wait their turn.
static PLACES: Semaphore = Semaphore::const_new(2);

/// A key of the type that CreateKeyPair names; `None`: there is no such type, which is the handler's to say.
pub(crate) async fn make(key_type: Option<&str>) -> Result<Option<Arc<PrivateKey>>, Error> {
    let work = match key_type {
        None | Some("rsa") => rsa,
        Some("ed25519") => ed25519,
        Some(_) => return Ok(None),
    };
    let _place = PLACES.acquire().await.map_err(|_| internal("no keys are made any more"))?;
    let made = tokio::task::spawn_blocking(work).await.map_err(|_| internal("making a key ended in a panic"))?;
    let key = made.ok_or_else(|| internal("no key could be made"))?;
    Ok(Some(Arc::new(key)))
}

fn rsa() -> Option<PrivateKey> {
    let pair = rsa::KeyPair::generate(KeySize::Rsa2048).ok()?;
    let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    Some(PrivateKey::Rsa(der.as_ref().to_vec()))
}

fn ed25519() -> Option<PrivateKey> {
    let pair = Ed25519KeyPair::generate().ok()?;
    let seed: Curve25519SeedBin<'_> = pair.seed().ok()?.as_be_bytes().ok()?;
    Some(PrivateKey::Ed25519 {
        seed: seed.as_ref().try_into().ok()?,
        public: pair.public_key().as_ref().try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use control::ssh_key::PublicKey;

    use super::*;

    #[test]
    fn keys_that_are_made_have_files_and_halves() {
        for key in [rsa().unwrap(), ed25519().unwrap()] {
            let public = key.public().unwrap();
            assert_eq!(PublicKey::read(public.line("c").as_bytes()), Some(public));
            assert!(key.pem("c", 7).unwrap().ends_with("PRIVATE KEY-----\n"));
            assert!(key.ppk("c").unwrap().contains("Private-MAC: "));
        }
    }
}
