//! [`Joined`]: a socket that is given short pieces as one. hyper hands over a head and a body as a list of pieces; to copy a short
//! list costs less than what the kernel does for one. It changes nothing of what is written, and nothing of what is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket.
#[derive(Debug)]
pub(crate) struct Joined<S> {
    inner: S,
    /// Pieces of a short write, one after the other.
    pieces: Vec<u8>,
}

impl<S> Joined<S> {
    /// What is written in one piece, in bytes: a head with a short body.
    const MOST: usize = 4_096;

    pub(crate) const fn new(inner: S) -> Self {
        Self { inner, pieces: Vec::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Joined<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Joined<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let [one] = bytes {
            return Pin::new(&mut this.inner).poll_write(cx, one);
        }
        let whole: usize = bytes.iter().map(|piece| piece.len()).sum();
        if whole > Self::MOST {
            return Pin::new(&mut this.inner).poll_write_vectored(cx, bytes);
        }
        this.pieces.clear();
        bytes.iter().for_each(|piece| this.pieces.extend_from_slice(piece));
        Pin::new(&mut this.inner).poll_write(cx, &this.pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
