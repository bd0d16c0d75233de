//! How ids and signed sums look in JSON, as JSON schemas. Only with the feature `schema`.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::names::{Named, many, maybe, text};
use super::wallet::signed;

/// An id of whatever thing.
const ANY_ID: &str = "^[a-z]+_[0-9a-f]{32}$";

/// Base units, with a minus when they are less than nothing.
const SIGNED: &str = "^-?(0|[1-9][0-9]*)$";

/// The schema of one kind of id: for `#[schemars(with = "IdText<CustomerId>")]`.
#[derive(Debug, Clone, Copy)]
pub struct IdText<T>(PhantomData<T>);

macro_rules! inlined {
    ($($of:ty, $name:literal, $schema:expr;)*) => {
        $(impl JsonSchema for $of {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        })*
    };
}

inlined! {
    text, "Id", json_schema!({ "type": "string", "pattern": ANY_ID });
    maybe, "MaybeId", json_schema!({ "type": ["string", "null"], "pattern": ANY_ID });
    many, "Ids", json_schema!({ "type": "array", "items": { "type": "string", "pattern": ANY_ID } });
    signed, "SignedAmount", json_schema!({ "type": "string", "pattern": SIGNED });
}

impl<T: Named> JsonSchema for IdText<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Id_{}", T::PREFIX).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^{}_[0-9a-f]{{32}}$", T::PREFIX) })
    }
}
