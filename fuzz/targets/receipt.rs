//! Receipts: as header values, and as the JSON inside them; what is read can be written, and reads the same again.
#![no_main]

use farthing_protocol::Receipt;
use farthing_protocol::encoding::base64url_encode;
use libfuzzer_sys::fuzz_target;

fn read(value: &str) {
    let Ok(receipt) = Receipt::parse(value) else { return };
    // A number that canonical JSON cannot keep exactly is refused, not rounded.
    let Ok(written) = receipt.to_header_value() else { return };
    if written.len() <= Receipt::MAX_BYTES {
        assert_eq!(
            Receipt::parse(&written).expect("what was written can be read").reference,
            receipt.reference
        );
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
    read(&base64url_encode(bytes));
});
