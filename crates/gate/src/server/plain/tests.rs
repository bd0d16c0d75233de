use farthing_protocol::UnixMs;
use http::StatusCode;

use super::{Answered, Head, Then};
use crate::answer::{self, Offered};

fn read(text: &str) -> Option<Head<'_>> {
    Head::read(text.as_bytes())
}

#[test]
fn a_head_that_leaves_no_question_is_read() {
    for (lines, count, then) in [
        ("", 1, Then::Keep),
        ("Connection: keep-alive\r\n", 2, Then::Keep),
        ("connection: Keep-Alive\r\nX-A:\tb \r\n", 3, Then::Keep),
        ("Connection: close\r\n", 2, Then::Close),
        ("Connection: CLOSE\r\nConnection: keep-alive\r\n", 3, Then::Close),
        ("Connection: keep-alive\r\nConnection: close\r\n", 3, Then::Close),
        ("Payments: x\r\nAccept: y\r\nHosts: z\r\n", 4, Then::Keep),
    ] {
        let text = format!("GET /a%20b/?c=/d?e HTTP/1.1\r\nhOST: h:1\r\n{lines}\r\n");
        let head = read(&text).unwrap_or_else(|| panic!("{lines:?}"));
        assert_eq!((head.path, head.host), ("/a%20b/", &b"h:1"[..]));
        assert_eq!((head.lines, head.then, head.kept.len()), (count, then, 0), "{lines:?}");
    }
    let kept =
        "Traceparent: a\r\nX-Forwarded-For: b\r\nForwarded: c\r\nX-Forwarded-For: d\r\nTracestate: e\r\n";
    let text = format!("GET / HTTP/1.1\r\n{kept}Host: h\r\n\r\n");
    let kept = read(&text).map(|head| head.kept).unwrap_or_default();
    assert_eq!(
        (kept.len(), kept["traceparent"].as_bytes(), kept["forwarded"].as_bytes()),
        (4, &b"a"[..], &b"c"[..])
    );
    assert!(kept.get_all("x-forwarded-for").iter().map(|value| value.as_bytes()).eq([b"b", b"d"]));
}

#[test]
fn any_other_is_left_to_the_server() {
    let lines = |count: usize| "a: b\r\n".repeat(count);
    assert!(read(&format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", lines(super::MOST_HEADERS - 1))).is_some());
    for text in [
        "",
        "G",
        "GET / HTTP/1.1\r\nHost: h\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nG",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        "GET /\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\n\r\n",
        "get / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET h:1 HTTP/1.1\r\nHost: h\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\u{16}\u{3}\u{1}",
        "GET /#a HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\\a HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a?\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a?<b> HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\0\r\n\r\n",
    ] {
        assert!(read(text).is_none(), "{text:?}");
    }
    for line in [
        "Content-Length: 0",
        "content-length: 5",
        "Transfer-Encoding: chunked",
        "Connection: upgrade",
        "Connection: keep-alive, x-a",
        "Connection: close, x-a",
        "Connection:",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABk",
        "Expect: 100-continue",
        "TE: trailers",
        "Trailer: x",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Authorization: x",
        "AUTHORIZATION: Payment e30",
        "Payment-Authorization: x",
        "payment-anything: x",
        "Accept-Payment: a/b",
    ] {
        assert!(read(&format!("GET / HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n")).is_none(), "{line}");
    }
    assert!(read(&format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", lines(super::MOST_HEADERS))).is_none());
}

#[test]
fn an_answer_is_written_with_its_length_and_the_time() {
    let mut answered = Answered::default();
    let text = |answered: &Answered| String::from_utf8(answered.bytes.clone()).unwrap_or_default();
    for (ms, date) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (784_111_778_000, "Sun, 06 Nov 1994 08:49:38 GMT"),
        (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        let challenges = vec!["Payment a=\"b\"".to_owned(), "Payment c".to_owned()];
        let at = UnixMs::from_ms(ms);
        answered.write(Ok(Offered { challenges, json: "{}".to_owned(), at }), Then::Keep, at);
        let expected = "HTTP/1.1 402 Payment Required\r\ncontent-type: application/problem+json\r\n\
            cache-control: no-store\r\nwww-authenticate: Payment a=\"b\"\r\nwww-authenticate: Payment c\r\n\
            content-length: 2\r\n";
        assert_eq!(text(&answered), format!("{expected}date: {date}\r\n\r\n{{}}"));
    }
    let other = answer::problem(StatusCode::TOO_MANY_REQUESTS, String::new());
    answered.write(Err(Box::new(other)), Then::Close, UnixMs::from_ms(0));
    assert!(
        text(&answered)
            .starts_with("HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\n")
    );
    let end = "connection: close\r\ncontent-length: 0\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
    assert!(text(&answered).ends_with(end));
}
