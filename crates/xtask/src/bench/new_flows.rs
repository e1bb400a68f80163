//! How many packets of new UDP flows a second does nftables let through, by how many rules stand before the one that admits?
//!
//! Three namespaces: a sender, a router that keeps state, a receiver that counts what its device gets. Each packet is of a flow
//! of its own. What a verdict costs is what a packet takes longer than through a router without rules and state. Everything is made
//! anew for each measurement: no flow of an earlier one is known.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};

use super::janitor::Janitor;
use super::network::{Namespace, veth};
use super::process;
use super::report::Report;

/// Hidden word of the sender.
pub(super) const WORD: &str = "new-flows";
const PEER: &str = "nftables";
const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 2);
/// Destination ports, which the last rule admits.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 2000;
/// Sockets, each with a source port of its own.
const SOCKETS: usize = 48;
/// Packets of one system call.
const BATCH: usize = 64;
/// Flows of one measurement: fewer than any kernel's table holds by default.
const FLOWS: usize = 60_000;
const LIFE_MAX: Duration = Duration::from_secs(20);

/// One round: without rules, then with as many as the groups of an interface may have.
pub(super) fn measure(janitor: &Janitor, length: Duration, report: &mut Report) -> Result<()> {
    let without = rate(janitor, None, length)?;
    report.add(PEER, "new flows a second, no rules and no state", without);
    for rules in [5, 300, 1000] {
        let with = rate(janitor, Some(rules), length)?;
        report.add(PEER, &format!("new flows a second, {rules} rules"), with);
        report.add(PEER, &format!("a new flow, {}, ns", groups(rules)), 1e9 / with - 1e9 / without);
    }
    Ok(())
}

/// As the measuring program calls them.
fn groups(rules: u16) -> String {
    format!("5 groups of {} rules", rules / 5)
}

/// Packets a second through a new router.
fn rate(janitor: &Janitor, rules: Option<u16>, length: Duration) -> Result<f64> {
    let [near, router, far] = ["fa", "fr", "fb"].map(|role| Namespace::new(janitor, role));
    let (near, router, far) = (near?, router?, far?);
    veth(&near, "eth0", &router, "near", 1500)?;
    veth(&far, "eth0", &router, "far", 1500)?;
    router.address("near", "198.18.0.1/24")?;
    router.address("far", "198.18.1.1/24")?;
    near.address("eth0", "198.18.0.2/24")?;
    far.address("eth0", &format!("{FAR}/24"))?;
    near.default_route("198.18.0.1")?;
    far.default_route("198.18.1.1")?;
    router.run(&["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])?;
    // What nobody listens for is not answered: it would be traffic, too.
    far.run(&["sysctl", "-q", "-w", "net.ipv4.icmp_ratelimit=100000", "net.ipv4.icmp_ratemask=8"])?;
    if let Some(rules) = rules {
        router.run(&["nft", &rule_set(rules)])?;
    }
    let program = std::env::current_exe().context("this program has no path")?;
    let program = program.to_str().context("this program's path is not UTF-8")?;
    let milliseconds = length.min(LIFE_MAX).as_millis().to_string();
    let before = received(&far)?;
    let said = process::succeed(near.command(&[program, "bench", WORD, &milliseconds]), LIFE_MAX * 2)?;
    let (sent, seconds) = said.trim().split_once(' ').context("the sender's count")?;
    let (sent, seconds) = (sent.parse::<f64>()?, seconds.parse::<f64>()?);
    // The last ones are still on their way.
    std::thread::sleep(Duration::from_millis(50));
    let arrived = received(&far)? - before;
    for namespace in [near, router, far] {
        namespace.remove()?;
    }
    if arrived < sent * 0.5 {
        bail!("of {sent} packets {arrived} came through: the rules or the table of flows stopped them");
    }
    Ok(arrived / seconds)
}

/// What Peerway's groups say, as a stateful firewall is written: rules that match nothing, then the one that does.
fn rule_set(rules: u16) -> String {
    let last = FIRST_PORT + PORTS;
    let other =
        |n: u16| format!("ip saddr 172.{}.{}.0/24 udp dport {FIRST_PORT}-{last} accept\n", 16 + n / 256, n % 256);
    let others: String = (1..rules).map(other).collect();
    format!(
        "table ip bench {{
chain forwarded {{
type filter hook forward priority 0; policy drop;
ct state established,related accept
{others}ip saddr 198.18.0.0/24 udp dport {FIRST_PORT}-{last} accept
}}
}}"
    )
}

fn received(far: &Namespace) -> Result<f64> {
    Ok(far.run(&["cat", "/sys/class/net/eth0/statistics/rx_packets"])?.trim().parse()?)
}

/// Entry of the sender: a packet of each flow once, for so many milliseconds at most; says how many it sent in how many seconds.
pub(super) fn main(words: &[&str]) -> Result<()> {
    let [milliseconds] = words else { bail!("expected MILLISECONDS") };
    let length = Duration::from_millis(milliseconds.parse()?).min(LIFE_MAX);
    let sockets: Vec<UdpSocket> = (0..SOCKETS).map(|_| UdpSocket::bind("0.0.0.0:0")).collect::<Result<_, _>>()?;
    let to = |n: usize| {
        let port = FIRST_PORT + u16::try_from(n % usize::from(PORTS)).unwrap_or(0);
        Some(SockaddrIn::from(SocketAddrV4::new(FAR, port)))
    };
    let payload = [0x50; 64];
    let slices = [[IoSlice::new(&payload)]; BATCH];
    let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let (started, mut sent) = (Instant::now(), 0);
    while started.elapsed() < length && sent + BATCH <= FLOWS {
        // The ports of one socket, then those of the next: no pair comes twice.
        let socket = &sockets[sent / usize::from(PORTS) % SOCKETS];
        let addresses: Vec<Option<SockaddrIn>> = (sent..sent + BATCH).map(to).collect();
        match sendmmsg(socket.as_raw_fd(), &mut headers, &slices, addresses, [], MsgFlags::empty()) {
            Ok(batch) => sent += batch.count(),
            Err(Errno::ENOBUFS | Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => {}
            Err(error) => return Err(error).context("cannot send"),
        }
    }
    println!("{sent} {}", started.elapsed().as_secs_f64());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admitting_rule_is_the_last_of_so_many() {
        for rules in [5, 300, 1000] {
            let text = rule_set(rules);
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("ip saddr")).collect();
            assert_eq!(lines.len(), usize::from(rules));
            assert!(
                lines.iter().rev().skip(1).all(|line| line.contains("172."))
                    && lines[lines.len() - 1].contains("198.18")
            );
        }
        assert!(FLOWS <= SOCKETS * usize::from(PORTS), "every packet is of a flow of its own");
        assert_eq!(groups(1000), "5 groups of 200 rules");
    }
}
