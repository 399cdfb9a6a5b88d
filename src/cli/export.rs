//! `millrace export`: the bulk job. Everything up to the end offsets at its start is delivered and
//! durable when it exits 0; stopped and run again it goes on from its offsets.

use std::path::PathBuf;
use std::time::Duration;

use millrace_worker::command::{Bounds, Position};
use millrace_worker::engine::Engine;

use super::job::{self, Outcome, used};
use super::prepare::Prepared;
use super::progress::{Bar, bytes, grouped};
use super::{Failure, Files, loggers, runtime, signals};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// Start here instead of at the committed offsets: earliest, offset:N, or a time
    /// (2026-01-31T12:00:00Z, or milliseconds since 1970)
    #[arg(long, value_parser = position)]
    from: Option<Position>,
    /// End here instead of at the end offsets of now: latest, offset:N, or a time
    #[arg(long, value_parser = position)]
    until: Option<Position>,
    /// Write what was done to this file, as JSON
    #[arg(long)]
    report: Option<PathBuf>,
}

/// The exit code of a job that was asked to stop before its end.
const INTERRUPTED: u8 = 130;
/// The exit code of a job whose task failed.
const FAILED: u8 = 1;

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    loggers::start("warn");
    let prepared = Prepared::load(&arguments.files.connector, &arguments.files.worker)?;
    let stop = signals::stop_flag();
    let outcome = export(&prepared, arguments.from, arguments.until, &stop)?;
    if let Some(path) = &arguments.report {
        let text = report(&prepared.name, &outcome);
        std::fs::write(path, text).map_err(|error| {
            Failure::new(
                FAILED,
                format!("the report cannot be written to {}: {error}", path.display()),
            )
        })?;
    }
    summarise(&outcome);
    match (&outcome.failure, outcome.interrupted) {
        (Some(trace), _) => Err(Failure::new(FAILED, format!("the export failed:\n{trace}"))),
        (None, true) => Err(Failure::new(
            INTERRUPTED,
            "stopped before the end; run the same command again to go on",
        )),
        (None, false) => Ok(()),
    }
}

/// Starts the engine and runs the job with its progress bar.
pub(crate) fn export(
    prepared: &Prepared,
    from: Option<Position>,
    until: Option<Position>,
    stop: &std::sync::Arc<std::sync::atomic::AtomicBool>,
) -> Result<Outcome, Failure> {
    let mut options = prepared.worker.engine_options();
    options.runtime = Some(runtime(options.runtime, options.cpus.len())?);
    let tasks = prepared.tasks(&|share| Bounds { share, from, until })?;
    let (engine, reports) = Engine::start(&options)
        .map_err(|error| Failure::startup(format!("the engine cannot start: {error}")))?;
    let mut bar = Bar::new();
    let outcome = job::run(engine, &reports, tasks, stop, |tally| bar.show(tally));
    bar.end();
    Ok(outcome)
}

fn summarise(outcome: &Outcome) {
    let tally = &outcome.tally;
    let (cpu, memory) = used();
    let seconds = outcome.elapsed.as_secs_f64().max(1e-9);
    eprintln!(
        "{} records ({}) in {:.2} s: {} records/s, {} records per CPU-second, peak memory {}{}",
        grouped(tally.records_in),
        bytes(tally.bytes_in),
        seconds,
        grouped((tally.records_in as f64 / seconds) as u64),
        grouped((tally.records_in as f64 / cpu.as_secs_f64().max(1e-9)) as u64),
        bytes(memory),
        if tally.records_dropped > 0 {
            format!("; {} dropped", grouped(tally.records_dropped))
        } else {
            String::new()
        }
    );
}

fn report(name: &str, outcome: &Outcome) -> String {
    let (cpu, memory) = used();
    let state = match (&outcome.failure, outcome.interrupted) {
        (Some(_), _) => "failed",
        (None, true) => "interrupted",
        (None, false) => "finished",
    };
    let partitions: Vec<_> = outcome
        .partitions
        .iter()
        .map(|((topic, partition), (at, end))| {
            serde_json::json!({"topic": topic, "partition": partition, "offset": at, "end": end})
        })
        .collect();
    let value = serde_json::json!({
        "connector": name,
        "state": state,
        "error": outcome.failure,
        "records_in": outcome.tally.records_in,
        "records_out": outcome.tally.records_out,
        "records_dropped": outcome.tally.records_dropped,
        "bytes_in": outcome.tally.bytes_in,
        "seconds": outcome.elapsed.as_secs_f64(),
        "cpu_seconds": cpu.as_secs_f64(),
        "peak_memory_bytes": memory,
        "partitions": partitions,
    });
    format!("{value:#}\n")
}

/// `earliest`, `latest`, `offset:N`, an RFC 3339 time, or milliseconds since the epoch.
fn position(text: &str) -> Result<Position, String> {
    let wrong = || {
        format!(
            "{text} is none of: earliest, latest, offset:N, 2026-01-31T12:00:00Z, milliseconds since 1970"
        )
    };
    match text {
        "earliest" => return Ok(Position::Earliest),
        "latest" => return Ok(Position::Latest),
        _ => {}
    }
    if let Some(offset) = text.strip_prefix("offset:") {
        return offset
            .parse()
            .ok()
            .filter(|offset| *offset >= 0)
            .map(Position::Offset)
            .ok_or_else(wrong);
    }
    if let Ok(millis) = text.parse::<i64>() {
        return Ok(Position::Timestamp(millis));
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    let since = Duration::try_from(time.duration_since(jiff::Timestamp::UNIX_EPOCH))
        .map_err(|_| wrong())?;
    i64::try_from(since.as_millis()).map(Position::Timestamp).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_in_every_form() {
        assert_eq!(position("earliest"), Ok(Position::Earliest));
        assert_eq!(position("offset:12"), Ok(Position::Offset(12)));
        assert_eq!(position("1700000000000"), Ok(Position::Timestamp(1_700_000_000_000)));
        assert_eq!(position("2023-11-14T22:13:20Z"), Ok(Position::Timestamp(1_700_000_000_000)));
        for wrong in ["offset:-1", "offset:x", "yesterday", ""] {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }
}
