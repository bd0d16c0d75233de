//! [`Receipt`]: what the seller says was paid (core, section 5.3). Sent on 2xx only.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::encoding::{bad_json, base64url_decode, base64url_encode};
use crate::ports::Settled;
use crate::text::Text;
use crate::{FormatError, ParseError, UnixMs, jcs};

/// A receipt. Its status is always `success`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The method that was paid with.
    pub method: String,
    /// When it was settled: RFC 3339, as received.
    pub timestamp: String,
    /// The method's reference: a transaction hash, a challenge id.
    pub reference: String,
    /// The merchant's reference, echoed.
    pub external_id: Option<String>,
    /// Every further field.
    pub extra: Map<String, Value>,
}

impl Receipt {
    /// The receipt for a settled payment.
    #[must_use]
    pub fn for_settled(method: &str, settled: Settled) -> Self {
        Self {
            method: method.to_owned(),
            timestamp: settled.at.to_string(),
            reference: settled.reference,
            external_id: settled.external_id,
            extra: settled.extra,
        }
    }

    /// The longest header value that is read, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Reads a `Payment-Receipt` value.
    ///
    /// # Errors
    /// [`ParseError`].
    pub fn parse(value: &str) -> Result<Self, ParseError> {
        if value.len() > Self::MAX_BYTES {
            return Err(ParseError::TooLong { what: "the receipt", max: Self::MAX_BYTES });
        }
        let bytes = base64url_decode(value.trim_matches([' ', '\t']), "the receipt")?;
        let wire: Wire = serde_json::from_slice(&bytes).map_err(|error| bad_json("the receipt", &error))?;
        let [status, method, timestamp, reference, external_id] = wire.known;
        let needed = |text: Option<String>, name| {
            text.filter(|text| !text.is_empty()).ok_or(ParseError::Missing { name })
        };
        if needed(status, "status")? != SUCCESS {
            return Err(ParseError::BadStatus);
        }
        let timestamp = needed(timestamp, "timestamp")?;
        UnixMs::parse(&timestamp)?;
        Ok(Self {
            method: needed(method, "method")?,
            timestamp,
            reference: needed(reference, "reference")?,
            external_id,
            extra: wire.extra,
        })
    }

    /// The header value. What `extra` says under the name of a field of its own is left out.
    ///
    /// # Errors
    /// [`FormatError`] for an empty required field.
    pub fn to_header_value(&self) -> Result<String, FormatError> {
        let mut json = String::with_capacity(256);
        let required = [
            ("method", self.method.as_str()),
            ("reference", self.reference.as_str()),
            ("status", SUCCESS),
            ("timestamp", self.timestamp.as_str()),
        ];
        let mut opening = '{';
        for (name, value) in required {
            if value.is_empty() {
                return Err(FormatError::Empty { name });
            }
            write_name(name, &mut opening, &mut json);
            jcs::write_string(value, &mut json);
        }
        if let Some(external_id) = &self.external_id {
            write_name("externalId", &mut opening, &mut json);
            jcs::write_string(external_id, &mut json);
        }
        for (name, value) in self.extra.iter().filter(|(name, _)| !NAMES.contains(&name.as_str())) {
            write_name(name, &mut opening, &mut json);
            jcs::write(value, &mut json)?;
        }
        json.push('}');
        Ok(base64url_encode(json.as_bytes()))
    }
}

const SUCCESS: &str = "success";

const NAMES: [&str; 5] = ["status", "method", "timestamp", "reference", "externalId"];

fn write_name(name: &str, opening: &mut char, json: &mut String) {
    json.push(std::mem::replace(opening, ','));
    jcs::write_string(name, json);
    json.push(':');
}

/// A receipt as JSON: the known fields in the order of [`NAMES`], and the rest.
#[derive(Default)]
struct Wire {
    known: [Option<String>; NAMES.len()],
    extra: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Wire {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WireVisitor)
    }
}

struct WireVisitor;

impl<'de> Visitor<'de> for WireVisitor {
    type Value = Wire;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wire, A::Error> {
        let mut wire = Wire::default();
        while let Some(Text(name)) = map.next_key()? {
            let Some(slot) = NAMES.iter().position(|known| name == *known) else {
                if wire.extra.insert(name.into_owned(), map.next_value()?).is_some() {
                    return Err(A::Error::custom("a field that occurs twice"));
                }
                continue;
            };
            if wire.known[slot].is_some() {
                return Err(A::Error::custom("a field that occurs twice"));
            }
            wire.known[slot] = map.next_value::<Option<String>>()?;
        }
        Ok(wire)
    }
}

#[cfg(test)]
mod tests;
