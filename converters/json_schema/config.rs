//! What a JSON Schema converter is told: the keys of `JsonSchemaConverterConfig` and
//! `JsonSchemaDataConfig`.

use crate::json::DecimalFormat;
use crate::registry::RegistryUse;

/// How JSON and Connect schemas become each other (`JsonSchemaDataConfig`).
#[derive(Clone, Debug)]
pub struct JsonSchemaDataConfig {
    /// `object.additional.properties`: written schemas allow members that they do not name.
    pub object_additional_properties: bool,
    /// `use.optional.for.nonrequired`: what a read schema does not require is optional.
    pub use_optional_for_nonrequired: bool,
    /// `decimal.format`.
    pub decimal_format: DecimalFormat,
    /// `flatten.singleton.unions`.
    pub flatten_singleton_unions: bool,
    /// `generalized.sum.type.support`.
    pub generalized_sum_type_support: bool,
    /// `preserve.additional.properties`: members that a schema allows and does not name are kept in
    /// a field of their own.
    pub preserve_additional_properties: bool,
    /// `ignore.default.for.nullables`: a null stays null where the field has a default.
    pub ignore_default_for_nullables: bool,
}

impl Default for JsonSchemaDataConfig {
    fn default() -> Self {
        Self {
            object_additional_properties: true,
            use_optional_for_nonrequired: false,
            decimal_format: DecimalFormat::Base64,
            flatten_singleton_unions: true,
            generalized_sum_type_support: false,
            preserve_additional_properties: false,
            ignore_default_for_nullables: false,
        }
    }
}

/// The keys of a `JsonSchemaConverter`, checked.
#[derive(Clone, Debug)]
pub struct JsonSchemaConverterConfig {
    pub data: JsonSchemaDataConfig,
    pub registry: RegistryUse,
    /// `use.latest.version`: data is read by the subject's newest schema, not by its writer's.
    pub read_latest: bool,
    /// `json.fail.invalid.schema`: data that its schema does not allow is refused, both ways.
    pub fail_invalid_schema: bool,
    /// `json.indent.output`: the text that is written is laid out for people.
    pub indent_output: bool,
}
