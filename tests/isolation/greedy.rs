//! Tasks that do not give their core back, or take all memory: each fails alone, with a trace that
//! says why; its neighbours on the same core go on and lose nothing; it can be restarted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millrace_herder::requests::Request;

use crate::probe::{Event, Probe};
use crate::rig::process::Process;
use crate::rig::wait_for;
use crate::{Bench, Worker, rig};

const LIMIT: Duration = Duration::from_secs(60);

/// What a worker is told. Two seconds are an age for a task; a session that is longer than any test
/// waits for shows that consumers which start anew take their own places again.
const SHORT: (&str, &str) = ("millrace.task.max.block.ms", "2000");
const SMALL: (&str, &str) = ("millrace.task.memory.bytes", "67108864");
const SESSION: (&str, &str) = ("consumer.session.timeout.ms", "180000");

/// A sink on the topic, whose probe has the connector's name.
fn sink(worker: &Worker, name: &str, topic: &str, hostile: &str) -> Arc<Probe> {
    let probe = Probe::of(name);
    probe.durable.store(true, Ordering::SeqCst);
    let class = ("connector.class", "ProbeSink");
    worker.put(name, &[class, ("topics", topic), ("probe", name), ("hostile", hostile)]);
    probe
}

/// Every record of the topic's first `count` was taken, however often.
fn has_all(probe: &Probe, count: i64) -> bool {
    let taken = probe.taken();
    (0..count).all(|offset| taken.contains(&(0, offset)))
}

/// The task's status as REST shows it: state and trace.
fn over_rest(address: SocketAddr, name: &str) -> (String, String) {
    let path = format!("/connectors/{name}/tasks/0/status");
    let Some((_, status)) = rig::worker::get(address.port(), &path) else {
        return (String::new(), String::new());
    };
    let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("trace"))
}

/// The value of a metric without labels.
fn metric(address: SocketAddr, name: &str) -> Option<f64> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

fn restart(worker: &Worker, name: &str) {
    let name = name.to_owned();
    worker.ask(|reply| Request::RestartTask { name, task: 0, reply });
}

/// The hostile task fails with a trace that has all of `said`, while its neighbour goes on; then it
/// behaves, is restarted, and does its work.
fn fails_alone(bench: &Bench, how: &str, keys: &[(&str, &str)], said: &[&str]) {
    let (good, bad) = (format!("neighbour-of-{how}"), format!("{how}-1"));
    bench.produce(&good, 0, "one\n");
    bench.produce(&bad, 0, "one\n");
    let mut all = vec![SESSION];
    all.extend_from_slice(keys);
    let worker = bench.worker_with(how, &all);
    let rest = worker.rest();
    let address = rest.bound[0];
    let neighbour = sink(&worker, &good, &good, "");
    let hostile = sink(&worker, &bad, &bad, how);
    wait_for("both to work", LIMIT, || has_all(&neighbour, 1) && has_all(&hostile, 1));
    hostile.blocking.store(true, Ordering::SeqCst);
    hostile.hoarding.store(true, Ordering::SeqCst);
    bench.produce(&bad, 0, "two\n");
    let mut trace = String::new();
    wait_for("the hostile task's failure", LIMIT, || {
        let (state, text) = over_rest(address, &bad);
        trace = text;
        state == "FAILED"
    });
    for said in said {
        assert!(trace.contains(said), "{said:?} is not in {trace}");
    }
    assert!(trace.starts_with("org.apache.kafka.connect.errors.ConnectException: "), "{trace}");
    bench.produce(&good, 0, "two\nthree\n");
    wait_for("the neighbour's records", LIMIT, || has_all(&neighbour, 3));
    assert_eq!(over_rest(address, &good).0, "RUNNING");
    hostile.hoarding.store(false, Ordering::SeqCst);
    let stuck = hostile.events().contains(&Event::Blocks);
    let lost = metric(address, "millrace_lost_cores_total");
    assert_eq!(lost, Some(if how == "hoards" { 0.0 } else { 1.0 }));
    if stuck {
        // Once it lets go it has nothing to say any more, and its thread ends.
        let before = hostile.events().len();
        hostile.blocking.store(false, Ordering::SeqCst);
        wait_for("the lost thread's end", LIMIT, || {
            metric(address, "millrace_lost_cores") == Some(0.0)
        });
        let after: Vec<Event> = hostile.events()[before..].to_vec();
        let says = |event: &Event| matches!(event, Event::Opened(_) | Event::Closed(_));
        assert!(!after.iter().any(says), "it came back, and went on: {after:?}");
        assert_eq!(over_rest(address, &bad).0, "FAILED");
    }
    hostile.blocking.store(false, Ordering::SeqCst);
    restart(&worker, &bad);
    bench.produce(&bad, 0, "three\n");
    wait_for("the restarted task's records", LIMIT, || {
        over_rest(address, &bad).0 == "RUNNING" && has_all(&hostile, 3)
    });
    rest.shutdown();
}

/// On the real Kafka: its coordinator lets members that start anew take their places again.
#[test]
fn a_sink_that_sleeps_in_put_fails_alone() {
    fails_alone(
        &Bench::on_kafka(),
        "sleeps",
        &[SHORT],
        &["held core 0 for ", "millrace.task.max.block.ms=2000"],
    );
}

#[test]
fn a_sink_that_spins_in_put_fails_alone() {
    fails_alone(
        &Bench::new(),
        "spins",
        &[SHORT],
        &["held core 0 for ", "millrace.task.max.block.ms=2000"],
    );
}

