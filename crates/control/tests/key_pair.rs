//! Key pairs through the API.

mod common;

use std::sync::Arc;

use common::*;
use control::ssh_key::PrivateKey;

/// A public key of RSA with 2,048 bits and one of Ed25519, as ssh-keygen wrote them.
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC1Bt5iuKz4qFU2SwfG0h9KeW4Z6e2fdGPbMb48XRitHz5GR7R9f5NeJLSQrukqyr3w1FEAdZ8PxVN+W1ocSMzagI3uK0zcmeBk6+eVtE/uKHAfOkjufQSqf/loMELECqXE/k6QPphH8TR2WIvB5sE8twHnNNPuwxsg01kpiDmRTQlp/uc5kLp5qROaOrQumS1w6b7D8UGRPgh7D1cKS7a0RI0mWVyRAoH/N3LPf+rx3Hgqi9quFBdfxkNTbueMdvU5HgC2CjbCDj0jCGqUonx/9UKBRHlRFylPoic1FIz0EsPzQ9JU3g1OXCXiVwiylAKRHzwB0wtz3TaygzxSZLJL someone";
const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJB0I7gUe19zdX0hj6O+4dt2VczY84SIKybchWVDkZmo someone";

/// For a query string.
fn encoded(line: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(line).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

fn import(cloud: &mut Harness, name: &str, line: &str) -> String {
    cloud.ok(ALICE, &format!("Action=ImportKeyPair&KeyName={name}&PublicKeyMaterial={}", encoded(line)))
}

#[test]
fn imported_keys_have_the_fingerprints_that_openssl_and_ssh_keygen_show() {
    let mut cloud = Harness::new();
    let made = import(&mut cloud, "rsa", RSA);
    assert_eq!(text(&made, "keyFingerprint"), "b8:bc:d8:e9:c3:14:a4:b1:46:d5:df:c4:a3:ae:4e:0e");
    let made = import(&mut cloud, "ed", ED25519);
    assert_eq!(text(&made, "keyFingerprint"), "pVLaY11VzuVuA/ApqXEqFxdLZTN7o7selUEoqcezN7M=");
    let shown = cloud.ok(ALICE, "Action=DescribeKeyPairs&KeyName.1=ed&IncludePublicKey=true");
    assert_eq!((text(&shown, "keyType"), text(&shown, "keyName")), ("ed25519".into(), "ed".into()));
    assert!(text(&shown, "publicKey").starts_with(ED25519.rsplit_once(' ').unwrap().0));
    let shown = cloud.ok(ALICE, "Action=DescribeKeyPairs&Filter.1.Name=key-name&Filter.1.Value.1=r*");
    assert_eq!(texts(&shown, "keyName"), ["rsa"]);
    assert!(texts(&shown, "publicKey").is_empty(), "it is shown to who asks for it");
}

#[test]
fn names_and_keys_that_are_refused() {
    let mut cloud = Harness::new();
    import(&mut cloud, "ops", ED25519);
    let key = encoded(ED25519);
    for (query, code) in [
        (format!("KeyName=ops&PublicKeyMaterial={key}"), "InvalidKeyPair.Duplicate"),
        (format!("KeyName=%20ops&PublicKeyMaterial={key}"), "InvalidParameterValue"),
        (format!("KeyName=&PublicKeyMaterial={key}"), "InvalidParameterValue"),
        (format!("KeyName={}&PublicKeyMaterial={key}", "x".repeat(256)), "InvalidParameterValue"),
        (format!("KeyName=b&PublicKeyMaterial={}", encoded("ssh-dss AAAA")), "InvalidKey.Format"),
        ("KeyName=b&PublicKeyMaterial=%21".into(), "InvalidParameterValue"),
        ("KeyName=b".into(), "MissingParameter"),
    ] {
        assert_eq!(cloud.code(ALICE, &format!("Action=ImportKeyPair&{query}")), code, "{query}");
    }
    cloud.config.quotas.key_pairs = 1;
    assert_eq!(
        cloud.code(ALICE, &format!("Action=ImportKeyPair&KeyName=b&PublicKeyMaterial={key}")),
        "KeyPairLimitExceeded"
    );
    assert_eq!(cloud.code(ALICE, "Action=DescribeKeyPairs&KeyName.1=b"), "InvalidKeyPair.NotFound");
    assert_eq!(cloud.code(BOB, "Action=DescribeKeyPairs&KeyName.1=ops"), "InvalidKeyPair.NotFound");
}

#[test]
fn a_private_key_is_shown_once_and_kept_nowhere() {
    let mut cloud = Harness::new();
    assert_eq!(cloud.code(ALICE, "Action=CreateKeyPair&KeyName=a&KeyType=ed25519"), "UnsupportedOperation");
    cloud.config.new_key = Some(Arc::new(PrivateKey::Ed25519 { seed: [7; 32], public: [9; 32] }));
    assert_eq!(cloud.code(ALICE, "Action=CreateKeyPair&KeyName=a&KeyType=dsa"), "InvalidParameterValue");
    assert_eq!(cloud.code(ALICE, "Action=CreateKeyPair&KeyName=a&KeyFormat=doc"), "InvalidParameterValue");
    let query = "Action=CreateKeyPair&KeyName=a&KeyType=ed25519&TagSpecification.1.ResourceType=key-pair\
                 &TagSpecification.1.Tag.1.Key=team&TagSpecification.1.Tag.1.Value=x";
    let made = cloud.ok(ALICE, query);
    let file = text(&made, "keyMaterial");
    assert!(
        file.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n")
            && file.ends_with("-----END OPENSSH PRIVATE KEY-----\n")
    );
    let kept = format!("{:?}", cloud.world);
    assert!(!kept.contains("PRIVATE") && !kept.contains("7, 7, 7, 7"), "the private half stays out of the World");
    let tags = cloud.ok(ALICE, "Action=DescribeTags&Filter.1.Name=resource-type&Filter.1.Value.1=key-pair");
    assert_eq!(texts(&tags, "key"), ["team"]);
    let other = cloud.ok(ALICE, "Action=CreateKeyPair&KeyName=b&KeyType=ed25519&KeyFormat=ppk");
    assert!(text(&other, "keyMaterial").starts_with("PuTTY-User-Key-File-2: ssh-ed25519"));
}

#[test]
fn deleting_is_for_the_owner_and_says_yes_twice() {
    let mut cloud = Harness::new();
    let id = text(&import(&mut cloud, "ops", ED25519), "keyPairId");
    cloud.ok(BOB, "Action=DeleteKeyPair&KeyName=ops");
    cloud.ok(BOB, &format!("Action=DeleteKeyPair&KeyPairId={id}"));
    assert_eq!(cloud.world.key_pairs.size(), 1);
    assert_eq!(text(&cloud.ok(ALICE, "Action=DeleteKeyPair&KeyName=ops"), "keyPairId"), id);
    assert!(texts(&cloud.ok(ALICE, "Action=DeleteKeyPair&KeyName=ops"), "keyPairId").is_empty());
    assert_eq!(cloud.world.key_pairs.size(), 0);
    assert_eq!(cloud.code(ALICE, "Action=DeleteKeyPair"), "MissingParameter");
}

#[test]
fn a_launch_names_a_key_that_is_there() {
    let mut cloud = Harness::new();
    cloud.ok(ALICE, "Action=CreateDefaultVpc");
    let launch = "Action=RunInstances&ImageId=ami-0123456789abcdef0&MinCount=1&MaxCount=1&KeyName=ops";
    assert_eq!(cloud.error(ALICE, launch).message, "The key pair 'ops' does not exist");
    import(&mut cloud, "ops", ED25519);
    let launched = cloud.ok(ALICE, launch);
    assert_eq!(text(&launched, "keyName"), "ops");
    // Its metadata tell the key as it was then, whatever becomes of the key pair.
    cloud.ok(ALICE, "Action=DeleteKeyPair&KeyName=ops");
    import(&mut cloud, "ops", RSA);
    let id: model::InstanceId = text(&launched, "instanceId").parse().unwrap();
    let public_key = cloud.world.find::<model::Instance>(&id).unwrap().public_key.clone();
    assert_eq!(public_key, Some(ED25519.replace("someone", "ops")));
}
