//! Flow logs (spec 12.1). Made for each of several resources at once; never changed. Codes and texts that AWS was not seen to answer are
//! listed in docs/decisions/0026.

use std::collections::BTreeSet;

use ec2::page::Page;
use ec2::shapes::TagSpecification;
use ec2::shapes::flow_log::*;
use ec2::{Error, IdCodes, Operation};
use model::flow_log::{DestinationOptions, FileFormat, LogDestination, LogDestinationType, LogFormatError};
use model::*;

use super::Handle;
use crate::Cloud;
use crate::cloud::Owned;
use crate::describe::{Describe, Place, Query};
use crate::rules::texts;

/// Resources of one request (AWS's bound).
const RESOURCES_MAX: usize = 1000;
const INTERVALS: [i32; 2] = [60, 600];
const FORMAT_MAX: usize = 4096;

impl Handle for CreateFlowLogs {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<CreateFlowLogsResponse, Error> {
        let tags = TagSpecification::tags(&self.tag_specifications, &["vpc-flow-log"], "vpc-flow-log")?;
        let token = self.client_token.as_deref();
        let configuration = configuration(&self)?;
        let resources = resources(&self.resource_type, &self.resource_ids)?;
        if cloud.replay::<FlowLogId>(Self::NAME, token)?.is_some() {
            return Ok(replayed(cloud, self.client_token));
        }
        let (mut made, mut unsuccessful) = (Vec::new(), Vec::new());
        for resource in resources {
            if let Err(Error { code, message, .. }) = owned(cloud, resource) {
                let error = UnsuccessfulItemError { code: code.into_owned(), message };
                unsuccessful.push(UnsuccessfulItem { resource_id: resource.to_string(), error });
                continue;
            }
            check_others(cloud, resource, &configuration)?;
            let (id, owner, created) = (cloud.draw.id(), cloud.caller.account, cloud.now);
            let (client_token, tags) = (self.client_token.clone(), tags.clone());
            cloud.put(FlowLog { id, owner, resource, created, client_token, tags, ..configuration.clone() });
            made.push(id);
        }
        if let Some(first) = made.first() {
            cloud.remember(Self::NAME, token, *first);
        }
        Ok(CreateFlowLogsResponse { client_token: self.client_token, flow_log_ids: made, unsuccessful })
    }
}

/// What an earlier request with this token made and is still there.
fn replayed(cloud: &Cloud<'_>, client_token: Option<String>) -> CreateFlowLogsResponse {
    let made = cloud.own::<FlowLog>().filter(|log| log.client_token == client_token).map(|log| log.id);
    CreateFlowLogsResponse { flow_log_ids: made.collect(), client_token, unsuccessful: Vec::new() }
}

fn resources(kind: &str, ids: &[String]) -> Result<Vec<LoggedResource>, Error> {
    fn parse<Id: IdCodes>(id: &str) -> Result<Id, Error> {
        id.parse().map_err(|error| Error::malformed::<Id>(&error))
    }
    let read: fn(&str) -> Result<LoggedResource, Error> = match kind {
        "VPC" => |id| parse(id).map(LoggedResource::Vpc),
        "Subnet" => |id| parse(id).map(LoggedResource::Subnet),
        "NetworkInterface" => |id| parse(id).map(LoggedResource::NetworkInterface),
        "TransitGateway" | "TransitGatewayAttachment" | "RegionalNatGateway" => {
            let message =
                format!("Flow logs of the type {kind} are not offered here; use VPC, Subnet or NetworkInterface");
            return Err(Error::new("UnsupportedOperation", message));
        }
        _ => {
            let why = "Use VPC, Subnet or NetworkInterface.";
            return Err(Error::invalid_parameter("ResourceType", kind, why));
        }
    };
    if ids.is_empty() {
        return Err(Error::missing_parameter("ResourceId"));
    }
    if ids.len() > RESOURCES_MAX {
        let message = format!("The request has {} resource ids, the limit is {RESOURCES_MAX}", ids.len());
        return Err(Error::invalid_value(message));
    }
    ids.iter().map(|id| read(id)).collect()
}

