//! The operator's key: what a cloud of real keys begins with.
//!
//! It is made at the first strict start. The file is on disk before the key is committed: a crash between the two leaves a file
//! whose key the next start commits, never a key whose secret nobody has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::credential::AccessKey;
use model::{AccountId, Change, Secret, World};
use serde::{Deserialize, Serialize};

use crate::region::{Answer, Work, machine_time, seed};
use crate::{Cloud, StartError, private_file};

/// Its name inside the data directory.
const FILE_NAME: &str = "operator-key.json";

/// The file, which only its owner may read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorKey {
    pub account: AccountId,
    pub access_key_id: String,
    pub secret_access_key: Secret,
}

impl OperatorKey {
    /// Where a data directory keeps it.
    pub fn path(data: &Path) -> PathBuf {
        data.join(FILE_NAME)
    }

    /// # Errors
    /// The kernel's; `InvalidData` for a file that is no operator's key.
    pub fn read(data: &Path) -> io::Result<OperatorKey> {
        let key: OperatorKey = serde_json::from_slice(&fs::read(OperatorKey::path(data))?)?;
        if key.account != AccountId::OPERATOR {
            let why = format!(
                "it is a key of account {}, not of the operator's account {}",
                key.account,
                AccountId::OPERATOR
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(key)
    }

    fn write(&self, data: &Path) -> io::Result<()> {
        private_file::write(&OperatorKey::path(data), &serde_json::to_vec_pretty(self)?)
    }
}

/// Sees to it that the operator has a key: the file's, or a fresh one. One that was made earlier and whose file is kept
/// elsewhere is a key too.
pub(crate) async fn ensure(cloud: &Cloud) -> Result<(), StartError> {
    let data = cloud.options.data.as_deref().ok_or(StartError::NoPlaceForKey)?;
    let failed = |what: &'static str| {
        let path = OperatorKey::path(data);
        move |source| StartError::OperatorKey { what, path, source }
    };
    let key = match OperatorKey::read(data) {
        Ok(key) => known(&cloud.home().world(), key),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("read")(error)),
        Err(_) if has_key(&cloud.home().world()) => None,
        Err(_) => {
            let seed = seed().map_err(|error| failed("make")(io::Error::other(error.message)))?;
            let key = control::sts::long_term_key(AccountId::OPERATOR, seed, machine_time());
            let file = OperatorKey {
                account: key.account,
                access_key_id: key.id.clone(),
                secret_access_key: key.secret.clone(),
            };
            file.write(data).map_err(failed("write"))?;
            Some(key)
        }
    };
    let Some(key) = key else { return Ok(()) };
    let work: Work = Box::new(move |_, _| Ok((Answer::Nothing, vec![Change::put(key.clone())])));
    let committed = cloud.home().write(work).await;
    committed.map(drop).map_err(|error| failed("commit")(io::Error::other(error.message)))
}

/// The file's key as a record, if it is not one yet.
fn known(world: &World, file: OperatorKey) -> Option<AccessKey> {
    let is_known = world.access_keys.get(&file.access_key_id).is_some_and(|key| key.secret == file.secret_access_key);
    (!is_known).then(|| AccessKey {
        id: file.access_key_id,
        secret: file.secret_access_key,
        account: file.account,
        created: machine_time(),
        is_disabled: false,
        session: None,
    })
}

fn has_key(world: &World) -> bool {
    world.all::<AccessKey>().any(|key| key.account == AccountId::OPERATOR && key.session.is_none())
}
