//! Checks a connector's configuration and answers as `/config/validate` does.
//!
//! Everything here is a function of the configuration, the plug-ins and the worker's settings. It
//! runs on [a thread of its own](crate::validation_queue).

mod cluster;

use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::{ConfigDef, ConfigError, ConfigKey, split_list};
use millrace_api::connector::ConnectorPlugin;
use millrace_api::plugin::Plugins;

use crate::config_infos::{ConfigInfo, ConfigInfos, ConfigKeyInfo, ConfigValueInfo, shown};
use crate::connector_config::{Aliased, converter, framework, topic_creation};
use crate::redaction::redact;
use crate::requests::{Answer, HerderError, Submitted};
use crate::state::Definition;
use crate::worker_config::WorkerConfig;

/// The version of everything that is built in.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `tasks.max` of a configuration that was checked.
pub(crate) fn tasks_max(config: &Config) -> usize {
    config.get("tasks.max").and_then(|text| text.trim().parse().ok()).unwrap_or(1)
}

/// Knows what a configuration is checked against.
pub struct Validator {
    worker: WorkerConfig,
    plugins: Arc<Plugins>,
}

impl Validator {
    pub fn new(worker: WorkerConfig, plugins: Arc<Plugins>) -> Self {
        Self { worker, plugins }
    }

    /// The connector as the state keeps it, or what is wrong with its configuration.
    pub fn definition(&self, name: &str, submitted: Submitted) -> Answer<Definition> {
        let Submitted { mut config, mut nulls } = submitted;
        // It is in the path, or has a place of its own in the body.
        nulls.retain(|key| key != "name");
        if let Some(inner) = config.get("name").filter(|inner| *inner != name) {
            return Err(HerderError::bad_request(format!(
                "Connector name configuration ({inner}) doesn't match connector name in the URL \
                 ({name})"
            )));
        }
        config.insert("name".to_owned(), name.to_owned());
        let infos = self.validate_with(&config, &nulls)?;
        if infos.error_count > 0 {
            let errors = infos.configs.iter().flat_map(|info| &info.value.errors);
            let list: Vec<_> = errors.map(String::as_str).collect();
            return Err(HerderError::bad_request(format!(
                "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou \
                 can also find the above list of errors at the endpoint \
                 `/connector-plugins/{{connectorType}}/config/validate`",
                infos.error_count,
                list.join("\n")
            )));
        }
        let resolved = self.resolve(&config)?;
        let plugin = self.plugin(&resolved)?;
        let enforce = resolved.get("tasks.max.enforce");
        Ok(Definition {
            sink: plugin.is_sink(),
            version: plugin.version,
            tasks_max: tasks_max(&resolved),
            enforce: enforce.is_none_or(|text| text.trim().eq_ignore_ascii_case("true")),
            config: Arc::new(config),
        })
    }

    /// `PUT /connector-plugins/{plugin}/config/validate`.
    pub fn validate_for(&self, plugin: &str, submitted: &Submitted) -> Answer<ConfigInfos> {
        let Submitted { config, nulls } = submitted;
        if let Some(class) = config.get("connector.class").map(|class| class.trim()) {
            let short = |class: &str| class.strip_suffix("Connector").unwrap_or(class).to_owned();
            if !short(class).ends_with(&short(plugin)) {
                return Err(HerderError::bad_request(format!(
                    "Included connector type {class} does not match request type {plugin}"
                )));
            }
        }
        self.validate_with(config, nulls).map_err(|error| {
            // The JVM's client gets the causes' classes too, and 500.
            let cause = match error.message.starts_with("Failed to find any class") {
                true => "org.apache.kafka.connect.errors.ConnectException: ",
                false => "",
            };
            HerderError::internal(format!(
                "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: {cause}{error}"
            ))
        })
    }

    /// Every key of the framework, of transforms, predicates, the connector and its converters.
    pub fn validate(&self, config: &Config) -> Answer<ConfigInfos> {
        self.validate_with(config, &[])
    }

