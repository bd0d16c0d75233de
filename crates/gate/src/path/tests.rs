#![allow(clippy::unwrap_used, reason = "tests")]

use super::{NormalPath, PathError, fold};

/// RFC 3986, section 6: what every server reads alike has one spelling.
#[test]
fn one_spelling() {
    for (raw, normal) in [
        ("/", "/"),
        ("/a/b.c/~d_e-f", "/a/b.c/~d_e-f"),
        ("/a/", "/a/"),
        ("//a///b//", "/a/b/"),
        ("/%61/%7Eb/%2dc", "/a/~b/-c"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/..a/...", "/..a/..."),
        ("/a%20b/%c3%a9", "/a%20b/%C3%A9"),
        ("/a:b@c!$&'()*+,;=d", "/a:b@c!$&'()*+,;=d"),
        ("/%3a%40", "/%3A%40"),
        ("/100%25", "/100%25"),
        ("/a/b/../../c/./d/..//e", "/c/e"),
    ] {
        let path = NormalPath::of(raw).unwrap();
        assert_eq!(path.as_str(), normal, "{raw}");
        assert_eq!(path.rewritten().is_some(), raw != normal, "{raw}");
        // A normal form is its own.
        assert_eq!(NormalPath::of(normal).unwrap().as_str(), normal);
    }
}

#[test]
fn what_servers_read_differently_is_refused() {
    use PathError::{AboveRoot, Ambiguous, BadPercent, NotAbsolute, NotUtf8, RawCharacter, TooLong};
    let long = format!("/{}", "a".repeat(NormalPath::MAX_BYTES));
    for (raw, error) in [
        ("", NotAbsolute),
        ("*", NotAbsolute),
        ("a", NotAbsolute),
        (long.as_str(), TooLong { max: NormalPath::MAX_BYTES }),
        ("/a\\b", RawCharacter),
        ("/a b", RawCharacter),
        ("/a\"b", RawCharacter),
        ("/a<b", RawCharacter),
        ("/é", RawCharacter),
        ("/a\u{7f}", RawCharacter),
        ("/%", BadPercent),
        ("/%2", BadPercent),
        ("/%zz", BadPercent),
        ("/%u0070", BadPercent),
        ("/a%2fb", Ambiguous),
        ("/a%2Fb", Ambiguous),
        ("/a%5cb", Ambiguous),
        ("/a%00", Ambiguous),
        ("/a%0d%0ab", Ambiguous),
        ("/%2570", Ambiguous),
        ("/%25%37%30", Ambiguous),
        ("/a/..;/b", Ambiguous),
        ("/a/..;x=1/b", Ambiguous),
        ("/a/%2e%2e%3b/b", Ambiguous),
        ("/a/..%20/b", Ambiguous),
        ("/a/..%3f/b", Ambiguous),
        ("/;/a", Ambiguous),
        ("/%20/a", Ambiguous),
        ("/a%ef%bc%8fb", Ambiguous),
        ("/a%e2%88%95b", Ambiguous),
        ("/%c0%ae", NotUtf8),
        ("/%ff", NotUtf8),
        ("/..", AboveRoot),
        ("/a/../..", AboveRoot),
        ("/%2e%2e/a", AboveRoot),
    ] {
        assert_eq!(NormalPath::of(raw), Err(error), "{raw}");
    }
}

#[test]
fn folding_is_what_the_laxest_server_does() {
    for (segment, folded) in [
        ("paid", "paid"),
        ("PaiD", "paid"),
        ("paid;v=1", "paid"),
        ("paid ", "paid"),
        ("paid.", "paid"),
        ("paid. .", "paid"),
        ("paid?x", "paid"),
        ("paid#x", "paid"),
        ("ſ", "s"),
        ("\u{212a}", "k"),
        ("\u{ff30}\u{ff41}id", "paid"),
        ("pa\u{ad}i\u{200b}d\u{feff}", "paid"),
        ("paid.json", "paid.json"),
    ] {
        assert_eq!(fold(segment), folded, "{segment}");
    }
}
