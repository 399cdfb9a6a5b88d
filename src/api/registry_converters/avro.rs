//! The settings of `AvroConverter`: `AvroDataConfig`.

use millrace_converters::Converter;
use millrace_converters::avro::{AvroConverter, AvroConverterConfig, AvroDataConfig};

use super::{data_config_def, flag, registry_settings, registry_use};
use crate::Config;
use crate::config_def::{ConfigDef, ConfigError};
use crate::plugin::ConverterPlugin;

pub(super) const PLUGIN: ConverterPlugin = ConverterPlugin {
    class: "io.confluent.connect.avro.AvroConverter",
    config_def,
    new: |config, is_key| Ok(Box::new(new_avro(config, is_key)?) as Box<dyn Converter>),
};

fn config_def() -> ConfigDef {
    let keys = [
        flag(
            "enhanced.avro.schema.support",
            "false",
            "Toggle for enabling/disabling enhanced avro schema support: Enum symbol preservation \
             and Package Name awareness",
        ),
        flag(
            "scrub.invalid.names",
            "false",
            "Whether to scrub invalid names by replacing invalid characters with valid ones",
        ),
        flag(
            "connect.meta.data",
            "true",
            "Toggle for enabling/disabling connect converter to add its meta data to the output \
             schema or not",
        ),
        flag(
            "discard.type.doc.default",
            "false",
            "Whether type level docs and defaults are left out, as versions before 7.4.0 did.",
        ),
        flag(
            "allow.optional.map.keys",
            "false",
            "Allow optional string map key when converting from Connect Schema to Avro Schema.",
        ),
        flag("flatten.singleton.unions", "true", "Whether to flatten singleton unions"),
    ];
    keys.into_iter().fold(data_config_def(), ConfigDef::define)
}

fn new_avro(config: &Config, is_key: bool) -> Result<AvroConverter, Vec<ConfigError>> {
    let parsed = config_def().parse(config)?;
    let data = AvroDataConfig {
        enhanced_avro_schema_support: parsed.bool("enhanced.avro.schema.support"),
        connect_meta_data: parsed.bool("connect.meta.data"),
        scrub_invalid_names: parsed.bool("scrub.invalid.names"),
        discard_type_doc_default: parsed.bool("discard.type.doc.default"),
        allow_optional_map_keys: parsed.bool("allow.optional.map.keys"),
        flatten_singleton_unions: parsed.bool("flatten.singleton.unions"),
        generalized_sum_type_support: parsed.bool("generalized.sum.type.support"),
        ignore_default_for_nullables: parsed.bool("ignore.default.for.nullables"),
    };
    let config_of_converter = AvroConverterConfig { data, registry: registry_use(&parsed, is_key) };
    Ok(AvroConverter::new(config_of_converter, registry_settings(config)))
}
