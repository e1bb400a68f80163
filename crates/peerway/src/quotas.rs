//! Other quotas than AWS's, for everybody or for one account, from flags and from a file (spec ch. 13).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, anyhow};
use clap::Args;
use model::AccountId;
use server::Quotas;

/// `vpcs=50`, or `111111111111:vpcs=50`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    account: Option<AccountId>,
    name: String,
    number: usize,
}

#[derive(Clone, Debug, Args)]
pub struct QuotaOptions {
    /// Another quota than AWS's default, such as vpcs=50, or for one account 111111111111:vpcs=50; may be repeated
    #[arg(long, value_name = "[ACCOUNT:]NAME=NUMBER")]
    pub quota: Vec<Quota>,
    /// A file of such quotas, one a line; a line that begins with # is a comment. Flags go before the file
    #[arg(long, value_name = "FILE")]
    pub quota_file: Option<PathBuf>,
}

/// What everybody may have, and what some may.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub all: Quotas,
    pub accounts: BTreeMap<AccountId, Quotas>,
}

/// Lines of a quota file.
const LINES_MAX: usize = 100_000;

impl FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> Result<Quota, String> {
        let wrong = || format!("`{text}` is not NAME=NUMBER or ACCOUNT:NAME=NUMBER, such as vpcs=50");
        let (name, number) = text.split_once('=').ok_or_else(wrong)?;
        let (account, name) = match name.split_once(':') {
            None => (None, name),
            Some((account, name)) => (Some(account.parse().map_err(|error| format!("{error}"))?), name),
        };
        let number = number.parse().map_err(|_| format!("`{number}` is not a number"))?;
        if Quotas::default().set(name, number).is_none() {
            return Err(format!("`{name}` is not a quota; there are {}", Quotas::NAMES.join(", ")));
        }
        Ok(Quota { account, name: name.into(), number })
    }
}

impl QuotaOptions {
    /// # Errors
    /// A file that cannot be read, or a line in it that is no quota, by its number.
    pub fn limits(&self) -> anyhow::Result<Limits> {
        let of_file = match &self.quota_file {
            None => Vec::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let text = text.with_context(|| format!("cannot read the quotas in {}", path.display()))?;
                parse(&text).with_context(|| format!("cannot use the quotas in {}", path.display()))?
            }
        };
        let all: Vec<&Quota> = of_file.iter().chain(&self.quota).collect();
        // What holds for everybody first: an account's own are what is different from it.
        let (of_accounts, of_all): (Vec<&Quota>, Vec<&Quota>) =
            all.into_iter().partition(|quota| quota.account.is_some());
        let mut limits = Limits::default();
        for quota in of_all {
            limits.all = quota.set(limits.all)?;
        }
        for quota in of_accounts {
            let Some(account) = quota.account else { continue };
            let before = limits.accounts.get(&account).copied().unwrap_or(limits.all);
            limits.accounts.insert(account, quota.set(before)?);
        }
        Ok(limits)
    }
}

impl Quota {
    fn set(&self, quotas: Quotas) -> anyhow::Result<Quotas> {
        quotas.set(&self.name, self.number).with_context(|| format!("`{}` is not a quota", self.name))
    }
}

fn parse(text: &str) -> anyhow::Result<Vec<Quota>> {
    if text.lines().count() > LINES_MAX {
        return Err(anyhow!("it has more than {LINES_MAX} lines"));
    }
    let lines = text.lines().map(str::trim).enumerate();
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(at, line)| line.parse().map_err(|error| anyhow!("line {}: {error}", at + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(flags: &[&str], file: Option<&str>) -> anyhow::Result<Limits> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("quotas");
        file.map(|text| std::fs::write(&path, text)).transpose()?;
        let quota = flags.iter().map(|flag| flag.parse().map_err(|error: String| anyhow!(error)));
        QuotaOptions { quota: quota.collect::<Result<_, _>>()?, quota_file: file.map(|_| path) }.limits()
    }

    #[test]
    fn quotas_are_known_by_name() {
        assert_eq!("vpcs=50".parse(), Ok(Quota { account: None, name: "vpcs".into(), number: 50 }));
        let account = "111111111111".parse().ok();
        assert_eq!("111111111111:vpcs=50".parse(), Ok(Quota { account, name: "vpcs".into(), number: 50 }));
        assert!("vpc=50".parse::<Quota>().unwrap_err().contains("vpcs"));
        for wrong in ["vpcs=many", "vpcs", "1:vpcs=5", ":vpcs=5", "111111111111:=5", "vpcs=-1", "vpcs=111111111111:5"] {
            assert!(wrong.parse::<Quota>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_accounts_own_go_before_everybodys_and_flags_before_the_file() {
        let file = "# ours\n\n111111111111:subnets-per-vpc=7\n vpcs=10 \n222222222222:vpcs=1\n";
        let limits = of(&["111111111111:vpcs=50", "vpcs=20"], Some(file)).unwrap();
        let own = |account: &str| limits.accounts[&account.parse().unwrap()];
        assert_eq!((limits.all.vpcs, limits.all.subnets_per_vpc), (20, 200));
        assert_eq!((own("111111111111").vpcs, own("111111111111").subnets_per_vpc), (50, 7));
        assert_eq!((own("222222222222").vpcs, own("222222222222").subnets_per_vpc, limits.accounts.len()), (1, 200, 2));
        assert_eq!(
            of(&["111111111111:subnets-per-vpc=7", "vpcs=9"], None).unwrap().accounts.values().next().unwrap().vpcs,
            9
        );
    }

    #[test]
    fn a_wrong_line_is_named() {
        let error = format!("{:#}", of(&[], Some("vpcs=1\nvpc=2\n")).unwrap_err());
        assert!(error.contains("line 2") && error.contains("quotas") && error.contains("`vpc`"), "{error}");
        let options = QuotaOptions { quota: Vec::new(), quota_file: Some("/nowhere/quotas".into()) };
        assert!(format!("{:#}", options.limits().unwrap_err()).contains("/nowhere/quotas"));
    }
}
