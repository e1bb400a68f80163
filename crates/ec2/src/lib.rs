//! What did the client ask, and how is it answered? The EC2 Query protocol (spec ch. 1): actions, shapes, errors, filters,
//! signatures.
//!
//! ```text
//!   bytes ─ query ─▶ Node ─ Action::parse ─▶ Action ─▶ (control) ─▶ Reply ─ render ─▶ XML
//! ```
//!
//! To add an action: its shapes in `shapes/<noun>.rs`, one word in the table of `action.rs`, its handler in
//! `control::action::<noun>`.

#[macro_use]
mod shape;

pub mod accounts;
pub mod action;
pub mod error;
pub mod filter;
#[doc(hidden)]
pub mod fuzz;
pub mod members;
pub mod page;
pub mod parameters;
pub mod query;
pub mod reach;
pub mod redact;
pub mod route53;
pub mod service;
pub mod shapes;
pub mod signature;
pub mod support;
pub mod value;
pub mod xml;

pub use action::{Action, Operation, Reply, Request};
pub use error::{Error, IdCodes};
pub use filter::Filter;
pub use members::{Member, Members};
pub use query::Node;
pub use value::FromQuery;
pub use xml::{Shape, ToXml, Xml};

use model::AccountId;

/// Who asks, as the signature proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub account: AccountId,
    /// `arn:aws:iam::<account>:root` or the assumed role's.
    pub arn: String,
    pub user_id: String,
}

impl Caller {
    /// The account itself.
    pub fn root(account: AccountId) -> Caller {
        Caller { account, arn: format!("arn:aws:iam::{account}:root"), user_id: account.to_string() }
    }

    /// The role that the caller has assumed.
    pub fn role(&self) -> Option<&str> {
        let rest = self.arn.strip_prefix("arn:aws:sts::")?.split_once(":assumed-role/")?.1;
        rest.split_once('/').map(|(role, _)| role)
    }
}
