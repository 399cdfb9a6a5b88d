//! One bulk request on its way until each of its documents has its answer.
//!
//! What is sent again is only what was refused and may be taken later. A request that is too large, or
//! that Elasticsearch refuses as a whole because of one document in it, is halved until the document
//! stands alone.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use millrace_api::converters::DataError;
use millrace_net::http::{Body, ErrorKind, HttpError, Method, Response};
use millrace_net::rt;

use super::answer::{self, Answer};
use super::bulk::{Bulk, Runs, count, halves, nth, run};
use super::cluster::Cluster;

/// Successful actions answer with their status alone.
const PATH: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error";
/// Two shrinks of the window are at least this far apart: requests fail together.
const SHRINK_PAUSE: Duration = Duration::from_millis(100);
/// Being too busy for a moment is nothing to report; for this long it is.
const BUSY_SHOWS: Duration = Duration::from_secs(2);
/// Compressed at once, between two looks at the core's other tasks.
const GZIP_STEP: usize = 64 << 10;

/// Error types that are the document's fault, wherever they stand in an error's text.
const MALFORMED: [&[u8]; 5] = [
    b"strict_dynamic_mapping_exception",
    b"mapper_parsing_exception",
    b"illegal_argument_exception",
    b"action_request_validation_exception",
    b"document_parsing_exception",
];

/// Why a bulk was given up.
#[derive(Debug)]
pub enum Broken {
    /// Because of this item; what Elasticsearch said.
    Item(usize, String),
    Request(String),
}

/// A document that was refused for good, and why.
pub type Refused = (usize, DataError);

/// How many requests may be under way: fewer when Elasticsearch says that it is overloaded.
pub struct Window {
    size: Cell<f64>,
    most: f64,
    shrunk: Cell<Option<Instant>>,
}

impl Window {
    pub fn new(most: usize) -> Self {
        Self { size: Cell::new(most as f64), most: most as f64, shrunk: Cell::new(None) }
    }

    pub fn allows(&self, under_way: usize) -> bool {
        under_way < self.size.get() as usize
    }

    fn shrink(&self) {
        let recently = self.shrunk.get().is_some_and(|at| at.elapsed() < SHRINK_PAUSE);
        if !recently {
            self.shrunk.set(Some(Instant::now()));
            self.size.set((self.size.get() / 2.0).max(1.0));
        }
    }

    fn grow(&self) {
        let size = self.size.get();
        self.size.set((size + 1.0 / size).min(self.most));
    }
}

/// What all deliveries of a task share.
pub struct Shared {
    pub cluster: Cluster,
    pub window: Window,
    /// How long Elasticsearch may be too busy.
    pub patience: Duration,
    /// Conflicts of unversioned actions: a document that is created twice is there; an update that
    /// lost a race is not done.
    pub conflicts_are_done: bool,
    /// What is being retried, for the status.
    pub trouble: RefCell<Option<String>>,
}

/// Some of a bulk's items, and how often they were tried.
struct Part {
    runs: Runs,
    attempt: u32,
}

/// What is to be done after a try.
enum Next {
    Done,
    Split,
    /// Send these again. `busy`: it does not count as a failure.
    Again {
        runs: Runs,
        why: String,
        busy: bool,
    },
}

/// Delivers all of `bulk`. Documents that are refused for good are put into `refused`.
pub async fn deliver(
    shared: &Shared,
    bulk: &Bulk,
    refused: &mut Vec<Refused>,
) -> Result<(), Broken> {
    // A stack: what is sent again goes before what comes after it.
    let mut parts = vec![Part { runs: run(0..bulk.items.len()), attempt: 0 }];
    let mut busy_since: Option<Instant> = None;
    let mut busy_rounds = 0;
    while let Some(mut part) = parts.pop() {
        let outcome = send(shared, bulk, &part.runs).await;
        match judge(shared, bulk, &part.runs, outcome, refused)? {
            Next::Done => {
                shared.trouble.take();
                (busy_since, busy_rounds) = (None, 0);
            }
            Next::Split => {
                let (first, second) = halves(&part.runs);
                tracing::debug!("bulk request of {} actions is halved", count(&part.runs));
                parts.push(Part { runs: second, ..part });
                parts.push(Part { runs: first, ..part });
            }
            Next::Again { runs, why, busy: true } => {
                shared.window.shrink();
                let since = *busy_since.get_or_insert_with(Instant::now);
                if since.elapsed() > shared.patience {
                    return Err(Broken::Request(format!(
                        "Elasticsearch was too busy for flush.timeout.ms ({} ms): {why}",
                        shared.patience.as_millis()
                    )));
                }
                busy_rounds += 1;
                if since.elapsed() > BUSY_SHOWS {
                    let text = "Elasticsearch is too busy for a bulk request (HTTP 429 or 503)";
                    *shared.trouble.borrow_mut() = Some(text.to_owned());
                }
                pause(shared, &why, busy_rounds).await;
                parts.push(Part { runs, ..part });
            }
            Next::Again { runs, why, busy: false } => {
                part.attempt += 1;
                if part.attempt > shared.cluster.max_retries() {
                    return Err(Broken::Request(format!(
                        "Failed to execute bulk request due to '{why}' after {} attempt(s)",
                        part.attempt
                    )));
                }
                let attempt = part.attempt;
                let text = format!("Failed to execute bulk request due to '{why}'");
                *shared.trouble.borrow_mut() = Some(text);
                pause(shared, &why, attempt).await;
                parts.push(Part { runs, attempt });
            }
        }
    }
    shared.window.grow();
    Ok(())
}

