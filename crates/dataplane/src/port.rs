//! What is plugged in here, and what does its router look like? The ports of one host, built from the slices of the intent.
//!
//! A port is one network interface on this host. Its router is the VPC's: one MAC in the whole VPC, the second address of every subnet
//! and `fe80:ec2::1` (spec 3.5). Who lives in the same subnet is known from the slice, so ARP and neighbour discovery never travel.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::intent::{Endpoint, VpcSlice};
use model::{Ipv4Cidr, Ipv6Cidr, NetworkInterfaceId, Subnet, SubnetId, VpcId};
use wire::MacAddr;

use crate::dhcp::DhcpSettings;
use crate::flow_log::Logged;

/// Ports of one host at most: four times what one agent is built for (architecture ch. 9).
pub const PORTS_MAX: usize = 4096;

/// The router's address on every link (spec 3.5).
pub const ROUTER_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0xec2, 0, 0, 0, 0, 0, 1);

/// The smallest MTU that IPv6 allows (RFC 8200 5). A port whose device takes less has none: its router says nothing of IPv6.
pub const MTU_MIN: u16 = 1280;

/// What every IPv4 host takes (RFC 1122 3.3.2); a port's MTU is never below.
const IPV4_MTU_MIN: u16 = 576;

/// A port's number on this host, chosen by the shell: below [`PORTS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(u32);

impl PortId {
    /// Stands for the NAT gateways of this host, which have no device; no port has this number.
    pub(crate) const GATEWAYS: PortId = PortId(PORTS_MAX as u32);

    /// The device by which packets leave the cloud and come in, if this host has one; no interface's port has this number.
    pub const UPLINK: PortId = PortId(PORTS_MAX as u32 + 1);

    /// `None`: the number is [`PORTS_MAX`] or more.
    pub fn new(number: u32) -> Option<PortId> {
        (usize::try_from(number).ok()? < PORTS_MAX).then_some(PortId(number))
    }

    /// For tables with a place per port.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}", self.0)
    }
}

/// What the shell plugged in where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    pub port: PortId,
    pub interface: NetworkInterfaceId,
    /// The largest IP packet that the device takes, in bytes.
    pub mtu: u16,
    /// The device takes UDP super-frames (virtio-net USO), which older kernels do not.
    pub takes_uso: bool,
}

/// One network interface on this host, with all that the router must know to answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub id: PortId,
    pub interface: NetworkInterfaceId,
    pub vpc: VpcId,
    pub subnet: SubnetId,
    /// Attached to an instance that is pending or running.
    pub is_up: bool,
    pub mac: MacAddr,
    /// The same in the whole VPC, and never a guest's.
    pub router_mac: MacAddr,
    /// The primary address is first.
    pub addresses: Vec<IpAddr>,
    pub cidr: Ipv4Cidr,
    pub ipv6_cidr: Option<Ipv6Cidr>,
    pub router: Ipv4Addr,
    /// Where the VPC's resolver answers, besides 169.254.169.253 (spec 9.1).
    pub resolver: Ipv4Addr,
    pub mtu: u16,
    /// Its device takes UDP super-frames.
    pub takes_uso: bool,
    /// What flow logs want to know of it.
    pub logged: Logged,
    pub dhcp: Arc<DhcpSettings>,
    neighbours: Arc<Neighbours>,
}

/// Who has which address in a VPC.
type Neighbours = HashMap<IpAddr, (SubnetId, MacAddr), FixedState>;

impl Port {
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }

    pub fn primary_ip(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        })
    }

    pub fn ipv6_addresses(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.addresses.iter().filter_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(*v6),
        })
    }

    /// The router's address inside the subnet's IPv6 block, beside [`ROUTER_LINK_LOCAL`] (spec 3.5).
    pub fn router_v6(&self) -> Option<Ipv6Addr> {
        self.ipv6_cidr?.nth(1)
    }

    /// Whether its guest must hear of its link anew: another interface, block or MTU than before.
    pub(crate) fn differs_on_link(&self, other: &Port) -> bool {
        let of = |port: &Port| (port.interface, port.ipv6_cidr, port.mtu, port.is_up);
        of(self) != of(other)
    }

    /// The MAC of another interface of the same subnet.
    pub fn neighbour(&self, address: IpAddr) -> Option<MacAddr> {
        let (subnet, mac) = self.neighbours.get(&address)?;
        (*subnet == self.subnet && !self.owns(address)).then_some(*mac)
    }
}

