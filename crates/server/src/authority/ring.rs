//! The authority of the hosts through its rotation: which key certifies, and which roots hosts believe meanwhile (decision 0060).
//!
//! ```text
//!   Steady ── rotate ─▶ Announced        a new key; hosts are told to believe it too. The old one certifies.
//!                          │ switch      when every host believes it: the new one certifies, and hosts renew.
//!                          ▼
//!   Steady ◀─ retire ── Renewing         when every host has a certificate of the new one, or the old ones have all expired.
//! ```
//!
//! Each step is on disk before it is in force. At any moment every host believes the root of every certificate that another host may show,
//! so no step costs a session.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Duration, KeyFingerprint, Time};
use serde::{Deserialize, Serialize};
use stream::{Bytes, ToAgent};
use tokio::sync::watch;

use super::{Authority, AuthorityError, HOSTS, LIFETIME, Stored, failed, load, make, read_or_make, write};

/// Beyond the life of the last certificate of the old key: clocks differ.
const MARGIN: Duration = Duration::hours(24);

/// The authority of a data directory.
pub(crate) struct Ring {
    /// `None`: in memory.
    path: Option<PathBuf>,
    stored: Mutex<Stored>,
    authorities: watch::Sender<Arc<Authorities>>,
}

/// What is in force.
pub(crate) struct Authorities {
    pub(crate) signer: Authority,
    pub(crate) phase: Phase,
}

pub(crate) enum Phase {
    Steady,
    /// This one is to certify once all hosts believe it.
    Announced(Box<Authority>),
    /// Hosts have certificates of the one before.
    Renewing(Former),
}

/// The root of an authority that certifies no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Former {
    /// X.509, DER.
    root: Bytes,
    pub(crate) key: KeyFingerprint,
    /// From then on none of its certificates is good.
    pub(crate) until: Time,
}

