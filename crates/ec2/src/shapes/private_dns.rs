//! Host names of instances (spec 3.6, 9.2).

use model::*;

use crate::shapes::Done;

operation! {
    ModifyPrivateDnsNameOptions -> Done {
        instance_id: InstanceId = "InstanceId",
        private_dns_hostname_type: Option<String> = "PrivateDnsHostnameType",
        enable_resource_name_dns_a_record: Option<bool> = "EnableResourceNameDnsARecord",
        enable_resource_name_dns_aaaa_record: Option<bool> = "EnableResourceNameDnsAAAARecord",
    }
}

input! {
    /// At launch; what is left out is as the subnet says.
    PrivateDnsNameOptionsInput {
        hostname_type: Option<String> = "HostnameType",
        enable_resource_name_dns_a_record: Option<bool> = "EnableResourceNameDnsARecord",
        enable_resource_name_dns_aaaa_record: Option<bool> = "EnableResourceNameDnsAAAARecord",
    }
}
