//! Lines as Java's file source cuts them, and text as Java decodes it.

use std::borrow::Cow;

/// One line's end in a piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where the text ends.
    pub end: usize,
    /// Where the next line begins.
    pub next: usize,
}

/// The first line that begins at `from`, ended by `\n`, `\r\n` or a lone `\r`. A `\r` at the very end
/// of what is there ends nothing yet: a `\n` may follow.
#[inline]
pub fn next_line(bytes: &[u8], from: usize) -> Option<Line> {
    let end = from + memchr::memchr2(b'\n', b'\r', &bytes[from..])?;
    if bytes[end] == b'\n' {
        return Some(Line { end, next: end + 1 });
    }
    let after = bytes.get(end + 1)?;
    Some(Line { end, next: end + 1 + usize::from(*after == b'\n') })
}

/// UTF-8 with what is malformed replaced by U+FFFD, as often as Java does it: like Rust, but an
/// encoded surrogate is one mistake, not three.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let mut text = String::new();
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(all) if text.is_empty() && rest.len() == bytes.len() => return Cow::Borrowed(all),
            Ok(all) => {
                text.push_str(all);
                return Cow::Owned(text);
            }
            Err(error) => {
                let (good, bad) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(good).unwrap_or_default());
                text.push(char::REPLACEMENT_CHARACTER);
                let surrogate = matches!(bad, [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..]);
                let wrong = if surrogate { 3 } else { error.error_len().unwrap_or(bad.len()) };
                rest = &bad[wrong..];
            }
        }
    }
}

/// Counts bytes up to a number of UTF-16 code units: the JVM's source stores its position in these.
pub struct Utf16Count {
    left: u64,
    /// Bytes passed.
    pub bytes: u64,
}

impl Utf16Count {
    pub fn new(units: u64) -> Self {
        Self { left: units, bytes: 0 }
    }

    /// Takes the next piece of the file; `true` when the number is reached: the byte after it, the
    /// first of a character, is where the position points.
    pub fn take(&mut self, piece: &[u8]) -> bool {
        for byte in piece {
            // Continuation bytes belong to the character before.
            if byte & 0xc0 != 0x80 {
                let units = if *byte >= 0xf0 { 2 } else { 1 };
                if self.left < units {
                    return true;
                }
                self.left -= units;
            }
            self.bytes += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
        let (mut lines, mut at) = (Vec::new(), 0);
        while let Some(line) = next_line(bytes, at) {
            lines.push(&bytes[at..line.end]);
            at = line.next;
        }
        (lines, at)
    }

    #[test]
    fn each_of_the_three_ends_is_one() {
        let (lines, rest) = all(b"a\nb\r\nc\rd\n\n\r\r\npart\r");
        let expected: [&[u8]; 7] = [b"a", b"b", b"c", b"d", b"", b"", b""];
        assert_eq!((lines.as_slice(), rest), (expected.as_slice(), 13));
    }

    /// The JVM's task of version 4.1.0 gave these texts for these bytes.
    #[test]
    fn mistakes_are_replaced_as_often_as_in_java() {
        assert_eq!(decode(b"bad\xff\xc3(\xe2\x82"), "bad\u{fffd}\u{fffd}(\u{fffd}");
        assert_eq!(
            decode(b"sur\xed\xa0\x80x\xf4\x90\x80\x80y\xc0\xafz\xf0\x9f\x98"),
            "sur\u{fffd}x\u{fffd}\u{fffd}\u{fffd}\u{fffd}y\u{fffd}\u{fffd}z\u{fffd}"
        );
        assert!(matches!(decode("é✓𝄞".as_bytes()), Cow::Borrowed("é✓𝄞")));
    }

    proptest! {
        #[test]
        fn units_are_counted_across_any_cut(text in "\\PC{0,40}", cut in 0usize..200) {
            let units: Vec<u16> = text.encode_utf16().collect();
            let mut passed = 0;
            for (at, character) in text.char_indices() {
                let mut count = Utf16Count::new(passed);
                let (a, b) = text.as_bytes().split_at(cut.min(text.len()));
                prop_assert!(count.take(a) || count.take(b));
                prop_assert_eq!(count.bytes, at as u64);
                passed += character.len_utf16() as u64;
            }
            prop_assert_eq!(passed, units.len() as u64);
        }

        #[test]
        fn lines_and_rest_are_the_whole(bytes in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'x')], 0..60)
        ) {
            let (lines, rest) = all(&bytes);
            let ends = bytes[..rest].iter().filter(|byte| **byte != b'x').count();
            let pairs = bytes[..rest].windows(2).filter(|two| two == b"\r\n").count();
            prop_assert_eq!(lines.len(), ends - pairs);
            prop_assert!(bytes[rest..].iter().rev().skip(1).all(|byte| *byte == b'x'));
        }
    }
}
