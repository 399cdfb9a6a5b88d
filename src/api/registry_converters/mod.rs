//! The converters that ask a schema registry, with their settings: Confluent's keys and defaults.

mod avro;
mod json_schema;
mod protobuf;

use millrace_converters::registry::{RegistrySettings, RegistryUse, SubjectNames, WriteAs};

use crate::Config;
use crate::config_def::{
    ConfigDef, ConfigKey, DefaultValue, Importance, Parsed, Type, Validator, split_list,
};
use crate::plugin::ConverterPlugin;

/// `AvroConverter` and its kin, by schema type.
pub(crate) const CONVERTERS: [ConverterPlugin; 3] =
    [avro::PLUGIN, json_schema::PLUGIN, protobuf::PLUGIN];

fn key(name: &str, type_: Type, default: DefaultValue, documentation: &'static str) -> ConfigKey {
    ConfigKey::new(name, type_, default, Importance::Medium, documentation)
}

fn flag(name: &str, default: &'static str, documentation: &'static str) -> ConfigKey {
    key(name, Type::Boolean, DefaultValue::Of(default), documentation)
}

const TOPIC_NAMES: &str = "io.confluent.kafka.serializers.subject.TopicNameStrategy";

/// What every converter of a registry is told about it.
fn registry_config_def() -> ConfigDef {
    let text =
        |name: &str, documentation| key(name, Type::String, DefaultValue::Null, documentation);
    let secret =
        |name: &str, documentation| key(name, Type::Password, DefaultValue::Null, documentation);
    let number = |name: &str, default, least, documentation| {
        key(name, Type::Int, DefaultValue::Of(default), documentation)
            .check(Validator::AtLeast(least))
    };
    let keys = [
        key(
            "schema.registry.url",
            Type::List,
            DefaultValue::Required,
            "Comma-separated URLs of schema registry instances; when one cannot be reached, the \
             next one is asked.",
        )
        .check(Validator::Custom(registry_urls)),
        flag(
            "auto.register.schemas",
            "true",
            "Whether a schema that the registry does not have yet is registered.",
        ),
        key(
            "use.schema.id",
            Type::Int,
            DefaultValue::Of("-1"),
            "Write all data under the schema of this id; used without auto.register.schemas.",
        ),
        flag(
            "id.compatibility.strict",
            "true",
            "Whether the schema of use.schema.id must be able to read the data's own.",
        ),
        flag(
            "use.latest.version",
            "false",
            "Write data under the newest schema of the subject; used without \
             auto.register.schemas.",
        ),
        flag(
            "latest.compatibility.strict",
            "true",
            "Whether the schema of use.latest.version must be able to read the data's own.",
        ),
        flag(
            "normalize.schemas",
            "false",
            "Whether the registry is to normalize schemas that it registers or looks up.",
        ),
        strategy("key.subject.name.strategy"),
        strategy("value.subject.name.strategy"),
        number("max.schemas.per.subject", "1000", 1, "Schemas that are kept."),
        text("basic.auth.credentials.source", "Where the user and the password come from.")
            .check(Validator::OneOfIgnoreCase(&["URL", "USER_INFO", "SASL_INHERIT"])),
        secret("basic.auth.user.info", "With USER_INFO: user:password."),
        text("bearer.auth.credentials.source", "Where the bearer token comes from.")
            .check(Validator::OneOf(&["STATIC_TOKEN"])),
        secret("bearer.auth.token", "With STATIC_TOKEN: the token."),
        text("proxy.host", "An HTTP proxy to the registry."),
        key("proxy.port", Type::Int, DefaultValue::Null, "The proxy's port."),
        number("http.connect.timeout.ms", "60000", 1, "The longest time to connect."),
        number("http.read.timeout.ms", "60000", 1, "The longest time to wait for an answer."),
        number("max.retries", "3", 0, "Repetitions of a request that no registry answered."),
        number("retries.wait.ms", "1000", 0, "The wait before the first repetition; it doubles."),
        number("retries.max.wait.ms", "20000", 0, "The longest wait before a repetition."),
    ];
    keys.into_iter().fold(ConfigDef::new(), ConfigDef::define)
}

fn strategy(name: &str) -> ConfigKey {
    let documentation = "How the subject of a schema is named: by the topic, by the record, or by \
                         both.";
    ConfigKey {
        validator: Validator::Custom(known_strategy),
        ..key(name, Type::Class, DefaultValue::Of(TOPIC_NAMES), documentation)
    }
}

fn registry_urls(text: &str) -> Result<(), String> {
    let urls = split_list(text);
    if urls.is_empty() {
        return Err("a list of http:// or https:// URLs is needed".to_owned());
    }
    match urls.iter().all(|url| url.starts_with("http://") || url.starts_with("https://")) {
        true => Ok(()),
        false => Err("each URL begins with http:// or https://".to_owned()),
    }
}

fn strategy_of(class: &str) -> Option<SubjectNames> {
    Some(match class.rsplit('.').next().unwrap_or(class) {
        // Asks the registry which subject a topic is associated with; ours knows none, and then it
        // is the topic's name.
        "TopicNameStrategy" | "AssociatedNameStrategy" => SubjectNames::Topic,
        "RecordNameStrategy" => SubjectNames::Record,
        "TopicRecordNameStrategy" => SubjectNames::TopicRecord,
        _ => return None,
    })
}

