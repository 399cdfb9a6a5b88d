//! Rows in few bytes: keys and rows one behind the other in blocks, and an index of eight bytes a
//! slot.
//!
//! A row is `key length, row length, key, row`, lengths as LEB128, padded to eight bytes. A slot of
//! the index holds 32 bits of the key's hash and where the row begins, in units of eight bytes; so a
//! lookup touches a slot, or a few beside it, and one row. A row that is replaced or removed is left
//! where it is; blocks of which more than half is such waste are emptied, one for each change.

use std::hash::{BuildHasher, Hasher};

use millrace_converters::prefetch::fetch;

/// Bytes of a block. Emptying one is the longest step that a change takes.
const BLOCK: usize = 1 << 18;
const UNIT: usize = 8;
const UNITS: usize = BLOCK / UNIT;
/// Blocks that a place can name: 32 GiB of rows.
const MOST_BLOCKS: usize = (u32::MAX as usize) / UNITS;
const FIRST_SLOTS: usize = 1 << 10;
/// A slot without a row, and one whose row was removed.
const EMPTY: u32 = u32::MAX;
const GONE: u32 = u32::MAX - 1;

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    place: u32,
}

struct Block {
    bytes: Vec<u8>,
    wasted: usize,
}

/// Keys and rows of any bytes.
pub struct CompactTable {
    hasher: foldhash::fast::RandomState,
    /// A power of two.
    slots: Vec<Slot>,
    blocks: Vec<Block>,
    /// Blocks that were emptied.
    free: Vec<u32>,
    /// Blocks that are mostly waste.
    wasteful: Vec<u32>,
    /// A row that is moved; kept for its memory.
    moved: Vec<u8>,
    /// The block that is written.
    current: usize,
    rows: usize,
    /// Slots that are not [`EMPTY`].
    used: usize,
    /// Memory that may be held.
    limit: usize,
    held: usize,
}

impl Block {
    fn mostly_waste(&self) -> bool {
        self.wasted * 2 > self.bytes.capacity()
    }
}

/// The memory allowed does not hold another row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A row's parts, as ranges of its block.
#[derive(Clone, Copy)]
struct Place {
    block: usize,
    start: usize,
    key: usize,
    row: usize,
    end: usize,
}

impl CompactTable {
    pub fn new(limit: usize) -> Self {
        Self {
            hasher: foldhash::fast::RandomState::default(),
            slots: vec![Slot { hash: 0, place: EMPTY }; FIRST_SLOTS],
            blocks: Vec::new(),
            free: Vec::new(),
            wasteful: Vec::new(),
            moved: Vec::new(),
            current: usize::MAX,
            rows: 0,
            used: 0,
            limit,
            held: FIRST_SLOTS * size_of::<Slot>(),
        }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Memory held, free room in blocks and index included.
    pub fn bytes(&self) -> usize {
        self.held
    }

    fn hash(&self, key: &[u8]) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        let hash = hasher.finish();
        (hash ^ (hash >> 32)) as u32
    }

    /// Has the slot of that key fetched into the caches; what it gives is for [`Self::fetch_row`].
    #[inline]
    pub fn fetch_slot(&self, key: &[u8]) -> u32 {
        let hash = self.hash(key);
        fetch(&self.slots[hash as usize & (self.slots.len() - 1)]);
        hash
    }

