//! The list of converters, with the settings of each: a converter itself knows no `ConfigDef`.

use millrace_converters::byte_array::ByteArrayConverter;
use millrace_converters::charset::Charset;
use millrace_converters::header::SimpleHeaderConverter;
use millrace_converters::json::{DecimalFormat, JsonConverter, JsonConverterConfig, WriteOptions};
use millrace_converters::number::{BooleanConverter, NumberConverter, NumberKind};
use millrace_converters::string::StringConverter;
use millrace_converters::{Converter, HeaderConverter};

use crate::Config;
use crate::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator, Width,
};
use crate::plugin::{ConverterPlugin, HeaderConverterPlugin};

/// The converters of Apache Kafka, and those of a schema registry.
pub fn converters() -> Vec<ConverterPlugin> {
    let of_registries = crate::registry_converters::CONVERTERS;
    CLASSES.iter().map(|class| class.converter).chain(of_registries).collect()
}

/// The header converters: all of the above, and `SimpleHeaderConverter`.
pub fn header_converters() -> Vec<HeaderConverterPlugin> {
    let simple = HeaderConverterPlugin {
        class: "org.apache.kafka.connect.storage.SimpleHeaderConverter",
        config_def: ConfigDef::new,
        new: |_| Ok(Box::new(SimpleHeaderConverter::default())),
    };
    CLASSES.iter().map(|class| class.header).chain([simple]).collect()
}

/// One class in both of its roles.
struct Class {
    converter: ConverterPlugin,
    header: HeaderConverterPlugin,
}

/// A class that needs no settings of its own.
macro_rules! plain {
    ($class:literal, $new:expr) => {
        class!($class, converter_type, |_config| Ok($new))
    };
}

macro_rules! class {
    ($class:literal, $config_def:expr, $new:expr) => {
        Class {
            converter: ConverterPlugin {
                class: $class,
                config_def: $config_def,
                new: |config, _is_key| Ok(boxed($new, config)? as Box<dyn Converter>),
            },
            header: HeaderConverterPlugin {
                class: $class,
                config_def: $config_def,
                new: |config| Ok(boxed($new, config)? as Box<dyn HeaderConverter>),
            },
        }
    };
}

fn boxed<T>(
    new: impl FnOnce(&Config) -> Result<T, Vec<ConfigError>>,
    config: &Config,
) -> Result<Box<T>, Vec<ConfigError>> {
    new(config).map(Box::new)
}

const CLASSES: [Class; 9] = [
    class!("org.apache.kafka.connect.json.JsonConverter", json_config_def, new_json),
    class!("org.apache.kafka.connect.storage.StringConverter", string_config_def, new_string),
    plain!("org.apache.kafka.connect.converters.ByteArrayConverter", ByteArrayConverter::default()),
    plain!("org.apache.kafka.connect.converters.BooleanConverter", BooleanConverter::default()),
    plain!(
        "org.apache.kafka.connect.converters.ShortConverter",
        NumberConverter::new(NumberKind::Short)
    ),
    plain!(
        "org.apache.kafka.connect.converters.IntegerConverter",
        NumberConverter::new(NumberKind::Integer)
    ),
    plain!(
        "org.apache.kafka.connect.converters.LongConverter",
        NumberConverter::new(NumberKind::Long)
    ),
    plain!(
        "org.apache.kafka.connect.converters.FloatConverter",
        NumberConverter::new(NumberKind::Float)
    ),
    plain!(
        "org.apache.kafka.connect.converters.DoubleConverter",
        NumberConverter::new(NumberKind::Double)
    ),
];

/// The key that the worker puts in. Java has it without a default; a converter that is made here
/// does not need it.
fn converter_type() -> ConfigDef {
    ConfigDef::new().define(
        ConfigKey::new(
            "converter.type",
            Type::String,
            DefaultValue::Null,
            Importance::Low,
            "How this converter will be used.",
        )
        .check(Validator::OneOf(&["key", "value", "header"])),
    )
}

