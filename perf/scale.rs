//! `perf cores` and `perf tasks`: what a record costs on more cores, and in more tasks.

use crate::bench::{self, median};
use crate::rig::kafka::Kafka;
use crate::{life, ours, table};

const BYTES: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";

/// The null sink over JSON, as its own bench run.
fn measure(
    servers: &str,
    topic: &str,
    tasks: u32,
    worker: &[(&str, &str)],
    more: &[&str],
) -> serde_json::Value {
    let tasks = tasks.to_string();
    let connector = [
        ("name", topic),
        ("connector.class", "millrace.NullSinkConnector"),
        ("topics", topic),
        ("tasks.max", tasks.as_str()),
    ];
    let mut all = vec!["--bootstrap-servers", servers, "--use-topic"];
    all.extend_from_slice(more);
    bench::run(&connector, worker, &all)
}

/// Fills a topic by the bench itself, with one throw-away run.
pub fn fill(servers: &str, topic: &str, partitions: u32, records: u64) {
    let (partitions, records) = (partitions.to_string(), records.to_string());
    let connector =
        [("name", topic), ("connector.class", "millrace.NullSinkConnector"), ("topics", topic)];
    let worker = [("key.converter", BYTES), ("value.converter", BYTES)];
    let more = ["--bootstrap-servers", servers, "--runs", "1", "--records", &records];
    let mut more = more.to_vec();
    more.extend(["--partitions", &partitions]);
    bench::run(&connector, &worker, &more);
}

/// One core and two: records a second, and what a record costs. Once where the broker has as much to
/// do as the worker, once where the worker has by far the most, and once where it has all but all.
pub fn cores(records: u64, runs: usize) {
    let kafka = Kafka::start();
    let servers = kafka.bootstrap();
    fill(&servers, "perf-cores", 2, records);
    let count = runs.to_string();
    let json = "org.apache.kafka.connect.json.JsonConverter";
    let compare = |path: &str, on: &dyn Fn(&str) -> (f64, f64)| {
        compare(path, records * runs as u64, kafka.pid(), on);
    };
    compare("JSON checked, null sink", &|cores| {
        let worker = [
            ("key.converter", BYTES),
            ("value.converter", json),
            ("value.converter.schemas.enable", "false"),
            ("millrace.cores", cores),
        ];
        let report = measure(&servers, "perf-cores", 2, &worker, &["--runs", &count]);
        let of = |figure| median(&report, "millrace", figure);
        (of("records_per_second"), of("cpu_us_per_record"))
    });
    for (name, level) in [("gzip", "6"), ("zstd", "12")] {
        let path = format!("JSON, 3 transforms, JSON lines, {name} {level}, to a local folder");
        compare(&path, &|cores| {
            let figures: Vec<(f64, f64)> = (0..runs)
                .map(|_| ours::compress(&kafka, "perf-cores", cores, records, (name, level)))
                .map(|(rate, used)| (rate, used.cpu_ns_per_record / 1e3))
                .collect();
            let of = |figure: fn(&(f64, f64)) -> f64| {
                table::median(&figures.iter().map(figure).collect::<Vec<f64>>())
            };
            (of(|one| one.0), of(|one| one.1))
        });
    }
    let machine = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("\nTwo partitions, {records} records of 254 bytes, medians of {runs} runs.");
    if machine <= 2 {
        println!(
            "This machine has {machine} cores in all, and the broker runs on them too: where both \
             together use them up, the machine is the limit, not the worker."
        );
    }
}

/// A table of a path on one core and on two, by its records a second and CPU µs a record; `records` are
/// read in all on each.
fn compare(path: &str, records: u64, broker: u32, on: &dyn Fn(&str) -> (f64, f64)) {
    let with_broker = |cores| {
        let before = life::ticks(broker);
        let (rate, cpu) = on(cores);
        (rate, cpu, (life::ticks(broker) - before) as f64 * 1e4 / records as f64)
    };
    let both = [with_broker("1"), with_broker("0,1")];
    println!(
        "\n{path}:\n\n| cores | records/s | CPU µs a record | the broker's | cores' worth of both |\n\
         |---|---|---|---|---|"
    );
    for ((rate, cpu, brokers), count) in both.iter().zip(1..) {
        let used = rate * (cpu + brokers) / 1e6;
        println!("| {count} | {rate:.0} | {cpu:.3} | {brokers:.3} | {used:.2} |");
    }
    let [one, two] = both;
    println!(
        "\nTwo cores deliver {:.2} times what one does, at {:+.1} % CPU a record.",
        two.0 / one.0,
        (two.1 / one.1 - 1.0) * 100.0
    );
}

/// The same topic delivered by more and more tasks: whole processes, from their start to their end.
///
/// Each task connects and asks for its partitions' offsets, which is paid once. So each run is one of
/// a large topic and one of a small one: what a record costs is the difference, and what is left of
/// the small run is the start.
pub fn tasks(records: u64, runs: usize, counts: &[u32]) {
    let kafka = Kafka::start();
    let servers = kafka.bootstrap();
    let most = counts.iter().copied().max().unwrap_or(1);
    let few = records / 3;
    fill(&servers, "perf-tasks", most, records);
    fill(&servers, "perf-tasks-few", most, few);
    let mut figures: Vec<Vec<Tasks>> = counts.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs {
        for (count, figures) in counts.iter().zip(&mut figures) {
            let of = |topic, records| ours::deliver(&kafka, topic, *count, records);
            let (all, some) = (of("perf-tasks", records), of("perf-tasks-few", few));
            let ns = |used: &ours::Used, records: u64| used.cpu_ns_per_record * records as f64;
            let record = (ns(&all, records) - ns(&some, few)) / (records - few) as f64;
            let start_ms = (ns(&some, few) - record * few as f64) / 1e6;
            let one = Tasks { record_us: record / 1e3, start_ms, peak_mb: all.peak_rss_mb };
            eprintln!("{count} tasks: {:.3} µs, start {start_ms:.0} ms", one.record_us);
            figures.push(one);
        }
    }
    println!(
        "| tasks | CPU µs a record | beside the fewest | start, ms CPU | peak memory MB |\n\
         |---|---|---|---|---|"
    );
    let mut first = None;
    for (count, figures) in counts.iter().zip(&figures) {
        let of = |figure: fn(&Tasks) -> f64| {
            table::median(&figures.iter().map(figure).collect::<Vec<f64>>())
        };
        let cpu = of(|one| one.record_us);
        let beside = (cpu / *first.get_or_insert(cpu) - 1.0) * 100.0;
        let (start, memory) = (of(|one| one.start_ms), of(|one| one.peak_mb));
        println!("| {count} | {cpu:.3} | {beside:+.1} % | {start:.0} | {memory:.0} |");
    }
    println!(
        "\n{most} partitions, {records} records of 254 bytes and {few}, null sink, one core, CPU time \
         of the whole process, medians of {runs} runs in turn."
    );
}

/// What a run of some tasks came to.
struct Tasks {
    record_us: f64,
    start_ms: f64,
    peak_mb: f64,
}
