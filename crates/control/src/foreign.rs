//! The services that tools call on their way and that speak JSON: Systems Manager for its public parameters, CloudWatch Logs for the log
//! groups that flow logs name. Log groups are recorded; nothing is written into them.

use ec2::service::Service;
use ec2::{Caller, Error};
use model::*;
use serde_json::{Map, Value, json};

use crate::action::image;
use crate::{Cloud, Config, Seed};

/// What Systems Manager is asked.
pub const SSM: &[&str] = &["GetParameter", "GetParameters", "GetParametersByPath"];
/// What CloudWatch Logs is asked.
pub const LOGS: &[&str] = &[
    "CreateLogGroup",
    "DeleteLogGroup",
    "DescribeLogGroups",
    "PutRetentionPolicy",
    "DeleteRetentionPolicy",
    "ListTagsForResource",
    "ListTagsLogGroup",
    "TagResource",
    "TagLogGroup",
    "UntagResource",
    "UntagLogGroup",
];

/// It changes nothing.
pub fn is_read(operation: &str) -> bool {
    ["Get", "Describe", "List"].iter().any(|word| operation.starts_with(word))
}

/// The answer's document and the changes that must be committed before it is sent.
///
/// # Errors
/// The service's, in its own words; nothing has changed then.
#[expect(clippy::too_many_arguments, reason = "what `handle` has, and a request that nobody has parsed yet")]
pub fn handle(
    world: &World,
    caller: &Caller,
    service: Service,
    operation: &str,
    body: &[u8],
    config: &Config,
    seed: Seed,
    machine: Time,
) -> Result<(String, Vec<Change>), Error> {
    let asked = Asked::read(body)?;
    let mut cloud = Cloud::new(world, caller, config, seed, machine, 0);
    let answer = match service {
        Service::Ssm => ssm(&cloud, operation, &asked)?,
        Service::Logs => logs(&mut cloud, operation, &asked)?,
        _ => return Err(unknown(service, operation)),
    };
    Ok((answer.to_string(), cloud.into_changes()))
}

fn unknown(service: Service, operation: &str) -> Error {
    let operation: String = operation.chars().take(64).collect();
    Error::new(
        "UnknownOperationException",
        format!("The operation '{operation}' of {} is not served here", service.name()),
    )
}

/// The members of a request.
struct Asked(Map<String, Value>);

impl Asked {
    fn read(body: &[u8]) -> Result<Asked, Error> {
        match serde_json::from_slice(if body.is_empty() { b"{}" } else { body }) {
            Ok(Value::Object(members)) => Ok(Asked(members)),
            _ => Err(Error::new("SerializationException", "The request's body is not an object of JSON")),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(name, "a text")),
        }
    }

    fn must(&self, name: &str) -> Result<&str, Error> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| {
            Error::new("InvalidParameterException", format!("The request must contain the member {name}"))
        })
    }

    fn texts(&self, name: &str) -> Result<Vec<&str>, Error> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                items.iter().map(|item| item.as_str().ok_or_else(|| wrong_type(name, "a list of texts"))).collect()
            }
            Some(_) => Err(wrong_type(name, "a list of texts")),
        }
    }

    fn tags(&self) -> Result<Tags, Error> {
        let tags = match self.0.get("tags") {
            None | Some(Value::Null) => return Ok(Tags::new()),
            Some(Value::Object(tags)) => tags,
            Some(_) => return Err(wrong_type("tags", "an object of texts")),
        };
        let tag = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        tags.iter().map(|pair| tag(pair).ok_or_else(|| wrong_type("tags", "an object of texts"))).collect()
    }
}

fn wrong_type(name: &str, expected: &str) -> Error {
    Error::new("SerializationException", format!("The member {name} is not {expected}"))
}

/// Names of one GetParameters.
const NAMES_MAX: usize = 10;

