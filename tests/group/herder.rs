//! A herder that does what it is told and remembers it; a configuration that several share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use millrace_api::Config;
use millrace_herder::assignor::{Assignor, ClusterSnapshot, Owners};
use millrace_herder::connect_protocol::ConnectorsAndTasks;
use millrace_herder::membership::{Assigned, MemberEvent, MembershipHandle, MembershipSettings};

use crate::rig::{pause, wait_for};

/// What the config topic would say, to all who share it.
#[derive(Clone, Default)]
pub struct SharedConfig(Arc<Mutex<ClusterSnapshot>>);

impl SharedConfig {
    pub fn of(connectors: &[(&str, u32)]) -> Self {
        let config = Self::default();
        config.set(connectors);
        config
    }

    /// Replaces all connectors, one offset further.
    pub fn set(&self, connectors: &[(&str, u32)]) {
        let mut snapshot = self.lock();
        snapshot.config_offset += 1;
        snapshot.connectors =
            connectors.iter().map(|(name, tasks)| (Arc::from(*name), *tasks)).collect();
    }

    pub fn lock(&self) -> MutexGuard<'_, ClusterSnapshot> {
        self.0.lock().expect("no test panicked while holding it")
    }
}

/// What happened to a member.
#[derive(Default)]
pub struct Seen {
    pub running: ConnectorsAndTasks,
    pub assigned: Vec<Assigned>,
    pub revoked: Vec<ConnectorsAndTasks>,
    pub members: usize,
    pub owners: Owners,
    pub prepared: usize,
    pub unreachable: usize,
    pub lost: usize,
    pub fatal: Option<String>,
}

impl Seen {
    pub fn tasks(&self) -> usize {
        self.running.tasks.len()
    }

    pub fn is_leader(&self) -> bool {
        self.assigned.last().is_some_and(Assigned::is_leader)
    }
}

pub struct TestHerder {
    pub membership: Option<MembershipHandle>,
    seen: Arc<Mutex<Seen>>,
    /// It answers nothing while this is set.
    pub busy: Arc<AtomicBool>,
    /// It reads this far behind the shared configuration.
    pub behind: Arc<Mutex<i64>>,
    thread: Option<JoinHandle<()>>,
}

pub fn settings(
    bootstrap: &str,
    group: &str,
    name: &str,
    more: &[(&str, &str)],
) -> MembershipSettings {
    let basic = [
        ("bootstrap.servers", bootstrap),
        ("group.id", group),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "200"),
        ("retry.backoff.ms", "50"),
    ];
    let all = basic.iter().chain(more);
    let file: Config = all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    MembershipSettings::of(&file, &format!("http://{name}:8083/"), &format!("{name}:8083"))
        .expect("good settings")
}

impl TestHerder {
    pub fn start(settings: MembershipSettings, config: &SharedConfig, max_delay_ms: i32) -> Self {
        let (events, inbox) = flume::bounded(16);
        let membership = MembershipHandle::start(settings, events).expect("a thread");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (busy, behind) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
        let mut herder = Herding {
            seen: Arc::clone(&seen),
            config: config.clone(),
            assignor: Assignor::new(max_delay_ms),
            busy: Arc::clone(&busy),
            behind: Arc::clone(&behind),
            start: Instant::now(),
        };
        let thread = std::thread::spawn(move || {
            for event in inbox {
                herder.hear(event);
            }
        });
        Self { membership: Some(membership), seen, busy, behind, thread: Some(thread) }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no test panicked while holding it")
    }

    pub fn wait(&self, what: &str, ready: impl Fn(&Seen) -> bool) {
        wait_for(what, crate::LIMIT, || ready(&self.seen()));
    }

    pub fn handle(&self) -> &MembershipHandle {
        self.membership.as_ref().expect("until it is shut down")
    }

    /// Leaves the group gracefully.
    pub fn shutdown(mut self) {
        if let Some(membership) = self.membership.take() {
            membership.shutdown();
        }
    }
}

impl Drop for TestHerder {
    fn drop(&mut self) {
        self.busy.store(false, Ordering::Relaxed);
        drop(self.membership.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Herding {
    seen: Arc<Mutex<Seen>>,
    config: SharedConfig,
    assignor: Assignor,
    busy: Arc<AtomicBool>,
    behind: Arc<Mutex<i64>>,
    start: Instant,
}

impl Herding {
    /// As far as this herder has read.
    fn snapshot(&self) -> ClusterSnapshot {
        let mut snapshot = self.config.lock().clone();
        snapshot.config_offset -= *self.behind.lock().expect("not poisoned");
        snapshot
    }

    fn hear(&mut self, event: MemberEvent) {
        while self.busy.load(Ordering::Relaxed) {
            pause(std::time::Duration::from_millis(20));
        }
        let config = self.snapshot();
        let mut seen = self.seen.lock().expect("not poisoned");
        match event {
            MemberEvent::Prepare { reply } => {
                seen.prepared += 1;
                reply.send(config.config_offset);
            }
            MemberEvent::Revoked { work, reply } => {
                seen.running = seen.running.without(&work);
                seen.revoked.push(work);
                reply.send(());
            }
            MemberEvent::Assign { round, reply } => {
                seen.members = round.members.len();
                let now_ms = self.start.elapsed().as_millis() as i64 + 1;
                let mut config = config;
                // The offset of a real config topic is the JVM's to know.
                let theirs = round.members.values().map(|state| state.config_offset);
                let behind = *self.behind.lock().expect("not poisoned") != 0;
                let most = theirs.max().unwrap_or(-1);
                if !behind {
                    config.config_offset = config.config_offset.max(most);
                }
                let plan = self.assignor.assign(&round, &config, now_ms);
                seen.owners = plan.owners;
                reply.send(plan.assignments);
            }
            MemberEvent::Assigned(assigned) => {
                if !assigned.assignment.failed() {
                    // What was revoked stopped, what is kept runs, what is new starts.
                    for id in &assigned.added.tasks {
                        assert!(!seen.running.tasks.contains(id), "{id} starts twice");
                    }
                    seen.running = seen.running.with(&assigned.added);
                    assert_eq!(sorted(&seen.running), sorted(&assigned.assignment.work));
                }
                seen.assigned.push(assigned);
            }
            MemberEvent::Unreachable { .. } => seen.unreachable += 1,
            MemberEvent::Lost { .. } => {
                seen.running = ConnectorsAndTasks::default();
                seen.lost += 1;
            }
            MemberEvent::Fatal { message } => seen.fatal = Some(message),
        }
    }
}

fn sorted(work: &ConnectorsAndTasks) -> BTreeMap<String, ()> {
    let tasks = work.tasks.iter().map(ToString::to_string);
    work.connectors.iter().map(ToString::to_string).chain(tasks).map(|one| (one, ())).collect()
}
