//! What only a worker of a cluster checks: names that would meet the workers' own group, and what
//! exactly-once delivery needs.

use millrace_api::connector::{ConnectorPlugin, ExactlyOnceSupport};

use super::{Check, Validator};
use crate::distributed_config::ExactlyOnceSupport as DistributedSupport;

impl Validator {
    pub(super) fn cluster(&self, check: &mut Check<'_>, plugin: &ConnectorPlugin) {
        let Some(group) = self.worker.group_id() else { return };
        if plugin.is_sink() {
            return sink_group(check, group);
        }
        let given = |key: &str| check.config.get(key).map(|value| value.trim().to_owned());
        let required = given("exactly.once.support");
        if required.is_some_and(|value| value.eq_ignore_ascii_case("required")) {
            self.required(check, plugin);
        }
        let boundary = given("transaction.boundary");
        if boundary.is_some_and(|value| value.eq_ignore_ascii_case("connector")) {
            // None of the connectors built in asks for commits by itself.
            check.error(
                "transaction.boundary",
                "The connector does not support connector-defined transaction boundaries with the \
                 given configuration. Please reconfigure it to use a different transaction boundary \
                 definition."
                    .to_owned(),
            );
        }
    }

    fn required(&self, check: &mut Check<'_>, plugin: &ConnectorPlugin) {
        let key = "exactly.once.support";
        if !DistributedSupport::of(&self.worker.properties).is_enabled() {
            let why = "This worker does not have exactly-once source support enabled.";
            check.error(key, why.to_owned());
        }
        let why = match (plugin.connector)().exactly_once_support(check.config) {
            Some(ExactlyOnceSupport::Supported) => return,
            Some(ExactlyOnceSupport::Unsupported) => {
                "The connector does not support exactly-once semantics with the provided \
                 configuration."
            }
            None => {
                "The connector does not implement the API required for preflight validation of \
                 exactly-once source support. Please consult the documentation for the connector to \
                 determine whether it supports exactly-once semantics, and then consider \
                 reconfiguring the connector to use the value \"requested\" for this property (which \
                 will disable this preflight check and allow the connector to be created)."
            }
        };
        check.error(key, why.to_owned());
    }
}

/// A sink's consumers must not join the workers' group.
fn sink_group(check: &mut Check<'_>, group: &str) {
    let own = check.config.get("consumer.override.group.id").cloned();
    match own {
        Some(own) if own == group => check.error(
            "consumer.override.group.id",
            format!("Consumer group {own} conflicts with Connect worker group {group}"),
        ),
        Some(_) => {}
        None => {
            let name = check.config.get("name").cloned().unwrap_or_default();
            if format!("connect-{name}") == group {
                check.error(
                    "name",
                    format!(
                        "Consumer group for sink connector named {name} conflicts with Connect \
                         worker group {group}"
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use millrace_api::Config;

    use crate::rig::plugins;
    use crate::validation::Validator;
    use crate::worker_config::WorkerConfig;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn errors(support: &str, more: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
        let worker = config(&[
            ("bootstrap.servers", "localhost:9092"),
            ("key.converter", "TextConverter"),
            ("value.converter", "TextConverter"),
            ("group.id", "g"),
            ("config.storage.topic", "c"),
            ("offset.storage.topic", "o"),
            ("status.storage.topic", "s"),
            ("exactly.once.source.support", support),
        ]);
        let worker = WorkerConfig::distributed(worker, &plugins()).unwrap();
        let validator = Validator::new(worker, Arc::new(plugins()));
        let mut connector =
            config(&[("name", "a"), ("connector.class", "TextSource"), ("topic", "t")]);
        connector.extend(config(more));
        let infos = validator.validate(&connector).unwrap();
        let wrong = infos.configs.into_iter().filter(|info| !info.value.errors.is_empty());
        wrong.map(|info| (info.value.name, info.value.errors)).collect()
    }

    #[test]
    fn what_exactly_once_needs() {
        let required = [("exactly.once.support", "REQUIRED")];
        let found = errors("preparing", &required);
        assert_eq!(found[0].0, "exactly.once.support");
        assert!(found[0].1[0].contains("does not have exactly-once source support enabled"));
        // The connector of these tests does not say.
        let found = errors("enabled", &required);
        assert_eq!(found[0].1.len(), 1);
        assert!(found[0].1[0].contains("does not implement the API required"), "{found:?}");
        assert_eq!(errors("enabled", &[("exactly.once.support", "requested")]), []);
        let found = errors("disabled", &[("transaction.boundary", "Connector")]);
        assert_eq!(found[0].0, "transaction.boundary");
        assert_eq!(errors("enabled", &[("offsets.storage.topic", "own")]), []);
    }
}
