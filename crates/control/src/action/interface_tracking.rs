//! How long an interface's flows are tracked, where its owner says it (spec 6.4.4).

use std::ops::RangeInclusive;

use ec2::Error;
use ec2::shapes::interface::{ConnectionTrackingInput, ConnectionTrackingItem};
use model::*;

use crate::Cloud;

const TCP_ESTABLISHED: RangeInclusive<u32> = 60..=432_000;
const UDP_STREAM: RangeInclusive<u32> = 60..=180;
const UDP: RangeInclusive<u32> = 30..=60;

/// The interface with what a request says of it; it is in the World then.
///
/// # Errors
/// `InvalidParameterValue` for a time out of range.
pub(super) fn set(
    cloud: &mut Cloud<'_>,
    interface: NetworkInterface,
    input: Option<&ConnectionTrackingInput>,
) -> Result<NetworkInterface, Error> {
    let Some(input) = input else { return Ok(interface) };
    let connection_tracking = changed(interface.connection_tracking, input)?;
    let interface = NetworkInterface { connection_tracking, ..interface };
    cloud.put(interface.clone());
    Ok(interface)
}

/// What is not named stays.
pub(super) fn changed(
    before: ConnectionTracking,
    input: &ConnectionTrackingInput,
) -> Result<ConnectionTracking, Error> {
    let seconds = |name: &str, wanted: Option<i32>, before: Option<u32>, allowed: RangeInclusive<u32>| {
        let Some(wanted) = wanted else { return Ok(before) };
        let found = u32::try_from(wanted).ok().filter(|seconds| allowed.contains(seconds));
        let why = || format!("Expected {} to {} seconds.", allowed.start(), allowed.end());
        let name = format!("ConnectionTrackingSpecification.{name}");
        found.map(Some).ok_or_else(|| Error::invalid_parameter(&name, wanted, &why()))
    };
    let ConnectionTracking { tcp_established_timeout: tcp, udp_stream_timeout: stream, udp_timeout: udp } = before;
    Ok(ConnectionTracking {
        tcp_established_timeout: seconds("TcpEstablishedTimeout", input.tcp_established_timeout, tcp, TCP_ESTABLISHED)?,
        udp_stream_timeout: seconds("UdpStreamTimeout", input.udp_stream_timeout, stream, UDP_STREAM)?,
        udp_timeout: seconds("UdpTimeout", input.udp_timeout, udp, UDP)?,
    })
}

/// As the API shows it; `None`: nothing was ever set.
pub(super) fn item(tracking: &ConnectionTracking) -> Option<ConnectionTrackingItem> {
    (!tracking.is_default()).then_some(ConnectionTrackingItem {
        tcp_established_timeout: tracking.tcp_established_timeout,
        udp_stream_timeout: tracking.udp_stream_timeout,
        udp_timeout: tracking.udp_timeout,
    })
}