fn known_strategy(class: &str) -> Result<(), String> {
    match strategy_of(class) {
        Some(_) => Ok(()),
        None => Err("known are io.confluent.kafka.serializers.subject.TopicNameStrategy, \
             …RecordNameStrategy and …TopicRecordNameStrategy"
            .to_owned()),
    }
}

/// What converters of every schema type are told besides: the first keys of their `…DataConfig`.
fn data_config_def() -> ConfigDef {
    let keys = [
        key(
            "schemas.cache.config",
            Type::Int,
            DefaultValue::Of("1000"),
            "Size of the converted schemas cache",
        )
        .check(Validator::AtLeast(1)),
        flag(
            "generalized.sum.type.support",
            "false",
            "Toggle for enabling/disabling generalized sum type support: interoperability of \
             enum/union with other schema formats",
        ),
        flag(
            "ignore.default.for.nullables",
            "false",
            "Whether to ignore the default for nullables: when true, a null stays null where the \
             field has a default.",
        ),
    ];
    keys.into_iter().fold(registry_config_def(), ConfigDef::define)
}

/// How the converter uses its registry.
fn registry_use(parsed: &Parsed, is_key: bool) -> RegistryUse {
    RegistryUse {
        is_key,
        subject_names: subject_names(parsed, is_key),
        write_as: write_as(parsed),
        normalize: parsed.bool("normalize.schemas"),
        schemas_cache: usize::try_from(parsed.long("schemas.cache.config")).unwrap_or(1),
    }
}

/// The keys that the registry's client reads; two converters that agree in them share answers.
fn registry_settings(config: &Config) -> RegistrySettings {
    const PREFIXES: [&str; 8] = [
        "schema.registry.",
        "basic.auth.",
        "bearer.auth.",
        "proxy.",
        "http.",
        "request.header.",
        "retries.",
        "sasl.jaas.config",
    ];
    let read =
        |key: &str| key == "max.retries" || PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    let keys = config.iter().filter(|(key, _)| read(key));
    RegistrySettings { config: keys.map(|(key, value)| (key.clone(), value.clone())).collect() }
}

/// Which schema data goes under, in the order in which Confluent's serializer decides.
fn write_as(parsed: &Parsed) -> WriteAs {
    let strict = parsed.bool("id.compatibility.strict");
    match u32::try_from(parsed.long("use.schema.id")) {
        _ if parsed.bool("auto.register.schemas") => WriteAs::Registered,
        Ok(id) => WriteAs::Id { id, strict },
        Err(_) if parsed.bool("use.latest.version") => {
            WriteAs::Latest { strict: parsed.bool("latest.compatibility.strict") }
        }
        Err(_) => WriteAs::Known,
    }
}

fn subject_names(parsed: &Parsed, is_key: bool) -> SubjectNames {
    let side = if is_key { "key" } else { "value" };
    strategy_of(parsed.string(&format!("{side}.subject.name.strategy"))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn parsed(pairs: &[(&str, &str)]) -> Parsed {
        let mut config = config(pairs);
        config.insert("schema.registry.url".to_owned(), "http://h".to_owned());
        data_config_def().parse(&config).unwrap()
    }

    #[test]
    fn all_mistakes_at_once_in_every_converter() {
        let config = config(&[
            ("auto.register.schemas", "perhaps"),
            ("value.subject.name.strategy", "MyStrategy"),
            ("schemas.cache.config", "0"),
        ]);
        for plugin in CONVERTERS {
            let errors = (plugin.new)(&config, false).err().unwrap();
            let keys: Vec<&str> = errors.iter().map(|error| error.key.as_str()).collect();
            for key in [
                "schema.registry.url",
                "auto.register.schemas",
                "value.subject.name.strategy",
                "schemas.cache.config",
            ] {
                assert!(keys.contains(&key), "{}: {key} is missing in {keys:?}", plugin.class);
            }
            let mock = self::config(&[("schema.registry.url", "mock://x")]);
            assert!((plugin.new)(&mock, false).is_err());
            let good = self::config(&[("schema.registry.url", "http://h")]);
            assert_eq!((plugin.new)(&good, true).unwrap().class_name(), plugin.class);
        }
    }

    #[test]
    fn what_data_goes_under() {
        assert_eq!(write_as(&parsed(&[])), WriteAs::Registered);
        let off = ("auto.register.schemas", "false");
        assert_eq!(write_as(&parsed(&[off])), WriteAs::Known);
        let latest = ("use.latest.version", "true");
        assert_eq!(write_as(&parsed(&[off, latest])), WriteAs::Latest { strict: true });
        assert_eq!(
            write_as(&parsed(&[off, ("use.schema.id", "7"), ("id.compatibility.strict", "false")])),
            WriteAs::Id { id: 7, strict: false }
        );
    }

    #[test]
    fn only_the_clients_keys_tell_registries_apart() {
        let url = ("schema.registry.url", "http://h");
        let one = registry_settings(&config(&[url, ("connect.meta.data", "false")]));
        let other = registry_settings(&config(&[url, ("auto.register.schemas", "false")]));
        assert_eq!(one, other);
        assert_ne!(one, registry_settings(&config(&[url, ("max.retries", "0")])));
        let named = ("key.subject.name.strategy", "RecordNameStrategy");
        assert_eq!(subject_names(&parsed(&[named]), true), SubjectNames::Record);
        assert_eq!(subject_names(&parsed(&[named]), false), SubjectNames::Topic);
    }
}
