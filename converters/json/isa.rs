//! The byte searches of the JSON scanner, for AVX-512, AVX2, SSE2 and any machine (SWAR).
//!
//! One search looks at `WIDTH` bytes from a position of the batch's buffer and answers with a bit a
//! byte. It may look past the document's end, never past the buffer's: there it answers `None` and
//! the scanner goes on byte by byte. Which set of instructions is used is decided where a plan or a
//! converter is made ([`Level::detect`]), not per record.

use std::fmt;

/// A set of instructions that the scanner is compiled for; only of a set that this machine has is
/// there one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Level(Set);

/// The sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// Eight bytes at a time in a general register; any machine.
    Swar,
    #[cfg(target_arch = "x86_64")]
    /// 16 bytes at a time; any x86-64.
    Sse2,
    #[cfg(target_arch = "x86_64")]
    /// 32 bytes at a time.
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    /// 64 bytes at a time where whole blocks are looked at (learned shapes), else as AVX2.
    Avx512(Avx512),
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Set::Swar => "Swar",
            #[cfg(target_arch = "x86_64")]
            Set::Sse2 => "Sse2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => "Avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_) => "Avx512",
        })
    }
}

impl Level {
    /// The best that this machine has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            match (Avx512::new(), Avx2::new()) {
                (Some(isa), _) => Self(Set::Avx512(isa)),
                (None, Some(isa)) => Self(Set::Avx2(isa)),
                (None, None) => Self(Set::Sse2),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            Self(Set::Swar)
        }
    }

    /// All that this machine has; tests run on each.
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self(Set::Swar)];
        #[cfg(target_arch = "x86_64")]
        {
            levels.push(Self(Set::Sse2));
            levels.extend(Avx2::new().map(|isa| Self(Set::Avx2(isa))));
            levels.extend(Avx512::new().map(|isa| Self(Set::Avx512(isa))));
        }
        levels
    }

    #[inline(always)]
    pub(crate) fn set(self) -> Set {
        self.0
    }

    /// AVX2 and the bit instructions that came with it (Haswell, Zen and later).
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
    }

    /// AVX-512 on bytes, in vectors of all widths, and their compression (Ice Lake, Zen 4 and later).
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn has_avx512() -> bool {
        Self::has_avx2()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi2")
    }
}

/// What a search in a string's bytes found; bit `i` stands for byte `i`.
#[derive(Clone, Copy)]
pub(crate) struct StringBits {
    /// Quote, backslash or control character.
    pub special: u32,
    /// Not ASCII.
    pub high: u32,
}

/// The searches. Everything is `inline(always)` so that it ends up in the one function that is
/// compiled with the instructions switched on.
pub(crate) trait Isa: Copy {
    const WIDTH: usize;
    fn string_bits(self, buf: &[u8], at: usize) -> Option<StringBits>;
    fn non_digits(self, buf: &[u8], at: usize) -> Option<u32>;
    fn non_spaces(self, buf: &[u8], at: usize) -> Option<u32>;
}

#[derive(Clone, Copy)]
pub(crate) struct Swar;

const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const HIGH: u64 = 0x8080_8080_8080_8080;

