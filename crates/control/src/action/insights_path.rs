//! Network Insights paths (spec 12.2.1): questions kept for later.

use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::insights::*;
use ec2::{Error, Operation};
use model::insights::{PathEnd, PathFilter, PathResource, PortRange};
use model::*;

use super::Handle;
use crate::Cloud;
use crate::describe::{Describe, Query};
use crate::insights::end::{self, End};
use crate::rules::{port_range, texts};

const KIND: &str = "network-insights-path";

impl Handle for CreateNetworkInsightsPath {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateNetworkInsightsPathResponse, Error> {
        let token = self.client_token.clone();
        if let Some(earlier) = cloud.replay::<InsightsPathId>(Self::NAME, Some(&token))? {
            let path = cloud.owned::<NetworkInsightsPath>(earlier)?;
            return Ok(CreateNetworkInsightsPathResponse { network_insights_path: item(cloud, &path) });
        }
        let path = checked(self, cloud)?;
        cloud.remember(Self::NAME, Some(&token), path.id);
        cloud.put(path.clone());
        Ok(CreateNetworkInsightsPathResponse { network_insights_path: item(cloud, &path) })
    }
}

/// The path that the request asks for, not yet kept.
fn checked(request: CreateNetworkInsightsPath, cloud: &mut Cloud<'_>) -> Result<NetworkInsightsPath, Error> {
    let tags = TagSpecification::tags(&request.tag_specifications, &[KIND], KIND)?;
    let protocol = protocol(&request.protocol)?;
    let destination_port = request.destination_port.map(port).transpose()?;
    let at_source = request.filter_at_source.map(|input| filter(input, "FilterAtSource")).transpose()?;
    let at_destination = request.filter_at_destination.map(|input| filter(input, "FilterAtDestination")).transpose()?;
    let source = end::parse(cloud, End::Source, &request.source)?;
    let destination = request.destination.as_deref().map(|text| end::parse(cloud, End::Destination, text));
    let path = NetworkInsightsPath {
        id: cloud.draw.id(),
        owner: cloud.caller.account,
        created: cloud.now,
        source,
        destination: destination.transpose()?,
        source_ip: request.source_ip,
        destination_ip: request.destination_ip,
        protocol,
        destination_port,
        filter_at_source: at_source,
        filter_at_destination: at_destination,
        tags,
    };
    check_combination(&path)?;
    check_ends(&path)?;
    check_families(&path)?;
    let max = cloud.config.quotas.network_insights_paths;
    if cloud.own_count::<NetworkInsightsPath>() >= max {
        let message =
            format!("You have reached the limit of {max} network insights paths in this region; delete some first");
        return Err(Error::new("NetworkInsightsPath.LimitExceeded", message));
    }
    Ok(path)
}

/// What goes with what.
fn check_combination(path: &NetworkInsightsPath) -> Result<(), Error> {
    if path.filter_at_source.is_some() && (path.source_ip.is_some() || path.destination_port.is_some()) {
        return Err(Error::invalid_combination(
            "FilterAtSource cannot be used together with SourceIp or DestinationPort; say it in the filter",
        ));
    }
    if path.filter_at_destination.is_some() && path.destination_ip.is_some() {
        return Err(Error::invalid_combination(
            "FilterAtDestination cannot be used together with DestinationIp; say it in the filter",
        ));
    }
    let has_address = path.filter_at_source.is_some_and(|filter| filter.destination_address.is_some());
    if path.destination.is_none() && !has_address {
        return Err(Error::new(
            "MissingParameter",
            "The request must include either the Destination parameter or the FilterAtSource.DestinationAddress \
             parameter. Add the required parameter and retry the request.",
        ));
    }
    Ok(())
}

fn protocol(text: &str) -> Result<IpProtocol, Error> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(IpProtocol::TCP),
        "udp" => Ok(IpProtocol::UDP),
        _ => Err(Error::invalid_parameter("Protocol", text, "Use tcp or udp.")),
    }
}

fn port(number: i32) -> Result<u16, Error> {
    u16::try_from(number)
        .map_err(|_| Error::invalid_parameter("DestinationPort", number, "Expecting a value between 0 and 65535."))
}

fn filter(input: PathFilterInput, name: &str) -> Result<PathFilter, Error> {
    let range = |range: Option<FilterPortRangeInput>, member: &str| {
        let Some(FilterPortRangeInput { from_port, to_port }) = range else { return Ok(None) };
        let missing = |end: &str| Error::missing_parameter(&format!("{name}.{member}.{end}"));
        let (from, to) = (from_port.ok_or_else(|| missing("FromPort"))?, to_port.ok_or_else(|| missing("ToPort"))?);
        match port_range(from, to)? {
            Ports::Range { from, to } => Ok(Some(PortRange { from, to })),
            Ports::Any | Ports::Icmp { .. } => Ok(None),
        }
    };
    Ok(PathFilter {
        source_address: input.source_address,
        source_ports: range(input.source_port_range, "SourcePortRange")?,
        destination_address: input.destination_address,
        destination_ports: range(input.destination_port_range, "DestinationPortRange")?,
    })
}