/// Every port of this host.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    by_id: Vec<Option<Arc<Port>>>,
    by_interface: HashMap<NetworkInterfaceId, PortId, FixedState>,
    /// What flow logs want to know of interfaces that are no ports: those of NAT gateways.
    gateways: BTreeMap<NetworkInterfaceId, Logged>,
    made: Arc<Made>,
}

/// What ports were made from, so that those whose origin did not change are taken over.
#[derive(Debug, Default)]
struct Made {
    bindings: Vec<Binding>,
    wanted: Arc<Wanted>,
    vpcs: BTreeMap<VpcId, (Arc<VpcSlice>, Vec<Arc<Port>>)>,
}

impl Ports {
    /// The ports for what the shell plugged in. A binding whose interface is in no slice makes no port: its frames are dropped as those
    /// of a detached interface (D02). Of two bindings of one interface the later counts for frames to it.
    pub fn new<'a>(slices: impl IntoIterator<Item = &'a VpcSlice>, bindings: &[Binding]) -> Ports {
        let wanted = wanted(bindings);
        let mut ports = Ports::with_room_for(bindings);
        for slice in slices {
            of_slice(slice, &wanted).into_iter().for_each(|port| ports.insert(Arc::new(port)));
            ports.gateways.extend(gateways_of(slice));
        }
        ports
    }

    /// As [`Ports::new`], with the ports of slices that are the very same as for `self` taken over, unless bindings changed.
    #[must_use]
    pub fn renew<'a>(&self, slices: impl IntoIterator<Item = &'a Arc<VpcSlice>>, bindings: &[Binding]) -> Ports {
        let is_as_before = self.made.bindings == bindings;
        let wanted = if is_as_before { self.made.wanted.clone() } else { Arc::new(wanted(bindings)) };
        let (mut ports, mut vpcs) = (Ports::with_room_for(bindings), BTreeMap::new());
        for slice in slices {
            let before = self.made.vpcs.get(&slice.vpc.id);
            let of_vpc: Vec<Arc<Port>> = match before.filter(|(source, _)| is_as_before && Arc::ptr_eq(source, slice)) {
                Some((_, of_vpc)) => of_vpc.clone(),
                None => of_slice(slice, &wanted).into_iter().map(Arc::new).collect(),
            };
            of_vpc.iter().for_each(|port| ports.insert(port.clone()));
            ports.gateways.extend(gateways_of(slice));
            vpcs.insert(slice.vpc.id, (slice.clone(), of_vpc));
        }
        ports.made = Arc::new(Made { bindings: bindings.into(), wanted, vpcs });
        ports
    }

    pub fn port(&self, id: PortId) -> Option<&Arc<Port>> {
        self.by_id.get(id.index())?.as_ref()
    }

    /// The port that an interface is plugged into here.
    pub fn of_interface(&self, interface: NetworkInterfaceId) -> Option<&Arc<Port>> {
        // Where two bindings name one port, it belongs to the later: the other interface is nowhere, never behind somebody else's.
        self.port(*self.by_interface.get(&interface)?).filter(|port| port.interface == interface)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Port>> {
        self.by_id.iter().flatten()
    }

    /// What flow logs want to know of a NAT gateway's interface.
    pub(crate) fn logged_gateway(&self, interface: NetworkInterfaceId) -> Logged {
        self.gateways.get(&interface).copied().unwrap_or_default()
    }

    /// Some interface is covered by a flow log.
    pub(crate) fn is_any_logged(&self) -> bool {
        self.iter().any(|port| port.logged.any()) || !self.gateways.is_empty()
    }

    fn with_room_for(bindings: &[Binding]) -> Ports {
        let mut ports = Ports::default();
        ports.by_id.reserve(bindings.len());
        ports.by_interface.reserve(bindings.len());
        ports
    }

    fn insert(&mut self, port: Arc<Port>) {
        let at = port.id.index();
        if self.by_id.len() <= at {
            self.by_id.resize(at + 1, None);
        }
        self.by_interface.insert(port.interface, port.id);
        self.by_id[at] = Some(port);
    }
}

