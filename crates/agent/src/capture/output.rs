//! What the client of a capture gets: a stream of chunks (32 bits of length, bytes) that ends with an empty one. In them stand lines or a
//! pcapng file.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::Direction;
use zeroize::Zeroizing;

use super::slots::LeftCapture;
use super::{CaptureFormat, CaptureOrder, CaptureSummary, pcapng};

/// Bytes that are written at once.
const CHUNK: usize = 256 << 10;
/// What a client takes at once.
const CHUNK_MAX: usize = 1 << 20;
/// How often the client is looked for although nothing comes.
const LOOK: Duration = Duration::from_millis(100);

/// What the client gets.
pub(super) struct Output<'a> {
    client: &'a UnixStream,
    format: CaptureFormat,
    /// Frames that may still come.
    left: u64,
    until: Option<Instant>,
    frames: u64,
    /// Frames that an earlier process missed.
    dropped_before: u64,
    buffer: Vec<u8>,
}

impl Output<'_> {
    pub(super) fn new<'a>(order: &CaptureOrder, name: &str, client: &'a UnixStream) -> io::Result<Output<'a>> {
        let until = order.seconds.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
        let (format, left) = (order.format, order.count.unwrap_or(u64::MAX));
        let mut out = Output { client, format, left, until, frames: 0, dropped_before: 0, buffer: Vec::new() };
        if format == CaptureFormat::Pcapng {
            pcapng::begin(&mut out.buffer, name);
        }
        // A file that holds nothing yet can be read already.
        out.flush()?;
        Ok(out)
    }

    /// Where another process came to, which has begun it.
    pub(super) fn resumed<'a>(order: &CaptureOrder, client: &'a UnixStream, left: &LeftCapture) -> Output<'a> {
        let until = left.millis_left.and_then(|millis| Instant::now().checked_add(Duration::from_millis(millis)));
        Output {
            client,
            format: order.format,
            left: left.frames_left.unwrap_or(u64::MAX),
            until,
            frames: left.frames,
            dropped_before: left.dropped,
            buffer: Vec::new(),
        }
    }

    /// How far it came, for the process that goes on; all that it has is written.
    pub(super) fn leave(&mut self, dropped: u64) -> io::Result<LeftCapture> {
        self.flush()?;
        let left = |until: Instant| until.saturating_duration_since(Instant::now()).as_millis();
        Ok(LeftCapture {
            number: 0,
            frames: self.frames,
            dropped: self.dropped_before + dropped,
            frames_left: (self.left != u64::MAX).then_some(self.left),
            millis_left: self.until.map(|until| u64::try_from(left(until)).unwrap_or(u64::MAX)),
        })
    }

    pub(super) fn is_full(&self) -> bool {
        self.left == 0
    }

    /// All frames are there, the time is over, or the client says that it is enough, by closing its end.
    pub(super) fn is_over(&self) -> io::Result<bool> {
        let is_late = self.until.is_some_and(|until| Instant::now() >= until);
        Ok(self.is_full() || is_late || linux::poll::readable(self.client, Duration::ZERO)?)
    }

    pub(super) fn patience(&self) -> Duration {
        self.until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()).min(LOOK))
    }

    pub(super) fn frame(
        &mut self,
        time: SystemTime,
        direction: Direction,
        frame: &[u8],
        wire_len: usize,
        comment: Option<&str>,
    ) {
        if self.is_full() {
            return;
        }
        // Without a bound it stays as it is.
        if self.left != u64::MAX {
            self.left -= 1;
        }
        self.frames += 1;
        match self.format {
            CaptureFormat::Pcapng => {
                let packet = pcapng::Packet { time, direction, frame, wire_len, comment };
                pcapng::packet(&mut self.buffer, &packet);
            }
            CaptureFormat::Lines => {
                let line = line(time, direction, frame, wire_len, comment);
                self.buffer.extend(line.as_bytes());
            }
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        // Frames are up to 64 KiB: in pieces that the other end may hold in memory.
        for piece in self.buffer.chunks(CHUNK) {
            chunk(self.client, piece)?;
        }
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn end(&mut self, dropped: u64) -> io::Result<CaptureSummary> {
        let dropped = self.dropped_before + dropped;
        if self.format == CaptureFormat::Pcapng {
            pcapng::statistics(&mut self.buffer, SystemTime::now(), self.frames + dropped, dropped);
        }
        self.flush()?;
        chunk(self.client, &[])?;
        Ok(CaptureSummary { frames: self.frames, dropped })
    }
}

/// `12:34:56.789012 out 10.16.1.10:40000 > 10.17.1.10:443 tcp S, length 74: pass`; the time is UTC.
fn line(time: SystemTime, direction: Direction, frame: &[u8], wire_len: usize, comment: Option<&str>) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (since.as_secs() % 86_400, since.subsec_micros());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let way = match direction {
        Direction::Ingress => "in ",
        Direction::Egress => "out",
    };
    let what = dataplane::describe(frame);
    let verdict = comment.map(|comment| format!(": {comment}")).unwrap_or_default();
    format!("{hours:02}:{minutes:02}:{seconds:02}.{micros:06} {way} {what}, length {wire_len}{verdict}\n")
}

