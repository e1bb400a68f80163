//! What an operator decides about a region: who else there is, where instances run, how much each may have (spec ch. 13).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use model::{AccountId, Duration, HostId, Ipv4Cidr, Ipv6Cidr, NameSuffixes, Region};

use crate::ssh_key::PrivateKey;
use crate::timing::Timing;

#[derive(Clone, Debug)]
pub struct Config {
    pub region: Region,
    /// All regions that this cloud has, this one among them.
    pub regions: BTreeSet<Region>,
    /// Hosts that carry instances; with none, instances are records only and run at once.
    pub hosts: Vec<HostId>,
    /// With no host there is no instance either: hosts join, and none has yet.
    pub needs_host: bool,
    pub quotas: Quotas,
    /// Of accounts that may have more, or less.
    pub account_quotas: BTreeMap<AccountId, Quotas>,
    /// What others may have, where `quotas` are one account's own.
    pub others: Option<Quotas>,
    /// How long ended things stay visible.
    pub visibility: Visibility,
    /// Every account has a default VPC from its first use on.
    pub default_vpc: bool,
    /// Things take time as they do on AWS; `None`: every change is there at once.
    pub timing: Option<Timing>,
    /// What CreateKeyPair gives out: the shell makes it for that one request. `None`: no key pairs are made here.
    pub new_key: Option<Arc<PrivateKey>>,
    /// Whether the restriction table for added VPC blocks (spec 2.3.3) holds.
    pub restrict_cidr_associations: bool,
    /// What AmazonProvidedIpv6CidrBlock takes a random /56 from. No two VPCs of a region get the same; give each region a
    /// pool of its own and no two of the whole cloud do.
    pub ipv6_pool: Ipv6Cidr,
    /// Where public IPv4 addresses are taken from. Each region of a cloud has blocks of its own.
    pub public_pools: Vec<Ipv4Cidr>,
    /// What the cloud's own names end with; the same in every region.
    pub names: Arc<NameSuffixes>,
}

/// What public addresses are taken from unless an operator says otherwise: addresses that no network outside has (RFC 5737).
pub const PUBLIC_POOLS: [(Ipv4Addr, u8); 3] =
    [(Ipv4Addr::new(203, 0, 113, 0), 24), (Ipv4Addr::new(198, 51, 100, 0), 24), (Ipv4Addr::new(192, 0, 2, 0), 24)];

impl Config {
    pub fn new(region: Region) -> Config {
        Config {
            region,
            regions: BTreeSet::from([region]),
            hosts: Vec::new(),
            needs_host: false,
            quotas: Quotas::default(),
            account_quotas: BTreeMap::new(),
            others: None,
            visibility: Visibility::default(),
            default_vpc: false,
            timing: None,
            new_key: None,
            restrict_cidr_associations: true,
            // RFC 3849: addresses that no network outside has. 2^24 blocks.
            ipv6_pool: Ipv6Cidr::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32).unwrap_or(Ipv6Cidr::ALL),
            public_pools: PUBLIC_POOLS.iter().filter_map(|(network, len)| Ipv4Cidr::new(*network, *len)).collect(),
            names: Arc::default(),
        }
    }
}

impl Config {
    /// How much this account may have.
    pub fn quotas_of(&self, account: AccountId) -> Quotas {
        self.account_quotas.get(&account).copied().or(self.others).unwrap_or(self.quotas)
    }

    /// As it is for who asks.
    pub fn of_account(&self, account: AccountId) -> Cow<'_, Config> {
        match self.account_quotas.get(&account) {
            None => Cow::Borrowed(self),
            Some(quotas) => {
                let others = Some(self.others.unwrap_or(self.quotas));
                Cow::Owned(Config { quotas: *quotas, others, ..self.clone() })
            }
        }
    }
}

/// Spec 5.3.3 and 8.6.
#[derive(Clone, Copy, Debug)]
pub struct Visibility {
    /// A failed peering, for its requester; a rejected one, for the accepter; a deleted one, for who deleted it.
    pub short: Duration,
    /// An expired peering; a rejected one, for the requester; a deleted one, for the other party.
    pub long: Duration,
    pub terminated_instance: Duration,
    pub client_token: Duration,
}

impl Default for Visibility {
    fn default() -> Visibility {
        Visibility {
            short: Duration::hours(2),
            long: Duration::hours(48),
            terminated_instance: Duration::hours(1),
            client_token: Duration::hours(24),
        }
    }
}

