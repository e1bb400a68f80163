//! In and out through Internet gateways (spec 8.8): what can be reached there, and who gets what comes in.

use alloc::sync::Arc;
use core::net::IpAddr;

use model::{Direction, HostId, NetworkInterfaceId, VpcId};

use super::{Tables, VpcTables};
use crate::internet::is_private;
use crate::{Denied, Flow, Internet, Next, Scope, Translation};

impl Tables {
    /// The same, with what can be reached through Internet gateways.
    #[must_use]
    pub fn with_internet(self, internet: Arc<Internet>) -> Tables {
        Tables { internet, ..self }
    }

    /// What can be reached through Internet gateways.
    pub fn internet(&self) -> &Arc<Internet> {
        &self.internet
    }

    /// Who gets a packet that left, and what it is changed to on the whole way: through an Internet gateway it enters the receiver's
    /// VPC ([`Tables::enter`]).
    ///
    /// # Errors
    /// As [`Tables::enter`].
    pub fn arriving(&self, next: &Next, flow: &Flow) -> Result<(NetworkInterfaceId, Translation), Denied> {
        if next.origin.scope != Scope::Internet {
            return Ok((next.interface, next.translation));
        }
        let left = next.translation.flow(flow);
        let (interface, entered) = self.enter(next.vpc, left.src, left.dst)?;
        Ok((interface, Translation { dst: entered.dst, ..next.translation }))
    }

    /// The VPC that a packet is for which came from outside by the uplink of this host: of whoever has the address, if that is here.
    ///
    /// # Errors
    /// [`Denied::GatewayNoMapping`]: nobody here has it.
    pub fn vpc_of_public(&self, dst: IpAddr, here: HostId) -> Result<VpcId, Denied> {
        let at = self.internet.holder(dst).filter(|at| at.has_gateway && at.host == Some(here));
        at.map(|at| at.vpc).ok_or(Denied::GatewayNoMapping { address: dst })
    }

    /// What the Internet gateway of a VPC makes of a packet that came for one of its public addresses: whose it is, and how it goes on
    /// from there.
    ///
    /// # Errors
    /// [`Denied::GatewayNoMapping`]: no gateway, or nobody there has the address. [`Denied::GatewayPrivateAddress`]: the source was not
    /// translated.
    pub fn enter(&self, vpc: VpcId, src: IpAddr, dst: IpAddr) -> Result<(NetworkInterfaceId, Translation), Denied> {
        let unmapped = Denied::GatewayNoMapping { address: dst };
        // What an egress-only gateway lets in is for `ingress` to say.
        let has_gateway = |vpc: &&VpcTables| vpc.gateway.is_some() || vpc.is_egress_only && dst.is_ipv6();
        let vpc = self.vpc(vpc).filter(has_gateway).ok_or(unmapped)?;
        if is_private(src) {
            return Err(Denied::GatewayPrivateAddress { direction: Direction::Ingress, address: src });
        }
        match dst {
            IpAddr::V4(public) => {
                let (place, private) = *vpc.public.get(&public).ok_or(unmapped)?;
                Ok((vpc.endpoints[place].id, Translation { dst: Some(private), ..Translation::NONE }))
            }
            IpAddr::V6(_) => vpc.at(dst).map(|y| (y.id, Translation::NONE)).ok_or(unmapped),
        }
    }
}
