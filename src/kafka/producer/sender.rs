//! The producer's task: sends what the accumulator hands out, tells it what came of it.
//!
//! Requests in flight are futures within the task, not tasks beside it: when it ends or is dropped,
//! nothing of the producer is left on the core.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, Stream};
use kafka_protocol::messages::{InitProducerIdRequest, ProducerId};
use millrace_net::rt::sleep;

use super::accumulator::Accumulator;
use super::drain::{Drained, Outgoing};
use super::transaction::{self, TransactionClient};
use crate::cluster::{Cluster, Purpose};
use crate::error::KafkaError;
use crate::local::Bell;

/// Longest sleep of the task without news.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// Timers have a floor of their own; waits below it would only spin.
const SHORTEST_WAIT: Duration = Duration::from_micros(50);

/// What the handle, the task and its requests share.
pub(super) struct Shared {
    pub state: RefCell<Accumulator>,
    pub cluster: Cluster,
    /// With `transactional.id`.
    pub transactions: Option<TransactionClient>,
    /// Rung when the task has something to look at.
    pub work: Bell,
    /// Rung when something came of a request or of the metadata.
    pub progress: Bell,
    /// A refresh of the metadata is under way, or was just now.
    pub refreshing: Cell<bool>,
    /// The task is to end once nothing is left to send.
    pub closing: Cell<bool>,
}

/// Requests and refreshes under way: as many as brokers times `max.in.flight`, and two.
type Pending = FuturesUnordered<Pin<Box<dyn Future<Output = ()>>>>;

/// Runs until the producer is closed and empty.
pub(super) async fn run(shared: Rc<Shared>) {
    let mut pending = Pending::new();
    loop {
        // Before looking, so that no ring in between is missed.
        let mut news = pin!(shared.work.listen());
        let now = Instant::now();
        let drained = look(&shared, now);
        let wait = drained.wake_at.map_or(HEARTBEAT, |at| {
            at.saturating_duration_since(now).clamp(SHORTEST_WAIT, HEARTBEAT)
        });
        launch(&shared, drained, &mut pending);
        if shared.closing.get() && shared.state.borrow().is_idle() {
            return;
        }
        let mut timer = pin!(sleep(wait));
        poll_fn(|cx| {
            let mut done = false;
            while let Poll::Ready(Some(())) = Pin::new(&mut pending).poll_next(cx) {
                done = true;
            }
            if done {
                shared.progress.ring();
            }
            // All are polled, so that whichever comes next wakes the task.
            let news = news.as_mut().poll(cx).is_ready();
            let timer = timer.as_mut().poll(cx).is_ready();
            if done || news || timer { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn look(shared: &Shared, now: Instant) -> Drained {
    let mut state = shared.state.borrow_mut();
    state.update_metadata(&shared.cluster.metadata());
    let lost = state.failures.len();
    let mut drained = state.drain(now);
    if state.failures.len() > lost {
        // Given up without having been sent: no answer tells of it.
        shared.progress.ring();
    }
    let outdated = !state.is_idle() && shared.cluster.is_stale();
    drained.needs_metadata |= state.lacks_topics() || outdated || state.metadata_wanted;
    drained
}

fn launch(shared: &Rc<Shared>, drained: Drained, pending: &mut Pending) {
    if drained.needs_metadata && !shared.refreshing.replace(true) {
        shared.state.borrow_mut().metadata_wanted = false;
        pending.push(Box::pin(refresh(shared.clone())));
    }
    if drained.needs_identity {
        pending.push(Box::pin(ask_identity(shared.clone())));
    }
    if drained.needs_join {
        pending.push(Box::pin(transaction::join(shared.clone())));
    }
    for outgoing in drained.outgoing {
        pending.push(Box::pin(send(shared.clone(), outgoing)));
    }
}

async fn send(shared: Rc<Shared>, outgoing: Outgoing) {
    let Outgoing { flight, node, request } = outgoing;
    let (acks, limit) = {
        let state = shared.state.borrow();
        (state.config.acks, state.config.client.request_timeout)
    };
    let exchange = async {
        let connection = shared.cluster.connection(node, Purpose::Produce).await?;
        if acks == 0 {
            connection.send_unanswered(&request)?;
            return Ok(None);
        }
        connection.call(&request, limit).await.map(Some)
    };
    let outcome = exchange.await;
    // The batches' bytes are the request's too; without it they can be numbered in place.
    drop(request);
    if let Err(error) = &outcome {
        tracing::debug!(%error, node, "a produce request failed");
    }
    shared.state.borrow_mut().complete(flight, outcome, Instant::now());
}

/// Refreshes the metadata; the next refresh may begin `retry.backoff.ms` later.
async fn refresh(shared: Rc<Shared>) {
    shared.cluster.follow(shared.state.borrow().topic_names());
    match shared.cluster.refresh().await {
        Ok(metadata) => shared.state.borrow_mut().update_metadata(&metadata),
        Err(error) => tracing::debug!(%error, "metadata could not be refreshed"),
    }
    shared.work.ring();
    shared.progress.ring();
    sleep(shared.pause()).await;
    shared.refreshing.set(false);
}

async fn ask_identity(shared: Rc<Shared>) {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let outcome = shared.cluster.call_any(&request).await.and_then(|response| {
        KafkaError::check(response.error_code, "InitProducerId", "")?;
        Ok((response.producer_id.0, response.producer_epoch))
    });
    match outcome {
        Ok((id, epoch)) => shared.state.borrow_mut().set_identity(id, epoch),
        Err(error) => {
            tracing::warn!(%error, "no producer id");
            if error.is_retriable() {
                sleep(shared.pause()).await;
            }
            shared.state.borrow_mut().identity_failed(error);
        }
    }
}

impl Shared {
    /// Between two tries of what is not a batch.
    fn pause(&self) -> Duration {
        self.state.borrow().config.client.retry_backoff.max(Duration::from_millis(10))
    }
}
