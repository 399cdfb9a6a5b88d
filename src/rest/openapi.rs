//! `/openapi.json`: the API described for tools that make clients. The document is written by hand
//! beside this file; tests hold it against [`crate::route`] both ways.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use crate::answer::Outcome;

const DOCUMENT: &str = include_str!("openapi.json");

/// The document.
pub(crate) fn document() -> Outcome {
    let mut response = Response::new(Body::from(DOCUMENT));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::route::{PATHS, Route};

    fn described() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// A path with something in its places.
    fn filled(template: &str) -> String {
        template.replace("{task}", "0").replace(['{', '}'], "")
    }

    #[test]
    fn every_path_and_method_is_described_and_the_other_way_round() {
        let document = described();
        let mut documented = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                documented.insert((path.clone(), method.to_uppercase()));
            }
        }
        let mut routed = BTreeSet::new();
        for (template, _) in PATHS {
            let route = Route::of(&filled(template)).unwrap();
            for method in route.methods() {
                routed.insert(((*template).to_owned(), method.to_string()));
            }
        }
        assert_eq!(documented, routed);
    }

    #[test]
    fn the_document_is_whole() {
        let document = described();
        assert_eq!(document["openapi"], "3.0.3");
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let places: BTreeSet<&str> =
                path.split('/').filter(|part| part.starts_with('{')).collect();
            let declared: BTreeSet<String> = item["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|parameter| {
                    let name = parameter["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
                    format!("{{{name}}}")
                })
                .collect();
            let declared: BTreeSet<&str> = declared.iter().map(String::as_str).collect();
            assert_eq!(places, declared, "{path}");
            for (method, operation) in item.as_object().unwrap() {
                if method == "parameters" {
                    continue;
                }
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} twice");
                assert!(operation["summary"].is_string(), "{method} {path}");
                let answers = operation["responses"].as_object().unwrap();
                assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path}");
            }
        }
        assert_references(&document, &document);
    }

    fn assert_references(document: &Value, part: &Value) {
        match part {
            Value::Object(object) => {
                if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                    let at = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(at).is_some(), "{reference} is nowhere");
                }
                object.values().for_each(|part| assert_references(document, part));
            }
            Value::Array(items) => items.iter().for_each(|part| assert_references(document, part)),
            _ => {}
        }
    }
}
