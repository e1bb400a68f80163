//! Parameters that are accepted although nothing comes of them: each with the values that may be sent, and why that does no harm
//! (decision 0044). Everything else that is not implemented is refused.

/// An exception from the rule.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// `*`: any.
    pub action: &'static str,
    /// Its full name without the numbers of list items; what ends in `.*` stands for all that is below.
    pub parameter: &'static str,
    pub values: Values,
    pub because: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    Any,
    /// Those that ask for what is so anyhow. Case does not count.
    Only(&'static [&'static str]),
}

use Values::{Any, Only};

const EITHER: Values = Only(&["true", "false"]);
const OFF: Values = Only(&["false", "disabled", "none", "default"]);

macro_rules! accepted {
    ($($action:literal $parameter:literal $values:expr, $because:literal;)*) => {
        /// All of them.
        pub const ACCEPTED: &[Accepted] = &[$(Accepted {
            action: $action,
            parameter: $parameter,
            values: $values,
            because: $because,
        },)*];
    };
}

accepted! {
    "*" "ClientToken" Any, "without it a repeated call is a new call, which is what its answer says";
    "*" "IncludeManagedResources" EITHER, "no other service manages anything here";
    "AssociateVpcCidrBlock" "Ipv6CidrBlockNetworkBorderGroup" Any, "a region is one border group";
    "CreateNetworkInterface" "Ipv6Addresses.IsPrimaryIpv6" OFF, "it is so";
    "CreateVpc" "Ipv6CidrBlockNetworkBorderGroup" Any, "a region is one border group";
    "DescribeAvailabilityZones" "AllAvailabilityZones" EITHER, "every zone is opted in";
    "DescribeInstanceTypes" "IncludeUnsupportedInRegion" EITHER, "all are supported";
    "DescribeRegions" "AllRegions" EITHER, "every region is opted in";
    "RunInstances" "AdditionalInfo" Any, "EC2 keeps it for itself, too";
    "RunInstances" "BlockDeviceMapping.*" Any, "what a volume has beside what is recorded of it shapes nothing: an instance's files are on its host";
    "RunInstances" "EnclaveOptions.Enabled" OFF, "there are none";
    "RunInstances" "HibernationOptions.Configured" OFF, "there is none";
    "RunInstances" "Placement.Affinity" OFF, "it is so";
    "RunInstances" "Placement.AvailabilityZoneId" Any, "the subnet says it";
    "RunInstances" "Placement.GroupName" Only(&[""]), "it is none";
    "RunInstances" "Placement.Tenancy" OFF, "it is so";
    "StartInstances" "AdditionalInfo" Any, "EC2 keeps it for itself, too";
    "StopInstances" "Force" EITHER, "a sandbox that does not end by itself is ended";
    "StopInstances" "Hibernate" OFF, "it is so";
    "StopInstances" "SkipOsShutdown" EITHER, "a sandbox that does not end by itself is ended";
    "TerminateInstances" "Force" EITHER, "a sandbox that does not end by itself is ended";
    "TerminateInstances" "SkipOsShutdown" EITHER, "a sandbox that does not end by itself is ended";
    "AuthorizeSecurityGroupEgress" "IpPermissions.Groups.PeeringStatus" Any, "answers show it, and permissions are copied from answers";
    "AuthorizeSecurityGroupEgress" "IpPermissions.Groups.VpcId" Any, "answers show it, and permissions are copied from answers";
    "AuthorizeSecurityGroupIngress" "IpPermissions.Groups.PeeringStatus" Any, "answers show it, and permissions are copied from answers";
    "AuthorizeSecurityGroupIngress" "IpPermissions.Groups.VpcId" Any, "answers show it, and permissions are copied from answers";
    "RevokeSecurityGroupEgress" "IpPermissions.Groups.PeeringStatus" Any, "answers show it, and permissions are copied from answers";
    "RevokeSecurityGroupEgress" "IpPermissions.Groups.VpcId" Any, "answers show it, and permissions are copied from answers";
    "RevokeSecurityGroupIngress" "IpPermissions.Groups.PeeringStatus" Any, "answers show it, and permissions are copied from answers";
    "RevokeSecurityGroupIngress" "IpPermissions.Groups.VpcId" Any, "answers show it, and permissions are copied from answers";
    "UpdateSecurityGroupRuleDescriptionsEgress" "IpPermissions.Groups.PeeringStatus" Any, "answers show it, and permissions are copied from answers";
    "UpdateSecurityGroupRuleDescriptionsEgress" "IpPermissions.Groups.VpcId" Any, "answers show it, and permissions are copied from answers";
    "UpdateSecurityGroupRuleDescriptionsIngress" "IpPermissions.Groups.PeeringStatus" Any, "answers show it, and permissions are copied from answers";
    "UpdateSecurityGroupRuleDescriptionsIngress" "IpPermissions.Groups.VpcId" Any, "answers show it, and permissions are copied from answers";
}

pub(super) fn is_accepted(action: &str, parameter: &str, value: &str) -> bool {
    ACCEPTED.iter().any(|one| one.is_for(action, parameter) && one.takes(value))
}

impl Accepted {
    pub fn is_for(&self, action: &str, parameter: &str) -> bool {
        let is_named = match self.parameter.strip_suffix('*') {
            Some(above) => parameter.starts_with(above),
            None => parameter == self.parameter,
        };
        is_named && ["*", action].contains(&self.action)
    }

    fn takes(&self, value: &str) -> bool {
        match self.values {
            Any => true,
            Only(values) => values.iter().any(|one| one.eq_ignore_ascii_case(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::{Tree, tree};

    #[test]
    fn values_that_ask_for_something_are_not_accepted() {
        assert!(is_accepted("RunInstances", "EnclaveOptions.Enabled", "False"));
        assert!(!is_accepted("RunInstances", "EnclaveOptions.Enabled", "true"));
        assert!(!is_accepted("StartInstances", "EnclaveOptions.Enabled", "false"));
        assert!(is_accepted("RunInstances", "BlockDeviceMapping.Ebs.VolumeSize", "8"));
    }

    /// A parameter that came to be implemented is no exception any more.
    #[test]
    fn every_exception_is_one() {
        fn unread(above: &str, tree: &Tree, found: &mut Vec<String>) {
            for (name, known) in tree {
                let path = if above.is_empty() { (*name).to_owned() } else { format!("{above}.{name}") };
                if !known.is_read && known.members.is_empty() {
                    found.push(path.clone());
                }
                unread(&path, &known.members, found);
            }
        }
        let mut stale = Vec::new();
        for one in ACCEPTED.iter().filter(|one| one.action != "*") {
            let mut found = Vec::new();
            tree(one.action).into_iter().for_each(|tree| unread("", tree, &mut found));
            if !found.iter().any(|path| one.is_for(one.action, path)) {
                stale.push((one.action, one.parameter));
            }
            assert!(!one.because.is_empty());
        }
        assert!(stale.is_empty(), "take these out, they are implemented by now, or not EC2's: {stale:?}");
    }
}
