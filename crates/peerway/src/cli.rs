//! The command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use model::{AccountId, HostId, InstanceId, Ipv4Cidr, NetworkInterfaceId, Region};

use crate::drops::{Of, Reason};
use crate::metrics::Place;

/// VPCs and VPC peering on machines you own.
///
/// The control plane speaks the EC2 API, so the AWS CLI, boto3, Terraform and Ansible work unchanged; real packets move
/// between real endpoints.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Examples:
  peerway demo                       see it all once, with real packets
  peerway up                         start; then, in another shell:
    export AWS_ENDPOINT_URL=http://127.0.0.1:4588 AWS_ACCESS_KEY_ID=111111111111 AWS_SECRET_ACCESS_KEY=x AWS_DEFAULT_REGION=us-east-1
    aws ec2 create-vpc --cidr-block 10.16.0.0/16
  peerway exec i-0123... -- ping -c1 10.17.1.10
  peerway status                     what runs, what was dropped and why
  peerway capture eni-0123...        each packet of an interface, with its verdict
  peerway doctor                     what this machine allows
  peerway reach web db --port tcp/443
                                     why it is not reachable, and the commands that mend it"
)]
pub struct Cli {
    /// Say more on standard error; twice for every request, thrice for all.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start control plane and agent on this machine, in the foreground.
    Up(UpOptions),
    /// Play the mission with real packets: two accounts, two regions, one peering.
    Demo(DemoOptions),
    /// Run a command inside an instance.
    Exec(ExecOptions),
    /// Show what runs on this machine and what was dropped, by reason.
    Status(StatusOptions),
    /// Show or write the packets of an interface, each with its verdict, or what is sent between hosts.
    Capture(CaptureOptions),
    /// Say what this machine allows, by trying.
    Doctor(DoctorOptions),
    /// Say why A cannot reach B, and what mends it; or hold a file of expectations against the cloud.
    Reach(crate::reach::options::ReachOptions),
    /// Make access keys, and take them away.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Name accounts, and say who may assume which role.
    #[command(subcommand)]
    Account(crate::account::AccountCommand),
    /// Show what happened in the cloud, and what happens.
    Events(crate::events::EventsOptions),
    /// Start the control plane alone; hosts join it.
    Server(ServerOptions),
    /// Start the agent alone: this machine becomes a host of a control plane elsewhere.
    Agent(AgentOptions),
    /// Let hosts join.
    #[command(subcommand)]
    Token(TokenCommand),
    /// See which hosts joined, and cut one off.
    #[command(subcommand)]
    Host(HostCommand),
    /// Replace the key of the authority that certifies hosts, while packets go on.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Write the state of all regions and the cloud's keys into a directory, while it runs or not.
    Backup(BackupOptions),
    /// Make a data directory of a backup.
    Restore(RestoreOptions),
    /// End and remove what a killed run left on this machine.
    Gc(GcOptions),
    /// Write what helps to find a fault into a new directory, without secrets.
    SupportBundle(SupportBundleOptions),
    /// List the API's actions, and which are enforced, recorded, absent.
    Actions(ActionsOptions),
    /// Print a shell's completions.
    #[command(after_help = "Example:\n  peerway completions bash > /etc/bash_completion.d/peerway")]
    Completions { shell: clap_complete::Shell },
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway up
  peerway up --data ./cloud --listen 127.0.0.1:5000 --regions us-east-1,eu-west-1
  peerway up --hosts 3               three simulated hosts: every packet between them is sealed
  peerway up --no-packets            the API alone, on a machine that allows no more")]
pub struct UpOptions {
    /// Where state is kept [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
    /// Where the API listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4588")]
    pub listen: SocketAddr,
    /// The regions of this cloud; the first is home to accounts and keys
    #[arg(long, value_name = "REGION", value_delimiter = ',', default_value = "us-east-1,eu-west-1")]
    pub regions: Vec<Region>,
    /// The API alone: instances are records, no packet moves
    #[arg(long)]
    pub no_packets: bool,
    /// Only real access keys; else a 12-digit access key is that account
    #[arg(long)]
    pub strict_auth: bool,
    /// Refuse parameters that EC2 does not know, which are ignored and logged otherwise
    #[arg(long)]
    pub strict: bool,
    /// Allow the test-only action that moves the clock
    #[arg(long)]
    pub allow_clock: bool,
    /// Accounts begin without a VPC; else each has a default VPC in each region, from its first use on
    #[arg(long)]
    pub no_default_vpc: bool,
    #[command(flatten)]
    pub timing: crate::timing::TimingOptions,
    #[command(flatten)]
    pub api: crate::api_port::ApiPortOptions,
    #[command(flatten)]
    pub quotas: crate::quotas::QuotaOptions,
    /// Where public IPv4 addresses are taken from, each region a share; may be repeated [default: 203.0.113.0/24, 198.51.100.0/24 and
    /// 192.0.2.0/24]
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = public_pool)]
    pub public_pool: Vec<Ipv4Cidr>,
    #[command(flatten)]
    pub names: crate::names::NameOptions,
    /// Milliseconds that an answer waits for packets to follow it
    #[arg(long, value_name = "MS", default_value_t = 1000, env = "PEERWAY_WAIT", hide_env_values = true)]
    pub wait: u64,
    /// Threads that carry packets, of each host [default: one per processor, at most four]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub queues: Option<u16>,
    /// Let `peerway capture --esp-keys` show the keys between hosts: who has them reads all traffic. For tests
    #[arg(long)]
    pub allow_esp_keys: bool,
    /// Who is asked about names that are not this cloud's, such as 192.0.2.53; without it they are refused
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = dns_upstream)]
    pub dns_upstream: Option<SocketAddr>,
    /// Let packets leave the cloud, and come in for its public addresses, by a device of this name that the agent makes and the host
    /// forwards through, such as peerway0; without it nothing leaves
    #[arg(long, value_name = "DEVICE", value_parser = uplink)]
    pub uplink: Option<String>,
    /// Where Prometheus reads metrics, or off [default: 127.0.0.1:9477, if it is free]
    #[arg(long, value_name = "ADDRESS|off", env = "PEERWAY_METRICS", hide_env_values = true)]
    pub metrics: Option<Place>,
    #[command(flatten)]
    pub hosts: HostsOptions,
}

