//! Amounts, in base units and in decimals: what is read is written back, and reads the same again.
#![no_main]

use farthing_money::Amount;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|given: (u8, &str)| {
    let (scale, text) = (given.0 % 31, given.1);
    if let Ok(amount) = Amount::from_base_str(text) {
        assert_eq!(amount.base().to_string(), text);
    }
    if let Ok(amount) = Amount::from_decimal(text, scale) {
        assert_eq!(Amount::from_decimal(&amount.to_decimal(scale), scale), Ok(amount));
    }
});
