//! Members that come, go, hang and lag, on the embedded broker.

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millrace_broker::{Broker, BrokerHandle, BrokerOptions, Fault, FaultAction};
use millrace_herder::connect_protocol::ConnectProtocol;

use crate::LIMIT;
use crate::herder::{SharedConfig, TestHerder, settings};
use crate::rig::kafka::produced;
use crate::rig::process::Process;
use crate::rig::wait_for;

struct Bench {
    broker: Option<BrokerHandle>,
    dir: tempfile::TempDir,
    address: String,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut bench = Self { broker: None, dir, address: "127.0.0.1:0".to_owned() };
        bench.start();
        bench
    }

    /// Again at the same port, after [`Self::stop`].
    fn start(&mut self) {
        let listen = self.address.parse().expect("an address");
        let mut options = BrokerOptions::new(listen, self.dir.path().join("broker"));
        options.min_session_timeout = Duration::from_millis(100);
        let mut started = None;
        wait_for("the broker's port", LIMIT, || {
            started = Broker::spawn_thread(options.clone(), None).ok();
            started.is_some()
        });
        self.broker = started;
        self.address = self.broker.as_ref().expect("it runs").addr().to_string();
    }

    fn stop(&mut self) {
        self.broker.take().expect("it runs").stop_blocking().expect("it stops");
    }

    fn member(&self, name: &str, config: &SharedConfig, more: &[(&str, &str)]) -> TestHerder {
        TestHerder::start(settings(&self.address, "workers", name, more), config, 500)
    }
}

#[test]
fn work_moves_only_as_far_as_it_must() {
    let bench = Bench::new();
    let config = SharedConfig::of(&[("x", 4)]);
    let one = bench.member("one", &config, &[]);
    one.wait("all the work", |seen| seen.tasks() == 4 && seen.is_leader());
    let two = bench.member("two", &config, &[]);
    two.wait("its half", |seen| seen.tasks() == 2);
    {
        let (first, second) = (one.seen(), two.seen());
        assert_eq!((first.running.connectors.len(), first.tasks()), (1, 2));
        assert_eq!(first.revoked.iter().map(|work| work.len()).sum::<usize>(), 2);
        assert!(second.revoked.is_empty() && !second.is_leader());
        let last = second.assigned.last().expect("one");
        assert_eq!(last.protocol, ConnectProtocol::Sessioned);
        assert_eq!(last.assignment.leader_url, "http://one:8083/");
        let task = &second.running.tasks[0];
        assert_eq!(first.owners.of_task(task), Some("http://two:8083/"));
    }
    config.set(&[("x", 4), ("y", 1)]);
    one.handle().rejoin("connector y was created");
    wait_for("the new connector", LIMIT, || {
        one.seen().running.len() + two.seen().running.len() == 2 + 5
    });
    two.shutdown();
    one.wait("the leaver's work after the delay", |seen| seen.running.len() == 7);
    let delayed = one.seen().assigned.iter().any(|assigned| assigned.assignment.delay_ms > 0);
    assert!(delayed, "the leaver was waited for");
}

#[test]
fn eager_members_stop_everything_before_they_join() {
    let bench = Bench::new();
    let config = SharedConfig::of(&[("x", 3)]);
    let eager = [("connect.protocol", "eager")];
    let one = bench.member("one", &config, &eager);
    one.wait("all the work", |seen| seen.running.len() == 4);
    // A member that could do better follows those who cannot.
    let two = bench.member("two", &config, &[]);
    two.wait("its half", |seen| seen.running.len() == 2);
    one.wait("the other half", |seen| seen.running.len() == 2);
    assert_eq!(two.seen().assigned.last().expect("one").protocol, ConnectProtocol::Eager);
    assert_eq!(one.seen().revoked[0].len(), 4, "all of it, before it joined");
    one.shutdown();
    two.wait("all the work", |seen| seen.running.len() == 4);
    assert_eq!(two.seen().assigned.last().expect("one").protocol, ConnectProtocol::Sessioned);
}

#[test]
fn without_its_coordinator_a_member_stops_and_comes_back() {
    let mut bench = Bench::new();
    let config = SharedConfig::of(&[("x", 2)]);
    let one = bench.member("one", &config, &[]);
    one.wait("its work", |seen| seen.tasks() == 2);
    bench.stop();
    one.wait("that it stops", |seen| seen.lost == 1 && seen.unreachable == 1);
    assert!(one.seen().running.is_empty());
    bench.start();
    one.wait("its work again", |seen| seen.tasks() == 2);
    assert!(one.seen().fatal.is_none());
}

#[test]
fn a_herder_that_hangs_leaves_the_group_until_it_answers() {
    let bench = Bench::new();
    let config = SharedConfig::of(&[("x", 2)]);
    let short = [("rebalance.timeout.ms", "1000"), ("session.timeout.ms", "1000")];
    let one = bench.member("one", &config, &short);
    one.wait("all the work", |seen| seen.tasks() == 2);
    let two = bench.member("two", &config, &short);
    two.wait("its half", |seen| seen.tasks() == 1);
    two.busy.store(true, Ordering::Relaxed);
    one.handle().rejoin("a reason");
    one.wait("the other's work", |seen| seen.tasks() == 2 && seen.members == 1);
    two.busy.store(false, Ordering::Relaxed);
    // It still runs its task, and says so: that one is taken from both, and goes to one of them.
    wait_for("one task each", LIMIT, || one.seen().tasks() == 1 && two.seen().tasks() == 1);
}

