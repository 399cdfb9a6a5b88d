//! Random rounds through the JVM's assignors and through ours: the same assignments to
//! every member.
//!
//! Members come, go and hang, connectors are made, reconfigured and deleted, delays run out or not,
//! leaders change, lag behind or miss a generation; the seed is printed where they differ.
//! `MILLRACE_ORACLE_SEED` and `MILLRACE_ORACLE_CASES` choose others and more.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use millrace_herder::assignor::{Assignor, ClusterSnapshot};
use millrace_herder::connect_protocol::{Assignment, ConnectProtocol, WorkerState};
use millrace_herder::membership::Round;

use crate::random::Random;
use crate::rig;

const SEED: u64 = 20_261_121;
const CASES: u64 = 150;
const ROUNDS: usize = 40;
const DELAYS: [i32; 6] = [300_000, 300_000, 0, 1, 1_000, 70_000];
/// A set of these is walked in this order by Java, too: which of several candidates gets what
/// depends on that.
const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const NAMES: [&str; 9] = ["c1", "c2", "c3", "c4", "c5", "long-connector", "ü", "z.z", "C"];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(pair).collect()
}

/// One group through its life.
struct Life {
    random: Random,
    protocol: ConnectProtocol,
    assignor: Assignor,
    members: BTreeMap<String, WorkerState>,
    snapshot: ClusterSnapshot,
    leader: String,
    generation: i32,
    completed: i32,
    now_ms: i64,
    max_delay_ms: i32,
    /// For the JVM.
    script: String,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let max_delay_ms = DELAYS[random.below(DELAYS.len())];
        let protocol = match random.below(8) {
            0 => ConnectProtocol::Eager,
            1..3 => ConnectProtocol::Compatible,
            _ => ConnectProtocol::Sessioned,
        };
        let mut life = Self {
            random,
            protocol,
            assignor: Assignor::new(max_delay_ms),
            members: BTreeMap::new(),
            snapshot: ClusterSnapshot { config_offset: 1, connectors: BTreeMap::new() },
            leader: String::new(),
            generation: 0,
            completed: -1,
            now_ms: 1_000_000,
            max_delay_ms,
            script: format!("new {max_delay_ms}\n"),
        };
        for _ in 0..1 + life.random.below(3) {
            life.join();
            life.configure();
        }
        life
    }

    fn join(&mut self) {
        let id = (*self.random.pick(&IDS)).to_owned();
        let url = format!("http://{id}:8083/");
        self.members.entry(id).or_insert(WorkerState { url, ..WorkerState::default() });
    }

    fn leave(&mut self) {
        if self.members.len() > 1 {
            let at = self.random.below(self.members.len());
            let id = self.members.keys().nth(at).expect("it is there").clone();
            self.members.remove(&id);
        }
    }

    fn configure(&mut self) {
        self.snapshot.config_offset += 1;
        let name: Arc<str> = (*self.random.pick(&NAMES)).into();
        match self.random.below(4) {
            0 => drop(self.snapshot.connectors.remove(&name)),
            _ => drop(self.snapshot.connectors.insert(name, self.random.below(6) as u32)),
        }
    }

    fn change(&mut self) {
        for _ in 0..self.random.below(3) {
            match self.random.below(4) {
                0 => self.join(),
                1 => self.leave(),
                2 => self.configure(),
                _ => {}
            }
        }
        let passed = match self.random.below(4) {
            0 => 1,
            1 => self.random.below(2_000),
            2 => self.random.below(70_000),
            _ => self.max_delay_ms as usize,
        };
        self.now_ms += passed as i64;
        if self.random.once_in(25) {
            // Another led meanwhile.
            self.completed -= 1;
        }
        if self.random.once_in(25) {
            self.assignor = Assignor::new(self.max_delay_ms);
            let _ = writeln!(self.script, "new {}", self.max_delay_ms);
        }
        if !self.members.contains_key(&self.leader) {
            self.leader = self.members.keys().next().expect("one is always there").clone();
        }
        let offset = self.snapshot.config_offset;
        let ahead = self.random.once_in(30);
        for (id, state) in &mut self.members {
            let behind = *id != self.leader && self.random.once_in(5);
            state.config_offset = offset - i64::from(behind);
        }
        if ahead && let Some(state) = self.members.values_mut().next() {
            state.config_offset = offset + 1;
        }
    }

    /// A round of ours; what the JVM has to answer to it.
    fn round(&mut self) -> BTreeMap<String, Vec<u8>> {
        self.change();
        self.generation += 1;
        let protocol = self.protocol;
        let _ = writeln!(
            self.script,
            "round {} {} {} {} {}\nconfig {}",
            protocol.name(),
            self.leader,
            self.completed,
            self.generation,
            self.now_ms,
            self.snapshot.config_offset
        );
        for (name, tasks) in &self.snapshot.connectors {
            let _ = writeln!(self.script, "connector {name} {tasks}");
        }
        let mut members = BTreeMap::new();
        for (id, state) in &self.members {
            let bytes = state.encode(protocol);
            let _ = writeln!(self.script, "member {id} {}", hex(&bytes));
            members.insert(id.clone(), WorkerState::decode(&bytes).expect("our own bytes"));
        }
        self.script.push_str("end\n");
        let round = Round {
            protocol,
            generation: self.generation,
            last_completed_generation: self.completed,
            leader: self.leader.clone(),
            members,
        };
        let plan = self.assignor.assign(&round, &self.snapshot, self.now_ms);
        let sent = plan.assignments.iter().map(|(id, given)| (id.clone(), given.encode(protocol)));
        let sent: BTreeMap<_, _> = sent.collect();
        if !self.random.once_in(30) {
            self.completed = self.generation;
        }
        for (id, bytes) in &sent {
            // Now and then a member hangs and takes nothing; one that does keeps what it keeps.
            if self.random.once_in(20) {
                continue;
            }
            let mut given = Assignment::decode(bytes).expect("our own bytes");
            let state = self.members.get_mut(id).expect("a member");
            let held = state.assignment.take().map(|held| held.work).unwrap_or_default();
            given.work = given.work.with(&held.without(&given.revoked));
            given.revoked = Default::default();
            state.assignment = Some(given);
        }
        sent
    }
}

