//! What a rebalance of the group does to running tasks, of both protocols: a task keeps what it
//! keeps, with everything that is not committed yet.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::probe::{Event, Probe};
use crate::rig::wait_for;
use crate::{Bench, LIMIT, Worker};

const EAGER: &str = "range";
const COOPERATIVE: &str = "cooperative-sticky";

/// A worker with one task of the group `connect-<topic>`.
fn member(bench: &Bench, topic: &str, name: &str, protocol: &str) -> (Worker, Arc<Probe>) {
    let worker = bench.worker(name);
    worker.put(
        topic,
        &[
            ("connector.class", "ProbeSink"),
            ("topics", topic),
            ("probe", name),
            ("consumer.override.partition.assignment.strategy", protocol),
        ],
    );
    (worker, Probe::of(name))
}

fn fill(bench: &Bench, topic: &str) {
    for partition in 0..4 {
        bench.produce(topic, partition, "a\nb\nc\n");
    }
}

/// A second member comes and goes: the first one's partitions that stay are never closed, and none
/// of their records comes twice though nothing was ever committed.
fn comes_and_goes(protocol: &str) {
    let bench = Bench::new();
    let topic = format!("comes-and-goes-{protocol}");
    fill(&bench, &topic);
    let (_first, one) = member(&bench, &topic, &format!("{topic}-1"), protocol);
    wait_for("all records", LIMIT, || one.taken().len() == 12);
    let (second, two) = member(&bench, &topic, &format!("{topic}-2"), protocol);
    wait_for("two partitions each", LIMIT, || one.open().len() == 2 && two.open().len() == 2);
    let (kept, moved) = (one.open(), two.open());
    wait_for("what was not committed, again", LIMIT, || two.taken().len() == 6);
    for partition in &kept {
        bench.produce(&topic, *partition, "d\n");
        wait_for("the next record", LIMIT, || one.taken().contains(&(*partition, 3)));
    }
    drop(second);
    wait_for("everything back", LIMIT, || one.open() == [0, 1, 2, 3]);
    wait_for("the moved ones' records", LIMIT, || one.taken().len() == 12 + 2 + 6);
    for partition in kept {
        assert_eq!(one.turns(partition), (1, 0), "{:?}", one.events());
        let offsets: Vec<i64> =
            one.taken().iter().filter(|at| at.0 == partition).map(|at| at.1).collect();
        assert_eq!(offsets, [0, 1, 2, 3], "nothing of {partition} comes twice");
    }
    for partition in moved {
        assert_eq!(one.turns(partition), (2, 1), "{:?}", one.events());
    }
}

#[test]
fn an_eager_rebalance_leaves_a_task_what_it_keeps() {
    comes_and_goes(EAGER);
}

#[test]
fn a_cooperative_rebalance_leaves_a_task_what_it_keeps() {
    comes_and_goes(COOPERATIVE);
}

/// A sink that cannot take its batch now: the group does not wait for it, what moves leaves the
/// batch, what stays is handed over again.
fn refused_batch(protocol: &str) {
    let bench = Bench::new();
    let topic = format!("refused-batch-{protocol}");
    fill(&bench, &topic);
    let one = Probe::of(&format!("{topic}-1"));
    one.refusing.store(true, Ordering::SeqCst);
    let (first, one) = member(&bench, &topic, &format!("{topic}-1"), protocol);
    wait_for("four partitions", LIMIT, || one.open().len() == 4);
    let name = topic.clone();
    wait_for("a refusal", LIMIT, || {
        let name = name.clone();
        let progress =
            first.ask(|reply| millrace_herder::requests::Request::Progress { name, reply });
        progress[&0].trouble.as_deref().is_some_and(|text| text.contains("not now"))
    });
    let (_second, two) = member(&bench, &topic, &format!("{topic}-2"), protocol);
    wait_for("its share, while the first one refuses", LIMIT, || {
        two.open().len() == 2 && two.taken().len() == 6
    });
    assert_eq!(one.taken(), [], "it refused everything");
    one.refusing.store(false, Ordering::SeqCst);
    wait_for("the rest", LIMIT, || one.taken().len() >= 6);
    let mut all = one.taken();
    all.extend(two.taken());
    all.sort_unstable();
    let expected: Vec<(i32, i64)> =
        (0..4).flat_map(|partition| (0..3).map(move |offset| (partition, offset))).collect();
    assert_eq!(all, expected, "each record once, by the one whose partition it is");
    for partition in one.open() {
        assert_eq!(one.turns(partition), (1, 0));
    }
}

