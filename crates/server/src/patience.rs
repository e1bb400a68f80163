//! A connection whose other end must take what it asked for: an answer that stays untaken for too long ends it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Time runs from the first byte that finds no room until all is taken: who takes one byte now and then gains nothing.
pub(crate) struct Patient<T> {
    inner: T,
    patience: Duration,
    /// While something waits to be taken.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<T: Unpin> Patient<T> {
    pub(crate) fn new(inner: T, patience: Duration) -> Patient<T> {
        Patient { inner, patience, waits: None }
    }

    /// Passes on what came of a write, unless the other end has kept us waiting for too long.
    fn bounded<R>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if result.is_pending() && self.waits.is_none() {
            self.waits = Some(Box::pin(sleep(self.patience)));
        }
        if self.waits.as_mut().is_some_and(|waits| waits.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer was not taken in time")));
        }
        result
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.bounded(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.bounded(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        let flushed = ready!(self.bounded(cx, result));
        self.waits = None;
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.bounded(cx, result)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn what_is_taken_is_written_however_much_it_is() {
        let (client, mut server) = duplex(64);
        let mut client = Patient::new(client, PATIENCE);
        let writing = tokio::spawn(async move { client.write_all(&[7; 1 << 16]).await });
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        writing.await.unwrap().unwrap();
        assert_eq!(heard.len(), 1 << 16);
    }

    #[tokio::test]
    async fn what_is_not_taken_or_only_in_drops_ends_the_connection() {
        for drips in [false, true] {
            let (client, mut server) = duplex(64);
            let mut client = Patient::new(client, PATIENCE);
            let dripping = tokio::spawn(async move {
                while drips && server.read_u8().await.is_ok() {
                    sleep(PATIENCE / 8).await;
                }
                server
            });
            let written = tokio::time::timeout(LONG, client.write_all(&[7; 1 << 16])).await.expect("it waits for ever");
            assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut, "{drips}");
            dripping.abort();
        }
    }

    #[tokio::test]
    async fn each_answer_has_its_own_time() {
        let (client, mut server) = duplex(8);
        let mut client = Patient::new(client, PATIENCE);
        let reading = tokio::spawn(async move {
            let mut piece = [0; 16];
            for _ in 0..8 {
                sleep(PATIENCE / 4).await;
                server.read_exact(&mut piece).await.unwrap();
            }
        });
        for _ in 0..8 {
            client.write_all(&[7; 16]).await.unwrap();
            client.flush().await.unwrap();
        }
        reading.await.unwrap();
    }
}
