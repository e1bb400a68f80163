//! `peerway status`: what runs on this machine, what was dropped and why, and the links between hosts.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use agent::{HostStatus, InstanceStatus, LinkDirection, UplinkStatus};
use serde::Serialize;

use crate::agents;
use crate::cli::{Output, StatusOptions};
use crate::drops::{self, Filter};
use crate::host;
use crate::table::Table;

/// How long a cloud that starts or stops may run without an agent.
const PATIENCE: Duration = Duration::from_secs(1);

pub fn run(options: &StatusOptions) -> anyhow::Result<ExitCode> {
    let dirs = host::agent_dirs(options.data.as_deref())?;
    let Some(hosts) = ask(&dirs)? else {
        let data = dirs.first().and_then(|dir| dir.parent()).unwrap_or(Path::new("."));
        match options.output {
            Output::Json => println!("[]"),
            Output::Table => println!(
                "the control plane runs on {} without packets (--no-packets): its instances are records only, so there is nothing to \
                 count",
                data.display()
            ),
        }
        return Ok(ExitCode::SUCCESS);
    };
    let instances: Vec<&InstanceStatus> = hosts.iter().flat_map(|host| &host.instances).collect();
    let filter = Filter { of: options.of, reason: options.reason };
    let drops = if options.drops { drops::drops(&hosts, &filter) } else { Vec::new() };
    if options.uplink {
        let uplinks: Vec<&UplinkStatus> = hosts.iter().filter_map(|host| host.uplink.as_ref()).collect();
        match options.output {
            Output::Json => print_json(&uplinks)?,
            Output::Table => print_uplinks(&uplinks),
        }
        return Ok(ExitCode::SUCCESS);
    }
    match (options.output, options.links) {
        (Output::Json, true) => print_json(&hosts.iter().flat_map(links_of).collect::<Vec<_>>())?,
        (Output::Json, false) if options.drops => print_json(&drops)?,
        (Output::Json, false) => print_json(&instances)?,
        (Output::Table, true) => print_links(&hosts),
        (Output::Table, false) if filter.of.is_some() || filter.reason.is_some() => {}
        (Output::Table, false) => print_instances(&instances, hosts.len() > 1),
    }
    if options.drops && options.output == Output::Table {
        println!();
        print!("{}", drops::table(&drops));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the agents say; `None`: a control plane runs there, without an agent.
fn ask(dirs: &[PathBuf]) -> anyhow::Result<Option<Vec<HostStatus>>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match agents::status(dirs) {
            Ok(hosts) => return Ok(Some(hosts)),
            Err(error) if !dirs.iter().any(|dir| is_taken(dir)) => return Err(error),
            Err(_) if Instant::now() >= deadline => return Ok(None),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Whether a cloud without an agent holds the lock of the data directory that the agent's directory is in. A cloud that starts at this
/// very moment waits for longer than this looks.
fn is_taken(dir: &Path) -> bool {
    let Some(data) = dir.parent().filter(|_| !dir.join(agent::SOCKET_NAME).exists()) else { return false };
    let lock = File::open(data.join("lock"));
    lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn print_instances(instances: &[&InstanceStatus], has_hosts: bool) {
    let mut columns = vec!["instance", "interface", "address", "from guest", "to guest", "dropped", "limits"];
    columns.extend(has_hosts.then_some("host"));
    let mut table = Table::new(&columns);
    for instance in instances {
        for interface in &instance.interfaces {
            let dropped: u64 = interface.drops.iter().map(|(_, _, packets)| packets).sum();
            let mut row = vec![
                instance.instance.to_string(),
                interface.interface.to_string(),
                interface.address.clone(),
                interface.received.0.to_string(),
                interface.delivered.0.to_string(),
                dropped.to_string(),
                instance.limits.clone(),
            ];
            row.extend(has_hosts.then(|| instance.host.to_string()));
            table.row(&row);
        }
    }
    print!("{table}");
}

fn print_uplinks(uplinks: &[&UplinkStatus]) {
    if uplinks.is_empty() {
        println!("nothing leaves this cloud here: no agent was started with --uplink");
        return;
    }
    let mut table =
        Table::new(&["host", "device", "forwarding", "left", "came in", "dropped", "public addresses here"]);
    for uplink in uplinks {
        let dropped: Vec<String> =
            uplink.drops.iter().map(|(reason, _, packets)| format!("{packets} {reason}")).collect();
        let forwarding = match uplink.forwards {
            (true, true) => "IPv4, IPv6",
            (true, false) => "IPv4",
            (false, true) => "IPv6",
            (false, false) => "off: nothing leaves",
        };
        let addresses: Vec<String> = uplink.addresses.iter().map(ToString::to_string).collect();
        table.row(&[
            uplink.host.to_string(),
            uplink.device.clone(),
            forwarding.into(),
            uplink.sent.0.to_string(),
            uplink.received.0.to_string(),
            if dropped.is_empty() { "0".into() } else { dropped.join(", ") },
            addresses.join(" "),
        ]);
    }
    print!("{table}");
}

/// A link as one of its ends sees it.
#[derive(Serialize)]
struct LinkRow<'a> {
    of: String,
    path_mtu: u16,
    #[serde(flatten)]
    link: &'a agent::LinkStatus,
}

fn links_of(host: &HostStatus) -> impl Iterator<Item = LinkRow<'_>> {
    host.links.iter().map(|link| LinkRow { of: host.host.to_string(), path_mtu: host.path_mtu, link })
}

fn print_links(hosts: &[HostStatus]) {
    let mut table = Table::new(&[
        "host",
        "",
        "other host",
        "from",
        "to",
        "permitted by",
        "keys",
        "cipher",
        "post-quantum",
        "age",
        "rekeys",
        "packets",
        "bytes",
        "replayed",
        "not authentic",
        "mtu",
    ]);
    for LinkRow { of, path_mtu, link } in hosts.iter().flat_map(links_of) {
        let arrow = match link.direction {
            LinkDirection::Sending => "to",
            LinkDirection::Receiving => "from",
        };
        table.row(&[
            of,
            arrow.into(),
            link.host.to_string(),
            link.domain.from.to_string(),
            link.domain.to.to_string(),
            link.domain.scope.to_string(),
            link.associations.to_string(),
            link.cipher.clone(),
            if link.is_post_quantum { "yes" } else { "no" }.into(),
            format!("{} s", link.age.as_millis() / 1000),
            link.rekeys.to_string(),
            link.packets.to_string(),
            link.bytes.to_string(),
            link.replayed.to_string(),
            link.authentication_failures.to_string(),
            path_mtu.to_string(),
        ]);
    }
    print!("{table}");
    // What belongs to no link that there is.
    let reason = Some(drops::NOT_AUTHENTIC);
    let strays: Vec<_> = drops::drops(hosts, &Filter { of: None, reason }).into_iter().collect();
    if !strays.is_empty() {
        println!();
        print!("{}", drops::table(&strays));
    }
}
