//! What does the cloud do? An action and the World in, a reply and changes out; the World in, each host's intent out.
//!
//! Everything here is pure: the time and the randomness of a request are arguments, and a handler that ends in an error has
//! changed nothing (its changes are dropped with it).
//!
//! ```text
//!   Action ─▶ handle ─▶ Reply + Changes          (action/, one file per noun)
//!   Time   ─▶ tick ───▶ Changes                  (expiry, purge: tick.rs)
//!   Message ▶ federation::receive ─▶ Changes     (what regions tell each other)
//!   Report ─▶ report ─▶ Changes                  (what hosts tell: instances came up, went down)
//!   World  ─▶ plan ───▶ Intent                   (what each host must do)
//!   Worlds, question ─▶ reach ─▶ answer          (why can't A reach B)
//!   Worlds, request ─▶ route53 ─▶ reply, Changes (private hosted zones)
//! ```

pub mod accounts;
pub mod action;
pub mod addresses;
pub mod cloud;
pub mod config;
pub mod describe;
pub mod draft;
pub mod draw;
pub mod events;
pub mod federation;
pub mod foreign;
mod insights;
pub mod names;
pub mod peering;
pub mod plan;
pub mod public;
pub mod reach;
pub mod report;
pub mod route53;
pub mod rules;
pub mod ssh_key;
pub mod sts;
pub mod tick;
pub mod timing;

pub use action::default_vpc::{first_use, is_first_use};
pub use cloud::Cloud;
pub use config::{Config, Quotas};
pub use draft::Draft;
pub use draw::{Draw, Seed};
pub use tick::tick;
pub use timing::Timing;

use ec2::{Caller, Error, Reply, Request};
use model::{Change, Time, World};

/// What a request comes to: the reply, and the changes that must be committed before it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub reply: Reply,
    pub changes: Vec<Change>,
}

/// Handles one request (spec 1.3.7: what is left after parsing and authentication).
///
/// # Errors
/// EC2's error; nothing has changed then.
pub fn handle(
    world: &World,
    caller: &Caller,
    request: Request,
    config: &Config,
    seed: Seed,
    now: Time,
) -> Result<Outcome, Error> {
    if request.dry_run {
        return Err(Error::dry_run());
    }
    let config = config.of_account(caller.account);
    let mut cloud = Cloud::new(world, caller, &config, seed, now, request.parameters);
    action::default_vpc::at_first_use(&mut cloud);
    let reply = action::dispatch(request.action, &mut cloud)?;
    Ok(Outcome { reply, changes: cloud.into_changes() })
}