    /// `nulls` are keys that were given as null.
    fn validate_with(&self, config: &Config, nulls: &[String]) -> Answer<ConfigInfos> {
        let name = config.get("connector.class").cloned().unwrap_or_default();
        let raw = config;
        let config = self.resolve(raw)?;
        let plugin = self.plugin(&config)?;
        let mut check = Check { config: &config, configs: Vec::new() };
        for key in &framework(plugin.is_sink()).keys {
            self.framework_key(&mut check, key, Some(plugin));
        }
        for aliased in [Aliased::Transform, Aliased::Predicate] {
            self.aliased(&mut check, aliased);
        }
        if plugin.is_sink() {
            sink_topics(&mut check);
        } else {
            check_topic_creation(&mut check);
        }
        for key in (plugin.config_def)().keys {
            if check.find(&key.name).is_none() {
                check.key(&key, &key.name);
            }
        }
        for error in (plugin.validate)(&config) {
            check.error(&error.key, error.message);
        }
        self.converters(&mut check);
        self.overrides(&mut check);
        self.cluster(&mut check, plugin);
        for key in nulls {
            check.null(key);
        }
        let mut configs = check.configs;
        redact(raw, &config, &mut configs);
        Ok(infos(name, configs))
    }

    /// A provider that cannot be asked is the JVM's 500.
    fn resolve(&self, config: &Config) -> Answer<Config> {
        let resolved = self.worker.providers.try_resolve(config);
        resolved.map(|resolved| resolved.config).map_err(HerderError::internal)
    }

    /// What does not concern the connector itself: the framework's other keys, converters,
    /// transforms and predicates. The connector's class may be missing or not built in.
    pub fn validate_chain(&self, config: &Config) -> ConfigInfos {
        let config = self.worker.providers.resolve(config);
        let mut check = Check { config: &config, configs: Vec::new() };
        for key in &framework(true).keys {
            let given = config.contains_key(&key.name);
            if given || !matches!(key.name.as_str(), "name" | "connector.class") {
                self.framework_key(&mut check, key, None);
            }
        }
        for aliased in [Aliased::Transform, Aliased::Predicate] {
            self.aliased(&mut check, aliased);
        }
        self.converters(&mut check);
        infos(String::new(), check.configs)
    }

    fn plugin(&self, config: &Config) -> Answer<&ConnectorPlugin> {
        let Some(class) = config.get("connector.class").map(|class| class.trim()) else {
            let pairs: Vec<_> =
                config.iter().map(|(key, value)| format!("{key}={value}")).collect();
            return Err(HerderError::bad_request(format!(
                "Connector config {{{}}} contains no connector type",
                pairs.join(", ")
            )));
        };
        self.plugins.connector(class).ok_or_else(|| {
            let known: Vec<_> = self.plugins.connectors.iter().map(|known| known.class).collect();
            HerderError::bad_request(format!(
                "Failed to find any class that implements Connector and which name matches {class}, \
                 available connectors are: {}",
                known.join(", ")
            ))
        })
    }

    /// Some framework keys have defaults and recommendations that depend on the worker.
    fn framework_key(
        &self,
        check: &mut Check<'_>,
        key: &ConfigKey,
        plugin: Option<&ConnectorPlugin>,
    ) {
        check.key(key, &key.name);
        let Some(info) = check.configs.last_mut() else { return };
        match key.name.as_str() {
            "connector.plugin.version" => {
                if let Some(plugin) = plugin {
                    info.set_version(plugin.version);
                }
            }
            "key.converter.plugin.version"
            | "value.converter.plugin.version"
            | "header.converter.plugin.version" => {
                let class = key.name.strip_suffix(".plugin.version").unwrap_or(&key.name);
                let known = check.find(class).is_some_and(|info| info.value.errors.is_empty());
                let Some(info) = check.configs.last_mut() else { return };
                match known {
                    true => info.set_version(VERSION),
                    false => info.value.visible = false,
                }
            }
            "key.converter" | "value.converter" | "header.converter" => {
                let classes: Vec<&str> = match key.name.as_str() {
                    "header.converter" => {
                        self.plugins.header_converters.iter().map(|known| known.class).collect()
                    }
                    _ => self.plugins.converters.iter().map(|known| known.class).collect(),
                };
                let found = |class: &str| match key.name.as_str() {
                    "header.converter" => {
                        self.plugins.header_converter(class).map(|known| known.class)
                    }
                    _ => self.plugins.converter(class).map(|known| known.class),
                };
                info.class_value(found);
                info.set_default(self.worker.parsed().get(&key.name).map(str::to_owned));
                info.recommend(classes);
            }
            _ => {}
        }
    }

