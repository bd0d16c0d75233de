//! Credentials: as header values, and as the JSON inside them; the binding holds for nothing that is read.
#![no_main]

use farthing_protocol::encoding::base64url_encode;
use farthing_protocol::{Binder, CredentialBuf, Secret};
use libfuzzer_sys::fuzz_target;

fn read(value: &str) {
    let Ok(buffer) = CredentialBuf::decode(value) else { return };
    let Ok(credential) = buffer.view() else { return };
    let binder = Binder::new(Secret::new(vec![7; 32]).expect("long enough"), None);
    assert!(binder.check(&credential.challenge).is_err());
    assert!(!credential.challenge.id.is_empty() && credential.payload.get().starts_with('{'));
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
    read(&format!("Payment {}", base64url_encode(bytes)));
});
