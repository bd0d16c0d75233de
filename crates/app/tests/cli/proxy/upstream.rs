//! A server that writes what a test tells it to, when it tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Starts it: `serve` gets the request's head in lower case, and the connection.
pub fn start(
    serve: impl Fn(&str, &mut BufReader<TcpStream>) -> std::io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap_or(0) == 0 {
                        return;
                    }
                }
                // A client that hangs up is its own business.
                let _ = serve(&head.to_ascii_lowercase(), &mut reader);
            });
        }
    });
    address
}

/// How long a body is, whichever way its length is said.
pub fn body_bytes(head: &str, reader: &mut BufReader<TcpStream>) -> std::io::Result<usize> {
    if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        let length = length.parse().unwrap();
        reader.read_exact(&mut vec![0; length])?;
        return Ok(length);
    }
    let mut total = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        reader.read_exact(&mut vec![0; length + 2])?;
        total += length;
        if length == 0 {
            return Ok(total);
        }
    }
}

/// One chunk of a chunked body.
pub fn chunk(stream: &mut TcpStream, data: &[u8]) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n", data.len())?;
    stream.write_all(data)?;
    stream.write_all(b"\r\n")?;
    stream.flush()
}
