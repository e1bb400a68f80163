//! `peerway up` with a data directory and a port of its own, and two instances in two peered VPCs made through its API.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::http::Client;
use super::janitor::Janitor;
use super::peer::Peer;
use super::process;

pub(super) const REGION: &str = "us-east-1";
/// Where the load generator lies in an instance.
pub(super) const GENERATOR: &str = "/root/load-generator";
const FAR: Ipv4Addr = Ipv4Addr::new(10, 17, 1, 10);
/// How long the program, then an instance, has to come up.
const READY: Duration = Duration::from_secs(30);

/// A running `peerway up`; the janitor ends it.
pub(super) struct Peerway {
    program: PathBuf,
    data: PathBuf,
    pub(super) address: SocketAddr,
    pid: u32,
    /// Keeps its standard output open.
    _said: Receiver<String>,
}

impl Peerway {
    /// Starts it with a data directory below `directory`, which must be the run's own.
    pub(super) fn start(janitor: &Janitor, program: &Path, directory: &Path, words: &[&str]) -> Result<Peerway> {
        let data = directory.join("peerway");
        let log = directory.join("peerway.log");
        let mut command = Command::new(program);
        command.args(["up", "--no-default-vpc", "--data"]).arg(&data).args(["--listen", "127.0.0.1:0"]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(File::create(&log)?));
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        janitor.owns_process(child.id())?;
        let said = process::lines(child.stdout.take().context("`peerway up` has no output")?);
        let first = said.recv_timeout(READY);
        let complaint =
            || format!("`peerway up` does not come up: {}", std::fs::read_to_string(&log).unwrap_or_default().trim());
        let address =
            first.ok().and_then(|line| line.strip_prefix("endpoint http://")?.parse().ok()).with_context(complaint)?;
        Ok(Peerway { program: program.into(), data, address, pid: child.id(), _said: said })
    }

    pub(super) fn client(&self) -> Client {
        Client::new(self.address, REGION)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn exec(&self, instance: &str, argv: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("exec").arg("--data").arg(&self.data).args([instance, "--"]).args(argv);
        command
    }

    /// What `peerway status --output json` says.
    pub(super) fn status(&self) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.arg("status").arg("--data").arg(&self.data).args(["--output", "json"]);
        process::succeed(command, READY)
    }

    /// Waits for the instance, gives it the load generator and, if one is named, another MTU than it was told.
    pub(super) fn prepare(&self, instance: &str, mtu: Option<u32>) -> Result<()> {
        let deadline = Instant::now() + READY;
        loop {
            let outcome = process::finish(self.exec(instance, &["true"]), READY)?;
            if outcome.status.success() {
                break;
            }
            if Instant::now() >= deadline {
                bail!(
                    "instance {instance} is not up after {READY:?}: {}{}",
                    outcome.stdout.trim(),
                    outcome.stderr.trim()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if let Some(mtu) = mtu {
            process::succeed(self.exec(instance, &["ip", "link", "set", "eth0", "mtu", &mtu.to_string()]), READY)?;
        }
        let copy = format!("cat > {GENERATOR} && chmod 755 {GENERATOR}");
        let program = std::env::current_exe().context("this program has no path")?;
        let mut command = self.exec(instance, &["sh", "-c", &copy]);
        let status = command.stdin(Stdio::from(File::open(program)?)).status().context("cannot start peerway")?;
        if !status.success() {
            bail!("the load generator cannot be copied to instance {instance} ({status})");
        }
        Ok(())
    }
}

/// Launches an instance; its id.
pub(super) fn launch(api: &mut Client, subnet: &str, address: &str) -> Result<String> {
    let launch = [
        ("ImageId", "ami-0123456789abcdef0"),
        ("InstanceType", "t3.micro"),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("SubnetId", subnet),
        ("PrivateIpAddress", address),
    ];
    api.ask("RunInstances", &launch, "instanceId")
}

/// Instances in two peered VPCs of one account; each default security group lets the other's network in.
pub(super) struct TwoInstances {
    cloud: Peerway,
    pub(super) near: String,
    pub(super) far: String,
    switches: [u32; 1],
    /// The near VPC's main route table, and the peering that it leads to.
    pub(super) route_table: String,
    pub(super) peering: String,
}

/// The far VPC's network.
pub(super) const FAR_NETWORK: &str = "10.17.0.0/16";

impl TwoInstances {
    pub(super) fn new(cloud: Peerway, mtu: u32) -> Result<TwoInstances> {
        let mut api = cloud.client();
        let near = Side::new(&mut api, "10.16")?;
        let far = Side::new(&mut api, "10.17")?;
        let request = [("VpcId", near.vpc.as_str()), ("PeerVpcId", far.vpc.as_str())];
        let peering = api.ask("CreateVpcPeeringConnection", &request, "vpcPeeringConnectionId")?;
        let id = ("VpcPeeringConnectionId", peering.as_str());
        api.call("AcceptVpcPeeringConnection", &[id])?;
        for (side, network) in [(&near, FAR_NETWORK), (&far, "10.16.0.0/16")] {
            api.call("CreateRoute", &[("RouteTableId", &side.route_table), ("DestinationCidrBlock", network), id])?;
        }
        let instances = TwoInstances {
            switches: [cloud.pid],
            cloud,
            near: near.instance,
            far: far.instance,
            route_table: near.route_table,
            peering,
        };
        for instance in [&instances.near, &instances.far] {
            instances.cloud.prepare(instance, Some(mtu))?;
        }
        Ok(instances)
    }

    pub(super) fn client_of_api(&self) -> Client {
        self.cloud.client()
    }
}

/// One VPC with a subnet and an instance at `.1.10` in it.
struct Side {
    vpc: String,
    route_table: String,
    instance: String,
}

impl Side {
    /// `network` are the first two numbers of its /16.
    fn new(api: &mut Client, network: &str) -> Result<Side> {
        let vpc = api.ask("CreateVpc", &[("CidrBlock", &format!("{network}.0.0/16"))], "vpcId")?;
        let block = format!("{network}.1.0/24");
        let subnet = api.ask("CreateSubnet", &[("VpcId", &vpc), ("CidrBlock", &block)], "subnetId")?;
        let of_vpc = [("Filter.1.Name", "vpc-id"), ("Filter.1.Value.1", vpc.as_str())];
        let group = api.ask("DescribeSecurityGroups", &of_vpc, "groupId")?;
        let rule = [
            ("GroupId", group.as_str()),
            ("IpPermissions.1.IpProtocol", "-1"),
            ("IpPermissions.1.IpRanges.1.CidrIp", "10.16.0.0/15"),
        ];
        api.call("AuthorizeSecurityGroupIngress", &rule)?;
        let route_table = api.ask("DescribeRouteTables", &of_vpc, "routeTableId")?;
        let address = format!("{network}.1.10");
        let instance = launch(api, &subnet, &address)?;
        Ok(Side { vpc, route_table, instance })
    }
}

impl Peer for TwoInstances {
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
