//! How an amount looks in JSON, as a JSON schema. Only with the feature `schema`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::Amount;

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // 38 digits always fit into 128 bits. A reader takes 39 too, where they fit.
        json_schema!({
            "type": "string",
            "description": "A number of base units, in digits.",
            "pattern": "^(0|[1-9][0-9]{0,37})$",
        })
    }
}
