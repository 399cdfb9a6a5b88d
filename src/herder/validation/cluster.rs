//! What only a worker of a cluster checks: names that would meet the workers' own group, and what is
//! not supported there.

use millrace_api::connector::ConnectorPlugin;

use super::{Check, Validator};

impl Validator {
    pub(super) fn cluster(&self, check: &mut Check<'_>, plugin: &ConnectorPlugin) {
        let Some(group) = self.worker.group_id() else { return };
        if plugin.is_sink() {
            return sink_group(check, group);
        }
        let given = |key: &str| check.config.get(key).map(|value| value.trim().to_owned());
        if let Some(topic) = given("offsets.storage.topic").filter(|topic| !topic.is_empty()) {
            check.error(
                "offsets.storage.topic",
                format!(
                    "Invalid value {topic} for configuration offsets.storage.topic: an offsets topic \
                     of the connector's own is not supported yet; remove the key to use the worker's"
                ),
            );
        }
        let required = given("exactly.once.support");
        if required.is_some_and(|value| value.eq_ignore_ascii_case("required")) {
            check.error(
                "exactly.once.support",
                "This worker does not have exactly-once source support enabled.".to_owned(),
            );
        }
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
