//! The blocks of a VPC (spec 2.2, 2.3): which may be added, what else changes with them.

use std::collections::BTreeMap;

use ec2::Error;
use ec2::shapes::vpc::*;
use model::vpc::CidrAssociation;
use model::*;

use super::{Handle, vpc};
use crate::Cloud;
use crate::rules::{blocks_changed, check_new_block};
use crate::timing::Wait;

impl Handle for AssociateVpcCidrBlock {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<VpcCidrBlockResponse, Error> {
        refuse_pools(self.ipv6_pool, [self.ipv4_ipam_pool_id, self.ipv6_ipam_pool_id], self.ipv6_cidr_block)?;
        let vpc = cloud.owned::<Vpc>(self.vpc_id)?;
        let quotas = cloud.config.quotas;
        let (block, count, limit) = match (self.cidr_block, self.amazon_provided_ipv6_cidr_block.unwrap_or(false)) {
            (Some(cidr), false) => {
                check_size(cidr)?;
                check_new(cloud, &vpc, cidr)?;
                (Cidr::V4(cidr), vpc.cidrs.len(), quotas.ipv4_cidrs_per_vpc)
            }
            (None, true) => (Cidr::V6(draw_ipv6(cloud)?), vpc.ipv6_cidrs.len(), quotas.ipv6_cidrs_per_vpc),
            (Some(_), true) => {
                let message = "CidrBlock cannot be used together with AmazonProvidedIpv6CidrBlock; associate them one after the other";
                return Err(Error::invalid_combination(message));
            }
            (None, false) => return Err(Error::missing_parameter("CidrBlock or AmazonProvidedIpv6CidrBlock")),
        };
        if count >= limit {
            let message = format!("This network '{}' has met its maximum number of allowed CIDRs: {limit}", vpc.id);
            return Err(Error::new("CidrLimitExceeded", message));
        }
        check_routes(cloud, &vpc, block)?;
        check_new_block(cloud, vpc.id, block)?;
        let added = add(cloud, vpc.id, block)?;
        cloud.takes_time(added, Phase::Associating, Wait::VpcBlock);
        let vpc = cloud.owned::<Vpc>(vpc.id)?;
        blocks_changed(cloud, vpc.id);
        Ok(VpcCidrBlockResponse {
            vpc_id: vpc.id,
            cidr_block_association: vpc
                .cidrs
                .last()
                .filter(|_| block.is_ipv4())
                .map(|added| vpc::cidr_item(added, "associating")),
            ipv6_cidr_block_association: vpc
                .ipv6_cidrs
                .last()
                .filter(|_| !block.is_ipv4())
                .map(|added| vpc::ipv6_item(cloud, added, "associating")),
        })
    }
}

impl Handle for DisassociateVpcCidrBlock {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<VpcCidrBlockResponse, Error> {
        let id = self.association_id;
        let vpc = cloud.own_by::<Vpc>(By::id(id)).next();
        let mut vpc = Vpc::clone(vpc.ok_or_else(|| Error::not_found(id))?);
        if vpc.cidrs[0].id == id {
            let message = format!(
                "The vpc CIDR block with association ID {id} may not be disassociated. It is the primary IPv4 CIDR block of the VPC"
            );
            return Err(Error::not_permitted(message));
        }
        let ipv4 = take(&mut vpc.cidrs, id);
        let ipv6 = take(&mut vpc.ipv6_cidrs, id);
        let gone = ipv4.iter().map(|block| Cidr::V4(block.cidr)).chain(ipv6.iter().map(|block| Cidr::V6(block.cidr)));
        let gone: Vec<Cidr> = gone.collect();
        let in_use = cloud.subnets_of(vpc.id).any(|subnet| {
            let blocks = [Some(Cidr::V4(subnet.cidr)), subnet.ipv6.map(|ipv6| Cidr::V6(ipv6.cidr))];
            blocks.into_iter().flatten().any(|block| gone.iter().any(|gone| gone.contains_all(&block)))
        });
        if in_use {
            let message = format!(
                "The vpc CIDR block with association ID {id} has subnets and cannot be disassociated. Delete them first."
            );
            return Err(Error::new("DependencyViolation", message));
        }
        if !cloud.ends_later(id, Phase::Disassociating, Wait::VpcBlock) {
            cloud.put(vpc.clone());
            forget_replaced(cloud, vpc.id, &gone);
            blocks_changed(cloud, vpc.id);
        }
        Ok(VpcCidrBlockResponse {
            vpc_id: vpc.id,
            cidr_block_association: ipv4.map(|block| vpc::cidr_item(&block, "disassociating")),
            ipv6_cidr_block_association: ipv6.map(|block| vpc::ipv6_item(cloud, &block, "disassociating")),
        })
    }
}

fn take<C>(blocks: &mut Vec<CidrAssociation<C>>, id: VpcCidrAssociationId) -> Option<CidrAssociation<C>> {
    blocks.iter().position(|block| block.id == id).map(|at| blocks.remove(at))
}

