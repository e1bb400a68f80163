//! What `peerway reach` is told.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway reach web db --port tcp/5432
  peerway reach i-0123456789abcdef0 10.17.1.10 --port tcp/443 --ip-version 4
  peerway reach 10.16.1.10@vpc-0123456789abcdef0 eni-0123456789abcdef0
  peerway reach subnet-0123456789abcdef0 10.17.1.0/24 --port tcp/443
  peerway reach web db --port tcp/5432 --what-if change.jsonl
  peerway reach --assert expectations.jsonl --output junit
  peerway reach web db --port tcp/5432 --probe

An end is an instance, an interface, an address, a private host name or a Name tag; of many, a subnet or a block such as 10.17.1.0/24. With AWS_ACCESS_KEY_ID in the environment that account
asks, and sees its own side; without, the operator. It ends with 0 if everything asked about is reachable (or as expected), with 1 if not,
with 2 if the question is wrong, with 3 if a real packet fared otherwise.")]
pub struct ReachOptions {
    /// Who sends
    #[arg(value_name = "SRC", required_unless_present = "assert")]
    pub source: Option<String>,
    /// For whom; an address is whoever has it where the packet goes
    #[arg(value_name = "DST", required_unless_present = "assert")]
    pub destination: Option<String>,
    /// tcp/443, udp/53, tcp/1-1024, tcp (any port), icmp (an echo), or a protocol number
    #[arg(long, value_name = "PROTOCOL[/PORT]", default_value = "icmp", value_parser = traffic)]
    pub port: Traffic,
    /// A source port or a range [default: those that Linux gives to clients]
    #[arg(long, value_name = "PORT", value_parser = ports)]
    pub source_port: Option<String>,
    /// 4, 6, or both: those that both ends have
    #[arg(long, value_enum, default_value_t = IpVersion::Both)]
    pub ip_version: IpVersion,
    /// Without the reply's way home
    #[arg(long)]
    pub one_way: bool,
    /// Expectations instead of one question: a JSON object a line, such as {"from": "web", "to": "db", "port": "tcp/5432", "expect": "allow"}
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source", "destination"])]
    pub assert: Option<PathBuf>,
    /// As if these API calls had been made: a JSON object a line, such as
    /// {"Action": "CreateRoute", "Account": "111111111111", "Region": "us-east-1", "RouteTableId": "rtb-..", ..}
    #[arg(long, value_name = "FILE")]
    pub what_if: Option<PathBuf>,
    /// Also send one real packet from the source's instance, which must run on this machine, and hold what becomes of it against the answer
    #[arg(long, conflicts_with_all = ["assert", "what_if"])]
    pub probe: bool,
    /// Wait, for at most an hour, for the next such packet that the source sends by itself, and say what became of it
    #[arg(long, conflicts_with_all = ["assert", "what_if", "probe"])]
    pub watch: bool,
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
    #[arg(long, value_enum, default_value_t = Form::Table)]
    pub output: Form,
}

/// How answers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Table,
    Json,
    /// A test report, for CI
    Junit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IpVersion {
    #[value(name = "4")]
    V4,
    #[value(name = "6")]
    V6,
    Both,
}

/// Protocol and destination ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    pub protocol: String,
    pub ports: Option<String>,
}

/// `tcp/443`
pub fn traffic(text: &str) -> Result<Traffic, String> {
    let (protocol, rest) = text.split_once('/').map_or((text, None), |(protocol, rest)| (protocol, Some(rest)));
    let protocol = protocol.to_ascii_lowercase();
    let has_ports = matches!(protocol.as_str(), "tcp" | "udp" | "6" | "17");
    let is_known = has_ports || matches!(protocol.as_str(), "icmp" | "icmpv6") || protocol.parse::<u8>().is_ok();
    if !is_known || (rest.is_some() && !has_ports) {
        return Err(format!("`{text}` is not a protocol such as tcp/443, udp/53, tcp, icmp or 50"));
    }
    Ok(Traffic { protocol, ports: rest.map(ports).transpose()? })
}

/// `443` or `1-1024`
pub fn ports(text: &str) -> Result<String, String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let pair = from.parse::<u16>().ok().zip(to.parse::<u16>().ok());
    let is_range = pair.is_some_and(|(from, to)| from <= to);
    if is_range { Ok(text.into()) } else { Err(format!("`{text}` is not a port or a range such as 1-1024")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_is_a_protocol_and_its_ports() {
        for (text, protocol, ports) in [
            ("tcp/443", "tcp", Some("443")),
            ("UDP/1-53", "udp", Some("1-53")),
            ("tcp", "tcp", None),
            ("icmp", "icmp", None),
            ("50", "50", None),
        ] {
            let expected = Traffic { protocol: protocol.into(), ports: ports.map(Into::into) };
            assert_eq!(traffic(text), Ok(expected));
        }
        for wrong in ["", "http", "tcp/", "tcp/x", "tcp/9-1", "tcp/65536", "icmp/8", "50/1", "256"] {
            assert!(traffic(wrong).is_err(), "{wrong}");
        }
    }
}
