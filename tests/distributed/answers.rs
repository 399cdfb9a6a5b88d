//! What workers of a cluster answer to a list of requests, each asked when the one before has had its
//! effect, so that answers of different workers can be compared.
//!
//! A worker that is about to rebalance says so with 409, and is asked again. What GET shows may be on
//! its way (another worker's write, a status): it is asked until it is as it should be. All else is
//! asked once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::LIMIT;
use super::comparable::comparable;
use super::requests::Asked;
use crate::rig::wait_for;
use crate::rig::worker::{call_with, get};

/// How long a difference may last that passes.
const PASSING: Duration = Duration::from_secs(20);
/// A sink whose tasks fail at their first record.
pub const FAILING: &str = "bad";

pub type Answer = (u16, Value);

/// A request with the headers that only some have.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub asked: Asked,
    pub headers: &'a [(&'a str, &'a str)],
}

impl From<Asked> for Question<'_> {
    fn from(asked: Asked) -> Self {
        Self { asked, headers: &[] }
    }
}

impl Question<'_> {
    pub fn text(&self) -> String {
        let (method, path, body) = self.asked;
        let headers: Vec<_> = self.headers.iter().map(|(_, value)| *value).collect();
        format!("{method} {path} {body} {}", headers.join(" "))
    }
}

/// A worker that is asked, with what it has been told to do so far.
pub struct Asker {
    pub port: u16,
    /// Who leads it, if somebody else does: what it hands on is decided by what that one has heard.
    leader: Option<u16>,
    /// What each connector, its name as in a path, was last told to be.
    told: RefCell<BTreeMap<String, &'static str>>,
}

impl Asker {
    pub fn new(port: u16) -> Self {
        Self { port, leader: None, told: RefCell::default() }
    }

    pub fn led_by(port: u16, leader: u16) -> Self {
        Self { leader: Some(leader), ..Self::new(port) }
    }

    fn ports(&self) -> impl Iterator<Item = u16> {
        std::iter::once(self.port).chain(self.leader)
    }

    pub fn ask(&self, question: &Question<'_>) -> Answer {
        let (method, path, body) = question.asked;
        let mut last = None;
        wait_for(&format!("an answer to {}", question.text()), LIMIT, || {
            last = call_with(self.port, method, path, question.headers, body);
            last.as_ref().is_some_and(|(status, answer)| !is_passing(*status, answer, path))
        });
        let (status, answer) = last.expect("it was answered");
        (status, shown(answer, path))
    }

    /// Asks what GET shows until it is as expected; the last answer. A restart may be asked for again,
    /// too: what it says depends on whether the restart before has come to its end at the leader.
    pub fn ask_until(&self, question: &Question<'_>, expected: &Answer) -> Answer {
        let start = std::time::Instant::now();
        loop {
            let answer = self.ask(question);
            let (method, path, _) = question.asked;
            let passes = method == "GET" || path.contains("/restart");
            if answer == *expected || !passes || start.elapsed() > PASSING {
                return answer;
            }
            crate::rig::pause(Duration::from_millis(100));
        }
    }

