//! The schema registry's HTTP API, as far as converters need it: Confluent's paths and error codes,
//! several servers with fail-over.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use millrace_api::error::ConnectError;
use millrace_converters::DataError;
use millrace_converters::registry::{Answer, Question, SchemaKind, SchemaReference, SchemaText};
use millrace_net::http::{Body, Client, Method, Request, Response};
use millrace_net::rt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Json, json};

use super::config::RegistryConfig;

/// Why a question has no answer.
#[derive(Clone, Debug)]
pub(crate) enum Unanswered {
    /// The registry says no; that is the record's fault.
    Refused(DataError),
    /// No server can be reached, or those that can are out of order: worth trying again.
    Away(String),
    /// Nothing will come of trying again: the registry does not let us in, or is none.
    Hopeless(String),
}

impl Unanswered {
    /// As a converter would say it of a record.
    pub(crate) fn into_data(self) -> DataError {
        match self {
            Self::Refused(error) => error,
            Self::Away(why) => {
                DataError { retriable: true, ..DataError::with_class(ConnectError::RETRIABLE, why) }
            }
            Self::Hopeless(why) => DataError::with_class(ConnectError::CONNECT, why),
        }
    }
}

/// A client of one core.
pub(super) struct RegistryClient {
    config: RegistryConfig,
    http: Client,
    /// The server that answered last is asked first.
    current: Cell<usize>,
}