    /// Has the row of a key with that hash fetched, its first two cache lines.
    #[inline]
    pub fn fetch_row(&self, hash: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].place != EMPTY {
            let Slot { hash: found, place } = self.slots[at];
            if found == hash && place != GONE {
                let (block, start) = split(place);
                let row = &self.blocks[block].bytes[start..];
                fetch(&row[0]);
                row.get(64).inspect(|next| fetch(*next));
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// The row of that key.
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let at = self.find(self.hash(key), key)?;
        let place = self.place(self.slots[at].place);
        Some(&self.blocks[place.block].bytes[place.row..place.end])
    }

    /// The slot of that key.
    #[inline]
    fn find(&self, hash: u32, key: &[u8]) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.place == EMPTY {
                return None;
            }
            if slot.hash == hash && slot.place != GONE {
                let place = self.place(slot.place);
                if self.blocks[place.block].bytes[place.key..place.row] == *key {
                    return Some(at);
                }
            }
            at = (at + 1) & mask;
        }
    }

    #[inline]
    fn place(&self, place: u32) -> Place {
        let (block, start) = split(place);
        let bytes = &self.blocks[block].bytes;
        let (key_length, at) = length(bytes, start);
        let (row_length, key) = length(bytes, at);
        let row = key + key_length;
        Place { block, start, key, row, end: row + row_length }
    }

    /// Puts a row in the place of that key's, or adds it.
    pub fn insert(&mut self, key: &[u8], row: &[u8]) -> Result<(), Full> {
        let hash = self.hash(key);
        if let Some(at) = self.find(hash, key) {
            let old = self.slots[at].place;
            let place = self.place(old);
            if self.blocks[place.block].bytes[place.row..place.end] == *row {
                return Ok(());
            }
            let new = self.write(key, row)?;
            self.slots[at].place = new;
            self.waste(old);
            self.tidy();
            return Ok(());
        }
        // A table that is three quarters full has short searches still.
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow()?;
        }
        let place = self.write(key, row)?;
        let fresh = put(&mut self.slots, Slot { hash, place });
        self.used += usize::from(fresh);
        self.rows += 1;
        Ok(())
    }

    /// Takes the row of that key away; `false`: there was none.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some(at) = self.find(self.hash(key), key) else { return false };
        let place = self.slots[at].place;
        self.slots[at].place = GONE;
        self.rows -= 1;
        self.waste(place);
        self.tidy();
        true
    }

    /// Appends a row to the blocks.
    fn write(&mut self, key: &[u8], row: &[u8]) -> Result<u32, Full> {
        let size =
            (sized(key.len()) + sized(row.len()) + key.len() + row.len()).next_multiple_of(UNIT);
        let fits = self
            .blocks
            .get(self.current)
            .map(|block| (block.bytes.len(), block.bytes.capacity()))
            // A place names what begins in the first `BLOCK` bytes.
            .is_some_and(|(used, capacity)| used < BLOCK && capacity - used >= size);
        if !fits {
            self.current = self.block(size)?;
        }
        let block = &mut self.blocks[self.current].bytes;
        let start = block.len();
        write_length(key.len(), block);
        write_length(row.len(), block);
        block.extend_from_slice(key);
        block.extend_from_slice(row);
        block.resize(start + size, 0);
        Ok((self.current * UNITS + start / UNIT) as u32)
    }

    /// An empty block with that much room at least; rows larger than a block get one of their own.
    fn block(&mut self, size: usize) -> Result<usize, Full> {
        if size <= BLOCK
            && let Some(at) = self.free.pop()
        {
            return Ok(at as usize);
        }
        let capacity = size.max(BLOCK);
        // An emptied block of a large row is no block; its number is used again.
        let gone = self.blocks.iter().position(|block| block.bytes.capacity() == 0);
        if self.held + capacity > self.limit || (gone.is_none() && self.blocks.len() >= MOST_BLOCKS)
        {
            return Err(Full);
        }
        self.held += capacity;
        let block = Block { bytes: Vec::with_capacity(capacity), wasted: 0 };
        Ok(match gone {
            Some(at) => {
                self.blocks[at] = block;
                at
            }
            None => {
                self.blocks.push(block);
                self.blocks.len() - 1
            }
        })
    }

    fn waste(&mut self, place: u32) {
        let place = self.place(place);
        let size = (place.end - place.start).next_multiple_of(UNIT);
        let block = &mut self.blocks[place.block];
        let before = block.mostly_waste();
        block.wasted += size;
        if !before && block.mostly_waste() {
            self.wasteful.push(place.block as u32);
        }
    }

    /// Empties a block that is mostly waste, if there is one. Where there is no room for what must
    /// be moved, the rest of it waits.
    fn tidy(&mut self) {
        let found = self.wasteful.iter().position(|at| *at as usize != self.current);
        let Some(at) = found.map(|found| self.wasteful.swap_remove(found) as usize) else { return };
        if self.empty(at).is_err() {
            self.wasteful.push(at as u32);
            return;
        }
        let block = &mut self.blocks[at];
        block.wasted = 0;
        if block.bytes.capacity() > BLOCK {
            self.held -= block.bytes.capacity();
            block.bytes = Vec::new();
        } else {
            block.bytes.clear();
            self.free.push(at as u32);
        }
    }

    /// Moves the rows of a block that are still somebody's.
    fn empty(&mut self, at: usize) -> Result<(), Full> {
        let mut moved = std::mem::take(&mut self.moved);
        let mut start = 0;
        let mut outcome = Ok(());
        while start < self.blocks[at].bytes.len() && outcome.is_ok() {
            let old = (at * UNITS + start / UNIT) as u32;
            let place = self.place(old);
            start = place.end.next_multiple_of(UNIT);
            let bytes = &self.blocks[at].bytes;
            let hash = self.hash(&bytes[place.key..place.row]);
            let Some(slot) = self.slot_of(hash, old) else { continue };
            moved.clear();
            moved.extend_from_slice(&bytes[place.key..place.end]);
            let (key, row) = moved.split_at(place.row - place.key);
            match self.write(key, row) {
                Ok(new) => {
                    self.slots[slot].place = new;
                    self.blocks[at].wasted += start - place.start;
                }
                Err(full) => outcome = Err(full),
            }
        }
        self.moved = moved;
        outcome
    }

    /// The slot that names this place.
    fn slot_of(&self, hash: u32, place: u32) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].place != EMPTY {
            if self.slots[at].place == place {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// A larger index, or one of the same size without the slots of removed rows.
    fn grow(&mut self) -> Result<(), Full> {
        let slots =
            if self.rows * 2 > self.slots.len() { self.slots.len() * 2 } else { self.slots.len() };
        let more = (slots - self.slots.len()) * size_of::<Slot>();
        if self.held + more > self.limit {
            return Err(Full);
        }
        self.held += more;
        let mut larger = vec![Slot { hash: 0, place: EMPTY }; slots];
        for slot in self.slots.iter().filter(|slot| !matches!(slot.place, EMPTY | GONE)) {
            put(&mut larger, *slot);
        }
        self.slots = larger;
        self.used = self.rows;
        Ok(())
    }
}

/// The block of a place, and where in it.
#[inline]
fn split(place: u32) -> (usize, usize) {
    (place as usize / UNITS, place as usize % UNITS * UNIT)
}

/// Puts a slot where its search ends; `false`: in a removed row's place.
fn put(slots: &mut [Slot], slot: Slot) -> bool {
    let mask = slots.len() - 1;
    let mut at = slot.hash as usize & mask;
    while !matches!(slots[at].place, EMPTY | GONE) {
        at = (at + 1) & mask;
    }
    let fresh = slots[at].place == EMPTY;
    slots[at] = slot;
    fresh
}

/// A LEB128 number at `at`, and what follows it. Written here, so whole.
#[inline]
fn length(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[at];
        at += 1;
        value |= usize::from(byte & 127) << shift;
        if byte < 128 {
            return (value, at);
        }
        shift += 7;
    }
}

