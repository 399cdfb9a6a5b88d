//! Values in the form that most writers give them, read in a few steps: the short ways of a [`Plan`].
//!
//! Each takes a whole value and answers with it, or answers `None` and has read nothing: then the
//! reader's general way reads the value or says what is wrong with it. What is taken here says the
//! same there.
//!
//! [`Plan`]: super::typed_plan::Plan

use super::isa::plain_text;
use super::parse::Reader;
use super::scan::MAX_DEPTH;
use super::typed_plan::Literal;

/// `10^n` for what [`eight`] finds.
const POWERS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// As [`POWERS`]; doubles up to 10^22 are exact.
const DIVISORS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// How many of the eight bytes at `at` are digits before the first that is none, and what they say.
/// `None`: the document ends before.
#[inline(always)]
pub(super) fn eight(document: &[u8], at: usize) -> Option<(usize, u64)> {
    let bytes = document.get(at..)?.first_chunk::<8>()?;
    let digits = u64::from_le_bytes(*bytes) ^ 0x3030_3030_3030_3030;
    // The top bit of what is above 9; a carry can only spoil bytes behind the first of those.
    let others = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return Some((0, 0));
    }
    // Zeros in front, then pairs, fours and all eight.
    let pairs = digits << (64 - 8 * count);
    let pairs = pairs.wrapping_mul(10).wrapping_add(pairs >> 8);
    let low = (pairs & 0xff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let high = (pairs >> 16 & 0xff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    Some((count, low.wrapping_add(high) >> 32))
}

/// The digits at `at`, 18 at most: how many, and what they say; without a zero in front, unless it
/// stands alone.
#[inline(always)]
pub(crate) fn integer(document: &[u8], at: usize) -> Option<(usize, u64)> {
    let (mut count, mut number) = eight(document, at)?;
    if count == 0 || (count > 1 && document[at] == b'0') {
        return None;
    }
    let mut last = count;
    while last == 8 && count <= 16 {
        let (some, more) = eight(document, at + count)?;
        // Beyond 18 digits it is not used.
        number = number.wrapping_mul(POWERS[some]).wrapping_add(more);
        (count, last) = (count + some, some);
    }
    (count <= 18).then_some((count, number))
}

impl<'a> Reader<'a> {
    /// To the value of the member that the literal leads to, if it is the next one.
    #[inline(always)]
    pub(crate) fn take(&mut self, lead: &Literal) -> bool {
        match lead.behind(self.document, self.scan.at) {
            Some(behind) => {
                self.scan.at = behind;
                true
            }
            None => self.take_spaced(lead),
        }
    }

    /// The same with white space wherever there may be some.
    #[inline(never)]
    fn take_spaced(&mut self, lead: &Literal) -> bool {
        let start = self.scan.at;
        let (before, name) = lead.parts();
        self.scan.space();
        let mut taken = self.scan.peek() == before;
        if taken {
            self.scan.at += 1;
            self.scan.space();
            let rest = self.document.get(self.scan.at..).unwrap_or_default();
            taken = rest.starts_with(name);
        }
        if taken {
            self.scan.at += name.len();
            self.scan.space();
            taken = self.scan.peek() == b':';
        }
        if taken {
            self.scan.at += 1;
            self.scan.space();
        } else {
            self.scan.at = start;
        }
        taken
    }

    /// [`Self::take`] of a literal that begins with the brace of the object at hand.
    #[inline(always)]
    pub(crate) fn take_first(&mut self, lead: &Literal) -> bool {
        let taken = self.depth < MAX_DEPTH && self.take(lead);
        self.depth += usize::from(taken);
        taken
    }

    /// Out of the object whose closing brace is at hand.
    #[inline(always)]
    pub(crate) fn take_last(&mut self) -> bool {
        self.scan.space();
        let taken = self.scan.peek() == b'}';
        self.scan.at += usize::from(taken);
        self.depth -= usize::from(taken);
        taken
    }

    /// An integer of at most 18 digits.
    #[inline(always)]
    pub(crate) fn quick_long(&mut self) -> Option<i64> {
        let negative = self.scan.peek() == b'-';
        let start = self.scan.at + usize::from(negative);
        let (count, number) = integer(self.document, start)?;
        let end = start + count;
        if let b'.' | b'e' | b'E' = self.document.get(end).copied().unwrap_or(0) {
            return None;
        }
        self.scan.at = end;
        let number = number as i64;
        Some(if negative { -number } else { number })
    }

    /// A number of at most 15 digits without an exponent. Those digits are a double, and so is the
    /// power of ten that they are divided by: the quotient is the nearest double.
    #[inline(always)]
    pub(crate) fn quick_double(&mut self) -> Option<f64> {
        let negative = self.scan.peek() == b'-';
        let start = self.scan.at + usize::from(negative);
        let (whole, mut digits) = integer(self.document, start)?;
        let (mut end, mut fraction) = (start + whole, 0);
        if self.document.get(end) == Some(&b'.') {
            end += 1;
            loop {
                let (some, more) = eight(self.document, end + fraction)?;
                if some == 0 && fraction == 0 {
                    return None;
                }
                // No more than that has room in 64 bits.
                if whole + fraction + some > 18 {
                    return None;
                }
                digits = digits * POWERS[some] + more;
                fraction += some;
                if some < 8 {
                    break;
                }
            }
            end += fraction;
        }
        let exponent = matches!(self.document.get(end), Some(b'e' | b'E'));
        if exponent || whole + fraction > 15 {
            return None;
        }
        self.scan.at = end;
        let number = digits as f64 / DIVISORS[fraction];
        Some(if negative { -number } else { number })
    }

    #[inline(always)]
    pub(crate) fn quick_boolean(&mut self) -> Option<bool> {
        let rest = self.document.get(self.scan.at..)?;
        let (answer, length) = match rest.first_chunk::<4>()? {
            b"true" => (true, 4),
            b"fals" if rest.get(4) == Some(&b'e') => (false, 5),
            _ => return None,
        };
        self.scan.at += length;
        Some(answer)
    }

    /// A string of ASCII without escapes.
    #[inline(always)]
    pub(crate) fn quick_string(&mut self) -> Option<&'a str> {
        if self.scan.peek() != b'"' {
            return None;
        }
        let (text, end) = plain_text(self.document, self.scan.at + 1)?;
        self.scan.at = end + 1;
        Some(text)
    }

    /// To the next item of an array.
    #[inline(always)]
    pub(crate) fn quick_comma(&mut self) -> bool {
        let next = self.document.get(self.scan.at..).unwrap_or_default();
        let there = next.first() == Some(&b',');
        self.scan.at += usize::from(there);
        there
    }

    #[inline(always)]
    pub(crate) fn quick_null(&mut self) -> bool {
        let rest = self.document.get(self.scan.at..).unwrap_or_default();
        let null = rest.first_chunk() == Some(b"null");
        self.scan.at += if null { 4 } else { 0 };
        null
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arena::Arena;

    /// The answer, where it ends, and whether nothing was read without one.
    fn at<T>(text: &str, take: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<(T, usize)> {
        let arena = Arena::new();
        let mut reader = Reader::new(text.as_bytes(), &arena);
        let answer = take(&mut reader);
        assert!(answer.is_some() || reader.scan.at == 0, "{text}");
        answer.map(|answer| (answer, reader.scan.at))
    }

    /// What the general way says, and where it ends.
    fn general<T>(
        text: &str,
        read: impl Fn(&mut Reader<'_>) -> Result<T, crate::converter::DataError>,
    ) -> Option<(T, usize)> {
        let arena = Arena::new();
        let mut reader = Reader::new(text.as_bytes(), &arena);
        read(&mut reader).ok().map(|answer| (answer, reader.scan.at))
    }

    /// Bits tell -0.0 from 0.0.
    fn same(number: &str, behind: &str) -> (bool, bool) {
        let text = format!("{number}{behind}");
        let long = at(&text, |reader| reader.quick_long());
        if long.is_some() {
            assert_eq!(long, general(&text, |reader| reader.long()), "{text}");
        }
        let double = at(&text, |reader| reader.quick_double().map(f64::to_bits));
        if double.is_some() {
            let expected = general(&text, |reader| reader.float::<f64>().map(f64::to_bits));
            assert_eq!(double, expected, "{text}");
        }
        (long.is_some(), double.is_some())
    }

    const BEHIND: &str = ",\"more\":\"text\"}";

    #[test]
    fn numbers_that_are_taken_and_those_that_are_not() {
        for (number, expected) in [
            ("0", (true, true)),
            ("-0", (true, true)),
            ("7", (true, true)),
            ("12345678", (true, true)),
            ("123456789", (true, true)),
            ("-123456789012345", (true, true)),
            ("1234567890123456", (true, false)),
            ("12345678901234567", (true, false)),
            ("999999999999999999", (true, false)),
            ("9999999999999999999", (false, false)),
            ("1234567890123456789012345", (false, false)),
            ("20000000000000000000", (false, false)),
            ("-0.0", (false, true)),
            ("0.1", (false, true)),
            ("123.45", (false, true)),
            ("1234567.12345678", (false, true)),
            ("12345678.12345678", (false, false)),
            ("1.123456789012345678901234567890", (false, false)),
            ("01", (false, false)),
            ("00000001", (false, false)),
            ("1.", (false, false)),
            (".5", (false, false)),
            ("-", (false, false)),
            ("1e5", (false, false)),
            ("1.5E5", (false, false)),
            ("x", (false, false)),
            ("", (false, false)),
        ] {
            assert_eq!(same(number, BEHIND), expected, "{number}");
        }
        // Behind the last whole block the general way reads.
        assert_eq!(same("12", ""), (false, false));
    }

    #[test]
    fn strings_and_booleans() {
        let string = |text: &str| at(text, |reader| reader.quick_string().map(str::to_owned));
        let long = "e ".repeat(40);
        for content in ["", "a", "exactly 16 bytes", "exactly 15 byte", long.as_str()] {
            let text = format!("\"{content}\"{BEHIND}..");
            assert_eq!(string(&text), Some((content.to_owned(), content.len() + 2)));
        }
        for text in
            ["\"a\\n\"...............", "\"a\n\"................", "\"unterminated", "null", ""]
        {
            assert_eq!(string(text), None, "{text}");
        }
        let boolean = |text: &str| at(text, |reader| reader.quick_boolean());
        assert_eq!(boolean("true,"), Some((true, 4)));
        assert_eq!(boolean("false"), Some((false, 5)));
        for text in ["tru", "fals", "falsy", "null", "True", ""] {
            assert_eq!(boolean(text), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn numbers_are_read_as_the_general_way_reads_them(
            number in "-?[0-9]{0,20}(\\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?[ -~]{0,3}",
        ) {
            same(&number, BEHIND);
            same(&number, "");
        }

        #[test]
        fn digits_among_any_bytes(bytes: [u8; 8], digits in 0usize..=8) {
            let mut bytes = bytes;
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = if at < digits { b'0' + *byte % 10 } else { *byte };
            }
            let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let text = std::str::from_utf8(&bytes[..count]).unwrap();
            prop_assert_eq!(eight(&bytes, 0), Some((count, text.parse().unwrap_or(0))));
            prop_assert_eq!(eight(&bytes[1..], 0), None);
        }
    }
}
