//! Kafka Connect's own metrics under the names that `jmx_exporter` gives them without rules: of
//! `kafka.connect:type=sink-task-metrics,connector=c,task=0`, attribute `sink-record-read-total`,
//! that is `kafka_connect_sink_task_metrics_sink_record_read_total{connector="c",task="0"}`.
//! Attributes that are texts become a sample of value 1 with the text in a label of the
//! attribute's name.

use millrace_herder::measured::{TaskFigures, TaskSnapshot};
use millrace_herder::metrics::{ConnectorMetrics, Outcomes, RebalanceFigures, Starts};

use super::exposition::{Exposition, Kind, Labels};

use Kind::{Counter, Gauge, Unknown};

/// Attribute, kind, help, value.
type Row = (&'static str, Kind, &'static str, f64);

/// The rows of one MBean.
fn bean(out: &mut Exposition, type_: &str, labels: Labels<'_>, rows: &[Row]) {
    for (attribute, kind, help, value) in rows {
        out.add(&name("connect", type_, attribute), *kind, help, labels, *value);
    }
}

fn name(domain: &str, type_: &str, attribute: &str) -> String {
    format!("kafka_{domain}_{type_}_{attribute}").replace('-', "_")
}

/// An attribute that is a text.
fn text(
    out: &mut Exposition,
    type_: &str,
    labels: Labels<'_>,
    (attribute, help, value): (&str, &'static str, &str),
) {
    let label = attribute.replace('-', "_");
    let mut labels = labels.to_vec();
    labels.push((&label, value));
    out.add(&name("connect", type_, attribute), Gauge, help, &labels, 1.0);
}

/// `connect-worker-metrics` of the whole worker.
pub(super) fn worker(out: &mut Exposition, connectors: &[ConnectorMetrics], starts: &Starts) {
    const TYPE: &str = "connect-worker-metrics";
    let tasks: usize = connectors.iter().map(|connector| connector.tasks.len()).sum();
    bean(
        out,
        TYPE,
        &[],
        &[
            ("connector-count", Gauge, "Connectors of this worker.", connectors.len() as f64),
            ("task-count", Gauge, "Tasks of this worker.", tasks as f64),
        ],
    );
    let share = |part: u64, of: &Outcomes| part as f64 / of.attempts().max(1) as f64;
    let rows = |of: &Outcomes| {
        [
            of.attempts() as f64,
            of.succeeded as f64,
            of.failed as f64,
            share(of.succeeded, of),
            share(of.failed, of),
        ]
    };
    let [attempts, succeeded, failed, success, failure] = rows(&starts.connectors);
    bean(
        out,
        TYPE,
        &[],
        &[
            ("connector-startup-attempts-total", Counter, "Starts of connectors.", attempts),
            ("connector-startup-success-total", Counter, "Starts that succeeded.", succeeded),
            ("connector-startup-failure-total", Counter, "Starts that failed.", failed),
            ("connector-startup-success-percentage", Gauge, "Their share, 0 to 1.", success),
            ("connector-startup-failure-percentage", Gauge, "Their share, 0 to 1.", failure),
        ],
    );
    let [attempts, succeeded, failed, success, failure] = rows(&starts.tasks);
    bean(
        out,
        TYPE,
        &[],
        &[
            ("task-startup-attempts-total", Counter, "Starts of tasks.", attempts),
            ("task-startup-success-total", Counter, "Starts that succeeded.", succeeded),
            ("task-startup-failure-total", Counter, "Starts that failed.", failed),
            ("task-startup-success-percentage", Gauge, "Their share, 0 to 1.", success),
            ("task-startup-failure-percentage", Gauge, "Their share, 0 to 1.", failure),
        ],
    );
}

/// `connect-worker-rebalance-metrics` of a worker of a cluster.
pub(super) fn rebalances(out: &mut Exposition, figures: &RebalanceFigures) {
    const TYPE: &str = "connect-worker-rebalance-metrics";
    text(out, TYPE, &[], ("connect-protocol", "How the group shares out.", figures.protocol));
    text(out, TYPE, &[], ("leader-name", "The leader's address.", &figures.leader));
    let rebalancing = f64::from(u8::from(figures.rebalancing));
    let (average, most) = (figures.time.average, figures.time.most);
    bean(
        out,
        TYPE,
        &[],
        &[
            ("epoch", Gauge, "The group's generation.", f64::from(figures.epoch)),
            ("completed-rebalances-total", Counter, "Rebalances.", figures.completed as f64),
            ("rebalancing", Gauge, "1 while one is under way.", rebalancing),
            ("rebalance-avg-time-ms", Gauge, "Time of a rebalance.", average),
            ("rebalance-max-time-ms", Gauge, "Time of the slowest.", most),
            ("time-since-last-rebalance-ms", Gauge, "Since the last.", figures.since_last_ms),
        ],
    );
}

/// `connector-metrics`, and the connector's `connect-worker-metrics`.
pub(super) fn connector(out: &mut Exposition, connector: &ConnectorMetrics) {
    let labels: Labels<'_> = &[("connector", &connector.name)];
    let class = connector.classes.get("connector-class").map_or("", String::as_str);
    for row in [
        ("status", "The connector's state.", connector.status.as_str()),
        ("connector-type", "Source or sink.", connector.type_),
        ("connector-class", "The connector's class.", class),
        ("connector-version", "The connector's version.", &connector.version),
    ] {
        text(out, "connector-metrics", labels, row);
    }
    let count =
        |state: &str| connector.tasks.iter().filter(|(_, status)| status == state).count() as f64;
    bean(
        out,
        "connect-worker-metrics",
        labels,
        &[
            ("connector-total-task-count", Gauge, "Tasks.", connector.tasks.len() as f64),
            ("connector-running-task-count", Gauge, "Running tasks.", count("running")),
            ("connector-paused-task-count", Gauge, "Paused tasks.", count("paused")),
            ("connector-failed-task-count", Gauge, "Failed tasks.", count("failed")),
            ("connector-unassigned-task-count", Gauge, "Unassigned.", count("unassigned")),
            ("connector-destroyed-task-count", Gauge, "Destroyed tasks.", count("destroyed")),
            ("connector-restarting-task-count", Gauge, "Restarting.", count("restarting")),
        ],
    );
}

/// What the herder knows of a task.
pub(super) fn task_info(out: &mut Exposition, of: &ConnectorMetrics, task: &str, status: &str) {
    let labels: Labels<'_> = &[("connector", &of.name), ("task", task)];
    let mut rows = vec![
        ("status", "The task's state.", status),
        ("connector-type", "Source or sink.", of.type_),
        ("connector-version", "The connector's version.", &of.version),
        ("task-version", "The task's version.", &of.version),
    ];
    rows.extend(of.classes.iter().map(|(key, class)| (*key, "A class of the task's.", &**class)));
    for row in rows {
        text(out, "connector-task-metrics", labels, row);
    }
    for (type_, kind, list) in [
        ("connector-transform-metrics", "transform", &of.transforms),
        ("connector-predicate-metrics", "predicate", &of.predicates),
    ] {
        let class = format!("{kind}-class");
        for (alias, value) in list {
            let labels = &[("connector", &*of.name), ("task", task), (kind, alias)];
            text(out, type_, labels, (&class, "The class behind the alias.", value));
        }
    }
}

/// `connector-task-metrics`, `task-error-metrics` and those of its kind, of one task.
pub(super) fn task(out: &mut Exposition, of: &ConnectorMetrics, task: &TaskSnapshot) {
    let number = task.id.task.to_string();
    let labels: Labels<'_> = &[("connector", &of.name), ("task", &number)];
    let figures = &task.figures;
    bean(out, "connector-task-metrics", labels, &task_rows(figures));
    bean(out, "task-error-metrics", labels, &error_rows(figures));
    if of.type_ == "sink" {
        bean(out, "sink-task-metrics", labels, &sink_rows(figures));
    } else {
        bean(out, "source-task-metrics", labels, &source_rows(figures));
    }
    clients(out, &of.name, &number, figures);
}

fn task_rows(task: &TaskFigures) -> [Row; 8] {
    [
        ("running-ratio", Gauge, "Share of its life that the task ran.", task.running_ratio),
        ("pause-ratio", Gauge, "Share of its life that it was paused.", task.pause_ratio),
        ("batch-size-avg", Gauge, "Records a batch.", task.batch_size.average),
        ("batch-size-max", Gauge, "Records of the largest batch.", task.batch_size.most),
        ("offset-commit-avg-time-ms", Gauge, "Time of a commit.", task.commit_time.average),
        ("offset-commit-max-time-ms", Gauge, "Time of the slowest.", task.commit_time.most),
        ("offset-commit-success-percentage", Gauge, "Share, 0 to 1.", task.commit_success),
        ("offset-commit-failure-percentage", Gauge, "Share, 0 to 1.", task.commit_failure),
    ]
}

fn error_rows(task: &TaskFigures) -> [Row; 8] {
    let errors = &task.errors;
    [
        ("total-record-failures", Unknown, "Failed tries of a step.", errors.failures as f64),
        ("total-record-errors", Unknown, "Records that failed.", errors.errors as f64),
        ("total-records-skipped", Unknown, "Records skipped by errors.", errors.skipped as f64),
        ("total-retries", Unknown, "Steps tried again.", errors.retries as f64),
        ("total-errors-logged", Unknown, "Errors written to the log.", errors.logged as f64),
        (
            "deadletterqueue-produce-requests",
            Unknown,
            "Records for the dead letter queue.",
            errors.dead_letters as f64,
        ),
        (
            "deadletterqueue-produce-failures",
            Unknown,
            "Records that it did not take.",
            errors.dead_letter_failures as f64,
        ),
        ("last-error-timestamp", Gauge, "Milliseconds since 1970, or 0.", errors.last as f64),
    ]
}

fn sink_rows(task: &TaskFigures) -> Vec<Row> {
    let active = task.active_sampled;
    vec![
        ("sink-record-read-total", Counter, "Records from Kafka.", task.read.total as f64),
        ("sink-record-read-rate", Gauge, "Records a second.", task.read.rate),
        ("sink-record-send-total", Counter, "Records put.", task.sent.total as f64),
        ("sink-record-send-rate", Gauge, "Records a second.", task.sent.rate),
        ("sink-record-active-count", Gauge, "Read, not committed.", task.active as f64),
        ("sink-record-active-count-max", Gauge, "The most lately.", active.most),
        ("sink-record-active-count-avg", Gauge, "On average lately.", active.average),
        ("partition-count", Gauge, "Assigned partitions.", task.partitions as f64),
        ("offset-commit-seq-no", Gauge, "Number of the last commit.", task.commit_seq_no as f64),
        ("offset-commit-completion-total", Counter, "Commits done.", task.commits.total as f64),
        ("offset-commit-completion-rate", Gauge, "Commits a second.", task.commits.rate),
        // A commit is awaited here before the next begins, so that none can come too late.
        ("offset-commit-skip-total", Counter, "Commits that came too late.", 0.0),
        ("offset-commit-skip-rate", Gauge, "Of those a second.", 0.0),
        ("put-batch-avg-time-ms", Gauge, "Time of a put.", task.batch_time.average),
        ("put-batch-max-time-ms", Gauge, "Time of the slowest.", task.batch_time.most),
    ]
}

fn source_rows(task: &TaskFigures) -> Vec<Row> {
    let active = task.active_sampled;
    let mut rows = vec![
        ("source-record-poll-total", Counter, "Records polled.", task.read.total as f64),
        ("source-record-poll-rate", Gauge, "Records a second.", task.read.rate),
        ("source-record-write-total", Counter, "Acknowledged records.", task.sent.total as f64),
        ("source-record-write-rate", Gauge, "Records a second.", task.sent.rate),
        ("source-record-active-count", Gauge, "Not acknowledged yet.", task.active as f64),
        ("source-record-active-count-max", Gauge, "The most lately.", active.most),
        ("source-record-active-count-avg", Gauge, "On average lately.", active.average),
        ("poll-batch-avg-time-ms", Gauge, "Time of a poll.", task.batch_time.average),
        ("poll-batch-max-time-ms", Gauge, "Time of the slowest.", task.batch_time.most),
    ];
    if let Some(sizes) = task.transactions {
        rows.extend([
            ("transaction-size-min", Gauge, "Records of the smallest transaction.", sizes.least),
            ("transaction-size-avg", Gauge, "Records a transaction.", sizes.average),
            ("transaction-size-max", Gauge, "Records of the largest transaction.", sizes.most),
        ]);
    }
    rows
}

/// The clients' figures that we have, under the Java clients' names.
fn clients(out: &mut Exposition, connector: &str, task: &str, figures: &TaskFigures) {
    if let Some(producer) = &figures.producer {
        let client = format!("connector-producer-{connector}-{task}");
        let labels: Labels<'_> = &[("client_id", &client)];
        for (attribute, help, value) in [
            ("record-send-total", "Records that the brokers acknowledged.", producer.sent),
            ("record-error-total", "Records given up.", producer.errors),
            ("request-total", "Produce requests.", producer.requests),
        ] {
            let name = name("producer", "producer-metrics", attribute);
            out.add(&name, Counter, help, labels, value as f64);
        }
        return;
    }
    const FETCH: &str = "consumer-fetch-manager-metrics";
    let client = format!("connector-consumer-{connector}-{task}");
    let labels: Labels<'_> = &[("client_id", &client)];
    let read = &figures.read;
    let consumed = |attribute| name("consumer", FETCH, attribute);
    let (total, rate) = (consumed("records-consumed-total"), consumed("records-consumed-rate"));
    out.add(&total, Counter, "Records from Kafka.", labels, read.total as f64);
    out.add(&rate, Gauge, "Records a second.", labels, read.rate);
    let assigned = name("consumer", "consumer-coordinator-metrics", "assigned-partitions");
    out.add(&assigned, Gauge, "Assigned partitions.", labels, figures.partitions as f64);
    let most = figures.lags.iter().map(|(_, _, lag)| *lag as f64).fold(f64::NAN, f64::max);
    let help = "Records that the broker has beyond the position, of the partition with the most.";
    out.add(&consumed("records-lag-max"), Gauge, help, labels, most);
    for (topic, partition, lag) in &figures.lags {
        let partition = partition.to_string();
        let labels = &[("client_id", &*client), ("topic", topic), ("partition", &partition)];
        let help = "Records that the broker has beyond the position.";
        out.add(&consumed("records-lag"), Gauge, help, labels, *lag as f64);
    }
}
