//! Who looks at the frames of an interface? `peerway capture`, through here. Nobody, most of the time: then a frame costs one look at a
//! length that lies beside the tables, and nothing is copied or allocated.

use std::fmt;
use std::sync::Arc;

use model::{Direction, NetworkInterfaceId};
use policy::Denied;

/// Interfaces that are looked at, at one time; one that is looked at twice counts twice.
pub const WATCHES_MAX: usize = 8;

/// Takes what is seen. Called by the thread that carries the packet: it must not wait.
pub trait Watch: fmt::Debug + Send + Sync {
    fn saw(&self, seen: &Seen<'_>);
}

/// A frame at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// As the guest sees it: what it sends is egress.
    pub direction: Direction,
    pub fate: Fate,
    /// Without virtio-net header. A super-frame is whole, and its checksum may be left to be finished. Of an arrival that was refused
    /// before it had a link, the hardware addresses are zero.
    pub frame: &'a [u8],
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// From the guest: on its way, to another guest of this host or sealed to another host. To the guest: handed over.
    Passed,
    /// A question to the router, which has answered.
    Answered,
    /// The router's own word to the guest.
    Answer,
    /// A fragment that waits for the first one of its datagram.
    Held,
    Denied(Denied),
}

/// `pass`, or the reason as everywhere: `D22: no ingress rule .. (eni-..)`.
impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Passed => f.write_str("pass"),
            Fate::Answered => f.write_str("answered by the router"),
            Fate::Answer => f.write_str("from the router"),
            Fate::Held => f.write_str("waits for the first fragment"),
            Fate::Denied(denied) => denied.fmt(f),
        }
    }
}

/// Names a watch, to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchId(pub(crate) u64);

/// All watches of a host, as a part of the view that packets are judged by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watches {
    list: Vec<(WatchId, NetworkInterfaceId, Arc<dyn Watch>)>,
}

impl Watches {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn show(&self, interface: NetworkInterfaceId, seen: &Seen<'_>) {
        let of_interface = self.list.iter().filter(|(_, of, _)| *of == interface);
        of_interface.for_each(|(.., watch)| watch.saw(seen));
    }

    /// With one more; `None`: there are [`WATCHES_MAX`].
    pub(crate) fn with(&self, id: WatchId, interface: NetworkInterfaceId, watch: Arc<dyn Watch>) -> Option<Watches> {
        if self.list.len() >= WATCHES_MAX {
            return None;
        }
        let mut more = self.clone();
        more.list.push((id, interface, watch));
        Some(more)
    }

    pub(crate) fn without(&self, id: WatchId) -> Watches {
        Watches { list: self.list.iter().filter(|(of, ..)| *of != id).cloned().collect() }
    }
}
