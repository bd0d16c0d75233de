//! An upstream that keeps every byte it got, apart by connection, and answers every whole request with the same content. It
//! reads as strictly as the RFC writes; [`Recorder::requests`] panics over anything that is not well-formed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::CONTENT;

/// A request as it came, byte by byte.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether it came to its end.
    pub whole: bool,
}

impl Request {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// What the upstream does with a connection once it has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Keep,
    /// Closes it without having said so.
    Close,
    /// Takes the next request, and closes the connection over it without an answer.
    Hang,
}

#[derive(Clone)]
pub struct Recorder {
    pub address: SocketAddr,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    after: Arc<Mutex<After>>,
    closed: Arc<AtomicUsize>,
    /// Header lines of the next answers, each with its line break.
    pub answer: Arc<Mutex<String>>,
    /// Their status line's end, such as `304 Not Modified`.
    pub status: Arc<Mutex<&'static str>>,
}

impl Recorder {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let recorder = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            after: Arc::new(Mutex::new(After::Keep)),
            closed: Arc::default(),
            answer: Arc::default(),
            status: Arc::new(Mutex::new("200 OK")),
        };
        let served = recorder.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move {
                    let closed = Arc::clone(&served.closed);
                    served.serve(stream).await;
                    closed.fetch_add(1, SeqCst);
                });
            }
        });
        recorder
    }

    pub fn then(&self, after: After) {
        *self.after.lock().unwrap() = after;
    }

    async fn serve(self, mut stream: TcpStream) {
        let index = {
            let mut connections = self.connections.lock().unwrap();
            connections.push(Vec::new());
            connections.len() - 1
        };
        let (mut bytes, mut answered, mut part) = (Vec::new(), 0, [0; 4096]);
        loop {
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    bytes.extend_from_slice(&part[..read]);
                    self.connections.lock().unwrap()[index].extend_from_slice(&part[..read]);
                }
            }
            let whole = parse(&bytes).into_iter().filter(|request| request.whole).collect::<Vec<_>>();
            if whole.len() > answered && *self.after.lock().unwrap() == After::Hang {
                return;
            }
            for request in &whole[answered..] {
                let headers = self.answer.lock().unwrap().clone();
                let status = *self.status.lock().unwrap();
                let mut answer = format!("HTTP/1.1 {status}\r\n{headers}");
                if !status.starts_with("304") {
                    answer += &format!("Content-Length: {}\r\n", CONTENT.len());
                }
                answer += "\r\n";
                if request.method != "HEAD" && !status.starts_with("304") {
                    answer += CONTENT;
                }
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            answered = whole.len();
            if answered > 0 && *self.after.lock().unwrap() == After::Close {
                return;
            }
        }
    }

    /// Waits until every connection has been closed.
    pub async fn all_closed(&self) {
        while self.closed.load(SeqCst) < self.connections() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    pub fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// Every request that came, of all connections. Panics over bytes that are none.
    pub fn requests(&self) -> Vec<Request> {
        let connections = self.connections.lock().unwrap().clone();
        connections.iter().flat_map(|bytes| parse(bytes)).collect()
    }

    /// Forgets what came.
    pub fn forget(&self) {
        self.connections.lock().unwrap().iter_mut().for_each(Vec::clear);
    }
}

/// Reads requests strictly: what is left over at the end is the beginning of one that was broken off.
fn parse(bytes: &[u8]) -> Vec<Request> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else { return found };
        let head: String = rest[..end].iter().copied().map(char::from).collect();
        rest = &rest[end + 4..];
        let bad = |c: char| c.is_ascii_control() && c != '\t';
        let mut lines = head.split("\r\n");
        let first: Vec<&str> = lines.next().unwrap().split(' ').collect();
        assert!(first.len() == 3 && first[2] == "HTTP/1.1", "a request line: {first:?}");
        let headers: Vec<(String, String)> = lines
            .map(|line| {
                assert!(!line.contains(bad) && !line.starts_with([' ', '\t']), "a header line: {line:?}");
                let (name, value) = line.split_once(':').expect("a header line");
                assert!(!name.is_empty() && !name.contains([' ', '\t']), "a header's name: {name:?}");
                (name.to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        let mut request = Request {
            method: first[0].to_owned(),
            target: first[1].to_owned(),
            headers,
            body: Vec::new(),
            whole: true,
        };
        let (lengths, codings) = (request.all("content-length"), request.all("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "one framing: {request:?}");
        if let Some(length) = lengths.first().map(|length| length.parse::<usize>().expect("a length")) {
            request.whole = rest.len() >= length;
            let end = length.min(rest.len());
            request.body = rest[..end].to_vec();
            rest = &rest[end..];
        } else if let Some(coding) = codings.first() {
            assert_eq!(*coding, "chunked");
            (request.body, rest, request.whole) = chunks(rest);
        }
        found.push(request);
    }
    found
}

/// The body, what follows it, and whether it came to its end.
fn chunks(mut rest: &[u8]) -> (Vec<u8>, &[u8], bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (body, &[], false);
        };
        let size = std::str::from_utf8(&rest[..end]).expect("a chunk's size");
        let size = usize::from_str_radix(size, 16).expect("a chunk's size, and nothing else");
        rest = &rest[end + 2..];
        if rest.len() < size + 2 {
            return (body, &[], false);
        }
        body.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n", "no trailers, and a chunk that ends");
        rest = &rest[size + 2..];
        if size == 0 {
            return (body, rest, true);
        }
    }
}
