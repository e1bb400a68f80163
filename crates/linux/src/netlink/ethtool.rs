//! Offloads of network devices, by the generic netlink family `ethtool` (the kernel's
//! `Documentation/networking/ethtool-netlink.rst`; Linux 5.9). Features go by the names that `ethtool -k` on recent
//! systems and `net/ethtool/common.c` give them, such as `tx-udp-segmentation`.

use std::collections::BTreeSet;
use std::io;

use rustix::net::netlink;

use super::message::{Request, attributes, text, u16_at};
use super::{NLM_F_ACK, NLM_F_REQUEST, Netlink, NetlinkError, failed};

/// The most features one call changes; kernels know less than a hundred.
pub const FEATURES_MAX: usize = 128;

/// A generic-netlink socket that speaks to `ethtool`. It belongs to the namespace in which it was opened, as
/// [`Netlink`] does.
#[derive(Debug)]
pub struct Ethtool {
    netlink: Netlink,
    family: u16,
}

impl Ethtool {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the kernel has no `ethtool` family (before 5.6).
    pub fn open() -> Result<Self, NetlinkError> {
        let mut netlink = Netlink::open_protocol(Some(netlink::GENERIC))?;
        let mut request = Request::new(GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_ACK, &[CTRL_CMD_GETFAMILY, 1, 0, 0]);
        request.text(CTRL_ATTR_FAMILY_NAME, "ethtool");
        let operation = "find the netlink family `ethtool`";
        let family = |payload: &[u8]| u16_at(find(payload.get(GENL_HEADER_LEN..)?, CTRL_ATTR_FAMILY_ID)?, 0);
        let families = netlink.ask(request, operation, GENL_ID_CTRL, family)?;
        let family = families.first().ok_or_else(|| failed(operation, io::ErrorKind::NotFound.into()))?;
        Ok(Self { netlink, family: *family })
    }

    /// The features of a device that are on.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn features(&mut self, name: &str) -> Result<BTreeSet<String>, NetlinkError> {
        let request = self.request(MSG_FEATURES_GET, name, 0);
        let parse = |payload: &[u8]| {
            let active = find(payload.get(GENL_HEADER_LEN..)?, FEATURES_ACTIVE)?;
            let bits = attributes(find(active, BITSET_BITS)?).filter(|(kind, _)| *kind == BITS_BIT);
            Some(bits.filter_map(|(_, bit)| find(bit, BIT_NAME).map(text)).collect())
        };
        let operation = format!("list the features of link `{name}`");
        let found = self.netlink.ask(request, &operation, self.family, parse)?;
        found.into_iter().next().ok_or_else(|| failed(operation, io::ErrorKind::NotFound.into()))
    }

    /// Switches features of a device on (`true`) or off; all others stay as they are.
    ///
    /// # Errors
    /// When there is no such device or feature, or the device does not let it be changed: `Unsupported`, and the others
    /// of the call may have changed.
    pub fn set_features(&mut self, name: &str, features: &[(&str, bool)]) -> Result<(), NetlinkError> {
        let operation = || {
            let list: Vec<_> =
                features.iter().map(|(f, on)| format!("{f} {}", if *on { "on" } else { "off" })).collect();
            format!("set {} of link `{name}`", list.join(", "))
        };
        if features.len() > FEATURES_MAX {
            return Err(failed(operation(), io::ErrorKind::InvalidInput.into()));
        }
        let mut request = self.request(MSG_FEATURES_SET, name, FLAG_OMIT_REPLY);
        request.nest(NESTED | FEATURES_WANTED, |wanted| {
            wanted.nest(NESTED | BITSET_BITS, |bits| {
                for (feature, on) in features {
                    bits.nest(NESTED | BITS_BIT, |bit| {
                        bit.text(BIT_NAME, feature);
                        if *on {
                            bit.attribute(BIT_VALUE, &[]);
                        }
                    });
                }
            });
        });
        self.netlink.command(request, operation())?;
        // Success means only that the wish was noted.
        let active = self.features(name)?;
        if features.iter().all(|(feature, on)| active.contains(*feature) == *on) {
            return Ok(());
        }
        Err(failed(operation(), io::ErrorKind::Unsupported.into()))
    }

    fn request(&self, command: u8, device: &str, flags: u32) -> Request {
        let mut request = Request::new(self.family, NLM_F_REQUEST | NLM_F_ACK, &[command, 1, 0, 0]);
        request.nest(NESTED | FEATURES_HEADER, |header| {
            header.text(HEADER_DEV_NAME, device).number(HEADER_FLAGS, flags);
        });
        request
    }
}

const GENL_ID_CTRL: u16 = 16;
const GENL_HEADER_LEN: usize = 4;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
/// `NLA_F_NESTED`, which this family insists on.
const NESTED: u16 = 0x8000;
const MSG_FEATURES_GET: u8 = 11;
const MSG_FEATURES_SET: u8 = 12;
const HEADER_DEV_NAME: u16 = 2;
const HEADER_FLAGS: u16 = 3;
const FLAG_OMIT_REPLY: u32 = 2;
const FEATURES_HEADER: u16 = 1;
const FEATURES_WANTED: u16 = 3;
const FEATURES_ACTIVE: u16 = 4;
const BITSET_BITS: u16 = 3;
const BITS_BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(kind, value)| (kind == wanted).then_some(value))
}
