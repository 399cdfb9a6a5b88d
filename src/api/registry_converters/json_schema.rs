//! The settings of `JsonSchemaConverter`: `JsonSchemaDataConfig`, and what its serializer adds.

use millrace_converters::Converter;
use millrace_converters::json::DecimalFormat;
use millrace_converters::json_schema::{
    JsonSchemaConverter, JsonSchemaConverterConfig, JsonSchemaDataConfig,
};

use super::{data_config_def, flag, key, registry_settings, registry_use};
use crate::Config;
use crate::config_def::{ConfigDef, ConfigError, DefaultValue, Type, Validator};
use crate::plugin::ConverterPlugin;

pub(super) const PLUGIN: ConverterPlugin = ConverterPlugin {
    class: "io.confluent.connect.json.JsonSchemaConverter",
    config_def,
    new: |config, is_key| Ok(Box::new(new_json_schema(config, is_key)?) as Box<dyn Converter>),
};

fn config_def() -> ConfigDef {
    let keys = [
        flag(
            "object.additional.properties",
            "true",
            "Whether to allow additional properties for object schemas.",
        ),
        flag(
            "use.optional.for.nonrequired",
            "false",
            "Whether to set non-required properties to be optional.",
        ),
        flag(
            "ignore.modern.dialects",
            "false",
            "Whether schemas of drafts after 7 are read as those of draft 7. Here all are: the \
             words of draft 7 are read in every draft.",
        ),
        key(
            "decimal.format",
            Type::String,
            DefaultValue::Of("BASE64"),
            "Controls which format this converter will serialize decimals in. This value is case \
             insensitive and can be either 'BASE64' (default) or 'NUMERIC'",
        )
        .check(Validator::OneOfIgnoreCase(&["BASE64", "NUMERIC"])),
        flag("flatten.singleton.unions", "true", "Whether to flatten singleton unions"),
        flag(
            "preserve.additional.properties",
            "false",
            "When true, properties that the schema permits and does not declare are kept, with \
             their values and types, in a field __connect_additional_properties__. When false, \
             they are dropped.",
        ),
        flag(
            "json.fail.invalid.schema",
            "false",
            "Whether to fail if the payload does not match the schema",
        ),
        flag("json.indent.output", "false", "Whether JSON output should be indented"),
    ];
    keys.into_iter().fold(data_config_def(), ConfigDef::define)
}

fn new_json_schema(config: &Config, is_key: bool) -> Result<JsonSchemaConverter, Vec<ConfigError>> {
    let parsed = config_def().parse(config)?;
    let decimal_format = match parsed.string("decimal.format").eq_ignore_ascii_case("NUMERIC") {
        true => DecimalFormat::Numeric,
        false => DecimalFormat::Base64,
    };
    let data = JsonSchemaDataConfig {
        object_additional_properties: parsed.bool("object.additional.properties"),
        use_optional_for_nonrequired: parsed.bool("use.optional.for.nonrequired"),
        decimal_format,
        flatten_singleton_unions: parsed.bool("flatten.singleton.unions"),
        generalized_sum_type_support: parsed.bool("generalized.sum.type.support"),
        preserve_additional_properties: parsed.bool("preserve.additional.properties"),
        ignore_default_for_nullables: parsed.bool("ignore.default.for.nullables"),
    };
    let config_of_converter = JsonSchemaConverterConfig {
        data,
        registry: registry_use(&parsed, is_key),
        read_latest: parsed.bool("use.latest.version"),
        fail_invalid_schema: parsed.bool("json.fail.invalid.schema"),
        indent_output: parsed.bool("json.indent.output"),
    };
    Ok(JsonSchemaConverter::new(config_of_converter, registry_settings(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings() {
        let config = |pairs: &[(&str, &str)]| -> Config {
            let url = ("schema.registry.url", "http://h");
            let pairs = pairs.iter().chain([&url]);
            pairs.map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let good = [
            ("decimal.format", "numeric"),
            ("json.fail.invalid.schema", "true"),
            ("preserve.additional.properties", "true"),
        ];
        assert!(new_json_schema(&config(&good), false).is_ok());
        let wrong = [("preserve.additional.properties", "some"), ("decimal.format", "PLAIN")];
        let errors = new_json_schema(&config(&wrong), false).err().unwrap();
        let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["decimal.format", "preserve.additional.properties"]);
    }
}
