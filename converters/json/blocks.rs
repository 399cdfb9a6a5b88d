//! Blocks of 64 bytes, all at once: what a learned shape needs to know of a document.
//!
//! The bytes that can end a string or a number become one bit each, so that the end of a value is
//! found by counting zeros in a word instead of looking at the text again; and a literal of the
//! shape is compared with the text in one step. Loads are of whole blocks that the caller has cut
//! out of the buffer, so nothing here can look past its end.

use super::isa::{Isa, Swar};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;

/// What a block holds; bit `i` stands for byte `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockBits {
    /// Quote, backslash or control character.
    pub special: u64,
    /// Anything but `0` to `9`.
    pub non_digits: u64,
    /// Not ASCII.
    pub high: u64,
}

pub(crate) trait Blocks: Isa {
    /// The bits of the narrower loads, put together.
    #[inline(always)]
    fn bits(self, block: &[u8; BLOCK]) -> BlockBits {
        let mut bits = BlockBits { special: 0, non_digits: 0, high: 0 };
        for at in (0..BLOCK).step_by(Self::WIDTH) {
            if let (Some(text), Some(digits)) =
                (self.string_bits(block, at), self.non_digits(block, at))
            {
                bits.special |= u64::from(text.special) << at;
                bits.high |= u64::from(text.high) << at;
                bits.non_digits |= u64::from(digits) << at;
            }
        }
        bits
    }

    /// Writes where the bits stand, the lowest first, counted from `first`; what is in `places`
    /// behind as many as there are bits is of no meaning.
    #[inline(always)]
    fn places(self, mut bits: u64, first: u16, places: &mut [u16; BLOCK]) {
        let (fours, _) = places.as_chunks_mut::<4>();
        // Four at a time, needed or not: how many there are is hard to foretell.
        for four in fours {
            if bits == 0 {
                break;
            }
            for place in four {
                *place = first.wrapping_add(bits.trailing_zeros() as u16);
                bits &= bits.wrapping_sub(1);
            }
        }
    }

    /// A bit for each byte that is not the same in both.
    #[inline(always)]
    fn differs(self, a: &[u8; BLOCK], b: &[u8; BLOCK]) -> u64 {
        let pairs = a.iter().zip(b).enumerate();
        pairs.fold(0, |bits, (at, (a, b))| bits | u64::from(a != b) << at)
    }

    /// Are the first `len` bytes (1 to 64) the same?
    fn equal(self, a: &[u8; BLOCK], b: &[u8; BLOCK], len: usize) -> bool;
}

/// Can that byte end a string? The rule of [`BlockBits::special`].
pub(crate) fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// Ones below bit `len`, 1 to 64.
#[inline(always)]
fn below(len: usize) -> u64 {
    u64::MAX >> ((BLOCK - len) & (BLOCK - 1))
}

impl Blocks for Swar {
    #[inline(always)]
    fn equal(self, a: &[u8; BLOCK], b: &[u8; BLOCK], len: usize) -> bool {
        let word = |bytes: &[u8; BLOCK], at: usize| {
            bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
        };
        let mut at = 0;
        while len - at > 8 {
            if word(a, at) != word(b, at) {
                return false;
            }
            at += 8;
        }
        // One to eight bytes are left, and the block has all eight.
        (word(a, at) ^ word(b, at)) << (8 * (8 - (len - at))) == 0
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::isa::{Avx2, Avx512, Sse2};
    use super::{BLOCK, BlockBits, Blocks, below};

    /// 0 to 63.
    static NUMBERS: [u8; BLOCK] = {
        let mut numbers = [0; BLOCK];
        let mut at = 0;
        while at < BLOCK {
            numbers[at] = at as u8;
            at += 1;
        }
        numbers
    };

    impl Sse2 {
        /// A bit for each of 16 bytes from `AT` on that is the same in both, at its place.
        #[inline(always)]
        fn same<const AT: usize>(self, a: &[u8; BLOCK], b: &[u8; BLOCK]) -> u64 {
            const { assert!(AT + 16 <= BLOCK) };
            // SAFETY: SSE2 is part of x86_64; 16 bytes follow `AT` in both.
            let same = unsafe {
                let a = _mm_loadu_si128(a.as_ptr().add(AT).cast());
                let b = _mm_loadu_si128(b.as_ptr().add(AT).cast());
                _mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) as u32
            };
            u64::from(same) << AT
        }

        /// [`Self::same`] of the first `len` bytes and a few more: most literals are short.
        #[inline(always)]
        fn same_up_to(self, a: &[u8; BLOCK], b: &[u8; BLOCK], len: usize) -> u64 {
            let mut same = self.same::<0>(a, b);
            if len > 16 {
                same |= self.same::<16>(a, b);
            }
            if len > 32 {
                same |= self.same::<32>(a, b);
            }
            if len > 48 {
                same |= self.same::<48>(a, b);
            }
            same
        }
    }

