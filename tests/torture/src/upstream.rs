//! The API behind the gateway: it counts how often each call was executed, and fails as a call asks it to.
//!
//! Written on bare sockets, because a well-kept server does not send half an answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How a call's executions go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Not at all.
    None,
    /// Status 500.
    Status500,
    /// Status 503 with a body.
    Status503,
    /// The connection is closed without an answer.
    Closed,
    /// The connection is reset without an answer.
    Reset,
    /// No answer within the gateway's patience.
    Timeout,
    /// Half of the bytes that `Content-Length` promises, then closed.
    Half,
    /// Half of the bytes, then reset.
    HalfReset,
    /// A chunked body without its end.
    HalfChunked,
    /// Half of the bytes, then silence.
    Stall,
    /// Bytes that are no HTTP.
    Nonsense,
}

impl Failure {
    /// Every way to fail.
    pub const ALL: [Self; 10] = [
        Self::Status500,
        Self::Status503,
        Self::Closed,
        Self::Reset,
        Self::Timeout,
        Self::Half,
        Self::HalfReset,
        Self::HalfChunked,
        Self::Stall,
        Self::Nonsense,
    ];

    /// The word that a call's query has.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Status500 => "500",
            Self::Status503 => "503",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Half => "half",
            Self::HalfReset => "half-reset",
            Self::HalfChunked => "half-chunked",
            Self::Stall => "stall",
            Self::Nonsense => "nonsense",
        }
    }

    fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|failure| failure.word() == word).unwrap_or(Self::None)
    }
}

/// The API, on a free port of this machine.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    executed: Arc<Mutex<HashMap<String, u32>>>,
}

impl Upstream {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let upstream = Self { address: listener.local_addr()?, executed: Arc::default() };
        let serving = upstream.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move {
                    // A gateway that was killed hangs up: that is the point.
                    let _ = serving.serve(stream).await;
                });
            }
        });
        Ok(upstream)
    }

    /// How often a call was executed.
    #[must_use]
    pub fn executions(&self, call: &str) -> u32 {
        self.executed.lock().unwrap_or_else(PoisonError::into_inner).get(call).copied().unwrap_or(0)
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut first = String::new();
            if stream.read_line(&mut first).await? == 0 {
                return Ok(());
            }
            loop {
                let mut header = String::new();
                if stream.read_line(&mut header).await? == 0 || header.trim().is_empty() {
                    break;
                }
            }
            let query =
                first.split_whitespace().nth(1).and_then(|target| target.split_once('?')).map(|q| q.1);
            let parameter = |name: &str| {
                let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
                pairs.filter(|(found, _)| *found == name).map(|(_, value)| value.to_owned()).next()
            };
            let call = parameter("call").unwrap_or_default();
            let wait_ms = parameter("wait").and_then(|ms| ms.parse().ok()).unwrap_or(0);
            let times: u32 = parameter("times").and_then(|times| times.parse().ok()).unwrap_or(1);
            let nth = {
                let mut executed = self.executed.lock().unwrap_or_else(PoisonError::into_inner);
                let count = executed.entry(call.clone()).or_default();
                *count += 1;
                *count
            };
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let failure = match parameter("fail") {
                Some(word) if nth <= times => Failure::of(&word),
                _ => Failure::None,
            };
            if !answer(&mut stream, failure, &format!("result of {call}")).await? {
                return Ok(());
            }
        }
    }
}

/// Answers; whether the connection goes on.
async fn answer(stream: &mut BufReader<TcpStream>, failure: Failure, body: &str) -> std::io::Result<bool> {
    let length = body.len();
    let half = &body[..length / 2];
    let (text, then) = match failure {
        Failure::None => (format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"), Then::GoOn),
        Failure::Status500 | Failure::Status503 => {
            let status = failure.word();
            (format!("HTTP/1.1 {status} Failed\r\ncontent-length: 6\r\n\r\nfailed"), Then::GoOn)
        }
        Failure::Closed => (String::new(), Then::Close),
        Failure::Reset => (String::new(), Then::Reset),
        Failure::Timeout => (String::new(), Then::Hang),
        Failure::Half => (format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{half}"), Then::Close),
        Failure::HalfReset => {
            (format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{half}"), Then::Reset)
        }
        Failure::HalfChunked => {
            let size = half.len();
            (
                format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{size:x}\r\n{half}\r\n"),
                Then::Close,
            )
        }
        Failure::Stall => (format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{half}"), Then::Hang),
        Failure::Nonsense => ("HTTP? 999 what\r\n\0\r\n\r\n".to_owned(), Then::Close),
    };
    stream.get_mut().write_all(text.as_bytes()).await?;
    stream.get_mut().flush().await?;
    match then {
        Then::GoOn => Ok(true),
        Then::Close => Ok(false),
        Then::Reset => {
            // Whoever reads has had the half before the reset throws it away.
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.get_ref().set_zero_linger()?;
            Ok(false)
        }
        Then::Hang => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            Ok(false)
        }
    }
}

enum Then {
    GoOn,
    Close,
    Reset,
    Hang,
}
