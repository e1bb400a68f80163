//! Who is meant: an end of a question, by any of its names.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ec2::Error;
use model::{
    AccountId, By, Cidr, Instance, InstanceId, InstanceState, NetworkInterface, NetworkInterfaceId, Subnet, SubnetId,
    Tags, Vpc, VpcId, World,
};

use super::Cloud;

/// Names things that an account may know of.
pub(super) struct Resolver<'c> {
    pub(super) cloud: &'c Cloud,
    /// `None`: all of them.
    pub(super) account: Option<AccountId>,
}

/// An end of a question.
#[derive(Clone, Debug)]
pub(super) enum End {
    Interface(Interface),
    /// Whoever has it.
    Address(IpAddr),
    /// Every address of a subnet, or of a block.
    Set(Set),
}

/// Who sends.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Interface(Interface),
    /// Interfaces of one VPC, each with an address of the set.
    Set {
        vpc: VpcId,
        members: Vec<(NetworkInterfaceId, IpAddr)>,
    },
}

impl Source {
    pub(super) fn vpc(&self) -> VpcId {
        match self {
            Source::Interface(interface) => interface.vpc,
            Source::Set { vpc, .. } => *vpc,
        }
    }
}

/// Addresses by their blocks: one, or those of a subnet, of either family.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) blocks: Vec<Cidr>,
    /// In which VPC; `None`: wherever packets for them go.
    pub(super) vpc: Option<VpcId>,
}

impl Set {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.blocks.iter().any(|block| block.contains(address))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) id: NetworkInterfaceId,
    pub(super) vpc: VpcId,
    /// By which it was named, or which is its primary one.
    pub(super) address: Option<IpAddr>,
    /// It was named by that address.
    pub(super) is_exact: bool,
    pub(super) has_ipv6: bool,
}

/// As many as an error names.
const CANDIDATES_MAX: usize = 5;

