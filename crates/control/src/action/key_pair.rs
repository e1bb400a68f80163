//! Key pairs: what is kept is the public half; the private half of one that was made here is in the answer and nowhere else.

use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::key_pair::*;
use ec2::{Error, IdCodes};
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;
use crate::ssh_key::PublicKey;

const NAME_MAX: usize = 255;

impl Handle for CreateKeyPair {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateKeyPairResponse, Error> {
        let tags = TagSpecification::tags(&self.tag_specifications, &["key-pair"], "key-pair")?;
        let kind = match self.key_type.as_deref() {
            None | Some("rsa") => KeyType::Rsa,
            Some("ed25519") => KeyType::Ed25519,
            Some(other) => return Err(Error::invalid_parameter("KeyType", other, "Use rsa or ed25519.")),
        };
        let format = self.key_format.as_deref().unwrap_or("pem");
        if !["pem", "ppk"].contains(&format) {
            return Err(Error::invalid_parameter("KeyFormat", format, "Use pem or ppk."));
        }
        check_new_name(cloud, &self.key_name)?;
        let key = cloud.config.new_key.clone().filter(|key| key.kind() == kind);
        let key = key.ok_or_else(|| {
            let message = format!("No {} keys are made here; make one with ssh-keygen and import it", kind.name());
            Error::new("UnsupportedOperation", message)
        })?;
        let check = u32::try_from(cloud.draw.u64() >> 32).unwrap_or_default();
        let (public, fingerprint) = (key.public(), key.fingerprint());
        let file = if format == "pem" { key.pem(&self.key_name, check) } else { key.ppk(&self.key_name) };
        let broken = || Error::new("InternalError", "The key that was made cannot be read").with_status(500);
        let (public, fingerprint) = public.zip(fingerprint).ok_or_else(broken)?;
        let key_material = Secret(file.ok_or_else(broken)?);
        let made = put(cloud, self.key_name, public, fingerprint, tags);
        Ok(CreateKeyPairResponse {
            key_fingerprint: made.fingerprint,
            key_material,
            key_name: made.name,
            key_pair_id: made.id,
            tag_set: made.tags,
        })
    }
}

fn put(cloud: &mut Cloud<'_>, name: String, public: PublicKey, fingerprint: String, tags: Tags) -> KeyPair {
    let made = KeyPair {
        id: cloud.draw.id(),
        owner: cloud.caller.account,
        name,
        key_type: public.kind,
        fingerprint,
        public_key: public.blob,
        created: cloud.now,
        tags,
    };
    cloud.put(made.clone());
    made
}

impl Handle for ImportKeyPair {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<ImportKeyPairResponse, Error> {
        let tags = TagSpecification::tags(&self.tag_specifications, &["key-pair"], "key-pair")?;
        check_new_name(cloud, &self.key_name)?;
        let public = PublicKey::read(&self.public_key_material.0);
        let fingerprint = public.as_ref().and_then(PublicKey::fingerprint);
        let (public, fingerprint) = public.zip(fingerprint).ok_or_else(|| {
            Error::new(
                "InvalidKey.Format",
                "Key is not in valid OpenSSH public key format; RSA and ED25519 keys are taken",
            )
        })?;
        let made = put(cloud, self.key_name, public, fingerprint, tags);
        Ok(ImportKeyPairResponse {
            key_fingerprint: made.fingerprint,
            key_name: made.name,
            key_pair_id: made.id,
            tag_set: made.tags,
        })
    }
}

fn check_new_name(cloud: &Cloud<'_>, name: &str) -> Result<(), Error> {
    let is_right = !name.is_empty()
        && name.len() <= NAME_MAX
        && name.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        && name.trim() == name;
    if !is_right {
        let why = format!("A key name has 1 to {NAME_MAX} ASCII characters, without spaces at its ends.");
        return Err(Error::invalid_parameter("KeyName", name, &why));
    }
    if find(cloud, name).is_some() {
        return Err(Error::new("InvalidKeyPair.Duplicate", format!("The keypair '{name}' already exists.")));
    }
    if cloud.own_count::<KeyPair>() >= cloud.config.quotas.key_pairs {
        return Err(Error::new("KeyPairLimitExceeded", "The maximum number of key pairs has been reached."));
    }
    Ok(())
}