async fn pause(shared: &Shared, why: &str, attempt: u32) {
    let wait = shared.cluster.backoff(attempt);
    tracing::debug!("bulk request is sent again in {} ms: {why}", wait.as_millis());
    rt::sleep(wait).await;
}

async fn send(shared: &Shared, bulk: &Bulk, runs: &Runs) -> Result<Response, HttpError> {
    let slices: Vec<&[u8]> = runs.iter().map(|run| bulk.lines(run)).collect();
    const KIND: (&str, &str) = ("Content-Type", "application/x-ndjson");
    if shared.cluster.compresses() {
        let body = compressed(&slices).await;
        let headers = [KIND, ("Content-Encoding", "gzip")];
        return shared.cluster.send(Method::Post, PATH, &headers, Body::Bytes(&body)).await;
    }
    shared.cluster.send(Method::Post, PATH, &[KIND], Body::Slices(&slices)).await
}

async fn compressed(slices: &[&[u8]]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for step in slices.iter().flat_map(|slice| slice.chunks(GZIP_STEP)) {
        // Into memory: it cannot fail.
        let _ = encoder.write_all(step);
        rt::yield_if_needed().await;
    }
    encoder.finish().unwrap_or_default()
}

fn judge(
    shared: &Shared,
    bulk: &Bulk,
    runs: &Runs,
    outcome: Result<Response, HttpError>,
    refused: &mut Vec<Refused>,
) -> Result<Next, Broken> {
    let again = |why: String, busy| Ok(Next::Again { runs: runs.clone(), why, busy });
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) if error.kind == ErrorKind::TooLarge && count(runs) > 1 => {
            return Ok(Next::Split);
        }
        Err(error) => return again(error.to_string(), false),
    };
    let text = || format!("HTTP {}: {}", answer.status, answer::describe_body(&answer.body));
    match answer.status {
        200 => match answer::parse(&answer.body) {
            Some(Answer::Done) => Ok(Next::Done),
            Some(Answer::Mixed { refused: items, count: told }) if told == count(runs) => {
                sort_out(shared, bulk, runs, &items, refused)
            }
            _ => again("the answer is not that of a bulk request".to_owned(), false),
        },
        400 | 413 if count(runs) > 1 => Ok(Next::Split),
        400 | 413 if answer.status == 413 || is_malformed(&answer.body) => {
            refused.push((runs.first().map_or(0, |run| run.start), failed(text())));
            Ok(Next::Done)
        }
        429 | 503 => again(text(), true),
        401 => Err(Broken::Request(format!(
            "Could not authenticate the user. Check the 'connection.username' and \
             'connection.password'. {}",
            text()
        ))),
        408 | 500..=599 => again(text(), false),
        _ => Err(Broken::Request(format!("bulk request was refused: {}", text()))),
    }
}

/// What becomes of each refused action of a request that was carried out otherwise.
fn sort_out(
    shared: &Shared,
    bulk: &Bulk,
    runs: &Runs,
    items: &[answer::Refused<'_>],
    refused: &mut Vec<Refused>,
) -> Result<Next, Broken> {
    let mut again: Vec<usize> = Vec::new();
    let mut why = None;
    let mut busy = true;
    let mut broken = None;
    for item in items {
        let Some(index) = nth(runs, item.position) else { continue };
        let conflict = contains(item.error, b"version_conflict_engine_exception");
        if is_malformed(item.error) {
            refused.push((index, failed(answer::describe(item.error))));
        } else if conflict && (bulk.items[index].versioned || shared.conflicts_are_done) {
            // What is there is as new, or newer.
        } else if conflict || matches!(item.status, 429 | 500..=599) {
            busy &= matches!(item.status, 429 | 503);
            why.get_or_insert_with(|| answer::describe(item.error));
            again.push(index);
        } else if broken.is_none() {
            let text = format!("HTTP {}: {}", item.status, answer::describe(item.error));
            broken = Some(Broken::Item(index, text));
        }
    }
    match (broken, why) {
        (Some(broken), _) => Err(broken),
        (None, None) => Ok(Next::Done),
        (None, Some(why)) => {
            Ok(Next::Again { runs: bulk.with_successors(runs, &again), why, busy })
        }
    }
}

fn failed(why: String) -> DataError {
    const CLASS: &str = "io.confluent.connect.elasticsearch.ElasticsearchClient$ReportingException";
    DataError::with_class(CLASS, format!("Indexing failed: {why}"))
}

fn is_malformed(error: &[u8]) -> bool {
    MALFORMED.iter().any(|kind| contains(error, kind))
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(text, what).is_some()
}
