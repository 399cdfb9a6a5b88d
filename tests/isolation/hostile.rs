//! Tasks that panic wherever they can: each fails alone, with a trace in its status.

use crate::probe::Probe;
use crate::rig::wait_for;
use crate::{Bench, LIMIT};

#[test]
fn a_task_that_panics_fails_alone() {
    let bench = Bench::new();
    bench.produce("hostile", 0, "one\n");
    let worker = bench.worker("hostile");
    let sink = |name: &str, trap: &str| {
        worker.put(
            name,
            &[
                ("connector.class", "ProbeSink"),
                ("topics", "hostile"),
                ("probe", name),
                ("panic.in", trap),
            ],
        );
    };
    sink("good", "");
    let good = Probe::of("good");
    wait_for("the good one's record", LIMIT, || good.taken().len() == 1);
    for (at, trap) in ["start", "open", "put", "pre_commit"].into_iter().enumerate() {
        let name = format!("panics-in-{trap}");
        sink(&name, trap);
        let mut trace = String::new();
        wait_for(&format!("a task that failed in {trap}"), LIMIT, || {
            let status = worker.status(&name);
            assert_eq!(status.connector.state, "RUNNING");
            trace = status.tasks[0].trace.clone().unwrap_or_default();
            status.tasks[0].state == "FAILED"
        });
        assert!(trace.contains(&format!("the task panicked: as wanted, in {trap}")), "{trace}");
        bench.produce("hostile", 0, "more\n");
        wait_for("the good one going on", LIMIT, || good.taken().len() == at + 2);
    }
    // Panics while it is stopped: it is gone all the same, and its group's place is free.
    for trap in ["close", "stop"] {
        let name = format!("panics-in-{trap}");
        sink(&name, trap);
        wait_for("its first record", LIMIT, || !Probe::of(&name).taken().is_empty());
        let of = name.clone();
        worker.ask(|reply| millrace_herder::requests::Request::Delete { name: of, reply });
    }
    bench.produce("hostile", 0, "last\n");
    wait_for("the good one at the end", LIMIT, || good.taken().len() == 6);
    assert_eq!(worker.status("good").tasks[0].state, "RUNNING");
}

#[test]
fn a_source_that_panics_fails_alone() {
    let bench = Bench::new();
    let worker = bench.worker("hostile-sources");
    let source = |name: &str, trap: &str| {
        let class = ("connector.class", "ProbeSource");
        worker.put(name, &[class, ("probe", name), ("panic.in", trap)]);
    };
    source("steady", "");
    for trap in ["start", "poll"] {
        let name = format!("source-panics-in-{trap}");
        source(&name, trap);
        wait_for(&format!("a source that failed in {trap}"), LIMIT, || {
            let task = &worker.status(&name).tasks[0];
            let trace = task.trace.as_deref().unwrap_or_default();
            task.state == "FAILED" && trace.contains(&format!("as wanted, in {trap}"))
        });
    }
    let steady = Probe::of("steady");
    let before = steady.events().len();
    wait_for("the steady one going on", LIMIT, || steady.events().len() > before + 5);
    assert_eq!(worker.status("steady").tasks[0].state, "RUNNING");
}

#[test]
fn a_source_that_has_finished_is_running_and_idle() {
    let bench = Bench::new();
    let worker = bench.worker("finished");
    let class = ("connector.class", "ProbeSource");
    worker.put("finished", &[class, ("probe", "finished"), ("panic.in", "finished")]);
    wait_for("its end", LIMIT, || {
        let name = "finished".to_owned();
        let progress =
            worker.ask(|reply| millrace_herder::requests::Request::Progress { name, reply });
        progress[&0].state == Some(millrace_herder::command::TaskState::Finished)
    });
    assert_eq!(worker.status("finished").tasks[0].state, "RUNNING");
}
