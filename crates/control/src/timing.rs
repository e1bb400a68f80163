//! How long things take (decision 0055): nothing takes any time, unless an operator asks for times like AWS's, so that clients find
//! the states that they must wait through.
//!
//! A thing that takes time has a [`Passage`]; [`crate::tick`] ends it. What is asked to go stays until then, with all that depends
//! on it, and is asked to go once more when the time has come.

use std::fmt::Display;

use ec2::{Caller, Error};
use model::*;

use crate::{Cloud, Config, Seed, action};

/// AWS's times, all multiplied by one factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    thousandths: u32,
}

/// The largest factor, in thousandths: a NAT gateway takes two and a half hours then.
const THOUSANDTHS_MAX: u32 = 100_000;

impl Timing {
    /// `None`: it is no number from 0.001 to 100.
    pub fn new(factor: f64) -> Option<Timing> {
        let thousandths = (factor * 1000.0).round();
        let is_fine = (1.0..=f64::from(THOUSANDTHS_MAX)).contains(&thousandths);
        is_fine.then_some(Timing { thousandths: thousandths as u32 })
    }

    /// How long that takes.
    pub fn of(self, wait: Wait) -> Duration {
        Duration::millis(wait.seconds() * i64::from(self.thousandths))
    }
}

macro_rules! waits {
    ($($name:ident $seconds:literal $what:literal,)*) => {
        /// What takes time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Wait {
            $(#[doc = $what] $name,)*
        }

        impl Wait {
            /// All of them, in the order of the documentation's table.
            pub const ALL: &'static [Wait] = &[$(Wait::$name,)*];

            /// At the factor 1: what one sees on AWS, in whole seconds.
            pub const fn seconds(self) -> i64 {
                match self {
                    $(Wait::$name => $seconds,)*
                }
            }

            /// What the documentation calls it.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Wait::$name => $what,)*
                }
            }
        }
    };
}

waits! {
    PeeringRequest 2 "VPC peering connection: `initiating-request` to `pending-acceptance`",
    PeeringProvision 3 "VPC peering connection: `provisioning` to `active`",
    PeeringDelete 3 "VPC peering connection: `deleting` to `deleted`",
    Vpc 1 "VPC: `pending` to `available`",
    VpcBlock 3 "block of a VPC: `associating` to `associated`, `disassociating` to gone",
    Subnet 1 "subnet: `pending` to `available`",
    SubnetBlock 3 "IPv6 block of a subnet: `associating` to `associated`, `disassociating` to gone",
    RouteTableAssociation 2 "association of a route table: `associating` to `associated`, `disassociating` to gone",
    InternetGateway 2 "attachment of an Internet gateway: `attaching` to `available`, `detaching` to gone",
    NatGateway 90 "NAT gateway: `pending` to `available`",
    NatGatewayDelete 45 "NAT gateway: `deleting` to `deleted`",
    Attach 3 "attachment of a network interface: `attaching` to `attached`",
    Detach 6 "attachment of a network interface: `detaching` to gone",
    InstanceStart 15 "instance: `pending` to `running`",
    InstanceStop 30 "instance: `stopping` to `stopped`",
    InstanceEnd 30 "instance: `shutting-down` to `terminated`",
    StatusChecks 120 "status checks of an instance: `initializing` to `ok`, from its start on",
    MetadataOptions 2 "metadata options of an instance: `pending` to `applied`",
    Image 30 "registered image: `pending` to `available`",
    PrefixList 3 "managed prefix list: `create-in-progress`, `modify-in-progress`, `restore-in-progress` to complete, `delete-in-progress` to gone",
    GroupVpc 3 "security group in another VPC: `associating` to `associated`, `disassociating` to gone",
    VpnGateway 5 "VPN gateway: `pending` to `available`",
    VpnGatewayAttachment 15 "attachment of a VPN gateway: `attaching` to `attached`, `detaching` to gone",
    Analysis 20 "network insights analysis, of an access scope too: `running` to `succeeded` or `failed`",
    BlockPublicAccess 10 "block public access: `update-in-progress` to `update-complete`",
}

impl Cloud<'_> {
    /// Nothing takes time here.
    pub(crate) fn is_instant(&self) -> bool {
        self.config.timing.is_none()
    }

    /// Until when something that begins now takes; `None`: no time.
    pub(crate) fn held(&self, wait: Wait) -> Option<Time> {
        Some(self.now + self.config.timing?.of(wait))
    }

    /// Has the thing show that word for a while, and keeps packets from it where they could use it.
    pub(crate) fn takes_time(&mut self, subject: impl Display, phase: Phase, wait: Wait) {
        let Some(until) = self.held(wait) else { return };
        let owner = self.caller.account;
        self.put(Passage { subject: subject.to_string(), owner, phase, until });
    }

    /// What is asked to go, and may, goes later: `true` for now, and the same request comes once more then.
    pub(crate) fn ends_later(&mut self, subject: impl Display, phase: Phase, wait: Wait) -> bool {
        if self.is_instant() || self.is_due {
            return false;
        }
        if self.world().phase_of(&subject) != Some(phase) {
            self.takes_time(subject, phase, wait);
        }
        true
    }

    /// The word for a thing that is settled in that state, or the one for what it is doing.
    pub(crate) fn word(&self, subject: impl Display, settled: &'static str) -> &'static str {
        self.world().phase_of(subject).map_or(settled, Phase::code)
    }
}

/// What comes of a passage whose time has come. Something may have begun to need a thing that was to go: it stays then.
pub(crate) fn settle(world: &World, config: &Config, passage: &Passage, machine: Time) -> Vec<Change> {
    let caller = Caller::root(passage.owner);
    let mut cloud = Cloud::new(world, &caller, config, Seed::default(), machine, 0).when_due();
    cloud.delete::<Passage>(passage.subject.clone());
    let ended: Result<(), Error> = cloud.attempt(|cloud| action::passage::settle(cloud, passage));
    drop(ended);
    cloud.into_changes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_a_number_within_reason() {
        for wrong in [0.0, 0.0004, -1.0, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Timing::new(wrong), None, "{wrong}");
        }
        let of = |factor: f64| Timing::new(factor).unwrap().of(Wait::NatGateway);
        assert_eq!(
            (of(1.0), of(0.1), of(100.0)),
            (Duration::seconds(90), Duration::seconds(9), Duration::seconds(9000))
        );
        assert_eq!(Timing::new(0.001).unwrap().of(Wait::Vpc), Duration::millis(1));
    }

    #[test]
    fn the_table_of_the_documentation_is_this_one() {
        let page = include_str!("../../../docs/guide/realistic-timing.md");
        for wait in Wait::ALL {
            let row = format!("| {} | {} |", wait.what(), wait.seconds());
            assert!(page.contains(&row), "docs/guide/realistic-timing.md lacks\n{row}");
        }
    }
}
