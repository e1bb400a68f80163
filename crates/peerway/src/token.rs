//! `peerway token`: join tokens, asked for with the operator's key.

use std::process::ExitCode;

use crate::cli::{Output, TokenCreateOptions};
use crate::operator::Operator;

/// Makes a token and shows it; the server keeps no way to show it again.
pub fn create(options: &TokenCreateOptions) -> anyhow::Result<ExitCode> {
    let operator = Operator::of(&options.operator)?;
    let seconds = options.ttl.to_string();
    let host = options.host.map(|host| host.to_string());
    let mut parameters = vec![("Seconds", seconds.as_str())];
    parameters.extend(host.as_deref().map(|host| ("Host", host)));
    let answer = operator.ask("CreateJoinToken", &parameters)?;
    let (token, expires) = (answer.text("Token")?, answer.text("Expires")?);
    match options.operator.output {
        Output::Json => {
            let token = serde_json::json!({ "token": token, "host": host, "expires": expires });
            println!("{}", serde_json::to_string_pretty(&token)?);
        }
        Output::Table => {
            let who = host.map_or("one host".into(), |host| format!("host {host}"));
            println!("{token}\n\nIt lets {who} in, once, until {expires}. It is not shown again.");
        }
    }
    Ok(ExitCode::SUCCESS)
}
