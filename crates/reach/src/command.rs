//! A mend as its owner makes it: a line for the AWS CLI, and what it is in Terraform.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use model::{AccountId, AclAction, Cidr, Direction, InternetGatewayId, PeeringId, Ports, Region, RouteTarget};

use crate::mend::{Mend, NEW_GATEWAY, NEW_PEERING, is_new};

/// How one mend is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Who must run it.
    pub account: AccountId,
    pub region: Region,
    /// A line for a POSIX shell. What an earlier line makes is `$PEERING`, `$GATEWAY`, `$ALLOCATION`, and the address of the latter
    /// `$ADDRESS`.
    pub aws: String,
    /// A resource, or what must be added to one.
    pub terraform: String,
}

/// The commands of some mends, in order.
pub fn commands(mends: &[Mend]) -> Vec<Command> {
    mends.iter().map(command).collect()
}

fn command(mend: &Mend) -> Command {
    let place = mend.place();
    let aws = format!("aws ec2 {} --region {}", aws(mend), place.region);
    let aws = match mend {
        Mend::CreatePeering { .. } => {
            format!("PEERING=$({aws} --query VpcPeeringConnection.VpcPeeringConnectionId --output text)")
        }
        Mend::CreateGateway { .. } => {
            format!("GATEWAY=$({aws} --query InternetGateway.InternetGatewayId --output text)")
        }
        Mend::AllocateAddress { .. } => {
            let found =
                "describe-addresses --allocation-ids \"$ALLOCATION\" --query 'Addresses[0].PublicIp' --output text";
            format!(
                "ALLOCATION=$({aws} --query AllocationId --output text) && ADDRESS=$(aws ec2 {found} --region {})",
                place.region
            )
        }
        _ => aws,
    };
    Command { account: place.account, region: place.region, aws, terraform: terraform(mend) }
}

fn aws(mend: &Mend) -> String {
    match mend {
        Mend::Authorize { group, direction, protocol, ports, peer, .. } => {
            let which = side(*direction);
            let (ranges, block) = if peer.is_ipv4() { ("IpRanges", "CidrIp") } else { ("Ipv6Ranges", "CidrIpv6") };
            let ports = ports.pair().map(|(from, to)| format!("FromPort={from},ToPort={to},")).unwrap_or_default();
            let (protocol, peer, quote) =
                (protocol.name(), block_in_shell(peer), if is_new(peer) { '"' } else { '\'' });
            format!(
                "authorize-security-group-{which} --group-id {group} --ip-permissions {quote}IpProtocol={protocol},{ports}{ranges}=[{{{block}={peer}}}]{quote}"
            )
        }
        Mend::AclEntry { acl, direction, number, entry, replaces, .. } => {
            let action = if *replaces { "replace" } else { "create" };
            let (which, allow) = (side(*direction), allows(entry.action));
            let block = if entry.cidr.is_ipv4() { "cidr-block" } else { "ipv6-cidr-block" };
            let ports = match entry.ports {
                Ports::Any => String::new(),
                Ports::Range { from, to } => format!(" --port-range From={from},To={to}"),
                Ports::Icmp { .. } => {
                    let (kind, code) = entry.ports.pair().unwrap_or((-1, -1));
                    format!(" --icmp-type-code Type={kind},Code={code}")
                }
            };
            format!(
                "{action}-network-acl-entry --network-acl-id {acl} --{which} --rule-number {number} --protocol {} --rule-action {allow} \
                 --{block} {}{ports}",
                entry.protocol.number(),
                block_in_shell(&entry.cidr)
            )
        }
        Mend::Route { table, destination, target, replaces, .. } => {
            let action = if *replaces { "replace" } else { "create" };
            let target = match target {
                RouteTarget::Local => "--local-target".into(),
                RouteTarget::Peering(id) => format!("--vpc-peering-connection-id {}", in_shell(*id)),
                RouteTarget::InternetGateway(id) => format!("--gateway-id {}", gateway_in_shell(*id)),
                other => format!("--{} {}", option_of(*other).replace('_', "-"), target_id(*other)),
            };
            format!(
                "{action}-route --route-table-id {table} --{} {} {target}",
                destination_option(destination),
                block_in_shell(destination)
            )
        }
        Mend::DeleteRoute { table, destination, .. } => {
            format!("delete-route --route-table-id {table} --{} {destination}", destination_option(destination))
        }
        Mend::CreatePeering { place, peer } => format!(
            "create-vpc-peering-connection --vpc-id {} --peer-vpc-id {} --peer-owner-id {} --peer-region {}",
            place.vpc, peer.vpc, peer.account, peer.region
        ),
        Mend::AcceptPeering { peering, .. } => {
            format!("accept-vpc-peering-connection --vpc-peering-connection-id {}", in_shell(*peering))
        }
        Mend::DisableSourceDestCheck { interface, .. } => {
            format!("modify-network-interface-attribute --network-interface-id {interface} --no-source-dest-check")
        }
        Mend::StartInstance { instance, .. } => format!("start-instances --instance-ids {instance}"),
        Mend::AttachInterface { interface, .. } => format!(
            "attach-network-interface --network-interface-id {interface} --instance-id \"$INSTANCE\" --device-index 1"
        ),
        Mend::CreateGateway { .. } => "create-internet-gateway".into(),
        Mend::AttachGateway { place, gateway } => {
            format!(
                "attach-internet-gateway --internet-gateway-id {} --vpc-id {}",
                gateway_in_shell(*gateway),
                place.vpc
            )
        }
        Mend::AllocateAddress { .. } => "allocate-address --domain vpc".into(),
        Mend::AssociateAddress { allocation, interface, private, .. } => {
            let allocation = allocation.map_or("\"$ALLOCATION\"".into(), |id| id.to_string());
            format!(
                "associate-address --allocation-id {allocation} --network-interface-id {interface} --private-ip-address {private}"
            )
        }
    }
}