#[test]
fn heartbeats_go_on_while_the_herder_works() {
    let bench = Bench::new();
    let config = SharedConfig::of(&[("x", 2)]);
    let session = [("session.timeout.ms", "600")];
    let one = bench.member("one", &config, &session);
    one.wait("all the work", |seen| seen.tasks() == 2);
    let id = one.seen().assigned[0].member_id.clone();
    one.busy.store(true, Ordering::Relaxed);
    one.handle().rejoin("a reason");
    // Several sessions long, far less than the rebalance may take.
    crate::rig::pause(Duration::from_secs(2));
    one.busy.store(false, Ordering::Relaxed);
    one.wait("the next round", |seen| seen.assigned.len() == 2);
    assert_eq!(one.seen().assigned[1].member_id, id, "it was a member all the time");
    assert!(one.seen().revoked.is_empty());
}

#[test]
fn a_leader_that_lags_has_all_read_on_first() {
    let bench = Bench::new();
    let config = SharedConfig::of(&[("x", 2)]);
    let one = bench.member("one", &config, &[]);
    one.wait("all the work", |seen| seen.tasks() == 2);
    *one.behind.lock().expect("not poisoned") = 1;
    let two = bench.member("two", &config, &[]);
    let failed = |seen: &crate::herder::Seen| {
        seen.assigned.last().is_some_and(|assigned| assigned.assignment.failed())
    };
    two.wait("an assignment that failed", failed);
    one.wait("an assignment that failed", failed);
    assert_eq!(one.seen().tasks(), 2, "what runs goes on");
    *one.behind.lock().expect("not poisoned") = 0;
    wait_for("one task each", LIMIT, || one.seen().tasks() == 1 && two.seen().tasks() == 1);
}

#[test]
fn a_member_leaves_and_joins_again_when_it_is_told_to() {
    let bench = Bench::new();
    let config = SharedConfig::of(&[("x", 2)]);
    let one = bench.member("one", &config, &[]);
    one.wait("all the work", |seen| seen.tasks() == 2);
    let two = bench.member("two", &config, &[]);
    two.wait("its half", |seen| seen.tasks() == 1);
    two.handle().leave("taking too long to read the log");
    one.wait("that it is alone", |seen| seen.members == 1);
    two.seen().running = Default::default();
    two.handle().forget();
    two.handle().rejoin("it has read the log");
    two.wait("its half again", |seen| seen.tasks() == 1);
    one.wait("the rest", |seen| seen.tasks() == 1 && seen.members == 2);
}

#[test]
fn a_group_of_consumers_cannot_be_joined() {
    let bench = Bench::new();
    let dir = tempfile::tempdir().expect("a folder");
    let kcat = || {
        let mut command = Command::new("kcat");
        command.args(["-b", &bench.address]);
        command
    };
    let mut producer = kcat();
    producer.args(["-P", "-t", "some-topic"]);
    produced(producer, "a record\n");
    let mut kcat = kcat();
    kcat.args(["-G", "workers", "some-topic"]);
    let log = dir.path().join("kcat.log");
    let consumer = Process::start(&mut kcat, &log);
    wait_for("the consumer's membership", LIMIT, || consumer.log().contains("rebalanced"));
    let one = bench.member("one", &SharedConfig::of(&[]), &[]);
    one.wait("that it gives up", |seen| seen.fatal.is_some());
    let message = one.seen().fatal.clone().expect("it is there");
    assert!(message.contains("'workers' are no Connect workers"), "{message}");
    drop(consumer);
}

/// Nothing that a coordinator says of a member stops its work: it is offered when the member joins
/// again, under a new id if it must, and comes back.
#[test]
fn work_goes_on_through_the_coordinators_errors() {
    let bench = Bench::new();
    let config = SharedConfig::of(&[("x", 3)]);
    let one = bench.member("one", &config, &[]);
    one.wait("all the work", |seen| seen.tasks() == 3);
    let faults = bench.broker.as_ref().expect("it runs").faults();
    let (join, heartbeat, sync) = (11, 12, 14);
    let mut ids = std::collections::BTreeSet::new();
    for (api, action) in [
        (heartbeat, FaultAction::Error(27)),
        (heartbeat, FaultAction::Error(25)),
        (heartbeat, FaultAction::Error(22)),
        (heartbeat, FaultAction::Error(16)),
        (heartbeat, FaultAction::Disconnect),
        (join, FaultAction::Error(15)),
        (join, FaultAction::Error(14)),
        (join, FaultAction::Error(25)),
        (join, FaultAction::Disconnect),
        (sync, FaultAction::Error(27)),
        (sync, FaultAction::Error(25)),
        (sync, FaultAction::Error(16)),
        (sync, FaultAction::DisconnectAfter),
    ] {
        let what = format!("{action:?} for API {api}");
        faults.inject(Fault::new(api, action, 1));
        if api != heartbeat {
            one.handle().rejoin("a reason");
        }
        wait_for(&what, LIMIT, || faults.pending() == 0);
        let rounds = one.seen().assigned.len();
        one.handle().rejoin("another round");
        one.wait(&what, |seen| seen.assigned.len() > rounds);
        let seen = one.seen();
        assert_eq!((seen.running.len(), seen.revoked.len(), seen.lost), (4, 0, 0), "{what}");
        assert!(seen.fatal.is_none(), "{what}: {:?}", seen.fatal);
        ids.insert(seen.assigned.last().expect("one").member_id.clone());
    }
    assert!(ids.len() > 1, "forgotten, it joined under another id");
}
