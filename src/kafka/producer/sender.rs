//! The producer's task: sends what the accumulator hands out, tells it what came of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use kafka_protocol::messages::{InitProducerIdRequest, ProducerId};
use millrace_net::rt::{sleep, spawn};

use super::accumulator::Accumulator;
use super::drain::Outgoing;
use crate::cluster::{Cluster, Purpose};
use crate::error::KafkaError;
use crate::local::Bell;

/// Longest sleep of the task without news.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// What the handle, the task and the requests in flight share.
pub(super) struct Shared {
    pub state: RefCell<Accumulator>,
    pub cluster: Cluster,
    /// Rung when the task has something to look at.
    pub work: Bell,
    /// Rung when something came of a request or of the metadata.
    pub progress: Bell,
    pub refreshing: Cell<bool>,
}

/// Runs until the producer is closed and empty.
pub(super) async fn run(shared: Rc<Shared>, stop: Rc<Cell<bool>>) {
    loop {
        // Before looking, so that no ring in between is missed.
        let news = shared.work.listen();
        shared.state.borrow_mut().update_metadata(&shared.cluster.metadata());
        let now = Instant::now();
        let drained = shared.state.borrow_mut().drain(now);
        let needs_metadata = drained.needs_metadata || shared.state.borrow().lacks_topics();
        if needs_metadata || (shared.cluster.is_stale() && !shared.state.borrow().is_idle()) {
            refresh(&shared);
        }
        if drained.needs_identity {
            spawn(ask_identity(shared.clone())).detach();
        }
        for outgoing in drained.outgoing {
            spawn(send(shared.clone(), outgoing)).detach();
        }
        if stop.get() && shared.state.borrow().is_idle() {
            shared.progress.ring();
            return;
        }
        let wait = drained.wake_at.map_or(HEARTBEAT, |at| {
            // Timers have a floor of their own; a wait of zero would spin.
            at.saturating_duration_since(now).clamp(Duration::from_micros(50), HEARTBEAT)
        });
        let timer = std::pin::pin!(sleep(wait));
        match select(news, timer).await {
            Either::Left(_) | Either::Right(_) => {}
        }
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
    let stale = shared.state.borrow_mut().complete(flight, outcome, Instant::now());
    if stale {
        refresh(&shared);
    }
    shared.work.ring();
    shared.progress.ring();
}

/// Refreshes the metadata, at most once every `retry.backoff.ms`.
fn refresh(shared: &Rc<Shared>) {
    if shared.refreshing.replace(true) {
        return;
    }
    let shared = shared.clone();
    let task = async move {
        shared.cluster.follow(shared.state.borrow().topic_names());
        match shared.cluster.refresh().await {
            Ok(metadata) => shared.state.borrow_mut().update_metadata(&metadata),
            Err(error) => tracing::debug!(%error, "metadata could not be refreshed"),
        }
        shared.work.ring();
        shared.progress.ring();
        let pause = shared.state.borrow().config.client.retry_backoff;
        sleep(pause.max(Duration::from_millis(10))).await;
        shared.refreshing.set(false);
        shared.work.ring();
    };
    spawn(task).detach();
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
                let pause = shared.state.borrow().config.client.retry_backoff;
                sleep(pause.max(Duration::from_millis(10))).await;
            }
            shared.state.borrow_mut().identity_failed(error);
        }
    }
    shared.work.ring();
    shared.progress.ring();
}
