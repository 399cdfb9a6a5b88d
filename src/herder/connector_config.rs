//! The framework's keys of a connector: common, sink, source, topic creation, and the keys that
//! transforms and predicates get per alias. Names, types, defaults, importance, groups, order and
//! width are those of Kafka Connect 4.1.

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigKey, DefaultValue, Importance, Type, Validator, Width,
};
use millrace_api::connector::ConnectorPlugin;

use DefaultValue::{Null, Of, Required};
use Importance::{High, Low, Medium};

/// Name, type, default, importance, validator, group, order, width, display name, documentation.
type Row = (
    &'static str,
    Type,
    DefaultValue,
    Importance,
    Validator,
    &'static str,
    i32,
    Width,
    &'static str,
    &'static str,
);

const COMMON: &str = "Common";
const ERRORS: &str = "Error Handling";
const CREATION: &str = "Topic Creation";
const ONCE: &str = "Exactly Once Support";

#[rustfmt::skip]
const FRAMEWORK: &[Row] = &[
    ("name", Type::String, Required, High, Validator::Custom(name), COMMON, 1, Width::Medium, "Connector name", "Unique name of the connector."),
    ("connector.class", Type::String, Required, High, Validator::None, COMMON, 2, Width::Long, "Connector class", "Full class name of the connector, its simple name, or that without 'Connector'."),
    ("connector.plugin.version", Type::String, Null, Medium, Validator::None, COMMON, 3, Width::Medium, "Connector version", "Version of the connector."),
    ("tasks.max", Type::Int, Of("1"), High, Validator::AtLeast(1), COMMON, 4, Width::Short, "Tasks max", "The most tasks that the connector may have."),
    ("tasks.max.enforce", Type::Boolean, Of("true"), Low, Validator::None, COMMON, 5, Width::Short, "Enforce tasks max", "Whether a connector that plans more tasks than tasks.max fails."),
    ("key.converter", Type::Class, Null, Low, Validator::None, COMMON, 6, Width::Short, "Key converter class", "Converter of record keys; without it the worker's converter and its settings."),
    ("key.converter.plugin.version", Type::String, Null, Low, Validator::None, COMMON, 7, Width::Short, "Key converter version", "Version of the key converter."),
    ("value.converter", Type::Class, Null, Low, Validator::None, COMMON, 8, Width::Short, "Value converter class", "Converter of record values; without it the worker's converter and its settings."),
    ("value.converter.plugin.version", Type::String, Null, Low, Validator::None, COMMON, 9, Width::Short, "Value converter version", "Version of the value converter."),
    ("header.converter", Type::Class, Null, Low, Validator::None, COMMON, 10, Width::Short, "Header converter class", "Converter of header values; without it the worker's converter and its settings."),
    ("header.converter.plugin.version", Type::String, Null, Low, Validator::None, COMMON, 11, Width::Short, "Header converter version", "Version of the header converter."),
    ("transforms", Type::List, Of(""), Low, Validator::Custom(aliases), "Transforms", 12, Width::Long, "Transforms", "Aliases of the transforms, in the order of their application."),
    ("predicates", Type::List, Of(""), Low, Validator::Custom(aliases), "Predicates", 13, Width::Long, "Predicates", "Aliases of the predicates that transforms refer to."),
    ("config.action.reload", Type::String, Of("restart"), Low, Validator::OneOf(&["none", "restart"]), COMMON, 14, Width::Medium, "Reload Action", "What to do when a config provider's values change: nothing, or restart the connector."),
    ("errors.retry.timeout", Type::Long, Of("0"), Medium, Validator::None, ERRORS, 1, Width::Medium, "Retry Timeout for Errors", "Milliseconds for which a failed operation is tried again; 0 never, -1 without end."),
    ("errors.retry.delay.max.ms", Type::Long, Of("60000"), Medium, Validator::None, ERRORS, 2, Width::Medium, "Maximum Delay Between Retries for Errors", "Most milliseconds between two attempts."),
    ("errors.tolerance", Type::String, Of("none"), Medium, Validator::OneOf(&["none", "all"]), ERRORS, 3, Width::Short, "Error Tolerance", "'none': an error fails the task; 'all': the record is skipped."),
    ("errors.log.enable", Type::Boolean, Of("false"), Medium, Validator::None, ERRORS, 4, Width::Short, "Log Errors", "Whether errors are logged with the failed operation and record."),
    ("errors.log.include.messages", Type::Boolean, Of("false"), Medium, Validator::None, ERRORS, 5, Width::Short, "Log Error Details", "Whether the log shows where the failed record stands."),
];

