//! What there is to be told about an instance, by path: the categories of EC2's instance metadata that mean something here.

use std::collections::BTreeMap;

use model::Instance;

use super::subject::{Attached, Subject};

/// Versions of the tree by which it may be asked for; all are the same tree. `latest` is one, too.
pub(crate) const VERSIONS: [&str; 29] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-07-09",
    "2022-09-24",
    "latest",
];

const ARCHITECTURE: &str = "x86_64";
const DOCUMENT_VERSION: &str = "2017-09-30";

/// Every path below a version, without the slash in front, and what stands there. A path with a slash behind has a list of its own.
pub(crate) struct Tree(BTreeMap<String, Vec<u8>>);

impl Tree {
    pub(crate) fn of(subject: &Subject<'_>) -> Tree {
        let mut tree = Tree(BTreeMap::new());
        let instance = subject.instance;
        tree.instance(instance);
        if let Some(primary) = subject.primary() {
            tree.put("dynamic/instance-identity/document", &identity_document(instance, primary));
            tree.primary(primary);
        }
        for attached in &subject.interfaces {
            tree.interface(attached);
        }
        if instance.metadata.shows_tags {
            for (key, value) in &instance.tags {
                tree.put(&format!("meta-data/tags/instance/{key}"), value);
            }
        }
        if !instance.user_data.is_empty() {
            tree.0.insert("user-data".into(), instance.user_data.clone());
        }
        tree
    }

    /// What stands at a path, or the names below it; `None`: there is nothing.
    pub(crate) fn get(&self, path: &str) -> Option<Vec<u8>> {
        let path = path.trim_matches('/');
        if let Some(value) = self.0.get(path) {
            return Some(value.clone());
        }
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        if let Some(list) = self.0.get(&prefix) {
            return Some(list.clone());
        }
        let below = self.0.range(prefix.clone()..).map_while(|(key, _)| key.strip_prefix(prefix.as_str()));
        let mut names: Vec<String> = below
            .map(|rest| match rest.split_once('/') {
                // The highest level is listed without slashes, as EC2 does.
                Some((name, _)) if prefix.is_empty() => name.into(),
                Some((name, _)) => format!("{name}/"),
                None => rest.into(),
            })
            .collect();
        names.dedup();
        (!names.is_empty()).then(|| names.join("\n").into_bytes())
    }

    fn put(&mut self, path: &str, value: &impl ToString) {
        self.0.insert(path.into(), value.to_string().into_bytes());
    }

    fn instance(&mut self, instance: &Instance) {
        let zone = instance.zone;
        for (name, value) in [
            ("ami-id", instance.image.to_string()),
            ("ami-launch-index", instance.launch_index.to_string()),
            ("ami-manifest-path", "(unknown)".into()),
            ("instance-action", "none".into()),
            ("instance-id", instance.id.to_string()),
            ("instance-life-cycle", "on-demand".into()),
            ("instance-type", instance.instance_type.clone()),
            ("placement/availability-zone", zone.to_string()),
            ("placement/availability-zone-id", zone.id()),
            ("placement/region", zone.region().to_string()),
            ("profile", "default-hvm".into()),
            ("reservation-id", instance.reservation.to_string()),
            ("services/domain", "amazonaws.com".into()),
            ("services/partition", "aws".into()),
        ] {
            self.put(&format!("meta-data/{name}"), &value);
        }
        if let (Some(name), Some(public_key)) = (&instance.key_name, &instance.public_key) {
            self.put("meta-data/public-keys/", &format!("0={name}"));
            self.put("meta-data/public-keys/0/openssh-key", public_key);
        }
    }

    fn primary(&mut self, primary: &Attached<'_>) {
        let interface = primary.interface;
        let own = interface.primary_ip();
        let public = interface.public.iter().find(|association| association.private == own);
        let hostname = primary.local_hostname();
        self.put("meta-data/hostname", &hostname);
        self.put("meta-data/local-hostname", &hostname);
        self.put("meta-data/local-ipv4", &own);
        self.put("meta-data/mac", &interface.mac);
        self.put("meta-data/security-groups", &lines(primary.groups().map(|group| &group.name)));
        if let Some(ipv6) = interface.ipv6_addresses.first() {
            self.put("meta-data/ipv6", ipv6);
        }
        if let Some(association) = public {
            self.put("meta-data/public-ipv4", &association.public);
            if let Some(name) = primary.public_hostname(association.public) {
                self.put("meta-data/public-hostname", &name);
            }
        }
    }

    fn interface(&mut self, attached: &Attached<'_>) {
        let Attached { slice, interface, device_index, .. } = attached;
        let vpc = &slice.vpc;
        let base = format!("meta-data/network/interfaces/macs/{}", interface.mac);
        let mut put = |name: &str, value: String| self.put(&format!("{base}/{name}"), &value);
        put("device-number", device_index.to_string());
        put("interface-id", interface.id.to_string());
        put("local-hostname", attached.local_hostname());
        put("local-ipv4s", lines(&interface.private_ips));
        put("mac", interface.mac.to_string());
        put("owner-id", interface.owner.to_string());
        put("security-group-ids", lines(&interface.groups));
        put("security-groups", lines(attached.groups().map(|group| &group.name)));
        put("subnet-id", interface.subnet.to_string());
        put("vpc-id", interface.vpc.to_string());
        put("vpc-ipv4-cidr-block", vpc.primary_cidr().to_string());
        put("vpc-ipv4-cidr-blocks", lines(vpc.cidrs.iter().map(|block| block.cidr)));
        if !vpc.ipv6_cidrs.is_empty() {
            put("vpc-ipv6-cidr-blocks", lines(vpc.ipv6_cidrs.iter().map(|block| block.cidr)));
        }
        if let Some(subnet) = attached.subnet() {
            put("subnet-ipv4-cidr-block", subnet.cidr.to_string());
            if let Some(ipv6) = subnet.ipv6 {
                put("subnet-ipv6-cidr-blocks", ipv6.cidr.to_string());
            }
        }
        if !interface.ipv6_addresses.is_empty() {
            put("ipv6s", lines(&interface.ipv6_addresses));
        }
        for association in &interface.public {
            put(&format!("ipv4-associations/{}", association.public), association.private.to_string());
        }
        if let Some(first) = interface.public.first() {
            put("public-ipv4s", lines(interface.public.iter().map(|association| association.public)));
            if let Some(name) = attached.public_hostname(first.public) {
                put("public-hostname", name);
            }
        }
    }
}

fn lines(values: impl IntoIterator<Item = impl ToString>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join("\n")
}

/// As EC2 writes it, without a signature: there is no authority that could give one.
fn identity_document(instance: &Instance, primary: &Attached<'_>) -> String {
    let launched = instance.launched.to_string();
    let launched = launched.split_once('.').map_or(launched.clone(), |(seconds, _)| format!("{seconds}Z"));
    let document = serde_json::json!({
        "accountId": instance.owner,
        "architecture": ARCHITECTURE,
        "availabilityZone": instance.zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "imageId": instance.image,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": null,
        "marketplaceProductCodes": null,
        "pendingTime": launched,
        "privateIp": primary.interface.primary_ip(),
        "ramdiskId": null,
        "region": primary.region(),
        "version": DOCUMENT_VERSION,
    });
    format!("{document:#}")
}
