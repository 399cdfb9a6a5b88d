//! Produces made-up JSON records and tells what one record costs.
//!
//! `cargo run --release -p millrace-kafka --example produce -- TOPIC COUNT [KEY=VALUE ...]`, where
//! the settings are a producer's (`bootstrap.servers`, `compression.type`, ...), and of its own
//! `keys=true` gives each record a key, two headers and a timestamp that tells its number.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use millrace_kafka::Cluster;
use millrace_kafka::producer::{Producer, ProducerConfig};
use millrace_net::rt::{CoreOptions, start_core, yield_if_needed};

/// Timestamp of the first record: long ago, so make the topic with `retention.ms=-1` to keep records.
const EPOCH: i64 = 1_700_000_000_000;
/// Distinct values, repeated.
const VALUES: usize = 5000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(topic), Some(count)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: produce TOPIC COUNT [KEY=VALUE ...]");
        std::process::exit(2);
    };
    let count: u64 = count.parse().expect("COUNT is a number");
    let mut settings: BTreeMap<String, String> = arguments
        .filter_map(|pair| pair.split_once('=').map(|(key, value)| (key.into(), value.into())))
        .collect();
    settings.entry("bootstrap.servers".into()).or_insert_with(|| "127.0.0.1:9092".into());
    let keys = settings.remove("keys").is_some_and(|value| value == "true");
    let parsed = ProducerConfig::parse(&settings).unwrap_or_else(|problems| {
        problems.iter().for_each(|problem| eprintln!("{problem}"));
        std::process::exit(2);
    });
    if !parsed.unknown.is_empty() {
        eprintln!("unknown settings: {:?}", parsed.unknown);
    }
    let core = start_core(CoreOptions::new("produce", None), move || async move {
        run(&topic, count, keys, parsed.config).await;
    });
    core.expect("a core").join().expect("the core ends well");
}

async fn run(topic: &str, count: u64, keys: bool, config: ProducerConfig) {
    let producer = Producer::new(Cluster::new(config.client.clone()), config);
    let values: Vec<Vec<u8>> = (0..VALUES).map(value).collect();
    let waits = Rc::new(Cell::new(0_u64));
    let (begin, cpu) = (Instant::now(), thread_cpu());
    for number in 0..count {
        let value = &values[number as usize % VALUES];
        loop {
            let outcome = if keys {
                let key = format!("key-{number}");
                let text = number.to_string();
                let headers = [("number", Some(text.as_bytes())), ("empty", None)];
                let time = EPOCH + number as i64;
                producer.append(topic, None, time, Some(key.as_bytes()), Some(value), headers)
            } else {
                producer.append(topic, None, EPOCH, None, Some(value), [])
            };
            match outcome {
                Ok(_) => break,
                Err(error) if error.is_wait() => {
                    waits.set(waits.get() + 1);
                    producer.ready().await.expect("room");
                }
                Err(error) => panic!("{error}"),
            }
        }
        // As a source task does after each poll.
        if number % 1024 == 0 {
            yield_if_needed().await;
        }
    }
    producer.flush().await.expect("all arrive");
    let (wall, cpu) = (begin.elapsed(), thread_cpu().saturating_sub(cpu));
    let stats = producer.stats();
    assert_eq!(producer.acked_up_to(), count);
    assert!(producer.take_failures().is_empty());
    println!(
        "{count} records: {:.0} ns CPU, {:.0} ns wall a record; {} requests, {} batches of {} bytes, \
         {} retries, {} waits",
        cpu.as_nanos() as f64 / count as f64,
        wall.as_nanos() as f64 / count as f64,
        stats.requests,
        stats.batches,
        stats.bytes / stats.batches.max(1),
        stats.retries,
        waits.get(),
    );
    producer.close(Duration::from_secs(5)).await.expect("a quiet end");
}

/// 254 bytes of JSON.
fn value(number: usize) -> Vec<u8> {
    let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 8) % below
    };
    let mut text = format!(
        r#"{{"id":{number},"user":{{"name":"user{}","ip":"10.{}.{}.{}"}},"path":"/shop/item/{}","status":{},"amount":{}.{:02},"tags":["a","b"],"ua":"Mozilla/5.0 (X11; Linux x86_64) Chrome/{}.0","ref":"https://example.org/","pad":""#,
        random(10_000),
        random(256),
        random(256),
        random(256),
        random(100_000),
        [200, 201, 302, 404, 500][random(5) as usize],
        random(1000),
        random(100),
        90 + random(40),
    );
    while text.len() < 252 {
        text.push(char::from(b'a' + random(16) as u8));
    }
    text.push_str(r#""}"#);
    text.into_bytes()
}

fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