/// What an answer says: connectors are in a hash's order there.
fn sorted(bytes: &[u8]) -> Assignment {
    let mut given = Assignment::decode(bytes).expect("an assignment");
    for work in [&mut given.work, &mut given.revoked] {
        work.connectors.sort();
        work.tasks.sort();
    }
    given
}

fn ask_the_jvm(script: &str) -> Vec<BTreeMap<String, Vec<u8>>> {
    let dir = tempfile::tempdir().expect("a folder");
    let libs = format!("{}/*", rig::kafka::libs().display());
    let source = rig::project().join("tests/group/AssignorOracle.java");
    let compiled = Command::new("javac")
        .args(["-nowarn", "-cp", &libs, "-d"])
        .arg(dir.path())
        .arg(source)
        .output()
        .expect("javac");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let input = dir.path().join("rounds");
    std::fs::write(&input, script).expect("a file");
    let ran = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp"])
        .arg(format!("{}:{libs}", dir.path().display()))
        .arg("org.apache.kafka.connect.runtime.distributed.AssignorOracle")
        .stdin(Stdio::from(std::fs::File::open(&input).expect("the file")))
        .output()
        .expect("java");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut answers = vec![BTreeMap::new()];
    for line in String::from_utf8(ran.stdout).expect("text").lines() {
        match line.split_once(' ') {
            Some((id, bytes)) => {
                answers.last_mut().expect("one").insert(id.to_owned(), unhex(bytes));
            }
            None => answers.push(BTreeMap::new()),
        }
    }
    answers.pop();
    answers
}

#[test]
fn random_rounds_are_assigned_as_by_the_jvm() {
    let seed = setting("MILLRACE_ORACLE_SEED", SEED);
    let mut script = String::new();
    let mut ours = Vec::new();
    for case in 0..setting("MILLRACE_ORACLE_CASES", CASES) {
        let mut life = Life::new(seed + case);
        for round in 0..ROUNDS {
            let answer = life.round();
            ours.push((seed + case, round, answer));
        }
        script.push_str(&life.script);
    }
    let theirs = ask_the_jvm(&script);
    assert_eq!(theirs.len(), ours.len());
    for ((seed, round, ours), theirs) in ours.iter().zip(&theirs) {
        let at = format!("seed {seed}, round {round}");
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{at}");
        for (id, bytes) in ours {
            assert_eq!(sorted(bytes), sorted(&theirs[id]), "{at}, member {id}");
        }
    }
}