#[test]
fn an_eager_rebalance_does_not_wait_for_a_sink_that_refuses() {
    refused_batch(EAGER);
}

#[test]
fn a_cooperative_rebalance_does_not_wait_for_a_sink_that_refuses() {
    refused_batch(COOPERATIVE);
}

#[test]
fn a_put_never_gets_more_than_max_poll_records_where_that_is_set() {
    let bench = Bench::new();
    let lines: String = (0..100).map(|at| format!("line {at}\n")).collect();
    bench.produce("pieces", 0, &lines);
    let sizes = |name: &str, key: &str, value: &str| {
        let worker = bench.worker(name);
        let class = ("connector.class", "ProbeSink");
        worker.put(name, &[class, ("topics", "pieces"), ("probe", name), (key, value)]);
        let probe = Probe::of(name);
        wait_for("all records", LIMIT, || probe.taken().len() >= 100);
        let all: Vec<(i32, i64)> = (0..100).map(|offset| (0, offset)).collect();
        assert_eq!(probe.taken(), all);
        let sizes: Vec<usize> = probe
            .events()
            .iter()
            .filter_map(|event| match event {
                Event::Put(size) => Some(*size),
                _ => None,
            })
            .collect();
        sizes
    };
    let set = sizes("pieces-of-seven", "consumer.override.max.poll.records", "7");
    assert!(set.iter().all(|size| *size <= 7) && set.len() >= 15, "{set:?}");
    let unset = sizes("no-pieces", "unknown.key", "7");
    assert!(unset.iter().any(|size| *size > 7), "{unset:?}");
}

#[test]
fn puts_go_on_while_a_cooperative_rebalance_is_under_way() {
    let bench = Bench::new();
    let topic = "puts-go-on";
    fill(&bench, topic);
    let (_first, one) = member(&bench, topic, "puts-go-on-1", COOPERATIVE);
    wait_for("all records", LIMIT, || one.taken().len() == 12);
    let (_second, two) = member(&bench, topic, "puts-go-on-2", COOPERATIVE);
    wait_for("two partitions each", LIMIT, || one.open().len() == 2 && two.open().len() == 2);
    wait_for("its records", LIMIT, || two.taken().len() == 6);
    let (of_one, of_two) = (one.open(), two.open());
    // The second one works on a batch and cannot give anything up.
    two.gated.store(true, Ordering::SeqCst);
    bench.produce(topic, of_two[0], "d\n");
    bench.produce(topic, of_two[1], "d\n");
    wait_for("a put that waits", LIMIT, || two.events().contains(&Event::AtTheGate));
    let (_third, three) = member(&bench, topic, "puts-go-on-3", COOPERATIVE);
    let (_fourth, four) = member(&bench, topic, "puts-go-on-4", COOPERATIVE);
    let kept = |probe: &Probe, of: &[i32]| {
        of.iter().copied().find(|partition| probe.turns(*partition).1 == 0)
    };
    wait_for("the first one gave one up", LIMIT, || one.open().len() == 1);
    let stays = kept(&one, &of_one).expect("one stays");
    bench.produce(topic, stays, "d\n");
    wait_for("its put, while the rebalance waits for another", LIMIT, || {
        one.taken().contains(&(stays, 3))
    });
    assert!(two.gated.load(Ordering::SeqCst) && !two.taken().contains(&(of_two[0], 3)));
    two.gated.store(false, Ordering::SeqCst);
    wait_for("one partition each", LIMIT, || {
        [&one, &two, &three, &four].iter().all(|probe| probe.open().len() == 1)
    });
    assert_eq!(one.turns(stays), (1, 0));
}