/// By interface; of two bindings of one the later.
type Wanted = HashMap<NetworkInterfaceId, Binding, FixedState>;

fn wanted(bindings: &[Binding]) -> Wanted {
    bindings.iter().map(|binding| (binding.interface, *binding)).collect()
}

/// The interfaces of a VPC's NAT gateways that some flow log covers.
fn gateways_of(slice: &VpcSlice) -> impl Iterator<Item = (NetworkInterfaceId, Logged)> {
    let endpoints = slice.endpoints.iter().filter(|_| !slice.flow_logs.is_empty());
    let gateways = endpoints.filter(|endpoint| !endpoint.interface.kind.is_ordinary());
    let logged = gateways.map(|endpoint| (endpoint.interface.id, Logged::of(slice, &endpoint.interface)));
    logged.filter(|(_, logged)| logged.any())
}

/// The ports of one VPC.
fn of_slice(slice: &VpcSlice, wanted: &Wanted) -> Vec<Port> {
    let mut vpc = None;
    let ports = slice.endpoints.iter().filter_map(|endpoint| {
        let binding = wanted.get(&endpoint.interface.id)?;
        let subnet = slice.subnets.iter().find(|subnet| subnet.id == endpoint.interface.subnet)?;
        Some(vpc.get_or_insert_with(|| Shared::of(slice)).port(binding, endpoint, subnet))
    });
    ports.collect()
}

/// What all ports of a VPC have in common.
struct Shared<'a> {
    slice: &'a VpcSlice,
    router_mac: MacAddr,
    dhcp: Arc<DhcpSettings>,
    neighbours: Arc<Neighbours>,
}

impl Shared<'_> {
    fn of(slice: &VpcSlice) -> Shared<'_> {
        let interfaces = slice.endpoints.iter().map(|endpoint| &endpoint.interface);
        let all =
            interfaces.flat_map(|eni| eni.addresses().map(move |address| (address, (eni.subnet, MacAddr(eni.mac.0)))));
        let mut neighbours = Neighbours::with_capacity_and_hasher(slice.endpoints.len(), FixedState::default());
        neighbours.extend(all);
        Shared {
            slice,
            router_mac: router_mac(slice.vpc.id),
            dhcp: Arc::new(DhcpSettings::of(slice)),
            neighbours: Arc::new(neighbours),
        }
    }

    fn port(&self, binding: &Binding, endpoint: &Endpoint, subnet: &Subnet) -> Port {
        let interface = &endpoint.interface;
        let carries_ipv6 = binding.mtu >= MTU_MIN;
        Port {
            id: binding.port,
            interface: interface.id,
            vpc: interface.vpc,
            subnet: subnet.id,
            is_up: endpoint.is_up,
            mac: MacAddr(interface.mac.0),
            router_mac: self.router_mac,
            addresses: interface.addresses().filter(|address| carries_ipv6 || address.is_ipv4()).collect(),
            cidr: subnet.cidr,
            ipv6_cidr: subnet.ipv6.map(|v6| v6.cidr).filter(|_| carries_ipv6),
            router: subnet.router(),
            resolver: self.slice.vpc.resolver(),
            mtu: binding.mtu.max(IPV4_MTU_MIN),
            takes_uso: binding.takes_uso,
            logged: Logged::of(self.slice, interface),
            dhcp: Arc::clone(&self.dhcp),
            neighbours: Arc::clone(&self.neighbours),
        }
    }
}

/// The router's MAC in a VPC: made from its id (FNV-1a), so that every host has the same and none has to be told. Its first octet is
/// locally administered like a guest's but another one, so that the two never meet.
pub fn router_mac(vpc: VpcId) -> MacAddr {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash = vpc.to_string().bytes().fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let [_, _, _, b, c, d, e, f] = hash.to_be_bytes();
    MacAddr([0x0e, b, c, d, e, f])
}