#[inline(always)]
const fn repeat(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

/// 0x80 in each byte of `v` that is less than `n` (n ≤ 128).
#[inline(always)]
fn less(v: u64, n: u8) -> u64 {
    !(((v & LOW) + repeat(0x80 - n)) | v) & HIGH
}

#[inline(always)]
fn equal(v: u64, byte: u8) -> u64 {
    less(v ^ repeat(byte), 1)
}

/// The top bits of the eight bytes, gathered.
#[inline(always)]
fn gather(v: u64) -> u32 {
    (((v & HIGH) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

impl Swar {
    #[inline(always)]
    fn load(buf: &[u8], at: usize) -> Option<u64> {
        let bytes = buf.get(at..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*bytes))
    }
}

impl Isa for Swar {
    const WIDTH: usize = 8;

    #[inline(always)]
    fn string_bits(self, buf: &[u8], at: usize) -> Option<StringBits> {
        let v = Self::load(buf, at)?;
        let special = equal(v, b'"') | equal(v, b'\\') | less(v, 0x20);
        Some(StringBits { special: gather(special), high: gather(v) })
    }

    #[inline(always)]
    fn non_digits(self, buf: &[u8], at: usize) -> Option<u32> {
        let v = Self::load(buf, at)?;
        Some(gather(!less(v ^ repeat(b'0'), 10)))
    }

    #[inline(always)]
    fn non_spaces(self, buf: &[u8], at: usize) -> Option<u32> {
        let v = Self::load(buf, at)?;
        Some(gather(!(equal(v, b' ') | equal(v, b'\n') | equal(v, b'\r') | equal(v, b'\t'))))
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Sse2};

/// What every machine of this kind has: for code off the hottest path, which needs no dispatch.
#[cfg(target_arch = "x86_64")]
pub(crate) type Baseline = Sse2;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) type Baseline = Swar;

#[cfg(target_arch = "x86_64")]
pub(crate) const BASELINE: Baseline = Sse2;
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const BASELINE: Baseline = Swar;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Isa, StringBits};

    #[derive(Clone, Copy)]
    pub(crate) struct Sse2;

    impl Isa for Sse2 {
        const WIDTH: usize = 16;

        #[inline(always)]
        fn string_bits(self, buf: &[u8], at: usize) -> Option<StringBits> {
            let bytes = buf.get(at..)?.first_chunk::<16>()?;
            // SAFETY: SSE2 is part of x86_64; the load reads the 16 bytes of `bytes`.
            unsafe {
                let v = _mm_loadu_si128(bytes.as_ptr().cast());
                let quote = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'"' as i8));
                let slash = _mm_cmpeq_epi8(v, _mm_set1_epi8(b'\\' as i8));
                let control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
                let special = _mm_or_si128(_mm_or_si128(quote, slash), control);
                Some(StringBits {
                    special: _mm_movemask_epi8(special) as u32,
                    high: _mm_movemask_epi8(v) as u32,
                })
            }
        }

        #[inline(always)]
        fn non_digits(self, buf: &[u8], at: usize) -> Option<u32> {
            let bytes = buf.get(at..)?.first_chunk::<16>()?;
            // SAFETY: as above.
            unsafe {
                let v = _mm_loadu_si128(bytes.as_ptr().cast());
                let v = _mm_sub_epi8(v, _mm_set1_epi8(b'0' as i8));
                let digit = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(9)), v);
                Some(!_mm_movemask_epi8(digit) as u32 & 0xffff)
            }
        }

        #[inline(always)]
        fn non_spaces(self, buf: &[u8], at: usize) -> Option<u32> {
            let bytes = buf.get(at..)?.first_chunk::<16>()?;
            // SAFETY: as above.
            unsafe {
                let v = _mm_loadu_si128(bytes.as_ptr().cast());
                let is = |byte: u8| _mm_cmpeq_epi8(v, _mm_set1_epi8(byte as i8));
                let a = _mm_or_si128(is(b' '), is(b'\n'));
                let b = _mm_or_si128(is(b'\r'), is(b'\t'));
                Some(!_mm_movemask_epi8(_mm_or_si128(a, b)) as u32 & 0xffff)
            }
        }
    }

    /// Made only by [`Avx2::new`], so whoever has one runs on a machine that can.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Avx2(());

    impl Avx2 {
        #[inline(always)]
        pub(crate) fn new() -> Option<Self> {
            super::Level::has_avx2().then_some(Self(()))
        }
    }

    impl Isa for Avx2 {
        const WIDTH: usize = 32;

        #[inline(always)]
        fn string_bits(self, buf: &[u8], at: usize) -> Option<StringBits> {
            let bytes = buf.get(at..)?.first_chunk::<32>()?;
            // SAFETY: `self` proves AVX2; the load reads the 32 bytes of `bytes`.
            unsafe {
                let v = _mm256_loadu_si256(bytes.as_ptr().cast());
                let quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'"' as i8));
                let slash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'\\' as i8));
                let control = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
                let special = _mm256_or_si256(_mm256_or_si256(quote, slash), control);
                Some(StringBits {
                    special: _mm256_movemask_epi8(special) as u32,
                    high: _mm256_movemask_epi8(v) as u32,
                })
            }
        }

        /// Numbers are short: half the width is enough.
        #[inline(always)]
        fn non_digits(self, buf: &[u8], at: usize) -> Option<u32> {
            let bytes = buf.get(at..)?.first_chunk::<32>()?;
            // SAFETY: as above.
            unsafe {
                let v = _mm256_loadu_si256(bytes.as_ptr().cast());
                let v = _mm256_sub_epi8(v, _mm256_set1_epi8(b'0' as i8));
                let digit = _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(9)), v);
                Some(!_mm256_movemask_epi8(digit) as u32)
            }
        }

        #[inline(always)]
        fn non_spaces(self, buf: &[u8], at: usize) -> Option<u32> {
            let bytes = buf.get(at..)?.first_chunk::<32>()?;
            // SAFETY: as above.
            unsafe {
                let v = _mm256_loadu_si256(bytes.as_ptr().cast());
                let a = _mm256_or_si256(
                    _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b' ' as i8)),
                    _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'\n' as i8)),
                );
                let b = _mm256_or_si256(
                    _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'\r' as i8)),
                    _mm256_cmpeq_epi8(v, _mm256_set1_epi8(b'\t' as i8)),
                );
                Some(!_mm256_movemask_epi8(_mm256_or_si256(a, b)) as u32)
            }
        }
    }

    /// Made only by [`Avx512::new`], so whoever has one runs on a machine that can. A string's or a
    /// number's bytes are few: the searches are those of AVX2, only whole blocks are wider.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Avx512(Avx2);

    impl Avx512 {
        #[inline(always)]
        pub(crate) fn new() -> Option<Self> {
            super::Level::has_avx512().then_some(Self(Avx2(())))
        }
    }

    impl Isa for Avx512 {
        const WIDTH: usize = Avx2::WIDTH;

        #[inline(always)]
        fn string_bits(self, buf: &[u8], at: usize) -> Option<StringBits> {
            self.0.string_bits(buf, at)
        }

        #[inline(always)]
        fn non_digits(self, buf: &[u8], at: usize) -> Option<u32> {
            self.0.non_digits(buf, at)
        }

        #[inline(always)]
        fn non_spaces(self, buf: &[u8], at: usize) -> Option<u32> {
            self.0.non_spaces(buf, at)
        }
    }
}

