#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::Amount;
use crate::{MoneyError, Rounding};

#[test]
fn decimals_are_read_exactly_or_refused_by_name() {
    let cases: &[(&str, u8, Result<u128, &str>)] = &[
        ("0", 6, Ok(0)),
        ("1", 6, Ok(1_000_000)),
        ("0.01", 6, Ok(10_000)),
        ("0.000001", 6, Ok(1)),
        ("1.50", 1, Ok(15)),
        ("007", 0, Ok(7)),
        ("340282366920938463463374607431768211455", 0, Ok(u128::MAX)),
        ("0.0000001", 6, Err("amount_too_precise")),
        ("1.5", 0, Err("amount_too_precise")),
        ("340282366920938463463374607431768211456", 0, Err("amount_overflow")),
        ("1000000000000000000000000000000000000", 6, Err("amount_overflow")),
        ("", 6, Err("amount_not_a_number")),
        (".5", 6, Err("amount_not_a_number")),
        ("5.", 6, Err("amount_not_a_number")),
        ("1.2.3", 6, Err("amount_not_a_number")),
        ("-1", 6, Err("amount_not_a_number")),
        ("+1", 6, Err("amount_not_a_number")),
        ("1e3", 6, Err("amount_not_a_number")),
        (" 1", 6, Err("amount_not_a_number")),
        ("1,5", 6, Err("amount_not_a_number")),
        ("١", 6, Err("amount_not_a_number")),
    ];
    for (text, scale, expected) in cases {
        let got = Amount::from_decimal(text, *scale).map(Amount::base).map_err(|e| e.code());
        assert_eq!(got, *expected, "{text} at scale {scale}");
    }
}

#[test]
fn base_units_have_one_spelling() {
    // TC5: amounts are base-10 integers without sign or exponent.
    for bad in ["", "00", "01", "-1", "+1", "1.0", "1e3", " 1", "1 ", "0x1"] {
        assert_eq!(Amount::from_base_str(bad).unwrap_err().code(), "amount_not_a_number", "{bad:?}");
    }
    assert_eq!(Amount::from_base_str("0").unwrap(), Amount::ZERO);
    let too_large = "3402823669209384634633746074317682114550";
    assert_eq!(Amount::from_base_str(too_large).unwrap_err(), MoneyError::Overflow);
}

#[test]
fn a_division_rounds_as_named() {
    let cases = [
        (7, 2, Rounding::Down, 3),
        (7, 2, Rounding::Up, 4),
        (7, 2, Rounding::HalfEven, 4),
        (5, 2, Rounding::HalfEven, 2),
        (6, 4, Rounding::HalfEven, 2),
        (u128::MAX, 2, Rounding::HalfEven, 1 << 127),
        (u128::MAX, 1, Rounding::Up, u128::MAX),
    ];
    for (amount, divisor, rounding, expected) in cases {
        let got = Amount::from_base(amount).checked_div(divisor, rounding).unwrap().base();
        assert_eq!(got, expected, "{amount} / {divisor} {rounding:?}");
    }
    assert_eq!(Amount::ZERO.checked_div(0, Rounding::Up), Err(MoneyError::DivisionByZero));
}

#[test]
fn sums_and_differences_never_wrap() {
    let one = Amount::from_base(1);
    assert_eq!(Amount::MAX.checked_add(one), Err(MoneyError::Overflow));
    assert_eq!(Amount::ZERO.checked_sub(one), Err(MoneyError::Underflow { have: 0, need: 1 }));
    assert_eq!(Amount::MAX.checked_mul(2), Err(MoneyError::Overflow));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(base: u128, scale in 0_u8..=30) {
        let amount = Amount::from_base(base);
        prop_assert_eq!(Amount::from_decimal(&amount.to_decimal(scale), scale), Ok(amount));
        prop_assert_eq!(Amount::from_base_str(&amount.to_string()), Ok(amount));
    }

    #[test]
    fn no_text_panics(text in "\\PC*", scale: u8) {
        let _ = Amount::from_decimal(&text, scale);
        let _ = Amount::from_base_str(&text);
    }

    #[test]
    fn a_rounded_quotient_is_at_most_one_off(amount: u128, divisor in 1_u128..) {
        let of = |r| Amount::from_base(amount).checked_div(divisor, r).unwrap().base();
        let (down, half, up) = (of(Rounding::Down), of(Rounding::HalfEven), of(Rounding::Up));
        prop_assert!(down <= half && half <= up && up - down <= 1);
    }
}
