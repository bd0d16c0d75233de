//! HTTP/2 by hand: frames of exactly these bytes, header fields in any order, case and number. Nothing is checked before it
//! is sent.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A name and a value.
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// What came back for the one request of a connection.
#[derive(Debug, Default)]
pub struct Reply {
    /// 0 when there was none.
    pub status: u16,
    pub body: Vec<u8>,
    /// The stream was reset, or the connection closed with an error.
    pub refused: bool,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// Sends one request with these fields, and no body, or with this one.
pub async fn request(address: SocketAddr, fields: &[Field<'_>], body: Option<&[u8]>) -> Reply {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    let end = u8::from(body.is_none());
    bytes.extend(frame(HEADERS, 4 | end, 1, &block));
    if let Some(body) = body {
        bytes.extend(frame(DATA, 1, 1, body));
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(&bytes).await;
    tokio::time::timeout(Duration::from_secs(20), read(&mut stream)).await.expect("an answer, or a refusal")
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A literal field without indexing and without Huffman's code (RFC 7541, section 6.2.2).
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let mut length = text.len();
        if length < 127 {
            bytes.push(u8::try_from(length).unwrap());
        } else {
            bytes.push(127);
            length -= 127;
            while length >= 128 {
                bytes.push(u8::try_from(length % 128 + 128).unwrap());
                length /= 128;
            }
            bytes.push(u8::try_from(length).unwrap());
        }
        bytes.extend(text);
    }
    bytes
}

async fn read(stream: &mut TcpStream) -> Reply {
    let mut reply = Reply::default();
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            reply.refused |= reply.status == 0;
            return reply;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            reply.refused = true;
            return reply;
        }
        let (kind, flags) = (head[3], head[4]);
        match kind {
            SETTINGS if flags & 1 == 0 => drop(stream.write_all(&frame(SETTINGS, 1, 0, &[])).await),
            HEADERS => reply.status = status(&payload),
            DATA => reply.body.extend(&payload),
            RST_STREAM | GOAWAY => {
                reply.refused = true;
                return reply;
            }
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & 1 == 1 {
            return reply;
        }
    }
}

/// The status at the beginning of a block of fields (RFC 7541, appendix A).
fn status(block: &[u8]) -> u16 {
    let block = &block[block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap_or(0)..];
    match block {
        [byte @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)],
        [0x08 | 0x18 | 0x48, length, text @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(&text[..usize::from(*length)]).unwrap().parse().unwrap()
        }
        [0x08 | 0x18 | 0x48, _, text @ ..] => digits(text),
        _ => panic!("a status: {block:?}"),
    }
}

/// Three digits in Huffman's code: five bits for 0, 1 and 2, six for the others (RFC 7541, appendix B).
fn digits(text: &[u8]) -> u16 {
    let (mut bits, mut number) = (0_u32, 0);
    for byte in text.iter().take(3).chain(std::iter::repeat(&0)).take(4) {
        bits = bits << 8 | u32::from(*byte);
    }
    for _ in 0..3 {
        let (digit, used) = match bits >> 27 {
            short @ 0..=2 => (short, 5),
            _ => ((bits >> 26) - 0x19 + 3, 6),
        };
        number = number * 10 + u16::try_from(digit).unwrap();
        bits <<= used;
    }
    number
}