/// The local routes of these blocks are gone; a block that comes again must not find the target that an earlier one was given.
/// Tables that hold no such target are not touched: there may be more of them than a transaction takes.
fn forget_replaced(cloud: &mut Cloud<'_>, vpc: VpcId, gone: &[Cidr]) {
    let is_gone = |route: &Route| {
        (route.origin, route.target != RouteTarget::Local) == (RouteOrigin::CreateRouteTable, true)
            && matches!(route.destination, Destination::Cidr(cidr) if gone.contains(&cidr))
    };
    let touched = cloud.route_tables_of(vpc).filter(|table| table.routes.iter().any(is_gone));
    let touched: Vec<RouteTable> = touched.map(|table| RouteTable::clone(table)).collect();
    for mut table in touched {
        table.routes.retain(|route| !is_gone(route));
        cloud.put(table);
    }
}

/// There are no pools of addresses here but the one that AmazonProvidedIpv6CidrBlock draws from.
pub(super) fn refuse_pools(
    ipv6_pool: Option<String>,
    ipam_pools: [Option<String>; 2],
    ipv6_cidr_block: Option<Ipv6Cidr>,
) -> Result<(), Error> {
    if let Some(pool) = ipv6_pool {
        return Err(Error::new("InvalidPoolID.NotFound", format!("The ipv6 pool ID '{pool}' does not exist")));
    }
    if let Some(pool) = ipam_pools.into_iter().flatten().next() {
        return Err(Error::new("InvalidIpamPoolId.NotFound", format!("The ipam-pool ID '{pool}' does not exist")));
    }
    match ipv6_cidr_block {
        Some(_) => Err(Error::missing_parameter("Ipv6Pool")),
        None => Ok(()),
    }
}

/// A VPC's block is a /16 to /28 outside the ranges that no network may have (spec 2.2).
pub(super) fn check_size(cidr: Ipv4Cidr) -> Result<(), Error> {
    const FORBIDDEN: [&str; 5] = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"];
    let forbidden =
        FORBIDDEN.iter().filter_map(|text| text.parse::<Ipv4Cidr>().ok()).any(|block| block.overlaps(&cidr));
    if forbidden || !(16..=28).contains(&cidr.prefix_len()) {
        return Err(Error::new("InvalidVpc.Range", format!("The CIDR '{cidr}' is invalid.")));
    }
    Ok(())
}

/// May this VPC have that block too (spec 2.3.2, 2.3.3)?
fn check_new(cloud: &Cloud<'_>, vpc: &Vpc, cidr: Ipv4Cidr) -> Result<(), Error> {
    if let Some(own) = vpc.cidrs.iter().find(|own| own.cidr.overlaps(&cidr)) {
        let message = format!("The CIDR '{cidr}' conflicts with the CIDR '{}' of the VPC.", own.cidr);
        return Err(Error::new("InvalidVpc.Range", message));
    }
    if cloud.config.restrict_cidr_associations && is_restricted(&vpc.cidrs, cidr) {
        return Err(Error::new(
            "InvalidVpc.Range",
            format!(
                "The CIDR '{cidr}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, or use a publicly-routable CIDR."
            ),
        ));
    }
    Ok(())
}

/// A new block's local route would take over a route that someone made on purpose (spec 2.3.4).
fn check_routes(cloud: &Cloud<'_>, vpc: &Vpc, block: Cidr) -> Result<(), Error> {
    let hidden =
        |route: &Route| matches!(route.destination, Destination::Cidr(destination) if block.contains_all(&destination));
    for table in cloud.route_tables_of(vpc.id) {
        if let Some(route) = table.all_routes(vpc).find(hidden) {
            let message = format!(
                "The CIDR '{block}' is equal to or larger than the destination '{}' of a route in {}. Delete that route first.",
                route.destination, table.id
            );
            return Err(Error::new("InvalidVpc.Range", message));
        }
    }
    Ok(())
}

/// The table of spec 2.3.3. A block of /16 or less lies in one of the ranges as a whole, or in none.
fn is_restricted(existing: &[CidrAssociation<Ipv4Cidr>], cidr: Ipv4Cidr) -> bool {
    const TEN: &str = "10.0.0.0/8";
    const ONE_SEVEN_TWO: &str = "172.16.0.0/12";
    const ONE_NINE_TWO: &str = "192.168.0.0/16";
    const BENCHMARK: &str = "198.19.0.0/16";
    const TABLE: [(&str, &[&str]); 5] = [
        (TEN, &[ONE_SEVEN_TWO, ONE_NINE_TWO, BENCHMARK]),
        ("10.0.0.0/15", &["10.0.0.0/16"]),
        (ONE_SEVEN_TWO, &[TEN, ONE_NINE_TWO, "172.31.0.0/16", BENCHMARK]),
        (ONE_NINE_TWO, &[TEN, ONE_SEVEN_TWO, BENCHMARK]),
        (BENCHMARK, &[TEN, ONE_SEVEN_TWO, ONE_NINE_TWO]),
    ];
    let lies_in = |cidr: &Ipv4Cidr, range: &str| range.parse::<Ipv4Cidr>().is_ok_and(|range| range.contains_all(cidr));
    let lies_in_any = |cidr: &Ipv4Cidr, ranges: &[&str]| ranges.iter().any(|range| lies_in(cidr, range));
    const PRIVATE: [&str; 4] = [TEN, ONE_SEVEN_TWO, ONE_NINE_TWO, BENCHMARK];
    let all_public = existing.iter().all(|block| !lies_in_any(&block.cidr, &PRIVATE));
    let by_table = TABLE.iter().any(|(range, refused)| {
        existing.iter().any(|block| lies_in(&block.cidr, range)) && lies_in_any(&cidr, refused)
    });
    by_table || (all_public && lies_in_any(&cidr, &PRIVATE))
}

