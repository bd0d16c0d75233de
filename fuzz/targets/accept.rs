//! `Accept-Payment`: any value yields some of the offers, each at most once.
#![no_main]

use farthing_protocol::accept::rank;
use libfuzzer_sys::fuzz_target;

const OFFERS: [(&str, &str); 3] = [("tempo", "charge"), ("tempo", "session"), ("stripe", "charge")];

fuzz_target!(|text: &str| {
    let mut ranked = rank(Some(text), &OFFERS);
    assert!(!ranked.is_empty());
    ranked.sort_unstable();
    assert!(
        ranked.windows(2).all(|pair| pair[0] < pair[1]) && ranked.iter().all(|index| *index < OFFERS.len())
    );
});
