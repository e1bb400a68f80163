//! Whose metadata? The instance behind an interface, with what the intent says of it and of nothing else.

use std::net::Ipv4Addr;

use dataplane::DhcpSettings;
use model::intent::{Intent, VpcSlice};
use model::vpc::HostnameType;
use model::{Instance, NameSuffixes, NetworkInterface, NetworkInterfaceId, Region, SecurityGroup, Subnet, VpcId};

/// An instance that asks.
pub(crate) struct Subject<'i> {
    pub(crate) instance: &'i Instance,
    /// Its interfaces, in order of device index; the first is the primary one.
    pub(crate) interfaces: Vec<Attached<'i>>,
}

/// One of its interfaces.
pub(crate) struct Attached<'i> {
    pub(crate) slice: &'i VpcSlice,
    instance: &'i Instance,
    names: &'i NameSuffixes,
    pub(crate) interface: &'i NetworkInterface,
    pub(crate) device_index: u32,
}

impl<'i> Subject<'i> {
    /// The instance that this interface of this VPC is attached to; `None`: there is none on this host.
    pub(crate) fn of(intent: &'i Intent, vpc: VpcId, interface: NetworkInterfaceId) -> Option<Subject<'i>> {
        let mut endpoints = intent.vpcs.get(&vpc)?.endpoints.iter();
        let asking = endpoints.find(|endpoint| endpoint.interface.id == interface)?;
        let instance = intent.instances.get(&asking.interface.attachment.as_ref()?.instance)?;
        let all = intent.vpcs.values().flat_map(|slice| slice.endpoints.iter().map(move |endpoint| (slice, endpoint)));
        let attached = all.filter_map(|(slice, endpoint)| {
            let attachment = endpoint.interface.attachment.as_ref().filter(|at| at.instance == instance.id)?;
            let (names, device_index) = (&*intent.names, attachment.device_index);
            Some(Attached { slice, instance, names, interface: &endpoint.interface, device_index })
        });
        let mut interfaces: Vec<Attached<'i>> = attached.collect();
        interfaces.sort_by_key(|attached| attached.device_index);
        Some(Subject { instance, interfaces })
    }

    pub(crate) fn primary(&self) -> Option<&Attached<'i>> {
        self.interfaces.first()
    }
}

impl Attached<'_> {
    pub(crate) fn region(&self) -> Region {
        self.slice.region
    }

    pub(crate) fn subnet(&self) -> Option<&Subnet> {
        self.slice.subnets.iter().find(|subnet| subnet.id == self.interface.subnet).map(|subnet| &**subnet)
    }

    pub(crate) fn groups(&self) -> impl Iterator<Item = &SecurityGroup> {
        let groups = self.slice.security_groups.iter().filter(|group| self.interface.groups.contains(&group.id));
        groups.map(|group| &**group)
    }

    /// `ip-10-0-0-5`, or the instance's id where it is named by that, in the domain of the VPC's DHCP options, as AWS tells it.
    pub(crate) fn local_hostname(&self) -> String {
        let is_by_id = self.device_index == 0 && self.instance.private_dns.hostname_type == HostnameType::ResourceName;
        let label = match is_by_id {
            true => self.instance.id.to_string(),
            false => format!("ip-{}", self.interface.primary_ip().to_string().replace('.', "-")),
        };
        match DhcpSettings::of(self.slice).search_domains().first() {
            Some(domain) => format!("{label}.{domain}"),
            None => label,
        }
    }

    /// The public name of an address; the VPC must have names (spec 9.3).
    pub(crate) fn public_hostname(&self, address: Ipv4Addr) -> Option<String> {
        let vpc = &self.slice.vpc;
        vpc.has_dns_names().then(|| self.names.public_name(self.region(), address))
    }
}
