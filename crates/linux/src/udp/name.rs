//! Socket addresses as the kernel reads and writes them (`struct sockaddr_in`, `struct sockaddr_in6`; ip(7), ipv6(7)).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

const V4_LEN: usize = size_of::<libc::sockaddr_in>();
const V6_LEN: usize = size_of::<libc::sockaddr_in6>();

/// Room for either family, aligned as both want it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
pub(super) struct Name([u8; V6_LEN]);

impl Name {
    pub(super) const EMPTY: Self = Self([0; V6_LEN]);
    /// How many bytes there are, for the kernel to write into.
    pub(super) const ROOM: libc::socklen_t = V6_LEN as libc::socklen_t;

    /// The address, and how many bytes of it the kernel is to read.
    pub(super) fn new(address: SocketAddr) -> (Self, libc::socklen_t) {
        let mut name = Self::EMPTY;
        let bytes = &mut name.0;
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        // The families are 2 and 10.
        bytes[0..2].copy_from_slice(&libc::sa_family_t::try_from(family).unwrap_or_default().to_ne_bytes());
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        let len = match address {
            SocketAddr::V4(v4) => {
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                V4_LEN
            }
            SocketAddr::V6(v6) => {
                // Kept in network byte order by the standard library, as by the kernel.
                bytes[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                V6_LEN
            }
        };
        (name, len as libc::socklen_t)
    }

    /// The address that the kernel wrote with this length; `None` if it is of another family.
    pub(super) fn address(&self, len: libc::socklen_t) -> Option<SocketAddr> {
        let bytes = &self.0;
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let family = libc::c_int::from(libc::sa_family_t::from_ne_bytes([bytes[0], bytes[1]]));
        let port = u16::from_be_bytes([bytes[2], bytes[3]]);
        match (family, usize::try_from(len).ok()?) {
            (libc::AF_INET, V4_LEN) => {
                let ip = Ipv4Addr::from(*bytes[4..].first_chunk::<4>()?);
                Some(SocketAddrV4::new(ip, port).into())
            }
            (libc::AF_INET6, V6_LEN) => {
                let ip = Ipv6Addr::from(*bytes[8..].first_chunk::<16>()?);
                Some(SocketAddrV6::new(ip, port, word(4), word(24)).into())
            }
            _ => None,
        }
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        (&raw mut self.0).cast()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_read_back(v4: [u8; 4], v6: [u8; 16], port: u16, scope: u32) {
            let six = SocketAddrV6::new(v6.into(), port, 0, scope);
            for address in [SocketAddr::from((v4, port)), six.into()] {
                let (name, len) = Name::new(address);
                prop_assert_eq!(name.address(len), Some(address));
                prop_assert_eq!(name.address(len - 1), None);
            }
        }
    }

    #[test]
    fn the_layout_is_the_kernels() {
        let (name, len) = Name::new(SocketAddr::from(([198, 18, 0, 1], 4500)));
        assert_eq!((len, &name.0[2..8]), (16, &[0x11, 0x94, 198, 18, 0, 1][..]));
        let (name, len) = Name::new("[fd00::1%7]:4500".parse().expect("an address"));
        assert_eq!((len, &name.0[2..4], &name.0[8..10], name.0[23]), (28, &[0x11, 0x94][..], &[0xfd, 0][..], 1));
        assert_eq!(name.0[24..28], 7_u32.to_ne_bytes());
        assert_eq!(Name::EMPTY.address(16), None);
    }
}
