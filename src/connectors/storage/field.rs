//! Looking up one field of a record's value, by its dotted path, without parsing the rest.

use std::borrow::Cow;

use millrace_converters::{JsonText, Value};

/// What a partitioner can make a folder of, or a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    /// As it was written.
    Number(Cow<'a, str>),
    Boolean(bool),
    /// Milliseconds since the epoch.
    Timestamp(i64),
    Null,
    /// Something that is none of these; the name of its type.
    Other(&'static str),
}

/// `a.b.c`, split once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    /// As configured.
    pub name: String,
    segments: Vec<String>,
}

impl FieldPath {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), segments: name.split('.').map(str::to_owned).collect() }
    }

    /// The field in `value`; `None` if the value has no fields or not this one. `scratch` is used for a
    /// document that has edits.
    pub fn find<'v>(&self, value: &Value<'v>, scratch: &'v mut Vec<u8>) -> Option<Found<'v>> {
        let mut at = *value;
        for (index, name) in self.segments.iter().enumerate() {
            at = match at {
                Value::Struct(parent) => {
                    let (field, _) = parent.schema.field(name)?;
                    *parent.values.get(field)?
                }
                Value::Map(entries) => {
                    entries.iter().find(|(key, _)| key.as_str() == Some(name))?.1
                }
                Value::Json(text) => return find_json(text, &self.segments[index..], scratch),
                _ => return None,
            };
        }
        Some(scalar(&at))
    }
}

fn scalar<'v>(value: &Value<'v>) -> Found<'v> {
    match value {
        Value::Null => Found::Null,
        Value::Boolean(value) => Found::Boolean(*value),
        Value::Int8(value) => Found::Integer(i64::from(*value)),
        Value::Int16(value) => Found::Integer(i64::from(*value)),
        Value::Int32(value) | Value::Date(value) | Value::Time(value) => {
            Found::Integer(i64::from(*value))
        }
        Value::Int64(value) => Found::Integer(*value),
        Value::Float32(value) => Found::Number(Cow::Owned(value.to_string())),
        Value::Float64(value) => Found::Number(Cow::Owned(value.to_string())),
        Value::Str(text) => Found::Text(Cow::Borrowed(text)),
        Value::Timestamp(value) => Found::Timestamp(*value),
        Value::Json(text) if text.edits.is_empty() => json_scalar(text.src),
        other => Found::Other(other.java_class()),
    }
}

fn find_json<'v>(
    text: &JsonText<'v>,
    path: &[String],
    scratch: &'v mut Vec<u8>,
) -> Option<Found<'v>> {
    let mut document: &'v [u8] = if text.edits.is_empty() {
        text.src
    } else {
        scratch.clear();
        text.write_to(scratch);
        scratch
    };
    for name in path {
        document = member(document, name)?;
    }
    Some(json_scalar(document))
}

/// The text of an object's member. The document is valid JSON; of anything else the answer is `None`
/// or some part of it, never a panic.
fn member<'v>(document: &'v [u8], name: &str) -> Option<&'v [u8]> {
    let mut at = skip_space(document, 0);
    if document.get(at) != Some(&b'{') {
        return None;
    }
    let mut found = None;
    at += 1;
    loop {
        at = skip_space(document, at);
        if document.get(at) != Some(&b'"') {
            return found;
        }
        let key_end = string_end(document, at)?;
        let key = &document[at + 1..key_end - 1];
        at = skip_space(document, key_end);
        if document.get(at) != Some(&b':') {
            return found;
        }
        let start = skip_space(document, at + 1);
        let end = value_end(document, start)?;
        if is_key(key, name) {
            // The last of equal names counts, as in a map.
            found = Some(&document[start..end]);
        }
        at = skip_space(document, end);
        if document.get(at) != Some(&b',') {
            return found;
        }
        at += 1;
    }
}

fn is_key(raw: &[u8], name: &str) -> bool {
    if memchr::memchr(b'\\', raw).is_none() {
        return raw == name.as_bytes();
    }
    unescape(raw).is_some_and(|text| text == name)
}

/// A JSON string's content, with its escapes, as text.
fn unescape(raw: &[u8]) -> Option<String> {
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).ok()
}

