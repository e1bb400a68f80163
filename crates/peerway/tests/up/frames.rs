//! Frames made by hand, and a way to put them into a guest's device as its root could.

use std::net::Ipv4Addr;

use linux::capture::{Capture, FRAME_LEN_MAX};
use linux::namespace::in_netns;

pub type Mac = [u8; 6];

pub const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const UDP: u8 = 17;
/// Flags of an IPv4 header's seventh and eighth byte.
pub const DONT_FRAGMENT: u16 = 0x4000;
pub const MORE_FRAGMENTS: u16 = 0x2000;

pub fn ethernet(dst: Mac, src: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&dst[..], &src, &kind.to_be_bytes(), payload].concat()
}

/// A UDP datagram's bytes; without a checksum, as IPv4 allows.
pub fn udp(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).expect("it fits");
    [&src_port.to_be_bytes()[..], &dst_port.to_be_bytes(), &len.to_be_bytes(), &[0, 0], payload].concat()
}

/// An IPv4 packet with UDP in it, or a piece of one; `place`: flags, and the offset in units of eight bytes.
pub fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, id: u16, place: u16, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).expect("it fits");
    let mut header = [0_u8; 20];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[4..6].copy_from_slice(&id.to_be_bytes());
    header[6..8].copy_from_slice(&place.to_be_bytes());
    (header[8], header[9]) = (64, UDP);
    header[12..16].copy_from_slice(&src.octets());
    header[16..20].copy_from_slice(&dst.octets());
    let sum = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded");
    header[10..12].copy_from_slice(&(!sum).to_be_bytes());
    [&header[..], payload].concat()
}

/// "Who has `target`?"
pub fn arp(mac: Mac, own: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let ask = [0, 1, 8, 0, 6, 4, 0, 1];
    ethernet([0xff; 6], mac, ARP, &[&ask[..], &mac, &own.octets(), &[0; 6], &target.octets()].concat())
}

/// A device, opened from outside.
#[derive(Debug)]
pub struct Wire(Capture);

impl Wire {
    pub fn open(netns: &impl std::os::fd::AsFd, device: &str) -> Wire {
        Wire(in_netns(netns, || Capture::open(device)).expect("entered").expect("a packet socket"))
    }

    /// Puts a frame into the device; `false`: it is full for the moment.
    pub fn send(&self, frame: &[u8]) -> bool {
        match rustix::io::write(&self.0, frame) {
            Ok(len) => len == frame.len(),
            Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::AGAIN) => false,
            Err(error) => panic!("a frame of {} bytes was not taken: {error}", frame.len()),
        }
    }

    /// For who sends without asking how full it is.
    pub fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }

    /// What has passed and was not read yet.
    pub fn seen(&self) -> Vec<Vec<u8>> {
        let (mut frames, mut buffer) = (Vec::new(), vec![0; FRAME_LEN_MAX]);
        while let Ok(frame) = self.0.recv(&mut buffer) {
            frames.push(buffer[..frame.len].to_vec());
        }
        frames
    }
}