/// One end at least is the caller's own, and they are two.
fn check_ends(path: &NetworkInsightsPath) -> Result<(), Error> {
    let source = path.source;
    let is_own_endpoint = |end: PathEnd| {
        let is_endpoint = matches!(end.resource, PathResource::Instance(_) | PathResource::NetworkInterface(_));
        is_endpoint && end.owner == path.owner
    };
    if source.owner != path.owner && !path.destination.is_some_and(is_own_endpoint) {
        let why = "With a source in another account the destination must be an instance or interface of your own.";
        return Err(Error::invalid_parameter("Source", source.resource, why));
    }
    if path.destination.is_some_and(|destination| destination.resource == source.resource) {
        let why = "Source and destination must be two resources.";
        return Err(Error::invalid_parameter("Destination", source.resource, why));
    }
    Ok(())
}

/// All addresses of a path are of one family.
fn check_families(path: &NetworkInsightsPath) -> Result<(), Error> {
    let filters = || path.filter_at_source.iter().chain(&path.filter_at_destination);
    let named = [path.source_ip, path.destination_ip].into_iter();
    let filtered = filters().flat_map(|filter| [filter.source_address, filter.destination_address]);
    let mut all = named.chain(filtered).flatten();
    let Some(first) = all.next() else { return Ok(()) };
    match all.find(|other| other.is_ipv4() != first.is_ipv4()) {
        None => Ok(()),
        Some(other) => {
            Err(Error::invalid_value(format!("{first} and {other} are of two families; a path has addresses of one.")))
        }
    }
}

impl Handle for DeleteNetworkInsightsPath {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteNetworkInsightsPathResponse, Error> {
        let path = cloud.owned::<NetworkInsightsPath>(self.network_insights_path_id)?;
        if let Some(analysis) = cloud.own_by::<NetworkInsightsAnalysis>(By::id(path.id)).next() {
            let message = format!("The path '{}' has analyses, such as '{}'; delete them first", path.id, analysis.id);
            return Err(Error::new("AnalysisExistsForNetworkInsightsPath", message));
        }
        cloud.delete::<NetworkInsightsPath>(path.id);
        Ok(DeleteNetworkInsightsPathResponse { network_insights_path_id: path.id })
    }
}

impl Handle for DescribeNetworkInsightsPaths {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeNetworkInsightsPathsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.network_insights_path_ids, filters: &self.filters, page };
        let (paths, next_token) = cloud.select::<NetworkInsightsPath>(query, 1..=100)?;
        let network_insights_paths = paths.iter().map(|path| item(cloud, path)).collect();
        Ok(DescribeNetworkInsightsPathsResponse { network_insights_paths, next_token })
    }
}

impl Describe for NetworkInsightsPath {
    const FILTERS: &'static [&'static str] = &[
        "destination",
        "filter-at-destination.destination-address",
        "filter-at-destination.destination-port-range",
        "filter-at-destination.source-address",
        "filter-at-destination.source-port-range",
        "filter-at-source.destination-address",
        "filter-at-source.destination-port-range",
        "filter-at-source.source-address",
        "filter-at-source.source-port-range",
        "protocol",
        "source",
    ];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, _: &Cloud<'_>, filter: &str) -> Vec<String> {
        let filter_values = |found: &Option<PathFilter>, member: &str| {
            let Some(found) = found else { return Vec::new() };
            let range = |range: Option<PortRange>| texts(range.map(|range| format!("{}-{}", range.from, range.to)));
            match member {
                "source-address" => texts(found.source_address),
                "source-port-range" => range(found.source_ports),
                "destination-address" => texts(found.destination_address),
                _ => range(found.destination_ports),
            }
        };
        match filter.split_once('.') {
            Some(("filter-at-source", member)) => filter_values(&self.filter_at_source, member),
            Some((_, member)) => filter_values(&self.filter_at_destination, member),
            None => match filter {
                "source" => texts([self.source.resource]),
                "destination" => texts(self.destination.map(|end| end.resource)),
                _ => vec![self.protocol.name()],
            },
        }
    }
}

fn item(cloud: &Cloud<'_>, path: &NetworkInsightsPath) -> NetworkInsightsPathItem {
    let arn = |end: PathEnd| end::arn(cloud.config.region, end.owner, end.resource.kind(), end.resource);
    NetworkInsightsPathItem {
        network_insights_path_id: path.id,
        network_insights_path_arn: cloud.arn(KIND, path.id),
        created_date: path.created,
        source: path.source.resource.to_string(),
        destination: path.destination.map(|end| end.resource.to_string()),
        source_arn: arn(path.source),
        destination_arn: path.destination.map(arn),
        source_ip: path.source_ip,
        destination_ip: path.destination_ip,
        protocol: path.protocol.name(),
        destination_port: path.destination_port,
        tag_set: path.tags.clone(),
        filter_at_source: path.filter_at_source.map(filter_item),
        filter_at_destination: path.filter_at_destination.map(filter_item),
    }
}

fn filter_item(filter: PathFilter) -> PathFilterItem {
    let range = |PortRange { from, to }| FilterPortRangeItem { from_port: from, to_port: to };
    PathFilterItem {
        source_address: filter.source_address,
        source_port_range: filter.source_ports.map(range),
        destination_address: filter.destination_address,
        destination_port_range: filter.destination_ports.map(range),
    }
}
