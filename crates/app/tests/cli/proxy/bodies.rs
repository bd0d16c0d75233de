//! Bodies in both directions: as they come, and never more of them in memory than was said.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use super::upstream::{body_bytes, chunk, start};
use super::world::{World, curl, run};
use crate::network::SELLER;
use crate::server::Answer;

const BIG: usize = 200 << 20;

/// A world whose gateway stands in front of the server at `api`.
fn in_front_of(api: std::net::SocketAddr) -> World {
    World::with(
        |_| Answer::new(500, "nobody asks here"),
        |config| {
            let line = config.lines().find(|line| line.starts_with("upstream = ")).unwrap().to_owned();
            config.replace(&line, &format!("upstream = \"http://{api}\""))
        },
    )
}

#[test]
fn a_long_answer_flows_through_and_stays_out_of_memory() {
    let api = start(|_, reader| {
        let stream = reader.get_mut();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\nconnection: close\r\n\r\n")?;
        let piece = vec![7_u8; 1 << 20];
        (0..BIG >> 20).try_for_each(|_| stream.write_all(&piece))
    });
    let world = in_front_of(api);
    let proxy = world.proxy(&["--allow-host", "localhost", "--max-spend", "1"]);
    curl(&proxy, &[&world.url("/proof")]).ok();
    for flag in ["--http1.1", "--http2"] {
        let before = proxy.peak_kib();
        let size =
            curl(&proxy, &[flag, &world.url("/paid"), "-o", "/dev/null", "-w", "%{size_download}"]).ok();
        assert_eq!(size.stdout, BIG.to_string());
        let grown = proxy.peak_kib() - before;
        eprintln!("{flag}: {BIG} bytes, peak memory grew by {grown} KiB");
        assert!(grown < 24 * 1024, "{flag}: memory grew by {grown} KiB");
    }
}

