//! What an Avro converter is told: the keys of `AvroConverterConfig` and `AvroDataConfig`.

use crate::registry::RegistryUse;

/// How Avro and Connect schemas become each other (`AvroDataConfig`).
#[derive(Clone, Debug)]
pub struct AvroDataConfig {
    /// `enhanced.avro.schema.support`: enums written, full names in unions.
    pub enhanced_avro_schema_support: bool,
    /// `connect.meta.data`: Connect's own properties read and written.
    pub connect_meta_data: bool,
    /// `scrub.invalid.names`.
    pub scrub_invalid_names: bool,
    /// `discard.type.doc.default`.
    pub discard_type_doc_default: bool,
    /// `allow.optional.map.keys`.
    pub allow_optional_map_keys: bool,
    /// `flatten.singleton.unions`.
    pub flatten_singleton_unions: bool,
    /// `generalized.sum.type.support`.
    pub generalized_sum_type_support: bool,
    /// `ignore.default.for.nullables`: a null stays null where the field has a default.
    pub ignore_default_for_nullables: bool,
}

impl Default for AvroDataConfig {
    fn default() -> Self {
        Self {
            enhanced_avro_schema_support: false,
            connect_meta_data: true,
            scrub_invalid_names: false,
            discard_type_doc_default: false,
            allow_optional_map_keys: false,
            flatten_singleton_unions: true,
            generalized_sum_type_support: false,
            ignore_default_for_nullables: false,
        }
    }
}

/// The keys of an `AvroConverter`, checked.
#[derive(Clone, Debug)]
pub struct AvroConverterConfig {
    pub data: AvroDataConfig,
    pub registry: RegistryUse,
}
