//! What the herder itself knows for the metrics: which connectors and tasks there are, in which
//! state, and how starts went. What tasks count comes from the cores.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use millrace_api::Config;
use millrace_api::config_def::split_list;
use millrace_api::plugin::Plugins;
use millrace_worker::metrics::{Measurement, ProcessFigures, Sampled, Sampling, Windows};

use crate::state::State;

/// The answer to [`crate::requests::Request::Metrics`].
pub struct WorkerMetrics {
    pub connectors: Vec<ConnectorMetrics>,
    pub starts: Starts,
    /// Of a worker of a cluster.
    pub rebalances: Option<RebalanceFigures>,
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

/// `connect-worker-rebalance-metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct RebalanceFigures {
    /// `EAGER`, `COMPATIBLE` or `SESSIONED`.
    pub protocol: &'static str,
    /// The leader's address; empty while none is known.
    pub leader: String,
    /// The group's generation, -1 before the first.
    pub epoch: i32,
    pub completed: u64,
    pub rebalancing: bool,
    /// Of those that came to their end, milliseconds.
    pub time: Sampling,
    /// Infinite before the first.
    pub since_last_ms: f64,
}

/// Rebalances as the herder lives through them.
pub(crate) struct Rebalances {
    windows: Windows,
    completed: u64,
    began: Option<Instant>,
    last: Option<Instant>,
    times: Sampled,
}

impl Rebalances {
    pub fn new(worker: &Config) -> Self {
        let windows = Windows::of(worker);
        Self { windows, completed: 0, began: None, last: None, times: Sampled::default() }
    }

    /// One begins, unless one is under way that has not come to its end.
    pub fn begin(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    pub fn end(&mut self, now: Instant) {
        let Some(began) = self.began.take() else { return };
        self.completed += 1;
        self.last = Some(now);
        let took = now.saturating_duration_since(began);
        self.times.record(self.windows, now, took.as_secs_f64() * 1000.0);
    }

    pub fn figures(
        &self,
        protocol: &'static str,
        leader: String,
        epoch: i32,
        now: Instant,
    ) -> RebalanceFigures {
        let since = |last: Instant| now.saturating_duration_since(last).as_secs_f64() * 1000.0;
        RebalanceFigures {
            protocol,
            leader,
            epoch,
            completed: self.completed,
            rebalancing: self.began.is_some(),
            time: Sampling {
                average: self.times.average(self.windows, now),
                most: self.times.most(self.windows, now),
            },
            since_last_ms: self.last.map_or(f64::INFINITY, since),
        }
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
