//! `perf shares`: what one transform adds to a record, ours and the JVM's.
//!
//! One alone is lost in the spread of the JVM's runs, so there are eight of its kind in a chain, each
//! with a field of its own, and an eighth of what they add to the path without transforms counts; fewer
//! where a chain would not have eight: an event has one time, and one key. Each
//! round runs that path and all chains, ours and the JVM's in turn; medians of the rounds' differences.

use crate::rig::kafka::Kafka;
use crate::scenario::{Kind, Scenario, row};
use crate::table::median;
use crate::{events, jvm, ours};

pub struct Options {
    pub records: u64,
    pub runs: usize,
    pub only: Vec<String>,
}

/// The members of an event that are no structures.
const MEMBERS: [&str; 8] = ["id", "ts", "ip", "ua", "amount", "active", "ref", "note"];

/// The predicate that there is.
const TOMBSTONE: &str = "tombstone";

/// The class and the settings of the step at this place of the chain.
type Step = fn(usize) -> (&'static str, Vec<(&'static str, String)>);

/// Its name, what it is, how many steps it has.
type Chain = (&'static str, &'static str, usize, Step);

const CHAINS: [Chain; 13] = [
    ("insert", "InsertField, a static field", 8, |at| {
        let name = ("static.field", format!("static{at}"));
        ("InsertField$Value", vec![name, set("static.value", "perf")])
    }),
    ("mask", "MaskField", 8, |at| ("MaskField$Value", vec![set("fields", MEMBERS[at])])),
    ("replace", "ReplaceField, a new name", 8, |at| {
        ("ReplaceField$Value", vec![("renames", format!("{0}:{0}{at}", MEMBERS[at]))])
    }),
    ("cast", "Cast, to text", 8, |at| {
        ("Cast$Value", vec![("spec", format!("{}:string", MEMBERS[at]))])
    }),
    ("timestamp", "TimestampConverter, to text", 1, |_| {
        let format = set("format", "yyyy-MM-dd'T'HH:mm:ss.SSS");
        let settings = vec![set("field", "ts"), set("target.type", "string"), format];
        ("TimestampConverter$Value", settings)
    }),
    ("hoist", "HoistField", 8, |at| ("HoistField$Value", vec![("field", format!("event{at}"))])),
    ("key", "ValueToKey and ExtractField$Key, each", 2, |at| match at {
        0 => ("ValueToKey", vec![set("fields", "ip")]),
        _ => ("ExtractField$Key", vec![set("field", "ip")]),
    }),
    ("extract", "ExtractField", 1, |_| ("ExtractField$Value", vec![set("field", "user")])),
    ("flatten", "Flatten", 1, |_| ("Flatten$Value", vec![set("delimiter", "_")])),
    ("header-from", "HeaderFrom, a copy", 8, |at| {
        let header = ("headers", format!("header{at}"));
        ("HeaderFrom$Value", vec![set("fields", MEMBERS[at]), header, set("operation", "copy")])
    }),
    ("header", "InsertHeader", 8, |at| {
        ("InsertHeader", vec![("header", format!("header{at}")), set("value.literal", "perf")])
    }),
    ("filter", "Filter by RecordIsTombstone", 8, |_| ("Filter", vec![set("predicate", TOMBSTONE)])),
    ("route", "RegexRouter", 8, |at| {
        let replacement = ("replacement", format!("$1-{at}"));
        ("RegexRouter", vec![set("regex", "([a-z]+).*"), replacement])
    }),
];

fn set(key: &'static str, value: &str) -> (&'static str, String) {
    (key, value.to_owned())
}

/// The null sink over JSON behind such a chain, or behind none.
fn scenario(name: &'static str, chain: Option<(usize, Step)>) -> Scenario {
    let mut settings: Vec<(String, String)> = vec![
        ("value.converter".into(), "org.apache.kafka.connect.json.JsonConverter".into()),
        ("value.converter.schemas.enable".into(), "false".into()),
    ];
    if let Some((count, step)) = chain {
        let names: Vec<String> = (0..count).map(|at| format!("step{at}")).collect();
        settings.push(("transforms".into(), names.join(",")));
        settings.push(("predicates".into(), TOMBSTONE.into()));
        settings.push((
            format!("predicates.{TOMBSTONE}.type"),
            "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone".into(),
        ));
        for (at, name) in names.iter().enumerate() {
            let (class, own) = step(at);
            let class = format!("org.apache.kafka.connect.transforms.{class}");
            settings.push((format!("transforms.{name}.type"), class));
            settings.extend(
                own.into_iter().map(|(key, value)| (format!("transforms.{name}.{key}"), value)),
            );
        }
    }
    // A handful, for as long as the process lives: scenarios are constants elsewhere.
    let settings: Vec<(&str, &str)> = settings
        .into_iter()
        .map(|(key, value)| (&*String::leak(key), &*String::leak(value)))
        .collect();
    row(name, name, Kind::Null, Vec::leak(settings), true, 0, 0.0)
}

/// ns a record of each round.
#[derive(Default)]
struct Figures {
    ours: Vec<f64>,
    jvm: Vec<f64>,
}

pub fn run(options: &Options) {
    let dir = tempfile::tempdir().expect("a folder");
    let side = jvm::prepare(dir.path());
    let kafka = Kafka::start();
    // The JVM's side of every measurement asks how far a source would be.
    kafka.create_topic(jvm::SOURCE_TOPIC, 1);
    events::fill(&kafka, events::TOPIC, options.records);
    let chosen: Vec<_> = CHAINS
        .into_iter()
        .filter(|(name, ..)| {
            options.only.is_empty() || options.only.iter().any(|only| only == name)
        })
        .collect();
    let scenarios: Vec<Scenario> = std::iter::once(scenario("none", None))
        .chain(chosen.iter().map(|(name, _, count, step)| scenario(name, Some((*count, *step)))))
        .collect();
    let mut figures: Vec<Figures> = scenarios.iter().map(|_| Figures::default()).collect();
    for round in 0..options.runs {
        for (scenario, figures) in scenarios.iter().zip(&mut figures) {
            let ours = ours::measure(scenario, &kafka, options.records, round, &[]);
            let jvm = jvm::measure(scenario, &kafka, options.records, &side, round);
            eprintln!("{}: {:.0} ns, JVM {jvm:.0}", scenario.name, ours.cpu_ns_per_record);
            figures.ours.push(ours.cpu_ns_per_record);
            figures.jvm.push(jvm);
        }
    }
    let Some((none, chains)) = figures.split_first() else { return };
    println!("\n| transform | ours, ns a record | the JVM's | ratio |\n|---|---|---|---|");
    for ((_, title, count, _), chain) in chosen.iter().zip(chains) {
        let share = |of: fn(&Figures) -> &Vec<f64>| {
            let added = of(chain).iter().zip(of(none)).map(|(with, without)| with - without);
            median(&added.collect::<Vec<f64>>()) / *count as f64
        };
        let (ours, jvm) = (share(|figures| &figures.ours), share(|figures| &figures.jvm));
        println!("| {title} | {ours:.0} | {jvm:.0} | {:.0}x |", jvm / ours);
    }
    println!(
        "\nThe part of one in what a chain of them adds to a JSON record of 254 bytes; without them it \
         takes {:.0} ns, the JVM {:.0}. {} records, medians of {} rounds.",
        median(&none.ours),
        median(&none.jvm),
        options.records,
        options.runs,
    );
}
