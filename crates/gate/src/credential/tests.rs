#![allow(clippy::unwrap_used, reason = "tests")]

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};

use super::{Found, scrub_request, scrub_response, take};

fn headers(lines: &[(&'static str, &'static [u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    map
}

/// C15, C19.
#[test]
fn credentials_are_found_and_taken_out() {
    for (lines, found, left) in [
        (vec![], "none", vec![]),
        (vec![("authorization", &b"Bearer x"[..])], "none", vec!["Bearer x"]),
        (vec![("authorization", b"Payments e30")], "none", vec!["Payments e30"]),
        (vec![("authorization", b"Payment e30")], "one", vec![]),
        (vec![("authorization", b"pAYMENT e30")], "one", vec![]),
        (vec![("authorization", b"  Payment e30")], "one", vec![]),
        (vec![("authorization", b"Payment")], "unreadable", vec![]),
        (vec![("authorization", b"Payment \xff")], "unreadable", vec![]),
        (vec![("authorization", b"Bearer x"), ("authorization", b"Payment e30")], "one", vec!["Bearer x"]),
        (
            vec![("authorization", b"Bearer x"), ("payment-authorization", b"Payment e30")],
            "one",
            vec!["Bearer x"],
        ),
        (vec![("authorization", b"Payment e30"), ("authorization", b"payment e30")], "several", vec![]),
        (vec![("authorization", b"Payment e30,Payment e30")], "several", vec![]),
        // Several schemes that somebody merged into one value: the credential is taken, the others stay.
        (vec![("authorization", b"Bearer x, Payment e30")], "one", vec!["Bearer x"]),
        (vec![("authorization", b"Payment e30 ,Bearer x")], "one", vec!["Bearer x"]),
        (vec![("authorization", b"Bearer x,\tpAyMeNt\te30,, Basic y")], "one", vec!["Bearer x, Basic y"]),
        (vec![("authorization", b"Payment e30,")], "one", vec![]),
        (
            vec![("authorization", b"Digest a=\"b\", c=\"d, Payment e30\", Payment e30")],
            "one",
            vec!["Digest a=\"b\", c=\"d, Payment e30\""],
        ),
        (
            vec![("authorization", b"Digest a=\"\\\", Payment e30\"")],
            "none",
            vec!["Digest a=\"\\\", Payment e30\""],
        ),
        // A quote that is never closed hides nothing.
        (vec![("authorization", b"Bearer \"x, Payment e30")], "one", vec!["Bearer \"x"]),
        (vec![("authorization", b"Bearer x, Payment e30, Payment e30")], "several", vec!["Bearer x"]),
        (
            vec![("authorization", b"Bearer x, Payment e30"), ("payment-authorization", b"Payment e30")],
            "several",
            vec!["Bearer x"],
        ),
        // What may be the rest of a credential is not passed on.
        (vec![("authorization", b"Payment e3,0")], "several", vec![]),
        (
            vec![("authorization", b"Payment id=\"a\", payload = \"b\", Bearer x")],
            "several",
            vec!["Bearer x"],
        ),
        (vec![("authorization", b"Bearer x, Payment \xff")], "unreadable", vec!["Bearer x"]),
        (vec![("payment-authorization", b"e30")], "unreadable", vec![]),
        (vec![("payment-authorization", b"Bearer x, Payment e30")], "one", vec![]),
        (
            vec![("payment-authorization", b"Payment e30"), ("authorization", b"Payment e30")],
            "several",
            vec![],
        ),
    ] {
        let mut free = headers(&lines);
        scrub_request(&mut free);
        let mut map = headers(&lines);
        let actual = match take(&mut map) {
            Found::None => "none",
            Found::One(_) => "one",
            Found::Unreadable(_) => "unreadable",
            Found::Several => "several",
        };
        assert_eq!(actual, found, "{lines:?}");
        assert_eq!(map.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), left, "{lines:?}");
        assert!(!map.contains_key("payment-authorization"));
        // A free route passes on as little.
        assert_eq!(free.get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), left, "{lines:?}");
        assert!(!free.contains_key("payment-authorization"));
    }
}

#[test]
fn only_the_gate_speaks_of_payments() {
    let mut map = headers(&[
        ("payment-receipt", b"forged"),
        ("payment-session-snapshot", b"forged"),
        ("www-authenticate", b"Payment id=\"a\""),
        ("www-authenticate", b"payment id=\"a\""),
        ("www-authenticate", b"Basic realm=\"a\", Payment id=\"b\""),
        ("www-authenticate", b"Basic realm=\"payments\""),
        ("x-payment-hint", b"kept"),
    ]);
    scrub_response(&mut map);
    assert_eq!(map.len(), 2, "{map:?}");
    assert_eq!(map.get_all(WWW_AUTHENTICATE).iter().collect::<Vec<_>>(), ["Basic realm=\"payments\""]);
}
