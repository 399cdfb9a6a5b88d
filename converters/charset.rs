//! The Java character sets that `converter.encoding` may name.

use crate::arena::Arena;

/// A character set. Like Java, reading replaces what is malformed by U+FFFD and writing replaces
/// what the set does not have by `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Charset {
    #[default]
    /// `UTF-8`.
    Utf8,
    /// `US-ASCII`.
    UsAscii,
    /// `ISO-8859-1`: the first 256 characters.
    Iso88591,
    /// Byte order mark decides, big-endian without one; written big-endian with one.
    Utf16,
    /// `UTF-16BE`, without a mark.
    Utf16Be,
    /// `UTF-16LE`, without a mark.
    Utf16Le,
}

impl Charset {
    /// By the name or an alias that Java knows, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Self::Utf8,
            "US-ASCII" | "ASCII" | "ISO646-US" => Self::UsAscii,
            "ISO-8859-1" | "ISO8859-1" | "ISO8859_1" | "ISO_8859-1" | "ISO_8859_1" | "LATIN1"
            | "L1" => Self::Iso88591,
            "UTF-16" | "UTF16" | "UTF_16" => Self::Utf16,
            "UTF-16BE" | "UTF_16BE" => Self::Utf16Be,
            "UTF-16LE" | "UTF_16LE" => Self::Utf16Le,
            _ => return None,
        })
    }

    /// The text; borrowed from `bytes` where they are already what Rust's text is.
    pub fn decode<'a>(self, bytes: &'a [u8], arena: &'a Arena) -> &'a str {
        let same = match self {
            Self::Utf8 => std::str::from_utf8(bytes).ok(),
            Self::UsAscii | Self::Iso88591 => {
                std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii())
            }
            Self::Utf16 | Self::Utf16Be | Self::Utf16Le => None,
        };
        if let Some(text) = same {
            return text;
        }
        let text = match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Iso88591 => bytes.iter().map(|&byte| char::from(byte)).collect(),
            Self::UsAscii => bytes
                .iter()
                .map(
                    |&byte| {
                        if byte < 0x80 { char::from(byte) } else { char::REPLACEMENT_CHARACTER }
                    },
                )
                .collect(),
            Self::Utf16 => match bytes {
                [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
                [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
                _ => utf16(bytes, u16::from_be_bytes),
            },
            Self::Utf16Be => utf16(bytes, u16::from_be_bytes),
            Self::Utf16Le => utf16(bytes, u16::from_le_bytes),
        };
        arena.alloc_str(&text)
    }

    /// Appends `text` in this character set.
    pub fn encode(self, text: &str, out: &mut Vec<u8>) {
        let limit = match self {
            Self::Utf8 => return out.extend_from_slice(text.as_bytes()),
            Self::UsAscii => 0x80,
            Self::Iso88591 => 0x100,
            Self::Utf16 => {
                if !text.is_empty() {
                    out.extend_from_slice(&[0xfe, 0xff]);
                }
                return out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            }
            Self::Utf16Be => return out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Self::Utf16Le => return out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
        };
        out.extend(text.chars().map(|letter| {
            let code = u32::from(letter);
            if code < limit { code as u8 } else { b'?' }
        }));
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let letters =
        char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER));
    let mut text: String = letters.collect();
    if !rest.is_empty() {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let arena = Arena::new();
        for (name, bytes) in [
            ("utf-8", &b"a\xc3\xa9"[..]),
            ("ISO-8859-1", b"a\xe9"),
            ("UTF-16", b"\xfe\xff\0a\0\xe9"),
            ("UTF-16BE", b"\0a\0\xe9"),
            ("UTF-16LE", b"a\0\xe9\0"),
        ] {
            let charset = Charset::by_name(name).unwrap();
            let mut out = Vec::new();
            charset.encode("aé", &mut out);
            assert_eq!(out, bytes, "{name}");
            assert_eq!(charset.decode(bytes, &arena), "aé", "{name}");
        }
        assert_eq!(Charset::by_name("nope"), None);
    }

    #[test]
    fn what_does_not_fit_is_replaced() {
        let arena = Arena::new();
        assert_eq!(Charset::Utf8.decode(b"\xff\xfeA", &arena), "\u{fffd}\u{fffd}A");
        assert_eq!(Charset::UsAscii.decode(b"a\xe9", &arena), "a\u{fffd}");
        assert_eq!(Charset::Utf16.decode(b"\xff\xfea\0\0\xd8b", &arena), "a\u{fffd}\u{fffd}");
        let mut out = Vec::new();
        Charset::UsAscii.encode("é€a", &mut out);
        Charset::Iso88591.encode("é€a", &mut out);
        assert_eq!(out, b"??a\xe9?a");
        out.clear();
        Charset::Utf16.encode("", &mut out);
        assert!(out.is_empty());
    }
}