fn terraform(mend: &Mend) -> String {
    let text = |value: &dyn ToString| format!("\"{}\"", value.to_string());
    match mend {
        Mend::Authorize { group, direction, protocol, ports, peer, .. } => {
            let block = if peer.is_ipv4() { "cidr_ipv4" } else { "cidr_ipv6" };
            let mut lines = Vec::from([
                ("security_group_id", text(group)),
                ("ip_protocol", text(&protocol.name())),
                (block, block_in_terraform(peer)),
            ]);
            if let Some((from, to)) = ports.pair() {
                lines.extend([("from_port", from.to_string()), ("to_port", to.to_string())]);
            }
            resource(&format!("aws_vpc_security_group_{}_rule", side(*direction)), &lines)
        }
        Mend::AclEntry { acl, direction, number, entry, .. } => {
            let block = if entry.cidr.is_ipv4() { "cidr_block" } else { "ipv6_cidr_block" };
            let mut lines = Vec::from([
                ("network_acl_id", text(acl)),
                ("rule_number", number.to_string()),
                ("egress", (*direction == Direction::Egress).to_string()),
                ("protocol", text(&entry.protocol.number())),
                ("rule_action", text(&allows(entry.action))),
                (block, block_in_terraform(&entry.cidr)),
            ]);
            let names = match entry.ports {
                Ports::Icmp { .. } => ["icmp_type", "icmp_code"],
                _ => ["from_port", "to_port"],
            };
            if let Some((first, second)) = entry.ports.pair() {
                lines.extend([(names[0], first.to_string()), (names[1], second.to_string())]);
            }
            resource("aws_network_acl_rule", &lines)
        }
        Mend::Route { table, destination, target, .. } => {
            let block = if destination.is_ipv4() { "destination_cidr_block" } else { "destination_ipv6_cidr_block" };
            let target = match target {
                RouteTarget::Local => ("gateway_id", text(&"local")),
                RouteTarget::Peering(id) => ("vpc_peering_connection_id", in_terraform(*id)),
                RouteTarget::InternetGateway(id) => ("gateway_id", gateway_in_terraform(*id)),
                // The provider has another word than the API.
                RouteTarget::EgressOnlyInternetGateway(id) => ("egress_only_gateway_id", text(id)),
                other => (option_of(*other), text(&target_id(*other))),
            };
            let lines = [("route_table_id", text(table)), (block, block_in_terraform(destination)), target];
            resource("aws_route", &lines)
        }
        Mend::DeleteRoute { table, destination, .. } => {
            format!("# remove the aws_route of {destination} in {table}")
        }
        Mend::CreatePeering { place, peer } => resource(
            "aws_vpc_peering_connection",
            &[
                ("vpc_id", text(&place.vpc)),
                ("peer_vpc_id", text(&peer.vpc)),
                ("peer_owner_id", text(&peer.account)),
                ("peer_region", text(&peer.region)),
            ],
        ),
        Mend::AcceptPeering { peering, .. } => resource(
            "aws_vpc_peering_connection_accepter",
            &[("vpc_peering_connection_id", in_terraform(*peering)), ("auto_accept", "true".into())],
        ),
        Mend::DisableSourceDestCheck { interface, .. } => {
            format!("# in the resource of {interface}, or of its instance\nsource_dest_check = false")
        }
        Mend::StartInstance { instance, .. } => {
            resource("aws_ec2_instance_state", &[("instance_id", text(instance)), ("state", text(&"running"))])
        }
        Mend::AttachInterface { interface, .. } => resource(
            "aws_network_interface_attachment",
            &[
                ("network_interface_id", text(interface)),
                ("instance_id", "var.instance_id".into()),
                ("device_index", "1".into()),
            ],
        ),
        Mend::CreateGateway { .. } => resource("aws_internet_gateway", &[]),
        Mend::AttachGateway { place, gateway } => resource(
            "aws_internet_gateway_attachment",
            &[("internet_gateway_id", gateway_in_terraform(*gateway)), ("vpc_id", text(&place.vpc))],
        ),
        Mend::AllocateAddress { .. } => resource("aws_eip", &[("domain", text(&"vpc"))]),
        Mend::AssociateAddress { allocation, interface, private, .. } => resource(
            "aws_eip_association",
            &[
                ("allocation_id", allocation.map_or("aws_eip.reach.id".into(), |id| text(&id))),
                ("network_interface_id", text(interface)),
                ("private_ip_address", text(private)),
            ],
        ),
    }
}