/// AWS's defaults; each may be set.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    pub vpcs: usize,
    pub subnets_per_vpc: usize,
    pub ipv4_cidrs_per_vpc: usize,
    pub ipv6_cidrs_per_vpc: usize,
    pub route_tables_per_vpc: usize,
    /// Static routes in one table, each family by itself.
    pub routes_per_table: usize,
    pub security_groups: usize,
    /// Each direction and family by itself.
    pub rules_per_security_group: usize,
    pub security_groups_per_interface: usize,
    pub network_acls_per_vpc: usize,
    /// Each direction by itself.
    pub entries_per_network_acl: usize,
    pub network_interfaces: usize,
    pub internet_gateways: usize,
    pub nat_gateways_per_zone: usize,
    pub egress_only_internet_gateways: usize,
    pub elastic_ips: usize,
    pub dhcp_options: usize,
    pub network_insights_paths: usize,
    pub network_insights_analyses: usize,
    pub network_insights_access_scopes: usize,
    pub network_insights_access_scope_analyses: usize,
    pub active_peerings_per_vpc: usize,
    pub outstanding_peering_requests: usize,
    pub instances: usize,
    pub flow_logs_per_resource: usize,
    pub prefix_lists: usize,
    /// The largest MaxEntries.
    pub entries_per_prefix_list: usize,
    /// The current one among them.
    pub versions_per_prefix_list: usize,
    pub key_pairs: usize,
    pub images: usize,
    pub vpn_gateways: usize,
    pub log_groups: usize,
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas {
            vpcs: 5,
            subnets_per_vpc: 200,
            ipv4_cidrs_per_vpc: 5,
            ipv6_cidrs_per_vpc: 5,
            route_tables_per_vpc: 200,
            routes_per_table: 500,
            security_groups: 2500,
            rules_per_security_group: 60,
            security_groups_per_interface: 5,
            network_acls_per_vpc: 200,
            entries_per_network_acl: 20,
            network_interfaces: 5000,
            internet_gateways: 5,
            nat_gateways_per_zone: 5,
            egress_only_internet_gateways: 5,
            elastic_ips: 5,
            dhcp_options: 100,
            network_insights_paths: 100,
            network_insights_analyses: 1000,
            network_insights_access_scopes: 1000,
            network_insights_access_scope_analyses: 1000,
            active_peerings_per_vpc: 50,
            outstanding_peering_requests: 25,
            instances: 256,
            flow_logs_per_resource: 2,
            prefix_lists: 100,
            entries_per_prefix_list: 1000,
            versions_per_prefix_list: 1000,
            key_pairs: 1000,
            images: 1000,
            vpn_gateways: 5,
            log_groups: 1000,
        }
    }
}

macro_rules! by_name {
    ($($field:ident $name:literal,)*) => {
        impl Quotas {
            /// What an operator calls them.
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// With this quota set; `None`: there is none of that name.
            #[must_use]
            pub fn set(mut self, name: &str, number: usize) -> Option<Quotas> {
                match name {
                    $($name => self.$field = number,)*
                    _ => return None,
                }
                Some(self)
            }
        }
    };
}

by_name! {
    vpcs "vpcs",
    subnets_per_vpc "subnets-per-vpc",
    ipv4_cidrs_per_vpc "ipv4-cidrs-per-vpc",
    ipv6_cidrs_per_vpc "ipv6-cidrs-per-vpc",
    route_tables_per_vpc "route-tables-per-vpc",
    routes_per_table "routes-per-table",
    security_groups "security-groups",
    rules_per_security_group "rules-per-security-group",
    security_groups_per_interface "security-groups-per-interface",
    network_acls_per_vpc "network-acls-per-vpc",
    entries_per_network_acl "entries-per-network-acl",
    network_interfaces "network-interfaces",
    internet_gateways "internet-gateways",
    nat_gateways_per_zone "nat-gateways-per-zone",
    egress_only_internet_gateways "egress-only-internet-gateways",
    elastic_ips "elastic-ips",
    dhcp_options "dhcp-options",
    network_insights_paths "network-insights-paths",
    network_insights_analyses "network-insights-analyses",
    network_insights_access_scopes "network-insights-access-scopes",
    network_insights_access_scope_analyses "network-insights-access-scope-analyses",
    active_peerings_per_vpc "active-peerings-per-vpc",
    outstanding_peering_requests "outstanding-peering-requests",
    instances "instances",
    flow_logs_per_resource "flow-logs-per-resource",
    prefix_lists "prefix-lists",
    entries_per_prefix_list "entries-per-prefix-list",
    versions_per_prefix_list "versions-per-prefix-list",
    key_pairs "key-pairs",
    images "images",
    vpn_gateways "vpn-gateways",
    log_groups "log-groups",
}
