//! What ends in a network namespace, whoever sends it: the routes of the local table (ip-route(8), rtnetlink(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::{Request, attributes, u32_at};
use super::{NLM_F_DUMP, NLM_F_REQUEST, Netlink, NetlinkError, parse_octets};

impl Netlink {
    /// First address and prefix length in bits of every block whose packets are not forwarded but end here: the namespace's own addresses,
    /// broadcast and anycast addresses.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_prefixes(&mut self) -> Result<Vec<(IpAddr, u8)>, NetlinkError> {
        let mut found = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            // struct rtmsg: family, destination and source prefix lengths, tos, table, protocol, scope, type, flags.
            let mut fixed = [0; 12];
            // AF_INET is 2, AF_INET6 is 10.
            fixed[0] = u8::try_from(family).unwrap_or_default();
            let request = Request::new(libc::RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, &fixed);
            found.extend(self.ask(request, "list routes", libc::RTM_NEWROUTE, parse_local)?);
        }
        Ok(found)
    }
}

/// `None`: of another table, or forwarded.
fn parse_local(payload: &[u8]) -> Option<(IpAddr, u8)> {
    let (family, prefix_len, kind) = (*payload.first()?, *payload.get(1)?, *payload.get(7)?);
    let (mut table, mut address) = (u32::from(*payload.get(4)?), None);
    for (kind, value) in attributes(payload.get(12..)?) {
        match kind {
            libc::RTA_TABLE => table = u32_at(value, 0)?,
            libc::RTA_DST => address = parse_octets(family, value),
            _ => {}
        }
    }
    let all: IpAddr = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let ends_here = matches!(kind, libc::RTN_LOCAL | libc::RTN_BROADCAST | libc::RTN_ANYCAST | libc::RTN_MULTICAST);
    (ends_here && table == u32::from(libc::RT_TABLE_LOCAL)).then(|| (address.unwrap_or(all), prefix_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(family: u8, len: u8, table: u8, kind: u8, address: Option<&[u8]>) -> Vec<u8> {
        let mut request = Request::new(0, 0, &[family, len, 0, 0, table, 0, 0, kind, 0, 0, 0, 0]);
        if let Some(address) = address {
            request.attribute(libc::RTA_DST, address);
        }
        request.finish(1)[16..].to_vec()
    }

    #[test]
    fn only_what_ends_here_is_found() {
        let own = parse_local(&message(2, 32, 255, 2, Some(&[9, 9, 8, 1])));
        assert_eq!(own, Some(([9, 9, 8, 1].into(), 32)));
        assert_eq!(parse_local(&message(2, 32, 255, 3, Some(&[9, 9, 8, 255]))), Some(([9, 9, 8, 255].into(), 32)));
        assert_eq!(parse_local(&message(10, 0, 255, 2, None)), Some((Ipv6Addr::UNSPECIFIED.into(), 0)));
        assert_eq!(parse_local(&message(2, 24, 254, 1, Some(&[9, 9, 8, 0]))), None, "forwarded");
        assert_eq!(parse_local(&message(2, 32, 100, 2, Some(&[9, 9, 8, 1]))), None, "another table");
        assert_eq!((parse_local(&[]), parse_local(&message(7, 0, 255, 2, None))), (None, None));
    }
}
