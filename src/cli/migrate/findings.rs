//! What the cluster has against what is built in.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_api::Config;
use millrace_api::plugin::Plugins;
use millrace_herder::membership::outlook::GroupOutlook;
use millrace_herder::stores::snapshot::TopicSize;
use millrace_herder::validation::Validator;
use millrace_herder::worker_config::WorkerConfig;
use serde::Serialize;

use super::cluster::{Cluster, Connector};

/// The three answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    RunsAsItIs,
    RunsDifferently,
    CannotRun,
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::RunsAsItIs => "runs as it is",
            Self::RunsDifferently => "runs, with differences",
            Self::CannotRun => "cannot run",
        }
    }
}

/// One thing of note.
#[derive(Debug, Serialize)]
struct Finding {
    verdict: Verdict,
    text: String,
}

#[derive(Debug, Serialize)]
struct Judged {
    class: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    failed_tasks: usize,
    findings: Vec<Finding>,
}

/// Everything, to be shown.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    worker: Vec<Finding>,
    connectors: BTreeMap<String, Judged>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupOutlook>,
    topics: Vec<TopicSize>,
    notes: Vec<String>,
}

/// Keys of connectors that clients or plug-ins read by their beginnings.
const PREFIXES: &[&str] = &[
    "key.converter.",
    "value.converter.",
    "header.converter.",
    "producer.override.",
    "consumer.override.",
    "admin.override.",
    "topic.creation.",
    "transforms.",
    "predicates.",
];
/// Converters of the worker that may be replaced while the rest of its file is looked at.
const CONVERTERS: [&str; 3] = ["key.converter", "value.converter", "header.converter"];
/// Always there.
const STAND_IN: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";

impl Report {
    pub fn new(file: &Config, plugins: &Arc<Plugins>, mut cluster: Cluster) -> Self {
        let (worker, config) = judge_worker(file, plugins);
        let lost: Vec<&str> = CONVERTERS
            .into_iter()
            .filter(|key| worker.iter().any(|one| names(&one.text, key)))
            .collect();
        let validator = config.map(|config| Validator::new(config, Arc::clone(plugins)));
        let known = std::mem::take(&mut cluster.connectors);
        let judged = known.into_iter().map(|(name, connector)| {
            let judged = judge(connector, validator.as_ref(), plugins, &lost);
            (name, judged)
        });
        let connectors = judged.collect();
        let Cluster { version, group, topics, notes, .. } = cluster;
        Self { version, worker, connectors, group, topics, notes }
    }

    /// Connectors that cannot run.
    pub fn lacking(&self) -> usize {
        self.connectors.values().filter(|one| one.verdict == Verdict::CannotRun).count()
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self)
            .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut say = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        if let Some(version) = &self.version {
            say(format!("The cluster runs Kafka Connect {version}."));
        }
        self.surroundings().into_iter().for_each(&mut say);
        for note in &self.notes {
            say(format!("Note: {note}"));
        }
        if !self.worker.is_empty() {
            say("The worker's file:".to_owned());
            self.worker.iter().for_each(|one| say(format!("  - {}", one.text)));
        }
        for (name, one) in &self.connectors {
            let state = one.state.as_deref().map(|state| format!(", {state}")).unwrap_or_default();
            say(format!("{name} ({}{state}): {}", one.class, one.verdict.words()));
            if one.failed_tasks > 0 {
                say(format!("  - {} of its tasks have failed there", one.failed_tasks));
            }
            one.findings.iter().for_each(|finding| say(format!("  - {}", finding.text)));
        }
        let count = |verdict| self.connectors.values().filter(|one| one.verdict == verdict).count();
        say(format!(
            "{} connectors: {} run as they are, {} with differences, {} cannot run. Nothing was \
             changed.",
            self.connectors.len(),
            count(Verdict::RunsAsItIs),
            count(Verdict::RunsDifferently),
            count(Verdict::CannotRun)
        ));
        text
    }
}

impl Report {
    /// The group and the internal topics.
    fn surroundings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(group) = self.group.as_ref().filter(|group| !group.workers.is_empty()) {
            let GroupOutlook { group, state, protocol, workers, .. } = group;
            lines.push(format!("The group {group} is {state} ({protocol}); its workers:"));
            for worker in workers {
                let leads = if worker.leads { ", leads" } else { "" };
                let (connectors, tasks) = (worker.connectors, worker.tasks);
                lines.push(format!(
                    "  - {}: {connectors} connectors, {tasks} tasks{leads}",
                    worker.url
                ));
            }
        }
        for TopicSize { name, partitions, records, bytes, .. } in &self.topics {
            lines.push(format!(
                "The topic {name}: {partitions} partitions, {records} records, {bytes} bytes."
            ));
        }
        lines
    }
}

fn names(text: &str, key: &str) -> bool {
    text.contains(&format!("configuration {key}:"))
}

/// What is wrong with the worker's file, and the rest of it as a configuration.
fn judge_worker(file: &Config, plugins: &Plugins) -> (Vec<Finding>, Option<WorkerConfig>) {
    let distributed = file.contains_key("group.id");
    let check = |file: Config| match distributed {
        true => WorkerConfig::distributed(file, plugins),
        false => WorkerConfig::standalone(file, plugins),
    };
    let differs = |text: String| Finding { verdict: Verdict::RunsDifferently, text };
    let mut findings = Vec::new();
    let mut file = file.clone();
    let mut config = None;
    // What is refused is told and left out, so that the rest can be looked at.
    for _ in 0..2 {
        match check(file.clone()) {
            Ok(found) => {
                config = Some(found);
                break;
            }
            Err(errors) => {
                for error in errors {
                    match CONVERTERS.contains(&error.key.as_str()) {
                        true => drop(file.insert(error.key.clone(), STAND_IN.to_owned())),
                        false => drop(file.remove(&error.key)),
                    }
                    let text = error.message;
                    findings.push(Finding { verdict: Verdict::CannotRun, text });
                }
            }
        }
    }
    for key in config.iter().flat_map(|config| &config.ignored) {
        findings.push(differs(format!("{key} is not known and is ignored")));
    }
    if file.get("plugin.path").is_some_and(|path| !path.trim().is_empty()) {
        let text = "plugin.path is ignored: plug-ins are built in, Java's cannot be loaded";
        findings.push(differs(text.to_owned()));
    }
    (findings, config)
}