/// The client's end of a stream: each chunk for `take`, until the last.
pub(crate) fn follow(mut agent: &UnixStream, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    loop {
        let mut header = [0; 4];
        agent.read_exact(&mut header)?;
        let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
        if length == 0 {
            return Ok(());
        }
        if length > CHUNK_MAX {
            let text = format!("a chunk of {length} bytes is over the limit of {CHUNK_MAX}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        // It may hold keys.
        let mut bytes = Zeroizing::new(vec![0; length]);
        agent.read_exact(&mut bytes)?;
        take(&bytes)?;
    }
}

/// Bytes behind their length; none are the stream's end.
pub(super) fn chunk(mut client: &UnixStream, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    client.write_all(&length.to_be_bytes())?;
    client.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_time_way_packet_length_and_verdict() {
        let time = UNIX_EPOCH + Duration::new(86_400 + 3_723, 42_000);
        let told = line(time, Direction::Ingress, &[0; 5], 60, Some("pass"));
        assert!(
            told.starts_with("01:02:03.000042 in  not carried: ") && told.ends_with(", length 60: pass\n"),
            "{told}"
        );
    }

    #[test]
    fn another_process_goes_on_where_one_came_to() -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        let order = CaptureOrder {
            target: super::super::CaptureTarget::Underlay,
            format: CaptureFormat::Pcapng,
            count: Some(5),
            seconds: Some(60),
        };
        let put = |out: &mut Output<'_>| {
            out.frame(UNIX_EPOCH + Duration::from_secs(1), Direction::Ingress, &[7; 60], 60, Some("pass"));
        };
        let mut whole = Output::new(&order, "one", &ours)?;
        (0..5).for_each(|_| put(&mut whole));
        whole.flush()?;
        chunk(&ours, &[])?;
        let read = || {
            let mut got: Vec<u8> = Vec::new();
            follow(&theirs, |bytes| {
                got.extend(bytes);
                Ok(())
            })
            .map(|()| got)
        };
        let expected = read()?;
        let mut first = Output::new(&order, "one", &ours)?;
        (0..2).for_each(|_| put(&mut first));
        let left = first.leave(3)?;
        assert_eq!((left.frames, left.dropped, left.frames_left), (2, 3, Some(3)));
        assert!(left.millis_left.is_some_and(|millis| (50_000..=60_000).contains(&millis)), "{left:?}");
        let mut second = Output::resumed(&order, &ours, &left);
        (0..9).for_each(|_| put(&mut second));
        assert!(second.is_full() && second.is_over()?);
        second.flush()?;
        chunk(&ours, &[])?;
        assert_eq!(read()?, expected, "one file, as from one process");
        assert_eq!(second.end(1)?, CaptureSummary { frames: 5, dropped: 4 });
        Ok(())
    }

    #[test]
    fn a_stream_ends_with_an_empty_chunk_and_is_bounded() -> io::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        for bytes in [&b"one"[..], b"two", b""] {
            chunk(&ours, bytes)?;
        }
        let mut got: Vec<u8> = Vec::new();
        follow(&theirs, |bytes| {
            got.extend(bytes);
            Ok(())
        })?;
        assert_eq!(got, b"onetwo");
        (&ours).write_all(&u32::MAX.to_be_bytes())?;
        assert_eq!(follow(&theirs, |_| Ok(())).map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData));
        Ok(())
    }
}
