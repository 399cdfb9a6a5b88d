//! Transactions: what the coordinator of `transactional.id` is asked, and which partitions it knows
//! of. (Version 1 of the protocol, which all brokers since 2.3 speak: partitions are added before
//! their first batch goes out.)
//!
//! A transaction begins with the first record after the one before. Brokers hide its records from
//! readers of `read_committed` until it is committed. A lost record, or a newer producer of the same
//! id, makes the producer useless: what is left to do is to abort, and to drop it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest, InitProducerIdRequest,
    ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Request, StrBytes};
use millrace_net::rt::sleep;

use super::accumulator::{Accumulator, IdentityState};
use super::sender::Shared;
use crate::cluster::{Cluster, Purpose};
use crate::error::{ErrorKind, KafkaError};
use crate::group::coordinator::Coordinator;

const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const OPERATION_NOT_ATTEMPTED: i16 = 55;

/// The transaction before is being written out: how soon, and how often, that is looked at again
/// before the usual back-off.
const SOON: Duration = Duration::from_millis(20);
const SOON_TRIES: u32 = 25;

/// What the accumulator keeps of the present transaction.
pub(super) struct TransactionState {
    id: StrBytes,
    /// Topics and partitions by index that the coordinator knows to be in it.
    joined: BTreeSet<(usize, usize)>,
    /// Those with batches that wait for that.
    wanted: BTreeSet<(usize, usize)>,
    asking: bool,
    /// The first ticket of the present transaction, or of the one to come.
    since: u64,
}

impl TransactionState {
    pub fn new(id: &str) -> Self {
        Self {
            id: StrBytes::from_string(id.to_owned()),
            joined: BTreeSet::new(),
            wanted: BTreeSet::new(),
            asking: false,
            since: 0,
        }
    }

    pub fn id(&self) -> StrBytes {
        self.id.clone()
    }

    /// Whether batches of the partition may go out; if not, the coordinator is to be asked.
    pub fn admits(&mut self, place: (usize, usize)) -> bool {
        let admitted = self.joined.contains(&place);
        if !admitted {
            self.wanted.insert(place);
        }
        admitted
    }

    /// Whether [`join`] is to be run now.
    pub fn begin_to_ask(&mut self) -> bool {
        let asks = !self.asking && !self.wanted.is_empty();
        self.asking |= asks;
        asks
    }
}

impl Accumulator {
    /// Records were appended since the last transaction's end.
    pub fn in_transaction(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| self.next_ticket() > transaction.since)
    }

    /// The request for what is wanted, and what that is.
    fn join_request(&self) -> Option<(AddPartitionsToTxnRequest, BTreeSet<(usize, usize)>)> {
        let transaction = self.transaction.as_ref()?;
        let IdentityState::Known(identity) = self.identity else { return None };
        let mut topics: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
        for (at, place) in &transaction.wanted {
            topics.entry(*at).or_default().push(*place as i32);
        }
        let topics = topics.into_iter().map(|(at, partitions)| {
            let name = StrBytes::from_string(self.topics[at].name.to_string());
            AddPartitionsToTxnTopic::default()
                .with_name(TopicName(name))
                .with_partitions(partitions)
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(transaction.id()))
            .with_v3_and_below_producer_id(ProducerId(identity.producer_id))
            .with_v3_and_below_producer_epoch(identity.epoch)
            .with_v3_and_below_topics(topics.collect());
        Some((request, transaction.wanted.clone()))
    }

    /// The coordinator knows of these partitions now, or why it does not.
    pub fn joined(&mut self, asked: &BTreeSet<(usize, usize)>, outcome: Result<(), KafkaError>) {
        let Some(transaction) = &mut self.transaction else { return };
        transaction.asking = false;
        transaction.wanted.retain(|place| !asked.contains(place));
        match outcome {
            Ok(()) => transaction.joined.extend(asked),
            Err(error) => drop(self.fatal.get_or_insert(error)),
        }
    }

    /// `None`: the coordinator knows of no transaction that would have to end.
    fn end_request(&self, committed: bool) -> Option<EndTxnRequest> {
        let transaction = self.transaction.as_ref()?;
        let IdentityState::Known(identity) = self.identity else { return None };
        if transaction.joined.is_empty() {
            return None;
        }
        Some(
            EndTxnRequest::default()
                .with_transactional_id(TransactionalId(transaction.id()))
                .with_producer_id(ProducerId(identity.producer_id))
                .with_producer_epoch(identity.epoch)
                .with_committed(committed),
        )
    }

    /// The transaction is over; the next record begins another.
    pub fn transaction_ended(&mut self) {
        let next = self.next_ticket();
        if let Some(transaction) = &mut self.transaction {
            transaction.joined.clear();
            transaction.since = next;
        }
    }

    /// Nothing is on its way that could arrive behind a transaction's end.
    pub fn is_quiet(&self) -> bool {
        self.is_idle() && self.transaction.as_ref().is_none_or(|transaction| !transaction.asking)
    }
}

/// The coordinator of one transactional id.
pub(super) struct TransactionClient {
    id: String,
    cluster: Cluster,
    coordinator: Coordinator,
}

impl TransactionClient {
    pub fn new(cluster: Cluster, id: &str) -> Self {
        let coordinator = Coordinator::of_transactions(cluster.clone(), id);
        Self { id: id.to_owned(), cluster, coordinator }
    }

