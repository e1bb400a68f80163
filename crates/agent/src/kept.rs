//! What outlives the agent, on disk: the last intent, and of each instance what finds it again.
//!
//! ```text
//!   <data>/intent.json                        the last intent (mode 0600: it has the instances' user data)
//!   <data>/instances/i-0123.../sandbox.json   the running sandbox, its devices
//!                              ended.json      how a start came to its end, until the server asks for another
//! ```
//!
//! Each file is replaced whole, so that a kill at any moment leaves the old one or the new one. What cannot be read is as if it were not
//! there: the server tells it anew, and an instance that nothing vouches for is started anew.

use std::fs;
use std::io;
use std::path::PathBuf;

use linux::sandbox::Record;
use model::NetworkInterface;
use model::intent::Intent;
use serde::{Deserialize, Serialize};
use stream::Condition;

use crate::files::{InstanceFiles, write_whole};
use crate::{Options, chain};

/// A file that is longer is not the agent's: a server's whole word fits in less.
const INTENT_LEN_MAX: u64 = 4 * stream::FRAME_MAX as u64;

/// A sandbox as its agent left it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    #[serde(flatten)]
    pub(crate) record: Record,
    /// Which start of the instance this is.
    #[serde(default)]
    pub(crate) starts: u32,
    /// Its first program was let go: only then it is worth keeping.
    #[serde(default)]
    pub(crate) is_started: bool,
    #[serde(default)]
    pub(crate) devices: Vec<KeptDevice>,
}

/// A device that was up, with the addresses that it has.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeptDevice {
    pub(crate) device_index: u32,
    pub(crate) interface: NetworkInterface,
}

/// How a start came to its end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) starts: u32,
    pub(crate) how: Condition,
}

/// Writes down what the server said last. Without it the agent is as good as ever, until it is started while the server is gone.
pub(crate) fn store_intent(options: &Options, intent: &Intent) {
    let stored =
        serde_json::to_vec(intent).map_err(io::Error::from).and_then(|json| write_whole(&intent_path(options), &json));
    if let Err(error) = stored {
        tracing::warn!(error = %chain(&error), "the intent is not written down");
    }
}

/// The last intent that was written down, if there is one.
pub(crate) fn intent(options: &Options) -> Option<Intent> {
    let path = intent_path(options);
    let read = || {
        if fs::metadata(&path)?.len() > INTENT_LEN_MAX {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(serde_json::from_slice(&fs::read(&path)?)?)
    };
    match read() {
        Ok(intent) => Some(intent),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), error = %chain(&error), "the last intent cannot be read");
            None
        }
    }
}

fn intent_path(options: &Options) -> PathBuf {
    options.data.join("intent.json")
}

impl InstanceFiles {
    /// What a running sandbox can be found by.
    pub(crate) fn remember(&self, kept: &Kept) -> io::Result<()> {
        write_whole(&self.path("sandbox.json"), &serde_json::to_vec(kept)?)
    }

    pub(crate) fn kept(&self) -> Option<Kept> {
        serde_json::from_slice(&fs::read(self.path("sandbox.json")).ok()?).ok()
    }

    pub(crate) fn remember_end(&self, ended: &Ended) -> io::Result<()> {
        write_whole(&self.path("ended.json"), &serde_json::to_vec(ended)?)
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        serde_json::from_slice(&fs::read(self.path("ended.json")).ok()?).ok()
    }

    pub(crate) fn forget_end(&self) {
        let _ = fs::remove_file(self.path("ended.json"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::options;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_intent_is_its_owners_alone_and_damage_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(directory.path());
        assert_eq!(intent(&options), None);
        let mut told = Intent::default();
        told.revisions.insert("us-east-1".parse().unwrap(), 7);
        store_intent(&options, &told);
        assert_eq!(intent(&options), Some(told));
        let path = intent_path(&options);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(intent(&options), None);
        fs::File::options().write(true).open(&path).unwrap().set_len(INTENT_LEN_MAX + 1).unwrap();
        assert_eq!(intent(&options), None);
    }
}
