//! base64url and canonical JSON (RFC 8785) as the wire uses them.

use base64_simd::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{FormatError, ParseError, jcs};

/// JSON as it travels: JCS, base64url without padding; kept as the string that was received.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EncodedJson(String);

impl EncodedJson {
    /// Encodes `value`: JCS, then base64url without padding (C7).
    ///
    /// # Errors
    /// [`FormatError::NotJson`] for what JSON cannot say.
    pub fn encode(value: &impl Serialize) -> Result<Self, FormatError> {
        let json = canonical_json(value).map_err(|_| FormatError::NotJson { name: "request" })?;
        Ok(Self(base64url_encode(json.as_bytes())))
    }

    /// Keeps `text` as received, after checking that it is base64url of a JSON object.
    ///
    /// # Errors
    /// [`ParseError::BadBase64`], [`ParseError::BadJson`].
    pub fn from_wire(text: String, what: &'static str) -> Result<Self, ParseError> {
        let bytes = base64url_decode(&text, what)?;
        let json: &RawValue = serde_json::from_slice(&bytes).map_err(|error| bad_json(what, &error))?;
        if !json.get().starts_with('{') {
            return Err(ParseError::BadJson { what, why: "not an object".to_owned() });
        }
        Ok(Self(text))
    }

    /// Keeps `text` as received, after checking that it is base64url of a flat object of strings (C8).
    pub(crate) fn strings_from_wire(text: String, what: &'static str) -> Result<Self, ParseError> {
        let bytes = base64url_decode(&text, what)?;
        serde_json::from_slice::<flat::Strings<'_>>(&bytes).map_err(|error| bad_json(what, &error))?;
        Ok(Self(text))
    }

    /// The string on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The JSON as a `T`.
    ///
    /// # Errors
    /// [`ParseError::BadBase64`], [`ParseError::BadJson`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ParseError> {
        let bytes = base64url_decode(&self.0, "the encoded JSON")?;
        serde_json::from_slice(&bytes).map_err(|error| bad_json("the encoded JSON", &error))
    }
}

/// The error for JSON that cannot be read. serde's own message may repeat the content, so it is not passed on (C19).
pub(crate) fn bad_json(what: &'static str, error: &serde_json::Error) -> ParseError {
    use serde_json::error::Category;
    let at = error.column();
    let why = match error.classify() {
        Category::Eof => "it ends too early".to_owned(),
        Category::Data => format!("a value of the wrong kind near byte {at}"),
        Category::Syntax | Category::Io => format!("a syntax error near byte {at}"),
    };
    ParseError::BadJson { what, why }
}

/// base64url without padding.
#[must_use]
pub fn base64url_encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// Reads base64url, with or without padding. `what` names the part in errors.
///
/// The standard alphabet is read, too, as every SDK does; a mixture of both is not, nor are stray trailing bits.
///
/// # Errors
/// [`ParseError::BadBase64`].
pub fn base64url_decode(text: &str, what: &'static str) -> Result<Vec<u8>, ParseError> {
    let bare = unpadded(text).ok_or(ParseError::BadBase64 { what })?;
    if let Ok(bytes) = URL_SAFE_NO_PAD.decode_to_vec(bare) {
        return Ok(bytes);
    }
    STANDARD_NO_PAD.decode_to_vec(bare).map_err(|_| ParseError::BadBase64 { what })
}

/// `text` without its padding; `None` when there is more padding than a last group can have.
fn unpadded(text: &str) -> Option<&str> {
    let Some(bare) = text.strip_suffix('=') else { return Some(text) };
    let bare = bare.strip_suffix('=').unwrap_or(bare);
    (!bare.ends_with('=')).then_some(bare)
}

/// `value` as canonical JSON (RFC 8785).
///
/// # Errors
/// [`FormatError::NotJson`] for what JSON cannot say.
pub fn canonical_json(value: &impl Serialize) -> Result<String, FormatError> {
    let value = serde_json::to_value(value).map_err(|_| FormatError::NotJson { name: "value" })?;
    let mut out = String::with_capacity(256);
    jcs::write(&value, &mut out)?;
    Ok(out)
}

pub(crate) mod flat {
    //! Flat JSON objects of strings: the only form that the opaque slot may have.

    use std::borrow::Cow;
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

    use crate::text::Text;

    /// A flat object of strings, in the order of its text; borrowed where nothing was escaped.
    pub(crate) struct Strings<'a>(pub(crate) Vec<(Cow<'a, str>, Cow<'a, str>)>);

    impl<'de: 'a, 'a> Deserialize<'de> for Strings<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(StringsVisitor)
        }
    }

    pub(crate) struct StringsVisitor;

    impl<'de> Visitor<'de> for StringsVisitor {
        type Value = Strings<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some((key, value)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                entries.push((key.0, value.0));
            }
            Ok(Strings(entries))
        }
    }
}

#[cfg(test)]
mod tests;
