//! Which interfaces are NAT gateways' (spec 8.8), and where.

use core::net::IpAddr;

use model::{HostId, NetworkInterfaceId, VpcId};

use super::Tables;

impl Tables {
    /// The addresses of a NAT gateway, by its interface; `None`: it is none's.
    pub fn nat_gateway(&self, interface: NetworkInterfaceId) -> Option<&[IpAddr]> {
        self.endpoint(interface).filter(|(_, endpoint)| endpoint.is_nat).map(|(_, endpoint)| &*endpoint.addresses)
    }

    /// The interfaces of the NAT gateways that this host carries.
    pub fn nat_gateways_on(&self, host: HostId) -> impl Iterator<Item = NetworkInterfaceId> {
        let endpoints = self.vpcs.iter().flat_map(|vpc| &*vpc.tables.endpoints);
        endpoints.filter(move |endpoint| endpoint.is_nat && endpoint.host == Some(host)).map(|endpoint| endpoint.id)
    }

    /// The interface is one of this VPC.
    pub fn is_in(&self, interface: NetworkInterfaceId, vpc: VpcId) -> bool {
        self.endpoint(interface).is_some_and(|(found, _)| found.id == vpc)
    }
}
