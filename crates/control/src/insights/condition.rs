//! What a path of an access scope must be like: ends, packets, and what it goes through; with every name looked up.

use std::collections::BTreeSet;

use model::access_scope::{AccessScopePath, HeaderStatement, PathStatement, ResourceStatement};
use model::insights::PortRange;
use model::*;
use policy::{Flow, L4, Step};

use super::end::Arn;
use super::terminal::{Kind, Terminal};
use crate::Cloud;
use crate::rules::visible_peering;

/// One of a scope's match or exclude paths.
pub(super) struct Condition {
    source: Option<Statement>,
    destination: Option<Statement>,
    through: Option<Things>,
}

struct Statement {
    header: Option<Header>,
    things: Option<Things>,
}

struct Things {
    ids: BTreeSet<String>,
    types: Vec<String>,
}

/// What is `None` or empty is not asked.
struct Header {
    sources: Option<Vec<Ipv4Cidr>>,
    destinations: Option<Vec<Ipv4Cidr>>,
    source_ports: Vec<PortRange>,
    destination_ports: Vec<PortRange>,
    protocols: Vec<IpProtocol>,
}

/// A packet at both ends of its path.
pub(super) struct Seen<'p> {
    /// Before and behind an Internet gateway at that end; else twice the same.
    pub(super) at_source: [Flow; 2],
    pub(super) at_destination: [Flow; 2],
    pub(super) steps: &'p [Step],
}

impl Condition {
    /// Everything that is named is there, and the caller's.
    ///
    /// # Errors
    /// Why nothing can be found out.
    pub(super) fn of(cloud: &Cloud<'_>, path: &AccessScopePath) -> Result<Condition, String> {
        let statement = |said: &Option<PathStatement>| said.as_ref().map(|said| Statement::of(cloud, said)).transpose();
        Ok(Condition {
            source: statement(&path.source)?,
            destination: statement(&path.destination)?,
            through: path.through.as_ref().map(|said| Things::of(cloud, said)).transpose()?,
        })
    }

    /// Its paths may begin there.
    pub(super) fn begins_at(&self, terminal: &Terminal) -> bool {
        self.source.as_ref().and_then(|source| source.things.as_ref()).is_none_or(|things| things.mean(terminal))
    }

    /// Its paths may end there.
    pub(super) fn ends_at(&self, terminal: &Terminal) -> bool {
        self.destination_things().is_none_or(|things| things.mean(terminal))
    }

    /// Who asks for such paths wants those that end there. Into a peering within the account they go on to who is meant, unless the
    /// peering is.
    pub(super) fn asks_for_end_at(&self, terminal: &Terminal) -> bool {
        let goes_on = matches!(terminal.kind, Kind::Peering { is_foreign: false, .. });
        self.ends_at(terminal) && !(goes_on && self.destination_things().is_none())
    }

    fn destination_things(&self) -> Option<&Things> {
        self.destination.as_ref().and_then(|destination| destination.things.as_ref())
    }

    /// It asks for paths that come out of peerings.
    pub(super) fn begins_at_peering(&self) -> bool {
        let things = self.source.as_ref().and_then(|source| source.things.as_ref());
        things.is_some_and(Things::has_peering)
    }

    /// It says nothing but where paths begin and end: no packet is told from another.
    pub(super) fn is_of_ends_only(&self) -> bool {
        self.headers().next().is_none() && self.through.is_none()
    }

    /// The packet, as it is at its source, can be one of its paths'.
    pub(super) fn admits_sent(&self, at_source: &[Flow; 2]) -> bool {
        let header = self.source.as_ref().and_then(|source| source.header.as_ref());
        header.is_none_or(|header| at_source.iter().any(|flow| header.admits(flow)))
    }

    /// The packet and its way are of its paths, as far as ends are not asked.
    pub(super) fn admits(&self, seen: &Seen<'_>) -> bool {
        let header = self.destination.as_ref().and_then(|destination| destination.header.as_ref());
        self.admits_sent(&seen.at_source)
            && header.is_none_or(|header| seen.at_destination.iter().any(|flow| header.admits(flow)))
            && self.through.as_ref().is_none_or(|things| things.are_on(seen.steps))
    }

    fn headers(&self) -> impl Iterator<Item = &Header> {
        [&self.source, &self.destination].into_iter().flatten().filter_map(|statement| statement.header.as_ref())
    }

    /// The blocks that tell packets apart.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Cidr> {
        let lists = self.headers().flat_map(|header| [&header.sources, &header.destinations]);
        lists.flatten().flatten().map(|block| Cidr::V4(*block))
    }

    /// The source ports that tell packets apart.
    pub(super) fn source_ports(&self) -> impl Iterator<Item = PortRange> {
        self.headers().flat_map(|header| &header.source_ports).copied()
    }

    pub(super) fn destination_ports(&self) -> impl Iterator<Item = PortRange> {
        self.headers().flat_map(|header| &header.destination_ports).copied()
    }

    /// There may be packets of that protocol.
    pub(super) fn has(&self, protocol: IpProtocol) -> bool {
        self.headers().all(|header| header.protocols.is_empty() || header.protocols.contains(&protocol))
    }
}

impl Statement {
    fn of(cloud: &Cloud<'_>, said: &PathStatement) -> Result<Statement, String> {
        Ok(Statement {
            header: said.header.as_ref().map(|said| Header::of(cloud, said)).transpose()?,
            things: said.resources.as_ref().map(|said| Things::of(cloud, said)).transpose()?,
        })
    }
}