    fn aliased(&self, check: &mut Check<'_>, aliased: Aliased) {
        let aliases = check.config.get(aliased.key()).map(|list| split_list(list));
        let mut aliases = aliases.unwrap_or_default();
        let mut seen = std::collections::BTreeSet::new();
        aliases.retain(|alias| seen.insert(alias.clone()));
        for alias in aliases {
            for key in aliased.head(&alias) {
                check.key(&key, &key.name);
            }
            let type_key = format!("{}.{alias}.type", aliased.key());
            let own = self.aliased_type(check, aliased, &type_key);
            let prefix = format!("{}.{alias}.", aliased.key());
            let whole = own.as_ref().and_then(|def| def.whole);
            let own = own.map(|def| aliased.own(&alias, def)).unwrap_or_default();
            for key in &own {
                check.key(key, key.name.strip_prefix(&prefix).unwrap_or(&key.name));
            }
            if let Some(whole) = whole {
                check.whole(&prefix, whole);
            }
            if aliased == Aliased::Transform && !own.is_empty() {
                predicate_reference(check, &prefix);
            }
        }
    }

    /// Fills `….type` in; the keys of its class if there is one.
    fn aliased_type(
        &self,
        check: &mut Check<'_>,
        aliased: Aliased,
        type_key: &str,
    ) -> Option<ConfigDef> {
        let plugins = &self.plugins;
        let class = check.config.get(type_key).map(|class| class.trim()).unwrap_or_default();
        let (found, recommended): (_, Vec<&str>) = match aliased {
            Aliased::Transform => (
                plugins.transformation(class).map(|found| (found.class, found.config_def)),
                plugins.transformations.iter().map(|known| known.class).collect(),
            ),
            Aliased::Predicate => (
                plugins.predicate(class).map(|found| (found.class, found.config_def)),
                plugins.predicates.iter().map(|known| known.class).collect(),
            ),
        };
        let info = check.find(type_key)?;
        info.class_value(|_| found.map(|(class, _)| class));
        info.recommend(recommended);
        let version_key = format!("{}.plugin.version", type_key.trim_end_matches(".type"));
        if let Some(info) = check.find(&version_key).filter(|_| found.is_some()) {
            info.set_version(VERSION);
        }
        found.map(|(_, config_def)| config_def())
    }

    /// The keys of converters that the connector names itself.
    fn converters(&self, check: &mut Check<'_>) {
        for side in ["header", "key", "value"] {
            let prefix = format!("{side}.converter");
            if !check.config.contains_key(&prefix) {
                continue;
            }
            let Some((class, _)) = converter(side, check.config, check.config) else { continue };
            let def = match side {
                "header" => self.plugins.header_converter(class).map(|found| found.config_def),
                _ => self.plugins.converter(class).map(|found| found.config_def),
            };
            for key in def.map(|def| def().keys).unwrap_or_default() {
                check.prefixed_key(&key, &prefix);
                // The worker says it when it makes the converter.
                if key.name == "converter.type"
                    && let Some(info) = check.configs.last_mut()
                {
                    info.value.value = Some(side.to_owned());
                }
            }
        }
    }

    /// `producer.override.` and its like against the worker's policy.
    fn overrides(&self, check: &mut Check<'_>) {
        let policy = self.worker.parsed().string("connector.client.config.override.policy");
        let simple = policy.rsplit('.').next().unwrap_or(policy);
        let policy = simple.strip_suffix("ConnectorClientConfigOverridePolicy").unwrap_or(simple);
        let allowlist = self.worker.parsed().list("connector.client.config.override.allowlist");
        let allowed = |key: &str| match policy {
            "None" => false,
            "Principal" => {
                matches!(key, "sasl.jaas.config" | "sasl.mechanism" | "security.protocol")
            }
            "Allowlist" => allowlist.iter().any(|item| item == key),
            _ => true,
        };
        for client in ["producer.override.", "consumer.override.", "admin.override."] {
            let given: Vec<_> =
                check.config.iter().filter(|(key, _)| key.starts_with(client)).collect();
            for (key, value) in given {
                let secret = ["password", "secret", "jaas", "credential", ".key"];
                let hidden = secret.iter().any(|word| key.contains(word));
                let value = if hidden { "[hidden]".to_owned() } else { value.clone() };
                check.undefined(key, Some(value));
                let bare = &key[client.len()..];
                if !allowed(bare) {
                    check.error(
                        key,
                        format!(
                            "The '{policy}' policy does not allow '{bare}' to be overridden in the \
                             connector configuration."
                        ),
                    );
                }
            }
        }
    }
}

