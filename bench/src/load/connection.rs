//! One connection: as little work for each request as can be, so that the server is what is measured.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

use tokio::net::TcpStream;

/// The head of an answer, and how much came with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head_bytes: usize,
    body: Length,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy)]
enum Length {
    Bytes(u64),
    /// It ends with an empty piece: peers send short answers so.
    Chunked,
}

/// A connection that is kept open.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    head_bytes: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 256 * 1024], filled: 0, head_bytes: 0 })
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Reply, Error> {
        self.send(request).await?;
        self.receive().await
    }

    pub(crate) async fn send(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads one answer. What does not fit is read and forgotten.
    pub(crate) async fn receive(&mut self) -> Result<Reply, Error> {
        self.filled = 0;
        let reply = loop {
            self.read_more().await?;
            if let Some(reply) = parse(&self.buffer[..self.filled])? {
                break reply;
            }
            if self.filled == self.buffer.len() {
                return Err(Error::other("the head of an answer is too long"));
            }
        };
        self.head_bytes = reply.head_bytes;
        let Length::Bytes(body_bytes) = reply.body else {
            while !self.buffer[reply.head_bytes..self.filled].ends_with(b"0\r\n\r\n") {
                self.read_more().await?;
            }
            return Ok(reply);
        };
        let here = u64::try_from(self.filled - reply.head_bytes).unwrap_or(u64::MAX);
        let mut left = body_bytes.saturating_sub(here);
        while left > 0 {
            if self.filled == self.buffer.len() {
                self.filled = reply.head_bytes;
            }
            left = left.saturating_sub(u64::try_from(self.read_more().await?).unwrap_or(u64::MAX));
        }
        Ok(reply)
    }

    /// The head of the last answer.
    pub(crate) fn head(&self) -> &[u8] {
        &self.buffer[..self.head_bytes]
    }

    /// The last answer, as far as it fits.
    pub(crate) fn answer(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// The body of the last answer, as far as it fits.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.head_bytes..self.filled]
    }

    async fn read_more(&mut self) -> Result<usize, Error> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.filled += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The head, if it is whole.
fn parse(bytes: &[u8]) -> Result<Option<Reply>, Error> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let bad = |what: &str| Error::other(format!("an answer {what}"));
    let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let status = status.ok_or_else(|| bad("without a status"))?;
    let length = bytes[..end].split(|byte| *byte == b'\n').find_map(|line| {
        if line.trim_ascii_end().eq_ignore_ascii_case(b"transfer-encoding: chunked") {
            return Some(Length::Chunked);
        }
        let (name, value) = line.split_at_checked(15)?;
        let value = name.eq_ignore_ascii_case(b"content-length:").then_some(value)?;
        std::str::from_utf8(value).ok()?.trim().parse().ok().map(Length::Bytes)
    });
    let body = length.ok_or_else(|| bad("without a length"))?;
    Ok(Some(Reply { status, head_bytes: end + 4, body }))
}
