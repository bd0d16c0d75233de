//! Canonical JSON (RFC 8785). Not a parser: values come from serde.

use serde_json::{Map, Number, Value};

use crate::FormatError;

/// Why a value has no canonical form.
const NOT_JSON: FormatError = FormatError::NotJson { name: "value" };

/// Writes `value` in canonical form to the end of `out`.
pub(crate) fn write(value: &Value, out: &mut String) -> Result<(), FormatError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(map) => write_object(map, out)?,
    }
    Ok(())
}

fn write_object(map: &Map<String, Value>, out: &mut String) -> Result<(), FormatError> {
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    // Section 3.2.3: keys in the order of their UTF-16 code units, which for ASCII is the order of bytes.
    if entries.iter().all(|(key, _)| key.is_ascii()) {
        entries.sort_unstable_by_key(|(key, _)| *key);
    } else {
        entries.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    }
    out.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        write(value, out)?;
    }
    out.push('}');
    Ok(())
}

/// Writes a JSON string as ECMAScript does (section 3.2.2.2).
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            b'\t' => "\\t",
            b'\n' => "\\n",
            0x0c => "\\f",
            b'\r' => "\\r",
            0..=0x1f => "\\u00",
            _ => continue,
        };
        // Every escaped byte is ASCII, so `at` is a character boundary.
        out.push_str(&text[written..at]);
        out.push_str(escape);
        if escape.len() == 4 {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        written = at + 1;
    }
    out.push_str(&text[written..]);
    out.push('"');
}

/// The largest integer that every reader of JSON keeps exactly.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// Writes a number as ECMAScript does (section 3.2.2.3). An integer that would come out as another one is refused: rounding
/// an amount in silence would be a different request.
fn write_number(number: &Number, out: &mut String) -> Result<(), FormatError> {
    use std::fmt::Write as _;
    if let Some(integer) = number.as_i64()
        && integer.unsigned_abs() <= MAX_SAFE
    {
        write!(out, "{integer}").expect("writing to a String does not fail");
        return Ok(());
    }
    let double = number.as_f64().filter(|double| double.is_finite()).ok_or(NOT_JSON)?;
    let start = out.len();
    write_double(double, out);
    if (number.is_u64() || number.is_i64()) && out[start..] != number.to_string() {
        return Err(NOT_JSON);
    }
    Ok(())
}

/// Number::toString of ECMAScript, for a finite double. Rust's `{:e}` yields the same shortest digits; the layout differs.
fn write_double(double: f64, out: &mut String) {
    if double == 0.0 {
        // Negative zero is written without its sign.
        out.push('0');
        return;
    }
    let scientific = format!("{double:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a decimal exponent");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let count = i32::try_from(digits.len()).expect("a double has at most 17 digits");
    let point = exponent + 1;
    out.push_str(sign);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    if (count..=21).contains(&point) {
        out.push_str(&digits);
        out.push_str(&zeros(point - count));
    } else if (1..=21).contains(&point) {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        out.push_str(whole);
        out.push('.');
        out.push_str(fraction);
    } else if (-5..=0).contains(&point) {
        out.push_str("0.");
        out.push_str(&zeros(-point));
        out.push_str(&digits);
    } else {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        out.push('e');
        out.push(if exponent < 0 { '-' } else { '+' });
        out.push_str(&exponent.unsigned_abs().to_string());
    }
}

#[cfg(test)]
mod tests;
