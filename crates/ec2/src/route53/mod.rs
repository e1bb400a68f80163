//! Route 53 for private hosted zones: the REST and XML protocol of version 2013-04-01 (spec 9.6).
//!
//! ```text
//!   method, path, query, body ─ Request::parse ─▶ Request ─▶ (control) ─▶ Reply ─ render ─▶ XML
//! ```
//!
//! Public zones, delegation sets, health checks, aliases and routing policies are not here: what names them is refused.

mod input;
mod name;
mod output;
mod value;

pub use input::{ChangeAction, ChangeInput, Request, VpcInput};
pub use name::{DomainName, NameError, escaped, order};
pub use output::*;
pub use value::ValueError;

use crate::Error;

pub const VERSION: &str = "2013-04-01";
pub const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// `InvalidInput`: what the request says has no meaning here.
pub fn invalid_input(message: impl Into<String>) -> Error {
    Error::new("InvalidInput", message)
}

/// `InvalidChangeBatch`, with Route 53's brackets.
pub fn invalid_change_batch(messages: &[String]) -> Error {
    Error::new("InvalidChangeBatch", format!("[{}]", messages.join(", ")))
}

/// Unknown and foreign read alike.
pub fn no_such_hosted_zone(id: &str) -> Error {
    Error::new("NoSuchHostedZone", format!("No hosted zone found with ID: {id}")).with_status(404)
}
