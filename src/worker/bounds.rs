//! A bulk job's start and end: every partition of its share, from where to where.

use millrace_api::record::TopicPartition;
use millrace_api::sink::Offsets;

/// The partitions of one task of a bulk job, with the offsets that it ends at.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoundedJob {
    ends: Offsets,
}

impl BoundedJob {
    pub(crate) fn new(ends: Offsets) -> Self {
        Self { ends }
    }

    /// The offset that is not delivered any more.
    pub(crate) fn end(&self, partition: &TopicPartition) -> i64 {
        self.ends.get(partition).copied().unwrap_or(i64::MAX)
    }

    /// Whether every partition is at its end or beyond: positions pass it over control records
    /// and compacted gaps.
    pub(crate) fn reached(&self, position: impl Fn(&TopicPartition) -> Option<i64>) -> bool {
        self.ends
            .iter()
            .all(|(partition, end)| position(partition).is_some_and(|position| position >= *end))
    }
}

/// The share of task `share.0` of `share.1`, of partitions that all tasks see in the same order.
pub(crate) fn share<T>(partitions: impl Iterator<Item = T>, share: (u32, u32)) -> Vec<T> {
    partitions.skip(share.0 as usize).step_by(share.1.max(1) as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(count: i32) -> impl Iterator<Item = TopicPartition> {
        (0..count).map(|partition| TopicPartition::new("t", partition))
    }

    #[test]
    fn shares_are_disjoint_and_complete() {
        let mut all = share(partitions(7), (0, 3));
        all.extend(share(partitions(7), (1, 3)));
        all.extend(share(partitions(7), (2, 3)));
        all.sort();
        assert!(all.into_iter().eq(partitions(7)));
    }

    #[test]
    fn a_job_ends_when_every_position_is_at_or_past_its_end() {
        let partition = TopicPartition::new("t", 0);
        let job = BoundedJob::new(Offsets::from([(partition.clone(), 10)]));
        assert!(!job.reached(|_| Some(9)));
        assert!(job.reached(|_| Some(11)));
        assert!(!job.reached(|_| None));
        assert!(BoundedJob::default().reached(|_| None), "nothing to do is done");
        assert_eq!(job.end(&TopicPartition::new("other", 0)), i64::MAX);
    }
}
