//! Key pairs.

use model::*;

use super::TagSpecification;
use crate::Filter;
use crate::value::Base64;

operation! {
    CreateKeyPair -> CreateKeyPairResponse {
        key_name: String = "KeyName",
        key_type: Option<String> = "KeyType",
        key_format: Option<String> = "KeyFormat",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    CreateKeyPairResponse {
        key_fingerprint: String = "keyFingerprint",
        /// The private key, which is shown here and nowhere else.
        key_material: Secret = "keyMaterial",
        key_name: String = "keyName",
        key_pair_id: KeyPairId = "keyPairId",
        tag_set: Tags = "tagSet",
    }
}

operation! {
    ImportKeyPair -> ImportKeyPairResponse {
        key_name: String = "KeyName",
        public_key_material: Base64 = "PublicKeyMaterial",
        tag_specifications: Vec<TagSpecification> = "TagSpecification",
    }
}

output! {
    ImportKeyPairResponse {
        key_fingerprint: String = "keyFingerprint",
        key_name: String = "keyName",
        key_pair_id: KeyPairId = "keyPairId",
        tag_set: Tags = "tagSet",
    }
}

operation! {
    DeleteKeyPair -> DeleteKeyPairResponse {
        key_name: Option<String> = "KeyName",
        key_pair_id: Option<KeyPairId> = "KeyPairId",
    }
}

output! {
    DeleteKeyPairResponse {
        result: bool = "return",
        key_pair_id: Option<KeyPairId> = "keyPairId",
    }
}

operation! {
    DescribeKeyPairs -> DescribeKeyPairsResponse {
        key_names: Vec<String> = "KeyName",
        key_pair_ids: Vec<KeyPairId> = "KeyPairId",
        include_public_key: Option<bool> = "IncludePublicKey",
        filters: Vec<Filter> = "Filter",
    }
}

output! {
    DescribeKeyPairsResponse {
        key_set: Vec<KeyPairItem> = "keySet",
    }
}

output! {
    KeyPairItem {
        create_time: Time = "createTime",
        key_fingerprint: String = "keyFingerprint",
        key_name: String = "keyName",
        key_pair_id: KeyPairId = "keyPairId",
        key_type: &'static str = "keyType",
        /// As in a file of authorized keys; only where it was asked for.
        public_key: Option<String> = "publicKey",
        tag_set: Tags = "tagSet",
    }
}
