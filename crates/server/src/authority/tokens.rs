//! Join tokens: each lets one host in, once (users 7.1 case 49).
//!
//! A secret of 256 bits is shown when it is made and kept only as its SHA-256. To redeem it is to take it out of the list, to
//! write the list down, and only then to say yes: after a crash at any point it is either open and was never accepted, or gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use model::{Duration, HostId, KeyFingerprint, Time};
use serde::{Deserialize, Serialize};
use stream::{JoinSecret, JoinToken};
use zeroize::Zeroize;

use crate::private_file;

/// Its name inside the data directory.
const FILE_NAME: &str = "join-tokens.json";
/// Tokens that wait to be redeemed.
const OPEN_MAX: usize = 1024;
/// The longest time that a token may wait.
pub const TTL_MAX: Duration = Duration::hours(7 * 24);

/// The open join tokens.
pub struct Tokens {
    /// `None`: in memory.
    path: Option<PathBuf>,
    open: Mutex<Vec<Open>>,
}

/// Why a token is not made or not redeemed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Unknown, spent, expired or another host's: whoever tries secrets learns nothing from which.
    #[error("the join token is unknown, spent, expired or another host's; make a new one")]
    Refused,
    /// The token is for any host, and this one's name belongs to another key.
    #[error("the host's name is taken, and the token was not made for it")]
    Taken,
    #[error("{OPEN_MAX} join tokens are open, which is the limit; wait until one is redeemed or expires")]
    TooMany,
    #[error("a join token cannot wait for {} s; choose 1 s to {} s", ttl.as_millis() / 1000, TTL_MAX.as_millis() / 1000)]
    Ttl { ttl: Duration },
    #[error("the machine gives no randomness")]
    Randomness,
    #[error("cannot {what} `{}`", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    /// SHA-256; in the form of fingerprints, 64 hexadecimal digits.
    secret: KeyFingerprint,
    /// `None`: for any host.
    host: Option<HostId>,
    expires: Time,
}

impl Tokens {
    /// The tokens of a data directory; `None`: gone with the process.
    ///
    /// # Errors
    /// `File`.
    pub fn open(data: Option<&Path>) -> Result<Tokens, TokenError> {
        let path = data.map(|data| data.join(FILE_NAME));
        let open = match &path {
            Some(path) => read(path).map_err(|source| TokenError::File { what: "read", path: path.clone(), source })?,
            None => Vec::new(),
        };
        Ok(Tokens { path, open: Mutex::new(open) })
    }

    /// A token for one host, or for any (`None`), that waits for `ttl` and names the authority that has this root. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// `TooMany`, `Ttl`, `Randomness`, `File`.
    pub fn create(
        &self,
        root: KeyFingerprint,
        host: Option<HostId>,
        ttl: Duration,
        now: Time,
    ) -> Result<JoinToken, TokenError> {
        if ttl < Duration::seconds(1) || ttl > TTL_MAX {
            return Err(TokenError::Ttl { ttl });
        }
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|_| TokenError::Randomness)?;
        let secret = JoinSecret::new(random);
        random.zeroize();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|token| token.expires > now);
        if open.len() >= OPEN_MAX {
            return Err(TokenError::TooMany);
        }
        open.push(Open { secret: KeyFingerprint(secret.digest()), host, expires: now + ttl });
        if let Err(error) = self.write(&open) {
            open.pop();
            return Err(error);
        }
        Ok(JoinToken { secret, root })
    }

    /// Spends a token: `Ok` once for each, however many ask at the same time; whether it named the host. Blocks on the disk.
    ///
    /// # Errors
    /// `Refused`; `Taken`, which spends none; `File` when it cannot be written down that the token is spent: then it is, for as long as the process lives.
    pub fn redeem(&self, secret: &JoinSecret, host: HostId, is_taken: bool, now: Time) -> Result<bool, TokenError> {
        let digest = KeyFingerprint(secret.digest());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |token: &Open| token.secret == digest && token.expires > now && token.host.is_none_or(|only| only == host);
        let at = open.iter().position(fits).ok_or(TokenError::Refused)?;
        let is_named = open[at].host.is_some();
        if is_taken && !is_named {
            return Err(TokenError::Taken);
        }
        open.remove(at);
        self.write(&open).map(|()| is_named)
    }

    fn write(&self, open: &[Open]) -> Result<(), TokenError> {
        let Some(path) = &self.path else { return Ok(()) };
        let written =
            serde_json::to_vec(open).map_err(io::Error::from).and_then(|json| private_file::write(path, &json));
        written.map_err(|source| TokenError::File { what: "write", path: path.clone(), source })
    }
}

