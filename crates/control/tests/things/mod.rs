//! What actions of other nouns would make, put into the World by hand; and the shortest way to a VPC, a subnet, a table.

#![allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "each test file uses its own part of this")]

use std::collections::{BTreeMap, BTreeSet};

use model::*;

use crate::common::*;

pub fn vpc(cloud: &mut Harness, account: &str, cidr: &str) -> String {
    text(&cloud.ok(account, &format!("Action=CreateVpc&CidrBlock={cidr}")), "vpcId")
}

pub fn subnet(cloud: &mut Harness, account: &str, vpc: &str, cidr: &str) -> String {
    text(&cloud.ok(account, &format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock={cidr}")), "subnetId")
}

pub fn table(cloud: &mut Harness, account: &str, vpc: &str) -> String {
    text(&cloud.ok(account, &format!("Action=CreateRouteTable&VpcId={vpc}")), "routeTableId")
}

pub fn put<E: Entity>(cloud: &mut Harness, value: E) {
    cloud.world = cloud.world.apply(&[Change::put(value)]);
}

/// Every route of a table, the local ones too.
pub fn all_routes(cloud: &Harness, table: &RouteTable) -> Vec<Route> {
    table.all_routes(cloud.world.find::<Vpc>(&table.vpc).unwrap()).collect()
}

/// An instance in that subnet with one interface attached at index 0, and the interface.
pub fn instance(cloud: &mut Harness, subnet: &str, address: &str) -> (InstanceId, NetworkInterfaceId) {
    let id = InstanceId::from_random(rand(seed()));
    let subnet = Subnet::clone(cloud.world.find::<Subnet>(&subnet.parse().unwrap()).unwrap());
    put(
        cloud,
        Instance {
            id,
            owner: subnet.owner,
            reservation: ReservationId::from_random(1),
            launch_index: 0,
            image: ImageId::from_random(1),
            instance_type: "t3.micro".into(),
            vpc: subnet.vpc,
            subnet: subnet.id,
            zone: subnet.zone,
            host: None,
            state: InstanceState::Running,
            state_reason: None,
            stop_asked: None,
            launched: cloud.now,
            terminated: None,
            user_data: Vec::new(),
            metadata: MetadataOptions::default(),
            key_name: None,
            public_key: None,
            client_token: None,
            disable_api_termination: false,
            disable_api_stop: false,
            shutdown_behavior: "stop".into(),
            private_dns: Default::default(),
            options: InstanceOptions::default(),
            volumes: Vec::new(),
            starts: 1,
            tags: Tags::new(),
        },
    );
    (id, interface(cloud, &subnet.id.to_string(), address, Some(id)))
}

pub fn interface(cloud: &mut Harness, subnet: &str, address: &str, instance: Option<InstanceId>) -> NetworkInterfaceId {
    let subnet = Subnet::clone(cloud.world.find::<Subnet>(&subnet.parse().unwrap()).unwrap());
    let random = rand(seed());
    let id = NetworkInterfaceId::from_random(random);
    let attached = cloud.now;
    put(
        cloud,
        NetworkInterface {
            id,
            subnet: subnet.id,
            vpc: subnet.vpc,
            owner: subnet.owner,
            zone: subnet.zone,
            mac: MacAddr::from_random(random as u64),
            description: String::new(),
            private_ips: vec![address.parse().unwrap()],
            ipv6_addresses: Vec::new(),
            has_primary_ipv6: false,
            public: Vec::new(),
            kind: InterfaceKind::Interface,
            groups: BTreeSet::new(),
            source_dest_check: true,
            connection_tracking: ConnectionTracking::default(),
            attachment: instance.map(|instance| Attachment {
                id: AttachmentId::from_random(random),
                instance,
                device_index: 0,
                attached,
                delete_on_termination: true,
                ena: EnaOptions::default(),
                public_at_start: false,
            }),
            created: attached,
            tags: Tags::new(),
        },
    );
    id
}

/// A peering as it is when both sides' regions know what is to be known in that state.
pub fn peering(cloud: &mut Harness, requester: &str, accepter: &str, status: PeeringStatus) -> PeeringId {
    let side = |vpc: &str| {
        let vpc = Vpc::clone(cloud.world.find::<Vpc>(&vpc.parse().unwrap()).unwrap());
        PeeringSide {
            owner: vpc.owner,
            vpc: vpc.id,
            region: cloud.config.region,
            cidrs: vpc.cidrs.iter().map(|block| block.cidr).collect(),
            ipv6_cidrs: vpc.ipv6_cidrs.iter().map(|block| block.cidr).collect(),
            options: PeeringOptions::default(),
            has_dns_names: vpc.has_dns_names(),
            version: 1,
        }
    };
    let (requester, mut accepter) = (side(requester), side(accepter));
    if !status.is_accepted() {
        (accepter.cidrs, accepter.ipv6_cidrs) = (Vec::new(), Vec::new());
    }
    let id = PeeringId::from_random(rand(seed()));
    let (created, expires) = (cloud.now, cloud.now + peering::REQUEST_LIFE);
    let message = status.to_string();
    put(
        cloud,
        Peering { id, requester, accepter, status, message, created, expires, ended: None, tags: BTreeMap::new() },
    );
    id
}

pub fn set_status(cloud: &mut Harness, id: PeeringId, status: PeeringStatus) {
    let peering = Peering::clone(cloud.world.find::<Peering>(&id).unwrap());
    put(cloud, Peering { status, ..peering });
}

pub fn rand(seed: [u8; 32]) -> u128 {
    control::Draw::new(seed).u128()
}

/// An id that nothing has.
pub const UNKNOWN: &str = "0123456789abcdef0";
