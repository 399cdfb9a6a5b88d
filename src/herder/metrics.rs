//! What the herder itself knows for the metrics: which connectors and tasks there are, in which
//! state, and how starts went. What tasks count comes from the cores.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::config_def::split_list;
use millrace_api::plugin::Plugins;
use millrace_worker::metrics::{Measurement, ProcessFigures};

use crate::state::State;

/// The answer to [`crate::requests::Request::Metrics`].
pub struct WorkerMetrics {
    pub connectors: Vec<ConnectorMetrics>,
    pub starts: Starts,
    pub process: ProcessFigures,
    /// The cores' answers on their way; `None` where no engine runs.
    pub measurement: Option<Measurement>,
}

/// A connector, its classes and its tasks' states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorMetrics {
    pub name: Arc<str>,
    /// `source` or `sink`.
    pub type_: &'static str,
    /// In lower case, as in the JVM's metrics.
    pub status: String,
    pub version: Cow<'static, str>,
    /// `connector-class`, `task-class`, `key-converter-class` and so on, by attribute.
    pub classes: BTreeMap<&'static str, String>,
    /// Alias and class.
    pub transforms: Vec<(String, String)>,
    pub predicates: Vec<(String, String)>,
    /// Number and status of each task.
    pub tasks: Vec<(u32, String)>,
}

/// Starts since the worker's start, one a connector instance or a task's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    pub connectors: Outcomes,
    pub tasks: Outcomes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub succeeded: u64,
    pub failed: u64,
}

impl Outcomes {
    pub(crate) fn count(&mut self, success: bool) {
        if success {
            self.succeeded += 1;
        } else {
            self.failed += 1;
        }
    }

    pub fn attempts(&self) -> u64 {
        self.succeeded + self.failed
    }
}

/// A connector as a worker of a cluster runs it: what is not here is empty.
pub(crate) struct Local<'a> {
    pub name: Arc<str>,
    pub type_: &'static str,
    /// In lower case; of the instance, or of another worker's.
    pub status: String,
    pub config: &'a Config,
    pub tasks: Vec<(u32, String)>,
}

/// The metrics of one connector of a cluster.
pub(crate) fn local(local: Local<'_>, worker: &Config, plugins: &Plugins) -> ConnectorMetrics {
    let Local { name, type_, status, config, tasks } = local;
    let class = config.get("connector.class").map_or("", |class| class.trim());
    let version = plugins.connector(class).map_or("", |plugin| plugin.version).into();
    ConnectorMetrics {
        name,
        type_,
        status,
        version,
        classes: classes(config, worker, plugins),
        transforms: aliased(config, "transforms"),
        predicates: aliased(config, "predicates"),
        tasks,
    }
}

/// All connectors, by name.
pub(crate) fn connectors(
    state: &State,
    worker: &Config,
    plugins: &Plugins,
) -> Vec<ConnectorMetrics> {
    let of = |name: Arc<str>| {
        let (status, config) = (state.status(&name)?, state.config(&name)?);
        let lower = |state: &str| state.to_ascii_lowercase();
        Some(ConnectorMetrics {
            type_: status.type_,
            status: lower(status.connector.state),
            version: status.connector.version.unwrap_or_default(),
            classes: classes(config, worker, plugins),
            transforms: aliased(config, "transforms"),
            predicates: aliased(config, "predicates"),
            tasks: status
                .tasks
                .iter()
                .filter_map(|task| Some((task.id?, lower(task.state))))
                .collect(),
            name,
        })
    };
    state.names().into_iter().filter_map(of).collect()
}

const SIMPLE_HEADER: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

fn classes(config: &Config, worker: &Config, plugins: &Plugins) -> BTreeMap<&'static str, String> {
    let mut classes = BTreeMap::new();
    let given = |key: &str| config.get(key).or_else(|| worker.get(key)).map(|text| text.trim());
    if let Some(class) = given("connector.class") {
        let plugin = plugins.connector(class);
        let full = plugin.map_or(class, |plugin| plugin.class);
        classes.insert("connector-class", full.to_owned());
        if let Some(plugin) = plugin {
            classes.insert("task-class", plugin.task_class.to_owned());
        }
    }
    for (attribute, key) in [
        ("key-converter-class", "key.converter"),
        ("value-converter-class", "value.converter"),
        ("header-converter-class", "header.converter"),
    ] {
        let default = (key == "header.converter").then_some(SIMPLE_HEADER);
        let Some(class) = given(key).or(default) else { continue };
        let converter = plugins.converter(class).map(|plugin| plugin.class);
        let header = || plugins.header_converter(class).map(|plugin| plugin.class);
        let full = converter.or_else(header).unwrap_or(class);
        classes.insert(attribute, full.to_owned());
    }
    classes
}

/// The aliases of `transforms` or `predicates` with their classes.
fn aliased(config: &Config, key: &str) -> Vec<(String, String)> {
    let aliases = config.get(key).map(|text| split_list(text)).unwrap_or_default();
    let class = |alias: &str| config.get(&format!("{key}.{alias}.type")).map(|text| text.trim());
    aliases.iter().filter_map(|alias| Some((alias.to_string(), class(alias)?.to_owned()))).collect()
}
