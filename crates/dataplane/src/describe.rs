//! A frame on one line, for people: addresses, protocol, ports, what is special.

use std::fmt::Write;
use std::net::IpAddr;

use wire::arp::{Arp, Operation};
use wire::esp::{Datagram, Header};
use wire::{Ip, Kind, Packet, TcpFlags, Transport};

/// ESP in UDP (RFC 3948).
const ESP_PORT: u16 = 4500;

/// `10.16.1.10:40000 > 10.17.1.10:443 tcp S`. Takes any bytes; what cannot be read is named as that.
pub fn describe(frame: &[u8]) -> String {
    match Packet::parse(frame) {
        Ok(Packet { kind: Kind::Arp(arp), .. }) => of_arp(&arp),
        Ok(Packet { kind: Kind::Ip(ip), .. }) => of_ip(&ip, frame),
        Err(malformed) => format!("not carried: {malformed}"),
    }
}

fn of_arp(arp: &Arp) -> String {
    let Arp { operation, sender_mac, sender_ip, target_ip, .. } = arp;
    match operation {
        Operation::Request => format!("arp who has {target_ip}, asks {sender_ip}"),
        Operation::Reply => format!("arp {sender_ip} is at {sender_mac}"),
    }
}

fn of_ip(ip: &Ip, frame: &[u8]) -> String {
    let mut line = match ip.transport {
        Transport::Tcp { src_port, dst_port, flags } => {
            format!("{} tcp {}", between(ip, src_port, dst_port), letters(flags))
        }
        Transport::Udp { src_port, dst_port } => {
            let payload = frame.get(ip.payload..ip.end()).unwrap_or_default();
            let is_esp = src_port == ESP_PORT || dst_port == ESP_PORT;
            let what = match Datagram::parse(payload) {
                Ok(Datagram::Esp(Header { spi, sequence })) if is_esp => format!("esp spi {spi:#010x} seq {sequence}"),
                _ => "udp".into(),
            };
            format!("{} {what}", between(ip, src_port, dst_port))
        }
        Transport::Icmp { kind, code, id } => {
            let mut line = format!("{} > {} {}", ip.src, ip.dst, icmp(ip.src, kind, code));
            // Writing to a string never fails.
            let _ = id.map(|id| write!(line, " id {id}"));
            line
        }
        Transport::Other | Transport::InFirstFragment => format!("{} > {} protocol {}", ip.src, ip.dst, ip.protocol),
    };
    if let Some(fragment) = &ip.fragment {
        let more = if fragment.more { "+" } else { "" };
        let _ = write!(line, " fragment {}@{}{more}", fragment.id, fragment.offset);
    }
    line
}

fn between(ip: &Ip, src_port: u16, dst_port: u16) -> String {
    let socket = |address, port| std::net::SocketAddr::new(address, port);
    format!("{} > {}", socket(ip.src, src_port), socket(ip.dst, dst_port))
}

fn icmp(src: IpAddr, kind: u8, code: u8) -> String {
    let (name, echo, reply) = if src.is_ipv4() { ("icmp", 8, 0) } else { ("icmpv6", 128, 129) };
    match kind {
        kind if kind == echo => format!("{name} echo request"),
        kind if kind == reply => format!("{name} echo reply"),
        _ => format!("{name} type {kind} code {code}"),
    }
}

/// As tcpdump has them: `S`, `S.`, `P.`, `F.`, `R`.
fn letters(flags: TcpFlags) -> String {
    const LETTERS: &[(TcpFlags, char)] = &[
        (TcpFlags::FIN, 'F'),
        (TcpFlags::SYN, 'S'),
        (TcpFlags::RST, 'R'),
        (TcpFlags::PSH, 'P'),
        (TcpFlags::URG, 'U'),
        (TcpFlags::ECE, 'E'),
        (TcpFlags::CWR, 'W'),
        (TcpFlags::ACK, '.'),
    ];
    LETTERS.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ethernet::Link;
    use wire::{MacAddr, build};

    #[test]
    fn each_kind_on_one_line() {
        let link = Link { src: MacAddr([2; 6]), dst: MacAddr([4; 6]) };
        let (a, b) = ("10.16.1.10:40000".parse().unwrap(), "10.17.1.10:443".parse().unwrap());
        let tcp = build::tcp(link, a, b, TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0), b"");
        assert_eq!(describe(&tcp), "10.16.1.10:40000 > 10.17.1.10:443 tcp S.");
        let (x, y) = ("[2001:db8::1]:9".parse().unwrap(), "[2001:db8::2]:53".parse().unwrap());
        assert_eq!(describe(&build::udp(link, x, y, b"x")), "[2001:db8::1]:9 > [2001:db8::2]:53 udp");
        let ping = build::icmp_echo(link, "10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), true, 7, 1, b"x");
        assert_eq!(describe(&ping), "10.0.0.1 > 10.0.0.2 icmp echo request id 7");
        assert!(describe(&tcp[..20]).starts_with("not carried: "));
        assert!(describe(&[]).starts_with("not carried: "));
    }
}