fn owned(cloud: &Cloud<'_>, resource: LoggedResource) -> Result<(), Error> {
    fn find<E: Owned>(cloud: &Cloud<'_>, id: E::Id) -> Result<(), Error>
    where
        E::Id: IdCodes,
    {
        cloud.owned::<E>(id).map(drop)
    }
    match resource {
        LoggedResource::Vpc(id) => find::<Vpc>(cloud, id),
        LoggedResource::Subnet(id) => find::<Subnet>(cloud, id),
        LoggedResource::NetworkInterface(id) => find::<NetworkInterface>(cloud, id),
    }
}

/// The resource may have one more, and has none like it.
fn check_others(cloud: &Cloud<'_>, resource: LoggedResource, new: &FlowLog) -> Result<(), Error> {
    let of = |log: &FlowLog| (log.traffic, log.destination.clone(), log.format.clone(), log.max_aggregation_interval);
    let mut count = 0;
    for log in cloud.own_by::<FlowLog>(by(resource)).filter(|log| log.resource == resource) {
        if of(log) == of(new) {
            let message = "Error. There is an existing Flow Log with the same configuration and log destination.";
            return Err(Error::new("FlowLogAlreadyExists", message));
        }
        count += 1;
    }
    let limit = cloud.config.quotas.flow_logs_per_resource;
    if count >= limit {
        let message = format!("The maximum number of flow logs ({limit}) has been reached for {resource}.");
        return Err(Error::new("FlowLogsLimitExceeded", message));
    }
    Ok(())
}

fn by(resource: LoggedResource) -> By {
    match resource {
        LoggedResource::Vpc(id) => By::id(id),
        LoggedResource::Subnet(id) => By::id(id),
        LoggedResource::NetworkInterface(id) => By::id(id),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new("InvalidParameter", message)
}

/// A flow log as the request describes it; whose it is and of what is filled in later.
fn configuration(request: &CreateFlowLogs) -> Result<FlowLog, Error> {
    let traffic = request.traffic_type.as_deref().ok_or_else(|| Error::missing_parameter("TrafficType"))?;
    let traffic = TrafficType::parse(traffic)
        .ok_or_else(|| Error::invalid_parameter("TrafficType", traffic, "Use ACCEPT, REJECT or ALL."))?;
    let interval = request.max_aggregation_interval.unwrap_or(600);
    if !INTERVALS.contains(&interval) {
        return Err(invalid("Invalid Flow Log Max Aggregation Interval"));
    }
    Ok(FlowLog {
        id: FlowLogId::FIRST,
        owner: AccountId::OPERATOR,
        resource: LoggedResource::Vpc(VpcId::FIRST),
        traffic,
        destination: destination(request)?,
        format: request.log_format.as_deref().map_or_else(|| Ok(LogFormat::default()), format)?,
        max_aggregation_interval: interval.unsigned_abs(),
        created: Time::EPOCH,
        client_token: None,
        tags: Tags::new(),
    })
}

fn format(text: &str) -> Result<LogFormat, Error> {
    let shown: String = text.chars().take(FORMAT_MAX).collect();
    let refused = |why: String| {
        let message =
            format!("1 validation error detected: Value '{shown}' at 'logFormat' has an invalid format: {why}");
        Error::invalid_value(message)
    };
    if text.len() > FORMAT_MAX {
        return Err(refused(format!("it is longer than {FORMAT_MAX} bytes")));
    }
    text.parse().map_err(|error: LogFormatError| refused(error.to_string()))
}

/// Recorded as it is; what AWS would refuse is refused (api.md 6).
fn destination(request: &CreateFlowLogs) -> Result<LogDestination, Error> {
    let CreateFlowLogs { log_destination, log_group_name, deliver_logs_permission_arn, .. } = request;
    let kind = match request.log_destination_type.as_deref() {
        None => LogDestinationType::CloudWatchLogs,
        Some(text) => LogDestinationType::parse(text).ok_or_else(|| {
            let why = "Use cloud-watch-logs, s3 or kinesis-data-firehose.";
            Error::invalid_parameter("LogDestinationType", text, why)
        })?,
    };
    let (is_logs, is_s3) = (kind == LogDestinationType::CloudWatchLogs, kind == LogDestinationType::S3);
    match (log_destination, log_group_name) {
        (Some(_), Some(_)) => {
            return Err(invalid("Please only provide LogGroupName or only provide LogDestination."));
        }
        (None, None) => return Err(invalid("LogDestination can't be empty if LogGroupName is not provided.")),
        (None, Some(_)) if !is_logs => {
            return Err(invalid("LogDestination type must be cloud-watch-logs if LogGroupName is provided."));
        }
        _ => {}
    }
    let group = log_destination.as_deref().map(|arn| arn_of(kind, arn)).transpose()?.flatten();
    match deliver_logs_permission_arn {
        None if is_logs => {
            let message = "DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs.";
            return Err(invalid(message));
        }
        Some(_) if is_s3 => return Err(invalid("DeliverLogsPermissionArn is not applicable for s3 delivery")),
        _ => {}
    }
    if request.destination_options.is_some() && !is_s3 {
        return Err(invalid("DestinationOptions can only be provided if LogDestinationType is s3."));
    }
    Ok(LogDestination {
        kind,
        destination: log_destination.clone(),
        log_group_name: log_group_name.clone().or(group),
        deliver_logs_permission_arn: deliver_logs_permission_arn.clone(),
        deliver_cross_account_role: request.deliver_cross_account_role.clone(),
        options: if is_s3 { Some(options(request.destination_options.as_ref())?) } else { None },
    })
}

/// The log group that an ARN names, if it is of one.
fn arn_of(kind: LogDestinationType, arn: &str) -> Result<Option<String>, Error> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let (service, resource) = match parts[..] {
        ["arn", _, service, _, _, resource] if !resource.is_empty() => (service, resource),
        _ => ("", ""),
    };
    let is_right = match kind {
        LogDestinationType::CloudWatchLogs => service == "logs" && resource.starts_with("log-group:"),
        LogDestinationType::S3 => service == "s3",
        LogDestinationType::KinesisDataFirehose => service == "firehose" && resource.starts_with("deliverystream/"),
    };
    if !is_right {
        return Err(invalid(format!("LogDestination: {arn} is not an ARN for the type {}", kind.name())));
    }
    let group = resource.strip_prefix("log-group:").and_then(|rest| rest.split(':').next());
    Ok(group.filter(|_| kind == LogDestinationType::CloudWatchLogs).map(Into::into))
}

fn options(input: Option<&DestinationOptionsInput>) -> Result<DestinationOptions, Error> {
    let mut options = DestinationOptions::default();
    if let Some(DestinationOptionsInput { file_format, hive_compatible_partitions, per_hour_partition }) = input {
        if let Some(text) = file_format {
            options.file_format = FileFormat::parse(text).ok_or_else(|| {
                Error::invalid_parameter("DestinationOptions.FileFormat", text, "Use plain-text or parquet.")
            })?;
        }
        options.hive_compatible_partitions = hive_compatible_partitions.unwrap_or_default();
        options.per_hour_partition = per_hour_partition.unwrap_or_default();
    }
    Ok(options)
}

impl Handle for DeleteFlowLogs {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DeleteFlowLogsResponse, Error> {
        if self.flow_log_ids.is_empty() {
            return Err(Error::missing_parameter("FlowLogId"));
        }
        check_there(cloud, &self.flow_log_ids)?;
        for id in self.flow_log_ids {
            cloud.delete::<FlowLog>(id);
        }
        Ok(DeleteFlowLogsResponse { unsuccessful: Vec::new() })
    }
}

/// All of them are the caller's own.
fn check_there(cloud: &Cloud<'_>, ids: &[FlowLogId]) -> Result<(), Error> {
    let unknown: BTreeSet<FlowLogId> = ids.iter().copied().filter(|id| cloud.owned::<FlowLog>(*id).is_err()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let (count, list) = (unknown.len(), texts(&unknown).join(" "));
    let message = format!("These flow log ids in the input list are not found: [TotalCount: {count}] {list}");
    Err(Error::new(FlowLogId::NOT_FOUND, message))
}

impl Handle for DescribeFlowLogs {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<DescribeFlowLogsResponse, Error> {
        let page = Page { max_results: self.max_results, next_token: self.next_token.as_deref() };
        let query = Query { ids: &self.flow_log_ids, filters: &self.filters, page };
        query.check(FlowLog::FILTERS)?;
        check_there(cloud, &self.flow_log_ids)?;
        let (logs, next_token) = cloud.select::<FlowLog>(query, 5..=1000)?;
        Ok(DescribeFlowLogsResponse { flow_logs: logs.iter().map(|log| item(log)).collect(), next_token })
    }
}

/// Lines are written as long as the flow log is there.
const ACTIVE: &str = "ACTIVE";
const DELIVERED: &str = "SUCCESS";

impl Describe for FlowLog {
    const FILTERS: &'static [&'static str] =
        &["deliver-log-status", "flow-log-id", "log-destination-type", "log-group-name", "resource-id", "traffic-type"];

    fn is_visible(&self, cloud: &Cloud<'_>) -> bool {
        self.owner == cloud.caller.account
    }

    fn tags<'t>(&'t self, _: &Cloud<'_>) -> &'t Tags {
        &self.tags
    }

    fn values(&self, _: &Cloud<'_>, filter: &str) -> Vec<String> {
        match filter {
            "deliver-log-status" => texts([DELIVERED]),
            "flow-log-id" => texts([self.id]),
            "log-destination-type" => texts([self.destination.kind.name()]),
            "log-group-name" => texts(&self.destination.log_group_name),
            "resource-id" => texts([self.resource]),
            "traffic-type" => texts([self.traffic.name()]),
            _ => Vec::new(),
        }
    }

    fn place(_: &Cloud<'_>, filter: &str, value: &str) -> Option<Place<Self::Id>> {
        match filter {
            "flow-log-id" => Place::of_id(value),
            "resource-id" => {
                let vpc = || Place::naming::<VpcId>(value);
                let subnet = || Place::naming::<SubnetId>(value);
                Place::naming::<NetworkInterfaceId>(value).or_else(subnet).or_else(vpc)
            }
            _ => None,
        }
    }
}

fn item(log: &FlowLog) -> FlowLogItem {
    let LogDestination { kind, destination, log_group_name, .. } = &log.destination;
    FlowLogItem {
        flow_log_id: log.id,
        flow_log_status: ACTIVE,
        resource_id: log.resource.to_string(),
        traffic_type: log.traffic.name(),
        log_destination_type: kind.name(),
        log_destination: destination.clone(),
        log_group_name: log_group_name.clone(),
        deliver_logs_permission_arn: log.destination.deliver_logs_permission_arn.clone(),
        deliver_cross_account_role: log.destination.deliver_cross_account_role.clone(),
        deliver_logs_status: DELIVERED,
        log_format: log.format.to_string(),
        max_aggregation_interval: log.max_aggregation_interval,
        destination_options: log.destination.options.map(|options| DestinationOptionsItem {
            file_format: options.file_format.name(),
            hive_compatible_partitions: options.hive_compatible_partitions,
            per_hour_partition: options.per_hour_partition,
        }),
        creation_time: log.created,
        tag_set: log.tags.clone(),
    }
}