fn find<'c>(cloud: &'c Cloud<'_>, name: &str) -> Option<&'c std::sync::Arc<KeyPair>> {
    cloud.own_by::<KeyPair>(By::name(name)).find(|pair| pair.name == name)
}

/// The key pair that a launch names is there.
///
/// # Errors
/// `InvalidKeyPair.NotFound`.
pub(super) fn check_name(cloud: &Cloud<'_>, name: Option<&str>) -> Result<(), Error> {
    match name {
        Some(name) if find(cloud, name).is_none() => Err(no_such_name(name)),
        _ => Ok(()),
    }
}

/// What an instance is given of the key pair that its launch names.
pub(super) fn line(cloud: &Cloud<'_>, name: &str) -> Option<String> {
    find(cloud, name).map(|pair| public(pair).line(&pair.name))
}

fn public(pair: &KeyPair) -> PublicKey {
    PublicKey { kind: pair.key_type, blob: pair.public_key.clone() }
}

fn no_such_name(name: &str) -> Error {
    Error::new(KeyPairId::NOT_FOUND, format!("The key pair '{name}' does not exist"))
}

impl Handle for DeleteKeyPair {
    /// One that is not there is gone, too: AWS says yes.
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteKeyPairResponse, Error> {
        let found = match (self.key_name.as_deref(), self.key_pair_id) {
            (Some(_), Some(_)) => {
                let message = "KeyName cannot be used together with KeyPairId; leave one of them out";
                return Err(Error::invalid_combination(message));
            }
            (Some(name), None) => find(cloud, name).map(|pair| pair.id),
            (None, Some(id)) => cloud.owned::<KeyPair>(id).ok().map(|pair| pair.id),
            (None, None) => return Err(Error::missing_parameter("KeyName")),
        };
        if let Some(id) = found {
            cloud.delete::<KeyPair>(id);
        }
        Ok(DeleteKeyPairResponse { result: true, key_pair_id: found })
    }
}

impl Handle for DescribeKeyPairs {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeKeyPairsResponse, Error> {
        let mut ids = self.key_pair_ids;
        for name in &self.key_names {
            ids.push(find(cloud, name).ok_or_else(|| no_such_name(name))?.id);
        }
        let query = Query { ids: &ids, filters: &self.filters, page: Page::default() };
        let (found, _) = cloud.select::<KeyPair>(query, 5..=1000)?;
        let with_key = self.include_public_key == Some(true);
        Ok(DescribeKeyPairsResponse { key_set: found.iter().map(|pair| item(pair, with_key)).collect() })
    }
}

impl Describe for KeyPair {
    const FILTERS: &'static [&'static str] = &["fingerprint", "key-name", "key-pair-id"];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, _: &Cloud<'_>, filter: &str) -> Vec<String> {
        match filter {
            "fingerprint" => texts([&self.fingerprint]),
            "key-name" => texts([&self.name]),
            "key-pair-id" => texts([self.id]),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "key-pair-id" => Place::of_id(value),
            "key-name" => Place::of_name(value),
            _ => None,
        }
    }
}

fn item(pair: &KeyPair, with_key: bool) -> KeyPairItem {
    KeyPairItem {
        create_time: pair.created,
        key_fingerprint: pair.fingerprint.clone(),
        key_name: pair.name.clone(),
        key_pair_id: pair.id,
        key_type: pair.key_type.name(),
        public_key: with_key.then(|| public(pair).line(&pair.name)),
        tag_set: pair.tags.clone(),
    }
}
