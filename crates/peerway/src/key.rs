//! `peerway key`: access keys for accounts, asked for with the operator's key (spec 1.5).

use std::process::ExitCode;

use crate::cli::{KeyCreateOptions, Output};
use crate::operator::Operator;
use crate::table::Table;

/// Makes a key and shows it; the server keeps no way to show the secret again.
pub fn create(options: &KeyCreateOptions) -> anyhow::Result<ExitCode> {
    let operator = Operator::of(&options.operator)?;
    let answer = operator.ask("CreateAccessKey", &[("Account", &options.account.to_string())])?;
    let text = |name: &str| answer.text(name);
    let (account, id, secret) = (text("Account")?, text("AccessKeyId")?, text("SecretAccessKey")?);
    match options.operator.output {
        Output::Json => {
            let key = serde_json::json!({ "account": account, "access_key_id": id, "secret_access_key": secret });
            println!("{}", serde_json::to_string_pretty(&key)?);
        }
        Output::Table => {
            let mut table = Table::new(&["account", "access key id", "secret access key"]);
            table.row(&[account, id, secret]);
            print!("{table}");
            println!("\nThe secret is not shown again.");
        }
    }
    Ok(ExitCode::SUCCESS)
}