impl Header {
    fn of(cloud: &Cloud<'_>, said: &HeaderStatement) -> Result<Header, String> {
        let blocks =
            |addresses: &[access_scope::AddressRange], lists: &[String]| -> Result<Option<Vec<Ipv4Cidr>>, String> {
                if addresses.is_empty() && lists.is_empty() {
                    return Ok(None);
                }
                let mut blocks: Vec<Ipv4Cidr> = addresses.iter().map(|range| range.block()).collect();
                for text in lists {
                    let id = id_here(cloud, text).and_then(|id| id.parse().ok());
                    let list = id.and_then(|id| cloud.owned::<PrefixList>(id).ok()).ok_or_else(|| missing(text))?;
                    blocks.extend(list.entries.keys().filter_map(|entry| match entry {
                        Cidr::V4(block) => Some(*block),
                        Cidr::V6(_) => None,
                    }));
                }
                Ok(Some(blocks))
            };
        let ranges = |ports: &[access_scope::ScopePorts]| ports.iter().map(|ports| ports.0).collect();
        Ok(Header {
            sources: blocks(&said.source_addresses, &said.source_prefix_lists)?,
            destinations: blocks(&said.destination_addresses, &said.destination_prefix_lists)?,
            source_ports: ranges(&said.source_ports),
            destination_ports: ranges(&said.destination_ports),
            protocols: said.protocols.clone(),
        })
    }

    fn admits(&self, flow: &Flow) -> bool {
        let within = |blocks: &Option<Vec<Ipv4Cidr>>, address| {
            blocks.as_ref().is_none_or(|blocks| blocks.iter().any(|block| Cidr::V4(*block).contains(address)))
        };
        let among = |ranges: &[PortRange], port: u16| {
            ranges.is_empty() || ranges.iter().any(|range| (range.from..=range.to).contains(&port))
        };
        let (L4::Tcp { src, dst, .. } | L4::Udp { src, dst, .. }) = flow.l4 else { return false };
        within(&self.sources, flow.src)
            && within(&self.destinations, flow.dst)
            && among(&self.source_ports, src)
            && among(&self.destination_ports, dst)
            && (self.protocols.is_empty() || self.protocols.iter().any(|protocol| protocol.matches(flow.protocol)))
    }
}

impl Things {
    fn of(cloud: &Cloud<'_>, said: &ResourceStatement) -> Result<Things, String> {
        let found = |text: &String| {
            let id = id_here(cloud, text).filter(|id| is_there(cloud, id));
            id.map(str::to_owned).ok_or_else(|| missing(text))
        };
        let ids = said.resources.iter().map(found).collect::<Result<_, _>>()?;
        Ok(Things { ids, types: said.resource_types.clone() })
    }

    fn mean(&self, terminal: &Terminal) -> bool {
        terminal.is_any_of(&self.ids) || self.types.iter().any(|wanted| terminal.is_of(wanted))
    }

    fn has_peering(&self) -> bool {
        let is_peering = |id: &String| id.parse::<PeeringId>().is_ok();
        self.ids.iter().any(is_peering) || self.types.iter().any(|wanted| wanted == "AWS::EC2::VPCPeeringConnection")
    }

    /// One of them is on the way.
    fn are_on(&self, steps: &[Step]) -> bool {
        let is_meant =
            |id: String, kind: &str| self.ids.contains(&id) || self.types.iter().any(|wanted| wanted == kind);
        steps.iter().any(|step| match step {
            Step::Nat { gateway, .. } => is_meant(gateway.to_string(), "AWS::EC2::NatGateway"),
            Step::Peering { peering, .. } => is_meant(peering.to_string(), "AWS::EC2::VPCPeeringConnection"),
            _ => false,
        })
    }
}

/// The id that the text is, or that is in its ARN, of a thing that would be the caller's in its region.
fn id_here<'t>(cloud: &Cloud<'_>, text: &'t str) -> Option<&'t str> {
    match Arn::parse(text) {
        None => Some(text),
        Some(arn) => {
            let account = cloud.caller.account.to_string();
            // A peering is its requester's, and both sides' to name.
            let is_own = arn.account == account || arn.kind == "vpc-peering-connection";
            (arn.region == cloud.config.region.as_str() && is_own).then_some(arn.id)
        }
    }
}

/// The caller has it. Another's reads as unknown.
fn is_there(cloud: &Cloud<'_>, id: &str) -> bool {
    fn owned<E: crate::cloud::Owned>(cloud: &Cloud<'_>, id: &str) -> bool
    where
        E::Id: ec2::IdCodes,
    {
        id.parse().is_ok_and(|id| cloud.owned::<E>(id).is_ok())
    }
    match id.rsplit_once('-').map_or("", |(prefix, _)| prefix) {
        InstanceId::PREFIX => owned::<Instance>(cloud, id),
        NetworkInterfaceId::PREFIX => owned::<NetworkInterface>(cloud, id),
        InternetGatewayId::PREFIX => owned::<InternetGateway>(cloud, id),
        NatGatewayId::PREFIX => owned::<NatGateway>(cloud, id),
        SecurityGroupId::PREFIX => owned::<SecurityGroup>(cloud, id),
        SubnetId::PREFIX => owned::<Subnet>(cloud, id),
        VpcId::PREFIX => owned::<Vpc>(cloud, id),
        VpnGatewayId::PREFIX => owned::<VpnGateway>(cloud, id),
        PeeringId::PREFIX => id.parse().is_ok_and(|id| visible_peering(cloud, id).is_ok()),
        _ => false,
    }
}

/// AWS's words for it, and the way out.
fn missing(text: &str) -> String {
    format!(
        "The request failed due to missing component {text}: you have no such resource in this region. Create a scope that names one that is there"
    )
}
