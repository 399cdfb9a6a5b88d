//! The systems kept running while scenarios are run over and over: for profiles, and for work on
//! one of them.

use std::io::BufRead;

use crate::rig::kafka::Kafka;
use crate::{events, ours, scenario};

/// Runs the scenarios that the standard input names until it ends. The rest of a line is a program
/// to run ours under; its CPU time counts too.
pub fn run(records: u64) {
    let kafka = Kafka::start();
    let mut filled = Vec::new();
    kafka.create_topic(ours::SOURCE_TOPIC, 1);
    println!("ready");
    for (run, line) in std::io::stdin().lock().lines().map_while(Result::ok).enumerate() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let Some(scenario) = scenario::all().into_iter().find(|scenario| scenario.name == name)
        else {
            println!("{name} is no scenario");
            continue;
        };
        if !filled.contains(&scenario.topic) {
            events::fill(&kafka, scenario.topic, records);
            filled.push(scenario.topic);
        }
        let under: Vec<&str> = words.collect();
        let used = ours::measure(&scenario, &kafka, records, run, &under);
        println!("{name} {:.0} ns, {:.0} MB", used.cpu_ns_per_record, used.peak_rss_mb);
    }
}