fn ssm(cloud: &Cloud<'_>, operation: &str, asked: &Asked) -> Result<Value, Error> {
    match operation {
        "GetParameter" => {
            let name = asked.must("Name")?;
            let missing = || Error::new("ParameterNotFound", format!("Parameter {name} not found."));
            parameter(cloud, name).map(|found| json!({ "Parameter": found })).ok_or_else(missing)
        }
        "GetParameters" => {
            let names = asked.texts("Names")?;
            if names.is_empty() || names.len() > NAMES_MAX {
                let message = format!("Names has {} members; it needs 1 to {NAMES_MAX}", names.len());
                return Err(Error::new("ValidationException", message));
            }
            let missing: Vec<&str> = names.iter().copied().filter(|name| parameter(cloud, name).is_none()).collect();
            let found: Vec<Value> = names.iter().filter_map(|name| parameter(cloud, name)).collect();
            Ok(json!({ "Parameters": found, "InvalidParameters": missing }))
        }
        "GetParametersByPath" => {
            let path = asked.must("Path")?.trim_end_matches('/');
            let below = KNOWN_PARAMETERS
                .iter()
                .filter(|name| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')));
            let found: Vec<Value> = below.filter_map(|name| parameter(cloud, name)).collect();
            Ok(json!({ "Parameters": found }))
        }
        other => Err(unknown(Service::Ssm, other)),
    }
}

/// What a path lists; by its name any other of these publishers is found, too.
const KNOWN_PARAMETERS: &[&str] = &[
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64",
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64",
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.12-arm64",
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.12-x86_64",
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    "/aws/service/ami-amazon-linux-latest/al2023-ami-minimal-kernel-default-arm64",
    "/aws/service/ami-amazon-linux-latest/al2023-ami-minimal-kernel-default-x86_64",
    "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-arm64-gp2",
    "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2",
    "/aws/service/ami-amazon-linux-latest/amzn2-ami-kernel-5.10-hvm-arm64-gp2",
    "/aws/service/ami-amazon-linux-latest/amzn2-ami-kernel-5.10-hvm-x86_64-gp2",
];

/// The day of the last build, as seconds since 1970.
const LAST_MODIFIED: f64 = 1_767_600_000.0;

fn parameter(cloud: &Cloud<'_>, name: &str) -> Option<Value> {
    let region = cloud.config.region;
    // By name or by ARN.
    let path = name.find(":parameter/").map_or(name, |at| &name[at + ":parameter".len()..]);
    let image = image::by_parameter(path)?;
    Some(json!({
        "Name": path,
        "Type": "String",
        "Value": image.to_string(),
        "Version": 1,
        "LastModifiedDate": LAST_MODIFIED,
        "ARN": format!("arn:aws:ssm:{region}::parameter{path}"),
        "DataType": "text",
    }))
}

/// How long CloudWatch Logs keeps what is logged, in days.
const RETENTION_DAYS: [u64; 23] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653, 3654];
/// Log groups in one answer.
const LIMIT_MAX: u64 = 50;
const TAGS_MAX: usize = 50;

fn logs(cloud: &mut Cloud<'_>, operation: &str, asked: &Asked) -> Result<Value, Error> {
    match operation {
        "CreateLogGroup" => create_log_group(cloud, asked)?,
        "DeleteLogGroup" => {
            let group = log_group(cloud, asked.must("logGroupName")?)?;
            cloud.delete::<LogGroup>(group.id());
        }
        "DescribeLogGroups" => return describe_log_groups(cloud, asked),
        "PutRetentionPolicy" => {
            let days = asked.0.get("retentionInDays").and_then(Value::as_u64);
            let days = days.filter(|days| RETENTION_DAYS.contains(days)).and_then(|days| u32::try_from(days).ok());
            let days = days.ok_or_else(|| {
                let known = RETENTION_DAYS.map(|days| days.to_string()).join(", ");
                Error::new("InvalidParameterException", format!("retentionInDays is none of {known}"))
            })?;
            let group = log_group(cloud, asked.must("logGroupName")?)?;
            cloud.put(LogGroup { retention_in_days: Some(days), ..group });
        }
        "DeleteRetentionPolicy" => {
            let group = log_group(cloud, asked.must("logGroupName")?)?;
            cloud.put(LogGroup { retention_in_days: None, ..group });
        }
        "ListTagsForResource" | "ListTagsLogGroup" => {
            return Ok(json!({ "tags": tagged(cloud, asked)?.tags }));
        }
        "TagResource" | "TagLogGroup" => {
            let mut group = tagged(cloud, asked)?;
            group.tags.extend(asked.tags()?);
            check_tags(&group.tags)?;
            cloud.put(group);
        }
        "UntagResource" | "UntagLogGroup" => {
            let mut group = tagged(cloud, asked)?;
            let member = if operation == "UntagResource" { "tagKeys" } else { "tags" };
            for key in asked.texts(member)? {
                group.tags.remove(key);
            }
            cloud.put(group);
        }
        other => return Err(unknown(Service::Logs, other)),
    }
    Ok(json!({}))
}

fn check_tags(tags: &Tags) -> Result<(), Error> {
    if tags.len() <= TAGS_MAX
        && tags.iter().all(|(key, value)| !key.is_empty() && key.len() <= 128 && value.len() <= 256)
    {
        return Ok(());
    }
    let message =
        format!("A log group has at most {TAGS_MAX} tags, keys of 1 to 128 and values of up to 256 characters");
    Err(Error::new("InvalidParameterException", message))
}

