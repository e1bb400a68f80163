//! Looking at what passes an interface.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime};

use linux::capture::{Capture, Captured, Direction, FRAME_LEN_MAX, Statistics};
use linux::namespace::in_netns;
use linux::netlink::Netlink;
use linux::poll::readable;
use linux::udp::RecvBatch;
use linux::underlay::DEVICE;

use crate::Test;
use crate::links::{PORT, bind, exchange, pair, pattern, sender, underlay};

pub(crate) const TESTS: &[Test] = &[
    ("capture::it_sees_both_directions", it_sees_both_directions),
    ("capture::it_counts_and_cuts", it_counts_and_cuts),
    ("capture::it_puts_vlan_tags_back", it_puts_vlan_tags_back),
];

/// All frames with UDP to port 4500 of the next moments.
pub(crate) fn captured(capture: &Capture, snapshot: usize) -> Vec<(Captured, Vec<u8>)> {
    let (mut found, mut buffer) = (Vec::new(), vec![0; snapshot]);
    let deadline = Instant::now() + Duration::from_millis(300);
    while readable(capture, deadline.saturating_duration_since(Instant::now())).expect("poll") {
        if let Ok(frame) = capture.recv(&mut buffer) {
            let bytes = &buffer[..frame.len];
            let (ipv4, ipv6) = (bytes.get(12..14) == Some(&[8, 0]), bytes.get(12..14) == Some(&[0x86, 0xdd]));
            let udp = if ipv4 { 34 } else { 54 };
            if (ipv4 || ipv6) && bytes.get(udp + 2..udp + 4) == Some(&PORT.to_be_bytes()) {
                found.push((frame, bytes.to_vec()));
            }
        }
    }
    found
}

pub(crate) fn open(netns: &OwnedFd, device: &str) -> Capture {
    in_netns(netns, || Capture::open(device)).expect("entered").expect("a capture")
}

fn it_sees_both_directions() {
    let underlay = underlay(3, 1500);
    let (captures, switch) = ([0, 1].map(|host| open(&underlay.hosts[host].netns, DEVICE)), underlay.switch.as_ref());
    let port = open(switch.expect("three hosts"), "port0");
    let uninvolved = open(&underlay.hosts[2].netns, DEVICE);
    let (sender, receiver) = (sender(&underlay, 0, 1), bind(&underlay, 1, 1));
    // The first packet makes the neighbours known, so that the bridge need not flood the second.
    exchange(&sender, &receiver, 3, 3);
    let before = SystemTime::now();
    exchange(&sender, &receiver, 1000, 1000);
    for (capture, direction) in captures.iter().zip([Direction::Outgoing, Direction::Incoming]) {
        let frames = captured(capture, FRAME_LEN_MAX);
        assert_eq!(frames.len(), 2);
        let (frame, bytes) = &frames[1];
        assert_eq!((frame.direction, frame.len, frame.wire_len), (direction, 1062, 1062));
        assert!(bytes[62..] == pattern(1000));
        let after = frame.time.expect("a time").duration_since(before - Duration::from_secs(1)).expect("after");
        assert!(after < Duration::from_secs(10), "{after:?}");
    }
    assert_eq!(captured(&port, FRAME_LEN_MAX).len(), 2, "the switch sees all");
    assert!(captured(&uninvolved, FRAME_LEN_MAX).len() <= 1, "nobody else does");
    let missing = in_netns(&underlay.hosts[0].netns, || Capture::open("none0")).expect("entered");
    assert_eq!(missing.expect_err("missing").to_string(), "cannot find link `none0`");
}

fn it_counts_and_cuts() {
    let (underlay, sender, receiver) = pair(0, 1500);
    let mut capture = open(&underlay.hosts[0].netns, DEVICE);
    // A run leaves as one super-frame.
    exchange(&sender, &receiver, 10 * 1400, 1400);
    let frames = captured(&capture, 100);
    let (frame, bytes) = &frames[0];
    assert_eq!((frames.len(), frame.len, frame.wire_len), (1, 100, 42 + 10 * 1400));
    assert!(bytes[42..] == pattern(58));
    let counted = capture.statistics().expect("counted");
    assert!(counted.received >= 1 && counted.dropped == 0, "{counted:?}");
    // Without reading, its buffer overflows; the counts go on from where they were.
    let room = capture.buffer_len().expect("known");
    let (run, mut batch) = (pattern(40 * 1400), RecvBatch::new(32, 0));
    for _ in 0..2 * room / run.len() {
        sender.send(receiver.local(), &run, 1400).expect("sent");
        while receiver.recv_batch(&mut batch).expect("received") > 0 {}
    }
    let Statistics { received, dropped } = capture.statistics().expect("counted");
    assert!(received > counted.received && dropped > 0, "{received} {dropped}");
    assert_eq!(capture.statistics().expect("counted").dropped, dropped, "a look does not forget");
    in_netns(&underlay.hosts[0].netns, || Netlink::open().expect("netlink").set_up(DEVICE, false).expect("down"))
        .expect("entered");
    let mut buffer = vec![0; 100];
    let mut errors = Vec::new();
    for _ in 0..100_000 {
        match capture.recv(&mut buffer).map_err(|e| e.kind()) {
            Ok(_) => {}
            Err(std::io::ErrorKind::WouldBlock) => break,
            Err(other) => errors.push(other),
        }
    }
    assert_eq!(errors, [std::io::ErrorKind::NetworkDown]);
}

/// A tagged frame out of a raw socket arrives with its tag where the device may take it off.
fn it_puts_vlan_tags_back() {
    let underlay = underlay(2, 1500);
    let (near, far) = (open(&underlay.hosts[0].netns, DEVICE), open(&underlay.hosts[1].netns, DEVICE));
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 0x81, 0x00, 0x00, 0x2a, 0x88, 0xb5]);
    frame.extend(pattern(50));
    rustix::io::write(near.as_fd(), &frame).expect("sent");
    let mut buffer = vec![0; FRAME_LEN_MAX];
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        assert!(Instant::now() < deadline, "it came without its tag, or not");
        if !readable(&far, Duration::from_millis(100)).expect("poll") {
            continue;
        }
        let Ok(seen) = far.recv(&mut buffer) else { continue };
        if buffer[6..12] == frame[6..12] {
            assert_eq!((seen.len, seen.wire_len, seen.direction), (frame.len(), frame.len(), Direction::Incoming));
            assert!(buffer[..seen.len] == frame);
            break;
        }
    }
}