/// The answer while it grows.
struct Check<'a> {
    config: &'a Config,
    configs: Vec<ConfigInfo>,
}

impl Check<'_> {
    /// A key of the framework or of the connector, or one embedded under a prefix, which the
    /// validator does not see.
    fn key(&mut self, key: &ConfigKey, validator_name: &str) {
        let given = self.config.get(&key.name).map(String::as_str);
        let (value, errors) = key.validate(given, validator_name);
        self.push(ConfigKeyInfo::new(key), key, value, errors);
    }

    /// A converter's key: checked without the prefix, shown with it.
    fn prefixed_key(&mut self, key: &ConfigKey, prefix: &str) {
        let mut definition = ConfigKeyInfo::new(key);
        definition.name = format!("{prefix}.{}", key.name);
        let given = self.config.get(&definition.name).map(String::as_str);
        let (value, errors) = key.validate(given, &key.name);
        self.push(definition, key, value, errors);
    }

    fn push(
        &mut self,
        definition: ConfigKeyInfo,
        key: &ConfigKey,
        value: Option<String>,
        errors: Vec<String>,
    ) {
        let value = ConfigValueInfo {
            name: definition.name.clone(),
            value: value.map(|text| shown(key.type_, &text)),
            recommended_values: key.recommended.iter().map(|&text| text.to_owned()).collect(),
            errors,
            visible: true,
        };
        self.configs.push(ConfigInfo { definition: Some(definition), value });
    }

    fn find(&mut self, name: &str) -> Option<&mut ConfigInfo> {
        self.configs.iter_mut().find(|info| info.value.name == name)
    }

    fn undefined(&mut self, name: &str, value: Option<String>) {
        self.configs.push(ConfigInfo {
            definition: None,
            value: ConfigValueInfo {
                name: name.to_owned(),
                value,
                recommended_values: Vec::new(),
                errors: Vec::new(),
                visible: true,
            },
        });
    }

    fn error(&mut self, name: &str, message: String) {
        if self.find(name).is_none() {
            self.undefined(name, None);
        }
        if let Some(info) = self.find(name) {
            info.value.errors.push(message);
        }
    }

    /// The check of a transform's or predicate's configuration as a whole.
    fn whole(&mut self, prefix: &str, check: fn(&Config) -> Vec<ConfigError>) {
        let mut own = Config::new();
        for (key, value) in self.config {
            if let Some(key) = key.strip_prefix(prefix)
                && !matches!(key, "type" | "predicate" | "negate" | "plugin.version")
            {
                own.insert(key.to_owned(), value.clone());
            }
        }
        for error in check(&own) {
            let (bare, full) = (&error.key, format!("{prefix}{}", error.key));
            let bare = format!("configuration {bare}");
            let message = error.message.replacen(&bare, &format!("configuration {full}"), 1);
            self.error(&full, message);
        }
    }

    /// A key without a definition is shown first, as the JVM does.
    fn null(&mut self, key: &str) {
        if self.find(key).is_none() {
            self.undefined(key, None);
            self.configs.rotate_right(1);
        }
        if let Some(info) = self.find(key) {
            info.value.value = None;
            // Null is something given.
            info.value.errors.retain(|error| !error.starts_with("Missing required"));
        }
        self.error(key, "Null value can not be supplied as the configuration value.".to_owned());
    }
}

fn infos(name: String, configs: Vec<ConfigInfo>) -> ConfigInfos {
    let mut groups: Vec<String> = Vec::new();
    let keys = configs.iter().filter_map(|info| info.definition.as_ref());
    for group in keys.filter_map(|key| key.group.as_ref()) {
        if !groups.contains(group) {
            groups.push(group.clone());
        }
    }
    let error_count = configs.iter().map(|info| info.value.errors.len()).sum();
    ConfigInfos { name, error_count, groups, configs }
}