    impl Blocks for Sse2 {
        #[inline(always)]
        fn differs(self, a: &[u8; BLOCK], b: &[u8; BLOCK]) -> u64 {
            !self.same_up_to(a, b, BLOCK)
        }

        #[inline(always)]
        fn equal(self, a: &[u8; BLOCK], b: &[u8; BLOCK], len: usize) -> bool {
            !self.same_up_to(a, b, len) & below(len) == 0
        }
    }

    impl Avx2 {
        /// A bit for each of 32 bytes from 0 or 32 on that is the same in both.
        #[inline(always)]
        fn same<const AT: usize>(self, a: &[u8; BLOCK], b: &[u8; BLOCK]) -> u64 {
            const { assert!(AT + 32 <= BLOCK) };
            // SAFETY: `self` proves AVX2; 32 bytes follow `AT` in both.
            unsafe {
                let a = _mm256_loadu_si256(a.as_ptr().add(AT).cast());
                let b = _mm256_loadu_si256(b.as_ptr().add(AT).cast());
                u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)) as u32)
            }
        }
    }

    impl Blocks for Avx2 {
        #[inline(always)]
        fn differs(self, a: &[u8; BLOCK], b: &[u8; BLOCK]) -> u64 {
            !(self.same::<0>(a, b) | self.same::<32>(a, b) << 32)
        }

        #[inline(always)]
        fn equal(self, a: &[u8; BLOCK], b: &[u8; BLOCK], len: usize) -> bool {
            // Most literals are short.
            if len <= 32 {
                return !self.same::<0>(a, b) & below(len) == 0;
            }
            self.differs(a, b) & below(len) == 0
        }
    }

    impl Blocks for Avx512 {
        #[inline(always)]
        fn bits(self, block: &[u8; BLOCK]) -> BlockBits {
            // SAFETY: `self` proves AVX-512 F and BW; the load reads the 64 bytes of `block`.
            unsafe {
                let v = _mm512_loadu_si512(block.as_ptr().cast());
                let quote = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'"' as i8));
                let slash = _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(b'\\' as i8));
                let control = _mm512_cmplt_epu8_mask(v, _mm512_set1_epi8(0x20));
                let digit = _mm512_sub_epi8(v, _mm512_set1_epi8(b'0' as i8));
                BlockBits {
                    special: quote | slash | control,
                    non_digits: _mm512_cmpgt_epu8_mask(digit, _mm512_set1_epi8(9)),
                    high: _mm512_movepi8_mask(v),
                }
            }
        }

        #[inline(always)]
        fn places(self, bits: u64, first: u16, places: &mut [u16; BLOCK]) {
            // SAFETY: `self` proves AVX-512 F, BW and VBMI2; the load reads the 64 bytes of
            // `NUMBERS`, the stores write the first and the last 32 of the 64 places.
            unsafe {
                let numbers = _mm512_loadu_si512(NUMBERS.as_ptr().cast());
                let found = _mm512_maskz_compress_epi8(bits, numbers);
                let first = _mm512_set1_epi16(first as i16);
                let low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(found));
                _mm512_storeu_si512(places.as_mut_ptr().cast(), _mm512_add_epi16(low, first));
                if bits.count_ones() > 32 {
                    let high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64::<1>(found));
                    let high = _mm512_add_epi16(high, first);
                    _mm512_storeu_si512(places.as_mut_ptr().add(32).cast(), high);
                }
            }
        }

        #[inline(always)]
        fn differs(self, a: &[u8; BLOCK], b: &[u8; BLOCK]) -> u64 {
            // SAFETY: `self` proves AVX-512 F and BW; the loads read the 64 bytes of both.
            unsafe {
                let a = _mm512_loadu_si512(a.as_ptr().cast());
                let b = _mm512_loadu_si512(b.as_ptr().cast());
                _mm512_cmpneq_epi8_mask(a, b)
            }
        }

        #[inline(always)]
        fn equal(self, a: &[u8; BLOCK], b: &[u8; BLOCK], len: usize) -> bool {
            // A load of 64 bytes would nearly always touch two cache lines.
            if len <= 32 {
                // SAFETY: `self` proves AVX-512 F, BW and VL; the loads read 32 bytes of both.
                return unsafe {
                    let a = _mm256_loadu_si256(a.as_ptr().cast());
                    let b = _mm256_loadu_si256(b.as_ptr().cast());
                    _mm256_mask_cmpneq_epi8_mask(below(len) as u32, a, b) == 0
                };
            }
            self.differs(a, b) & below(len) == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::isa::{Isa, Level, dispatch};

    fn all<I: Isa + Blocks>(isa: I, text: &[u8]) -> Vec<BlockBits> {
        text.windows(BLOCK).map(|block| isa.bits(block.first_chunk().expect("64 bytes"))).collect()
    }

    fn compared<I: Isa + Blocks>(isa: I, a: &[u8], b: &[u8], len: usize) -> bool {
        isa.equal(a.first_chunk().expect("64 bytes"), b.first_chunk().expect("64 bytes"), len)
    }

    #[test]
    fn every_byte_at_every_place() {
        let text: Vec<u8> = (0..=255u8).chain((0..=255u8).rev()).collect();
        for level in Level::available() {
            let text = text.as_slice();
            let found = dispatch!(level, all, (text: &[u8]) -> Vec<BlockBits>);
            for (from, bits) in found.iter().enumerate() {
                for (i, &byte) in text[from..from + BLOCK].iter().enumerate() {
                    let bit = |mask: u64| mask >> i & 1 == 1;
                    assert_eq!(bit(bits.special), is_special(byte));
                    assert_eq!(bit(bits.high), byte >= 0x80);
                    assert_eq!(bit(bits.non_digits), !byte.is_ascii_digit());
                }
            }
        }
    }

    fn placed<I: Isa + Blocks>(isa: I, bits: u64, first: u16) -> [u16; BLOCK] {
        let mut places = [0; BLOCK];
        isa.places(bits, first, &mut places);
        places
    }

    #[test]
    fn places_are_those_of_the_bits() {
        let mut bits = 1_u64;
        for round in 0..400 {
            bits = bits.rotate_left(round % 7).wrapping_mul(6_364_136_223_846_793_005) ^ 0x5555;
            // From few bits to all.
            for bits in [bits & bits << 1 & bits << 2, bits, bits | bits << 1 | bits << 2, !0, 0] {
                let first = (round * 64) as u16;
                let all = (0..64_u16).filter(|at| bits >> at & 1 == 1).map(|at| first + at);
                let all: Vec<u16> = all.collect();
                for level in Level::available() {
                    let found = dispatch!(level, placed, (bits: u64, first: u16) -> [u16; BLOCK]);
                    assert_eq!(found[..all.len()], all, "{level:?} {bits:x}");
                }
            }
        }
    }

    fn different<I: Isa + Blocks>(isa: I, a: &[u8; BLOCK], b: &[u8; BLOCK]) -> u64 {
        isa.differs(a, b)
    }

    #[test]
    fn differs_has_a_bit_for_each_byte() {
        let a: [u8; BLOCK] = std::array::from_fn(|at| at as u8);
        for level in Level::available() {
            let mut b = a;
            let mut bits = 0;
            for at in (0..BLOCK).rev().step_by(3).chain(0..BLOCK) {
                let (a, b_now) = (&a, &b);
                let found =
                    dispatch!(level, different, (a: &[u8; BLOCK], b_now: &[u8; BLOCK]) -> u64);
                assert_eq!(found, bits, "{level:?} {at}");
                b[at] ^= 0x80;
                bits ^= 1 << at;
            }
        }
    }

    #[test]
    fn equal_looks_at_the_first_bytes_only() {
        let a: Vec<u8> = (0..64).collect();
        for level in Level::available() {
            for differs in 0..64 {
                let mut b = a.clone();
                b[differs] ^= 0x80;
                for len in 1..=64 {
                    let (a, b) = (&a, &b);
                    let same = dispatch!(level, compared, (a: &[u8], b: &[u8], len: usize) -> bool);
                    assert_eq!(same, differs >= len, "{level:?} {differs} {len}");
                }
            }
        }
    }
}
