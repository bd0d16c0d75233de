//! Lists of challenges as raw bytes: each that is read reads the same alone, whatever stands around it.
#![no_main]

use farthing_protocol::Challenge;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let values: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let read = Challenge::parse_all(values.iter().copied());
    assert!(read.len() <= bytes.len());
    let written: Vec<String> = read
        .iter()
        .flatten()
        .map(|challenge| challenge.to_header_value().expect("what was read can be written"))
        .collect();
    let list = written.join(", ");
    let again = Challenge::parse_all([list.as_bytes()]);
    assert!(again.iter().eq(read.iter().filter(|result| result.is_ok())));
});
