//! A CloudFormation template for Athena over the files of a flow log that is to go to S3 (spec 12.1). It is for an account of AWS that
//! gets those files: here it is an answer, and nothing else happens.

use ec2::Error;
use ec2::shapes::flow_log_template::*;
use model::flow_log::{FileFormat, LogDestinationType};
use model::*;
use serde_json::{Value, json};

use super::Handle;
use crate::Cloud;

/// Integrations of one request (AWS's bound).
const INTEGRATIONS_MAX: usize = 10;
const FREQUENCIES: [&str; 4] = ["none", "daily", "weekly", "monthly"];

impl Handle for GetFlowLogsIntegrationTemplate {
    fn handle(self, cloud: &mut Cloud<'_>) -> Result<GetFlowLogsIntegrationTemplateResponse, Error> {
        let log = cloud.owned::<FlowLog>(self.flow_log_id)?;
        let files = log.destination.destination.as_deref();
        let files = files.filter(|_| log.destination.kind == LogDestinationType::S3).ok_or_else(|| {
            let message = format!("The flow log '{}' does not go to S3; only those that do can be integrated", log.id);
            Error::new("InvalidParameter", message)
        })?;
        place("ConfigDeliveryS3DestinationArn", &self.config_delivery_s3_destination_arn)?;
        let integrations = &self.integrate_services.athena_integrations;
        if integrations.is_empty() {
            return Err(Error::missing_parameter("IntegrateService.AthenaIntegration"));
        }
        if integrations.len() > INTEGRATIONS_MAX {
            let why = format!("Name at most {INTEGRATIONS_MAX}.");
            return Err(Error::invalid_parameter("AthenaIntegration", integrations.len(), &why));
        }
        let files = place("LogDestination", files)?;
        let result = template(cloud, &log, &files, integrations)?;
        Ok(GetFlowLogsIntegrationTemplateResponse { result: result.to_string() })
    }
}

/// `arn:aws:s3:::bucket/folder` as `s3://bucket/folder`, without a slash at its end.
fn place(name: &str, arn: &str) -> Result<String, Error> {
    let path = arn.strip_prefix("arn:aws:s3:::").filter(|path| !path.is_empty() && path.len() <= 1024);
    let is_plain = |path: &&str| path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    let path = path.filter(is_plain).ok_or_else(|| {
        let shown: String = arn.chars().take(128).collect();
        Error::invalid_parameter(name, shown, "Expected an ARN of a bucket or a folder in one: arn:aws:s3:::BUCKET.")
    })?;
    Ok(format!("s3://{}", path.trim_end_matches('/')))
}

fn template(
    cloud: &Cloud<'_>,
    log: &FlowLog,
    files: &str,
    integrations: &[AthenaIntegrationInput],
) -> Result<Value, Error> {
    let database = log.id.to_string().replace('-', "");
    let mut resources = serde_json::Map::new();
    resources.insert(
        "Database".into(),
        json!({
            "Type": "AWS::Glue::Database",
            "Properties": { "CatalogId": { "Ref": "AWS::AccountId" }, "DatabaseInput": { "Name": database } },
        }),
    );
    for (integration, n) in integrations.iter().zip(1..) {
        let results = place("IntegrationResultS3DestinationArn", &integration.integration_result_s3_destination_arn)?;
        resources.insert(format!("Table{n}"), table(cloud, log, files, &database, n, integration)?);
        resources.insert(format!("WorkGroup{n}"), work_group(&database, n, &results));
    }
    Ok(json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": format!("Athena over the flow log {}", log.id),
        "Resources": resources,
    }))
}

fn work_group(database: &str, n: i32, results: &str) -> Value {
    json!({
        "Type": "AWS::Athena::WorkGroup",
        "Properties": {
            "Name": format!("{database}{n}"),
            "WorkGroupConfiguration": { "ResultConfiguration": { "OutputLocation": format!("{results}/") } },
        },
    })
}

/// A table with a partition for each day, which Athena works out by itself.
fn table(
    cloud: &Cloud<'_>,
    log: &FlowLog,
    files: &str,
    database: &str,
    n: i32,
    integration: &AthenaIntegrationInput,
) -> Result<Value, Error> {
    let frequency = integration.partition_load_frequency.as_str();
    if !FREQUENCIES.contains(&frequency) {
        let why = format!("Use one of {}.", FREQUENCIES.join(", "));
        return Err(Error::invalid_parameter("PartitionLoadFrequency", frequency, &why));
    }
    let day = |time: Time| time.to_string()[..10].replace('-', "/");
    let (first, last) = (integration.partition_start_date, integration.partition_end_date);
    if first.zip(last).is_some_and(|(first, last)| last < first) {
        let message = "PartitionEndDate is before PartitionStartDate; exchange them";
        return Err(Error::invalid_combination(message));
    }
    let range = format!("{},{}", day(first.unwrap_or(log.created)), last.map_or_else(|| "NOW".into(), day));
    let folder = format!("{files}/AWSLogs/{}/vpcflowlogs/{}", log.owner, cloud.config.region);
    let is_parquet = log.destination.options.is_some_and(|options| options.file_format == FileFormat::Parquet);
    let columns: Vec<Value> = log
        .format
        .fields()
        .iter()
        .map(|field| json!({ "Name": field.name().replace('-', "_"), "Type": kind(*field) }))
        .collect();
    Ok(json!({
        "Type": "AWS::Glue::Table",
        "DependsOn": "Database",
        "Properties": {
            "CatalogId": { "Ref": "AWS::AccountId" },
            "DatabaseName": database,
            "TableInput": {
                "Name": format!("{database}{n}"),
                "TableType": "EXTERNAL_TABLE",
                "PartitionKeys": [{ "Name": "day", "Type": "string" }],
                "Parameters": {
                    "skip.header.line.count": "1",
                    "projection.enabled": (frequency != "none").to_string(),
                    "projection.day.type": "date",
                    "projection.day.format": "yyyy/MM/dd",
                    "projection.day.range": range,
                    "storage.location.template": format!("{folder}/${{day}}"),
                },
                "StorageDescriptor": storage(&folder, &columns, is_parquet),
            },
        },
    }))
}

fn storage(folder: &str, columns: &[Value], is_parquet: bool) -> Value {
    let (input, output, library, parameters) = if is_parquet {
        (
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
            json!({}),
        )
    } else {
        (
            "org.apache.hadoop.mapred.TextInputFormat",
            "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            json!({ "field.delim": " " }),
        )
    };
    json!({
        "Columns": columns,
        "Location": format!("{folder}/"),
        "InputFormat": input,
        "OutputFormat": output,
        "SerdeInfo": { "SerializationLibrary": library, "Parameters": parameters },
    })
}

/// A column's type.
fn kind(field: LogField) -> &'static str {
    match field {
        LogField::Packets | LogField::Bytes | LogField::Start | LogField::End => "bigint",
        LogField::Version
        | LogField::SrcPort
        | LogField::DstPort
        | LogField::Protocol
        | LogField::TcpFlags
        | LogField::TrafficPath => "int",
        _ => "string",
    }
}
