//! `peerway account` and the rest of `peerway key`: accounts with names, roles and whom they are for, keys that come and go. Asked for with
//! the operator's key.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use model::{AccountId, Principal, RoleArn};

use crate::cli::{OperatorOptions, Output};
use crate::operator::{Operator, Reply};
use crate::table::Table;

#[derive(Clone, Debug, Subcommand)]
pub enum AccountCommand {
    /// Give an account a name, and if need be a number.
    Create(AccountCreateOptions),
    /// List the accounts that have a name, a key or a role.
    List(OperatorOptions),
    /// Say who may assume a role: from then on nobody else may.
    Trust(TrustOptions),
    /// List the roles that were written down, and whom they are for.
    Roles(RolesOptions),
    /// Forget a role and end its sessions.
    Untrust(UntrustOptions),
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway account create network
  peerway account create shop --account 111111111111 --output json")]
pub struct AccountCreateOptions {
    /// What to call it
    pub name: String,
    /// Its number, 12 digits [default: one that is nobody's]
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<AccountId>,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  peerway account trust arn:aws:iam::222222222222:role/netops --by 111111111111
  peerway account trust arn:aws:iam::222222222222:role/netops --by 111111111111 --external-id shop-7 --max-session 4h
  peerway account trust arn:aws:iam::222222222222:role/netops --by arn:aws:iam::111111111111:role/deploy")]
pub struct TrustOptions {
    /// The role, such as arn:aws:iam::222222222222:role/netops
    #[arg(value_name = "ROLE")]
    pub role: RoleArn,
    /// Who may assume it: an account of 12 digits, a role, or * for anybody; may be repeated
    #[arg(long, value_name = "WHO", required = true)]
    pub by: Vec<Principal>,
    /// What they must name as ExternalId, for those who act for several customers
    #[arg(long, value_name = "ID")]
    pub external_id: Option<String>,
    /// The longest session, 15m to 12h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = crate::cli::seconds)]
    pub max_session: i32,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

#[derive(Clone, Debug, Args)]
pub struct RolesOptions {
    /// Only this account's
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<AccountId>,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  peerway account untrust arn:aws:iam::222222222222:role/netops")]
pub struct UntrustOptions {
    /// The role, such as arn:aws:iam::222222222222:role/netops
    #[arg(value_name = "ROLE")]
    pub role: RoleArn,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

#[derive(Clone, Debug, Args)]
pub struct KeyListOptions {
    /// Only this account's
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<AccountId>,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  peerway key disable AKIAIOSFODNN7EXAMPLE")]
pub struct KeyOptions {
    /// The access key's id
    #[arg(value_name = "ID")]
    pub key: String,
    #[command(flatten)]
    pub operator: OperatorOptions,
}

pub fn run(command: &AccountCommand) -> anyhow::Result<ExitCode> {
    match command {
        AccountCommand::Create(options) => create(options),
        AccountCommand::List(options) => list(options),
        AccountCommand::Trust(options) => trust(options),
        AccountCommand::Roles(options) => roles(options),
        AccountCommand::Untrust(options) => untrust(options),
    }
}

fn create(options: &AccountCreateOptions) -> anyhow::Result<ExitCode> {
    let account = options.account.map(|account| account.to_string());
    let mut parameters = vec![("Name", options.name.as_str())];
    parameters.extend(account.as_deref().map(|account| ("Account", account)));
    let answer = Operator::of(&options.operator)?.ask("CreateAccount", &parameters)?;
    let names = ["Account", "Name", "Created"];
    print(options.operator.output, Shape::One, &names, vec![row(&answer, names)?])
}

fn list(options: &OperatorOptions) -> anyhow::Result<ExitCode> {
    let answer = Operator::of(options)?.ask("ListAccounts", &[])?;
    let names = ["Account", "Name", "AccessKeys", "Roles", "Created"];
    print(options.output, Shape::List, &names, rows(&answer, "Accounts", names)?)
}

fn trust(options: &TrustOptions) -> anyhow::Result<ExitCode> {
    let (role, seconds) = (options.role.to_string(), options.max_session.to_string());
    let trusted: Vec<_> =
        options.by.iter().enumerate().map(|(at, who)| (format!("Trusted.{}", at + 1), who.to_string())).collect();
    let mut parameters = vec![("RoleArn", role.as_str()), ("MaxSessionDuration", seconds.as_str())];
    parameters.extend(trusted.iter().map(|(name, who)| (name.as_str(), who.as_str())));
    parameters.extend(options.external_id.as_deref().map(|id| ("ExternalId", id)));
    let answer = Operator::of(&options.operator)?.ask("PutRole", &parameters)?;
    print(options.operator.output, Shape::One, &ROLE, vec![role_row(&answer, "PutRoleResult")?])
}

fn roles(options: &RolesOptions) -> anyhow::Result<ExitCode> {
    let account = options.account.map(|account| account.to_string());
    let parameters: Vec<_> = account.as_deref().map(|account| ("Account", account)).into_iter().collect();
    let answer = Operator::of(&options.operator)?.ask("ListRoles", &parameters)?;
    let rows = answer.items("Roles", role_of)?;
    print(options.operator.output, Shape::List, &ROLE, rows)
}

fn untrust(options: &UntrustOptions) -> anyhow::Result<ExitCode> {
    let role = options.role.to_string();
    let answer = Operator::of(&options.operator)?.ask("DeleteRole", &[("RoleArn", &role)])?;
    print(options.operator.output, Shape::One, &ROLE, vec![role_row(&answer, "DeleteRoleResult")?])
}

/// `peerway key list`.
pub fn keys(options: &KeyListOptions) -> anyhow::Result<ExitCode> {
    let account = options.account.map(|account| account.to_string());
    let parameters: Vec<_> = account.as_deref().map(|account| ("Account", account)).into_iter().collect();
    let answer = Operator::of(&options.operator)?.ask("ListAccessKeys", &parameters)?;
    print(options.operator.output, Shape::List, &KEY, rows(&answer, "AccessKeys", KEY)?)
}

/// `peerway key disable` and `enable`.
pub fn set_key(options: &KeyOptions, status: &str) -> anyhow::Result<ExitCode> {
    let operator = Operator::of(&options.operator)?;
    let answer = operator.ask("UpdateAccessKey", &[("AccessKeyId", &options.key), ("Status", status)])?;
    print_key(options, &answer)
}

/// `peerway key delete`.
pub fn delete_key(options: &KeyOptions) -> anyhow::Result<ExitCode> {
    let answer = Operator::of(&options.operator)?.ask("DeleteAccessKey", &[("AccessKeyId", &options.key)])?;
    print_key(options, &answer)
}

const KEY: [&str; 4] = ["AccessKeyId", "Account", "Status", "Created"];
const ROLE: [&str; 5] = ["RoleArn", "Trusted", "HasExternalId", "MaxSessionDuration", "Created"];

fn print_key(options: &KeyOptions, answer: &Reply) -> anyhow::Result<ExitCode> {
    print(options.operator.output, Shape::One, &KEY, vec![row(answer, KEY)?])
}

fn row<const N: usize>(answer: &Reply, names: [&str; N]) -> anyhow::Result<Vec<String>> {
    names.iter().map(|name| answer.text(name)).collect()
}

fn rows<const N: usize>(answer: &Reply, list: &str, names: [&str; N]) -> anyhow::Result<Vec<Vec<String>>> {
    Ok(answer.rows(list, names)?.into_iter().map(Vec::from).collect())
}

fn role_row(answer: &Reply, element: &str) -> anyhow::Result<Vec<String>> {
    match answer.element(element, role_of)? {
        Some(row) => Ok(row),
        None => bail!("the answer has no {element}"),
    }
}

fn role_of(role: &roxmltree::Node<'_, '_>) -> Vec<String> {
    let texts = |name: &str| {
        let member = role.children().find(|node| node.tag_name().name() == name);
        let below = member.into_iter().flat_map(|member| member.descendants()).filter(roxmltree::Node::is_text);
        below
            .filter_map(|node| node.text())
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    };
    ROLE.map(texts).into()
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    One,
    List,
}

/// Members by their names in the answer; in a table they are words.
fn print(output: Output, shape: Shape, names: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<ExitCode> {
    match output {
        Output::Json => {
            let object = |row: Vec<String>| {
                let pairs = names.iter().map(|name| snake(name, '_')).zip(row.into_iter().map(serde_json::Value::from));
                serde_json::Value::Object(pairs.collect())
            };
            let mut objects: Vec<_> = rows.into_iter().map(object).collect();
            let value = match shape {
                Shape::One => objects.pop().unwrap_or_default(),
                Shape::List => serde_json::Value::Array(objects),
            };
            println!("{}", serde_json::to_string_pretty(&value)?);
        }
        Output::Table => {
            let heads: Vec<_> = names.iter().map(|name| snake(name, ' ')).collect();
            let mut table = Table::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
            rows.iter().for_each(|row| table.row(row));
            print!("{table}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `AccessKeyId` becomes `access_key_id`.
fn snake(name: &str, between: char) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(between);
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}
