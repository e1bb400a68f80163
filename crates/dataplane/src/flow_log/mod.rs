//! What do flow logs say about the packets of an interface (spec 12.1)?
//!
//! ```text
//!  a packet at a logged interface ─▶ Accounts of this worker      one lock that nobody else wants, no allocation
//!  the end of an interval ─────────▶ Shared::take_flows           other accounts in their place, in one step
//!                                      └▶ Taken::records ─▶ Line::write, once for each flow log that covers the interface
//! ```
//!
//! - *What is counted is the law's word.* A packet that its sender's rules let go counts as accepted there, and as accepted or rejected at
//!   its receiver, whatever host that is on. What has no way, no key or no room (D08-D18, D20, D21) is counted at neither end, as on AWS.
//! - *A NAT gateway's interface* has both its edges: as what it takes in came, and as it sends it on.
//! - *Packets as the interface's guest sends or gets them.* A super-frame counts as the packets that its sender wants it cut into, a merged
//!   one as those that it was merged from, each with headers of its own; bytes are those of IP packets.
//! - *Bounded.* Each worker has room for [`Config::logged_flows`](crate::Config::logged_flows) flows of one interval, half of them for one
//!   interface. What finds no room is not counted, and its interface is [skipped](Records::skipped).
//! - *An interface that no flow log covers* costs one look at a flag beside the tables.

mod accounts;
mod count;
mod gateway;
mod line;

use model::intent::VpcSlice;
use model::{FlowLog, NetworkInterface};

pub(crate) use accounts::{Accounts, Amount};
pub use accounts::{Evidence, FlowId, FlowRecord, Passage, Records, Taken};
pub(crate) use gateway::Passing;
pub use line::{Line, LogSubject};

/// Which packets of an interface some flow log wants counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Logged {
    pub accepted: bool,
    pub rejected: bool,
}

impl Logged {
    pub(crate) fn of(slice: &VpcSlice, interface: &NetworkInterface) -> Logged {
        covering(slice, interface).fold(Logged::default(), |logged, log| Logged {
            accepted: logged.accepted || log.traffic.takes_accepted(),
            rejected: logged.rejected || log.traffic.takes_rejected(),
        })
    }

    pub(crate) fn any(self) -> bool {
        self.accepted || self.rejected
    }
}

fn covering<'a>(slice: &'a VpcSlice, interface: &NetworkInterface) -> impl Iterator<Item = &'a FlowLog> {
    slice.flow_logs.iter().map(|log| &**log).filter(move |log| log.resource.covers(interface))
}