fn skip_space(document: &[u8], mut at: usize) -> usize {
    while matches!(document.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The index after the string that begins at `start`.
fn string_end(document: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', document.get(at..)?)?;
        if document[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The index after the value that begins at `start`.
fn value_end(document: &[u8], start: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = start;
    loop {
        match document.get(at)? {
            b'"' => {
                at = string_end(document, at)?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return Some(if depth == 0 { at } else { at + 1 }),
            b'}' | b']' => depth -= 1,
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
}

fn json_scalar(text: &[u8]) -> Found<'_> {
    match text.first() {
        Some(b'"') => {
            let raw = &text[1..text.len().saturating_sub(1).max(1)];
            match (memchr::memchr(b'\\', raw), std::str::from_utf8(raw)) {
                (None, Ok(text)) => Found::Text(Cow::Borrowed(text)),
                _ => unescape(raw).map_or(Found::Other("string"), |t| Found::Text(Cow::Owned(t))),
            }
        }
        Some(b'{') => Found::Other("java.util.HashMap"),
        Some(b'[') => Found::Other("java.util.ArrayList"),
        Some(b't') => Found::Boolean(true),
        Some(b'f') => Found::Boolean(false),
        Some(b'n') | None => Found::Null,
        Some(_) => {
            let text = String::from_utf8_lossy(text);
            match text.parse() {
                Ok(number) => Found::Integer(number),
                Err(_) => Found::Number(text),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_converters::Edit;
    use proptest::prelude::*;

    use super::*;

    fn find(document: &str, path: &str) -> Option<String> {
        let text = JsonText::verbatim(document.as_bytes());
        let mut scratch = Vec::new();
        FieldPath::new(path)
            .find(&Value::Json(&text), &mut scratch)
            .map(|found| format!("{found:?}"))
    }

    #[test]
    fn members_of_text() {
        let document = r#"{"a": 1, "b" : {"c":"x\"}y","d":[1,{"a":2}]} ,"e":true,"f":null,"\u0067":1.50,"h":"é","n":-7}"#;
        for (path, expected) in [
            ("a", "Integer(1)"),
            ("b.c", r#"Text("x\"}y")"#),
            ("e", "Boolean(true)"),
            ("f", "Null"),
            ("g", r#"Number("1.50")"#),
            ("h", r#"Text("é")"#),
            ("n", "Integer(-7)"),
            ("b.d", r#"Other("java.util.ArrayList")"#),
        ] {
            assert_eq!(find(document, path).as_deref(), Some(expected), "{path}");
        }
        for path in ["z", "b.z", "a.b", "d", ""] {
            assert_eq!(find(document, path), None, "{path}");
        }
        assert_eq!(find(r#"{"a":1,"a":2}"#, "a").as_deref(), Some("Integer(2)"));
    }

    #[test]
    fn edits_are_seen() {
        let edits = [Edit { start: 5, end: 6, with: b"\"new\"" }];
        let text = JsonText::new(br#"{"a":1}"#, &edits);
        let mut scratch = Vec::new();
        let found = FieldPath::new("a").find(&Value::Json(&text), &mut scratch);
        assert_eq!(found, Some(Found::Text("new".into())));
    }

    #[test]
    fn maps() {
        let inner = [(Value::Str("b"), Value::Int64(5))];
        let outer = [(Value::Str("a"), Value::Map(&inner))];
        let mut scratch = Vec::new();
        let found = FieldPath::new("a.b").find(&Value::Map(&outer), &mut scratch);
        assert_eq!(found, Some(Found::Integer(5)));
        let mut scratch = Vec::new();
        assert_eq!(FieldPath::new("a").find(&Value::Int64(1), &mut scratch), None);
    }

    proptest! {
        #[test]
        fn never_panics(document in r#"[{}\[\]",:\\ab1 tn]{0,40}"#) {
            let _ = find(&document, "a");
            let _ = find(&document, "a.b");
        }

        #[test]
        fn agrees_with_a_parser(a in any::<i64>(), s in "\\PC{0,12}", nested in any::<bool>()) {
            let document = serde_json::json!({"x": {"a": "no", "y": [s.clone()]}, "s": s, "a": a, "b": nested});
            let text = document.to_string();
            prop_assert_eq!(find(&text, "a"), Some(format!("Integer({a})")));
            prop_assert_eq!(find(&text, "s"), Some(format!("Text({s:?})")));
            prop_assert_eq!(find(&text, "b"), Some(format!("Boolean({nested})")));
        }
    }
}
