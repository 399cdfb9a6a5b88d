//! The order in which a `java.util.HashMap` shows strings.
//!
//! Confluent's converter builds schemas out of hash maps, and the text that is registered shows
//! their order. A registry compares texts before anything else, so ours has the same.

/// Buckets of a map that was made with room for `room` buckets and then filled with `count` keys.
fn grown(room: usize, count: usize) -> usize {
    let mut buckets = room.next_power_of_two();
    while count > buckets * 3 / 4 {
        buckets *= 2;
    }
    buckets
}

/// The bucket of `key` among `buckets`, a power of two.
fn bucket(key: &str, buckets: usize) -> usize {
    let hash = key
        .encode_utf16()
        .fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    (hash ^ (hash >> 16)) as usize & (buckets - 1)
}

fn order<T>(entries: &mut [T], buckets: usize, key: impl Fn(&T) -> &str) {
    // Within a bucket the order of insertion stays, through all resizing.
    entries.sort_by_key(|entry| bucket(key(entry), buckets));
}

/// As a `new HashMap<>()` shows entries that were put in the given order.
pub(super) fn plain<T>(entries: &mut [T], key: impl Fn(&T) -> &str) {
    let buckets = grown(16, entries.len());
    order(entries, buckets, key);
}

/// As a `new HashMap<>(entries.size())`.
pub(super) fn sized<T>(entries: &mut [T], key: impl Fn(&T) -> &str) {
    let buckets = grown(entries.len().max(1), entries.len());
    order(entries, buckets, key);
}

/// As a `new HashMap<>(map)` of a map that shows them in the given order.
pub(super) fn copied<T>(entries: &mut [T], key: impl Fn(&T) -> &str) {
    // entries / 0.75 + 1, in whole numbers.
    let buckets = (entries.len() * 4 / 3 + 1).next_power_of_two();
    order(entries, buckets, key);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a JVM's maps show.
    #[test]
    fn shows_as_java() {
        let mut keys: Vec<String> = (0..20).map(|i| format!("field{i}")).collect();
        plain(&mut keys, |key| key);
        let shown = "19 17 18 11 12 1 0 10 15 16 13 14 7 6 9 8 3 2 5 4";
        let expected: Vec<String> = shown.split(' ').map(|at| format!("field{at}")).collect();
        assert_eq!(keys, expected);
        assert_eq!(bucket("a", 16), 97 & 15);
        assert_eq!(bucket("field0", 1 << 16), {
            // "field0".hashCode() is -1274708362.
            let hash = -1_274_708_362i32 as u32;
            ((hash ^ (hash >> 16)) & 0xffff) as usize
        });
        assert_eq!((grown(16, 12), grown(16, 13), grown(1, 1), grown(2, 2)), (16, 32, 2, 4));
    }
}