impl Resolver<'_> {
    /// # Errors
    /// Nothing or more than one thing by that name.
    pub(super) fn source(&self, text: &str) -> Result<Source, Error> {
        match self.end("Source", text)? {
            End::Interface(interface) => Ok(Source::Interface(interface)),
            End::Set(set) => self.members(text, &set),
            End::Address(address) => {
                let found = self.interfaces().filter(|interface| interface.owns(address)).collect();
                let interface = only("Source", text, found, |i: &Arc<NetworkInterface>| {
                    format!("{} in {}; name it by its id, or write {address}@{}", i.id, i.vpc, i.vpc)
                })?;
                Ok(Source::Interface(named(&interface, Some(address))))
            }
        }
    }

    /// The interfaces that can send from an address of the set.
    fn members(&self, text: &str, set: &Set) -> Result<Source, Error> {
        let mut vpcs: Vec<VpcId> = Vec::new();
        let mut members = Vec::new();
        for interface in self.interfaces().filter(|interface| interface.kind.is_ordinary()) {
            if set.vpc.is_some_and(|vpc| vpc != interface.vpc) {
                continue;
            }
            let own = interface.addresses().filter(|address| set.contains(*address));
            let before = members.len();
            members.extend(own.map(|address| (interface.id, address)));
            if members.len() > before && !vpcs.contains(&interface.vpc) {
                vpcs.push(interface.vpc);
            }
        }
        let vpc = only("Source", text, vpcs, |vpc| format!("{vpc}; write {text}@{vpc}"))?;
        Ok(Source::Set { vpc, members })
    }

    /// # Errors
    /// Nothing or more than one thing by that name.
    pub(super) fn destination(&self, text: &str) -> Result<End, Error> {
        self.end("Destination", text)
    }

    fn end(&self, parameter: &str, text: &str) -> Result<End, Error> {
        if text.is_empty() {
            return Err(Error::missing_parameter(parameter));
        }
        if let Ok(address) = text.parse() {
            return Ok(End::Address(address));
        }
        if let Some((address, vpc)) = text.split_once('@') {
            if let Ok(block) = address.parse() {
                let vpc = self.vpc(parameter, text, vpc)?;
                return Ok(End::Set(Set { blocks: vec![block], vpc: Some(vpc) }));
            }
            return self.at(parameter, text, address, vpc).map(End::Interface);
        }
        if let Ok(block) = text.parse::<Cidr>() {
            return Ok(End::Set(Set { blocks: vec![block], vpc: None }));
        }
        if let Ok(id) = text.parse::<SubnetId>() {
            let found =
                self.worlds().find_map(|world| world.find::<Subnet>(&id)).filter(|found| self.sees(found.owner));
            let subnet = found.ok_or_else(|| Error::not_found(id))?;
            let ipv6 = subnet.ipv6.as_ref().map(|of_subnet| Cidr::V6(of_subnet.cidr));
            let blocks = [Some(Cidr::V4(subnet.cidr)), ipv6].into_iter().flatten().collect();
            return Ok(End::Set(Set { blocks, vpc: Some(subnet.vpc) }));
        }
        if let Ok(id) = text.parse::<NetworkInterfaceId>() {
            let found = self.interfaces().find(|interface| interface.id == id);
            return found.map(|interface| End::Interface(named(&interface, None))).ok_or_else(|| Error::not_found(id));
        }
        if let Ok(id) = text.parse::<InstanceId>() {
            return self.instance(id).map(End::Interface);
        }
        match self.host_name(text) {
            Some(HostName::Address(address)) => Ok(End::Address(address)),
            Some(HostName::Instance(id)) => self.instance(id).map(End::Interface),
            None => self.tagged(parameter, text).map(End::Interface),
        }
    }

    /// The VPC behind an @.
    fn vpc(&self, parameter: &str, text: &str, vpc: &str) -> Result<VpcId, Error> {
        let id = vpc.parse::<VpcId>().ok();
        let known = id.and_then(|id| self.worlds().find_map(|world| world.find::<Vpc>(&id)));
        known.filter(|vpc| self.sees(vpc.owner)).map(|vpc| vpc.id).ok_or_else(|| {
            Error::invalid_parameter(parameter, text, "Behind the @ stands the id of a VPC that you may know of.")
        })
    }

    /// `10.0.0.1@vpc-..`
    fn at(&self, parameter: &str, text: &str, address: &str, vpc: &str) -> Result<Interface, Error> {
        let parsed = address.parse::<IpAddr>().ok().zip(vpc.parse::<VpcId>().ok());
        let (address, vpc) = parsed.ok_or_else(|| {
            Error::invalid_parameter(parameter, text, "Before the @ stands an address, behind it the id of a VPC.")
        })?;
        let found = self.interfaces().find(|interface| interface.vpc == vpc && interface.owns(address));
        let interface = found.ok_or_else(|| {
            Error::invalid_parameter(parameter, text, "No interface that you may know of has this address in that VPC.")
        })?;
        Ok(named(&interface, Some(address)))
    }

    fn instance(&self, id: InstanceId) -> Result<Interface, Error> {
        let known = self.worlds().find_map(|world| world.find::<Instance>(&id)).filter(|found| self.sees(found.owner));
        known.ok_or_else(|| Error::not_found(id))?;
        let of_instance =
            |interface: &Arc<NetworkInterface>| interface.attachment.as_ref().is_some_and(|at| at.instance == id);
        let primary = |interface: &Arc<NetworkInterface>| interface.attachment.as_ref().map(|at| at.device_index);
        let found = self.interfaces().filter(of_instance).min_by_key(primary);
        found.map(|interface| named(&interface, None)).ok_or_else(|| {
            Error::new("IncorrectInstanceState", format!("The instance '{id}' has no network interface any more"))
        })
    }

    /// A private host name, by its form: `ip-10-0-0-1` or `i-..`, with or without the region's domain (spec 9.2).
    fn host_name(&self, text: &str) -> Option<HostName> {
        let (label, domain) = text.split_once('.').map_or((text, None), |(label, domain)| (label, Some(domain)));
        let is_ours = |domain: &str| {
            let mut regions = self.cloud.iter();
            regions.any(|(region, (_, config))| config.names.private_domain(*region) == domain)
        };
        if !domain.is_none_or(is_ours) {
            return None;
        }
        if let Some(id) = domain.and_then(|_| label.parse().ok()) {
            return Some(HostName::Instance(id));
        }
        let address: Ipv4Addr = label.strip_prefix("ip-")?.replace('-', ".").parse().ok()?;
        Some(HostName::Address(address.into()))
    }

    /// By the tag Name of an instance or an interface.
    fn tagged(&self, parameter: &str, text: &str) -> Result<Interface, Error> {
        let is_named = |tags: &Tags| tags.get("Name").is_some_and(|name| name == text);
        let instances = self.worlds().flat_map(|world| world.by::<Instance>(By::tag("Name", text)));
        let live = instances.filter(|instance| {
            instance.state != InstanceState::Terminated && is_named(&instance.tags) && self.sees(instance.owner)
        });
        let instances: Vec<InstanceId> = live.map(|instance| instance.id).collect();
        if instances.is_empty() {
            let found = self.interfaces().filter(|interface| is_named(&interface.tags)).collect();
            let interface = only(parameter, text, found, |i: &Arc<NetworkInterface>| i.id.to_string())?;
            return Ok(named(&interface, None));
        }
        self.instance(only(parameter, text, instances, ToString::to_string)?)
    }

    fn worlds(&self) -> impl Iterator<Item = &World> {
        self.cloud.values().map(|(world, _)| world)
    }

    fn sees(&self, owner: AccountId) -> bool {
        self.account.is_none_or(|account| account == owner)
    }

    fn interfaces(&self) -> impl Iterator<Item = Arc<NetworkInterface>> {
        let all = self.worlds().flat_map(World::all::<NetworkInterface>);
        all.filter(|interface| self.sees(interface.owner)).cloned()
    }
}

enum HostName {
    Address(IpAddr),
    Instance(InstanceId),
}

fn named(interface: &NetworkInterface, address: Option<IpAddr>) -> Interface {
    Interface {
        id: interface.id,
        vpc: interface.vpc,
        address: address.or_else(|| interface.addresses().next()),
        is_exact: address.is_some(),
        has_ipv6: !interface.ipv6_addresses.is_empty(),
    }
}

/// The one thing that was found.
fn only<T>(parameter: &str, text: &str, found: Vec<T>, name: impl Fn(&T) -> String) -> Result<T, Error> {
    let several = match <[T; 1]>::try_from(found) {
        Ok([one]) => return Ok(one),
        Err(several) => several,
    };
    if several.is_empty() {
        let why = "Nothing that you may know of has it; name an instance, an interface, an address or a Name tag.";
        return Err(Error::invalid_parameter(parameter, text, why));
    }
    let names: Vec<String> = several.iter().take(CANDIDATES_MAX).map(name).collect();
    let why = format!("It means {} things, such as {}.", several.len(), names.join(", "));
    Err(Error::invalid_parameter(parameter, text, &why))
}
