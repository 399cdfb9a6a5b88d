//! Random numbers that depend on a seed and a record's number, and on nothing else.

/// SplitMix64: one addition and a mix per number, and any start is a good one.
#[derive(Clone)]
pub struct Random {
    state: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// The numbers of record `number`.
    #[inline]
    pub fn of(seed: u64, number: u64) -> Self {
        Self { state: mix(seed.wrapping_mul(GOLDEN) ^ number.wrapping_add(1)) }
    }

    #[inline]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Below `bound`, which is not 0; the bias is one in 2^64 / bound.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// From `min` up to, not including, `max`; `min` if there is nothing between.
    pub fn between(&mut self, min: i64, max: i64) -> i64 {
        match max.wrapping_sub(min) as u64 {
            _ if max <= min => min,
            width => min.wrapping_add(self.below(width) as i64),
        }
    }

    /// From 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
