//! Checked JSON text with edits laid over it: how a record passes through unparsed.
//!
//! A chain that only drops, renames, masks or adds members of the top-level object does not build a
//! tree and does not write a new document: it notes where the document changes. The bytes are
//! copied once, by whoever writes the document out, verbatim around the edits.

use crate::json::sought::Noted;

/// Replace `src[start..end]` by `with`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    pub start: u32,
    pub end: u32,
    pub with: &'a [u8],
}

/// One valid JSON document (UTF-8, nothing but white space around it was cut off), and the edits
/// that turn it into what the record says now. Edits are sorted and do not overlap.
#[derive(Clone, Copy, Debug)]
pub struct JsonText<'a> {
    pub src: &'a [u8],
    pub edits: &'a [Edit<'a>],
    /// Where in `src` stands what somebody looks for, as long as there are no edits.
    pub(crate) noted: Option<&'a Noted<'a>>,
}

impl<'a> JsonText<'a> {
    /// A document without edits. The caller has checked that `src` is one JSON document.
    pub fn verbatim(src: &'a [u8]) -> Self {
        Self::new(src, &[])
    }

    /// A document with edits. The caller has checked both.
    pub fn new(src: &'a [u8], edits: &'a [Edit<'a>]) -> Self {
        Self { src, edits, noted: None }
    }

    /// Length of the document once the edits are applied.
    pub fn len(&self) -> usize {
        self.edits.iter().fold(self.src.len(), |len, edit| {
            len + edit.with.len() - (edit.end - edit.start) as usize
        })
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the document to `out`.
    #[inline]
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut at = 0usize;
        for edit in self.edits {
            out.extend_from_slice(&self.src[at..edit.start as usize]);
            out.extend_from_slice(edit.with);
            at = edit.end as usize;
        }
        out.extend_from_slice(&self.src[at..]);
    }

    /// The Java class that a schemaless `JsonConverter` makes of this document.
    pub fn java_class(&self) -> &'static str {
        match self.src.first() {
            Some(b'{') => "java.util.HashMap",
            Some(b'[') => "java.util.ArrayList",
            Some(b'"') => "java.lang.String",
            Some(b't' | b'f') => "java.lang.Boolean",
            Some(b'n') | None => "null",
            _ if self.src.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) => "java.lang.Double",
            _ => "java.lang.Long",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_around_its_edits() {
        let edits = [
            Edit { start: 5, end: 6, with: b"7" },
            Edit { start: 6, end: 12, with: b"" },
            Edit { start: 12, end: 12, with: br#","c":3"# },
        ];
        let text = JsonText::new(br#"{"a":1,"b":2}"#, &edits);
        let mut out = Vec::new();
        text.write_to(&mut out);
        assert_eq!(out, br#"{"a":7,"c":3}"#);
        assert_eq!(out.len(), text.len());
    }
}