/// Simulated hosts on this machine.
#[derive(Clone, Debug, Args)]
pub struct HostsOptions {
    /// How many hosts to simulate; instances are spread over them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub hosts: u16,
    /// The largest packet between simulated hosts, in bytes; a guest's MTU is what sealing leaves of it, at most 9001. Below 1344
    /// instances have no IPv6
    #[arg(long, value_name = "BYTES", default_value_t = 1500, value_parser = clap::value_parser!(u16).range(1280..=65000))]
    pub underlay_mtu: u16,
    /// Whether the network between simulated hosts cuts and merges datagrams by itself, as good network cards do
    #[arg(long, value_enum, default_value_t = Offload::On)]
    pub underlay_offload: Offload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Offload {
    On,
    Off,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway demo
  peerway demo --hosts 3             the same, with every packet between hosts sealed
  peerway demo --story names         one host name: public before the peering, private after it
  peerway demo --output json
  peerway demo --keep                leave it running, to look around with peerway exec and the AWS CLI")]
pub struct DemoOptions {
    /// What is played
    #[arg(long, value_enum, default_value_t = Story::Peering)]
    pub story: Story,
    /// How to print the outcome
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Leave it running until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    pub hosts: HostsOptions,
    /// Where its state is kept [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Story {
    /// The mission: a peering of two accounts in two regions, from the request to its end
    Peering,
    /// One public host name, before and after a peering that allows DNS resolution, and as whom the server sees who calls
    Names,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway exec i-0123456789abcdef0 -- ping -c1 10.17.1.10
  peerway exec -t i-0123456789abcdef0 -- sh")]
pub struct ExecOptions {
    /// The instance, running on this machine
    pub instance: InstanceId,
    /// Give the command a terminal
    #[arg(short, long)]
    pub terminal: bool,
    /// The data directory of the running `peerway up` [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<std::ffi::OsString>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway status
  peerway status --drops --output json
  peerway status --drops --of eni-0123456789abcdef0 --reason D22
  peerway status --links")]
pub struct StatusOptions {
    /// The data directory of the running `peerway up` [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
    /// Also every reason for which packets were dropped, by interface
    #[arg(long)]
    pub drops: bool,
    /// Only the drops of an interface or an instance
    #[arg(long, value_name = "ENI|INSTANCE", requires = "drops")]
    pub of: Option<Of>,
    /// Only the drops for a reason, such as D22
    #[arg(long, value_name = "REASON", requires = "drops")]
    pub reason: Option<Reason>,
    /// The links to other hosts instead: cipher, age of the keys, what was sealed, opened and refused
    #[arg(long, conflicts_with = "drops")]
    pub links: bool,
    /// The ways out of the cloud instead: what left and came in, and what was refused
    #[arg(long, conflicts_with_all = ["drops", "links"])]
    pub uplink: bool,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway capture eni-0123456789abcdef0
  peerway capture eni-0123456789abcdef0 -w refused.pcapng --count 100
  peerway capture underlay --host host-1 --seconds 10
  peerway capture underlay --host host-1 -w link.pcapng --esp-keys esp_sa --keep
                                     with the keys to decrypt it, from `peerway up --allow-esp-keys`

Ctrl-C ends it; what was seen until then is written. In a file, the verdict is each packet's comment.")]
pub struct CaptureOptions {
    /// An interface that is plugged in on this machine, or `underlay`: the network between simulated hosts
    #[arg(value_name = "ENI|underlay", required_unless_present = "esp_keys")]
    pub target: Option<Target>,
    /// Write a pcapng file for Wireshark instead of a line for each packet; `-` is standard output
    #[arg(short, long, value_name = "FILE", requires = "target")]
    pub write: Option<PathBuf>,
    /// End after so many packets
    #[arg(long, value_name = "N", requires = "target", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after so many seconds
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub seconds: Option<u64>,
    /// Whose underlay or keys, such as host-1 [default: the only host]
    #[arg(long, value_name = "HOST")]
    pub host: Option<HostId>,
    /// Write the keys of the host's links to a new file, as Wireshark's table esp_sa, for as long as this command runs and at most ten
    /// minutes: who has it reads all that the host sends and receives
    #[arg(long, value_name = "FILE")]
    pub esp_keys: Option<PathBuf>,
    /// Leave the file of keys when this command ends
    #[arg(long, requires = "esp_keys")]
    pub keep: bool,
    /// The data directory of the running `peerway up` [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Interface(NetworkInterfaceId),
    Underlay,
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        if text == "underlay" {
            return Ok(Target::Underlay);
        }
        let id = text
            .parse()
            .map_err(|_| format!("`{text}` is neither an interface, such as eni-0123456789abcdef0, nor `underlay`"));
        id.map(Target::Interface)
    }
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway backup /var/backups/cloud-1
  peerway backup /var/backups/cloud-1 --data /var/lib/peerway-server

The files of instances are not in it. The backup holds keys: keep it as safe as the data directory.")]
pub struct BackupOptions {
    /// Where the backup is to be; a directory that is empty or not there yet
    pub to: PathBuf,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:
  peerway restore /var/backups/cloud-1 --data ./cloud
  peerway up --data ./cloud")]
pub struct RestoreOptions {
    /// What `peerway backup` made
    pub from: PathBuf,
    /// The data directory to be; empty or not there yet [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway gc
  peerway gc --data ./cloud --dry-run")]
pub struct GcOptions {
    /// The data directory of the run that was killed [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
    /// Only say what there is
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway support-bundle ./bundle
  peerway support-bundle ./bundle --data ./cloud --log peerway.log
  tar czf bundle.tar.gz bundle

Read it before you give it away: it names your networks, instances and hosts.")]
pub struct SupportBundleOptions {
    /// The directory to write; it must not be there yet
    pub to: PathBuf,
    /// The data directory [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
    /// Where metrics are read
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9477")]
    pub metrics: SocketAddr,
    /// A file of logs to take the end of; may be repeated [default: the journal of the systemd units, if there is one]
    #[arg(long, value_name = "FILE")]
    pub log: Vec<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an access key for an account, with the operator's key; its secret is shown once.
    Create(KeyCreateOptions),
    /// List long-term keys, without their secrets.
    List(crate::account::KeyListOptions),
    /// Refuse a key from now on; it can be enabled again.
    Disable(crate::account::KeyOptions),
    /// Take a disabled key again.
    Enable(crate::account::KeyOptions),
    /// Delete a key for good.
    Delete(crate::account::KeyOptions),
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway key create --account 111111111111
  peerway key create --account 111111111111 --endpoint http://127.0.0.1:5000 --data ./cloud --output json")]
pub struct KeyCreateOptions {
    /// Whose key it is to be: 12 digits
    #[arg(long, value_name = "ACCOUNT")]
    pub account: AccountId,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

/// How the operator reaches the control plane.
#[derive(Clone, Debug, Args)]
pub struct OperatorOptions {
    /// The data directory whose operator-key.json is used [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
    /// Where the API listens
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:4588",
        env = "AWS_ENDPOINT_URL",
        hide_env_values = true
    )]
    pub endpoint: String,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:
  peerway server --data /var/lib/peerway-server --hosts-listen 192.0.2.1:4589
  peerway token create --data /var/lib/peerway-server --host host-1")]
pub struct ServerOptions {
    /// Where state is kept [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
    /// Where the API listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4588")]
    pub listen: SocketAddr,
    /// Where hosts connect, by TLS; an address that they reach, such as 192.0.2.1:4589
    #[arg(long, value_name = "ADDRESS")]
    pub hosts_listen: SocketAddr,
    /// The regions of this cloud; the first is home to accounts, keys and hosts
    #[arg(long, value_name = "REGION", value_delimiter = ',', default_value = "us-east-1,eu-west-1")]
    pub regions: Vec<Region>,
    /// Accounts begin without a VPC; else each has a default VPC in each region, from its first use on
    #[arg(long)]
    pub no_default_vpc: bool,
    #[command(flatten)]
    pub timing: crate::timing::TimingOptions,
    #[command(flatten)]
    pub api: crate::api_port::ApiPortOptions,
    /// Refuse parameters that EC2 does not know, which are ignored and logged otherwise
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub quotas: crate::quotas::QuotaOptions,
    /// Where public IPv4 addresses are taken from, each region a share; may be repeated [default: 203.0.113.0/24, 198.51.100.0/24 and
    /// 192.0.2.0/24]
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = public_pool)]
    pub public_pool: Vec<Ipv4Cidr>,
    #[command(flatten)]
    pub names: crate::names::NameOptions,
    /// Milliseconds that an answer waits for packets to follow it
    #[arg(long, value_name = "MS", default_value_t = 1000, env = "PEERWAY_WAIT", hide_env_values = true)]
    pub wait: u64,
    /// Where Prometheus reads metrics, or off [default: 127.0.0.1:9477, if it is free]
    #[arg(long, value_name = "ADDRESS|off", env = "PEERWAY_METRICS", hide_env_values = true)]
    pub metrics: Option<Place>,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  PEERWAY_JOIN=peerway-join-... peerway agent --server 192.0.2.1:4589 --host host-1 --underlay 192.0.2.11
  peerway agent --server 192.0.2.1:4589 --host host-1 --underlay 192.0.2.11    once it has joined")]
pub struct AgentOptions {
    /// The control plane's port for hosts
    #[arg(long, value_name = "HOST:PORT")]
    pub server: String,
    /// The join token, at the first start; the variable is not seen by other users, the flag is
    #[arg(long, value_name = "TOKEN", env = "PEERWAY_JOIN", hide_env_values = true)]
    pub join: Option<String>,
    /// This host's name in the cloud
    #[arg(long, value_name = "NAME")]
    pub host: HostId,
    /// Where its certificate and its instances' files are kept [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
    /// The address of this machine at which other hosts reach it: UDP and TCP port 4500
    #[arg(long, value_name = "ADDRESS")]
    pub underlay: IpAddr,
    /// The largest packet on every path to other hosts, in bytes; a guest's MTU is what sealing leaves of it, at most 9001. Below 1344
    /// (1364 over IPv6) instances have no IPv6
    #[arg(long, value_name = "BYTES", default_value_t = 1500, value_parser = clap::value_parser!(u16).range(1280..=65000))]
    pub underlay_mtu: u16,
    /// Threads that carry packets [default: one per processor, at most four]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub queues: Option<u16>,
    /// Let `peerway capture --esp-keys` show the keys between hosts: who has them reads all traffic. For tests
    #[arg(long)]
    pub allow_esp_keys: bool,
    /// Who is asked about names that are not this cloud's, such as 192.0.2.53; without it they are refused
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = dns_upstream)]
    pub dns_upstream: Option<SocketAddr>,
    /// Let packets leave the cloud, and come in for its public addresses, by a device of this name that the agent makes and the host
    /// forwards through, such as peerway0; without it nothing leaves
    #[arg(long, value_name = "DEVICE", value_parser = uplink)]
    pub uplink: Option<String>,
    /// Where Prometheus reads metrics, or off [default: 127.0.0.1:9478, if it is free]
    #[arg(long, value_name = "ADDRESS|off", env = "PEERWAY_METRICS", hide_env_values = true)]
    pub metrics: Option<Place>,
    /// End the instances when the agent is stopped; without it they run on, and the next agent takes them over
    #[arg(long)]
    pub end_instances: bool,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  systemctl stop peerway-agent && peerway host clear --data /var/lib/peerway-agent")]
pub struct HostClearOptions {
    /// The data directory of an agent that is stopped [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a join token, with the operator's key; it is shown once and lets one host in.
    Create(TokenCreateOptions),
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway token create --host host-1
  peerway token create --ttl 10m --output json")]
pub struct TokenCreateOptions {
    /// The one host that it is for [default: any that has not joined yet]
    #[arg(long, value_name = "NAME")]
    pub host: Option<HostId>,
    /// How long it waits, such as 90s, 10m, 1h or 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = seconds)]
    pub ttl: i32,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

#[derive(Clone, Debug, Subcommand)]
pub enum HostCommand {
    /// List the hosts that joined.
    List(OperatorOptions),
    /// Cut a host off: the server and all other hosts refuse its key from now on.
    Revoke(HostRevokeOptions),
    /// End the instances that a stopped agent left running on this machine; their files stay.
    Clear(HostClearOptions),
}

#[derive(Clone, Debug, Subcommand)]
pub enum CaCommand {
    /// Show which key certifies, and which hosts a rotation waits for.
    Show(OperatorOptions),
    /// Make a new key: hosts are told to believe it, then it certifies, and when all have renewed the old one is believed no more.
    Rotate(CaRotateOptions),
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway ca rotate
  peerway ca rotate --wait 10m
  peerway ca show")]
pub struct CaRotateOptions {
    /// How long to wait for the end, such as 90s, 10m or 1h; the rotation goes on all the same
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = seconds)]
    pub wait: i32,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  peerway host revoke host-1")]
pub struct HostRevokeOptions {
    /// Its name
    pub host: HostId,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway actions
  peerway actions --output json

enforced: does what EC2's does, and packets obey where it concerns them
recorded: what it says is kept and shown, and nothing acts on it
absent:   InvalidAction, like every action that is not listed")]
pub struct ActionsOptions {
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Clone, Debug, Args)]
pub struct DoctorOptions {
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
}

/// Prints a shell's completions to standard output.
pub fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "peerway", &mut std::io::stdout());
}

/// An address, with the port if it is not 53.
fn dns_upstream(text: &str) -> Result<SocketAddr, String> {
    let whole = text.parse().or_else(|_| text.parse().map(|address: IpAddr| SocketAddr::new(address, 53)));
    whole.map_err(|_| format!("`{text}` is not an address such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353"))
}

/// A name that the kernel takes for a network device.
fn uplink(text: &str) -> Result<String, String> {
    let is_odd = |b: u8| b.is_ascii_whitespace() || b.is_ascii_control() || matches!(b, b'/' | b':' | b'%');
    let is_name = (1..16).contains(&text.len()) && !text.bytes().any(is_odd) && !matches!(text, "." | "..");
    is_name.then(|| text.to_owned()).ok_or_else(|| {
        format!("`{text}` is not a name for a device: 1 to 15 bytes without `/`, `:`, `%` and spaces, such as peerway0")
    })
}

/// A block whose addresses can stand for others on the internet.
fn public_pool(text: &str) -> Result<Ipv4Cidr, String> {
    let block: Ipv4Cidr = text.parse().map_err(|_| format!("`{text}` is not a block such as 203.0.113.0/24"))?;
    let is_usable = |address: Ipv4Addr| {
        let [a, b, ..] = address.octets();
        let is_shared = a == 100 && b & 0xc0 == 64;
        !(address.is_private() || is_shared || address.is_link_local() || matches!(a, 0 | 127 | 224..))
    };
    let is_public = block.prefix_len() >= 8 && is_usable(block.network()) && is_usable(block.last());
    is_public.then_some(block).ok_or_else(|| {
        format!(
            "`{text}` is not public: name a block of at most 2^24 addresses that are not private, shared or reserved"
        )
    })
}

/// A number with a unit, in seconds.
pub fn seconds(text: &str) -> Result<i32, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let parsed = units.into_iter().find_map(|(unit, each)| {
        let number = text.strip_suffix(unit)?.parse::<u16>().ok()?;
        Some(i32::from(number) * each)
    });
    parsed.filter(|seconds| *seconds > 0).ok_or_else(|| format!("`{text}` is not a time such as 90s, 10m, 1h or 7d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn captures_are_of_an_interface_or_the_underlay() {
        let parse = |arguments: &[&str]| Cli::try_parse_from([&["peerway", "capture"], arguments].concat());
        for good in
            [&["eni-0a1b2c3d"][..], &["underlay", "--host", "host-1", "-w", "f"], &["--esp-keys", "f", "--keep"]]
        {
            assert!(parse(good).is_ok(), "{good:?}");
        }
        for bad in [&[][..], &["eth0"], &["-w", "f"], &["underlay", "--keep"], &["underlay", "--count", "0"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!("eth0".parse::<Target>().is_err_and(|error| error.contains("underlay")));
    }

    #[test]
    fn an_uplink_is_a_device_that_can_be() {
        for good in ["peerway0", "up", "fifteen-bytes-x"] {
            assert_eq!(uplink(good).as_deref(), Ok(good));
        }
        for bad in ["", ".", "..", "a/b", "a b", "tap%d", "eth0:1", "sixteen-bytes-xx"] {
            assert!(uplink(bad).is_err_and(|error| error.contains("peerway0")), "{bad:?}");
        }
    }

    #[test]
    fn an_underlay_carries_at_least_what_every_ipv6_link_does() {
        let agent = ["agent", "--server", "192.0.2.1:4589", "--host", "host-1", "--underlay", "192.0.2.11"];
        for command in [&["up", "--hosts", "2"][..], &agent] {
            let parse = |mtu| Cli::try_parse_from([&["peerway"], command, &["--underlay-mtu", mtu]].concat());
            assert!(parse("1280").is_ok() && parse("65000").is_ok());
            assert!(parse("1279").is_err() && parse("65001").is_err());
        }
    }

    #[test]
    fn a_resolver_elsewhere_has_a_port_or_the_usual_one() {
        for (text, expected) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(dns_upstream(text), Ok(expected.parse().unwrap()));
        }
        assert!(dns_upstream("dns.example").unwrap_err().contains("192.0.2.53"));
    }

    #[test]
    fn times_have_a_unit() {
        for (text, expected) in [("90s", 90), ("10m", 600), ("1h", 3600), ("7d", 604_800)] {
            assert_eq!(seconds(text), Ok(expected));
        }
        for wrong in ["", "h", "1", "0s", "-1h", "1w", "1 h", "99999h"] {
            assert!(seconds(wrong).unwrap_err().contains("10m"), "{wrong}");
        }
    }

    #[test]
    fn a_pool_is_public() {
        assert_eq!(public_pool("198.51.100.0/25").map(|block| block.to_string()), Ok("198.51.100.0/25".into()));
        for wrong in ["10.0.0.0/24", "100.64.0.0/16", "169.254.0.0/24", "127.0.0.0/8", "240.0.0.0/8", "0.0.0.0/0", "x"]
        {
            assert!(public_pool(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