/// Why a rotation does not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    #[error("the authority is being rotated already; `peerway ca show` says which hosts it waits for")]
    UnderWay,
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl Ring {
    /// Made at first; `None`: gone with the process. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Authority::open`].
    pub(crate) fn open(data: Option<&Path>, now: Time) -> Result<Ring, AuthorityError> {
        let path = data.map(|data| data.join(HOSTS.file));
        let stored = read_or_make(&HOSTS, path.as_deref(), now)?;
        let broken = || match &path {
            Some(path) => AuthorityError::Broken { path: path.clone(), price: HOSTS.price },
            None => failed("an unreadable key was made"),
        };
        let authorities = authorities(&stored).ok_or_else(broken)?;
        Ok(Ring { path, stored: Mutex::new(stored), authorities: watch::Sender::new(Arc::new(authorities)) })
    }

    pub(crate) fn now(&self) -> Arc<Authorities> {
        self.authorities.borrow().clone()
    }

    /// Tells of each step.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Authorities>> {
        self.authorities.subscribe()
    }

    /// Makes the key that is to certify. Blocks on the disk.
    ///
    /// # Errors
    /// [`RotateError`].
    pub(crate) fn rotate(&self, now: Time) -> Result<(), RotateError> {
        let mut stored = self.lock();
        if stored.next.is_some() || stored.former.is_some() {
            return Err(RotateError::UnderWay);
        }
        let mut announced = stored.copy();
        announced.next = Some(Box::new(make(&HOSTS, now)?));
        Ok(self.store(&mut stored, announced)?)
    }

    /// The announced key certifies from here on; nothing happens in another phase. Blocks on the disk.
    ///
    /// # Errors
    /// `File`.
    pub(crate) fn switch(&self, now: Time) -> Result<(), AuthorityError> {
        let mut stored = self.lock();
        let Some(next) = &stored.next else { return Ok(()) };
        let key = self.now().signer.fingerprint();
        let mut switched = next.copy();
        switched.former = Some(Former { root: stored.root.clone(), key, until: now + LIFETIME + MARGIN });
        self.store(&mut stored, switched)
    }

    /// The former root is believed no more; nothing happens in another phase. Blocks on the disk.
    ///
    /// # Errors
    /// `File`.
    pub(crate) fn retire(&self) -> Result<(), AuthorityError> {
        let mut stored = self.lock();
        if stored.former.is_none() {
            return Ok(());
        }
        let mut retired = stored.copy();
        retired.former = None;
        self.store(&mut stored, retired)
    }

    fn store(&self, stored: &mut Stored, next: Stored) -> Result<(), AuthorityError> {
        let authorities = authorities(&next).ok_or_else(|| failed("an unreadable key was made"))?;
        if let Some(path) = &self.path {
            write(path, &next)?;
        }
        *stored = next;
        self.authorities.send_replace(Arc::new(authorities));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authorities {
    /// The roots that hosts are to believe, DER; that of the one that certifies first.
    pub(crate) fn roots(&self) -> Vec<Vec<u8>> {
        let other = match &self.phase {
            Phase::Steady => None,
            Phase::Announced(next) => Some(next.root.clone()),
            Phase::Renewing(former) => Some(former.root.0.clone()),
        };
        std::iter::once(self.signer.root.clone()).chain(other).collect()
    }

    pub(crate) fn message(&self) -> ToAgent {
        ToAgent::Authority { roots: self.roots().into_iter().map(Bytes).collect() }
    }
}

/// `None`: what is stored is no authority, or half of one.
fn authorities(stored: &Stored) -> Option<Authorities> {
    let phase = match (&stored.next, &stored.former) {
        (None, None) => Phase::Steady,
        (Some(next), None) => Phase::Announced(Box::new(load(next)?)),
        (None, Some(former)) => Phase::Renewing(former.clone()),
        (Some(_), Some(_)) => return None,
    };
    Some(Authorities { signer: load(stored)?, phase })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_unix_millis(1_800_000_000_000);

    fn keys(ring: &Ring) -> (KeyFingerprint, usize) {
        (ring.now().signer.fingerprint(), ring.now().roots().len())
    }

    #[test]
    fn a_rotation_survives_a_restart_at_each_step() {
        let data = tempfile::tempdir().unwrap();
        let open = || Ring::open(Some(data.path()), NOW).unwrap();
        let (old, _) = keys(&open());
        open().rotate(NOW).unwrap();
        let Phase::Announced(next) = &open().now().phase else { panic!("it is announced") };
        let new = next.fingerprint();
        assert_ne!(old, new);
        assert_eq!(keys(&open()), (old, 2), "the old one certifies");
        assert!(matches!(open().rotate(NOW), Err(RotateError::UnderWay)));
        open().retire().unwrap();
        assert_eq!(keys(&open()), (old, 2), "there is nothing to retire");
        open().switch(NOW).unwrap();
        assert_eq!(keys(&open()), (new, 2));
        let Phase::Renewing(former) = &open().now().phase else { panic!("hosts renew") };
        assert_eq!((former.key, former.until), (old, NOW + LIFETIME + MARGIN));
        assert!(matches!(open().rotate(NOW), Err(RotateError::UnderWay)));
        open().switch(NOW).unwrap();
        assert_eq!(keys(&open()).0, new, "it does not go back");
        open().retire().unwrap();
        assert_eq!(keys(&open()), (new, 1));
        assert_eq!(Authority::open(Some(data.path()), NOW).unwrap().fingerprint(), new);
        open().rotate(NOW).unwrap();
    }

    #[test]
    fn a_step_that_is_not_written_down_is_not_taken() {
        let data = tempfile::tempdir().unwrap();
        let ring = Ring::open(Some(data.path()), NOW).unwrap();
        let before = keys(&ring);
        let blocked = data.path().join("authority.new");
        std::fs::create_dir(&blocked).unwrap();
        assert!(matches!(ring.rotate(NOW), Err(RotateError::Authority(AuthorityError::File { .. }))));
        assert_eq!(keys(&ring), before);
        std::fs::remove_dir(&blocked).unwrap();
        ring.rotate(NOW).unwrap();
        assert_eq!(keys(&ring).1, 2);
    }

    #[test]
    fn the_keys_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let ring = Ring::open(Some(data.path()), NOW).unwrap();
        ring.rotate(NOW).unwrap();
        let path = data.path().join(HOSTS.file);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Ring::open(Some(data.path()), NOW), Err(AuthorityError::Exposed { .. })));
    }
}
