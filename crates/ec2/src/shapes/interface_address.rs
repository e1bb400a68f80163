//! Addresses that an interface gets and gives back while it is there (spec 8.1, 8.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use model::*;

use super::Done;

operation! {
    AssignPrivateIpAddresses -> AssignPrivateIpAddressesResponse {
        network_interface_id: NetworkInterfaceId = "NetworkInterfaceId",
        private_ip_addresses: Vec<Ipv4Addr> = "PrivateIpAddress",
        secondary_private_ip_address_count: Option<i32> = "SecondaryPrivateIpAddressCount",
        allow_reassignment: Option<bool> = "AllowReassignment",
    }
}

output! {
    AssignPrivateIpAddressesResponse {
        network_interface_id: NetworkInterfaceId = "networkInterfaceId",
        assigned_private_ip_addresses_set: Vec<AssignedPrivateIpAddress> = "assignedPrivateIpAddressesSet",
    }
}

output! {
    AssignedPrivateIpAddress {
        private_ip_address: Ipv4Addr = "privateIpAddress",
    }
}

operation! {
    UnassignPrivateIpAddresses -> Done {
        network_interface_id: NetworkInterfaceId = "NetworkInterfaceId",
        private_ip_addresses: Vec<Ipv4Addr> = "PrivateIpAddress",
    }
}

operation! {
    AssignIpv6Addresses -> AssignIpv6AddressesResponse {
        network_interface_id: NetworkInterfaceId = "NetworkInterfaceId",
        ipv6_addresses: Vec<Ipv6Addr> = "Ipv6Addresses",
        ipv6_address_count: Option<i32> = "Ipv6AddressCount",
    }
}

output! {
    AssignIpv6AddressesResponse {
        network_interface_id: NetworkInterfaceId = "networkInterfaceId",
        assigned_ipv6_addresses: Vec<Ipv6Addr> = "assignedIpv6Addresses",
    }
}

operation! {
    UnassignIpv6Addresses -> UnassignIpv6AddressesResponse {
        network_interface_id: NetworkInterfaceId = "NetworkInterfaceId",
        ipv6_addresses: Vec<Ipv6Addr> = "Ipv6Addresses",
    }
}

output! {
    UnassignIpv6AddressesResponse {
        network_interface_id: NetworkInterfaceId = "networkInterfaceId",
        unassigned_ipv6_addresses: Vec<Ipv6Addr> = "unassignedIpv6Addresses",
    }
}
