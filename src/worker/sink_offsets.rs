//! A sink task's offsets: what it has taken, what is durable, what is committed.

use millrace_api::record::TopicPartition;
use millrace_api::sink::Offsets;

#[derive(Default)]
pub(crate) struct SinkOffsets {
    /// The next offset to read, for every assigned partition.
    consumed: Offsets,
    committed: Offsets,
    /// Where assigned partitions started.
    first: Offsets,
}

impl SinkOffsets {
    /// Partitions came, with the positions that they start from.
    pub(crate) fn assign(&mut self, positions: &Offsets) {
        for (partition, offset) in positions {
            self.consumed.insert(partition.clone(), *offset);
            self.committed.insert(partition.clone(), *offset);
            self.first.insert(partition.clone(), *offset);
        }
    }

    pub(crate) fn revoke(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.consumed.remove(partition);
            self.committed.remove(partition);
            self.first.remove(partition);
        }
    }

    /// `put` took everything of that partition below `next`. By reference and in place: no
    /// allocation once a partition is known.
    pub(crate) fn taken(&mut self, partition: &TopicPartition, next: i64) {
        match self.consumed.get_mut(partition) {
            Some(offset) => *offset = next,
            None => {
                self.consumed.insert(partition.clone(), next);
            }
        }
    }

    /// As [`Self::taken`], record by record. A partition that is not assigned is passed over.
    pub(crate) fn taken_at(&mut self, topic: &str, partition: i32, next: i64) {
        let of = |name: &TopicPartition| name.partition == partition && *name.topic == *topic;
        if let Some((_, offset)) = self.consumed.iter_mut().find(|(name, _)| of(name)) {
            *offset = next;
        }
    }

    /// Something was taken from that partition since it was assigned.
    pub(crate) fn moved(&self, partition: &TopicPartition) -> bool {
        self.consumed.get(partition) > self.first.get(partition)
    }

    pub(crate) fn consumed(&self) -> &Offsets {
        &self.consumed
    }

    /// Of what `pre_commit` answered, what is to be committed: assigned partitions, no further than
    /// consumed, and news. The rest is named in the log.
    pub(crate) fn to_commit(&self, durable: Offsets) -> Offsets {
        durable
            .into_iter()
            .filter(|(partition, offset)| match self.consumed.get(partition) {
                None => {
                    tracing::warn!(%partition, offset, "pre_commit answered for a partition that is not assigned");
                    false
                }
                Some(consumed) if offset > consumed => {
                    tracing::warn!(%partition, offset, consumed, "pre_commit answered beyond what was consumed");
                    false
                }
                Some(_) => self.committed.get(partition) != Some(offset),
            })
            .collect()
    }

    pub(crate) fn committed(&mut self, offsets: &Offsets) {
        self.committed
            .extend(offsets.iter().map(|(partition, offset)| (partition.clone(), *offset)));
    }

    /// Records, by their offsets, that were taken and are not committed.
    pub(crate) fn behind(&self) -> u64 {
        let committed = |partition| self.committed.get(partition).copied();
        let behind = self.consumed.iter().map(|(partition, offset)| {
            (offset - committed(partition).unwrap_or(*offset)).max(0) as u64
        });
        behind.sum()
    }

    /// Where to read again after `pre_commit` failed: what is committed.
    pub(crate) fn rewind(&mut self) -> Vec<(TopicPartition, i64)> {
        self.consumed = self.committed.clone();
        self.committed.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_within_what_was_consumed_is_committed() {
        let a = TopicPartition::new("t", 0);
        let b = TopicPartition::new("t", 1);
        let mut offsets = SinkOffsets::default();
        offsets.assign(&Offsets::from([(a.clone(), 5), (b.clone(), 7)]));
        offsets.taken(&a, 10);
        assert!(offsets.moved(&a) && !offsets.moved(&b));
        let stranger = TopicPartition::new("t", 2);
        let answer = Offsets::from([(a.clone(), 9), (b.clone(), 7), (stranger, 1)]);
        assert_eq!(offsets.to_commit(answer), Offsets::from([(a.clone(), 9)]));
        let beyond = Offsets::from([(a.clone(), 11)]);
        assert!(offsets.to_commit(beyond).is_empty());
        offsets.committed(&Offsets::from([(a.clone(), 9)]));
        assert_eq!(offsets.rewind()[0], (a, 9));
    }
}
