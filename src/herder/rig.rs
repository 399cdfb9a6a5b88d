//! Plug-ins for this room's tests.

use millrace_api::Config;
use millrace_api::config_def::{ConfigDef, ConfigKey, DefaultValue, Importance, Type, Validator};
use millrace_api::connector::{Connector, ConnectorPlugin, NewTask, no_cross_checks};
use millrace_api::error::ConnectError;
use millrace_api::plugin::{
    ConverterPlugin, HeaderConverterPlugin, Plugins, PredicatePlugin, TransformationPlugin,
};

/// Plans what its configuration says: `plan.tasks`, `plan.fail`, `plan.panic`.
struct Planned(Config);

impl Connector for Planned {
    fn start(&mut self, config: &Config) -> Result<(), ConnectError> {
        self.0 = config.clone();
        match config.get("plan.fail").map(String::as_str) {
            Some("panic") => panic!("as the test wanted"),
            Some(text) => Err(ConnectError::fatal(text)),
            None => Ok(()),
        }
    }

    fn task_configs(&mut self, tasks_max: usize) -> Result<Vec<Config>, ConnectError> {
        let count = self.0.get("plan.tasks").and_then(|text| text.parse().ok());
        Ok(vec![self.0.clone(); count.unwrap_or(tasks_max)])
    }
}

fn keys() -> ConfigDef {
    let key = |name, type_, default| ConfigKey::new(name, type_, default, Importance::High, "doc");
    ConfigDef::new()
        .define(key("file", Type::String, DefaultValue::Null))
        .define(key("topic", Type::String, DefaultValue::Required).check(Validator::NonEmpty))
        .define(key("secret", Type::Password, DefaultValue::Null))
}

fn sink_keys() -> ConfigDef {
    let file = ConfigKey::new("file", Type::String, DefaultValue::Null, Importance::High, "doc");
    ConfigDef::new().define(file)
}

fn converter_keys() -> ConfigDef {
    let enable = DefaultValue::Of("true");
    ConfigDef::new().define(ConfigKey::new(
        "schemas.enable",
        Type::Boolean,
        enable,
        Importance::High,
        "doc",
    ))
}

fn transform_keys() -> ConfigDef {
    let key = |name, default| ConfigKey::new(name, Type::String, default, Importance::High, "doc");
    ConfigDef::new()
        .define(key("regex", DefaultValue::Required))
        .define(key("replacement", DefaultValue::Of("")))
}

/// A source, a sink, a converter, a transform and a predicate, none of which can move records.
pub(crate) fn plugins() -> Plugins {
    let source = ConnectorPlugin {
        class: "test.TextSourceConnector",
        task_class: "test.TextSourceTask",
        also: &[],
        version: "1.0",
        config_def: keys,
        validate: no_cross_checks,
        connector: || Box::new(Planned(Config::new())),
        task: NewTask::Source(|| unreachable!("no task runs in these tests")),
    };
    let sink = ConnectorPlugin {
        class: "test.TextSinkConnector",
        task_class: "test.TextSinkTask",
        config_def: sink_keys,
        task: NewTask::Sink(|| unreachable!("no task runs in these tests")),
        ..source
    };
    Plugins {
        connectors: vec![source, sink],
        converters: vec![ConverterPlugin {
            class: "test.TextConverter",
            config_def: converter_keys,
            new: |_, _| Err(Vec::new()),
        }],
        header_converters: vec![HeaderConverterPlugin {
            class: "test.TextHeaderConverter",
            config_def: ConfigDef::new,
            new: |_| Err(Vec::new()),
        }],
        transformations: vec![TransformationPlugin {
            class: "test.Router",
            config_def: transform_keys,
            new: |_| Err(Vec::new()),
        }],
        predicates: vec![PredicatePlugin {
            class: "test.IsBig",
            config_def: ConfigDef::new,
            new: |_| Err(Vec::new()),
        }],
    }
}
