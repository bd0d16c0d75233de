//! [`Schemas`]: JSON schemas of the types that requests and answers are made of, gathered under the names by which the document
//! refers to them. A type can look different on its way in and out (fields with defaults): then it has two names.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value};

pub use schemars::Schema;

const PLACE: &str = "/components/schemas";

/// Schemas, as operations ask for them.
#[derive(Debug)]
pub struct Schemas {
    input: SchemaGenerator,
    output: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = || {
            let mut settings = SchemaSettings::draft2020_12();
            settings.definitions_path = PLACE.into();
            settings.meta_schema = None;
            settings
        };
        Self {
            input: settings().for_deserialize().into_generator(),
            output: settings().for_serialize().into_generator(),
        }
    }
}

impl Schemas {
    /// The schema of what is read.
    pub(crate) fn input<T: JsonSchema>(&mut self) -> Schema {
        let mut schema = self.input.subschema_for::<T>();
        Rename.transform(&mut schema);
        schema
    }

    /// The schema of what is answered.
    pub(crate) fn output<T: JsonSchema>(&mut self) -> Schema {
        self.output.subschema_for::<T>()
    }

    /// The schema that an input's schema refers to, or itself.
    pub(crate) fn resolve(&self, schema: &Schema) -> Schema {
        let named = schema.get("$ref").and_then(Value::as_str);
        let name = named.and_then(|at| at.rsplit('/').next()).and_then(|name| name.strip_suffix(INPUT));
        let found = name.and_then(|name| self.input.definitions().get(name));
        let mut found =
            found.and_then(|found| Schema::try_from(found.clone()).ok()).unwrap_or_else(|| schema.clone());
        Rename.transform(&mut found);
        found
    }

    /// Everything that was referred to, by name. What is read has names of its own, so that the two never mix.
    pub(crate) fn finish(mut self) -> Map<String, Value> {
        let mut all = self.output.take_definitions(true);
        for (name, schema) in self.input.take_definitions(true) {
            let Ok(mut schema) = Schema::try_from(schema) else { continue };
            Rename.transform(&mut schema);
            all.insert(format!("{name}{INPUT}"), schema.to_value());
        }
        for schema in all.values_mut() {
            plain(schema);
        }
        all
    }
}

/// What names of input schemas end in.
const INPUT: &str = "Input";

/// Lets references among inputs name inputs.
struct Rename;

impl Transform for Rename {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::String(reference)) = schema.get_mut("$ref")
            && reference.starts_with("#/")
            && !reference.ends_with(INPUT)
        {
            reference.push_str(INPUT);
        }
        transform_subschemas(self, schema);
    }
}

/// Descriptions come from the sources, where a name in brackets is a link. Here it is a name.
pub(crate) fn plain(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "description" => {
                        *text = text.replace("[`", "`").replace("`]", "`");
                    }
                    other => plain(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

/// Integers say how many bits they have, by a format that nobody must know. Here they say their greatest number too.
pub(crate) fn bound(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let most = match fields.get("format").and_then(Value::as_str) {
                Some("uint32") => Some(u64::from(u32::MAX)),
                Some("uint" | "uint64") => Some(u64::MAX),
                _ => None,
            };
            if let Some(most) = most {
                fields.entry("maximum").or_insert_with(|| most.into());
            }
            fields.values_mut().for_each(bound);
        }
        Value::Array(items) => items.iter_mut().for_each(bound),
        _ => {}
    }
}