fn sized(length: usize) -> usize {
    (usize::BITS - (length | 1).leading_zeros()).div_ceil(7) as usize
}

fn write_length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 128 {
        out.push(length as u8 | 128);
        length >>= 7;
    }
    out.push(length as u8);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_rows_take_less_than_a_hundred_bytes_each() {
        let mut table = CompactTable::new(usize::MAX);
        for at in 0..300_000u32 {
            let row = format!("\"country\":\"NL\",\"segment\":\"s{}\",\"score\":{at}", at % 7);
            table.insert(at.to_string().as_bytes(), row.as_bytes()).unwrap();
        }
        let each = table.bytes() / table.rows();
        assert!(each < 100, "{each} bytes a row");
        let row = table.get(b"299999").unwrap();
        assert_eq!(row, b"\"country\":\"NL\",\"segment\":\"s0\",\"score\":299999");
        assert_eq!(table.get(b"300000"), None);
    }

    #[test]
    fn the_limit_holds_and_what_is_there_stays() {
        let mut table = CompactTable::new(1 << 20);
        let row = [7; 1000];
        let mut count = 0u32;
        while table.insert(&count.to_le_bytes(), &row).is_ok() {
            count += 1;
        }
        assert!(count > 700 && table.bytes() <= 1 << 20, "{count} {}", table.bytes());
        assert_eq!(table.rows(), count as usize);
        assert_eq!(table.get(&0u32.to_le_bytes()), Some(&row[..]));
        assert_eq!(table.insert(b"large", &vec![0; 2 << 20]), Err(Full));
        assert!(table.remove(&1u32.to_le_bytes()) && table.get(&1u32.to_le_bytes()).is_none());
    }

    /// Rows that change for ever stay within twice what they take and some blocks.
    #[test]
    fn waste_is_used_again() {
        let mut table = CompactTable::new(usize::MAX);
        for round in 0..200u32 {
            for key in 0..2000u32 {
                let row = vec![round as u8; 100 + (key % 50) as usize];
                table.insert(&key.to_le_bytes(), &row).unwrap();
            }
        }
        assert!(table.bytes() < (2000 * 150) * 2 + 5 * BLOCK, "{}", table.bytes());
        for key in 0..2000u32 {
            let row = table.get(&key.to_le_bytes()).unwrap();
            assert!(row.len() == 100 + (key % 50) as usize && row.iter().all(|byte| *byte == 199));
        }
    }

    proptest! {
        /// Against a map, with rows around the size of a block among them.
        #[test]
        fn it_is_a_map(changes in proptest::collection::vec(
            (0u16..300, proptest::option::of((0usize..400, any::<u8>())), 0u8..40), 1..2000)
        ) {
            let mut table = CompactTable::new(usize::MAX);
            let mut map = HashMap::new();
            for (key, row, large) in changes {
                let key = format!("k{key}").into_bytes();
                match row {
                    Some((length, byte)) => {
                        let length = if large == 0 { length * 1500 } else { length };
                        let row = vec![byte; length];
                        table.insert(&key, &row).unwrap();
                        map.insert(key, row);
                    }
                    None => prop_assert_eq!(table.remove(&key), map.remove(&key).is_some()),
                }
                prop_assert_eq!(table.rows(), map.len());
            }
            for (key, row) in &map {
                prop_assert_eq!(table.get(key), Some(&row[..]));
            }
            for key in 0..300 {
                let key = format!("k{key}").into_bytes();
                prop_assert_eq!(table.get(&key).is_some(), map.contains_key(&key));
            }
        }
    }
}