#[test]
fn a_sink_that_takes_all_memory_at_once_fails_alone() {
    let said = ["bytes of memory and took more", "millrace.task.memory.bytes=67108864"];
    fails_alone(&Bench::new(), "grabs", &[SMALL], &said);
}

#[test]
fn a_sink_that_takes_memory_bit_by_bit_fails_alone_and_gives_it_back() {
    let said = ["bytes of memory, more than millrace.task.memory.bytes=67108864", "free again"];
    fails_alone(&Bench::new(), "hoards", &[SMALL], &said);
}

#[test]
fn a_sink_whose_panic_ends_the_core_fails_alone() {
    let said = ["core 0 died of a panic: as wanted, and not caught"];
    fails_alone(&Bench::new(), "dies", &[], &said);
}

#[test]
fn a_source_that_blocks_fails_alone_and_one_that_does_not_goes_on() {
    let bench = Bench::new();
    let worker = bench.worker_with("blocking-source", &[SHORT]);
    let source = |name: &str, hostile: &str| {
        let class = ("connector.class", "ProbeSource");
        worker.put(name, &[class, ("probe", name), ("hostile", hostile)]);
        Probe::of(name)
    };
    let good = source("good-source", "");
    let bad = source("bad-source", "sleeps");
    wait_for("both to poll", LIMIT, || !good.events().is_empty() && !bad.events().is_empty());
    bad.blocking.store(true, Ordering::SeqCst);
    wait_for("its failure", LIMIT, || {
        let task = &worker.status("bad-source").tasks[0];
        task.state == "FAILED" && task.trace.as_deref().unwrap_or_default().contains("held core 0")
    });
    let before = good.events().len();
    wait_for("the good one going on", LIMIT, || good.events().len() > before + 5);
    assert_eq!(worker.status("good-source").tasks[0].state, "RUNNING");
    bad.blocking.store(false, Ordering::SeqCst);
    restart(&worker, "bad-source");
    wait_for("the restarted one", LIMIT, || {
        worker.status("bad-source").tasks[0].state == "RUNNING"
    });
}

/// Past eight threads that do not come back nothing is given up: the task shows as what it is.
#[test]
fn what_is_left_behind_has_a_bound() {
    let bench = Bench::new();
    let worker = bench.worker_with("bounded", &[("millrace.task.max.block.ms", "300")]);
    let rest = worker.rest();
    let bad = Probe::of("ninth");
    bad.blocking.store(true, Ordering::SeqCst);
    let class = ("connector.class", "ProbeSource");
    worker.put("ninth", &[class, ("probe", "ninth"), ("hostile", "sleeps")]);
    for time in 1..=8u32 {
        wait_for("a failure", LIMIT, || worker.status("ninth").tasks[0].state == "FAILED");
        // An answer of the metrics may be given again for a moment.
        wait_for("one thread more that is left behind", LIMIT, || {
            metric(rest.bound[0], "millrace_lost_cores") == Some(f64::from(time))
        });
        restart(&worker, "ninth");
    }
    wait_for("a word about the ninth", LIMIT, || {
        let name = "ninth".to_owned();
        let progress = worker.ask(|reply| Request::Progress { name, reply });
        let trouble = progress[&0].trouble.as_deref().unwrap_or_default();
        trouble.contains("8 threads of lost cores have not ended yet")
    });
    assert_ne!(worker.status("ninth").tasks[0].state, "FAILED");
    // Those that end make room.
    bad.blocking.store(false, Ordering::SeqCst);
    wait_for("the lost threads' end", LIMIT, || {
        metric(rest.bound[0], "millrace_lost_cores") == Some(0.0)
    });
    wait_for("the ninth at work", LIMIT, || worker.status("ninth").tasks[0].state == "RUNNING");
    rest.shutdown();
}

const CHILD: &str = "MILLRACE_TEST_GREEDY_CHILD";

/// A worker in a process of its own, with a thread that is left behind for good; ends by SIGTERM.
#[test]
fn a_process_with_a_lost_core_ends_when_it_is_told_to() {
    if std::env::var_os(CHILD).is_some() {
        return lives_until_told();
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "greedy::a_process_with_a_lost_core_ends_when_it_is_told_to"]);
    command.args(["--nocapture"]).env(CHILD, "1").stdin(Stdio::null());
    let mut child = Process::start(&mut command, &dir.path().join("child.log"));
    wait_for("a core that is lost", LIMIT, || {
        assert!(child.exited().is_none(), "{}", child.log());
        child.log().contains("lost, and waiting")
    });
    child.terminate();
    let status = child.wait(LIMIT);
    assert!(status.success(), "{status}: {}", child.log());
}

fn lives_until_told() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let kind = tokio::signal::unix::SignalKind::terminate();
    let _entered = runtime.enter();
    let mut told = tokio::signal::unix::signal(kind).expect("a handler");
    let bench = Bench::new();
    let worker = bench.worker_with("told", &[SHORT, SMALL]);
    for (name, how) in [("sleeper", "sleeps"), ("grabber", "grabs")] {
        let probe = Probe::of(name);
        probe.blocking.store(true, Ordering::SeqCst);
        probe.hoarding.store(true, Ordering::SeqCst);
        let class = ("connector.class", "ProbeSource");
        worker.put(name, &[class, ("probe", name), ("hostile", how)]);
        wait_for("its failure", LIMIT, || worker.status(name).tasks[0].state == "FAILED");
    }
    println!("lost, and waiting");
    runtime.block_on(told.recv());
    drop(worker);
}
