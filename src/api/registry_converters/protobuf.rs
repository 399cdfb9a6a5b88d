//! The settings of `ProtobufConverter`: `ProtobufDataConfig`.

use millrace_converters::Converter;
use millrace_converters::protobuf::{
    KnownTypes, ProtobufConverter, ProtobufConverterConfig, ProtobufDataConfig, ReferenceNames,
};

use super::{data_config_def, flag, key, registry_settings, registry_use};
use crate::Config;
use crate::config_def::{ConfigDef, ConfigError, DefaultValue, Type, Validator};
use crate::plugin::ConverterPlugin;

pub(super) const PLUGIN: ConverterPlugin = ConverterPlugin {
    class: "io.confluent.connect.protobuf.ProtobufConverter",
    config_def,
    new: |config, is_key| Ok(Box::new(new_protobuf(config, is_key)?) as Box<dyn Converter>),
};

fn config_def() -> ConfigDef {
    let keys = [
        flag(
            "enhanced.protobuf.schema.support",
            "false",
            "Toggle for enabling/disabling enhanced protobuf schema support: package name \
             preservation",
        ),
        flag(
            "scrub.invalid.names",
            "false",
            "Whether to scrub invalid names by replacing invalid characters with valid ones",
        ),
        flag("int.for.enums", "false", "Whether to represent enums as integers"),
        flag(
            "optional.for.nullables",
            "false",
            "Whether nullable fields should be specified with an optional label",
        ),
        flag("optional.for.proto2", "true", "Whether proto2 optionals are supported"),
        flag(
            "wrapper.for.nullables",
            "false",
            "Whether nullable fields should use primitive wrapper messages",
        ),
        flag(
            "wrapper.for.raw.primitives",
            "true",
            "Whether a wrapper message should be interpreted as a raw primitive at the root level",
        ),
        flag(
            "generate.struct.for.nulls",
            "false",
            "Whether to generate a default struct for null messages",
        ),
        flag(
            "generate.index.for.unions",
            "true",
            "Whether to suffix union names with an underscore followed by an index",
        ),
        flag("flatten.unions", "false", "Whether to flatten unions (oneofs)"),
        flag(
            "skip.known.types",
            "true",
            "Whether a schema is registered without its imports of Google's and Confluent's files, \
             which readers have. With false they are registered, too, and the schema refers to them.",
        ),
        flag(
            "reference.lookup.only",
            "false",
            "With skip.known.types=false: whether the imported files must be registered already, \
             whatever auto.register.schemas says.",
        ),
        key(
            "reference.subject.name.strategy",
            Type::Class,
            DefaultValue::Of(REFERENCE_NAMES),
            "With skip.known.types=false: how the subject of an imported file is named.",
        )
        .check(Validator::Custom(known_strategy)),
    ];
    keys.into_iter().fold(data_config_def(), ConfigDef::define)
}

const REFERENCE_NAMES: &str =
    "io.confluent.kafka.serializers.subject.DefaultReferenceSubjectNameStrategy";

fn strategy_of(class: &str) -> Option<ReferenceNames> {
    Some(match class.rsplit('.').next().unwrap_or(class) {
        "DefaultReferenceSubjectNameStrategy" => ReferenceNames::Path,
        "QualifiedReferenceSubjectNameStrategy" => ReferenceNames::Qualified,
        _ => return None,
    })
}

fn known_strategy(class: &str) -> Result<(), String> {
    match strategy_of(class) {
        Some(_) => Ok(()),
        None => Err("known are io.confluent.kafka.serializers.subject.\
             DefaultReferenceSubjectNameStrategy and …QualifiedReferenceSubjectNameStrategy"
            .to_owned()),
    }
}

fn new_protobuf(config: &Config, is_key: bool) -> Result<ProtobufConverter, Vec<ConfigError>> {
    let parsed = config_def().parse(config)?;
    let data = ProtobufDataConfig {
        enhanced_protobuf_schema_support: parsed.bool("enhanced.protobuf.schema.support"),
        scrub_invalid_names: parsed.bool("scrub.invalid.names"),
        int_for_enums: parsed.bool("int.for.enums"),
        optional_for_nullables: parsed.bool("optional.for.nullables"),
        optional_for_proto2: parsed.bool("optional.for.proto2"),
        wrapper_for_nullables: parsed.bool("wrapper.for.nullables"),
        wrapper_for_raw_primitives: parsed.bool("wrapper.for.raw.primitives"),
        generate_struct_for_nulls: parsed.bool("generate.struct.for.nulls"),
        generate_index_for_unions: parsed.bool("generate.index.for.unions"),
        flatten_unions: parsed.bool("flatten.unions"),
        generalized_sum_type_support: parsed.bool("generalized.sum.type.support"),
        ignore_default_for_nullables: parsed.bool("ignore.default.for.nullables"),
    };
    let config_of_converter =
        ProtobufConverterConfig { data, registry: registry_use(&parsed, is_key) };
    let converter = ProtobufConverter::new(config_of_converter, registry_settings(config));
    if parsed.bool("skip.known.types") {
        return Ok(converter);
    }
    let strategy = parsed.string("reference.subject.name.strategy");
    Ok(converter.with_known_types(KnownTypes {
        lookup_only: parsed.bool("reference.lookup.only"),
        names: strategy_of(strategy).unwrap_or_default(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_mistakes_at_once() {
        let pairs = [
            ("int.for.enums", "perhaps"),
            ("flatten.unions", "no"),
            ("skip.known.types", "some"),
            ("reference.subject.name.strategy", "MyStrategy"),
            ("max.retries", "-1"),
        ];
        let config = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let errors = new_protobuf(&config, false).err().unwrap();
        let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
        for key in ["schema.registry.url"].into_iter().chain(pairs.map(|(key, _)| key)) {
            assert!(keys.contains(&key), "{key} is missing in {keys:?}");
        }
    }
}
