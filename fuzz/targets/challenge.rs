//! One challenge: what is read can be written, and reads the same again.
#![no_main]

use farthing_protocol::Challenge;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(challenge) = Challenge::parse(text) {
        let written = challenge.to_header_value().expect("what was read can be written");
        assert_eq!(Challenge::parse(&written).expect("what was written can be read"), challenge);
    }
});