/// The text between the place behind an opening quote and the closing one, and where that stands, if
/// it is ASCII without escapes and not at the buffer's very end.
#[inline(always)]
pub(crate) fn plain_text(buf: &[u8], start: usize) -> Option<(&str, usize)> {
    let mut at = start;
    loop {
        let bits = BASELINE.string_bits(buf, at)?;
        let before = (bits.special & bits.special.wrapping_neg()).wrapping_sub(1);
        if bits.high & before != 0 {
            return None;
        }
        if bits.special != 0 {
            at += bits.special.trailing_zeros() as usize;
            break;
        }
        at += Baseline::WIDTH;
    }
    let text = buf.get(start..at)?;
    if buf.get(at) != Some(&b'"') {
        return None;
    }
    // SAFETY: each byte of `text` lies in a block that the loop looked at, before the block's first
    // special byte; none of those had its high bit set, so all are ASCII, which is UTF-8.
    Some((unsafe { std::str::from_utf8_unchecked(text) }, at))
}

/// The bytes as text if they are ASCII; short ones, as fields mostly have, in a few steps.
#[inline]
pub(crate) fn ascii_text(bytes: &[u8]) -> Option<&str> {
    let eight = |at: usize| {
        let block = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>);
        block.map_or(0, |block| u64::from_le_bytes(*block))
    };
    let length = bytes.len();
    let mut bits = 0;
    if length < 8 {
        bits = bytes.iter().fold(0, |bits, byte| bits | u64::from(*byte));
    } else {
        let mut at = 0;
        while at + 8 < length {
            bits |= eight(at);
            at += 8;
        }
        // The last block may have bytes of the one before.
        bits |= eight(length - 8);
    }
    if bits & HIGH != 0 {
        return None;
    }
    // SAFETY: each byte of `bytes` is in a block that was looked at, or was looked at alone; none had
    // its high bit set, so all are ASCII, which is UTF-8.
    Some(unsafe { std::str::from_utf8_unchecked(bytes) })
}

