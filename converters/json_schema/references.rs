//! Where a `$ref` leads: within its document, or into one that the registry gave with it.

use std::borrow::Cow;

use serde_json::Value as Json;

/// One text: the schema itself, or one that it refers to.
pub(super) struct Document {
    /// By which others refer to it; empty for the schema itself.
    name: String,
    /// `$id`, or `id` as older drafts have it.
    id: String,
    pub json: Json,
}

impl Document {
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let json: Json = serde_json::from_str(text).map_err(|error| {
            let which = if name.is_empty() { String::new() } else { format!(" {name}") };
            format!("the JSON schema{which} is not JSON: {error}")
        })?;
        let id = ids(&json).next().unwrap_or_default().to_owned();
        Ok(Self { name: name.to_owned(), id, json })
    }
}

/// The target of `reference`, which stands in the document at `from`: its document and its place.
pub(super) fn resolve<'d>(
    documents: &'d [Document],
    from: usize,
    reference: &str,
) -> Result<(usize, &'d Json), String> {
    let lost = || format!("the JSON schema refers to {reference}, which is not there");
    let (target, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let own = &documents[from];
    let at = if target.is_empty() || target == own.id {
        Some(from)
    } else {
        documents.iter().position(|one| names(one, own, documents, target))
    };
    let (at, root) = match at {
        Some(at) => (at, &documents[at].json),
        // A schema inside of this document that has a name of its own.
        None => {
            let inner = find(&own.json, 0, &|json| ids(json).any(|id| id == target));
            (from, inner.ok_or_else(lost)?)
        }
    };
    if fragment.is_empty() {
        return Ok((at, root));
    }
    let found = match fragment.strip_prefix('/') {
        Some(path) => pointer(root, path),
        None => {
            let whole = format!("#{fragment}");
            find(root, 0, &|json| {
                ids(json).any(|id| id == whole)
                    || json.get("$anchor").and_then(Json::as_str) == Some(fragment)
            })
        }
    };
    found.map(|json| (at, json)).ok_or_else(lost)
}

/// Whether `own` calls `one` by `target`.
fn names(one: &Document, own: &Document, documents: &[Document], target: &str) -> bool {
    let bare = |name: &'_ str| name.strip_prefix("./").unwrap_or(name).to_owned();
    if one.name.is_empty() {
        return one.id == target;
    }
    // Names that are not absolute count from the schema's own id.
    let base = documents.first().map_or("", |root| root.id.as_str());
    one.name == target
        || bare(&one.name) == bare(target)
        || (!one.id.is_empty() && (one.id == target || one.id == joined(&own.id, target)))
        || joined(base, &bare(&one.name)) == joined(&own.id, &bare(target))
}

/// A relative URI from `base`.
fn joined(base: &str, relative: &str) -> String {
    if relative.contains("://") {
        return relative.to_owned();
    }
    let folder = base.rfind('/').map_or("", |slash| &base[..=slash]);
    format!("{folder}{relative}")
}

fn ids(json: &Json) -> impl Iterator<Item = &str> {
    ["$id", "id"].into_iter().filter_map(|key| json.get(key)?.as_str())
}

/// The value at a JSON pointer. Definitions are found under either draft's word for them, as
/// Confluent's reader has it.
fn pointer<'d>(root: &'d Json, path: &str) -> Option<&'d Json> {
    let mut at = root;
    for (depth, step) in path.split('/').enumerate() {
        let step = decoded(step).replace("~1", "/").replace("~0", "~");
        let next = match at {
            Json::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            other => other.get(&step),
        };
        at = match (next, depth, step.as_str()) {
            (Some(next), ..) => next,
            (None, 0, "$defs") => at.get("definitions")?,
            (None, 0, "definitions") => at.get("$defs")?,
            // The entry may stand in the other one.
            (None, 1, _) => {
                ["definitions", "$defs"].iter().find_map(|bucket| root.get(bucket)?.get(&step))?
            }
            _ => return None,
        };
    }
    Some(at)
}

/// `%XX` taken back.
fn decoded(step: &str) -> Cow<'_, str> {
    if !step.contains('%') {
        return step.into();
    }
    let mut bytes = Vec::with_capacity(step.len());
    let mut rest = step.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// The first object in `json` that `is` it; serde_json bounds how deep they nest.
fn find<'d>(json: &'d Json, depth: usize, is: &dyn Fn(&Json) -> bool) -> Option<&'d Json> {
    match json {
        Json::Object(_) if depth > 0 && is(json) => Some(json),
        Json::Object(object) => object.values().find_map(|value| find(value, depth + 1, is)),
        Json::Array(items) => items.iter().find_map(|value| find(value, depth + 1, is)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(documents: &[Document], reference: &str) -> Result<String, String> {
        resolve(documents, 0, reference).map(|(at, json)| format!("{at} {json}"))
    }

    #[test]
    fn ways_to_refer() {
        let root = r##"{"$id":"http://h/a/root.json","definitions":{"x/y":{"n":1},
            "p":{"$id":"#anchor","n":2},"q":{"$anchor":"other","n":3}},
            "$defs":{"z":{"n":4}},"oneOf":[{"n":5}]}"##;
        let other = r#"{"$id":"http://h/a/b.json","definitions":{"d":{"n":6}}}"#;
        let documents = [
            Document::parse("", root).unwrap(),
            Document::parse("b.json", other).unwrap(),
            Document::parse("sub/c.json", r#"{"n":7}"#).unwrap(),
        ];
        for (reference, found) in [
            ("#/definitions/x~1y", r#"0 {"n":1}"#),
            ("#/definitions/x%7E1y", r#"0 {"n":1}"#),
            ("#anchor", r##"0 {"$id":"#anchor","n":2}"##),
            ("#other", r#"0 {"$anchor":"other","n":3}"#),
            ("#/definitions/z", r#"0 {"n":4}"#),
            ("#/oneOf/0", r#"0 {"n":5}"#),
            ("b.json#/$defs/d", r#"1 {"n":6}"#),
            ("http://h/a/b.json#/definitions/d", r#"1 {"n":6}"#),
            ("./sub/c.json", r#"2 {"n":7}"#),
            ("http://h/a/sub/c.json", r#"2 {"n":7}"#),
        ] {
            assert_eq!(lead(&documents, reference).as_deref(), Ok(found), "{reference}");
        }
        assert!(lead(&documents, "#").unwrap().starts_with("0 "));
        for lost in ["#/definitions/none", "c.json", "#none", "http://h/else.json", "#/oneOf/1"] {
            assert!(lead(&documents, lost).unwrap_err().contains("is not there"), "{lost}");
        }
    }
}