fn json_config_def() -> ConfigDef {
    converter_type()
        .define(
            ConfigKey::new(
                "schemas.enable",
                Type::Boolean,
                DefaultValue::Of("true"),
                Importance::High,
                "Include schemas within each of the serialized values and keys.",
            )
            .group("Schemas", 0, Width::Medium, "Enable Schemas"),
        )
        .define(
            ConfigKey::new(
                "schemas.cache.size",
                Type::Int,
                DefaultValue::Of("1000"),
                Importance::High,
                "The maximum number of schemas that can be cached in this converter instance.",
            )
            .group("Schemas", 1, Width::Medium, "Schema Cache Size"),
        )
        .define(
            ConfigKey::new(
                "decimal.format",
                Type::String,
                DefaultValue::Of("BASE64"),
                Importance::Low,
                "Controls which format this converter will serialize decimals in. This value is \
                 case insensitive and can be either 'BASE64' (default) or 'NUMERIC'",
            )
            .check(Validator::OneOfIgnoreCase(&["NUMERIC", "BASE64"]))
            .group("Serialization", 0, Width::Medium, "Decimal Format"),
        )
        .define(
            ConfigKey::new(
                "replace.null.with.default",
                Type::Boolean,
                DefaultValue::Of("true"),
                Importance::Low,
                "Whether to replace fields that have a default value and that are null to the \
                 default value. When set to true, the default value is used, otherwise null is \
                 used.",
            )
            .group("Serialization", 1, Width::Medium, "Replace null with default"),
        )
}

fn new_json(config: &Config) -> Result<JsonConverter, Vec<ConfigError>> {
    let parsed = json_config_def().parse(config)?;
    let numeric = parsed.string("decimal.format").eq_ignore_ascii_case("NUMERIC");
    Ok(JsonConverter::new(JsonConverterConfig {
        schemas_enable: parsed.bool("schemas.enable"),
        schemas_cache_size: usize::try_from(parsed.long("schemas.cache.size")).unwrap_or(0),
        write: WriteOptions {
            decimal_format: if numeric { DecimalFormat::Numeric } else { DecimalFormat::Base64 },
            replace_null_with_default: parsed.bool("replace.null.with.default"),
        },
    }))
}

fn string_config_def() -> ConfigDef {
    let key = ConfigKey::new(
        "converter.encoding",
        Type::String,
        DefaultValue::Of("UTF-8"),
        Importance::High,
        "The name of the Java character set to use for encoding strings as byte arrays.",
    );
    converter_type().define(ConfigKey {
        width: Width::Medium,
        display_name: Some("Encoding"),
        validator: Validator::Custom(known_charset),
        ..key
    })
}

fn known_charset(name: &str) -> Result<(), String> {
    match Charset::by_name(name) {
        Some(_) => Ok(()),
        None => Err(format!(
            "Unsupported encoding {name}; known are UTF-8, US-ASCII, ISO-8859-1, UTF-16, UTF-16BE \
             and UTF-16LE"
        )),
    }
}

fn new_string(config: &Config) -> Result<StringConverter, Vec<ConfigError>> {
    let parsed = string_config_def().parse(config)?;
    let charset = Charset::by_name(parsed.string("converter.encoding")).unwrap_or_default();
    Ok(StringConverter::new(charset))
}

#[cfg(test)]
mod tests {
    use millrace_converters::converter::Shortcut;

    use super::*;
    use crate::plugin::Plugins;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn classes_and_aliases_resolve() {
        let plugins = Plugins {
            converters: converters(),
            header_converters: header_converters(),
            ..Plugins::default()
        };
        for name in ["JsonConverter", "Json", "org.apache.kafka.connect.json.JsonConverter"] {
            let plugin = plugins.converter(name).unwrap();
            let converter = (plugin.new)(&Config::new(), false).unwrap();
            assert_eq!(converter.class_name(), "org.apache.kafka.connect.json.JsonConverter");
            assert!(plugins.header_converter(name).is_some());
        }
        for plugin in &plugins.converters {
            let config = config(&[("schema.registry.url", "http://localhost:8081")]);
            assert_eq!((plugin.new)(&config, true).unwrap().class_name(), plugin.class);
        }
        for plugin in &plugins.header_converters {
            assert_eq!((plugin.new)(&Config::new()).unwrap().class_name(), plugin.class);
        }
        assert!(plugins.converter("SimpleHeaderConverter").is_none());
        assert!(plugins.header_converter("Simple").is_some());
    }

    #[test]
    fn settings_arrive() {
        let json = (converters()[0].new)(&config(&[("schemas.enable", "FALSE")]), false).unwrap();
        assert_eq!(json.shortcut(), Shortcut::SchemalessJson);
        let latin = [("converter.encoding", "iso-8859-1"), ("converter.type", "key")];
        let string = (converters()[1].new)(&config(&latin), true).unwrap();
        assert_eq!(string.shortcut(), Shortcut::None);
        let wrong = config(&[("decimal.format", "x"), ("schemas.cache.size", "many")]);
        let errors = (converters()[0].new)(&wrong, false).err().unwrap();
        assert_eq!(errors.len(), 2);
        let wrong = config(&[("converter.encoding", "nope")]);
        assert!((converters()[1].new)(&wrong, false).is_err());
    }
}