/// Calls `$work(isa, args…)` compiled for `$level`: one function a level, the AVX2 one with its
/// instructions switched on for everything that is inlined into it (AVX-512 likewise).
macro_rules! dispatch {
    ($level:expr, $work:ident, ($($arg:ident : $ty:ty),* $(,)?) -> $ret:ty) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
        fn avx2(isa: $crate::json::isa::Avx2, $($arg: $ty),*) -> $ret {
            $work(isa, $($arg),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi2")]
        fn avx512(isa: $crate::json::isa::Avx512, $($arg: $ty),*) -> $ret {
            $work(isa, $($arg),*)
        }
        match $level.set() {
            // SAFETY: an `Avx512` exists only where the machine has these instructions.
            #[cfg(target_arch = "x86_64")]
            $crate::json::isa::Set::Avx512(isa) => unsafe { avx512(isa, $($arg),*) },
            // SAFETY: an `Avx2` exists only where the machine has these instructions.
            #[cfg(target_arch = "x86_64")]
            $crate::json::isa::Set::Avx2(isa) => unsafe { avx2(isa, $($arg),*) },
            #[cfg(target_arch = "x86_64")]
            $crate::json::isa::Set::Sse2 => $work($crate::json::isa::Sse2, $($arg),*),
            $crate::json::isa::Set::Swar => $work($crate::json::isa::Swar, $($arg),*),
        }
    }};
}
pub(crate) use dispatch;

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees<I: Isa>(isa: I, buf: &[u8]) {
        for at in 0..buf.len() {
            let full = at + I::WIDTH <= buf.len();
            let bits = isa.string_bits(buf, at);
            assert_eq!(bits.is_some(), full);
            let (Some(bits), Some(digits), Some(spaces)) =
                (bits, isa.non_digits(buf, at), isa.non_spaces(buf, at))
            else {
                continue;
            };
            for (i, &byte) in buf[at..at + I::WIDTH].iter().enumerate() {
                let bit = |mask: u32| mask >> i & 1 == 1;
                assert_eq!(bit(bits.special), byte == b'"' || byte == b'\\' || byte < 0x20);
                assert_eq!(bit(bits.high), byte >= 0x80);
                assert_eq!(bit(digits), !byte.is_ascii_digit(), "{byte}");
                assert_eq!(bit(spaces), !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
            }
        }
    }

    #[test]
    fn plain_text_is_ascii_up_to_its_quote() {
        for length in 0..70 {
            let mut buf = vec![b'x'; length];
            buf.push(b'"');
            // Not where a whole block cannot be looked at.
            let whole = (length + 1) % Baseline::WIDTH == 0;
            assert_eq!(plain_text(&buf, 0).is_some(), whole);
            buf.resize(length + 1 + Baseline::WIDTH, b'.');
            let text = std::str::from_utf8(&buf[..length]).unwrap();
            assert_eq!(plain_text(&buf, 0), Some((text, length)));
            buf[length + 1] = 0xff;
            assert_eq!(plain_text(&buf, 0).map(|(text, _)| text.len()), Some(length));
            for at in 0..length {
                for other in [0x80, 0xff, b'\\', 0x1f] {
                    let mut buf = buf.clone();
                    buf[at] = other;
                    assert_eq!(plain_text(&buf, 0), None);
                }
            }
        }
        assert_eq!(plain_text(b"", 1), None);
    }

    #[test]
    fn ascii_text_has_no_other_byte() {
        for length in 0..70 {
            let mut bytes = vec![0x7f; length];
            assert_eq!(ascii_text(&bytes).map(str::as_bytes), Some(&bytes[..]));
            for at in 0..length {
                for other in [0x80, 0xff] {
                    bytes[at] = other;
                    assert_eq!(ascii_text(&bytes), None, "{length} {at}");
                }
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn every_byte_at_every_place() {
        let buf: Vec<u8> = (0..=255u8).chain((0..=255u8).rev()).chain(0..40).collect();
        agrees(Swar, &buf);
        #[cfg(target_arch = "x86_64")]
        {
            agrees(Sse2, &buf);
            if let Some(isa) = Avx2::new() {
                agrees(isa, &buf);
            }
            if let Some(isa) = Avx512::new() {
                agrees(isa, &buf);
            }
        }
    }
}
