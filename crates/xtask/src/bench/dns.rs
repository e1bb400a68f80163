//! `bench dns`: names, asked by one interface and by a hundred, beside dnsmasq and unbound.
//!
//! Every interface asks for one private name, 1,000 times a second: just below what it may (1,024). Peerway's ask from instances of one
//! host; the others' from one namespace over a wire, by as many processes. What counts is what is answered for each second of
//! processor that the answering processes used: what the kernel does for the others' packets is not in it, what Peerway's agent does for its
//! own is.

use std::fs::File;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::janitor::Janitor;
use super::network::{Namespace, veth};
use super::numbers::percentile;
use super::options::Options;
use super::peerway::{GENERATOR, Peerway, launch};
use super::process::{self, Usage};
use super::report::Report;
use super::tools;

/// Hidden word of the load generator.
pub(super) const WORD: &str = "names";
/// Questions a second and interface.
const RATE: u64 = 1000;
const INTERFACES: [usize; 2] = [1, 100];
const NAME: &str = "ip-10-16-1-10.ec2.internal";
const ADDRESS: &str = "10.16.1.10";
const RESOLVER: &str = "10.16.0.2";
const SERVER: &str = "198.18.0.1";
const LIFE_MAX: Duration = Duration::from_secs(90);
const READY: Duration = Duration::from_secs(10);
/// An answer later than this does not count.
const PATIENCE: Duration = Duration::from_millis(500);

const ANSWERS: &str = "answers/s";
const P50: &str = "answer p50, us";
const P99: &str = "answer p99, us";
const LOSS: &str = "unanswered, %";
const PER_CPU: &str = "answers per CPU-s of the server";

/// # Errors
/// When a peer cannot be set up or measured, named.
pub(super) fn run(options: &Options) -> Result<Report> {
    tools::need(&[("ip", "iproute2"), ("dnsmasq", "dnsmasq-base"), ("unbound", "unbound")], options)?;
    let janitor = Janitor::start()?;
    let directory = tools::directory(&janitor)?;
    let cloud = Cloud::new(&janitor, options, &directory)?;
    let servers = [Server::dnsmasq(&janitor)?, Server::unbound(&janitor, &directory)?];
    let mut report = Report::new("dns");
    report.fact(tools::machine());
    let (rounds, seconds) = (options.rounds, options.length.as_secs());
    report.fact(format!("{rounds} interleaved rounds of {seconds} s each; every interface asks {RATE} times a second"));
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for interfaces in INTERFACES {
            let metric =
                |what: &str| format!("{what}, {interfaces} interface{}", if interfaces == 1 { "" } else { "s" });
            let mut add = |name: &str, pid: u32, commands: Vec<Command>| -> Result<()> {
                let before = Usage::now(&[pid]);
                let counts = ask(commands, options.length).with_context(|| name.to_owned())?;
                let used = Usage::now(&[pid]).since(&before).processes.max(0.01);
                let answered: f64 = counts.iter().map(|count| count.answered).sum();
                let sent: f64 = counts.iter().map(|count| count.sent).sum();
                let worst = |of: fn(&Count) -> f64| counts.iter().map(of).fold(0.0, f64::max);
                report.add(name, &metric(ANSWERS), answered / options.length.as_secs_f64());
                report.add(name, &metric(P50), worst(|count| count.p50));
                report.add(name, &metric(P99), worst(|count| count.p99));
                report.add(name, &metric(LOSS), (1.0 - answered / sent) * 100.0);
                report.add(name, &metric(PER_CPU), answered / used);
                Ok(())
            };
            add("peerway", cloud.peerway.pid(), cloud.commands(interfaces, options.length))?;
            for server in &servers {
                add(server.name, server.child.id(), server.commands(interfaces, options.length)?)?;
            }
        }
    }
    for server in &servers {
        report.gate_ratio(&format!("{PER_CPU}, 100 interfaces"), "peerway", server.name, 1.0);
    }
    for server in servers {
        server.end();
    }
    Ok(report)
}

