//! [`Text`]: a text in a query, as long as the document says that it may be.

use std::borrow::Cow;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// 1 to `MOST` characters. That none of them is a control character holds for every query.
#[derive(Debug, Clone)]
pub(crate) struct Text<const MOST: usize>(String);

impl<const MOST: usize> Text<MOST> {
    /// The text.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl<const MOST: usize> Deref for Text<MOST> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Text<MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if (1..=MOST).contains(&text.chars().count()) {
            return Ok(Self(text));
        }
        Err(serde::de::Error::custom(format_args!("1 to {MOST} characters")))
    }
}

impl<const MOST: usize> JsonSchema for Text<MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Text_{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": MOST })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Text;

    #[test]
    fn characters_are_counted_and_not_bytes() {
        for (text, fits) in [("", false), ("a", true), ("ééé", true), ("éééé", false)] {
            let read = serde_json::from_value::<Text<3>>(text.into());
            assert_eq!(read.as_ref().is_ok_and(|read| &**read == text), fits, "{text}");
        }
    }
}