fn create_log_group(cloud: &mut Cloud<'_>, asked: &Asked) -> Result<(), Error> {
    let name = asked.must("logGroupName")?;
    let is_right = |letter: char| letter.is_ascii_alphanumeric() || "_-/.#".contains(letter);
    if name.len() > 512 || !name.chars().all(is_right) {
        let message = "A log group's name has 1 to 512 of a-z, A-Z, 0-9, '_', '-', '/', '.' and '#'";
        return Err(Error::new("InvalidParameterException", message));
    }
    let owner = cloud.caller.account;
    if cloud.world().find::<LogGroup>(&LogGroup::key(owner, name)).is_some() {
        return Err(Error::new("ResourceAlreadyExistsException", "The specified log group already exists"));
    }
    let count = cloud.world().all::<LogGroup>().filter(|group| group.owner == owner).count();
    if count >= cloud.config.quotas.log_groups {
        return Err(Error::new(
            "LimitExceededException",
            format!("The account has {count} log groups; delete one first"),
        ));
    }
    let class = asked.text("logGroupClass")?.unwrap_or("STANDARD");
    if !["STANDARD", "INFREQUENT_ACCESS", "DELIVERY"].contains(&class) {
        let message = "logGroupClass is none of STANDARD, INFREQUENT_ACCESS, DELIVERY";
        return Err(Error::new("InvalidParameterException", message));
    }
    let tags = asked.tags()?;
    check_tags(&tags)?;
    let kms_key = asked.text("kmsKeyId")?.map(Into::into);
    let created = cloud.now;
    cloud.put(LogGroup {
        owner,
        name: name.into(),
        created,
        retention_in_days: None,
        class: class.into(),
        kms_key,
        tags,
    });
    Ok(())
}

fn log_group(cloud: &Cloud<'_>, name: &str) -> Result<LogGroup, Error> {
    let found = cloud.world().find::<LogGroup>(&LogGroup::key(cloud.caller.account, name));
    let missing = || Error::new("ResourceNotFoundException", "The specified log group does not exist.");
    found.map(|group| LogGroup::clone(group)).ok_or_else(missing)
}

/// The log group that a request about tags means: by its name, or by its ARN.
fn tagged(cloud: &Cloud<'_>, asked: &Asked) -> Result<LogGroup, Error> {
    if let Some(name) = asked.text("logGroupName")? {
        return log_group(cloud, name);
    }
    let arn = asked.must("resourceArn")?;
    let name = arn.split_once(":log-group:").map(|(_, name)| name.strip_suffix(":*").unwrap_or(name));
    log_group(cloud, name.unwrap_or(arn))
}

fn describe_log_groups(cloud: &Cloud<'_>, asked: &Asked) -> Result<Value, Error> {
    let prefix = asked.text("logGroupNamePrefix")?.unwrap_or_default();
    let pattern = asked.text("logGroupNamePattern")?.unwrap_or_default();
    let class = asked.text("logGroupClass")?;
    let after = asked.text("nextToken")?;
    let limit = match asked.0.get("limit") {
        None | Some(Value::Null) => LIMIT_MAX,
        Some(limit) => limit.as_u64().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
            Error::new("InvalidParameterException", format!("limit is not a number from 1 to {LIMIT_MAX}"))
        })?,
    };
    let is_wanted = |group: &LogGroup| {
        group.owner == cloud.caller.account
            && group.name.starts_with(prefix)
            && group.name.contains(pattern)
            && class.is_none_or(|class| group.class == class)
            && after.is_none_or(|after| group.name.as_str() > after)
    };
    // In order of name: the key begins with the owner.
    let mut wanted = cloud.world().all::<LogGroup>().filter(|group| is_wanted(group));
    let page: Vec<_> = wanted.by_ref().take(usize::try_from(limit).unwrap_or(1)).collect();
    let next = wanted.next().and(page.last()).map(|last| last.name.clone());
    let groups: Vec<Value> = page.iter().map(|group| item(cloud, group)).collect();
    let mut answer = json!({ "logGroups": groups });
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}

fn item(cloud: &Cloud<'_>, group: &LogGroup) -> Value {
    let arn = format!("arn:aws:logs:{}:{}:log-group:{}", cloud.config.region, group.owner, group.name);
    let mut item = json!({
        "logGroupName": group.name,
        "creationTime": (group.created - Time::EPOCH).as_millis(),
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "storedBytes": 0,
        "logGroupClass": group.class,
        "logGroupArn": arn,
    });
    if let Some(days) = group.retention_in_days {
        item["retentionInDays"] = days.into();
    }
    if let Some(key) = &group.kms_key {
        item["kmsKeyId"] = key.as_str().into();
    }
    item
}