/// As `terraform fmt` has it.
fn resource(kind: &str, lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let body: String = lines.iter().map(|(name, value)| format!("  {name:width$} = {value}\n")).collect();
    format!("resource \"{kind}\" \"reach\" {{\n{body}}}")
}

fn in_shell(peering: PeeringId) -> String {
    if peering == NEW_PEERING { "\"$PEERING\"".into() } else { peering.to_string() }
}

fn in_terraform(peering: PeeringId) -> String {
    if peering == NEW_PEERING { "aws_vpc_peering_connection.reach.id".into() } else { format!("\"{peering}\"") }
}

fn gateway_in_shell(gateway: InternetGatewayId) -> String {
    if gateway == NEW_GATEWAY { "\"$GATEWAY\"".into() } else { gateway.to_string() }
}

fn gateway_in_terraform(gateway: InternetGatewayId) -> String {
    if gateway == NEW_GATEWAY { "aws_internet_gateway.reach.id".into() } else { format!("\"{gateway}\"") }
}

/// A block that follows from what an earlier line makes, or as it is.
fn block_in_shell(block: &Cidr) -> String {
    if is_new(block) { "$ADDRESS/32".into() } else { block.to_string() }
}

fn block_in_terraform(block: &Cidr) -> String {
    if is_new(block) { "\"${aws_eip.reach.public_ip}/32\"".into() } else { format!("\"{block}\"") }
}

/// The parameter of a route that names such a target.
fn option_of(target: RouteTarget) -> &'static str {
    match target {
        RouteTarget::Local | RouteTarget::InternetGateway(_) => "gateway_id",
        RouteTarget::Peering(_) => "vpc_peering_connection_id",
        RouteTarget::NetworkInterface(_) => "network_interface_id",
        RouteTarget::NatGateway(_) => "nat_gateway_id",
        RouteTarget::EgressOnlyInternetGateway(_) => "egress_only_internet_gateway_id",
        RouteTarget::TransitGateway(_) => "transit_gateway_id",
    }
}

pub(crate) fn target_id(target: RouteTarget) -> String {
    match target {
        RouteTarget::Local => "local".into(),
        RouteTarget::Peering(id) => id.to_string(),
        RouteTarget::NetworkInterface(id) => id.to_string(),
        RouteTarget::InternetGateway(id) => id.to_string(),
        RouteTarget::NatGateway(id) => id.to_string(),
        RouteTarget::EgressOnlyInternetGateway(id) => id.to_string(),
        RouteTarget::TransitGateway(id) => id.to_string(),
    }
}

fn destination_option(destination: &Cidr) -> &'static str {
    if destination.is_ipv4() { "destination-cidr-block" } else { "destination-ipv6-cidr-block" }
}

fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

fn allows(action: AclAction) -> &'static str {
    match action {
        AclAction::Allow => "allow",
        AclAction::Deny => "deny",
    }
}
