//! Packet captures as files: the part of pcapng (draft-ietf-opsawg-pcapng) that `peerway capture` writes, which Wireshark, tshark and
//! tcpdump read. One section, one interface, times in nanoseconds, each frame with direction and comment.

use std::time::{SystemTime, UNIX_EPOCH};

use model::Direction;

/// Everything is written in the byte order of this number.
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const ETHERNET: u16 = 1;
/// Frames are never cut; a reader that asks for a limit gets tcpdump's.
const SNAP_LEN: u32 = 262_144;
/// A power of ten.
const NANOSECONDS: u8 = 9;
/// Comments are one line.
const OPTION_LEN_MAX: usize = 4096;

mod option {
    pub(super) const END: u16 = 0;
    pub(super) const COMMENT: u16 = 1;
    /// Of a section: the program that wrote it.
    pub(super) const USER_APPLICATION: u16 = 4;
    /// Of an interface.
    pub(super) const NAME: u16 = 2;
    pub(super) const TIME_RESOLUTION: u16 = 9;
    /// Of a packet.
    pub(super) const FLAGS: u16 = 2;
    /// Of statistics.
    pub(super) const RECEIVED: u16 = 4;
    pub(super) const DROPPED: u16 = 5;
}

/// One frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) time: SystemTime,
    /// As the interface's owner sees it.
    pub(crate) direction: Direction,
    pub(crate) frame: &'a [u8],
    /// How many bytes the frame had.
    pub(crate) wire_len: usize,
    pub(crate) comment: Option<&'a str>,
}

/// The beginning of a file, about one interface.
pub(crate) fn begin(out: &mut Vec<u8>, interface: &str) {
    block(out, SECTION, |out| {
        out.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        out.extend(1_u16.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        // The section's length is not known beforehand.
        out.extend((-1_i64).to_le_bytes());
        put_option(out, option::USER_APPLICATION, concat!("peerway ", env!("CARGO_PKG_VERSION")).as_bytes());
        put_option(out, option::END, b"");
    });
    block(out, INTERFACE, |out| {
        out.extend(ETHERNET.to_le_bytes());
        out.extend(0_u16.to_le_bytes());
        out.extend(SNAP_LEN.to_le_bytes());
        put_option(out, option::NAME, interface.as_bytes());
        put_option(out, option::TIME_RESOLUTION, &[NANOSECONDS]);
        put_option(out, option::END, b"");
    });
}

pub(crate) fn packet(out: &mut Vec<u8>, packet: &Packet<'_>) {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    block(out, PACKET, |out| {
        out.extend(0_u32.to_le_bytes());
        put_time(out, packet.time);
        out.extend(length(packet.frame.len()));
        out.extend(length(packet.wire_len));
        out.extend(packet.frame);
        pad(out, packet.frame.len());
        let direction: u32 = match packet.direction {
            Direction::Ingress => 1,
            Direction::Egress => 2,
        };
        put_option(out, option::FLAGS, &direction.to_le_bytes());
        if let Some(comment) = packet.comment {
            put_option(out, option::COMMENT, comment.as_bytes());
        }
        put_option(out, option::END, b"");
    });
}

/// The end: frames seen, and of them those that are missing in the file.
pub(crate) fn statistics(out: &mut Vec<u8>, time: SystemTime, received: u64, dropped: u64) {
    block(out, STATISTICS, |out| {
        out.extend(0_u32.to_le_bytes());
        put_time(out, time);
        put_option(out, option::RECEIVED, &received.to_le_bytes());
        put_option(out, option::DROPPED, &dropped.to_le_bytes());
        put_option(out, option::END, b"");
    });
}

/// Type, length, body, length again; a body is a multiple of four bytes long.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let length = u32::try_from(out.len() - start + 4).unwrap_or(u32::MAX).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&length);
    out.extend(length);
}

fn put_option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(OPTION_LEN_MAX)];
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    pad(out, value.len());
}

fn pad(out: &mut Vec<u8>, len: usize) {
    out.extend(&[0; 3][..len.next_multiple_of(4) - len]);
}

/// Nanoseconds since 1970, the high word first.
fn put_time(out: &mut Vec<u8>, time: SystemTime) {
    let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    out.extend(((nanos >> 32) as u32).to_le_bytes());
    out.extend((nanos as u32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Output};
    use std::time::Duration;

    use super::*;

    fn file() -> tempfile::NamedTempFile {
        let mut bytes = Vec::new();
        begin(&mut bytes, "eni-0a1b2c3d");
        let time = UNIX_EPOCH + Duration::new(1_800_000_000, 123_456_789);
        let short = [&[2; 12][..], &[0x08, 0x00], &[0; 33]].concat();
        let comment = Some("D22: no ingress rule of the destination's security groups matches (eni-0a1b2c3d)");
        let direction = Direction::Egress;
        packet(&mut bytes, &Packet { time, direction, frame: &short, wire_len: short.len(), comment });
        let long = vec![3; 65_549];
        let direction = Direction::Ingress;
        packet(&mut bytes, &Packet { time, direction, frame: &long, wire_len: 70_000, comment: None });
        statistics(&mut bytes, time, 9, 7);
        let mut file = tempfile::Builder::new().suffix(".pcapng").tempfile().expect("a file");
        file.write_all(&bytes).expect("written");
        file
    }

    fn run(program: &str, arguments: &[&str], file: &tempfile::NamedTempFile) -> String {
        let output = Command::new(program).args(arguments).arg(file.path()).output();
        let Output { status, stdout, stderr } =
            output.unwrap_or_else(|error| panic!("{program} is needed (apt-get install tshark): {error}"));
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8_lossy(&stdout).into_owned()
    }

    #[test]
    fn wireshark_reads_what_was_written() {
        let file = file();
        let fields =
            ["frame.time_epoch", "frame.len", "frame.cap_len", "frame.packet_flags_direction", "frame.comment"];
        let fields: Vec<_> = fields.iter().flat_map(|field| ["-e", field]).collect();
        let arguments =
            [&["-T", "fields", "-E", "separator=|"][..], &fields, &["-e", "frame.interface_name", "-r"]].concat();
        let told = run("tshark", &arguments, &file);
        let lines: Vec<_> = told.lines().collect();
        let comment = "D22: no ingress rule of the destination's security groups matches (eni-0a1b2c3d)";
        let expected = [
            format!("1800000000.123456789|47|47|2|{comment}|eni-0a1b2c3d"),
            "1800000000.123456789|70000|65549|1||eni-0a1b2c3d".to_owned(),
        ];
        let direction = |line: &str| line.replace("|0x00000002|", "|2|").replace("|0x00000001|", "|1|");
        assert_eq!(lines.iter().map(|line| direction(line)).collect::<Vec<_>>(), expected);
        let info = run("capinfos", &["-M"], &file);
        assert!(info.contains("pcapng") && info.contains("Ethernet"), "{info}");
        assert!(info.contains("nanoseconds") && info.contains("262144"), "{info}");
    }
}
