//! Strings inside JSON: escaped as Jackson does, and back.

use bumpalo::collections::Vec as BumpVec;

use super::isa::{BASELINE, Baseline, Isa};
use crate::arena::Arena;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `text` as a JSON string with its quotes. Only what must be is escaped: the quote, the
/// backslash and control characters.
#[inline]
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = next_special(bytes, from) {
        let byte = bytes[at];
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            _ => out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Appends `buf[start..end]`, text that has not been checked, as a JSON string. The bytes around it
/// let short text be looked at in one block. What is no UTF-8 is replaced, as Java does.
#[inline]
pub(crate) fn write_utf8(buf: &[u8], start: usize, end: usize, out: &mut Vec<u8>) {
    let mut at = start;
    while at < end {
        let Some(bits) = BASELINE.string_bits(buf, at) else { break };
        let within = end - at;
        let mask = if within >= 32 { u32::MAX } else { (1u32 << within) - 1 };
        if (bits.special | bits.high) & mask != 0 {
            return write_unusual(&buf[start..end], out);
        }
        at += Baseline::WIDTH;
    }
    let rest = buf.get(at..end).unwrap_or_default();
    if rest.iter().any(|byte| *byte < 0x20 || *byte >= 0x80 || matches!(byte, b'"' | b'\\')) {
        return write_unusual(&buf[start..end], out);
    }
    out.reserve(end - start + 2);
    out.push(b'"');
    out.extend_from_slice(&buf[start..end]);
    out.push(b'"');
}

fn write_unusual(bytes: &[u8], out: &mut Vec<u8>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => write_string(text, out),
        Err(_) => write_string(&String::from_utf8_lossy(bytes), out),
    }
}

/// Where the next byte is that must be escaped.
#[inline]
fn next_special(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(bits) = BASELINE.string_bits(bytes, at) {
        if bits.special != 0 {
            return Some(at + bits.special.trailing_zeros() as usize);
        }
        at += Baseline::WIDTH;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    rest.iter().position(special).map(|offset| at + offset)
}

/// The text of a checked JSON string whose content (without quotes) is `raw`; put into the arena.
/// A lone surrogate, which Rust's text cannot hold, becomes U+FFFD.
pub fn unescape<'a>(raw: &[u8], arena: &'a Arena) -> &'a str {
    let mut out: BumpVec<'a, u8> = BumpVec::with_capacity_in(raw.len(), arena.bump());
    let mut at = 0;
    while at < raw.len() {
        let Some(slash) = memchr::memchr(b'\\', &raw[at..]) else {
            out.extend_from_slice(&raw[at..]);
            break;
        };
        out.extend_from_slice(&raw[at..at + slash]);
        at += slash + 1;
        let byte = raw.get(at).copied().unwrap_or(b'\\');
        at += 1;
        let plain = match byte {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => {
                let (letter, next) = unicode(raw, at);
                at = next;
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => other,
        };
        out.push(plain);
    }
    // The scanner has checked the document's UTF-8, and escapes add whole characters.
    std::str::from_utf8(out.into_bump_slice()).unwrap_or_default()
}

/// The character whose four digits begin at `at`, a second escape taken in if it is a pair's half.
fn unicode(raw: &[u8], at: usize) -> (char, usize) {
    let Some(first) = hex4(raw, at) else { return (char::REPLACEMENT_CHARACTER, raw.len()) };
    let next = at + 4;
    if (0xd800..0xdc00).contains(&first)
        && raw.get(next..next + 2) == Some(b"\\u")
        && let Some(second @ 0xdc00..0xe000) = hex4(raw, next + 2)
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), next + 6);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), next)
}

fn hex4(raw: &[u8], at: usize) -> Option<u32> {
    let digits = std::str::from_utf8(raw.get(at..at + 4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_jackson() {
        let mut out = Vec::new();
        write_string("a\"/\\\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}é\u{2028}😀", &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "\"a\\\"/\\\\\\n\\r\\t\\b\\f\\u0001\\u001F\u{7f}é\u{2028}😀\"");
    }

    #[test]
    fn escapes_at_every_place() {
        for length in 0..70 {
            for at in 0..length {
                let text: String = (0..length).map(|i| if i == at { '\n' } else { 'é' }).collect();
                let mut out = Vec::new();
                write_string(&text, &mut out);
                let expected = format!("\"{}\"", text.replace('\n', "\\n"));
                assert_eq!(String::from_utf8(out).unwrap(), expected);
                for around in ["", "\n\"éxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"] {
                    let (buf, mut out) = (format!("{around}{text}{around}"), Vec::new());
                    let start = around.len();
                    write_utf8(buf.as_bytes(), start, start + text.len(), &mut out);
                    assert_eq!(String::from_utf8(out).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn unescapes() {
        let arena = Arena::new();
        for (raw, text) in [
            (r"abc", "abc"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u0069p", "ip"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ude00", "\u{fffd}"),
        ] {
            assert_eq!(unescape(raw.as_bytes(), &arena), text);
        }
    }
}