fn read(path: &Path) -> io::Result<Vec<Open>> {
    match fs::read(path) {
        Ok(json) => Ok(serde_json::from_slice(&json)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const NOW: Time = Time::from_unix_millis(1_800_000_000_000);
    const HOUR: Duration = Duration::hours(1);
    const ROOT: KeyFingerprint = KeyFingerprint([7; 32]);

    fn host(name: &str) -> HostId {
        name.parse().unwrap()
    }

    fn open(data: Option<&Path>) -> Tokens {
        Tokens::open(data).unwrap()
    }

    fn is_refused(result: &Result<bool, TokenError>) -> bool {
        matches!(result, Err(TokenError::Refused))
    }

    #[test]
    fn of_many_that_redeem_at_once_one_succeeds() {
        let data = tempfile::tempdir().unwrap();
        for data in [Some(data.path()), None] {
            let tokens = open(data);
            let token = tokens.create(ROOT, None, HOUR, NOW).unwrap();
            let (accepted, start) = (AtomicUsize::new(0), Barrier::new(64));
            std::thread::scope(|scope| {
                for n in 0..64 {
                    let (tokens, token, accepted, start) = (&tokens, &token, &accepted, &start);
                    scope.spawn(move || {
                        start.wait();
                        match tokens.redeem(&token.secret, host(&format!("host-{n}")), false, NOW) {
                            Ok(_) => drop(accepted.fetch_add(1, Ordering::Relaxed)),
                            Err(error) => assert!(matches!(error, TokenError::Refused), "{error}"),
                        }
                    });
                }
            });
            assert_eq!(accepted.into_inner(), 1);
        }
    }

    #[test]
    fn unknown_spent_expired_and_anothers_are_answered_alike() {
        let tokens = open(None);
        let (a, b) = (host("a"), host("b"));
        assert!(is_refused(&tokens.redeem(&JoinSecret::new([0; 32]), a, false, NOW)));
        let token = tokens.create(ROOT, Some(a), HOUR, NOW).unwrap();
        assert!(is_refused(&tokens.redeem(&token.secret, b, false, NOW)));
        assert!(is_refused(&tokens.redeem(&token.secret, a, false, NOW + HOUR)));
        tokens.redeem(&token.secret, a, false, NOW).unwrap();
        assert!(is_refused(&tokens.redeem(&token.secret, a, false, NOW)));
    }

    #[test]
    fn a_token_for_any_host_takes_nobodys_name_and_stays_good() {
        let tokens = open(None);
        let (any, named) =
            (tokens.create(ROOT, None, HOUR, NOW).unwrap(), tokens.create(ROOT, Some(host("a")), HOUR, NOW).unwrap());
        assert!(matches!(tokens.redeem(&any.secret, host("a"), true, NOW), Err(TokenError::Taken)));
        assert!(tokens.redeem(&named.secret, host("a"), true, NOW).unwrap());
        assert!(!tokens.redeem(&any.secret, host("b"), false, NOW).unwrap());
    }

    #[test]
    fn a_restart_keeps_what_is_open_and_what_is_spent_stays_spent() {
        let data = tempfile::tempdir().unwrap();
        let (kept, spent) = {
            let tokens = open(Some(data.path()));
            (tokens.create(ROOT, None, HOUR, NOW).unwrap(), tokens.create(ROOT, None, HOUR, NOW).unwrap())
        };
        open(Some(data.path())).redeem(&spent.secret, host("a"), false, NOW).unwrap();
        let tokens = open(Some(data.path()));
        assert!(is_refused(&tokens.redeem(&spent.secret, host("a"), false, NOW)));
        tokens.redeem(&kept.secret, host("a"), false, NOW).unwrap();
    }

    #[test]
    fn nothing_is_accepted_that_is_not_written_down() {
        let data = tempfile::tempdir().unwrap();
        let tokens = open(Some(data.path()));
        let token = tokens.create(ROOT, None, HOUR, NOW).unwrap();
        // A directory in the place of the fresh file: it cannot be removed as a file, nor made.
        let blocked = data.path().join("join-tokens.new");
        fs::create_dir(&blocked).unwrap();
        assert!(matches!(tokens.redeem(&token.secret, host("a"), false, NOW), Err(TokenError::File { .. })));
        assert!(matches!(tokens.create(ROOT, None, HOUR, NOW), Err(TokenError::File { .. })));
        fs::remove_dir(&blocked).unwrap();
        assert!(is_refused(&tokens.redeem(&token.secret, host("a"), false, NOW)));
        open(Some(data.path())).redeem(&token.secret, host("a"), false, NOW).unwrap();
    }

    #[test]
    fn the_secret_is_not_in_the_file_and_only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let token = open(Some(data.path())).create(ROOT, Some(host("a")), HOUR, NOW).unwrap();
        let path = data.path().join(FILE_NAME);
        let text = fs::read_to_string(&path).unwrap();
        let secret = token.reveal();
        assert!(!text.contains(&secret[13..77]) && text.contains("\"a\""), "{text}");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn open_tokens_and_their_time_are_bounded() {
        let tokens = open(None);
        for _ in 0..OPEN_MAX {
            tokens.create(ROOT, None, HOUR, NOW).unwrap();
        }
        assert!(matches!(tokens.create(ROOT, None, HOUR, NOW), Err(TokenError::TooMany)));
        tokens.create(ROOT, None, HOUR, NOW + HOUR).unwrap();
        assert_eq!(tokens.open.lock().unwrap().len(), 1);
        for ttl in [Duration::ZERO, Duration::millis(-1), TTL_MAX + Duration::millis(1)] {
            assert!(matches!(tokens.create(ROOT, None, ttl, NOW), Err(TokenError::Ttl { .. })));
        }
    }
}
