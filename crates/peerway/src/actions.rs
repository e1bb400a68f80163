//! `peerway actions`: which actions of EC2 are there, and do they do what they say?

use std::io::Write;
use std::process::ExitCode;

use ec2::support::{self, Row, Support};

use crate::cli::{ActionsOptions, Output};
use crate::table::Table;

pub fn run(options: &ActionsOptions) -> anyhow::Result<ExitCode> {
    let rows: Vec<Row> = support::rows().collect();
    let text = match options.output {
        Output::Json => json(&rows)? + "\n",
        Output::Table => table(&rows),
    };
    // Whoever reads may have read enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn json(rows: &[Row]) -> serde_json::Result<String> {
    let rows = rows.iter().map(|row| {
        serde_json::json!({ "action": row.action, "tier": row.tier, "group": row.group, "support": row.support.name() })
    });
    serde_json::to_string_pretty(&rows.collect::<Vec<_>>())
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&["action", "support", "tier", "group"]);
    for row in rows {
        let (action, support) = (row.action.to_owned(), row.support.name().to_owned());
        table.row(&[action, support, row.tier.to_string(), row.group.to_owned()]);
    }
    let count = |support| rows.iter().filter(|row| row.support == support).count();
    let [enforced, recorded, absent] = [Support::Enforced, Support::Recorded, Support::Absent].map(count);
    format!(
        "{table}\n{enforced} enforced, {recorded} recorded, {absent} absent, like every action that is not listed\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_every_action() {
        let rows: Vec<Row> = support::rows().collect();
        let text = table(&rows);
        assert!(text.starts_with("ACTION"));
        assert_eq!(text.lines().count(), rows.len() + 3);
        let parsed: Vec<serde_json::Value> = serde_json::from_str(&json(&rows).unwrap()).unwrap();
        assert_eq!(parsed.len(), rows.len());
        assert_eq!(parsed[0]["action"], rows[0].action);
        assert_eq!(parsed[0]["support"], "enforced");
    }
}
