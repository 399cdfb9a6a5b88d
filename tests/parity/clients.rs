//! Three REST clients as they are published (PyPI `kafkaconnect`, `kafka-connect-py`,
//! `kafka_connect_api`): each of their commands on a JVM worker and on ours, with the same outcome.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::comparable::comparable;
use crate::rig::{cache, project};

/// What the clients said of the worker at that port, a line a command.
fn transcript(port: u16, bootstrap: &str, dir: &Path) -> Vec<Value> {
    let output = Command::new(cache().join("python/bin/python"))
        .arg(project().join("tests/parity/clients.py"))
        .args([&format!("http://127.0.0.1:{port}"), bootstrap])
        .arg(dir)
        .env("NO_PROXY", "*")
        .output()
        .expect("Python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).map(comparable).collect()
}

/// How many commands there were, and those with another outcome.
pub fn differences(ports: [u16; 2], bootstraps: [&str; 2], dir: &Path) -> (usize, Vec<String>) {
    let [jvm, ours] = [0, 1].map(|at| transcript(ports[at], bootstraps[at], dir));
    let mut wrong: Vec<String> = jvm
        .iter()
        .zip(&ours)
        .filter(|(theirs, mine)| theirs != mine)
        .map(|(theirs, mine)| format!("{}\n  JVM:  {theirs}\n  ours: {mine}", theirs["command"]))
        .collect();
    if jvm.len() != ours.len() {
        wrong.push(format!("{} outcomes with the JVM, {} with ours", jvm.len(), ours.len()));
    }
    (jvm.len(), wrong)
}