/// Schemas that one schema may refer to, all in all.
const MOST_REFERENCES: usize = 256;

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// What may stand in a path as it is.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl RegistryClient {
    pub fn new(config: RegistryConfig) -> Self {
        let http = Client::new(config.http.clone());
        Self { config, http, current: Cell::new(0) }
    }

    /// Asks until there is an answer or the retries are used up.
    pub async fn answer(&self, question: &Question) -> Result<Answer, Unanswered> {
        match question {
            Question::Schema { id } => {
                let json = self.get(&format!("/schemas/ids/{id}")).await?;
                let mut answer = self.schema(json, Some(*id)).await?;
                answer.versions = self.versions(*id).await;
                Ok(answer)
            }
            Question::Latest { subject } => {
                let json =
                    self.get(&format!("/subjects/{}/versions/latest", escaped(subject))).await?;
                let version = json.get("version").and_then(Json::as_i64);
                let version = version.and_then(|version| i32::try_from(version).ok());
                let mut answer = self.schema(json, None).await?;
                answer.versions.extend(version.map(|version| (subject.clone(), version)));
                Ok(answer)
            }
            Question::Register { subject, schema, normalize } => {
                let path = format!("/subjects/{}/versions?normalize={normalize}", escaped(subject));
                self.id_of(&path, schema).await
            }
            Question::Lookup { subject, schema, normalize } => {
                let path = format!("/subjects/{}?normalize={normalize}", escaped(subject));
                self.id_of(&path, schema).await
            }
        }
    }

    async fn id_of(&self, path: &str, schema: &SchemaText) -> Result<Answer, Unanswered> {
        let body = posted(schema).to_string();
        let json = self.call(Method::Post, path, body.as_bytes()).await?;
        let id = json.get("id").and_then(Json::as_u64).and_then(|id| u32::try_from(id).ok());
        match id {
            Some(id) => Ok(Answer { id, ..Answer::default() }),
            None => Err(Unanswered::Hopeless(format!("the schema registry gave no id: {json}"))),
        }
    }

    async fn get(&self, path: &str) -> Result<Json, Unanswered> {
        self.call(Method::Get, path, b"").await
    }

    /// A schema with those that it refers to.
    async fn schema(&self, json: Json, id: Option<u32>) -> Result<Answer, Unanswered> {
        let given = json.get("id").and_then(Json::as_u64).and_then(|id| u32::try_from(id).ok());
        let mut references = Vec::new();
        self.references(&json, &mut references).await?;
        Ok(Answer {
            id: id.or(given).unwrap_or_default(),
            schema: Some(text_of(&json)?),
            references,
            versions: Vec::new(),
        })
    }

    /// Fetches what `json` refers to, the innermost first.
    async fn references(
        &self,
        json: &Json,
        found: &mut Vec<(String, Arc<str>)>,
    ) -> Result<(), Unanswered> {
        let mut open: Vec<(Json, bool)> =
            listed(json).into_iter().rev().map(|reference| (reference, false)).collect();
        let mut texts: Vec<(String, Arc<str>)> = Vec::new();
        let mut asked = 0;
        while let Some((reference, is_text)) = open.pop() {
            let SchemaReference { name, subject, version } = reference_of(&reference);
            if found.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if is_text {
                // Everything that it refers to itself was found before.
                let at = texts.iter().position(|(known, _)| *known == name);
                found.extend(at.map(|at| texts.swap_remove(at)));
                continue;
            }
            asked += 1;
            if asked > MOST_REFERENCES {
                let why = format!("a schema refers to more than {MOST_REFERENCES} others");
                return Err(Unanswered::Refused(DataError::new(why)));
            }
            let path = format!("/subjects/{}/versions/{version}", escaped(&subject));
            let schema = self.get(&path).await?;
            texts.push((name, text_of(&schema)?.text));
            open.push((reference, true));
            open.extend(listed(&schema).into_iter().rev().map(|inner| (inner, false)));
        }
        Ok(())
    }

    /// The versions that subjects know the schema by. A registry that does not tell, or not now,
    /// leaves data schemas without a version, which nothing here depends on.
    async fn versions(&self, id: u32) -> Vec<(String, i32)> {
        let path = format!("/schemas/ids/{id}/versions");
        let Ok(json) = self.once(Method::Get, &path, b"").await else { return Vec::new() };
        let pair = |entry: &Json| {
            let version = i32::try_from(entry.get("version")?.as_i64()?).ok()?;
            Some((entry.get("subject")?.as_str()?.to_owned(), version))
        };
        json.as_array().map(|all| all.iter().filter_map(pair).collect()).unwrap_or_default()
    }

    async fn call(&self, method: Method, path: &str, body: &[u8]) -> Result<Json, Unanswered> {
        let mut wait = self.config.retry_wait;
        for _ in 0..self.config.retries {
            match self.once(method, path, body).await {
                Err(Unanswered::Away(_)) => rt::sleep(wait).await,
                outcome => return outcome,
            }
            wait = (wait * 2).min(self.config.retry_wait_max.max(Duration::from_millis(1)));
        }
        self.once(method, path, body).await
    }

    /// Asks each server once, beginning with the one that answered last.
    async fn once(&self, method: Method, path: &str, body: &[u8]) -> Result<Json, Unanswered> {
        let count = self.config.servers.len();
        let mut failures: Vec<String> = Vec::new();
        for turn in 0..count {
            let at = (self.current.get() + turn) % count;
            let server = &self.config.servers[at];
            let url = server.url.with_path(format!("{}{path}", server.base));
            let mut headers: Vec<(&str, &str)> =
                vec![("Accept", MEDIA_TYPE), ("Content-Type", MEDIA_TYPE)];
            let own = server.authorization.as_deref().map(|value| ("Authorization", value));
            headers.extend(own);
            headers.extend(self.config.headers.iter().map(|(name, value)| (&**name, &**value)));
            let body = if body.is_empty() { Body::Empty } else { Body::Bytes(body) };
            let request = Request { method, url: &url, headers: &headers, body };
            match self.http.send(request).await {
                Ok(response) => match verdict(&response, &url.to_string()) {
                    Err(Unanswered::Away(why)) => failures.push(why),
                    outcome => {
                        self.current.set(at);
                        return outcome;
                    }
                },
                Err(error) => failures.push(error.message),
            }
        }
        let all = failures.join("; ");
        Err(Unanswered::Away(format!("the schema registry cannot be reached: {all}")))
    }
}

/// What a response means.
fn verdict(response: &Response, url: &str) -> Result<Json, Unanswered> {
    let status = response.status;
    let json = serde_json::from_slice::<Json>(&response.body);
    if response.is_success() {
        return json.map_err(|_| {
            Unanswered::Hopeless(format!("what answers at {url} is no schema registry"))
        });
    }
    let said = json.ok().and_then(|json| {
        let code = json.get("error_code")?.as_i64()?;
        let message = json.get("message").and_then(Json::as_str).unwrap_or_default();
        Some((code, message.to_owned()))
    });
    match (status, said) {
        (408 | 429 | 500.., said) => {
            let message = said.map(|(_, message)| format!(": {message}")).unwrap_or_default();
            Err(Unanswered::Away(format!("{url} answered {status}{message}")))
        }
        (401 | 403, _) => Err(Unanswered::Hopeless(format!(
            "the schema registry at {url} answered {status}; check basic.auth.credentials.source \
             with basic.auth.user.info, or bearer.auth.credentials.source with bearer.auth.token"
        ))),
        (_, Some((code, message))) => Err(Unanswered::Refused(DataError::new(format!(
            "{message}; error code: {code} ({url})"
        )))),
        (_, None) => Err(Unanswered::Hopeless(format!(
            "{url} answered {status}, and not as a schema registry does; check schema.registry.url"
        ))),
    }
}

