//! What a Protobuf converter is told: the keys of `ProtobufConverterConfig` and
//! `ProtobufDataConfig`.

use crate::registry::RegistryUse;

/// How Protobuf and Connect schemas become each other (`ProtobufDataConfig`).
#[derive(Clone, Debug)]
pub struct ProtobufDataConfig {
    /// `enhanced.protobuf.schema.support`: full names instead of simple ones.
    pub enhanced_protobuf_schema_support: bool,
    /// `scrub.invalid.names`.
    pub scrub_invalid_names: bool,
    /// `int.for.enums`: numbers instead of names.
    pub int_for_enums: bool,
    /// `optional.for.nullables`: the label `optional` says what may be null.
    pub optional_for_nullables: bool,
    /// `optional.for.proto2`: an `optional` field of proto2 that is not there is null.
    pub optional_for_proto2: bool,
    /// `wrapper.for.nullables`: `google.protobuf.StringValue` and its kin say what may be null.
    pub wrapper_for_nullables: bool,
    /// `wrapper.for.raw.primitives`: a wrapper by itself is the value in it.
    pub wrapper_for_raw_primitives: bool,
    /// `generate.struct.for.nulls`: a message that is not there is one without fields.
    pub generate_struct_for_nulls: bool,
    /// `generate.index.for.unions`: the field of a oneof has its number in its name.
    pub generate_index_for_unions: bool,
    /// `flatten.unions`: members of a oneof are fields of the struct itself.
    pub flatten_unions: bool,
    /// `generalized.sum.type.support`.
    pub generalized_sum_type_support: bool,
    /// `ignore.default.for.nullables`: a null stays null where the field has a default.
    pub ignore_default_for_nullables: bool,
}

impl Default for ProtobufDataConfig {
    fn default() -> Self {
        Self {
            enhanced_protobuf_schema_support: false,
            scrub_invalid_names: false,
            int_for_enums: false,
            optional_for_nullables: false,
            optional_for_proto2: true,
            wrapper_for_nullables: false,
            wrapper_for_raw_primitives: true,
            generate_struct_for_nulls: false,
            generate_index_for_unions: true,
            flatten_unions: false,
            generalized_sum_type_support: false,
            ignore_default_for_nullables: false,
        }
    }
}

/// The keys of a `ProtobufConverter`, checked.
#[derive(Clone, Debug)]
pub struct ProtobufConverterConfig {
    pub data: ProtobufDataConfig,
    pub registry: RegistryUse,
}
