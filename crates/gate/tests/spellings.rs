//! Spellings of a paid path, byte by byte on a socket, before an upstream that would serve every one of them: each is the same
//! price, or is refused. Over HTTP/2 the same for what it can say.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;
mod wire;

use wire::{CONTENT, Gateway, Reply};

/// Targets of a request line, each of which some server would read as `/paid/x`.
const TARGETS: &[&[u8]] = &[
    // As it is, and with what follows a path.
    b"/paid/x",
    b"/paid/x?",
    b"/paid/x?a=b",
    b"/paid/x?/../../free",
    b"/paid/x#free",
    b"/paid/x%23free",
    b"/paid/x%3ffree",
    // Percent-encoding: once, twice, in either case, broken.
    b"/%70aid/x",
    b"/%70%61%69%64/%78",
    b"/paid/%78",
    b"/%2570aid/x",
    b"/paid%252fx",
    b"/paid/%2578",
    b"/%25%37%30aid/x",
    b"/%u0070aid/x",
    b"/%7paid/x",
    b"/paid/x%",
    b"/paid/x%2",
    b"/%%370aid/x",
    // Case.
    b"/PAID/x",
    b"/Paid/X",
    b"/%50aid/x",
    b"/pai\xc4\x90/x",
    // Dot segments, plain and encoded.
    b"/./paid/x",
    b"/paid/./x",
    b"/paid/x/.",
    b"/paid/x/..;/x",
    b"/free/../paid/x",
    b"/free/%2e%2e/paid/x",
    b"/free/%2E./paid/x",
    b"/free/.%2e/paid/x",
    b"/free/%252e%252e/paid/x",
    b"/free/..%00/paid/x",
    b"/free/..%20/paid/x",
    b"/free/...//../../paid/x",
    b"/../paid/x",
    b"/..%2fpaid/x",
    b"/paid/../paid/x",
    // Slashes.
    b"//paid/x",
    b"/paid//x",
    b"/paid/x/",
    b"/paid/x//",
    b"///paid///x",
    b"/paid%2fx",
    b"/paid%2Fx",
    b"/%2fpaid/x",
    b"/free%2f..%2fpaid%2fx",
    // Backslashes.
    b"/paid\\x",
    b"\\paid\\x",
    b"/\\paid/x",
    b"/paid%5cx",
    b"/free/..\\paid/x",
    b"/free/..%5cpaid%5cx",
    b"/free\\..\\paid\\x",
    // Matrix parameters.
    b"/paid;a=b/x",
    b"/paid;/x",
    b"/;a/paid/x",
    b"/paid%3ba=b/x",
    b"/free/..;a=b/paid/x",
    b"/paid/x;jsessionid=1/other",
    // NUL, control characters, tabs and spaces.
    b"/paid%00/x",
    b"/paid\0/x",
    b"/paid/x\0",
    b"/paid%0a/x",
    b"/paid%0d%0a/x",
    b"/pa\x01id/x",
    b"/paid\t/x",
    b"/\tpaid/x",
    b"/paid%09/x",
    b"/paid%20/x",
    b"/%20paid/x",
    b"/paid/x\x0b",
    b"/paid/x\x7f",
    b"/paid/x\x85",
    // Final dots, and names of formats.
    b"/paid./x",
    b"/paid%2e/x",
    b"/paid/x/other.json",
    b"/paid/x/other.json/",
    // Overlong and other wrong UTF-8, and look-alikes.
    b"/%c1%b0aid/x",
    b"/\xc1\xb0aid/x",
    b"/paid%c0%afx",
    b"/paid%e0%80%afx",
    b"/%f0%80%80%afpaid/x",
    b"/%ff/../paid/x",
    b"/%ef%bc%8fpaid/x",
    b"/%ef%bd%90aid/x",
    b"/pa%c2%adid/x",
    b"/paid%e2%80%8b/x",
    b"/paid%e2%88%95x",
    b"/free/%e2%80%a4%e2%80%a4/paid/x",
    // Absolute form, other schemes, and tricks with the authority.
    b"http://h/paid/x",
    b"https://h/paid/x",
    b"HTTP://H/paid/x",
    b"http://h//paid/x",
    b"http://h:80/paid/x",
    b"http://h:0/paid/x",
    b"http://h:99999/paid/x",
    b"http://other.example/paid/x",
    b"http://user:pass@h/paid/x",
    b"http://free@h/paid/x",
    b"http://h%2ffree/paid/x",
    b"http://h\\free/paid/x",
    b"http:///paid/x",
    b"http://h/free/../paid/x",
    b"http:/paid/x",
    b"http:paid/x",
    b"ftp://h/paid/x",
    b"file:///paid/x",
    b"///h/../paid/x",
    b"//user@h:80/../../paid/x",
    b"h/paid/x",
    b"paid/x",
    b"*",
    b"",
    b"?/paid/x",
];