#[rustfmt::skip]
const SINK: &[Row] = &[
    ("topics", Type::List, Of(""), High, Validator::None, COMMON, 4, Width::Long, "Topics", "Topics to consume, separated by commas."),
    ("topics.regex", Type::String, Of(""), High, Validator::Custom(regex), COMMON, 4, Width::Long, "Topics regex", "Java regular expression of the topics to consume."),
    ("errors.deadletterqueue.topic.name", Type::String, Of(""), Medium, Validator::None, ERRORS, 6, Width::Medium, "Dead Letter Queue Topic Name", "Topic for records that fail; empty for none."),
    ("errors.deadletterqueue.topic.replication.factor", Type::Short, Of("3"), Medium, Validator::None, ERRORS, 7, Width::Medium, "Dead Letter Queue Topic Replication Factor", "Replication factor with which that topic is created."),
    ("errors.deadletterqueue.context.headers.enable", Type::Boolean, Of("false"), Medium, Validator::None, ERRORS, 8, Width::Medium, "Enable Error Context Headers", "Whether failed records get headers that tell what happened."),
];

#[rustfmt::skip]
const SOURCE: &[Row] = &[
    ("topic.creation.groups", Type::List, Of(""), Low, Validator::Custom(aliases), CREATION, 1, Width::Long, "Topic Creation Groups", "Groups of settings for topics that the connector creates."),
    ("exactly.once.support", Type::String, Of("requested"), Medium, Validator::OneOfIgnoreCase(&["required", "requested"]), ONCE, 2, Width::Short, "Exactly once support", "'required' refuses a connector that cannot write exactly once."),
    ("transaction.boundary", Type::String, Of("poll"), Medium, Validator::OneOfIgnoreCase(&["interval", "poll", "connector"]), ONCE, 3, Width::Short, "Transaction Boundary", "Where transactions end: with each poll, after an interval, or where the connector says."),
    ("transaction.boundary.interval.ms", Type::Long, Null, Low, Validator::AtLeast(0), ONCE, 4, Width::Short, "Transaction boundary interval", "Milliseconds between commits when the boundary is 'interval'."),
    ("offsets.storage.topic", Type::String, Null, Low, Validator::NonEmpty, "offsets.topic", 1, Width::Long, "Offsets topic", "A topic of the connector's own for its offsets; without effect in standalone mode."),
];

fn key(row: Row) -> ConfigKey {
    let (name, type_, default, importance, check, group, order, width, display, doc) = row;
    ConfigKey::new(name, type_, default, importance, doc)
        .check(check)
        .group(group, order, width, display)
}

/// The framework's keys for a sink or a source, aliases not included.
pub fn framework(sink: bool) -> ConfigDef {
    let kind = if sink { SINK } else { SOURCE };
    ConfigDef {
        keys: FRAMEWORK.iter().chain(kind).map(|row| key(*row)).collect(),
        ..ConfigDef::new()
    }
}

/// A plug-in's own keys and then those of the framework that it does not define itself: what
/// `/connector-plugins/{p}/config` shows.
pub fn all_keys(plugin: &ConnectorPlugin) -> ConfigDef {
    let mut def = (plugin.config_def)();
    let mut rest: Vec<_> = framework(plugin.is_sink())
        .keys
        .into_iter()
        .filter(|key| def.key(&key.name).is_none())
        .collect();
    for key in rest.iter_mut().filter(|key| key.name == "connector.plugin.version") {
        key.default = Of(plugin.version);
    }
    def.keys.extend(rest);
    def
}

/// What a transform or predicate is called in keys and texts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Aliased {
    Transform,
    Predicate,
}

impl Aliased {
    /// `transforms` or `predicates`: the key of the aliases and the prefix of theirs.
    pub fn key(self) -> &'static str {
        if self == Self::Transform { "transforms" } else { "predicates" }
    }

    fn group(self, alias: &str) -> String {
        let kind = if self == Self::Transform { "Transforms" } else { "Predicates" };
        format!("{kind}: {alias}")
    }

    /// `<prefix>.type` and `<prefix>.plugin.version`.
    pub fn head(self, alias: &str) -> Vec<ConfigKey> {
        let (type_display, version_display) = match self {
            Self::Transform => ("Transformation type", "Transformation version"),
            Self::Predicate => ("Predicate type", "Predicate version"),
        };
        let prefix = self.key();
        let group = self.group(alias);
        let key = |name: &str, type_, default| {
            ConfigKey::new(format!("{prefix}.{alias}.{name}"), type_, default, High, "")
        };
        vec![
            key("type", Type::Class, Required).group(group.clone(), 0, Width::Long, type_display),
            key("plugin.version", Type::String, Null).group(group, 1, Width::Long, version_display),
        ]
    }

    /// The plug-in's own keys under the alias' prefix, in Java's order: required ones first, then by
    /// importance and name; a transform also has `predicate` and `negate`.
    pub fn own(self, alias: &str, mut def: ConfigDef) -> Vec<ConfigKey> {
        if self == Self::Transform {
            def.keys.push(ConfigKey::new("predicate", Type::String, Null, Medium, PREDICATE_DOC));
            def.keys.push(ConfigKey::new("negate", Type::Boolean, Of("false"), Medium, NEGATE_DOC));
        }
        let rank = |key: &ConfigKey| {
            let importance = match key.importance {
                High => 0,
                Medium => 1,
                Low => 2,
            };
            (key.default != Required, importance, key.name.clone())
        };
        def.keys.sort_by_key(rank);
        let embed = |(order, mut key): (usize, ConfigKey)| {
            key.group = Some(self.group(alias));
            key.order_in_group = order as i32 + 2;
            key.name = format!("{}.{alias}.{}", self.key(), key.name);
            key
        };
        def.keys.into_iter().enumerate().map(embed).collect()
    }
}

