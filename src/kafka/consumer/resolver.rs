//! Finds out, beside the reading of other partitions, what a partition needs before it can be read:
//! its leader, the group's committed offset, an end of its log.

use std::rc::Rc;

use millrace_net::rt::sleep;

use super::Shared;
use crate::cluster::Cluster;
use crate::config::{ConsumerConfig, OffsetReset};
use crate::error::{ErrorKind, KafkaError};
use crate::offsets::{EARLIEST, LATEST, list_offsets};
use crate::partitions::{Position, TopicPartition};

/// Works until nothing is left to find out. Errors that pass are retried with back-off and told as
/// trouble; others end the consumer at its next poll.
pub(super) async fn resolve(cluster: Cluster, config: Rc<ConsumerConfig>, shared: Rc<Shared>) {
    let mut backoff = cluster.backoff();
    while has_work(&shared) {
        match resolve_once(&cluster, &config, &shared).await {
            Ok(()) => {
                backoff.reset();
                shared.trouble.borrow_mut().take();
                shared.doorbell.ring();
            }
            Err(error) if error.is_retriable() || error.kind == ErrorKind::Rejoin => {
                tracing::debug!(%error, "waiting for what partitions need");
                *shared.trouble.borrow_mut() = Some(error);
                shared.doorbell.ring();
                sleep(backoff.next_wait()).await;
                // Until the metadata come, the leaders known may be the wrong ones.
                shared.partitions.borrow_mut().refresh_wanted = true;
            }
            Err(error) => {
                shared.partitions.borrow_mut().fatal.get_or_insert(error);
                break;
            }
        }
    }
    shared.resolving.set(false);
    shared.doorbell.ring();
}

pub(super) fn has_work(shared: &Shared) -> bool {
    let partitions = shared.partitions.borrow();
    partitions.refresh_wanted || !partitions.undecided().is_empty()
}

async fn resolve_once(
    cluster: &Cluster,
    config: &ConsumerConfig,
    shared: &Shared,
) -> Result<(), KafkaError> {
    let refresh = std::mem::take(&mut shared.partitions.borrow_mut().refresh_wanted);
    if refresh {
        cluster.refresh().await?;
    }
    let undecided = shared.partitions.borrow().undecided();
    let committed: Vec<TopicPartition> = undecided
        .iter()
        .filter(|(_, position)| *position == Position::Committed)
        .map(|(name, _)| name.clone())
        .collect();
    if !committed.is_empty() {
        let group = shared.group.borrow().clone();
        let found = match group {
            Some(group) => group.committed(&committed).await?,
            None => Vec::new(),
        };
        let mut partitions = shared.partitions.borrow_mut();
        for name in committed {
            let offset = found.iter().find(|(known, _)| *known == name).map(|(_, at)| at.offset);
            let position = match offset {
                Some(offset) if offset >= 0 => Position::At(offset),
                _ => Position::Reset(config.auto_offset_reset),
            };
            partitions.decide(&name, Position::Committed, position);
        }
    }
    reset(cluster, config, shared).await?;
    // Last, so that one partition without a leader does not keep the others waiting.
    leaderless(cluster, shared).map_or(Ok(()), Err)
}

/// Decides the positions that stand at an end of their logs.
async fn reset(
    cluster: &Cluster,
    config: &ConsumerConfig,
    shared: &Shared,
) -> Result<(), KafkaError> {
    let undecided = shared.partitions.borrow().undecided();
    let mut asked = Vec::new();
    let metadata = cluster.metadata();
    for (name, position) in &undecided {
        if metadata.leader(&name.topic, name.partition).is_none() {
            continue;
        }
        match position {
            Position::Reset(OffsetReset::Earliest) => asked.push((name.clone(), EARLIEST)),
            Position::Reset(OffsetReset::Latest) => asked.push((name.clone(), LATEST)),
            Position::Reset(OffsetReset::None) => {
                let why = format!(
                    "{name} has no committed offset and auto.offset.reset is none; commit one, \
                     seek, or set auto.offset.reset to earliest or latest"
                );
                return Err(KafkaError::new(ErrorKind::Fatal, why));
            }
            Position::Committed | Position::At(_) => {}
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let listed = list_offsets(cluster, config.isolation_level, &asked).await?;
    let mut partitions = shared.partitions.borrow_mut();
    for (name, position) in undecided {
        if let Some(found) = listed.iter().find(|found| found.name == name) {
            partitions.decide(&name, position, Position::At(found.offset));
        }
    }
    Ok(())
}

/// The error of the first partition that has no leader; the topic's own where it has one.
fn leaderless(cluster: &Cluster, shared: &Shared) -> Option<KafkaError> {
    let metadata = cluster.metadata();
    let partitions = shared.partitions.borrow();
    partitions.iter().find_map(|slot| {
        let name = &slot.name;
        if metadata.leader(&name.topic, name.partition).is_some() {
            return None;
        }
        let topic = metadata.topics.get(&name.topic).map_or(3, |topic| topic.error);
        let code = metadata.partition(&name.topic, name.partition).map_or(3, |known| known.error);
        let code = [topic, code].into_iter().find(|code| *code != 0).unwrap_or(5);
        Some(KafkaError::from_code(code, "Metadata", name.to_string()))
    })
}
