//! Reads topics and says what it costs: `consume BOOTSTRAP TOPIC[,TOPIC…] [key=value …]`.
//!
//! The settings are a consumer's; with `group.id` the topics are subscribed to, without they are
//! assigned whole, from the beginning. Besides: `stop.after=N` records, `stop.idle.ms=N`,
//! `verbose=true`, `commit.every.ms=N`. Prints CPU time per record of the whole process.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use millrace_kafka::cluster::Cluster;
use millrace_kafka::config::{ConsumerConfig, OffsetReset};
use millrace_kafka::consumer::{Consumer, News, Polled};
use millrace_kafka::group::Subscription;
use millrace_kafka::partitions::{Position, TopicPartition};
use millrace_kafka::{KafkaError, admin::Admin};
use millrace_net::rt::{CoreOptions, start_core};

struct Run {
    topics: Vec<String>,
    settings: BTreeMap<String, String>,
    stop_after: u64,
    stop_idle: Duration,
    commit_every: Duration,
    verbose: bool,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(bootstrap), Some(topics)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: consume BOOTSTRAP TOPIC[,TOPIC…] [key=value …]");
        std::process::exit(2);
    };
    let mut settings: BTreeMap<String, String> = arguments
        .filter_map(|pair| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
        .collect();
    settings.insert("bootstrap.servers".to_owned(), bootstrap);
    settings.entry("auto.offset.reset".to_owned()).or_insert("earliest".to_owned());
    let mut take = |key: &str| settings.remove(key).and_then(|text| text.parse::<u64>().ok());
    let run = Run {
        topics: topics.split(',').map(str::to_owned).collect(),
        stop_after: take("stop.after").unwrap_or(u64::MAX),
        stop_idle: Duration::from_millis(take("stop.idle.ms").unwrap_or(3_000)),
        commit_every: Duration::from_millis(take("commit.every.ms").unwrap_or(1_000)),
        verbose: settings.remove("verbose").is_some(),
        settings,
    };
    let core = start_core(CoreOptions::new("consume", None), || async {
        if let Err(error) = consume(run).await {
            println!("error: {error}");
        }
    });
    if let Err(error) = core.map_err(|error| error.to_string()).and_then(|core| core.join()) {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn cpu_seconds() -> f64 {
    // Of all threads of the process, as CLOCK_PROCESS_CPUTIME_ID; in nanoseconds.
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let main: f64 = text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0);
    let others = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let own = std::process::id().to_string();
    let threads =
        others.filter(|task| task.file_name().to_string_lossy() != own).filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        });
    (main + threads.sum::<f64>()) / 1e9
}

async fn make_consumer(run: &Run) -> Result<Consumer, KafkaError> {
    let parsed = ConsumerConfig::parse(&run.settings).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        KafkaError::config(lines.join("; "))
    })?;
    if !parsed.unknown.is_empty() {
        println!("ignored: {:?}", parsed.unknown);
    }
    let config = parsed.config;
    let cluster = Cluster::for_consumer(&config);
    let grouped = !config.group_id.is_empty();
    let mut consumer = Consumer::new(cluster.clone(), config);
    if grouped {
        consumer.subscribe(Subscription::topics(run.topics.iter().map(String::as_str)))?;
        return Ok(consumer);
    }
    let names: Vec<&str> = run.topics.iter().map(String::as_str).collect();
    let topics = Admin::new(cluster).describe_topics(&names).await?;
    let mut assignment = Vec::new();
    for (name, topic) in &topics {
        for partition in 0..topic.partitions.len() {
            let name = TopicPartition::new(name.clone(), partition as i32);
            assignment.push((name, Position::Reset(OffsetReset::Earliest)));
        }
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}

async fn consume(run: Run) -> Result<(), KafkaError> {
    let mut consumer = make_consumer(&run).await?;
    let (mut records, mut bytes, mut polls) = (0u64, 0u64, 0u64);
    let mut by_partition: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    let mut last_record = Instant::now();
    let mut last_commit = Instant::now();
    let mut trouble = String::new();
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    while records < run.stop_after && last_record.elapsed() < run.stop_idle {
        match consumer.poll(Duration::from_millis(500)).await? {
            Polled::Records(fetched) => {
                polls += 1;
                last_record = Instant::now();
                for segment in fetched.segments() {
                    let mut count = 0;
                    let mut last = -1;
                    for record in segment.records() {
                        let record =
                            record.map_err(|error| KafkaError::corrupt(error.to_string()))?;
                        count += 1;
                        bytes += record.value.map_or(0, <[u8]>::len) as u64;
                        if record.offset <= last {
                            println!("offset {} after {last}", record.offset);
                        }
                        last = black_box(record.offset);
                    }
                    records += count;
                    let key = segment.name().to_string();
                    let entry = by_partition.entry(key).or_insert((0, -1));
                    if last >= 0 && last <= entry.1 {
                        println!("{}: offset {last} after {}", segment.name(), entry.1);
                    }
                    *entry = (entry.0 + count, last);
                }
            }
            Polled::Empty => {}
            Polled::News(News::Assigned(names)) => {
                println!("assigned {}", list(&names));
            }
            Polled::News(News::Rebalancing(names) | News::Revoking(names)) => {
                println!("giving up or rebalancing {}", list(&names));
                commit(&consumer, &names).await;
            }
            Polled::News(News::Lost(names)) => println!("lost {}", list(&names)),
        }
        if consumer.group().is_some_and(|group| group.is_member())
            && last_commit.elapsed() >= run.commit_every
        {
            last_commit = Instant::now();
            commit(&consumer, &consumer.assignment()).await;
        }
        let now = consumer.trouble().map(|error| error.to_string()).unwrap_or_default();
        if now != trouble {
            println!("trouble: {now}");
            trouble = now;
        }
    }
    let (wall, cpu) = (last_record.saturating_duration_since(wall), cpu_seconds() - cpu);
    if run.verbose {
        for (name, (count, last)) in &by_partition {
            println!("{name}: {count} records, last offset {last}");
        }
    }
    println!(
        "{records} records, {bytes} bytes, {polls} polls, {:.3} s wall, {:.3} s cpu, {:.1} ns/record",
        wall.as_secs_f64(),
        cpu,
        cpu * 1e9 / records.max(1) as f64
    );
    if consumer.group().is_some() {
        commit(&consumer, &consumer.assignment()).await;
    }
    consumer.close().await;
    Ok(())
}

async fn commit(consumer: &Consumer, names: &[TopicPartition]) {
    let offsets: Vec<_> =
        names.iter().filter_map(|name| Some((name.clone(), consumer.position(name)?))).collect();
    if let Err(error) = consumer.commit(&offsets).await {
        println!("commit: {error}");
    }
}

fn list(names: &[TopicPartition]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
