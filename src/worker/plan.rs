//! A task's converters and transforms, made from its configuration.

use millrace_api::Config;
use millrace_api::config_def::{ConfigError, split_list};
use millrace_api::error::ConnectError;
use millrace_api::plugin::Plugins;
use millrace_api::transformation::{Predicate, Transformation};
use millrace_converters::{Converter, HeaderConverter};

use crate::command::TaskSpec;
use crate::schema_registry::Desks;

/// One transform and when it applies.
pub(crate) struct Step {
    /// Its name in `transforms`.
    pub alias: String,
    pub transformation: Box<dyn Transformation>,
    pub condition: Option<Condition>,
}

/// `transforms.<a>.predicate` and `.negate`.
pub(crate) struct Condition {
    pub predicate: Box<dyn Predicate>,
    pub negate: bool,
}

/// The three converters of a task, and where those of a schema registry ask.
pub(crate) struct Converters {
    pub key: Box<dyn Converter>,
    pub value: Box<dyn Converter>,
    pub header: Box<dyn HeaderConverter>,
    pub desks: Desks,
}

const SIMPLE_HEADER: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

fn refused(what: &str, errors: &[ConfigError]) -> ConnectError {
    let all: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    ConnectError::fatal(format!("{what}: {}", all.join("; ")))
}

/// `config`'s keys under `prefix`, the prefix cut off.
fn under(config: &Config, prefix: &str) -> Config {
    config
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())))
        .collect()
}

/// The class and the settings of a converter: the connector's own, settings and all, or else the
/// worker's, settings and all; the two are never mixed.
fn chosen(spec: &TaskSpec, key: &str) -> Option<(String, Config)> {
    let from = |config: &Config| {
        let class = config.get(key).map(|class| class.trim().to_owned())?;
        Some((class, under(config, &format!("{key}."))))
    };
    from(&spec.connector).or_else(|| from(&spec.worker))
}

impl Converters {
    pub(crate) fn of(spec: &TaskSpec) -> Result<Self, ConnectError> {
        let header = chosen(spec, "header.converter")
            .unwrap_or_else(|| (SIMPLE_HEADER.to_owned(), Config::new()));
        let plugin = spec.plugins.header_converter(&header.0).ok_or_else(|| {
            ConnectError::fatal(format!("header.converter: no header converter {}", header.0))
        })?;
        let mut settings = header.1;
        settings.insert("converter.type".to_owned(), "header".to_owned());
        let mut key = converter(spec, "key.converter", true)?;
        let mut value = converter(spec, "value.converter", false)?;
        let mut desks = Desks::default();
        desks.attach(&mut *key);
        desks.attach(&mut *value);
        Ok(Self {
            key,
            value,
            desks,
            header: (plugin.new)(&settings).map_err(|errors| refused(plugin.class, &errors))?,
        })
    }
}

fn converter(spec: &TaskSpec, key: &str, is_key: bool) -> Result<Box<dyn Converter>, ConnectError> {
    let (class, mut settings) = chosen(spec, key).ok_or_else(|| {
        ConnectError::fatal(format!("{key} is set neither for the worker nor for the connector"))
    })?;
    let plugin = spec
        .plugins
        .converter(&class)
        .ok_or_else(|| ConnectError::fatal(format!("{key}: no converter {class}")))?;
    settings.insert("converter.type".to_owned(), if is_key { "key" } else { "value" }.to_owned());
    (plugin.new)(&settings, is_key).map_err(|mut errors| {
        for error in &mut errors {
            error.message = format!("{key}.{}: {}", error.key, error.message);
        }
        refused(plugin.class, &errors)
    })
}

/// The chain of `transforms`, in order.
pub(crate) fn steps(connector: &Config, plugins: &Plugins) -> Result<Vec<Step>, ConnectError> {
    let aliases = connector.get("transforms").map(|text| split_list(text)).unwrap_or_default();
    aliases.iter().map(|alias| step(connector, plugins, alias)).collect()
}

/// The class and the other settings of an alias of `transforms` or `predicates`.
pub(crate) fn aliased(config: &Config, kind: &str, alias: &str) -> (String, Config) {
    let mut settings = under(config, &format!("{kind}.{alias}."));
    (settings.remove("type").unwrap_or_default(), settings)
}

/// What an alias of `transforms` or `predicates` refuses, each under its full key.
pub(crate) fn named(kind: &str, alias: &str, errors: Vec<ConfigError>) -> Vec<String> {
    let name = |error: ConfigError| format!("{kind}.{alias}.{}: {}", error.key, error.message);
    errors.into_iter().map(name).collect()
}

fn step(connector: &Config, plugins: &Plugins, alias: &str) -> Result<Step, ConnectError> {
    let (class, mut settings) = aliased(connector, "transforms", alias);
    let predicate = settings.remove("predicate");
    let negate = settings.remove("negate").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let plugin = plugins.transformation(class.trim()).ok_or_else(|| {
        ConnectError::fatal(format!("transforms.{alias}.type: no transformation {class}"))
    })?;
    let transformation = (plugin.new)(&settings)
        .map_err(|errors| ConnectError::fatal(named("transforms", alias, errors).join("; ")))?;
    let condition = match predicate {
        Some(name) => Some(condition(connector, plugins, name.trim(), negate)?),
        None => None,
    };
    Ok(Step { alias: alias.to_owned(), transformation, condition })
}

fn condition(
    connector: &Config,
    plugins: &Plugins,
    alias: &str,
    negate: bool,
) -> Result<Condition, ConnectError> {
    let (class, settings) = aliased(connector, "predicates", alias);
    let plugin = plugins.predicate(class.trim()).ok_or_else(|| {
        ConnectError::fatal(format!("predicates.{alias}.type: no predicate {class}"))
    })?;
    let predicate = (plugin.new)(&settings)
        .map_err(|errors| ConnectError::fatal(named("predicates", alias, errors).join("; ")))?;
    Ok(Condition { predicate, negate })
}