/// Whole heads: hosts twice, hosts that are none, and request lines that are not quite.
const HEADS: &[&[u8]] = &[
    b"GET /paid/x HTTP/1.1\r\nHost: h\r\nHost: free.example\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost: free.example\r\nhOST: h\r\n\r\n",
    b"GET http://h/paid/x HTTP/1.1\r\nHost: free.example\r\n\r\n",
    b"GET http://h/paid/x HTTP/1.1\r\nHost: free.example\r\nHost: h\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost:\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost: h/free\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost: h?free\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost: free@h\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost: h, free\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost: h free\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost: h\tfree\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost: h\\free\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost: h#free\r\n\r\n",
    b"GET /paid/x HTTP/1.1\r\nHost: h\xc3\xa9\r\n\r\n",
    b"GET /paid/x HTTP/1.0\r\n\r\n",
    b"GET /paid/x HTTP/1.0\r\nHost: h\r\n\r\n",
    b"GET /paid/x HTTP/2.0\r\nHost: h\r\n\r\n",
    b"GET /paid/x HTTP/1.2\r\nHost: h\r\n\r\n",
    b"GET /paid/x http/1.1\r\nHost: h\r\n\r\n",
    b"GET /paid/x\r\n\r\n",
    b"GET /paid/x \r\n\r\n",
    b"GET  /paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /paid/x  HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET\t/paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /free /paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b" GET /paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"\r\n\r\nGET /paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"HEAD /paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"get /paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"OPTIONS /paid/x HTTP/1.1\r\nHost: h\r\nOrigin: http://o\r\nAccess-Control-Request-Method: GET\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    b"PROPFIND /paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"TRACE /paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"CONNECT /paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\nGET /paid/x HTTP/1.1\r\nHost: h\r\n\r\n",
];

/// The price, or a refusal; never the content.
fn judge(what: &str, replies: &[Reply]) {
    for reply in replies {
        assert!(!reply.body.contains(CONTENT), "{what}: {reply:?}");
        assert!((400..500).contains(&reply.status) || reply.status == 505, "{what}: {reply:?}");
        let challenges = reply.challenges();
        assert_eq!(challenges.is_empty(), reply.status != 402, "{what}: {reply:?}");
        for challenge in challenges {
            let request = String::from_utf8(base64(challenge.request.as_str())).unwrap();
            assert!(request.contains("\"amount\":\"10\""), "{what}: another price: {request}");
        }
    }
}

/// base64url without padding, by hand: the protocol's own decoder is what is tested.
fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let bits: Vec<u8> = text.bytes().flat_map(|c| (0..6).rev().map(move |bit| digit(c) >> bit & 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

#[tokio::test]
async fn every_spelling_is_the_price_or_refused() {
    assert!(TARGETS.len() + HEADS.len() >= 60);
    let gateway = Gateway::new().await;
    let mut priced = 0;
    for method in ["GET", "HEAD", "POST"] {
        for target in TARGETS {
            let what = format!("{method} {}", target.escape_ascii());
            let request =
                [method.as_bytes(), b" ", target, b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"]
                    .concat();
            let replies = gateway.raw(&request).await;
            judge(&what, &replies);
            priced += usize::from(replies.iter().any(|reply| reply.status == 402));
            assert_eq!(gateway.upstream.requests().len(), 0, "{what}: reached the upstream");
        }
    }
    assert!(priced >= 30, "{priced} were priced: the table asks for what is sold");
    for head in HEADS {
        let what = head.escape_ascii().to_string();
        judge(&what, &gateway.raw(head).await);
        assert_eq!(gateway.upstream.requests().len(), 0, "{what}: reached the upstream");
    }
}

/// The upstream serves everything, and the harness would notice. What only looks like the paid path arrives as what it is: the
/// upstream gets one spelling, and no `//host`, no fragment and no dot segment to read in its own way.
#[tokio::test]
async fn other_paths_arrive_in_one_spelling() {
    let gateway = Gateway::new().await;
    for (target, arrives) in [
        ("/free/..a//x", "/free/..a/x"),
        ("//h/paid/x", "/h/paid/x"),
        ("///paid", "/paid"),
        ("/free?/../paid/x", "/free?/../paid/x"),
        ("/free#/../paid/x", "/free"),
        ("/paid/x/../../free//", "/free/"),
        ("http://h//free", "/free"),
        ("http://h?/paid/x", "/?/paid/x"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let served = gateway.raw(request.as_bytes()).await;
        assert_eq!((served[0].status, served[0].body.as_str()), (200, CONTENT), "{target}");
        assert_eq!(gateway.upstream.requests().last().unwrap().target, arrives, "{target}");
    }
}

#[tokio::test]
async fn every_spelling_is_the_price_or_refused_over_http2() {
    let gateway = Gateway::new().await;
    let mut priced = 0;
    for method in ["GET", "HEAD", "POST"] {
        for target in TARGETS {
            let what = format!("{method} {}", target.escape_ascii());
            let fields: [wire::h2::Field<'_>; 4] = [
                (b":method", method.as_bytes()),
                (b":scheme", b"http"),
                (b":authority", b"h"),
                (b":path", target),
            ];
            let reply = wire::h2::request(gateway.address, &fields, None).await;
            assert!(!reply.text().contains(CONTENT), "{what}: {reply:?}");
            assert!(reply.refused || (400..500).contains(&reply.status), "{what}: {reply:?}");
            priced += usize::from(reply.status == 402);
            assert_eq!(gateway.upstream.requests().len(), 0, "{what}: reached the upstream");
        }
    }
    assert!(priced >= 30, "{priced} were priced");
}
