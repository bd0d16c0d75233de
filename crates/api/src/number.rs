//! Whole numbers as JSON may write them: to a JSON schema `282.0` and `2.82e2` are integers, to the readers of our types they are
//! not. Here they are written as the digits that they stand for, exactly and without floats. It judges no range and reads no JSON
//! that is not well formed.

use std::borrow::Cow;

/// More digits than that has no integer that we read.
const MOST_DIGITS: usize = 20;

/// The same JSON, which is well formed, with every whole number written in digits alone.
pub(crate) fn in_digits(json: &[u8]) -> Cow<'_, [u8]> {
    let mut written = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(&byte) = json.get(at) {
        let rest = &json[at..];
        let length = match byte {
            b'"' => string_length(rest),
            b'-' | b'0'..=b'9' => {
                let length = rest.iter().take_while(|byte| is_of_number(**byte)).count();
                if let Some(digits) = whole(&rest[..length]) {
                    written.extend_from_slice(&json[copied..at]);
                    written.extend_from_slice(digits.as_bytes());
                    copied = at + length;
                }
                length
            }
            _ => 1,
        };
        at += length;
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    written.extend_from_slice(&json[copied..]);
    Cow::Owned(written)
}

/// From the quote that opens it to the one that closes it.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let inside = text.iter().skip(1).take_while(|byte| {
        let ends = **byte == b'"' && !escaped;
        escaped = **byte == b'\\' && !escaped;
        !ends
    });
    (inside.count() + 2).min(text.len())
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

/// The digits of a number with a fraction or an exponent, if it is whole; nothing for one that is in digits already.
fn whole(number: &[u8]) -> Option<String> {
    let number = std::str::from_utf8(number).ok()?;
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |positive| ("-", positive));
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None if number.contains('.') || number == "0" && sign == "-" => (number, 0),
        None => return None,
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{before}{after}");
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    // How many zeros follow the last digit that is none; fewer than none is a fraction.
    let point = i64::try_from(before.len()).ok()? + i64::from(exponent);
    let zeros = usize::try_from(point - i64::try_from(significant.len()).ok()?).ok()?;
    let significant = significant.trim_start_matches('0');
    (significant.len().checked_add(zeros)? <= MOST_DIGITS)
        .then(|| format!("{sign}{significant}{}", "0".repeat(zeros)))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::in_digits;

    fn told(json: &str) -> String {
        String::from_utf8_lossy(&in_digits(json.as_bytes())).into_owned()
    }

    #[test]
    fn whole_numbers_are_written_in_digits() {
        for (json, digits) in [
            ("282.0", "282"),
            ("-282.000", "-282"),
            ("2.82e2", "282"),
            ("2.82E+2", "282"),
            ("1e3", "1000"),
            ("1000e-3", "1"),
            ("0.05e2", "5"),
            ("0.0", "0"),
            ("-0.0", "0"),
            ("-0", "0"),
            ("0e99", "0"),
            ("18446744073709551615.0", "18446744073709551615"),
            ("9007199254740993.0", "9007199254740993"),
            (r#"{"a":[1.0,{"b":2.0}],"a":3.0}"#, r#"{"a":[1,{"b":2}],"a":3}"#),
            (r#"["1.0\"2.0",3.0,"\\",4.0]"#, r#"["1.0\"2.0",3,"\\",4]"#),
        ] {
            assert_eq!(told(json), digits, "{json}");
        }
    }

    #[test]
    fn everything_else_stays_as_it_was() {
        for json in [
            "",
            "282",
            "0.5",
            "1e-3",
            "282.01",
            "1.5e0",
            "1e20",
            "1e400",
            "1e99999999999",
            "1e-99999999999",
            r#"{"1.0":"2.0e1"}"#,
            "\"1.0",
        ] {
            assert!(matches!(in_digits(json.as_bytes()), Cow::Borrowed(_)), "{json}");
        }
    }
}
