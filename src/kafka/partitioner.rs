//! Which partition a record goes to, as the Java producer's built-in partitioner decides.

use std::time::{SystemTime, UNIX_EPOCH};

/// MurmurHash2 with the seed and the arithmetic of Kafka's Java client.
pub fn murmur2(data: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let words = data.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ hash >> 15) as i32
}

/// The partition of a key among `partitions` (all of the topic's, with or without a leader):
/// `toPositive(murmur2(key)) % partitions`. 0 if there are none.
pub fn partition_for_key(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & i32::MAX).checked_rem(partitions).unwrap_or(0)
}

/// The partition for records without a key: one for a batch's worth of bytes, then another by
/// chance. That spreads the load evenly and still fills batches (KIP-794, without its weighting of
/// partitions by the length of their brokers' queues).
#[derive(Clone, Debug)]
pub struct StickyPartitioner {
    batch_size: usize,
    current: Option<i32>,
    produced: usize,
    random: u64,
}

impl StickyPartitioner {
    /// Changes after about `batch_size` bytes.
    pub fn new(batch_size: usize) -> Self {
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
        Self::with_seed(batch_size, now ^ u64::from(std::process::id()) << 40)
    }

    fn with_seed(batch_size: usize, seed: u64) -> Self {
        // Zero is the one state that the generator never leaves.
        Self { batch_size: batch_size.max(1), current: None, produced: 0, random: seed | 1 }
    }

    /// Batches have become larger or smaller.
    pub fn set_batch_size(&mut self, batch_size: usize) {
        self.batch_size = batch_size.max(1);
    }

    /// The current partition if it is still available, or a new one. `None` if none is available.
    pub fn partition(&mut self, available: &[i32]) -> Option<i32> {
        if let Some(current) = self.current
            && available.contains(&current)
        {
            return Some(current);
        }
        self.choose(available)
    }

    /// Counts a record of `bytes`; `batch_complete` says that the partition's batch was closed by
    /// it. The next call of [`Self::partition`] may return another partition then.
    ///
    /// As in Java, a change waits for the end of a batch, so that no half-filled one stays behind,
    /// but no longer than for twice the batch size.
    pub fn produced(&mut self, bytes: usize, batch_complete: bool) {
        self.produced = self.produced.saturating_add(bytes);
        let enough = self.produced >= self.batch_size && batch_complete;
        if enough || self.produced >= self.batch_size.saturating_mul(2) {
            self.current = None;
            self.produced = 0;
        }
    }

    fn choose(&mut self, available: &[i32]) -> Option<i32> {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let length = available.len() as u64;
        let index = (self.random >> 11).checked_rem(length)? as usize;
        self.produced = 0;
        self.current = available.get(index).copied();
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        // From Kafka's own UtilsTest.
        let known: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key), hash, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn keys_keep_their_partition() {
        assert_eq!(partition_for_key(b"foobar", 100), (-790_332_482_i32 & i32::MAX) % 100);
        assert_eq!(partition_for_key(b"foobar", 1), 0);
        assert_eq!(partition_for_key(b"foobar", 0), 0);
    }

    #[test]
    fn sticks_for_a_batch_and_then_spreads() {
        let available = [0, 1, 2, 3];
        let mut sticky = StickyPartitioner::with_seed(1000, 42);
        let mut counts = [0_u32; 4];
        for _ in 0..4000 {
            let partition = sticky.partition(&available).unwrap();
            for _ in 0..9 {
                sticky.produced(100, false);
                assert_eq!(sticky.partition(&available), Some(partition));
            }
            sticky.produced(100, true);
            counts[partition as usize] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_batch_that_never_closes_does_not_hold_the_partition() {
        let mut sticky = StickyPartitioner::with_seed(1000, 7);
        sticky.partition(&[5]);
        sticky.produced(1999, false);
        assert_eq!(sticky.current, Some(5));
        sticky.produced(1, false);
        assert_eq!(sticky.current, None);
    }

    #[test]
    fn lost_partitions_are_left() {
        let mut sticky = StickyPartitioner::with_seed(1000, 7);
        assert_eq!(sticky.partition(&[3]), Some(3));
        assert_eq!(sticky.partition(&[4]), Some(4));
        assert_eq!(sticky.partition(&[]), None);
    }
}
