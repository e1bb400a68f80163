//! Frames of one session, until it ends: a length (32 bits, big-endian) and that many bytes.
//!
//! A frame of no bytes says only that its sender is there: the server's first one says that it lets the client in (a TLS 1.3
//! client otherwise takes its handshake for done before the server has seen its certificate), later ones keep an idle session up.

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::events::{Event, EventSender, Role, Up};
use super::table::{Admitted, cost};
use super::why::Why;
use super::{FRAME_MAX, Limits};

/// "I am here."
const EMPTY: [u8; 4] = [0; 4];
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_millis(200);

/// Ends all clones of an exporter with the session, however that ends.
struct Erase(Up);

impl Drop for Erase {
    fn drop(&mut self) {
        self.0.exporter.erase();
    }
}

/// Carries a session that has just come up; tells of it from `Up` to `Down`.
///
/// # Errors
/// Why it ended before anybody was told of it.
pub(super) async fn run<S>(
    connection: S,
    up: Up,
    mut admitted: Admitted,
    events: EventSender,
    limits: Limits,
) -> Result<(), Why>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let up = Erase(up);
    let session = up.0.session;
    let (mut read, mut write) = tokio::io::split(connection);
    tokio::select! {
        is_told = events.send(Event::Up(up.0.clone())) => if is_told { Ok(()) } else { Err(Why::Closed) },
        why = &mut admitted.end => Err(why.unwrap_or(Why::Closed)),
    }?;
    let Admitted { place, mut wire, queued, mut end } = admitted;
    let why = tokio::select! {
        Err(why) = receive(&mut read, session, &events, limits) => why,
        Err(why) = transmit(&mut write, up.0.role, &mut wire, &queued, limits) => why,
        Ok(why) = &mut end => why,
        () = tokio::time::sleep(limits.age) => Why::TooOld,
    };
    drop(up);
    let _ = timeout(FAREWELL, write.shutdown()).await;
    drop((read, write));
    tracing::debug!(session, %why, "session ended");
    events.send(Event::Down { session, why }).await;
    // Only here: a session whose end nobody has heard of still counts against the limit.
    drop(place);
    Ok(())
}

/// Waits for the server's word that the client is let in.
pub(super) async fn welcome(connection: &mut (impl AsyncRead + Unpin)) -> Result<(), Why> {
    let mut header = EMPTY;
    connection.read_exact(&mut header).await.map_err(|error| Why::of_io(&error))?;
    if header == EMPTY { Ok(()) } else { Err(Why::Protocol) }
}

async fn receive(
    read: &mut (impl AsyncRead + Unpin),
    session: u64,
    events: &EventSender,
    limits: Limits,
) -> Result<Infallible, Why> {
    loop {
        let mut header = EMPTY;
        fill(read, &mut header, limits.idle).await?;
        let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
        if length > FRAME_MAX {
            return Err(Why::Oversize { bytes: length });
        }
        if length > 0 {
            let mut bytes = vec![0; length];
            fill(read, &mut bytes, limits.idle).await?;
            if !events.send(Event::Message { session, bytes }).await {
                return Err(Why::Closed);
            }
        }
    }
}

async fn fill(read: &mut (impl AsyncRead + Unpin), bytes: &mut [u8], at_most: Duration) -> Result<(), Why> {
    match timeout(at_most, read.read_exact(bytes)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Why::of_io(&error)),
        Err(_) => Err(Why::Idle),
    }
}

async fn transmit(
    write: &mut (impl AsyncWrite + Unpin),
    role: Role,
    wire: &mut mpsc::UnboundedReceiver<Vec<u8>>,
    queued: &AtomicUsize,
    limits: Limits,
) -> Result<Infallible, Why> {
    if role == Role::Server {
        put(write, &EMPTY, limits.write).await?;
    }
    loop {
        match timeout(limits.keepalive, wire.recv()).await {
            Ok(Some(framed)) => {
                put(write, &framed, limits.write).await?;
                queued.fetch_sub(cost(&framed), Ordering::Relaxed);
            }
            // The table forgets a session only after its end.
            Ok(None) => pending().await,
            Err(_) => put(write, &EMPTY, limits.write).await?,
        }
    }
}

async fn put(write: &mut (impl AsyncWrite + Unpin), framed: &[u8], at_most: Duration) -> Result<(), Why> {
    let put = async {
        write.write_all(framed).await?;
        write.flush().await
    };
    match timeout(at_most, put).await {
        Ok(result) => result.map_err(|error| Why::of_io(&error)),
        Err(_) => Err(Why::SlowReader),
    }
}
