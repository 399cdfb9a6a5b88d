//! `millrace bench` as the other measurements use it: files in, its report out.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::rig::worker::{binary, properties};

/// Runs it with these files; panics with what it said when it fails.
pub fn run(connector: &[(&str, &str)], worker: &[(&str, &str)], more: &[&str]) -> Value {
    let dir = tempfile::tempdir().expect("a folder");
    let report = dir.path().join("report.json");
    let status = Command::new(binary())
        .arg("bench")
        .arg(properties(dir.path(), "connector.properties", connector))
        .arg("--worker")
        .arg(properties(dir.path(), "worker.properties", worker))
        .arg("--json")
        .arg(&report)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .expect("our binary; build it with cargo build --release");
    assert!(status.success(), "the bench failed: {connector:?} {more:?}");
    read(&report)
}

fn read(path: &Path) -> Value {
    let bytes = std::fs::read(path).expect("the bench's report");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// A side's median of a figure; NaN where it has none.
pub fn median(report: &Value, side: &str, figure: &str) -> f64 {
    let sides = report["sides"].as_array().into_iter().flatten();
    let found = sides.into_iter().find(|one| one["side"] == side);
    let figures = found.map(|one| &one["median"]);
    let value = figures.and_then(|median| match figure.strip_prefix("latency.") {
        Some(quantile) => median["latency_us"][quantile].as_f64(),
        None => median[figure].as_f64(),
    });
    value.unwrap_or(f64::NAN)
}
