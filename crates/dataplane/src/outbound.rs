//! What goes to other hosts: cut to fit, sealed, laid out for one send (architecture ch. 5).

use std::net::IpAddr;

use policy::Denied;
use tunnel::Identity;
use wire::Ip;
use wire::checksum::TransportSum;
use wire::esp::{self, next_header};
use wire::segment::{SegmentError, Segments};
use wire::vnet::VnetHeader;

use crate::ruling::Refused;
use crate::step::Step;
use crate::tunnels::TunnelId;
use crate::waiting::Want;

impl Step<'_> {
    /// Seals a frame's packet for another host; `mtu` is the largest inner packet, in bytes.
    pub(crate) fn seal(
        &mut self,
        tunnel: TunnelId,
        mtu: u16,
        header: &VnetHeader,
        ip: &Ip,
        frame: &[u8],
    ) -> Result<(), Refused> {
        let view = self.view;
        let (sa, to) = view.tunnels.outbound(tunnel).ok_or(Denied::NoSecureChannel)?;
        let segments = Segments::new(header, ip, frame, mtu).map_err(|error| match error {
            SegmentError::TooBig { .. } => Denied::TooBig { mtu: mtu.into() },
            _ => Denied::Malformed,
        })?;
        let segments = if sa.identity().partial_sums { segments.with_partial_sums() } else { segments };
        let lengths = (0..segments.count()).map(|n| segments.len_of(n));
        let bytes: usize = lengths.sum();
        let Ok(first) = sa.reserve(segments.count() as u32, bytes as u64) else {
            let Identity { domain, host, shard, .. } = *sa.identity();
            self.waiting.ask(Want { domain, host, shard }, self.now);
            return Err(Denied::NoSecureChannel.into());
        };
        let next_header = match (ip.src, segments.sums()) {
            (IpAddr::V4(_), TransportSum::Whole) => next_header::IPV4,
            (IpAddr::V4(_), TransportSum::Partial) => next_header::IPV4_PARTIAL,
            (IpAddr::V6(_), TransportSum::Whole) => next_header::IPV6,
            (IpAddr::V6(_), TransportSum::Partial) => next_header::IPV6_PARTIAL,
        };
        for n in 0..segments.count() {
            let inner = segments.len_of(n);
            let fill = |room: &mut [u8]| {
                // The room was measured for this very piece.
                if segments.write(n, &mut room[esp::HEADER_LEN..]).is_ok() {
                    sa.seal(first + n as u64, room, inner, next_header);
                }
            };
            self.outbox.push(to, esp::sealed_len(inner), fill).ok_or(Denied::TooBig { mtu: mtu.into() })?;
        }
        Ok(())
    }
}
