//! `/metrics` for Prometheus: everything that the worker counts.
//!
//! The herder answers with states and puts a question into each core's mailbox; the cores answer
//! with copies when they come round to it. An answer is used again for a moment, so that clients
//! that hurry do not keep the cores busy.

mod connect;
mod exposition;
mod millrace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use millrace_herder::measured::{LostCores, ProcessFigures, Snapshot};
use millrace_herder::metrics::WorkerMetrics;
use millrace_herder::requests::Request;
use tokio::sync::Mutex;

use crate::answer::{Failure, Outcome};
use crate::app::App;
use exposition::Exposition;
pub(crate) use exposition::Format;

/// How old an answer of the cores may be to be given again.
const FRESH: Duration = Duration::from_millis(200);
/// How long a core may take to answer: it may be within a batch.
const PATIENCE: Duration = Duration::from_secs(2);

/// The last answers.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<Option<Arc<Measured>>>);

struct Measured {
    at: Instant,
    worker: WorkerMetrics,
    snapshot: Snapshot,
    lost: LostCores,
    shares: BTreeMap<usize, f64>,
}

impl Metrics {
    pub async fn answer(&self, app: &App, format: Format) -> Outcome {
        let measured = self.measured(app).await?;
        let text = render(&measured, format, app.dropped_lines());
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = StatusCode::OK;
        let type_ = HeaderValue::from_static(format.content_type());
        response.headers_mut().insert(header::CONTENT_TYPE, type_);
        Ok(response)
    }

    async fn measured(&self, app: &App) -> Result<Arc<Measured>, Failure> {
        // Who asks while an answer is on its way gets that one.
        let mut last = self.0.lock().await;
        if let Some(known) = last.as_ref().filter(|known| known.at.elapsed() < FRESH) {
            return Ok(Arc::clone(known));
        }
        let mut worker = app.ask(Request::Metrics).await?;
        let mut cores = Vec::new();
        let mut asked = 0;
        let mut lost = LostCores::default();
        if let Some(measurement) = worker.measurement.take() {
            asked = measurement.cores();
            lost = measurement.lost;
            let deadline = tokio::time::Instant::now() + PATIENCE;
            while let Ok(Some(core)) = tokio::time::timeout_at(deadline, measurement.next()).await {
                cores.push(core);
            }
        }
        let (at, snapshot) = (Instant::now(), Snapshot::of(cores, asked));
        let shares =
            last.as_ref().map(|last| shares(last, &worker.process, at)).unwrap_or_default();
        let measured = Arc::new(Measured { at, worker, snapshot, lost, shares });
        *last = Some(Arc::clone(&measured));
        Ok(measured)
    }
}

/// The share of the time since `before` that each core was busy.
fn shares(before: &Measured, now: &ProcessFigures, at: Instant) -> BTreeMap<usize, f64> {
    let elapsed = at.saturating_duration_since(before.at).as_secs_f64();
    let earlier = millrace::busy(&before.worker.process);
    let share = |(cpu, used): (usize, Duration)| {
        let busy = used.saturating_sub(*earlier.get(&cpu)?).as_secs_f64();
        Some((cpu, (busy / elapsed).clamp(0.0, 1.0)))
    };
    millrace::busy(now).into_iter().filter_map(share).collect()
}

fn render(measured: &Measured, format: Format, dropped_lines: u64) -> String {
    let Measured { worker, snapshot, lost, shares, .. } = measured;
    let mut out = Exposition::new(format);
    connect::worker(&mut out, &worker.connectors, &worker.starts);
    if let Some(rebalances) = &worker.rebalances {
        connect::rebalances(&mut out, rebalances);
    }
    let tasks = snapshot.tasks();
    for connector in &worker.connectors {
        connect::connector(&mut out, connector);
        for (number, status) in &connector.tasks {
            connect::task_info(&mut out, connector, &number.to_string(), status);
        }
        for (_, task) in tasks.iter().filter(|(id, _)| id.connector == connector.name) {
            connect::task(&mut out, connector, task);
        }
        let times = snapshot.latency(Some(&connector.name));
        millrace::latency(&mut out, &connector.name, &times);
    }
    millrace::cores(&mut out, snapshot, &worker.process, shares);
    millrace::lost(&mut out, *lost);
    millrace::process(&mut out, &worker.process, env!("CARGO_PKG_VERSION"));
    let help = "Log lines that were dropped because the log's reader was too slow.";
    let name = "millrace_log_lines_dropped_total";
    out.add(name, exposition::Kind::Counter, help, &[], dropped_lines as f64);
    out.text()
}