const PREDICATE_DOC: &str = "Alias of the predicate that decides whether the transform is applied.";
const NEGATE_DOC: &str = "Whether the transform is applied where the predicate is false.";

/// The keys of one topic creation group. `default` must say both numbers; other groups inherit.
pub fn topic_creation(group: &str) -> Vec<ConfigKey> {
    let is_default = group == "default";
    let number = if is_default { Required } else { Null };
    let name = |key: &str| format!("topic.creation.{group}.{key}");
    let key = |key: &str, type_, default, check, doc| {
        ConfigKey::new(name(key), type_, default, Low, doc).check(check)
    };
    let replication = Validator::Custom(|text| {
        let what = "Replication factor must be positive and not larger than the number of brokers in \
                    the Kafka cluster";
        positive_or_broker_default(text, what)
    });
    let partitions = Validator::Custom(|text| {
        positive_or_broker_default(text, "Number of partitions must be positive")
    });
    vec![
        key("include", Type::List, Of(""), Validator::Custom(regex_list), "Topics of the group."),
        key(
            "exclude",
            Type::List,
            Of(""),
            Validator::Custom(regex_list),
            "Topics not of the group.",
        ),
        key("replication.factor", Type::Short, number, replication, "Replication factor."),
        key("partitions", Type::Int, number, partitions, "Number of partitions."),
    ]
}

/// The converter that a connector gets: its own class with its own settings, or the worker's class
/// with the worker's settings; never a mixture.
pub fn converter<'a>(
    side: &str,
    connector: &'a Config,
    worker: &'a Config,
) -> Option<(&'a str, Config)> {
    let class_key = format!("{side}.converter");
    let of = |config: &'a Config| {
        let class = config.get(&class_key).map(|class| class.trim())?;
        let prefix = format!("{class_key}.");
        let own = |(key, value): (&String, &String)| {
            Some((key.strip_prefix(&prefix)?.to_owned(), value.clone()))
        };
        Some((class, config.iter().filter_map(own).collect()))
    };
    of(connector).or_else(|| of(worker))
}

fn name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("String may not be empty".to_owned());
    }
    let control: Vec<String> =
        text.chars().filter(|c| c.is_control()).map(|c| u32::from(c).to_string()).collect();
    if control.is_empty() {
        return Ok(());
    }
    Err(format!(
        "String may not contain control sequences but had the following ASCII chars: {}",
        control.join(", ")
    ))
}

fn aliases(text: &str) -> Result<(), String> {
    let items = millrace_api::config_def::split_list(text);
    let unique: std::collections::BTreeSet<_> = items.iter().collect();
    if unique.len() < items.len() { Err("Duplicate alias provided.".to_owned()) } else { Ok(()) }
}

fn regex(text: &str) -> Result<(), String> {
    match fancy_regex::Regex::new(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("Invalid regex: {error}")),
    }
}

fn regex_list(text: &str) -> Result<(), String> {
    let items = millrace_api::config_def::split_list(text);
    items.iter().try_for_each(|item| match fancy_regex::Regex::new(item) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("Syntax error in regular expression: {error}")),
    })
}

fn positive_or_broker_default(text: &str, what: &str) -> Result<(), String> {
    match text.parse::<i64>() {
        Ok(number) if number == -1 || number > 0 => Ok(()),
        _ => Err(format!("{what}, or -1 to use the broker's default")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_class_at_the_connector_switches_the_workers_settings_off() {
        let worker = config(&[("key.converter", "W"), ("key.converter.schemas.enable", "false")]);
        let none = config(&[("key.converter.schemas.enable", "true")]);
        let own = config(&[("key.converter", " W "), ("key.converter.x", "1")]);
        let settings = |pairs| Some(("W", config(pairs)));
        assert_eq!(converter("key", &none, &worker), settings(&[("schemas.enable", "false")]));
        assert_eq!(converter("key", &own, &worker), settings(&[("x", "1")]));
        assert_eq!(converter("header", &own, &worker), None);
    }

    #[test]
    fn aliased_keys_are_in_javas_order() {
        let def = ConfigDef::new()
            .define(ConfigKey::new("z", Type::String, Null, Medium, ""))
            .define(ConfigKey::new("b", Type::String, Of(""), High, ""))
            .define(ConfigKey::new("y", Type::String, Required, Low, ""));
        let keys = Aliased::Transform.own("a", def);
        let names: Vec<_> = keys.iter().map(|key| key.name.as_str()).collect();
        let expected = ["y", "b", "negate", "predicate", "z"];
        assert_eq!(names, expected.map(|name| format!("transforms.a.{name}")));
        assert_eq!(keys[0].order_in_group, 2);
        assert_eq!(keys[0].group.as_deref(), Some("Transforms: a"));
    }
}
