//! Timestamps and body digests.
#![no_main]

use farthing_protocol::UnixMs;
use farthing_protocol::digest::Sha256Digest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let digest = Sha256Digest::of(bytes);
    assert!(digest.matches(&digest.to_header_value()));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(!digest.matches(text));
    if let Ok(instant) = UnixMs::parse(text) {
        assert_eq!(UnixMs::parse(&instant.to_string()), Ok(instant));
    }
});
