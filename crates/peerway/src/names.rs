//! What the cloud's own names end with, as options of `up` and `server` (spec 9.2).

use std::sync::Arc;

use clap::Args;
use model::{NameSuffixes, Suffix, Suffixes};

/// Any of them makes the choice anew, for this start and those after it.
#[derive(Clone, Debug, Default, Args)]
pub struct NameOptions {
    /// What private names end with: ip-10-0-0-5.REGION.DOMAIN. It is remembered, as the next three are; of the four, those that are not
    /// given with it are AWS's [default: as at the last start, at first compute.internal]
    #[arg(long, value_name = "DOMAIN")]
    pub private_suffix: Option<Suffix>,
    /// The same for us-east-1, where names have no region: ip-10-0-0-5.DOMAIN [default: us-east-1 and --private-suffix, else ec2.internal]
    #[arg(long, value_name = "DOMAIN")]
    pub private_suffix_us_east_1: Option<Suffix>,
    /// What public names end with: ec2-203-0-113-25.REGION.DOMAIN [default: compute.amazonaws.com]
    #[arg(long, value_name = "DOMAIN")]
    pub public_suffix: Option<Suffix>,
    /// The same for us-east-1: ec2-203-0-113-25.DOMAIN [default: us-east-1 and --public-suffix, else compute-1.amazonaws.com]
    #[arg(long, value_name = "DOMAIN")]
    pub public_suffix_us_east_1: Option<Suffix>,
}

impl NameOptions {
    /// The choice; `None`: none is made.
    ///
    /// # Errors
    /// Suffixes that are each other's, or in each other.
    pub fn suffixes(&self) -> anyhow::Result<Option<Arc<NameSuffixes>>> {
        let NameOptions { private_suffix, private_suffix_us_east_1, public_suffix, public_suffix_us_east_1 } =
            self.clone();
        let given = [&private_suffix, &private_suffix_us_east_1, &public_suffix, &public_suffix_us_east_1];
        if given.into_iter().all(Option::is_none) {
            return Ok(None);
        }
        let private = Suffixes::aws_private().chosen(private_suffix_us_east_1, private_suffix);
        let public = Suffixes::aws_public().chosen(public_suffix_us_east_1, public_suffix);
        Ok(Some(Arc::new(NameSuffixes::new(private, public)?)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        names: NameOptions,
    }

    fn parse(words: &[&str]) -> Result<NameOptions, String> {
        let parsed = Command::try_parse_from([&["x"], words].concat());
        parsed.map(|command| command.names).map_err(|error| error.to_string())
    }

    #[test]
    fn who_gives_none_chooses_nothing() {
        assert!(parse(&[]).unwrap().suffixes().unwrap().is_none());
        let aws = parse(&["--public-suffix-us-east-1", "compute-1.amazonaws.com"]).unwrap();
        assert!(aws.suffixes().unwrap().unwrap().is_aws(), "which is a choice as any other");
    }

    #[test]
    fn each_is_put_where_it_belongs() {
        let words = ["--private-suffix", "a.x", "--private-suffix-us-east-1", "b.x", "--public-suffix", "c.x"];
        let names = parse(&words).unwrap().suffixes().unwrap().unwrap();
        let domains = ["us-east-1", "eu-west-1"].map(|region| {
            let region = region.parse().unwrap();
            (names.private_domain(region), names.public_domain(region))
        });
        let expected = [("b.x", "us-east-1.c.x"), ("eu-west-1.a.x", "eu-west-1.c.x")];
        assert_eq!(domains, expected.map(|(private, public)| (private.into(), public.into())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(parse(&["--private-suffix", "a_b"]).unwrap_err().contains("compute.internal"));
        let same = parse(&["--private-suffix", "a.x", "--public-suffix", "b.a.x"]).unwrap().suffixes().unwrap_err();
        assert!(same.to_string().contains("b.a.x` is `a.x`"), "{same}");
    }
}
