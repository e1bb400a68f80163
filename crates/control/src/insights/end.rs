//! The ends of a path: what a request names by id or by ARN (spec 12.2.1).

use ec2::{Error, IdCodes};
use model::insights::{PathEnd, PathResource};
use model::*;

use crate::Cloud;
use crate::rules::visible_peering;

/// Which end, as the API calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Source,
    Destination,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            End::Source => "Source",
            End::Destination => "Destination",
        }
    }

    /// AWS's code for a resource of the caller that is not there, whatever kind it is of.
    fn not_found(self, text: &str) -> Error {
        let (code, noun) = match self {
            End::Source => ("NetworkInsightsSource.NotFound", "source"),
            End::Destination => ("NetworkInsightsDestination.NotFound", "destination"),
        };
        Error::new(code, format!("The {noun} '{text}' does not exist"))
    }

    fn invalid(self, text: &str, why: &str) -> Error {
        Error::invalid_parameter(self.name(), text, why)
    }
}

/// Kinds that AWS lets a path begin or end at and of which there is none here.
const NOT_HERE: [&str; 5] = ["tgw", "tgw-attach", "vgw", "vpce", "vpce-svc"];
const KINDS: &str =
    "Name an instance, a network interface, an internet gateway or a VPC peering connection, by its id or its ARN.";

/// The resource that the text names. Of another account only an ARN is taken, and whether it exists is not told.
///
/// # Errors
/// The kind's Malformed, `NetworkInsightsSource.NotFound`, `NetworkInsightsDestination.NotFound`, `InvalidParameterValue` for
/// what is no end of a path, or is in another region.
pub fn parse(cloud: &Cloud<'_>, end: End, text: &str) -> Result<PathEnd, Error> {
    let (owner, id) = match Arn::parse(text) {
        None if text.starts_with("arn:") => return Err(end.invalid(text, "This is not an ARN of EC2.")),
        None => (cloud.caller.account, text),
        Some(arn) if arn.region != cloud.config.region.as_str() => {
            let why = format!("Both ends of a path are in the region of the request, {}.", cloud.config.region);
            return Err(end.invalid(text, &why));
        }
        Some(arn) => {
            let owner = arn.account.parse().map_err(|_| end.invalid(text, "An account id has 12 digits."))?;
            (owner, arn.id)
        }
    };
    let resource = resource(end, text, id)?;
    if let Some(arn) = Arn::parse(text).filter(|arn| arn.kind != resource.kind()) {
        return Err(end.invalid(text, &format!("{} is no {}.", arn.id, arn.kind)));
    }
    if owner == cloud.caller.account && !is_there(cloud, resource) {
        return Err(end.not_found(text));
    }
    Ok(PathEnd { owner, resource })
}

fn resource(end: End, text: &str, id: &str) -> Result<PathResource, Error> {
    let prefix = id.rsplit_once('-').map_or("", |(prefix, _)| prefix);
    match prefix {
        InstanceId::PREFIX => typed(id).map(PathResource::Instance),
        NetworkInterfaceId::PREFIX => typed(id).map(PathResource::NetworkInterface),
        InternetGatewayId::PREFIX => typed(id).map(PathResource::InternetGateway),
        PeeringId::PREFIX => typed(id).map(PathResource::Peering),
        other if NOT_HERE.contains(&other) => Err(end.not_found(text)),
        _ => Err(end.invalid(text, KINDS)),
    }
}

fn typed<Id: IdCodes>(id: &str) -> Result<Id, Error> {
    id.parse().map_err(|error| Error::malformed::<Id>(&error))
}

/// The caller has it, or in a peering a side of it.
fn is_there(cloud: &Cloud<'_>, resource: PathResource) -> bool {
    match resource {
        PathResource::Instance(id) => cloud.owned::<Instance>(id).is_ok(),
        PathResource::NetworkInterface(id) => cloud.owned::<NetworkInterface>(id).is_ok(),
        PathResource::InternetGateway(id) => cloud.owned::<InternetGateway>(id).is_ok(),
        PathResource::Peering(id) => visible_peering(cloud, id).is_ok(),
    }
}

/// `arn:aws:ec2:<region>:<account>:<kind>/<id>`, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'t> {
    pub region: &'t str,
    pub account: &'t str,
    pub kind: &'t str,
    pub id: &'t str,
}

impl<'t> Arn<'t> {
    pub fn parse(text: &'t str) -> Option<Arn<'t>> {
        let mut parts = text.strip_prefix("arn:aws:ec2:")?.splitn(3, ':');
        let (region, account) = (parts.next()?, parts.next()?);
        let (kind, id) = parts.next()?.split_once('/')?;
        let is_whole = [region, account, kind, id].iter().all(|part| !part.is_empty());
        is_whole.then_some(Arn { region, account, kind, id })
    }
}

/// The ARN of something in this region.
pub fn arn(region: Region, owner: AccountId, kind: &str, id: impl std::fmt::Display) -> String {
    format!("arn:aws:ec2:{region}:{owner}:{kind}/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_all_its_parts() {
        let text = "arn:aws:ec2:us-east-1:111111111111:network-interface/eni-0123456789abcdef0";
        let whole = Arn {
            region: "us-east-1",
            account: "111111111111",
            kind: "network-interface",
            id: "eni-0123456789abcdef0",
        };
        assert_eq!(Arn::parse(text), Some(whole));
        for wrong in [
            "",
            "eni-0123456789abcdef0",
            "arn:aws:ec2:us-east-1:111111111111:network-interface",
            "arn:aws:ec2:us-east-1:111111111111:network-interface/",
            "arn:aws:ec2::111111111111:network-interface/eni-1",
            "arn:aws:s3:us-east-1:111111111111:network-interface/eni-1",
        ] {
            assert_eq!(Arn::parse(wrong), None, "{wrong}");
        }
    }
}