    /// A producer id and an epoch under which earlier producers of the id are fenced. What they left
    /// open is ended first; that is waited for.
    pub async fn init(&self, timeout: Duration, limit: Duration) -> Result<(i64, i16), KafkaError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(StrBytes::from_string(self.id.clone()))))
            .with_transaction_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        self.patiently(limit, async || {
            let response = self.call(&request).await?;
            KafkaError::check(response.error_code, "InitProducerId", &self.context())?;
            Ok((response.producer_id.0, response.producer_epoch))
        })
        .await
    }

    async fn add(
        &self,
        request: &AddPartitionsToTxnRequest,
        limit: Duration,
    ) -> Result<(), KafkaError> {
        self.patiently(limit, async || check_added(&self.call(request).await?, &self.context()))
            .await
    }

    async fn end(&self, request: &EndTxnRequest, limit: Duration) -> Result<(), KafkaError> {
        self.patiently(limit, async || {
            let response = self.call(request).await?;
            KafkaError::check(response.error_code, "EndTxn", &self.context())
        })
        .await
    }

    async fn call<R: Request>(&self, request: &R) -> Result<R::Response, KafkaError> {
        let limit = self.cluster.config().request_timeout;
        // Boxed, as what opens a connection is large, and a task's future is polled far down a stack.
        Box::pin(self.coordinator.call(Purpose::Coordinator, request, limit)).await
    }

    fn context(&self) -> String {
        format!("transactional.id '{}'", self.id)
    }

    /// Repeats what may succeed later, for `limit` at most. All these requests may be repeated: one
    /// that was carried out already is answered well again.
    async fn patiently<T>(
        &self,
        limit: Duration,
        once: impl AsyncFn() -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let begin = Instant::now();
        let mut backoff = self.cluster.backoff();
        let mut soon = 0;
        loop {
            let error = match once().await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let concurrent = error.code == CONCURRENT_TRANSACTIONS;
            if !concurrent && !error.is_retriable() {
                return Err(error);
            }
            if error.kind == ErrorKind::Coordinator && error.code != COORDINATOR_LOAD_IN_PROGRESS {
                self.coordinator.forget();
            }
            let wait = if concurrent && soon < SOON_TRIES {
                soon += 1;
                SOON
            } else {
                backoff.next_wait()
            };
            if begin.elapsed().saturating_add(wait) >= limit {
                return Err(error);
            }
            tracing::debug!(%error, "transactions: trying again");
            sleep(wait).await;
        }
    }
}

/// All partitions are added, or none: of those refused, one that says why.
fn check_added(response: &AddPartitionsToTxnResponse, context: &str) -> Result<(), KafkaError> {
    let mut refused = Ok(());
    for topic in &response.results_by_topic_v3_and_below {
        for partition in &topic.results_by_partition {
            let code = partition.partition_error_code;
            let place = format!("{}-{}", topic.name.as_str(), partition.partition_index);
            let checked =
                KafkaError::check(code, "AddPartitionsToTxn", &format!("{context}, {place}"));
            match (&refused, code) {
                (_, 0) => {}
                (Err(_), OPERATION_NOT_ATTEMPTED) => {}
                (Ok(()), OPERATION_NOT_ATTEMPTED) => refused = checked,
                (Ok(()), _) => refused = checked,
                (Err(known), _) if known.code == OPERATION_NOT_ATTEMPTED => refused = checked,
                (Err(_), _) => {}
            }
        }
    }
    refused
}

/// Has the coordinator take up the partitions that are wanted: a future of the sender's.
pub(super) async fn join(shared: Rc<Shared>) {
    let limit = shared.state.borrow().config.max_block;
    let request = shared.state.borrow().join_request();
    if let (Some(client), Some((request, asked))) = (&shared.transactions, request) {
        let outcome = client.add(&request, limit).await;
        if let Err(error) = &outcome {
            tracing::warn!(%error, "partitions were not added to the transaction");
        }
        shared.state.borrow_mut().joined(&asked, outcome);
    }
    shared.work.ring();
    shared.progress.ring();
}

/// Ends the transaction; all its records must have their fate.
pub(super) async fn end(shared: &Shared, committed: bool) -> Result<(), KafkaError> {
    let Some(client) = &shared.transactions else {
        return Err(KafkaError::config("transactional.id is not set"));
    };
    let (request, limit) = {
        let state = shared.state.borrow();
        if committed && let Some(error) = &state.fatal {
            return Err(error.clone());
        }
        (state.end_request(committed), state.config.max_block)
    };
    let outcome = match request {
        Some(request) => client.end(&request, limit).await,
        None => Ok(()),
    };
    let mut state = shared.state.borrow_mut();
    match outcome {
        Ok(()) => {
            state.transaction_ended();
            Ok(())
        }
        Err(error) => {
            // Whether it took place is unknown: only who asks for transactions anew finds out.
            state.fatal.get_or_insert_with(|| error.clone());
            Err(error)
        }
    }
}

/// Fences whatever producers these ids have, and ends what they left open
/// (`Admin.fenceProducers`), within `limit`.
pub async fn fence_producers(
    cluster: &Cluster,
    ids: &[String],
    limit: Duration,
) -> Result<(), KafkaError> {
    let begin = Instant::now();
    for id in ids {
        let left = limit.saturating_sub(begin.elapsed());
        // The timeout is that of a transaction which nobody will begin.
        let client = TransactionClient::new(cluster.clone(), id);
        client.init(Duration::from_secs(60), left).await?;
    }
    Ok(())
}
