//! `peerway events`: what happened in the cloud, and what happens.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use ec2::service::Service;
use model::{AccountId, Region};

use crate::cli::Output;
use crate::client::form_encode;
use crate::operator::{self, Keys, Reply};

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway events
  peerway events --follow --output json
  peerway events --resource pcx-0123456789abcdef0
  peerway events --account 111111111111 --region eu-west-1 --count 1000

With AWS_ACCESS_KEY_ID in the environment that account asks, and sees what concerns it; without, the operator, who sees everything.
The newest 10,000 events can be asked for.")]
pub struct EventsOptions {
    /// Go on with what happens, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only what concerns this account
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<AccountId>,
    /// Only what happens in this region
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
    /// Only what becomes of this, such as pcx-0123456789abcdef0
    #[arg(long, value_name = "ID")]
    pub resource: Option<String>,
    /// How many at most, the newest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub count: u16,
    /// The data directory whose operator-key.json is used [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "PEERWAY_DATA")]
    pub data: Option<PathBuf>,
    /// Where the API listens
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:4588",
        env = "AWS_ENDPOINT_URL",
        hide_env_values = true
    )]
    pub endpoint: String,
    /// A line for each event; in JSON an object a line
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How often who follows looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// What one look fetches when it follows.
const PAGE: u16 = 1000;

pub fn run(options: &EventsOptions) -> anyhow::Result<ExitCode> {
    let keys = Keys::of_environment().map_or_else(|| Keys::of_operator(options.data.as_deref()), Ok)?;
    let mut last = look(options, &keys, None, options.count)?;
    if options.follow {
        while let Some(before) = last {
            std::thread::sleep(INTERVAL);
            last = look(options, &keys, Some(before), PAGE)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what is new; where to go on, or `None` if nobody reads any more.
fn look(options: &EventsOptions, keys: &Keys, after: Option<u64>, count: u16) -> anyhow::Result<Option<u64>> {
    let service = Service::Peerway;
    let mut body = format!("Action=DescribeEvents&Version={}&MaxResults={count}", service.version());
    let mut add = |name: &str, value: Option<String>| {
        body.extend(value.map(|value| format!("&{name}={}", form_encode(&value))));
    };
    add("After", after.map(|after| after.to_string()));
    add("Account", options.account.map(|account| account.to_string()));
    add("Region", options.region.map(|region| region.to_string()));
    add("ResourceId", options.resource.clone());
    let answer = operator::ask(&options.endpoint, keys, options.data.as_deref(), service, &body)?;
    let reply = Reply::of(&answer);
    if answer.status != "200" {
        bail!("{}: {}", reply.text("Code")?, reply.text("Message")?);
    }
    let mut out = io::stdout().lock();
    for event in reply.items("Events", Event::read)? {
        let line = match options.output {
            Output::Json => serde_json::to_string(&event)?,
            Output::Table => event.line(),
        };
        if writeln!(out, "{line}").is_err() {
            return Ok(None);
        }
    }
    Ok(if out.flush().is_err() { None } else { Some(reply.text("Last")?.parse()?) })
}

#[derive(Debug, serde::Serialize)]
struct Event {
    sequence: u64,
    time: String,
    region: String,
    accounts: Vec<String>,
    resource_type: String,
    resource_id: String,
    from: Option<String>,
    to: String,
    detail: Option<String>,
}

impl Event {
    fn read(item: &roxmltree::Node<'_, '_>) -> Event {
        let member = |name: &str| item.children().find(|node| node.tag_name().name() == name);
        let text = |name: &str| member(name).and_then(|node| node.text()).map(ToOwned::to_owned);
        let accounts = member("Accounts").into_iter().flat_map(|list| list.children());
        Event {
            sequence: text("Sequence").and_then(|text| text.parse().ok()).unwrap_or_default(),
            time: text("Time").unwrap_or_default(),
            region: text("Region").unwrap_or_default(),
            accounts: accounts.filter_map(|node| node.text()).map(ToOwned::to_owned).collect(),
            resource_type: text("ResourceType").unwrap_or_default(),
            resource_id: text("ResourceId").unwrap_or_default(),
            from: text("From"),
            to: text("To").unwrap_or_default(),
            detail: text("Detail"),
        }
    }

    fn line(&self) -> String {
        let Event { time, region, resource_type, resource_id, to, .. } = self;
        let accounts = self.accounts.join(",");
        let from = self.from.as_ref().map(|from| format!("{from} -> ")).unwrap_or_default();
        let detail = self.detail.as_ref().map(|detail| format!("  ({detail})")).unwrap_or_default();
        format!("{time}  {region}  {accounts}  {resource_type}  {resource_id}  {from}{to}{detail}")
    }
}
