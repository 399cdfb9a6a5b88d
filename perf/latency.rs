//! `perf latency`: from due to delivered at a fixed rate, ours, the JVM's worker, and a bare loop
//! over our own client, at the null sink and at the file sink.

use crate::bench::{self, median};
use crate::rig::kafka::{Kafka, libs};

pub struct Options {
    pub rate: u64,
    pub seconds: u64,
    pub runs: usize,
    pub spin_us: u64,
    pub jvm: bool,
}

/// How the core waits for news.
struct Round {
    title: &'static str,
    /// `millrace.latency.spin.us`
    spin_us: u64,
    /// `millrace.runtime`
    runtime: &'static str,
    jvm: bool,
}

pub fn run(options: &Options) {
    let kafka = Kafka::start();
    let dir = tempfile::tempdir().expect("a folder");
    let out = dir.path().join("out.txt");
    let (servers, out) = (kafka.bootstrap(), out.to_str().expect("a path"));
    println!(
        "| sink | side | p50 ms | p99 ms | p99.9 ms | p50, p99 beside the bare loop | CPU of a core |\n\
         |---|---|---|---|---|---|---|"
    );
    let mut number = 0;
    for sink in ["null", "file"] {
        let rounds = [
            Round { title: "", spin_us: 0, runtime: "auto", jvm: options.jvm },
            Round { title: ", spins", spin_us: options.spin_us, runtime: "auto", jvm: false },
            Round { title: ", epoll", spin_us: 0, runtime: "epoll", jvm: false },
        ];
        for round in rounds.iter().filter(|round| round.title != ", spins" || round.spin_us > 0) {
            number += 1;
            let topic = format!("perf-latency-{number}");
            let report = one(options, sink, &servers, out, &topic, round);
            let sides: &[&str] = match round.jvm {
                true => &["millrace", "bare", "jvm"],
                false => &["millrace", "bare"],
            };
            for side in sides {
                row(options, &report, sink, side, round.title);
            }
        }
    }
    println!(
        "\n{} records/s of 254 bytes for {} s after a warm-up, each due at a fixed ms; latency from the \
         due time; fetch.min.bytes=1, linger.ms=0; median of {} runs, the sides in turn. \
         Spins: millrace.latency.spin.us={}.",
        options.rate, options.seconds, options.runs, options.spin_us
    );
}

fn one(
    options: &Options,
    sink: &str,
    servers: &str,
    out: &str,
    topic: &str,
    round: &Round,
) -> serde_json::Value {
    let converter = "org.apache.kafka.connect.storage.StringConverter";
    let mut connector = vec![("name", sink), ("topics", topic)];
    match sink {
        "file" => connector.extend([
            ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
            ("file", out),
        ]),
        _ => connector.push(("connector.class", "millrace.NullSinkConnector")),
    }
    let spin = round.spin_us.to_string();
    let worker = [
        ("key.converter", converter),
        ("value.converter", converter),
        ("consumer.fetch.min.bytes", "1"),
        ("offset.flush.interval.ms", "1000"),
        ("millrace.cores", "1"),
        ("millrace.latency.spin.us", &spin),
        ("millrace.runtime", round.runtime),
    ];
    let (rate, duration) = (options.rate.to_string(), format!("{}s", options.seconds));
    let (runs, jars) = (options.runs.to_string(), libs());
    let mut more = vec!["--rate", &rate, "--duration", &duration, "--runs", &runs, "--bare"];
    more.extend(["--bootstrap-servers", servers]);
    if round.jvm {
        more.extend(["--vs", jars.to_str().expect("a path")]);
    }
    bench::run(&connector, &worker, &more)
}

fn row(options: &Options, report: &serde_json::Value, sink: &str, side: &str, title: &str) {
    let at = |side: &str, quantile: &str| median(report, side, &format!("latency.{quantile}"));
    let ms = |quantile| at(side, quantile) / 1e3;
    let beside = |quantile| at(side, quantile) / at("bare", quantile);
    let cpu = median(report, side, "cpu_us_per_record") * options.rate as f64 / 1e4;
    let name = format!("{side}{title}");
    println!(
        "| {sink} | {name} | {:.2} | {:.2} | {:.2} | {:.2}x, {:.2}x | {cpu:.1} % |",
        ms("p50"),
        ms("p99"),
        ms("p99.9"),
        beside("p50"),
        beside("p99"),
    );
}