/// Instances in one VPC with host names.
struct Cloud {
    peerway: Peerway,
    instances: Vec<String>,
}

impl Cloud {
    fn new(janitor: &Janitor, options: &Options, directory: &std::path::Path) -> Result<Cloud> {
        let quota = ["--quota", "instances=200"];
        let peerway = Peerway::start(janitor, &tools::peerway(options)?, directory, &quota)?;
        let mut api = peerway.client();
        let vpc = api.ask("CreateVpc", &[("CidrBlock", "10.16.0.0/16")], "vpcId")?;
        api.call("ModifyVpcAttribute", &[("VpcId", &vpc), ("EnableDnsHostnames.Value", "true")])?;
        let subnet = api.ask("CreateSubnet", &[("VpcId", &vpc), ("CidrBlock", "10.16.1.0/24")], "subnetId")?;
        let most = INTERFACES.into_iter().max().unwrap_or(1);
        let mut instances = Vec::new();
        for n in 0..most {
            instances.push(launch(&mut api, &subnet, &format!("10.16.1.{}", 10 + n))?);
        }
        for instance in &instances {
            peerway.prepare(instance, None)?;
        }
        Ok(Cloud { peerway, instances })
    }

    fn commands(&self, interfaces: usize, length: Duration) -> Vec<Command> {
        let milliseconds = length.as_millis().to_string();
        let words = [GENERATOR, "bench", WORD, RESOLVER, &milliseconds];
        self.instances.iter().take(interfaces).map(|instance| self.peerway.exec(instance, &words)).collect()
    }
}

/// A resolver that knows the one name, at the end of a wire.
struct Server {
    name: &'static str,
    child: Child,
    client: Namespace,
    _server: Namespace,
}

impl Server {
    fn dnsmasq(janitor: &Janitor) -> Result<Server> {
        let host = format!("--host-record={NAME},{ADDRESS},60");
        let listen = format!("--listen-address={SERVER}");
        let words = [
            "dnsmasq",
            "--keep-in-foreground",
            "--no-daemon",
            "--no-resolv",
            "--no-hosts",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--bind-interfaces",
            "--user=root",
            &listen,
            &host,
        ];
        Server::start(janitor, "dnsmasq", "d", &words)
    }

    fn unbound(janitor: &Janitor, directory: &std::path::Path) -> Result<Server> {
        let file = directory.join("unbound.conf");
        let configuration = format!(
            "server:\n interface: {SERVER}\n access-control: 0.0.0.0/0 allow\n chroot: \"\"\n username: \"\"\n use-syslog: no\n \
             directory: \"/tmp\"\n pidfile: \"\"\n do-daemonize: no\n num-threads: 1\n module-config: \"iterator\"\n \
             local-zone: \"ec2.internal.\" static\n local-data: \"{NAME}. 60 IN A {ADDRESS}\"\nremote-control:\n control-enable: no\n"
        );
        std::fs::write(&file, configuration).context("cannot write unbound's configuration")?;
        let path = file.to_str().context("the directory's path is not UTF-8")?;
        Server::start(janitor, "unbound", "u", &["unbound", "-d", "-c", path])
    }

    fn start(janitor: &Janitor, name: &'static str, short: &str, words: &[&str]) -> Result<Server> {
        let server = Namespace::new(janitor, &format!("{short}s"))?;
        let client = Namespace::new(janitor, &format!("{short}c"))?;
        veth(&client, "eth0", &server, "eth0", 1500)?;
        server.address("eth0", &format!("{SERVER}/24"))?;
        client.address("eth0", "198.18.0.2/24")?;
        let mut command = server.command(words);
        let log = Stdio::from(File::options().write(true).open("/dev/null")?);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let child = child.with_context(|| format!("cannot start {name}"))?;
        janitor.owns_process(child.id())?;
        let started = Server { name, child, client, _server: server };
        let deadline = Instant::now() + READY;
        while ask(started.commands(1, Duration::from_millis(50))?, Duration::from_millis(50))?[0].answered < 1.0 {
            if Instant::now() >= deadline {
                bail!("{name} answers nothing after {READY:?}");
            }
        }
        Ok(started)
    }

