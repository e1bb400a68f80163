//! Packets of one stream that arrived one after the other become one super-frame again, so that a guest is woken once for forty packets.
//!
//! A few streams at a time, each with a buffer of its own. What is merged is exactly what cutting the super-frame would give back
//! ([`wire::coalesce`]); what does not fit its stream ends it first, so that no stream is reordered.

use policy::FlowKey;
use wire::checksum::TransportSum;
use wire::coalesce::{Fit, Run};
use wire::ethernet;
use wire::vnet;

use crate::flow_log::Amount;
use crate::port::PortId;

/// Streams that grow at one time.
const STREAMS_MAX: usize = 8;
/// Virtio-net and Ethernet header in front of a super-packet.
pub(crate) const FRONT: usize = vnet::LEN + ethernet::HEADER_LEN;
/// The longest IP packet.
const PACKET_MAX: usize = 65_535;

#[derive(Debug)]
struct Stream {
    /// The association that its packets are opened with.
    spi: u32,
    to: PortId,
    key: FlowKey,
    run: Run,
    buffer: Box<[u8]>,
    /// Headers in front, super-packet behind.
    len: usize,
}

/// What grows, in the order in which it began.
#[derive(Debug, Default)]
pub(crate) struct Coalescer {
    streams: Vec<Stream>,
    spare: Vec<Box<[u8]>>,
}

/// What became of a packet that came on the fast path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Append {
    Done,
    /// Its stream takes no more after it.
    Full(usize),
    /// This stream must end before the packet is delivered by itself, or it would be overtaken.
    Follows(usize),
    /// It belongs to no stream that grows.
    Stranger,
}

impl Coalescer {
    /// Takes an IP packet into its stream, if it is the next piece of one.
    #[inline]
    pub(crate) fn append(&mut self, spi: u32, packet: &[u8], sums: TransportSum) -> Append {
        for (at, stream) in self.streams.iter_mut().enumerate() {
            if stream.spi != spi {
                continue;
            }
            match stream.run.fit(packet, sums) {
                Fit::Stranger => {}
                Fit::Follows => return Append::Follows(at),
                Fit::Joins(piece) => {
                    let payload = &packet[piece.payload()];
                    let Some(room) = stream.buffer.get_mut(stream.len..stream.len + payload.len()) else {
                        return Append::Follows(at);
                    };
                    room.copy_from_slice(payload);
                    stream.len += payload.len();
                    stream.run.append(piece);
                    return if stream.run.is_full() { Append::Full(at) } else { Append::Done };
                }
            }
        }
        Append::Stranger
    }

    /// The stream of a flow.
    pub(crate) fn find(&self, spi: u32, key: FlowKey) -> Option<usize> {
        self.streams.iter().position(|stream| stream.spi == spi && stream.key == key)
    }

    /// Whether the oldest stream must end before another begins.
    pub(crate) fn is_full(&self) -> bool {
        self.streams.len() >= STREAMS_MAX
    }

    /// What a stream amounts to: whose it is, of which flow, and the packets that it was merged from.
    pub(crate) fn amount(&self, at: usize) -> Option<(PortId, FlowKey, Amount)> {
        let Stream { to, key, run, .. } = self.streams.get(at)?;
        let bytes = run.len() + (run.count() - 1) * run.header_len();
        Some((*to, *key, Amount { packets: run.count() as u64, bytes: bytes as u64 }))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Begins a stream with its first packet; `frame` is Ethernet header and packet.
    pub(crate) fn begin(&mut self, spi: u32, to: PortId, key: FlowKey, run: Run, frame: &[u8]) {
        let mut buffer = self.spare.pop().unwrap_or_else(|| vec![0; FRONT + PACKET_MAX].into());
        let len = vnet::LEN + frame.len();
        buffer[vnet::LEN..len].copy_from_slice(frame);
        self.streams.push(Stream { spi, to, key, run, buffer, len });
    }

    /// Ends a stream: its port, and virtio-net header and frame for `write`.
    pub(crate) fn end<T>(&mut self, at: usize, write: impl FnOnce(PortId, &[u8]) -> T) -> T {
        let Stream { to, run, mut buffer, len, .. } = self.streams.remove(at);
        // The buffer holds all of the run: its headers always fit.
        let header = run.finish(&mut buffer[FRONT..len], ethernet::HEADER_LEN as u16).unwrap_or_default();
        buffer[..vnet::LEN].copy_from_slice(&header.to_bytes());
        let result = write(to, &buffer[..len]);
        self.spare.push(buffer);
        result
    }
}
