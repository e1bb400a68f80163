//! `peerway up --hosts 2`: two instances of one VPC on two simulated hosts, so that every packet between them is sealed.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::peer::Peer;
use super::peerway::{GENERATOR, Peerway, launch};

const NEAR: &str = "10.16.1.10";
const FAR: Ipv4Addr = Ipv4Addr::new(10, 16, 1, 11);

/// Members of one default security group, on two hosts; their MTU is the one that Peerway tells them.
pub(super) struct TwoHosts {
    cloud: Peerway,
    near: String,
    far: String,
    switches: [u32; 1],
}

impl TwoHosts {
    /// # Errors
    /// Also when both instances were put on one host: then no packet would be sealed.
    pub(super) fn new(cloud: Peerway) -> Result<TwoHosts> {
        let mut api = cloud.client();
        let vpc = api.ask("CreateVpc", &[("CidrBlock", "10.16.0.0/16")], "vpcId")?;
        let subnet = api.ask("CreateSubnet", &[("VpcId", &vpc), ("CidrBlock", "10.16.1.0/24")], "subnetId")?;
        let near = launch(&mut api, &subnet, NEAR)?;
        let far = launch(&mut api, &subnet, &FAR.to_string())?;
        for instance in [&near, &far] {
            cloud.prepare(instance, None)?;
        }
        let status = cloud.status()?;
        let place = |instance| {
            host_of(&status, instance).with_context(|| format!("`peerway status` names no host of instance {instance}"))
        };
        let hosts = [place(&near)?, place(&far)?];
        if hosts[0] == hosts[1] {
            bail!("both instances are on host {}: nothing between them would be sealed", hosts[0]);
        }
        Ok(TwoHosts { switches: [cloud.pid()], cloud, near, far })
    }
}

/// The host that runs an instance, from what `peerway status --output json` says: it stands beside the instance or around it.
fn host_of(status: &str, instance: &str) -> Option<String> {
    fn find<'v>(value: &'v Value, instance: &str, around: Option<&'v Value>) -> Option<&'v Value> {
        match value {
            Value::Array(items) => items.iter().find_map(|item| find(item, instance, around)),
            Value::Object(fields) => {
                let host = fields.get("host").or(around);
                if fields.get("instance").and_then(Value::as_str) == Some(instance) {
                    return host;
                }
                fields.values().find_map(|item| find(item, instance, host))
            }
            _ => None,
        }
    }
    let status: Value = serde_json::from_str(status).ok()?;
    let host = find(&status, instance, None)?;
    Some(host.as_str().map_or_else(|| host.to_string(), String::from))
}

impl Peer for TwoHosts {
    fn name(&self) -> &'static str {
        "peerway"
    }

    fn client(&self, argv: &[&str]) -> Result<Command> {
        Ok(self.cloud.exec(&self.near, argv))
    }

    fn server(&self, argv: &[&str]) -> Result<Command> {
        Ok(self.cloud.exec(&self.far, argv))
    }

    fn address(&self) -> Ipv4Addr {
        FAR
    }

    fn switches(&self) -> &[u32] {
        &self.switches
    }

    fn generator(&self) -> &str {
        GENERATOR
    }
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn hosts_stand_beside_or_around_an_instance() {
        let beside =
            r#"[{"host": "host-1", "instance": "i-1"}, {"instance": "i-2", "interfaces": [], "host": "host-2"}]"#;
        assert_eq!(host_of(beside, "i-2").as_deref(), Some("host-2"));
        let around = r#"{"hosts": [{"host": "a", "instances": [{"instance": "i-1"}]}, {"host": 2, "instances": [{"instance": "i-2"}]}]}"#;
        assert_eq!(host_of(around, "i-1").as_deref(), Some("a"));
        assert_eq!(host_of(around, "i-2").as_deref(), Some("2"));
        assert_eq!(host_of(around, "i-3"), None);
        assert_eq!(host_of(r#"[{"instance": "i-1"}]"#, "i-1"), None);
    }
}
