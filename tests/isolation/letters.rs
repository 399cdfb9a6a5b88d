//! Dead letters that Kafka does not take for a while: kept, and nothing is committed before them.

use std::sync::atomic::Ordering;

use millrace_broker::{Fault, FaultAction};
use millrace_herder::requests::Request;

use crate::probe::Probe;
use crate::rig::{pause, wait_for};
use crate::{Bench, LIMIT};

const PRODUCE: i16 = 0;

#[test]
fn dead_letters_wait_for_a_broker_that_does_not_take_them() {
    let bench = Bench::new();
    bench.produce("mixed", 0, "{\"a\":1}\n");
    let worker = bench.worker("letters");
    let probe = Probe::of("letters");
    probe.durable.store(true, Ordering::SeqCst);
    worker.put(
        "letters",
        &[
            ("connector.class", "ProbeSink"),
            ("topics", "mixed"),
            ("probe", "letters"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
            ("errors.tolerance", "all"),
            ("errors.deadletterqueue.topic.name", "mixed-letters"),
            ("errors.deadletterqueue.topic.replication.factor", "1"),
        ],
    );
    let committed = || {
        let offsets = worker.ask(|reply| Request::Offsets { name: "letters".to_owned(), reply });
        let of = |offset: &[(String, millrace_api::source::offsets::Scalar)]| offset[0].1.clone();
        offsets.iter().map(|(_, offset)| of(offset)).next()
    };
    let at = |offset| Some(millrace_api::source::offsets::Scalar::Int(offset));
    wait_for("the first commit", LIMIT, || committed() == at(1));
    // Only what comes from here on: the records themselves are produced before the fault.
    probe.gated.store(true, Ordering::SeqCst);
    bench.produce("mixed", 0, "{\"a\":2}\n");
    wait_for("the task at the gate", LIMIT, || {
        probe.events().contains(&crate::probe::Event::AtTheGate)
    });
    bench.produce("mixed", 0, "nonsense\nmore nonsense\n{\"a\":3}\n");
    bench.broker.faults().inject(Fault::new(PRODUCE, FaultAction::Disconnect, u32::MAX));
    probe.gated.store(false, Ordering::SeqCst);
    wait_for("the good records", LIMIT, || probe.taken().len() == 3);
    // Several intervals and attempts.
    pause(std::time::Duration::from_millis(2_500));
    assert_eq!(worker.status("letters").tasks[0].state, "RUNNING");
    assert_eq!(bench.consume("mixed-letters"), 0);
    assert!([at(1), at(2)].contains(&committed()), "{:?}", committed());
    bench.broker.faults().clear();
    wait_for("both letters", LIMIT, || bench.consume("mixed-letters") == 2);
    wait_for("the commit", LIMIT, || committed() == at(5));
}

#[test]
fn a_task_whose_dead_letters_nobody_takes_still_stops() {
    let bench = Bench::new();
    bench.produce("stuck", 0, "fine\n");
    let worker = bench.worker("stuck");
    worker.put(
        "stuck",
        &[
            ("connector.class", "ProbeSink"),
            ("topics", "stuck"),
            ("probe", "stuck"),
            ("value.converter", "org.apache.kafka.connect.converters.LongConverter"),
            ("errors.tolerance", "all"),
            ("errors.deadletterqueue.topic.name", "stuck-letters"),
            ("errors.deadletterqueue.topic.replication.factor", "1"),
            // Room for a few letters only.
            ("producer.override.buffer.memory", "40000"),
            ("producer.override.batch.size", "2000"),
        ],
    );
    wait_for("its letter", LIMIT, || bench.consume("stuck-letters") == 1);
    let lines: String = (0..2_000).map(|at| format!("too long for a Long, {at}\n")).collect();
    // Of the letters alone: REQUEST_TIMED_OUT, which is tried again.
    let topic = Some("stuck-letters".to_owned());
    bench
        .broker
        .faults()
        .inject(Fault { topic, ..Fault::new(PRODUCE, FaultAction::Error(7), u32::MAX) });
    bench.produce("stuck", 0, &lines);
    pause(std::time::Duration::from_millis(500));
    worker.ask(|reply| Request::Stop { name: "stuck".to_owned(), reply });
    let status = worker.status("stuck");
    assert_eq!((status.connector.state, status.tasks.len()), ("STOPPED", 0));
    // Its next life begins only when this one has ended.
    worker.ask(|reply| Request::Resume { name: "stuck".to_owned(), reply });
    wait_for("its next life", LIMIT, || {
        worker.status("stuck").tasks.iter().any(|task| task.state == "RUNNING")
    });
    bench.broker.faults().clear();
    wait_for("all letters", LIMIT, || bench.consume("stuck-letters") >= 2_001);
}