fn escaped(subject: &str) -> String {
    utf8_percent_encode(subject, PATH).to_string()
}

/// What is sent to register or look up `schema`. Avro's type is left out, as older registries want.
fn posted(schema: &SchemaText) -> Json {
    let mut body = json!({ "schema": &*schema.text });
    if schema.type_ != SchemaKind::Avro {
        body["schemaType"] = schema.type_.name().into();
    }
    if !schema.references.is_empty() {
        let each = |one: &SchemaReference| json!({ "name": one.name, "subject": one.subject, "version": one.version });
        body["references"] = schema.references.iter().map(each).collect::<Vec<_>>().into();
    }
    body
}

/// A reference of an answer; what it lacks the registry will not find.
fn reference_of(json: &Json) -> SchemaReference {
    let text = |key| json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let version = json.get("version").and_then(Json::as_i64);
    SchemaReference {
        name: text("name"),
        subject: text("subject"),
        version: version.and_then(|version| i32::try_from(version).ok()).unwrap_or(-1),
    }
}

fn listed(json: &Json) -> Vec<Json> {
    json.get("references").and_then(Json::as_array).cloned().unwrap_or_default()
}

/// The schema of an answer; its type is left out for Avro.
fn text_of(json: &Json) -> Result<SchemaText, Unanswered> {
    let name = json.get("schemaType").and_then(Json::as_str).unwrap_or("AVRO");
    let type_ = SchemaKind::by_name(name);
    let text = json.get("schema").and_then(Json::as_str);
    match (type_, text) {
        (Some(type_), Some(text)) => {
            let references = listed(json).iter().map(reference_of).collect();
            Ok(SchemaText { type_, text: text.into(), references })
        }
        (None, _) => Err(Unanswered::Refused(DataError::new(format!(
            "the schema is of type {name}, which is not known"
        )))),
        (_, None) => Err(Unanswered::Hopeless("the schema registry gave no schema".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Result<Json, Unanswered> {
        let response = Response { status, headers: Vec::new(), body: body.into() };
        verdict(&response, "http://h/x")
    }

    #[test]
    fn what_answers_mean() {
        assert!(judged(200, "{}").is_ok());
        assert!(matches!(judged(200, "<html>"), Err(Unanswered::Hopeless(_))));
        let unknown = judged(404, r#"{"error_code":40403,"message":"Schema 9 not found"}"#);
        let Err(Unanswered::Refused(error)) = unknown else { panic!("{unknown:?}") };
        assert_eq!(error.message, "Schema 9 not found; error code: 40403 (http://h/x)");
        assert!(!error.retriable);
        assert!(matches!(judged(404, "nginx"), Err(Unanswered::Hopeless(_))));
        assert!(matches!(judged(401, "{}"), Err(Unanswered::Hopeless(_))));
        assert!(matches!(judged(503, "{}"), Err(Unanswered::Away(_))));
        assert!(matches!(judged(429, ""), Err(Unanswered::Away(_))));
    }

    #[test]
    fn types_and_references_are_sent_and_read() {
        let avro = SchemaText::new(SchemaKind::Avro, "\"int\"");
        assert_eq!(posted(&avro).to_string(), r#"{"schema":"\"int\""}"#);
        let reference = SchemaReference { name: "a.json".into(), subject: "a".into(), version: 2 };
        let json =
            SchemaText { references: vec![reference], ..SchemaText::new(SchemaKind::Json, "{}") };
        let body = posted(&json);
        assert_eq!(
            body.to_string(),
            r#"{"schema":"{}","schemaType":"JSON","references":[{"name":"a.json","subject":"a","version":2}]}"#
        );
        assert_eq!(text_of(&body).ok(), Some(json));
    }

    #[test]
    fn subjects_in_paths() {
        assert_eq!(escaped("a/b c-value"), "a%2Fb%20c-value");
        assert_eq!(escaped("com.Ä_~"), "com.%C3%84_~");
    }
}
