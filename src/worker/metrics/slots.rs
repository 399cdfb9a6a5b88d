//! Counts by value, right to 0.1 %, in pages that are there only where something was counted.
//!
//! The slots are hdrhistogram's with three digits: values below 2048 have one each, and each doubling
//! has 1024 more. hdrhistogram keeps all of them up to the greatest value, 8 KiB a doubling, which for
//! a thousand tasks with half a dozen distributions each was the greater part of their memory; the
//! times of one task mostly lie close together.

/// Slots of a doubling.
const HALF: u64 = 1024;
/// Slots of a page.
const PAGE: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    /// Of its first slot, in pages.
    number: u32,
    counts: Box<[u64; PAGE]>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots {
    /// By their numbers.
    pages: Vec<Page>,
    /// The page that was counted in last: the next value is mostly there.
    last: usize,
}

/// Values that count as one, with how many came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub least: u64,
    pub most: u64,
    pub count: u64,
}

/// So many low bits do not tell in the doubling of `value`.
fn dropped_bits(value: u64) -> u32 {
    (2 * HALF - 1).leading_zeros() - (value | (2 * HALF - 1)).leading_zeros()
}

fn place(value: u64) -> u64 {
    let bits = dropped_bits(value);
    u64::from(bits) * HALF + (value >> bits)
}

/// The least and the greatest value of a place.
fn values(place: u64) -> (u64, u64) {
    let bits = (place / HALF).saturating_sub(1);
    let least = (place - bits * HALF) << bits;
    (least, least + ((1 << bits) - 1))
}

impl Slots {
    pub(super) fn add(&mut self, value: u64, count: u64) {
        let place = place(value);
        let (number, slot) = ((place / PAGE as u64) as u32, place as usize % PAGE);
        if self.pages.get(self.last).is_none_or(|page| page.number != number) {
            self.last = match self.pages.binary_search_by_key(&number, |page| page.number) {
                Ok(at) => at,
                Err(at) => {
                    self.pages.insert(at, Page { number, counts: Box::new([0; PAGE]) });
                    at
                }
            };
        }
        let counted = &mut self.pages[self.last].counts[slot];
        *counted = counted.saturating_add(count);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for slot in other.iter() {
            self.add(slot.least, slot.count);
        }
    }

    pub(super) fn clear(&mut self) {
        self.pages.clear();
        self.last = 0;
    }

    /// Those that something was counted in, by their values.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Slot> + '_ {
        self.pages.iter().flat_map(|page| {
            let counted = page.counts.iter().enumerate().filter(|(_, count)| **count > 0);
            counted.map(|(at, count)| {
                let (least, most) = values(u64::from(page.number) * PAGE as u64 + at as u64);
                Slot { least, most, count: *count }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_slots_are_hdrhistograms(
            counted in prop::collection::vec((0u64..1 << 37, 0u32..37, 1u64..1000), 1..50),
        ) {
            let mut slots = Slots::default();
            let mut histogram = Histogram::<u64>::new(3).unwrap();
            for (value, shift, count) in counted {
                // All sizes alike.
                let value = value >> shift;
                slots.add(value, count);
                histogram.record_n(value, count).unwrap();
            }
            let ours: Vec<_> = slots.iter().map(|slot| (slot.most, slot.count)).collect();
            let theirs: Vec<_> = histogram
                .iter_recorded()
                .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
                .collect();
            prop_assert_eq!(ours, theirs);
            for slot in slots.iter() {
                prop_assert_eq!(slot.least, histogram.lowest_equivalent(slot.most));
            }
            let mut again = Slots::default();
            again.merge(&slots);
            prop_assert_eq!(&again.pages, &slots.pages);
        }
    }

    #[test]
    fn memory_is_where_the_values_are() {
        let mut slots = Slots::default();
        for value in 0..1000 {
            slots.add(600_000_000 + value * 1000, 1);
        }
        slots.add(5, 1);
        assert_eq!(slots.pages.len(), 2);
        slots.clear();
        assert_eq!(slots.iter().next(), None);
        slots.add(7, 1);
        assert_eq!(slots.iter().next(), Some(Slot { least: 7, most: 7, count: 1 }));
    }
}
