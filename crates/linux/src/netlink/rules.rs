//! Policy routing: rules that say which table a packet's route is looked up in, and routes of other tables than the main
//! one (ip-rule(8), rtnetlink(7) and `struct fib_rule_hdr` of `linux/fib_rules.h`).

use std::net::IpAddr;

use super::message::{Request, attributes, u32_at};
use super::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, Netlink, NetlinkError, Route,
    describe_route, family, octets, parse_octets,
};

/// Packets of that source (and, if it is given, to that destination) are routed by a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Rules are tried in this order, the lowest first. The main table's stands at 32,766.
    pub priority: u32,
    /// First address and prefix length in bits of the sources.
    pub from: (IpAddr, u8),
    /// First address and prefix length in bits of the destinations; `None`: all.
    pub to: Option<(IpAddr, u8)>,
    /// The table.
    pub table: u32,
}

/// The table that everything is looked up in that no rule sends elsewhere.
pub const MAIN_TABLE: u32 = 254;

impl Netlink {
    /// All rules from an address to a table, of both families; rules of other kinds are not among them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn rules(&mut self) -> Result<Vec<Rule>, NetlinkError> {
        let request = Request::new(libc::RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP, &[0; 12]);
        self.ask(request, "list rules", libc::RTM_NEWRULE, parse_rule)
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// When it is there.
    pub fn add_rule(&mut self, rule: &Rule) -> Result<(), NetlinkError> {
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
        self.command(rule_request(libc::RTM_NEWRULE, flags, rule), format!("add {}", describe_rule(rule)))
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// When it is not there.
    pub fn delete_rule(&mut self, rule: &Rule) -> Result<(), NetlinkError> {
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        self.command(rule_request(libc::RTM_DELRULE, flags, rule), format!("delete {}", describe_rule(rule)))
    }

    /// Adds a route to a table, or replaces the one with the same destination and metric there. Of several to one destination that with
    /// the lowest metric holds; 0 is the family's own.
    ///
    /// # Errors
    /// As [`Netlink::add_route`].
    pub fn add_route_to(&mut self, table: u32, metric: u32, route: &Route) -> Result<(), NetlinkError> {
        let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        let mut request = self.route_request(libc::RTM_NEWROUTE, flags, route)?;
        // It stands before the number in the fixed part, which has no room for all of them.
        request.number(libc::RTA_TABLE, table);
        if metric > 0 {
            request.number(libc::RTA_PRIORITY, metric);
        }
        self.command(request, format!("add {} to table {table}", describe_route(route)))
    }
}

const ACTION_TO_TABLE: u8 = 1;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;

fn rule_request(kind: u16, flags: u16, rule: &Rule) -> Request {
    let (from, from_len) = rule.from;
    let to_len = rule.to.map_or(0, |(_, len)| len);
    // struct fib_rule_hdr: family, destination and source prefix lengths, tos, table, two reserved, action, flags.
    let fixed = [family(from), to_len, from_len, 0, 0, 0, 0, ACTION_TO_TABLE, 0, 0, 0, 0];
    let mut request = Request::new(kind, flags, &fixed);
    request.attribute(FRA_SRC, &octets(from));
    if let Some((to, _)) = rule.to {
        request.attribute(FRA_DST, &octets(to));
    }
    request.number(FRA_PRIORITY, rule.priority).number(FRA_TABLE, rule.table);
    request
}

fn parse_rule(payload: &[u8]) -> Option<Rule> {
    let (family, to_len, from_len) = (*payload.first()?, *payload.get(1)?, *payload.get(2)?);
    if *payload.get(7)? != ACTION_TO_TABLE {
        return None;
    }
    let (mut from, mut to, mut priority, mut table) = (None, None, 0, u32::from(*payload.get(4)?));
    for (kind, value) in attributes(payload.get(12..)?) {
        match kind {
            FRA_SRC => from = parse_octets(family, value),
            FRA_DST => to = parse_octets(family, value),
            FRA_PRIORITY => priority = u32_at(value, 0)?,
            FRA_TABLE => table = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(Rule { priority, from: (from?, from_len), to: to.map(|to| (to, to_len)), table })
}

fn describe_rule(rule: &Rule) -> String {
    let (from, from_len) = rule.from;
    let to = rule.to.map(|(to, len)| format!(" to {to}/{len}")).unwrap_or_default();
    format!("rule {}: from {from}/{from_len}{to} by table {}", rule.priority, rule.table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_as_it_is_sent_reads_back() {
        let rules = [
            Rule { priority: 10_001, from: ([10, 0, 0, 5].into(), 32), to: None, table: 10_001 },
            Rule { priority: 7, from: ([10, 0, 0, 5].into(), 32), to: Some(([10, 1, 0, 0].into(), 16)), table: 3 },
            Rule { priority: 1, from: ("2001:db8::1".parse().unwrap(), 128), to: None, table: 70_000 },
        ];
        for rule in rules {
            let mut request = rule_request(libc::RTM_NEWRULE, 0, &rule);
            assert_eq!(parse_rule(&request.finish(1)[16..]), Some(rule));
        }
        assert_eq!(parse_rule(&[0; 12]), None);
        assert_eq!(parse_rule(&[]), None);
    }
}