    /// Waits until a request that was answered so has had its effect, here and at the leader.
    pub fn settle(&self, (method, path, body): Asked, (status, answer): &Answer) {
        if *method == *"GET" || *status >= 300 {
            return;
        }
        let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let mut parts = path.trim_start_matches('/').split('/');
        let (Some("connectors"), named) = (parts.next(), parts.next()) else { return };
        let verb = parts.next().unwrap_or_default();
        let created = answer["name"].as_str().unwrap_or_default();
        let name = named.map_or_else(|| created.replace(' ', "%20"), str::to_owned);
        match (method, verb) {
            ("DELETE", "") => return self.wait_until_gone(&name),
            (_, "offsets" | "topics" | "fence") => return,
            _ => {}
        }
        let known = self.told.borrow().get(&name).copied();
        let state = match verb {
            "pause" => "PAUSED",
            "stop" => "STOPPED",
            "resume" => "RUNNING",
            _ => known.unwrap_or(match body.to_ascii_lowercase() {
                body if body.contains(r#""initial_state":"stopped""#) => "STOPPED",
                body if body.contains(r#""initial_state":"paused""#) => "PAUSED",
                _ => "RUNNING",
            }),
        };
        self.told.borrow_mut().insert(name.clone(), state);
        self.ports().for_each(|port| wait_until(port, &name, state));
        if name == "a" && state == "RUNNING" && (known.is_none() || verb == "resume") {
            // Also after its topics and offsets were reset: the record comes again.
            self.wait_for_topics();
        }
    }

    fn wait_until_gone(&self, name: &str) {
        self.told.borrow_mut().remove(name);
        let paths = ["", "/status"].map(|end| format!("/connectors/{name}{end}"));
        for port in self.ports() {
            wait_for(&format!("{name} to be gone at {port}"), LIMIT, || {
                paths.iter().all(|path| get(port, path).is_some_and(|(status, _)| status == 404))
            });
        }
    }

    /// One record is in the topic.
    fn wait_for_topics(&self) {
        for port in self.ports() {
            wait_for("the topics of a", LIMIT, || {
                let answer = get(port, "/connectors/a/topics");
                answer.is_some_and(|(_, topics)| topics["a"]["topics"] == json!(["rest-parity"]))
            });
        }
    }
}

/// The connector and all the tasks that its configuration asks for are in that state.
fn wait_until(port: u16, name: &str, state: &str) {
    let get = |path: &str| {
        let answer = get(port, &format!("/connectors/{name}{path}"));
        answer.filter(|(status, _)| *status == 200).map(|(_, body)| body)
    };
    let mut last = None;
    wait_for(&format!("{name} to be {state} at {port}"), LIMIT, || {
        let now = (get(""), get("/tasks"), get("/status"));
        let (Some(info), Some(tasks), Some(status)) = &now else { return false };
        let (config, none) = (&info["config"], Vec::new());
        let tasks = tasks.as_array().unwrap_or(&none);
        let statuses = status["tasks"].as_array().unwrap_or(&none);
        let sink = info["type"] == "sink";
        let most = config["tasks.max"].as_str().and_then(|text| text.parse().ok());
        let count = match (state, sink) {
            ("STOPPED", _) => 0,
            // None, if it has never run.
            ("PAUSED", _) => tasks.len(),
            (_, true) => most.unwrap_or(1),
            (_, false) => 1,
        };
        // What the connector was told has come to its tasks.
        let current = |task: &Value| {
            let of_connector = config.as_object().into_iter().flatten();
            of_connector.into_iter().all(|(key, value)| task["config"][key] == *value)
        };
        let of_tasks = match state {
            "RUNNING" if name == FAILING => "FAILED",
            other => other,
        };
        let ready = status["connector"]["state"] == state
            && tasks.len() == count
            && tasks.iter().all(current)
            && statuses.len() == count
            && statuses.iter().all(|task| task["state"] == of_tasks);
        if !ready && last.as_ref() != Some(status) {
            eprintln!("{name} at {port}: {status}");
            last = Some(status.clone());
        }
        ready
    });
}

/// It will be answered otherwise when the group is at rest.
fn is_passing(status: u16, answer: &Value, path: &str) -> bool {
    let message = answer["message"].as_str().unwrap_or_default();
    status == 409
        && (message.starts_with("Cannot complete request momentarily")
            || message.starts_with("Cannot complete request because of a conflicting operation")
                && !path.contains("forward="))
}

/// Without times and traces, which are each worker's own; in the answer to a restart, how far those
/// are that it does not concern is chance, and so is what is left of an earlier one's traces.
fn shown(answer: Value, path: &str) -> Value {
    fn mask(value: &mut Value, restart: bool, traces: bool) {
        match value {
            Value::Object(object) => {
                if !traces {
                    object.remove("trace");
                }
                for (key, value) in object.iter_mut() {
                    match key.as_str() {
                        "last_modified" if value.is_number() => *value = json!("a time"),
                        "trace" => *value = json!("its own"),
                        // The JVM's RESTARTING knows none.
                        "version" if restart => *value = json!("a version"),
                        "state" if restart && (*value == "RUNNING" || *value == "UNASSIGNED") => {
                            *value = json!("not concerned");
                        }
                        _ => mask(value, restart, traces),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| mask(item, restart, traces)),
            _ => {}
        }
    }
    let restart = path.contains("/restart");
    let mut answer = comparable(answer);
    mask(&mut answer, restart, !restart || path.contains("onlyFailed=true"));
    answer
}

/// Asks both, in step. The JVM's answers, and what differs.
pub fn compare(
    jvm: &Asker,
    ours: &Asker,
    questions: &[Question<'_>],
) -> (Vec<Answer>, Vec<String>) {
    let (mut answers, mut wrong) = (Vec::new(), Vec::new());
    for question in questions {
        let mut theirs = jvm.ask(question);
        let mut mine = ours.ask(question);
        if theirs != mine && question.asked.0 == "GET" {
            // Either may have been on its way.
            theirs = jvm.ask_until(question, &mine);
            mine = ours.ask_until(question, &theirs);
        }
        note(&mut wrong, question, &theirs, &mine);
        jvm.settle(question.asked, &theirs);
        ours.settle(question.asked, &mine);
        answers.push(theirs);
    }
    (answers, wrong)
}

/// Asks one worker what others have answered so.
pub fn compare_with(asker: &Asker, questions: &[Question<'_>], answers: &[Answer]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (question, expected) in questions.iter().zip(answers) {
        // One hop alone: who does not lead may not ask who does.
        if question.asked.1.contains("forward=") {
            continue;
        }
        let answer = asker.ask_until(question, expected);
        note(&mut wrong, question, expected, &answer);
        asker.settle(question.asked, &answer);
    }
    wrong
}

fn note(wrong: &mut Vec<String>, question: &Question<'_>, expected: &Answer, answer: &Answer) {
    if expected != answer {
        wrong.push(format!(
            "{}\n  JVM:  {} {}\n  ours: {} {}",
            question.text(),
            expected.0,
            expected.1,
            answer.0,
            answer.1
        ));
    }
}
