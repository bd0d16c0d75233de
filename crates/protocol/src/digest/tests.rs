#![allow(clippy::unwrap_used, reason = "tests")]

use super::Sha256Digest;

/// C9: the SDKs' form is written; that and RFC 9530's are read, for the body's own digest only.
#[test]
fn digests() {
    let digest = Sha256Digest::of(b"{\"hello\": \"world\"}");
    assert_eq!(digest.to_header_value(), "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=");
    for (value, ok) in [
        ("sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", true),
        ("sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE", true),
        ("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", true),
        ("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", false),
        ("sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", false),
        ("sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE==", false),
        ("sha-256=x48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", false),
        ("sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPF=", false),
        ("sha-512=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", false),
        ("X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=", false),
        ("sha-256=", false),
        ("sha-256=::", false),
        ("sha-256=:", false),
        ("", false),
    ] {
        assert_eq!(digest.matches(value), ok, "{value}");
    }
    assert!(!Sha256Digest::of(b"").matches(&digest.to_header_value()));
    assert!(Sha256Digest::of(b"").matches(&Sha256Digest::of(b"").to_header_value()));
}