#[test]
fn events_arrive_while_the_answer_is_open() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let api = start(move |_, reader| {
        let stream = reader.get_mut();
        stream.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        )?;
        for number in 0..3 {
            chunk(stream, format!("data: {number}\n\n").as_bytes())?;
            // The next one is not sent before the program has this one.
            wait.lock().unwrap().recv().unwrap();
        }
        stream.write_all(b"0\r\n\r\n")
    });
    let world = in_front_of(api);
    let proxy = world.proxy(&["--allow-host", "localhost", "--max-spend", "1"]);
    for flag in ["--http1.1", "--http2"] {
        let before = world.network.balance(SELLER);
        let mut child = proxy
            .program("curl")
            .args(["-sSN", flag, &world.url("/paid")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for number in 0..3 {
            assert_eq!(lines.next().unwrap().unwrap(), format!("data: {number}"));
            assert_eq!(lines.next().unwrap().unwrap(), "");
            go.send(()).unwrap();
        }
        assert!(lines.next().is_none() && child.wait().unwrap().success());
        assert_eq!(world.network.balance(SELLER) - before, 50_000);
    }
}

#[test]
fn a_body_that_is_too_long_to_send_twice_goes_once_and_is_not_paid() {
    let api = start(|head, reader| {
        let length = body_bytes(head, reader)?.to_string();
        write!(reader.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{length}", length.len())
    });
    let world = in_front_of(api);
    let limit = ["--allow-host", "localhost", "--max-spend", "1", "--max-body-bytes", "100000"];
    let proxy = world.proxy(&limit);
    let file = |name: &str, length: usize| world.network.home.file(name, vec![b'x'; length]);
    let (short, long, huge) = (file("short", 100_000), file("long", 100_001), file("huge", 12_000_000));
    let before = world.network.balance(SELLER);
    // How the program says the length.
    let ways: [&[&str]; 3] = [
        &["--http1.1"],
        &["--http1.1", "-H", "Transfer-Encoding: chunked"],
        &["--http2", "-H", "Content-Length:"],
    ];
    for way in ways {
        let post = |file: &str, path: &str| {
            let (data, url) = (format!("@{file}"), world.url(path));
            curl(&proxy, &[way, &["-H", "Expect:", "-i", "--data-binary", &data, &url]].concat()).ok().stdout
        };
        let paid = post(&short, "/paid");
        assert!(paid.ends_with("100000"), "{way:?}: it fits, and is paid: {paid}");
        let refused = post(&long, "/paid");
        assert!(refused.contains(" 402"), "{way:?}: {refused}");
        assert!(refused.contains("www-authenticate: Payment "), "the seller's own 402: {refused}");
        assert!(refused.contains("farthing-refused: body_not_replayable"), "{way:?}: {refused}");
        // A seller may break off before it has read all of it, and its 402 is then lost.
        let refused = post(&huge, "/paid");
        let told = refused.contains("farthing-refused: body_not_replayable")
            || refused.contains("\"body_too_long\"");
        assert!(told, "{way:?}: {refused}");
        assert!(post(&huge, "/free").ends_with("12000000"), "{way:?}: what is free is not limited");
    }
    assert_eq!(world.network.balance(SELLER) - before, 3 * 50_000);
}

#[test]
fn a_websocket_goes_through_unpaid() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let api = start(move |head, reader| {
        log.lock().unwrap().push(head.to_owned());
        if !head.contains("upgrade: websocket") {
            return reader.get_mut().write_all(b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n");
        }
        reader.get_mut().write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n",
        )?;
        let mut echo = [0_u8; 4];
        reader.read_exact(&mut echo)?;
        reader.get_mut().write_all(&echo)
    });
    let world = in_front_of(api);
    let tls = super::tls::Tls::start(&world.network.home, &["localhost"], api);
    let proxy = super::Started::new(&world.network, &["--server-ca", &tls.ca, "--allow-host", "localhost"]);
    let script = "
import os, socket, ssl, sys
host, port = sys.argv[1].split(':')
proxy = os.environ['HTTPS_PROXY'].removeprefix('http://').split(':')
plain = socket.create_connection((proxy[0], int(proxy[1])))
plain.sendall(f'CONNECT {host}:{port} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n\\r\\n'.encode())
assert b' 200 ' in plain.recv(4096)
tls = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
tls.sendall(f'GET /chat HTTP/1.1\\r\\nHost: {host}:{port}\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Key: k\\r\\n\\r\\n'.encode())
head = b''
while b'\\r\\n\\r\\n' not in head: head += tls.recv(4096)
assert head.startswith(b'HTTP/1.1 101 '), head
tls.sendall(b'ping')
print(tls.recv(4).decode(), end='')
";
    let target = format!("localhost:{}", tls.address.port());
    let result = run(proxy.program("python3").args(["-c", script, &target]));
    assert_eq!(result.stdout, "ping", "{result:?}");
    assert_eq!(seen.lock().unwrap().len(), 1);
    assert_eq!(proxy.told().len(), 0);
}

#[test]
fn a_proxy_that_is_told_to_stop_lets_calls_finish() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let api = start(move |_, reader| {
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")?;
        wait.lock().unwrap().recv().unwrap();
        reader.get_mut().write_all(b"full")
    });
    let world = in_front_of(api);
    let proxy = world.proxy(&["--allow-host", "localhost"]);
    let mut child =
        proxy.program("curl").args(["-sSN", &world.url("/paid")]).stdout(Stdio::piped()).spawn().unwrap();
    let mut answer = child.stdout.take().unwrap();
    let mut half = [0; 4];
    answer.read_exact(&mut half).unwrap();
    let stopping = std::thread::spawn(move || proxy.terminate());
    go.send(()).unwrap();
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "full");
    assert!(child.wait().unwrap().success());
    assert_eq!(stopping.join().unwrap(), Some(0));
}

/// The seller has the payment already: what becomes of it is in the journal, whoever still waits.
#[test]
fn a_program_that_leaves_after_it_was_paid_for_leaves_a_finished_payment() {
    let (came, arrived) = mpsc::channel::<()>();
    let (go, wait) = mpsc::channel::<()>();
    let (came, wait) = (Mutex::new(came), Mutex::new(wait));
    let api = start(move |_, reader| {
        came.lock().unwrap().send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
    });
    let world = in_front_of(api);
    let proxy = world.proxy(&["--allow-host", "localhost"]);
    let mut child =
        proxy.program("curl").args(["-sS", &world.url("/paid")]).stdout(Stdio::null()).spawn().unwrap();
    arrived.recv().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    go.send(()).unwrap();
    // It ends only once the call has.
    let home = &world.network.home;
    assert_eq!(proxy.terminate(), Some(0));
    let journal = home.run(&["payments", "--output", "json"]).ok().json();
    let states: Vec<_> = journal["payments"].as_array().unwrap().iter().map(|p| p["state"].clone()).collect();
    assert_eq!(states, ["served"], "{journal}");
}