    fn commands(&self, clients: usize, length: Duration) -> Result<Vec<Command>> {
        let program = std::env::current_exe().context("this program has no path")?;
        let program = program.to_str().context("this program's path is not UTF-8")?;
        let milliseconds = length.as_millis().to_string();
        let words = [program, "bench", WORD, SERVER, &milliseconds];
        Ok((0..clients).map(|_| self.client.command(&words)).collect())
    }

    fn end(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one generator saw.
struct Count {
    sent: f64,
    answered: f64,
    p50: f64,
    p99: f64,
}

/// Runs all generators at the same time.
fn ask(commands: Vec<Command>, length: Duration) -> Result<Vec<Count>> {
    std::thread::scope(|scope| {
        let running: Vec<_> = commands
            .into_iter()
            .map(|command| scope.spawn(move || process::succeed(command, length + LIFE_MAX)))
            .collect();
        let count = |said: String| {
            let mut numbers = said.split_ascii_whitespace().map(str::parse::<f64>);
            let mut next = || numbers.next().context("the generator said less than four numbers")?.context("a number");
            Ok(Count { sent: next()?, answered: next()?, p50: next()?, p99: next()? })
        };
        let said = running.into_iter().map(|one| match one.join() {
            Ok(said) => count(said?),
            Err(_) => bail!("a generator's thread ended in a panic"),
        });
        said.collect()
    })
}

/// Entry of the generator: `SERVER MILLISECONDS`. Says how many it asked, how many answers it got, and how long they took.
pub(super) fn main(words: &[&str]) -> Result<()> {
    let [server, milliseconds] = words else { bail!("expected SERVER MILLISECONDS") };
    let length = Duration::from_millis(milliseconds.parse()?).min(LIFE_MAX);
    let socket = UdpSocket::bind("0.0.0.0:0").context("no socket")?;
    socket.connect((*server, 53)).context("no way to the server")?;
    let between = Duration::from_micros(1_000_000 / RATE);
    let (began, mut sent, mut buffer) = (Instant::now(), 0_u32, [0; 1500]);
    let (mut asked, mut took) = (Vec::new(), Vec::new());
    loop {
        let next = between * sent;
        let (now, is_over) = (began.elapsed(), next >= length);
        if !is_over && now >= next {
            asked.push(Instant::now());
            // A server that is not up yet refuses; its silence is counted.
            let _ = socket.send(&question(u16::try_from(sent & 0xffff)?));
            sent += 1;
            continue;
        }
        if is_over && (took.len() == asked.len() || now > length + PATIENCE) {
            break;
        }
        let wait = if is_over { PATIENCE } else { next.saturating_sub(now) };
        socket.set_read_timeout(Some(wait.max(Duration::from_micros(50))))?;
        let Ok(len) = socket.recv(&mut buffer) else { continue };
        let id = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
        // Of numbers that came round, the last one.
        let latest = asked.len().saturating_sub(1);
        let at = latest - (latest.wrapping_sub(id) & 0xffff).min(latest);
        let is_good = len > 12 && buffer[3] & 0x0f == 0 && buffer[7] == 1;
        if let Some(asked) = asked.get(at).filter(|asked| is_good && asked.elapsed() <= PATIENCE) {
            took.push(asked.elapsed().as_secs_f64() * 1e6);
        }
    }
    let of = |percent| if took.is_empty() { 0.0 } else { percentile(&took, percent) };
    println!("{sent} {} {} {}", took.len(), of(50.0), of(99.0));
    Ok(())
}

fn question(id: u16) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in NAME.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_message_of_one_name() {
        let bytes = question(0x0102);
        assert_eq!(&bytes[..6], [1, 2, 1, 0, 0, 1]);
        assert_eq!(bytes.len(), 12 + NAME.len() + 2 + 4);
    }
}
