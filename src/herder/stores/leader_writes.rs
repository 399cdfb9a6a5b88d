//! The leader's writes to the config topic where exactly-once support is prepared or enabled: each in
//! a transaction of a producer that fences the leader before, so that one which does not know yet that
//! it leads no more can write nothing.
//!
//! A write that fails gives the right to write up: it may have been somebody else's claim. The herder
//! claims it again if it still leads.

use std::time::Duration;

use millrace_kafka::Cluster;
use millrace_kafka::producer::{Producer, ProducerConfig};
use millrace_net::rt::timeout;

use super::topic_log::{Write, Written, append};

/// For a claim, or for a write with its commit.
pub const LIMIT: Duration = Duration::from_secs(30);
/// For hiding what a failed write has left.
const ABORT: Duration = Duration::from_secs(1);
/// Requests that wait; the herder makes one at a time.
const WAITING: usize = 64;

pub(super) enum LeaderWrite {
    Claim(Written),
    Write(Write),
    Relinquish,
}

/// The herder's side.
#[derive(Clone)]
pub struct LeaderWrites(flume::Sender<LeaderWrite>);

impl LeaderWrites {
    pub(super) fn new() -> (Self, flume::Receiver<LeaderWrite>) {
        let (sender, inbox) = flume::bounded(WAITING);
        (Self(sender), inbox)
    }

    /// Fences earlier leaders, unless the right to write is here already.
    pub fn claim(&self, done: Written) {
        self.send(LeaderWrite::Claim(done));
    }

    /// Writes the records at once, or none of them.
    pub fn write(&self, records: Vec<super::config_records::Produced>, done: Written) {
        self.send(LeaderWrite::Write(Write { records, done }));
    }

    /// Somebody else leads.
    pub fn relinquish(&self) {
        self.send(LeaderWrite::Relinquish);
    }

    fn send(&self, write: LeaderWrite) {
        let Err(refused) = self.0.try_send(write) else { return };
        match refused.into_inner() {
            LeaderWrite::Claim(done) | LeaderWrite::Write(Write { done, .. }) => {
                done(Err("too many writes wait for the brokers".to_owned()));
            }
            LeaderWrite::Relinquish => {}
        }
    }
}

/// Serves the herder until it is gone. `topic` has one partition.
pub(super) async fn serve(
    config: ProducerConfig,
    topic: &str,
    inbox: flume::Receiver<LeaderWrite>,
) {
    let mut held: Option<Producer> = None;
    while let Ok(write) = inbox.recv_async().await {
        match write {
            LeaderWrite::Claim(done) => {
                let outcome = match held {
                    Some(_) => Ok(()),
                    None => claim(&config).await.map(|producer| held = Some(producer)),
                };
                done(outcome);
            }
            LeaderWrite::Write(Write { records, done }) => {
                let Some(producer) = held.take() else {
                    let why = "the right to write to the config topic has to be claimed first";
                    done(Err(why.to_owned()));
                    continue;
                };
                let written = async {
                    append(&producer, topic, Some(0), &records).await?;
                    producer.commit_transaction().await.map_err(|error| error.to_string())
                };
                let outcome = timeout(LIMIT, written).await;
                let outcome = outcome.unwrap_or_else(|_| Err(format!("not written in {LIMIT:?}")));
                match &outcome {
                    Ok(()) => held = Some(producer),
                    Err(_) => give_up(producer).await,
                }
                done(outcome);
            }
            LeaderWrite::Relinquish => {
                if let Some(producer) = held.take() {
                    let _ = producer.close(Duration::ZERO).await;
                }
            }
        }
    }
    if let Some(producer) = held {
        let _ = producer.close(Duration::ZERO).await;
    }
}

async fn claim(config: &ProducerConfig) -> Result<Producer, String> {
    let producer = Producer::new(Cluster::new(config.client.clone()), config.clone());
    let outcome = match timeout(LIMIT, producer.init_transactions()).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer in {LIMIT:?}")),
    };
    match outcome {
        Ok(()) => Ok(producer),
        Err(why) => {
            let _ = producer.close(Duration::ZERO).await;
            Err(why)
        }
    }
}

async fn give_up(producer: Producer) {
    let _ = timeout(ABORT, producer.abort_transaction()).await;
    let _ = producer.close(Duration::ZERO).await;
}