impl ConfigInfo {
    /// The class that was found for the value given, or an error.
    fn class_value(&mut self, found: impl Fn(&str) -> Option<&'static str>) {
        let Some(given) = self.value.value.take() else { return };
        match found(&given) {
            Some(class) => self.value.value = Some(class.to_owned()),
            None => self.value.errors.push(format!(
                "Invalid value {given} for configuration {}: Class {given} could not be found.",
                self.value.name
            )),
        }
    }

    /// The one version that a built-in plug-in has.
    fn set_version(&mut self, version: &str) {
        self.set_default(Some(version.to_owned()));
        self.value.recommended_values = vec![version.to_owned()];
    }

    /// Classes to choose from, in the order of their names.
    fn recommend(&mut self, mut classes: Vec<&str>) {
        classes.sort_unstable();
        self.value.recommended_values = classes.into_iter().map(str::to_owned).collect();
    }

    /// A default that only the worker knows; also the value where none is given.
    fn set_default(&mut self, default: Option<String>) {
        if self.value.value.is_none() && self.value.errors.is_empty() {
            self.value.value.clone_from(&default);
        }
        if let Some(definition) = &mut self.definition {
            definition.default_value = default;
        }
    }
}

fn predicate_reference(check: &mut Check<'_>, prefix: &str) {
    let given = |key: &str| check.config.get(&format!("{prefix}{key}")).map(|text| text.trim());
    let type_key = format!("{prefix}type");
    match given("predicate") {
        None if given("negate").is_some() => {
            let message = format!(
                "Config '{prefix}negate' was provided but there is no config '{prefix}predicate' \
                 defining a predicate to be negated."
            );
            check.error(&type_key, message);
        }
        Some(alias) => {
            let known = check.config.get("predicates").map(|list| split_list(list));
            if !known.unwrap_or_default().iter().any(|known| known == alias) {
                let key = format!("{prefix}predicate");
                let message = format!(
                    "Invalid value {alias} for configuration {key}: there is no such alias in \
                     'predicates'"
                );
                check.error(&key, message);
            }
        }
        None => {}
    }
}

fn sink_topics(check: &mut Check<'_>) {
    let given = |key: &str| check.config.get(key).map(|text| text.trim()).filter(|t| !t.is_empty());
    let (topics, regex) = (given("topics"), given("topics.regex"));
    let dlq = given("errors.deadletterqueue.topic.name").unwrap_or_default().to_owned();
    let both = match (topics, regex) {
        (Some(_), Some(_)) => {
            Some("topics and topics.regex are mutually exclusive options, but both are set.")
        }
        (None, None) => Some("Must configure one of topics or topics.regex"),
        _ => None,
    };
    let listed = topics.map(split_list).unwrap_or_default();
    let matching = regex.filter(|regex| {
        let whole = fancy_regex::Regex::new(&format!("^(?:{regex})$"));
        !dlq.is_empty() && whole.is_ok_and(|whole| whole.is_match(&dlq).unwrap_or(false))
    });
    let matching = matching.map(str::to_owned);
    if let Some(message) = both {
        check.error("topics", message.to_owned());
        check.error("topics.regex", message.to_owned());
        return;
    }
    if listed.contains(&dlq) {
        let listed = listed.join(", ");
        let message = format!(
            "The DLQ topic '{dlq}' may not be included in the list of topics ('topics=[{listed}]') \
             consumed by the connector"
        );
        check.error("topics", message);
    }
    if let Some(regex) = matching {
        let message = format!(
            "The DLQ topic '{dlq}' may not be included in the regex matching topics \
             ('topics.regex={regex}') consumed by the connector"
        );
        check.error("topics.regex", message);
    }
}

/// Groups are looked at only when the connector uses topic creation at all.
fn check_topic_creation(check: &mut Check<'_>) {
    if !check.config.keys().any(|key| key.starts_with("topic.creation.")) {
        return;
    }
    let listed = check.config.get("topic.creation.groups").map(|list| split_list(list));
    let mut groups = vec!["default".to_owned()];
    for group in listed.unwrap_or_default() {
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    for key in groups.iter().flat_map(|group| topic_creation(group)) {
        // As in Java the validators know the key without its group.
        let own = key.name.splitn(4, '.').nth(3).unwrap_or(&key.name);
        check.key(&key, own);
    }
}

#[cfg(test)]
mod tests;
