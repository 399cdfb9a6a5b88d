//! What all connections of one broker share, all on one core.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use millrace_net::rt;

use crate::BrokerOptions;
use crate::faults::{FaultAction, Faults};
use crate::groups::{Answer, Groups, Token};
use crate::offsets::OffsetStore;
use crate::signal::{Notify, Slot, unless};
use crate::topics::Topics;
use crate::transactions::Transactions;

pub(crate) struct Core {
    pub options: BrokerOptions,
    pub port: u16,
    pub topics: RefCell<Topics>,
    pub groups: RefCell<Groups>,
    pub offsets: RefCell<OffsetStore>,
    pub transactions: RefCell<Transactions>,
    /// Requests whose answers the groups' state machine owes.
    pub waiting: RefCell<HashMap<Token, Rc<Slot<Answer>>>>,
    /// Changes when an earlier deadline may have come up.
    pub deadlines: Notify,
    pub stop: Notify,
    pub faults: Faults,
    pub connections: Cell<usize>,
    pub next_token: Cell<Token>,
}

/// One request: who asks, how, and what goes wrong with it on purpose.
pub(crate) struct Call {
    pub api: i16,
    pub version: i16,
    pub client_id: String,
    pub host: String,
    pub faults: Faults,
    /// An error for all partitions, or the response itself.
    pub error: Option<i16>,
    pub corrupt: bool,
    pub throttle_ms: i32,
}

impl Call {
    /// The error that a fault rule wants for a partition.
    pub(crate) fn partition_error(&self, topic: &str, index: i32) -> Option<i16> {
        self.error.or_else(|| match self.faults.of_partition(self.api, topic, index) {
            Some(FaultAction::Error(code)) => Some(code),
            _ => None,
        })
    }
}

/// Longest time between two looks at the clock while something may expire.
const LONGEST_REST: Duration = Duration::from_secs(60);

impl Core {
    /// The host that clients are told to connect to.
    pub(crate) fn host(&self) -> String {
        match &self.options.advertised_host {
            Some(host) => host.clone(),
            None if self.options.listen.ip().is_unspecified() => "127.0.0.1".to_owned(),
            None => self.options.listen.ip().to_string(),
        }
    }

    /// Hands the groups' answers to those who wait for them.
    pub(crate) fn deliver(&self) {
        let answers = self.groups.borrow_mut().take_answers();
        for (token, answer) in answers {
            if let Some(slot) = self.waiting.borrow_mut().remove(&token) {
                slot.set(answer);
            }
        }
        self.deadlines.notify();
    }

    /// Expires members, rebalances and transactions until the broker stops.
    pub(crate) async fn keep_time(self: Rc<Self>, seen_stop: u64) {
        loop {
            let now = crate::now_ms();
            self.groups.borrow_mut().tick(now);
            let expired = self.transactions.borrow().expired(now);
            for id in expired {
                self.abort_expired(&id);
            }
            self.deliver();
            let seen = self.deadlines.version();
            let group = self.groups.borrow().next_deadline();
            let transaction = self.transactions.borrow().next_deadline();
            let next = [group, transaction].into_iter().flatten().min();
            let rest = next.map_or(LONGEST_REST, |at| {
                Duration::from_millis(at.saturating_sub(now).clamp(1, 60_000) as u64)
            });
            let wait = rt::timeout(rest, self.deadlines.changed(seen));
            if unless(&self.stop, seen_stop, wait).await.is_none() {
                return;
            }
        }
    }

    /// Makes everything durable.
    pub(crate) fn sync(&self) -> std::io::Result<()> {
        for topic in self.topics.borrow().all() {
            for partition in topic.partitions.borrow().iter() {
                partition.log.borrow().sync()?;
            }
        }
        self.offsets.borrow().sync()
    }
}
