//! Host names of instances: what they are made of, and whether the resource name resolves (spec 3.6, 9.2).

use ec2::Error;
use ec2::shapes::Done;
use ec2::shapes::private_dns::*;
use model::vpc::HostnameType;
use model::*;

use super::Handle;
use super::subnet::hostname_type;
use crate::Cloud;

impl Handle for ModifyPrivateDnsNameOptions {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<Done, Error> {
        let kind = self.private_dns_hostname_type.as_deref();
        let kind = kind.map(|text| hostname_type("PrivateDnsHostnameType", text)).transpose()?;
        let (a, aaaa) = (self.enable_resource_name_dns_a_record, self.enable_resource_name_dns_aaaa_record);
        if kind.is_none() && a.is_none() && aaaa.is_none() {
            return Err(Error::missing_parameter(
                "PrivateDnsHostnameType, EnableResourceNameDnsARecord or EnableResourceNameDnsAAAARecord",
            ));
        }
        cloud.update::<Instance, _>(self.instance_id, |instance| {
            let options = &mut instance.private_dns;
            let is_renamed = kind.is_some_and(|kind| kind != options.hostname_type);
            if is_renamed && instance.state != InstanceState::Stopped {
                let message = format!(
                    "The instance '{}' is not in the 'stopped' state; stop it to change the type of its host name",
                    instance.id
                );
                return Err(Error::new("IncorrectInstanceState", message));
            }
            options.hostname_type = kind.unwrap_or(options.hostname_type);
            options.enable_resource_name_dns_a_record = a.unwrap_or(options.enable_resource_name_dns_a_record);
            options.enable_resource_name_dns_aaaa_record = aaaa.unwrap_or(options.enable_resource_name_dns_aaaa_record);
            Ok(Done::TRUE)
        })
    }
}

/// What an instance begins with: as the launch says, else as its subnet.
pub(super) fn at_launch(
    asked: Option<&PrivateDnsNameOptionsInput>,
    subnet: &Subnet,
) -> Result<PrivateDnsNameOptions, Error> {
    let kind = asked.and_then(|asked| asked.hostname_type.as_deref());
    let kind: Option<HostnameType> =
        kind.map(|text| hostname_type("PrivateDnsNameOptions.HostnameType", text)).transpose()?;
    let (a, aaaa) = asked.map_or((None, None), |asked| {
        (asked.enable_resource_name_dns_a_record, asked.enable_resource_name_dns_aaaa_record)
    });
    Ok(PrivateDnsNameOptions {
        hostname_type: kind.unwrap_or(subnet.private_dns_hostname_type),
        enable_resource_name_dns_a_record: a.unwrap_or(subnet.enable_resource_name_dns_a_record),
        enable_resource_name_dns_aaaa_record: aaaa.unwrap_or(subnet.enable_resource_name_dns_aaaa_record),
    })
}