/// A /56 that no VPC of this region has and none that it is peered with.
pub(super) fn draw_ipv6(cloud: &mut Cloud<'_>) -> Result<Ipv6Cidr, Error> {
    const LENGTH: u8 = 56;
    const TRIES_MAX: u128 = 4096;
    let pool = cloud.config.ipv6_pool;
    let count = 1_u128.checked_shl(u32::from(LENGTH.saturating_sub(pool.prefix_len()))).unwrap_or(1);
    let start = cloud.draw.u128();
    let vpcs = cloud.world().all::<Vpc>().flat_map(|vpc| vpc.ipv6_cidrs.iter().map(|block| block.cidr));
    let peers = cloud.world().all::<Peering>().filter(|peering| peering.status.is_live());
    let peers =
        peers.flat_map(|peering| peering.requester.ipv6_cidrs.iter().chain(&peering.accepter.ipv6_cidrs).copied());
    let taken: Vec<Ipv6Cidr> = vpcs.chain(peers).collect();
    let candidates = (0..count.min(TRIES_MAX)).filter_map(|step| {
        let index = start.wrapping_add(step) % count;
        let address = pool.nth(index << (128 - u32::from(LENGTH)))?;
        Ipv6Cidr::new(address, LENGTH).filter(|block| pool.contains_all(block))
    });
    candidates.into_iter().find(|block| !taken.iter().any(|taken| taken.overlaps(block))).ok_or_else(|| {
        let message =
            format!("The pool of IPv6 addresses {pool} has no free /{LENGTH} left; give the region a larger pool");
        Error::new("InsufficientAddressCapacity", message)
    })
}

/// Adds a block, and, with the first IPv6 block, the default rules for that family where the user has not changed them (spec
/// 2.3.5, 2.6). The local routes to it follow from it.
pub(super) fn add(cloud: &mut Cloud<'_>, vpc: VpcId, block: Cidr) -> Result<VpcCidrAssociationId, Error> {
    let id = cloud.draw.id();
    cloud.update::<Vpc, _>(vpc, |vpc| {
        match block {
            Cidr::V4(cidr) => vpc.cidrs.push(CidrAssociation { id, cidr }),
            Cidr::V6(cidr) => vpc.ipv6_cidrs.push(CidrAssociation { id, cidr }),
        }
        Ok(())
    })?;
    if !block.is_ipv4() {
        let vpc = cloud.owned::<Vpc>(vpc)?;
        open_acl(cloud, vpc.default_acl)?;
        open_group(cloud, vpc.default_group)?;
    }
    Ok(id)
}

fn open_acl(cloud: &mut Cloud<'_>, acl: NetworkAclId) -> Result<(), Error> {
    let untouched = BTreeMap::from([(100, vpc::allow_all(Cidr::V4(Ipv4Cidr::ALL)))]);
    cloud.update::<NetworkAcl, _>(acl, |acl| {
        for entries in [&mut acl.ingress, &mut acl.egress] {
            if *entries == untouched {
                entries.insert(101, vpc::allow_all(Cidr::V6(Ipv6Cidr::ALL)));
            }
        }
        Ok(())
    })
}

fn open_group(cloud: &mut Cloud<'_>, group: SecurityGroupId) -> Result<(), Error> {
    let id = cloud.draw.id();
    cloud.update::<SecurityGroup, _>(group, |group| {
        let rule = {
            let mut egress = group.rules(Direction::Egress);
            match (egress.next(), egress.next()) {
                (Some(rule), None)
                    if rule.protocol == IpProtocol::All && rule.peer == RulePeer::Cidr(Cidr::V4(Ipv4Cidr::ALL)) =>
                {
                    SecurityGroupRule {
                        id,
                        peer: RulePeer::Cidr(Cidr::V6(Ipv6Cidr::ALL)),
                        description: None,
                        tags: Tags::new(),
                        ..rule.clone()
                    }
                }
                _ => return Ok(()),
            }
        };
        group.rules.insert(id, rule);
        Ok(())
    })
}
