//! Request smuggling: bytes that two servers could read as different requests. The upstream writes down every byte it gets,
//! reads as strictly as the RFC writes, and must see no request but those that the gate let through, whole or broken off.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;
mod wire;

use wire::Gateway;

/// What has to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// Nothing reaches the upstream, and no answer is a success.
    Refused,
    /// The upstream gets at most these targets, and nothing of what is hidden.
    Only(&'static [&'static str]),
}
use Expect::{Only, Refused};

/// A request for something that costs money, hidden in bytes. Read as a request of its own it is answered 402 by the gate; the
/// upstream must never see it.
const HIDDEN: &str = "GET /paid/hidden HTTP/1.1\r\nHost: h\r\nX-Smuggled: 1\r\n\r\n";

/// `{hidden}` stands for [`HIDDEN`], `{n}` for its length, `{x}` for it in hexadecimal.
const SHAPES: &[(&str, &str, Expect)] = &[
    // A length and chunks.
    ("CL.TE", "Content-Length: {n}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}", Only(&["/free"])),
    (
        "TE.CL",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n{x}\r\n{hidden}\r\n0\r\n\r\n",
        Only(&["/free"]),
    ),
    (
        "CL 0 and TE",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n{x}\r\n{hidden}\r\n0\r\n\r\n",
        Only(&["/free"]),
    ),
    (
        "TE twice",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        Refused,
    ),
    ("TE chunked, identity", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{hidden}", Refused),
    ("TE identity, chunked", "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n{hidden}", Refused),
    ("TE gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{hidden}", Refused),
    (
        "TE gzip then chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        Refused,
    ),
    (
        "TE chunked then x",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n{hidden}",
        Refused,
    ),
    ("TE identity", "Transfer-Encoding: identity\r\nContent-Length: {n}\r\n\r\n{hidden}", Refused),
    ("TE xchunked", "Transfer-Encoding: xchunked\r\nContent-Length: {n}\r\n\r\n{hidden}", Refused),
    ("TE chunkedx", "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n{hidden}", Refused),
    ("TE chunked;q", "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n{hidden}", Refused),
    ("TE quoted", "Transfer-Encoding: \"chunked\"\r\nContent-Length: {n}\r\n\r\n{hidden}", Refused),
    ("TE comma", "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n{hidden}", Refused),
    ("TE empty", "Transfer-Encoding:\r\nContent-Length: {n}\r\n\r\n{hidden}", Refused),
    ("TE vertical tab", "Transfer-Encoding: \u{b}chunked\r\nContent-Length: {n}\r\n\r\n{hidden}", Refused),
    ("TE tab", "Transfer-Encoding:\tchunked\t\r\n\r\n0\r\n\r\n{hidden}", Only(&["/free"])),
    ("TE upper case", "TRANSFER-ENCODING: CHUNKED\r\n\r\n0\r\n\r\n{hidden}", Only(&["/free"])),
    ("TE space before colon", "Transfer-Encoding : chunked\r\nContent-Length: {n}\r\n\r\n{hidden}", Refused),
    ("TE tab before colon", "Transfer-Encoding\t: chunked\r\nContent-Length: {n}\r\n\r\n{hidden}", Refused),
    ("TE folded", "Transfer-Encoding:\r\n chunked\r\nContent-Length: {n}\r\n\r\n{hidden}", Refused),
    (
        "TE folded in front",
        "X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: {n}\r\n\r\n{hidden}",
        Refused,
    ),
    ("TE after bare LF", "X-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}", Only(&["/free"])),
    (
        "TE after bare CR",
        "X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: {n}\r\n\r\n{hidden}",
        Refused,
    ),
    ("TE with NUL", "Transfer-Encoding: chunked\0\r\nContent-Length: {n}\r\n\r\n{hidden}", Refused),
    ("TE underscore", "Transfer_Encoding: chunked\r\nContent-Length: {n}\r\n\r\n{hidden}", Only(&["/free"])),
    (
        "TE named by Connection",
        "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    // Lengths.
    ("CL twice, different", "Content-Length: 0\r\nContent-Length: {n}\r\n\r\n{hidden}", Refused),
    (
        "CL twice, different the other way",
        "Content-Length: {n}\r\nContent-Length: 0\r\n\r\n{hidden}",
        Refused,
    ),
    ("CL twice, alike", "Content-Length: {n}\r\nContent-Length: {n}\r\n\r\n{hidden}", Only(&["/free"])),
    ("CL list, alike", "Content-Length: {n}, {n}\r\n\r\n{hidden}", Refused),
    ("CL list", "Content-Length: 0, {n}\r\n\r\n{hidden}", Refused),
    ("CL plus", "Content-Length: +{n}\r\n\r\n{hidden}", Refused),
    ("CL minus", "Content-Length: -1\r\n\r\n{hidden}", Refused),
    ("CL minus zero", "Content-Length: -0\r\n\r\n{hidden}", Refused),
    ("CL space within", "Content-Length: 1 0\r\n\r\n{hidden}", Refused),
    ("CL hexadecimal", "Content-Length: 0x{x}\r\n\r\n{hidden}", Refused),
    ("CL exponent", "Content-Length: 1e1\r\n\r\n{hidden}", Refused),
    ("CL fraction", "Content-Length: 1.0\r\n\r\n{hidden}", Refused),
    ("CL empty", "Content-Length:\r\n\r\n{hidden}", Refused),
    ("CL overflow", "Content-Length: 18446744073709551616\r\n\r\n{hidden}", Refused),
    (
        "CL overflow of 128 bits",
        "Content-Length: 340282366920938463463374607431768211457\r\n\r\n{hidden}",
        Refused,
    ),
    ("CL leading zeros", "Content-Length: 000{n}\r\n\r\n{hidden}", Only(&["/free"])),
    ("CL with NUL", "Content-Length: 0\0\r\n\r\n{hidden}", Refused),
    ("CL folded", "Content-Length: 0\r\n {n}\r\n\r\n{hidden}", Refused),
    ("CL space before colon", "Content-Length : {n}\r\n\r\n{hidden}", Refused),
    ("CL underscore", "Content_Length: 0\r\nContent-Length: {n}\r\n\r\n{hidden}", Only(&["/free"])),
    (
        "CL named by Connection",
        "Connection: Content-Length\r\nContent-Length: {n}\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    ("body without a length", "\r\n{hidden}", Only(&["/free"])),
    // Chunks.
    (
        "chunk size too large",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{hidden}",
        Only(&["/free"]),
    ),
    (
        "chunk size wraps",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    ("chunk size 0x", "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{hidden}", Only(&["/free"])),
    ("chunk size signed", "Transfer-Encoding: chunked\r\n\r\n-1\r\n{hidden}", Only(&["/free"])),
    ("chunk size plus", "Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n{hidden}", Only(&["/free"])),
    ("chunk size space in front", "Transfer-Encoding: chunked\r\n\r\n 0\r\n\r\n{hidden}", Only(&["/free"])),
    ("chunk size none", "Transfer-Encoding: chunked\r\n\r\n\r\n{hidden}", Only(&["/free"])),
    ("chunk size letters", "Transfer-Encoding: chunked\r\n\r\nzz\r\n{hidden}", Only(&["/free"])),
    (
        "chunk extension",
        "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0;c\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    (
        "chunk extension with LF",
        "Transfer-Encoding: chunked\r\n\r\n3;\nxx\r\nabc\r\n0\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    (
        "chunk extension with a chunk in it",
        "Transfer-Encoding: chunked\r\n\r\n3;0\n\n\r\nabc\r\n0\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    ("chunk ends in LF", "Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n{hidden}", Only(&["/free"])),
    (
        "chunk longer than it says",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    ("chunk shorter than it says", "Transfer-Encoding: chunked\r\n\r\n{x}0\r\n{hidden}", Only(&["/free"])),
    ("trailer that is a request", "Transfer-Encoding: chunked\r\n\r\n0\r\n{hidden}", Only(&["/free"])),
    (
        "trailer that frames anew",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: {n}\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    // Lines and names.
    ("header with NUL", "X-A: b\0c\r\n\r\n{hidden}", Refused),
    ("header with bare CR", "X-A: b\rc\r\n\r\n{hidden}", Refused),
    ("header line of LF", "X-A: b\nX-B: c\r\n\r\n{hidden}", Only(&["/free"])),
    ("head that ends in LF LF", "X-A: b\n\n{hidden}", Only(&["/free"])),
    ("name with a space", "X A: b\r\n\r\n{hidden}", Refused),
    ("name that is empty", ": b\r\n\r\n{hidden}", Refused),
    ("line without a colon", "GET /paid/x HTTP/1.1\r\n\r\n{hidden}", Refused),
    ("name with a CR", "X-A\r: b\r\n\r\n{hidden}", Refused),
    ("folded header", "X-A: b\r\n\tc\r\n\r\n{hidden}", Refused),
    ("first header folded", " X-A: b\r\n\r\n{hidden}", Refused),
    ("name with a quote", "X\"A: b\r\n\r\n{hidden}", Refused),
    ("value of bytes above 127", "X-A: \u{ff}\r\n\r\n{hidden}", Only(&["/free"])),
    (
        "upgrade to h2c with a body",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    ("expect", "Expect: 100-continue\r\nContent-Length: {n}\r\n\r\n{hidden}", Only(&["/free"])),
    ("expect something else", "Expect: 200-ok\r\nContent-Length: {n}\r\n\r\n{hidden}", Only(&["/free"])),
];

/// Whole connections.
const CONNECTIONS: &[(&str, &str, Expect)] = &[
    ("HTTP/0.9", "GET /free\r\n\r\n{hidden}", Refused),
    ("HTTP/0.9 with LF", "GET /free\n{hidden}", Refused),
    ("HTTP/1.0", "GET /free HTTP/1.0\r\n\r\n{hidden}", Only(&["/free"])),
    ("HTTP/1.0 kept", "GET /free HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{hidden}", Only(&["/free"])),
    (
        "HTTP/1.0 and chunks",
        "POST /free HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        Refused,
    ),
    ("HTTP/1.0 and a length", "POST /free HTTP/1.0\r\nContent-Length: {n}\r\n\r\n{hidden}", Only(&["/free"])),
    ("HTTP/3.0", "GET /free HTTP/3.0\r\nHost: h\r\n\r\n{hidden}", Refused),
    ("HTTP/01.1", "GET /free HTTP/01.1\r\nHost: h\r\n\r\n{hidden}", Refused),
    ("version with a space", "GET /free HTTP/1.1 \r\nHost: h\r\n\r\n{hidden}", Refused),
    ("pipelined", "GET /free HTTP/1.1\r\nHost: h\r\n\r\n{hidden}", Only(&["/free"])),
    ("pipelined after a HEAD", "HEAD /free HTTP/1.1\r\nHost: h\r\n\r\n{hidden}", Only(&["/free"])),
    (
        "pipelined after a body",
        "POST /free HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab{hidden}",
        Only(&["/free"]),
    ),
    (
        "a GET with a body",
        "GET /free HTTP/1.1\r\nHost: h\r\nContent-Length: {n}\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    (
        "a HEAD with a body",
        "HEAD /free HTTP/1.1\r\nHost: h\r\nContent-Length: {n}\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    (
        "an OPTIONS with a body",
        "OPTIONS /free HTTP/1.1\r\nHost: h\r\nContent-Length: {n}\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    (
        "a body after a 402",
        "POST /paid/x HTTP/1.1\r\nHost: h\r\nContent-Length: {n}\r\n\r\n{hidden}",
        Refused,
    ),
    (
        "chunks after a 402",
        "POST /paid/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{x}\r\n{hidden}\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "absolute form, another host",
        "GET http://other/free HTTP/1.1\r\nHost: h\r\n\r\n{hidden}",
        Only(&["/free"]),
    ),
    (
        "absolute form, two hosts",
        "GET http://h/free HTTP/1.1\r\nHost: h\r\nHost: other\r\n\r\n{hidden}",
        Refused,
    ),
    ("CONNECT", "CONNECT up:80 HTTP/1.1\r\nHost: up:80\r\n\r\n{hidden}", Refused),
    (
        "websocket",
        "GET /free HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n{hidden}",
        Refused,
    ),
    ("target with CR LF", "GET /free\r\nHost: h\r\n\r\n{hidden}", Refused),
    ("target with an encoded CR LF", "GET /free%0d%0aX: y HTTP/1.1\r\nHost: h\r\n\r\n", Refused),
    (
        "target with an encoded request",
        "GET /free?%20HTTP/1.1%0d%0a%0d%0aGET%20/paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
        Only(&["/free?%20HTTP/1.1%0d%0a%0d%0aGET%20/paid/x"]),
    ),
    ("lines of CR", "GET /free HTTP/1.1\rHost: h\r\r{hidden}", Refused),
    ("lines of LF", "GET /free HTTP/1.1\nHost: h\n\n{hidden}", Only(&["/free"])),
    ("empty lines in front", "\r\n\r\nGET /free HTTP/1.1\r\nHost: h\r\n\r\n{hidden}", Only(&["/free"])),
    ("bytes in front", "(GET /free HTTP/1.1\r\nHost: h\r\n\r\n{hidden}", Refused),
    (
        "a preface of HTTP/2 later",
        "GET /free HTTP/1.1\r\nHost: h\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        Only(&["/free"]),
    ),
    ("a TLS greeting", "\u{16}\u{3}\u{1}\0\u{5}\u{1}\0\0\u{1}\0", Refused),
];

fn fill(shape: &str) -> Vec<u8> {
    let text = shape
        .replace("{hidden}", HIDDEN)
        .replace("{n}", &HIDDEN.len().to_string())
        .replace("{x}", &format!("{:x}", HIDDEN.len()));
    // Characters up to 255 stand for bytes.
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

async fn judge(what: &str, bytes: &[u8], expect: Expect) {
    // One each: bytes of an upload that was broken off may still be on their way.
    let gateway = Gateway::new().await;
    let replies = gateway.raw(bytes).await;
    let seen = gateway.upstream.requests();
    let targets: Vec<&str> = seen.iter().map(|request| request.target.as_str()).collect();
    match expect {
        Refused => {
            assert!(seen.is_empty(), "{what}: {seen:?}");
            assert!(replies.iter().all(|reply| reply.status >= 400), "{what}: {replies:?}");
        }
        Only(allowed) => {
            assert!(targets.len() <= allowed.len(), "{what}: {seen:?}");
            assert!(targets.iter().all(|target| allowed.contains(target)), "{what}: {seen:?}");
        }
    }
    for request in &seen {
        assert!(!request.headers.iter().any(|(name, _)| name == "x-smuggled"), "{what}: {request:?}");
    }
    // Whatever was hidden and read as a request of its own costs what it costs.
    let served = replies.iter().filter(|reply| reply.status < 400).count();
    assert!(served <= targets.len(), "{what}: {replies:?}");
}

#[tokio::test]
async fn shapes_that_servers_read_differently_do_not_pass() {
    for (what, shape, expect) in SHAPES {
        let bytes = [b"POST /free HTTP/1.1\r\nHost: h\r\n".as_slice(), &fill(shape)].concat();
        judge(what, &bytes, *expect).await;
    }
    for (what, shape, expect) in CONNECTIONS {
        judge(what, &fill(shape), *expect).await;
    }
}

/// After a length and chunks the connection ends: what follows is nobody's request.
#[tokio::test]
async fn a_connection_ends_after_two_framings() {
    let gateway = Gateway::new().await;
    for head in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"]
    {
        let next = "GET /free HTTP/1.1\r\nHost: h\r\n\r\n";
        let bytes = format!("POST /free HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n0\r\n\r\n{next}");
        let replies = gateway.raw(bytes.as_bytes()).await;
        assert_eq!(replies.len(), 1, "{head}: {replies:?}");
    }
    // The harness can tell: without the length, the second request is read.
    let next = "GET /free HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let bytes =
        format!("POST /free HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{next}");
    assert_eq!(gateway.raw(bytes.as_bytes()).await.len(), 2);
}

/// A second request on a connection that the first one poisoned is never served as somebody else's.
#[tokio::test]
async fn a_poisoned_second_request_is_its_own() {
    let gateway = Gateway::new().await;
    let credential = gateway.buy("GET", "/paid/x", "0x1").await;
    let poison = "POST /free HTTP/1.1\r\nHost: h\r\nContent-Length: 36\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
        GET /paid/y HTTP/1.1\r\nX-Ignore: ";
    let victim = format!("GET /paid/x HTTP/1.1\r\nHost: h\r\nAuthorization: {credential}\r\n\r\n");
    gateway.raw(format!("{poison}{victim}").as_bytes()).await;
    let seen = gateway.upstream.requests();
    assert!(seen.iter().all(|request| request.target == "/free"), "{seen:?}");
    assert_eq!(gateway.rail.settlements(), 0, "nobody's money is spent by it");
}

type Case<'a> = (&'a str, Vec<wire::h2::Field<'a>>, bool);

/// What HTTP/2 can say of it: pseudo-headers twice, missing, out of order; line breaks in values; lengths that are wrong.
#[tokio::test]
async fn http2_carries_no_request_within_a_request() {
    let gateway = Gateway::new().await;
    let usual: [wire::h2::Field<'_>; 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/free")];
    let with = |extra: &[wire::h2::Field<'static>]| -> Vec<wire::h2::Field<'static>> {
        let usual: [wire::h2::Field<'static>; 4] =
            [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/free")];
        [&usual[..], extra].concat()
    };
    let instead = |name: &'static [u8], value: &'static [u8]| -> Vec<wire::h2::Field<'static>> {
        let usual: [wire::h2::Field<'static>; 4] =
            [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/free")];
        usual.into_iter().map(|field| if field.0 == name { (name, value) } else { field }).collect()
    };
    let without = |name: &'static [u8]| -> Vec<wire::h2::Field<'static>> {
        let usual: [wire::h2::Field<'static>; 4] =
            [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/free")];
        usual.into_iter().filter(|field| field.0 != name).collect()
    };
    let cases: Vec<Case<'_>> = vec![
        ("two paths", with(&[(b":path", b"/paid/x")]), false),
        ("two methods", with(&[(b":method", b"POST")]), false),
        ("two authorities", with(&[(b":authority", b"other")]), false),
        ("two schemes", with(&[(b":scheme", b"https")]), false),
        ("a pseudo-header that is none", with(&[(b":status", b"200")]), false),
        ("an unknown pseudo-header", with(&[(b":free", b"1")]), false),
        (
            "a pseudo-header after a header",
            {
                let mut fields = vec![(b"x-a".as_slice(), b"b".as_slice())];
                fields.extend(usual);
                fields
            },
            false,
        ),
        ("no path", without(b":path"), false),
        ("no method", without(b":method"), false),
        ("no scheme", without(b":scheme"), false),
        ("no authority and no host", without(b":authority"), false),
        ("an empty path", instead(b":path", b""), false),
        ("an absolute path", instead(b":path", b"http://h/paid/x"), false),
        ("a path with a space", instead(b":path", b"/free HTTP/1.1\r\nX: /paid/x"), false),
        ("a path with a line break", instead(b":path", b"/free\r\nX: y"), false),
        ("a method with a space", instead(b":method", b"GET /paid/x HTTP/1.1\r\nX:"), false),
        ("a method that is empty", instead(b":method", b""), false),
        ("an authority with a user", instead(b":authority", b"free@h"), false),
        ("an authority with a path", instead(b":authority", b"h/paid/x"), false),
        ("an authority with a line break", instead(b":authority", b"h\r\nX: y"), false),
        ("another host", with(&[(b"host", b"other")]), false),
        ("two hosts", with(&[(b"host", b"h"), (b"host", b"h")]), false),
        ("the same host", with(&[(b"host", b"h")]), true),
        ("a scheme that is a path", instead(b":scheme", b"http://h/paid/x?"), false),
        ("chunks", with(&[(b"transfer-encoding", b"chunked")]), false),
        ("connection", with(&[(b"connection", b"x")]), false),
        ("te", with(&[(b"te", b"gzip")]), false),
        ("te: trailers", with(&[(b"te", b"trailers")]), true),
        ("a length without a body", with(&[(b"content-length", b"5")]), false),
        ("two lengths", with(&[(b"content-length", b"0"), (b"content-length", b"5")]), false),
        ("a length with a sign", with(&[(b"content-length", b"+0")]), false),
        ("a name in capitals", with(&[(b"X-A", b"b")]), false),
        ("a name with a space", with(&[(b"x a", b"b")]), false),
        ("a name with a line break", with(&[(b"x-a: b\r\nx-b", b"c")]), false),
        ("a name with a colon", with(&[(b"x-a:b", b"c")]), false),
        ("a value with a line break", with(&[(b"x-a", b"b\r\nX-Smuggled: 1")]), false),
        ("a value with a request", with(&[(b"x-a", b"b\r\n\r\nGET /paid/x HTTP/1.1\r\n\r\n")]), false),
        ("a value with NUL", with(&[(b"x-a", b"b\0c")]), false),
    ];
    for (what, fields, served) in cases {
        let reply = wire::h2::request(gateway.address, &fields, None).await;
        let seen = gateway.upstream.requests();
        gateway.upstream.forget();
        assert_eq!(reply.status == 200, served, "{what}: {reply:?}");
        assert!(seen.len() <= usize::from(served), "{what}: {seen:?}");
        assert!(seen.iter().all(|request| request.target == "/free"), "{what}: {seen:?}");
    }
    // A body that is longer or shorter than its length never becomes another request.
    for (length, body) in [("3", HIDDEN), ("9999", HIDDEN), ("0", HIDDEN)] {
        let mut fields: Vec<wire::h2::Field<'_>> = instead(b":method", b"POST");
        fields.push((b"content-length", length.as_bytes()));
        let reply = wire::h2::request(gateway.address, &fields, Some(body.as_bytes())).await;
        let seen = gateway.upstream.requests();
        gateway.upstream.forget();
        assert!(reply.status != 200, "{length}: {reply:?}");
        assert!(seen.iter().all(|request| request.target == "/free" && !request.whole), "{length}: {seen:?}");
    }
}
