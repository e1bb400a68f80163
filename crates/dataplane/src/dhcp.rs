//! What does a VPC's set of DHCP options say? The one reading of it, for leases, router advertisements and instances' files
//! (spec 2.6; RFC 2132, RFC 8415).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::intent::VpcSlice;

use crate::router::RESOLVER_V6;
use crate::router::dhcpv6::PREFERRED_SECS;

/// Resolvers, and servers of any other kind, that are named at most (spec 2.6).
const SERVERS_MAX: usize = 4;
/// The longest domain name, or list of them, that fits an option (RFC 2132).
const DOMAIN_LEN_MAX: usize = 255;
const AMAZON_PROVIDED_DNS: &str = "AmazonProvidedDNS";

/// A VPC's options. No set at all (`AssociateDhcpOptions default`) says nothing: neither a resolver nor a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpSettings {
    /// In the user's order; `AmazonProvidedDNS` is the VPC's own resolver.
    pub dns_servers: Vec<Ipv4Addr>,
    /// The same for IPv6.
    pub dns_servers_v6: Vec<Ipv6Addr>,
    /// As it was written: one name, or several with spaces between them. Empty: none.
    pub domain_name: String,
    pub ntp_servers: Vec<Ipv4Addr>,
    pub ntp_servers_v6: Vec<Ipv6Addr>,
    pub netbios_name_servers: Vec<Ipv4Addr>,
    /// 1, 2, 4 or 8 (RFC 2132 8.7).
    pub netbios_node_type: Option<u8>,
    /// How long an IPv6 address is preferred.
    pub ipv6_preferred_secs: u32,
}

impl Default for DhcpSettings {
    fn default() -> DhcpSettings {
        DhcpSettings {
            dns_servers: Vec::new(),
            dns_servers_v6: Vec::new(),
            domain_name: String::new(),
            ntp_servers: Vec::new(),
            ntp_servers_v6: Vec::new(),
            netbios_name_servers: Vec::new(),
            netbios_node_type: None,
            ipv6_preferred_secs: PREFERRED_SECS,
        }
    }
}

impl DhcpSettings {
    /// What holds in a VPC.
    pub fn of(slice: &VpcSlice) -> DhcpSettings {
        let Some(set) = &slice.dhcp_options else { return DhcpSettings::default() };
        let values = |name: &str| {
            let of_name = set.configuration.iter().filter(move |(key, _)| key == name);
            of_name.flat_map(|(_, values)| values.iter().map(String::as_str)).take(SERVERS_MAX).collect::<Vec<_>>()
        };
        let resolver = |text: &&str| (**text == *AMAZON_PROVIDED_DNS).then(|| slice.vpc.resolver());
        let resolver_v6 = |text: &&str| (**text == *AMAZON_PROVIDED_DNS).then_some(RESOLVER_V6);
        let domain = values("domain-name").first().copied().filter(|name| name.len() <= DOMAIN_LEN_MAX);
        let preferred = values("ipv6-address-preferred-lease-time").first().and_then(|text| text.parse().ok());
        DhcpSettings {
            dns_servers: values("domain-name-servers")
                .iter()
                .filter_map(|text| resolver(text).or_else(|| v4(text)))
                .collect(),
            dns_servers_v6: values("domain-name-servers")
                .iter()
                .filter_map(|text| resolver_v6(text).or_else(|| v6(text)))
                .collect(),
            domain_name: domain.unwrap_or_default().into(),
            ntp_servers: values("ntp-servers").iter().filter_map(v4).collect(),
            ntp_servers_v6: values("ntp-servers").iter().filter_map(v6).collect(),
            netbios_name_servers: values("netbios-name-servers").iter().filter_map(v4).collect(),
            netbios_node_type: values("netbios-node-type").first().and_then(|text| text.parse().ok()),
            ipv6_preferred_secs: preferred.unwrap_or(PREFERRED_SECS),
        }
    }

    /// The domain names that may stand in a search list (RFC 1035 2.3.4), without a last dot.
    pub fn search_domains(&self) -> Vec<String> {
        let is_label = |label: &str| (1..=63).contains(&label.len());
        let names = self.domain_name.split(' ').map(|name| name.strip_suffix('.').unwrap_or(name));
        names.filter(|name| name.len() <= 253 && name.split('.').all(is_label)).map(Into::into).collect()
    }

    /// `/etc/resolv.conf` as a client writes it that got a lease with these settings: the own resolver by its IPv4 address, servers of
    /// IPv6 only where the guest speaks that.
    pub fn resolv_conf(&self, has_ipv6: bool) -> String {
        let v4 = self.dns_servers.iter().copied().map(IpAddr::V4);
        let is_told = |server: &&Ipv6Addr| has_ipv6 && (**server != RESOLVER_V6 || self.dns_servers.is_empty());
        let v6 = self.dns_servers_v6.iter().filter(is_told).copied().map(IpAddr::V6);
        let servers: String = v4.chain(v6).map(|server| format!("nameserver {server}\n")).collect();
        match self.search_domains() {
            domains if domains.is_empty() => servers,
            domains => format!("{servers}search {}\n", domains.join(" ")),
        }
    }
}

fn v4(text: &&str) -> Option<Ipv4Addr> {
    text.parse().ok()
}

fn v6(text: &&str) -> Option<Ipv6Addr> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_list_has_only_names_that_fit_it() {
        let of = |name: &str| DhcpSettings { domain_name: name.into(), ..DhcpSettings::default() }.search_domains();
        assert_eq!(of("corp.example. b.example"), ["corp.example", "b.example"]);
        assert_eq!(of(""), Vec::<String>::new());
        assert_eq!(of(&format!("{}.example a", "x".repeat(64))), ["a"]);
    }

    #[test]
    fn a_guest_without_ipv6_is_given_no_server_of_it() {
        let settings = DhcpSettings {
            dns_servers: vec![[10, 0, 0, 2].into(), [10, 0, 0, 53].into()],
            dns_servers_v6: vec![RESOLVER_V6, "2001:db8::53".parse().unwrap()],
            domain_name: "a.example b.example".into(),
            ..DhcpSettings::default()
        };
        let v4 = "nameserver 10.0.0.2\nnameserver 10.0.0.53\n";
        assert_eq!(settings.resolv_conf(false), format!("{v4}search a.example b.example\n"));
        assert_eq!(settings.resolv_conf(true), format!("{v4}nameserver 2001:db8::53\nsearch a.example b.example\n"));
        assert_eq!(DhcpSettings::default().resolv_conf(true), "");
        let only = DhcpSettings { dns_servers_v6: vec![RESOLVER_V6], ..DhcpSettings::default() };
        assert_eq!(only.resolv_conf(true), "nameserver fd00:ec2::253\n");
    }
}
