//! What does an analysis find? A path and the World in, findings out (spec 12.2).
//!
//! Nothing is judged here: `reach` asks the law, and what it answers is put into AWS's words.
//!
//! ```text
//!   path ─ asked ─▶ ends, addresses, ports ─ search ─▶ reach::Answer ─ stages, explain ─▶ Findings
//! ```

pub mod access_scope;
mod analyse;
mod asked;
mod component;
mod condition;
pub mod end;
mod explain;
mod fit;
mod packets;
mod search;
mod stages;
mod terminal;

pub use analyse::{Via, analyse};

use model::insights::{Component, Explanation};
use model::intent::VpcSlice;
use reach::Network;

use crate::Config;

/// Bounds on one record: far above what one packet's way has.
const COMPONENTS_MAX: usize = 64;
const EXPLANATIONS_MAX: usize = 64;
/// How many things an explanation lists.
const LISTED_MAX: usize = 64;
/// The findings in a record, as text. The largest value that the store takes (1.5 MiB, as etcd) has room for the rest of it.
const BYTES_MAX: usize = 256 * 1024;

/// The host on which all instances are taken to be where there is none.
const RECORDS_HOST: &str = "records";

/// These VPCs as the law sees them. Without hosts instances are records only, and run at once.
fn compiled(config: &Config, slices: Vec<VpcSlice>) -> Network {
    match RECORDS_HOST.parse() {
        Ok(host) if config.hosts.is_empty() && !config.needs_host => Network::without_hosts(slices, host),
        _ => Network::new(slices),
    }
}

/// An explanation with nothing but its code.
fn because(code: &str) -> Explanation {
    Explanation { code: code.into(), ..Explanation::default() }
}

/// An explanation about one thing.
fn because_of(code: &str, component: Component) -> Explanation {
    Explanation { component: Some(component), ..because(code) }
}