fn judge(
    connector: Connector,
    validator: Option<&Validator>,
    plugins: &Plugins,
    lost: &[&str],
) -> Judged {
    let Connector { config, state, failed_tasks } = connector;
    let class = config.get("connector.class").map(|class| class.trim().to_owned());
    let class = class.unwrap_or_default();
    let mut findings = Vec::new();
    let mut find = |verdict, text: String| findings.push(Finding { verdict, text });
    if plugins.connector(&class).is_none() {
        find(Verdict::CannotRun, format!("{class} is not built in"));
    }
    for key in lost.iter().filter(|key| !config.contains_key(**key)) {
        find(Verdict::CannotRun, format!("it takes the worker's {key}, which is not built in"));
    }
    match validator {
        None => find(Verdict::RunsDifferently, "not checked: see the worker's file".to_owned()),
        Some(validator) if plugins.connector(&class).is_none() => {
            let infos = validator.validate_chain(&config);
            for error in infos.configs.into_iter().flat_map(|info| info.value.errors) {
                find(Verdict::CannotRun, error);
            }
        }
        Some(validator) => match validator.validate(&config) {
            Err(error) => find(Verdict::CannotRun, error.message),
            Ok(infos) => {
                let known = |key: &str| infos.configs.iter().any(|info| info.value.name == key);
                let def = plugins.connector(&class).map(|plugin| (plugin.config_def)());
                let own = def.map(|def| def.prefixes).unwrap_or_default();
                let known =
                    |key: &str| known(key) || own.iter().any(|prefix| key.starts_with(prefix));
                for key in config.keys().filter(|key| !known(key) && !is_prefixed(key)) {
                    find(Verdict::RunsDifferently, format!("{key} is not known and is ignored"));
                }
                for error in infos.configs.iter().flat_map(|info| &info.value.errors) {
                    find(Verdict::CannotRun, error.clone());
                }
            }
        },
    }
    for key in config.keys().filter(|key| key.ends_with("plugin.version")) {
        find(Verdict::RunsDifferently, format!("{key}: there is one version of each plug-in"));
    }
    let verdict = findings.iter().map(|one| one.verdict).max().unwrap_or(Verdict::RunsAsItIs);
    Judged { class, verdict, state, failed_tasks, findings }
}

fn is_prefixed(key: &str) -> bool {
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plugins;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn report(converter: &str, connectors: &[(&str, &[(&str, &str)])]) -> Report {
        let worker = config(&[
            ("bootstrap.servers", "localhost:9092"),
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter", converter),
            ("offset.storage.file.filename", "/tmp/x"),
            ("plugin.path", "/opt/plugins"),
        ]);
        let connector = |(name, pairs): &(&str, &[(&str, &str)])| {
            let config = config(pairs);
            ((*name).to_owned(), Connector { config, ..Connector::default() })
        };
        let connectors = connectors.iter().map(connector).collect();
        let cluster = Cluster { connectors, ..Cluster::default() };
        Report::new(&worker, &plugins::gather(), cluster)
    }

    const SINK: [(&str, &str); 4] =
        [("name", "a"), ("connector.class", "FileStreamSink"), ("topics", "t"), ("file", "/tmp/y")];

    #[test]
    fn each_connector_gets_its_verdict() {
        let odd = [&SINK[..], &[("surprise", "1")]].concat();
        let wrong = [&SINK[..], &[("transforms", "x"), ("transforms.x.type", "com.Mine")]].concat();
        let json = "org.apache.kafka.connect.json.JsonConverter";
        let report = report(
            json,
            &[
                ("good", &SINK),
                ("odd", &odd),
                ("wrong", &wrong),
                ("gone", &[("name", "b"), ("connector.class", "com.example.Gone")]),
            ],
        );
        let of = |name: &str| report.connectors[name].verdict;
        assert_eq!(of("good"), Verdict::RunsAsItIs, "{:?}", report.connectors["good"]);
        assert_eq!(of("odd"), Verdict::RunsDifferently);
        assert_eq!(of("wrong"), Verdict::CannotRun);
        assert_eq!(of("gone"), Verdict::CannotRun);
        assert_eq!(report.lacking(), 2);
        let text = report.text();
        for line in [
            "plugin.path is ignored",
            "good (FileStreamSink): runs as it is",
            "surprise is not known and is ignored",
            "Class com.Mine could not be found",
            "com.example.Gone is not built in",
            "4 connectors: 1 run as they are, 1 with differences, 2 cannot run.",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["connectors"]["good"]["verdict"], "runs-as-it-is");
    }

    #[test]
    fn a_converter_that_is_not_built_in_concerns_those_that_use_it() {
        let own = [&SINK[..], &[("value.converter", STAND_IN)]].concat();
        let report = report("com.example.Proto", &[("uses", &SINK), ("own", &own)]);
        assert_eq!(report.connectors["uses"].verdict, Verdict::CannotRun);
        assert_eq!(report.connectors["own"].verdict, Verdict::RunsAsItIs);
        assert!(report.text().contains("com.example.Proto could not be found"));
    }
}
