//! The members of a JSON object, by where they stand in its text.

use std::ops::Range;

/// Where a member's name (without quotes, as written) and its value stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: Range<usize>,
    pub value: Range<usize>,
}

/// Walks over the top-level members of the object that `text` begins with. Any bytes may be given: a
/// text that is no object, or that ends early, ends the walk.
pub struct Members<'a> {
    cursor: Cursor<'a>,
    first: bool,
}

impl<'a> Members<'a> {
    pub fn of(text: &'a [u8]) -> Self {
        let mut cursor = Cursor { text, at: 0 };
        if cursor.take(b'{').is_none() {
            cursor.at = text.len();
        }
        Self { cursor, first: true }
    }
}

impl Iterator for Members<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        if !std::mem::take(&mut self.first) {
            self.cursor.take(b',')?;
        }
        let name = self.cursor.string()?;
        self.cursor.take(b':')?;
        let value = self.cursor.value()?;
        Some(Member { name: name.start + 1..name.end - 1, value })
    }
}

/// Walks over the items of the array that `text` begins with, as [`Members`] does.
pub struct Items<'a> {
    cursor: Cursor<'a>,
    first: bool,
}

impl<'a> Items<'a> {
    pub fn of(text: &'a [u8]) -> Self {
        let mut cursor = Cursor { text, at: 0 };
        if cursor.take(b'[').is_none() {
            cursor.at = text.len();
        }
        Self { cursor, first: true }
    }
}

impl Iterator for Items<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if !std::mem::take(&mut self.first) {
            self.cursor.take(b',')?;
        }
        self.cursor.value()
    }
}

/// A place in a text that nobody has checked: nothing here reads past its end or recurses.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.text.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// Takes that byte, or nothing.
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<Range<usize>> {
        self.take(b'"')?;
        let start = self.at - 1;
        loop {
            let rest = self.text.get(self.at..)?;
            let step = memchr::memchr2(b'"', b'\\', rest)?;
            self.at += step + 1;
            if rest[step] == b'"' {
                return Some(start..self.at);
            }
            // Whatever is escaped, also a quote.
            self.at += 1;
        }
    }

    /// Any value: strings are skipped as such, brackets counted, all else taken as it comes.
    fn value(&mut self) -> Option<Range<usize>> {
        let mut depth = 0usize;
        let first = self.peek()?;
        let start = self.at;
        if !matches!(first, b'"' | b'{' | b'[') {
            let plain =
                |byte: &u8| !matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            let length = self.text[start..].iter().take_while(|byte| plain(byte)).count();
            self.at += length;
            return (length > 0).then_some(start..self.at);
        }
        loop {
            match *self.text.get(self.at)? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            if depth == 0 {
                return Some(start..self.at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(&str, &str)> {
        Members::of(text.as_bytes()).map(|m| (&text[m.name], &text[m.value])).collect()
    }

    #[test]
    fn members_and_items() {
        let text = r#" {"a" : 1.5e3, "b\"c":{"x":[1,"}"]} ,"d":"\\","e":[],"f":null}"#;
        assert_eq!(
            pairs(text),
            [
                ("a", "1.5e3"),
                (r#"b\"c"#, r#"{"x":[1,"}"]}"#),
                ("d", r#""\\""#),
                ("e", "[]"),
                ("f", "null")
            ]
        );
        let text = r#"[ {"a":1}, 2 ,"x"]"#;
        let items: Vec<_> = Items::of(text.as_bytes()).map(|range| &text[range]).collect();
        assert_eq!(items, [r#"{"a":1}"#, "2", "\"x\""]);
        for none in ["", "{}", "[]", "1", "{\"a", "{\"a\":", "{\"a\":\"", "{\"a\\"] {
            assert_eq!(Members::of(none.as_bytes()).count(), 0, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let members = Members::of(&bytes).count();
            let items = Items::of(&bytes).count();
            prop_assert!(members + items <= bytes.len());
        }

        #[test]
        fn agrees_with_a_parser(keys in proptest::collection::btree_map("\\PC{0,6}", "\\PC{0,8}", 0..6)) {
            let text = serde_json::to_string(&keys).unwrap();
            let mut found = std::collections::BTreeMap::new();
            for member in Members::of(text.as_bytes()) {
                let quoted = member.name.start - 1..member.name.end + 1;
                let name: String = serde_json::from_str(&text[quoted]).unwrap();
                let value: String = serde_json::from_str(&text[member.value]).unwrap();
                found.insert(name, value);
            }
            prop_assert_eq!(found, keys);
        }
    }
}
