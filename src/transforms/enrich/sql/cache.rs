//! What a database answered, for a while.
//!
//! Two tables of half the bound each: what is looked up or new is in the young one; when that is
//! full it becomes the old one, and what nobody looked up since is forgotten. So both a lookup and an
//! eviction cost little, and memory is bounded by the tables' own bounds.

use super::super::compact::{CompactTable, Full};

/// Before each row: when it expires, and what it is.
const HEAD: usize = 9;

const ROW: u8 = 0;
const NONE: u8 = 1;
const REFUSED: u8 = 2;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'c> {
    /// The text of the fields that a record gets.
    Row(&'c [u8]),
    None,
    /// Why the database will not look it up.
    Refused(&'c str),
}

pub struct Cache {
    young: CompactTable,
    old: CompactTable,
    /// Keys, and bytes, of each half.
    rows: usize,
    memory: usize,
    /// An entry that is moved or written; kept for its memory.
    entry: Vec<u8>,
}

impl Cache {
    pub fn new(rows: usize, memory: usize) -> Self {
        let (rows, memory) = (rows.div_ceil(2), memory / 2);
        let half = || CompactTable::new(memory);
        Self { young: half(), old: half(), rows, memory, entry: Vec::new() }
    }

    /// What is known of that key at `now`, in milliseconds.
    pub fn get(&mut self, key: &[u8], now: u64) -> Option<Known<'_>> {
        if self.young.get(key).is_none() {
            let entry = self.old.get(key).filter(|entry| expires(entry) > now)?;
            self.entry.clear();
            self.entry.extend_from_slice(entry);
            // One that was in the other half fits into this.
            self.put(key).ok()?;
        }
        let entry = self.young.get(key).filter(|entry| expires(entry) > now)?;
        let rest = &entry[HEAD..];
        Some(match entry[HEAD - 1] {
            ROW => Known::Row(rest),
            NONE => Known::None,
            _ => Known::Refused(std::str::from_utf8(rest).unwrap_or_default()),
        })
    }

    /// Remembers it until `expires`.
    ///
    /// # Errors
    /// It alone takes more than half of the memory.
    pub fn insert(&mut self, key: &[u8], known: Known<'_>, expires: u64) -> Result<(), Full> {
        let (kind, rest) = match known {
            Known::Row(row) => (ROW, row),
            Known::None => (NONE, &[][..]),
            Known::Refused(why) => (REFUSED, why.as_bytes()),
        };
        self.entry.clear();
        self.entry.extend_from_slice(&expires.to_le_bytes());
        self.entry.push(kind);
        self.entry.extend_from_slice(rest);
        self.put(key)
    }

    fn put(&mut self, key: &[u8]) -> Result<(), Full> {
        if self.young.rows() < self.rows && self.young.insert(key, &self.entry).is_ok() {
            return Ok(());
        }
        self.old = std::mem::replace(&mut self.young, CompactTable::new(self.memory));
        self.young.insert(key, &self.entry)
    }

    /// Keys that are remembered; some may be in both halves.
    pub fn rows(&self) -> usize {
        self.young.rows() + self.old.rows()
    }

    pub fn bytes(&self) -> usize {
        self.young.bytes() + self.old.bytes() + self.entry.capacity()
    }
}

fn expires(entry: &[u8]) -> u64 {
    entry.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_live_as_long_as_they_may() {
        let mut cache = Cache::new(1000, 1 << 20);
        cache.insert(b"a", Known::Row(b"\"x\":1"), 100).unwrap();
        cache.insert(b"b", Known::None, 50).unwrap();
        cache.insert(b"c", Known::Refused("no number"), 50).unwrap();
        assert_eq!(cache.get(b"a", 99), Some(Known::Row(b"\"x\":1")));
        assert_eq!(cache.get(b"b", 49), Some(Known::None));
        assert_eq!(cache.get(b"c", 49), Some(Known::Refused("no number")));
        assert_eq!(cache.get(b"b", 50), None);
        assert_eq!(cache.get(b"a", 100), None);
        assert_eq!(cache.get(b"d", 0), None);
        cache.insert(b"a", Known::Row(b""), 200).unwrap();
        assert_eq!(cache.get(b"a", 100), Some(Known::Row(b"")));
    }

    #[test]
    fn what_is_looked_up_stays_and_the_rest_goes() {
        let mut cache = Cache::new(1000, 8 << 20);
        for number in 0..20_000u32 {
            cache.insert(&number.to_le_bytes(), Known::None, 10).unwrap();
            assert_eq!(cache.get(&0u32.to_le_bytes(), 0), Some(Known::None), "{number}");
            assert!(cache.rows() <= 1000);
        }
        assert_eq!(cache.get(&1u32.to_le_bytes(), 0), None);
        assert_eq!(cache.get(&19_999u32.to_le_bytes(), 0), Some(Known::None));
    }

    #[test]
    fn memory_is_bounded() {
        let mut cache = Cache::new(1_000_000, 2 << 20);
        let row = vec![b'x'; 10_000];
        for number in 0..2000u32 {
            cache.insert(&number.to_le_bytes(), Known::Row(&row), 10).unwrap();
            assert!(cache.bytes() <= (2 << 20) + 20_000, "{}", cache.bytes());
            assert_eq!(cache.get(&number.to_le_bytes(), 0), Some(Known::Row(&row)));
        }
        assert!(cache.insert(b"k", Known::Row(&vec![b'x'; 3 << 20]), 10).is_err());
    }
}
