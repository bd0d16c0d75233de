//! Bytes between two connections, as they come, until both have ended or nothing has moved for a long time.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// How long a tunnel may be silent both ways.
const IDLE: Duration = Duration::from_secs(15 * 60);
const BUFFER_BYTES: usize = 16 * 1024;

/// Carries bytes both ways.
pub async fn relay<A, B>(a: A, b: B)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (mut a_read, mut a_write) = tokio::io::split(a);
    let (mut b_read, mut b_write) = tokio::io::split(b);
    let moved = AtomicU64::new(0);
    let both = async {
        // An error of one direction ends that direction; the other one may have an answer on its way.
        let _ =
            tokio::join!(pump(&mut a_read, &mut b_write, &moved), pump(&mut b_read, &mut a_write, &moved));
    };
    tokio::select! {
        () = both => {}
        () = silence(&moved) => {}
    }
}

async fn pump<R, W>(from: &mut R, to: &mut W, moved: &AtomicU64) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0_u8; BUFFER_BYTES];
    let result = loop {
        let count = match from.read(&mut buffer).await {
            Ok(0) => break Ok(()),
            Ok(count) => count,
            Err(error) => break Err(error),
        };
        moved.fetch_add(1, Ordering::Relaxed);
        to.write_all(&buffer[..count]).await?;
        to.flush().await?;
    };
    to.shutdown().await?;
    result
}

/// Returns once nothing has moved for [`IDLE`].
async fn silence(moved: &AtomicU64) {
    let mut before = moved.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(IDLE).await;
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

/// A connection whose first byte was read already.
#[derive(Debug)]
pub struct Begun<T> {
    first: Option<u8>,
    rest: T,
}

impl<T: AsyncRead + Unpin> Begun<T> {
    /// Reads the first byte; none where the connection ended before it.
    pub async fn read(mut rest: T) -> io::Result<Self> {
        let mut byte = [0_u8; 1];
        let count = rest.read(&mut byte).await?;
        Ok(Self { first: (count == 1).then_some(byte[0]), rest })
    }

    /// The first byte.
    pub const fn first(&self) -> Option<u8> {
        self.first
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Begun<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(byte) = self.first.take()
        {
            buffer.put_slice(&[byte]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.rest).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Begun<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.rest).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.rest).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.rest).poll_shutdown(cx)
    }
}
