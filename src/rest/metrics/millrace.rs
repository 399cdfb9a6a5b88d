//! Metrics of our own: latencies, cores, memory, and the process as Prometheus' clients show it.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_herder::measured::{
    Distribution, LatencyStage, LostCores, ProcessFigures, Snapshot, TableFigures,
};

use super::exposition::{Exposition, Kind, Labels};

use Kind::{Counter, Gauge};

/// Upper bounds of the latency buckets, microseconds.
const BOUNDS: [u64; 21] = [
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    3_600_000_000,
];

const LATENCY: (&str, &str) = (
    "millrace_latency_seconds",
    "Times by stage: fetch_wait, poll, convert, put and commit are the task's, a call each; \
     acknowledged is from poll to the brokers' acknowledgement; delivered and durable are the \
     records' ages when put, or acknowledged, and when the sink called them durable.",
);

/// A connector's latencies, its tasks together.
pub(super) fn latency(
    out: &mut Exposition,
    connector: &str,
    times: &BTreeMap<LatencyStage, Distribution>,
) {
    let bounds = BOUNDS.map(|micros| micros as f64 / 1e6);
    for (stage, times) in times {
        let labels: Labels<'_> = &[("connector", connector), ("stage", stage.name())];
        let counts = times.at_most(&BOUNDS);
        let whole = (times.sum() as f64 / 1e6, times.count());
        out.histogram(LATENCY, labels, &bounds, &counts, whole);
    }
}

/// How busy each core was between two answers.
pub(super) type Shares = BTreeMap<usize, f64>;

/// CPU time of each core's thread, which is named after its CPU.
pub(super) fn busy(process: &ProcessFigures) -> BTreeMap<usize, Duration> {
    let core = |name: &str| name.strip_prefix("core-")?.parse().ok();
    process.threads.iter().filter_map(|(name, used)| Some((core(name)?, *used))).collect()
}

pub(super) fn cores(
    out: &mut Exposition,
    snapshot: &Snapshot,
    process: &ProcessFigures,
    shares: &Shares,
) {
    let busy = busy(process);
    for core in &snapshot.cores {
        let cpu = core.cpu.to_string();
        let labels: Labels<'_> = &[("core", &cpu)];
        let help = "CPU time that the core has used; its rate is the share that it is busy.";
        let used = busy.get(&core.cpu).copied().unwrap_or_default().as_secs_f64();
        out.add("millrace_core_cpu_seconds_total", Counter, help, labels, used);
        let help = "Tasks whose figures the core holds.";
        out.add("millrace_core_tasks", Gauge, help, labels, core.tasks.len() as f64);
        if let Some(share) = shares.get(&core.cpu) {
            let help = "Share of a CPU, 0 to 1, that the core used since it was asked last.";
            out.add("millrace_core_busy_ratio", Gauge, help, labels, *share);
        }
    }
    let help = "Cores that did not answer in time; their tasks are absent here.";
    out.add("millrace_cores_missing", Gauge, help, &[], snapshot.missing as f64);
    for (id, task) in snapshot.tasks() {
        let number = id.task.to_string();
        let labels: Labels<'_> = &[("connector", &id.connector), ("task", &number)];
        let figures = &task.figures;
        let help = "Records that a transform or a tolerated error dropped.";
        let dropped = figures.dropped as f64;
        out.add("millrace_task_dropped_records_total", Counter, help, labels, dropped);
        let help = "Bytes of keys and values, uncompressed: read by a sink, written by a source.";
        out.add("millrace_task_bytes_total", Counter, help, labels, figures.bytes as f64);
        let help = "Memory of converted values.";
        out.add("millrace_task_arena_bytes", Gauge, help, labels, figures.memory.arena as f64);
        let help = "Memory of fetched records, or of records that are not acknowledged.";
        out.add("millrace_task_buffer_bytes", Gauge, help, labels, figures.memory.buffers as f64);
        let help = "Memory that the task holds in all, as far as Rust code allocated it.";
        let allocated = figures.memory.allocated as f64;
        out.add("millrace_task_allocated_bytes", Gauge, help, labels, allocated);
        tables(out, &id.connector, &number, &figures.tables);
        if let Some(producer) = &figures.producer {
            let help = "Bytes of batches sent, compressed.";
            let bytes = producer.bytes as f64;
            out.add("millrace_producer_sent_bytes_total", Counter, help, labels, bytes);
            let help = "Batches sent again.";
            let retries = producer.retries as f64;
            out.add("millrace_producer_batch_retries_total", Counter, help, labels, retries);
        }
    }
}

/// Cores whose place was taken by others.
pub(super) fn lost(out: &mut Exposition, lost: LostCores) {
    let help = "Cores that a task did not give back and that were replaced.";
    out.add("millrace_lost_cores_total", Counter, help, &[], lost.total as f64);
    let help = "Lost cores whose threads have not ended; 8 at most.";
    out.add("millrace_lost_cores", Gauge, help, &[], lost.left as f64);
}

/// The tables that a task's transforms join with.
fn tables(out: &mut Exposition, connector: &str, task: &str, tables: &[TableFigures]) {
    for table in tables {
        let transform = table.transform.as_str();
        let labels: Labels<'_> =
            &[("connector", connector), ("task", task), ("transform", transform)];
        for (result, count) in [("hit", table.hits), ("miss", table.misses)] {
            let help = "Records for which a row was looked up.";
            let labels: Labels<'_> = &[
                ("connector", connector),
                ("task", task),
                ("transform", transform),
                ("result", result),
            ];
            out.add("millrace_table_lookups_total", Counter, help, labels, count as f64);
        }
        let help = "Rows of the table.";
        out.add("millrace_table_rows", Gauge, help, labels, table.rows as f64);
        let help = "Memory of the table, which tasks of one core may share.";
        out.add("millrace_table_bytes", Gauge, help, labels, table.bytes as f64);
        let help = "Records of the table's topic that were no rows.";
        let refused = table.refused as f64;
        out.add("millrace_table_refused_records_total", Counter, help, labels, refused);
        let help = "Keys that the table's database was asked for.";
        out.add("millrace_table_queries_total", Counter, help, labels, table.asked as f64);
    }
}

pub(super) fn process(out: &mut Exposition, process: &ProcessFigures, version: &str) {
    let seconds = Duration::as_secs_f64;
    let cpu = seconds(&process.cpu);
    out.add("process_cpu_seconds_total", Counter, "CPU time of the process.", &[], cpu);
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Resident memory.", process.resident_bytes as f64),
        ("process_virtual_memory_bytes", "Virtual memory.", process.virtual_bytes as f64),
        ("process_open_fds", "Open file descriptors.", process.open_files as f64),
        ("process_start_time_seconds", "Start, seconds since 1970.", process.started),
    ] {
        out.add(name, Gauge, help, &[], value);
    }
    for (thread, used) in &process.threads {
        let help = "CPU time of threads by name; core-<CPU> are the data cores.";
        let labels: Labels<'_> = &[("thread", thread)];
        out.add("millrace_thread_cpu_seconds_total", Counter, help, labels, seconds(used));
    }
    out.add("millrace_build_info", Gauge, "The version.", &[("version", version)], 1.0);
}
