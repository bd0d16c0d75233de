//! No spelling of a paid route is free, whatever the upstream would make of it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use harness::Rig;

const SPELLINGS: &[&str] = &[
    "/paid/x",
    "/paid/x/",
    "/paid/x?free=1",
    "/paid/x?",
    "//paid/x",
    "/paid//x",
    "///paid///x///",
    "/./paid/x",
    "/paid/./x",
    "/paid/x/.",
    "/free/../paid/x",
    "/free/%2e%2e/paid/x",
    "/free/.%2E/paid/x",
    "/paid/y/../x",
    "/%70aid/x",
    "/%70%61%69%64/%78",
    "/paid/%78",
    "/pa%69d/x",
    "/PAID/x",
    "/Paid/X",
    "/%50AID/x",
    "/paid%2fx",
    "/paid%2Fx",
    "/paid%5cx",
    "/paid\\x",
    "\\paid\\x",
    "/free\\..\\paid/x",
    "/free/..%2fpaid/x",
    "/free/..%5cpaid/x",
    "/free%2f..%2fpaid/x",
    "/free/..;/paid/x",
    "/free/..;a=b/paid/x",
    "/paid;a=b/x",
    "/paid;/x",
    "/paid%3ba/x",
    "/;/paid/x",
    "/%2570aid/x",
    "/%25%37%30aid/x",
    "/paid%252fx",
    "/paid./x",
    "/paid%20/x",
    "/%20paid/x",
    "/paid%00/x",
    "/paid/x%00",
    "/paid%09/x",
    "/paid%3f/x",
    "/paid%23/x",
    "/paid/x#y",
    "/paid/x/other.json",
    "/paid/x/Other.tar.gz",
    "/paid/x/other%2ehtml",
    "/bound.json",
    "/%c0%afpaid/x",
    "/paid%c0%afx",
    "/%ef%bc%8fpaid/x",
    "/paid%ef%bc%8fx",
    "/%e2%84%aapaid/../paid/x",
    "/%u0070aid/x",
    "/..",
    "/../paid/x",
    "/paid/../../paid/x",
    "http://public.example/paid/x",
    "http://other.example//paid/x",
    "http://public.example/%70aid/x",
    "HTTP://PUBLIC.EXAMPLE/PAID/x",
];

#[tokio::test]
async fn no_spelling_is_free() {
    let rig = Rig::new().await;
    for method in ["GET", "HEAD", "POST"] {
        for spelling in SPELLINGS {
            let answer = rig.send(method, spelling, &[]).await;
            assert!(matches!(answer.status, 400 | 402 | 404 | 405), "{method} {spelling}: {answer:?}");
            assert_eq!(answer.challenges().is_empty(), answer.status != 402, "{method} {spelling}: C1");
        }
    }
    // Methods that are not listed do not fall through to the free route.
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "get", "TRACE", "CONNECT", "BREW"] {
        let answer = rig.send(method, "/paid/x", &[]).await;
        assert!(matches!(answer.status, 400 | 405), "{method}: {answer:?}");
    }
    assert_eq!(rig.upstream.calls(), 0);
}

/// The harness can tell: other paths are free, and arrive in normal form.
#[tokio::test]
async fn what_is_free_arrives_in_normal_form() {
    let rig = Rig::new().await;
    for (path, arrives) in [
        ("/free", "/free"),
        ("//free/%61/../b?x=%2F..//", "/free/b?x=%2F..//"),
        ("/paidx/x", "/paidx/x"),
        ("/paid", "/paid"),
        ("/paid/x/y", "/paid/x/y"),
        ("http://public.example/free", "/free"),
    ] {
        let credential = [("Authorization", "Payment e30"), ("Payment-Authorization", "Payment e30")];
        let answer = rig.send("GET", path, &credential).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.one("payment-receipt").is_none(), "a free answer has no receipt, forged or not");
        let seen = rig.upstream.last();
        assert_eq!(seen.target, arrives, "{path}");
        assert!(
            !seen.headers.contains_key("authorization")
                && !seen.headers.contains_key("payment-authorization")
        );
    }
}

/// A paid call is forwarded in the spelling that was priced.
#[tokio::test]
async fn what_is_paid_arrives_in_normal_form() {
    let rig = Rig::new().await;
    let credential = rig.buy("GET", "/paid/x", "0x1").await;
    let served = rig.send("GET", "//paid/./y/../%78/", &[("Authorization", &credential)]).await;
    assert_eq!((served.status, rig.upstream.last().target.as_str()), (200, "/paid/x/"), "{served:?}");
}

#[tokio::test]
async fn what_is_not_forwarded_is_not_paid_for() {
    let rig = Rig::new().await;
    let credential = rig.buy("GET", "/paid/x", "0x1").await;
    let auth = ("Authorization", credential.as_str());
    for (headers, status, code) in [
        (vec![auth, ("Upgrade", "websocket"), ("Connection", "upgrade")], 501, "upgrade_not_forwarded"),
        (vec![auth, ("Content-Length", "99999999999")], 413, "body_too_large"),
        (vec![auth, ("Host", "second.example")], 400, "several_hosts"),
    ] {
        let refused = rig.send("GET", "/paid/x", &headers).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{refused:?}");
    }
    assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (0, 0));
    let served = rig.send("GET", "/paid/x", &[auth, ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMA")]).await;
    assert_eq!(served.status, 200, "an upgrade that may be ignored is: {served:?}");
}
