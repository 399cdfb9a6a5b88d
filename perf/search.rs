//! `perf elasticsearch`: what a document costs us beside what it costs a real Elasticsearch to index.

use crate::events::{self, TOPIC};
use crate::rig::elasticsearch;
use crate::rig::kafka::Kafka;
use crate::{life, ours, table};

/// Runs until the server's compiler is warm do not count.
const WARM_UP: usize = 1;

pub fn run(records: u64, runs: usize) {
    let kafka = Kafka::start();
    events::fill(&kafka, TOPIC, records);
    let search = elasticsearch::at_full_speed();
    println!(
        "| run | ours, CPU µs a document | Elasticsearch's | ours beside it | documents/s |\n\
         |---|---|---|---|---|"
    );
    let mut shares = Vec::new();
    for run in 0..WARM_UP + runs {
        search.ask("DELETE", &format!("/{TOPIC}"), "");
        let before = life::ticks(search.pid());
        let (rate, used) = ours::index(&kafka, &search, records);
        let theirs = (life::ticks(search.pid()) - before) as f64 * 1e7 / records as f64;
        assert_eq!(search.count(TOPIC), records, "documents that can be found");
        let share = used.cpu_ns_per_record / theirs * 100.0;
        let [ours, theirs] = [used.cpu_ns_per_record, theirs].map(|ns| ns / 1e3);
        let name = if run < WARM_UP { "warm-up".to_owned() } else { run.to_string() };
        println!("| {name} | {ours:.2} | {theirs:.1} | {share:.1} % | {rate:.0} |");
        if run >= WARM_UP {
            shares.push(share);
        }
    }
    println!(
        "\n{records} documents of JSON after three transforms, one task on one core, one node with an \
         index of one shard. Median of {runs} runs: {:.1} % of Elasticsearch's CPU time.",
        table::median(&shares)
    );
}
