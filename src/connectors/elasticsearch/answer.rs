//! The answer to a bulk request: one borrowed pass that stops at "no errors".

use super::members::{Items, Members};

/// An action that Elasticsearch refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    /// Its place in the request.
    pub position: usize,
    pub status: u16,
    /// The error as it stands in the answer, a JSON object.
    pub error: &'a [u8],
}

/// What a bulk's answer as a whole says.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Every action was carried out.
    Done,
    /// Some were refused; of how many actions the answer speaks.
    Mixed { refused: Vec<Refused<'a>>, count: usize },
}

/// Reads an answer. `None` if it is none: then nothing is known of the actions.
pub fn parse(body: &[u8]) -> Option<Answer<'_>> {
    let mut errors = None;
    for member in Members::of(body) {
        let value = &body[member.value];
        match &body[member.name] {
            // It stands before the items: a good answer is not read to its end.
            b"errors" if value == b"false" => return Some(Answer::Done),
            b"errors" => errors = Some(()),
            b"items" => return errors.map(|()| items(value)).or_else(|| late(body, value)),
            _ => {}
        }
    }
    None
}

/// `errors` behind the items.
#[cold]
fn late<'a>(body: &'a [u8], items_text: &'a [u8]) -> Option<Answer<'a>> {
    let errors = Members::of(body).find(|member| &body[member.name.clone()] == b"errors")?;
    Some(if &body[errors.value] == b"false" { Answer::Done } else { items(items_text) })
}

fn items(text: &[u8]) -> Answer<'_> {
    let mut refused = Vec::new();
    let mut count = 0;
    for range in Items::of(text) {
        let item = &text[range];
        // One member: the kind of action, with its outcome.
        if let Some(action) = Members::of(item).next() {
            let outcome = &item[action.value];
            let (mut status, mut error) = (0, None);
            for member in Members::of(outcome) {
                let value = &outcome[member.value];
                match &outcome[member.name] {
                    b"status" => status = number(value),
                    b"error" => error = Some(value),
                    _ => {}
                }
            }
            // A delete that found nothing has status 404 and no error.
            if let Some(error) = error {
                refused.push(Refused { position: count, status, error });
            }
        }
        count += 1;
    }
    Answer::Mixed { refused, count }
}

fn number(text: &[u8]) -> u16 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// `type: reason`, and the causes behind it, of an error object.
pub fn describe(error: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(error) else {
        return String::from_utf8_lossy(error).chars().take(1000).collect();
    };
    let mut text = String::new();
    let mut at = Some(&value);
    for _ in 0..5 {
        let Some(error) = at.filter(|error| !error.is_null()) else { break };
        if !text.is_empty() {
            text.push_str("; caused by ");
        }
        match error.as_str() {
            Some(plain) => text.push_str(plain),
            None => {
                text.push_str(error["type"].as_str().unwrap_or("unknown"));
                text.push_str(": ");
                text.push_str(error["reason"].as_str().unwrap_or("no reason given"));
            }
        }
        at = error.get("caused_by");
    }
    text
}

/// What a refused request's whole body says.
pub fn describe_body(body: &[u8]) -> String {
    match Members::of(body).find(|member| &body[member.name.clone()] == b"error") {
        Some(error) => describe(&body[error.value]),
        None => describe(body),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_answers() {
        let body = br#"{"took":3,"errors":false,"items":[{"index":{"status":201}}, broken"#;
        assert_eq!(parse(body), Some(Answer::Done));
        let body = br#"{"items":[{"index":{"status":201}}],"errors":false}"#;
        assert_eq!(parse(body), Some(Answer::Done));
        for none in ["", "{}", "[]", "<html>", "{\"errors\":true}", "{\"error\":{},\"status\":400}"]
        {
            assert_eq!(parse(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn refused_items_by_place() {
        let body = br#"{"errors":true,"items":[
            {"index":{"_id":"a","status":201}},
            {"delete":{"_id":"b","result":"not_found","status":404}},
            {"index":{"_id":"c","status":400,"error":{"type":"document_parsing_exception",
             "reason":"failed","caused_by":{"type":"x","reason":"y"}}}},
            {"create":{"error":{"type":"z"},"status":409}}]}"#;
        let Some(Answer::Mixed { refused, count }) = parse(body) else { panic!("no items") };
        assert_eq!(count, 4);
        let places: Vec<_> = refused.iter().map(|item| (item.position, item.status)).collect();
        assert_eq!(places, [(2, 400), (3, 409)]);
        assert_eq!(
            describe(refused[0].error),
            "document_parsing_exception: failed; caused by x: y"
        );
        assert_eq!(describe(refused[1].error), "z: no reason given");
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = describe(&bytes);
        }

        #[test]
        fn any_damage(at in 0usize..90, byte: u8) {
            let mut body = br#"{"took":1,"errors":true,"items":[{"index":{"status":400,"error":{"type":"a"}}},{"index":{}}]}"#.to_vec();
            let at = at.min(body.len() - 1);
            body[at] = byte;
            if let Some(Answer::Mixed { refused, count }) = parse(&body) {
                prop_assert!(refused.iter().all(|item| item.position < count));
            }
        }
    }
}
