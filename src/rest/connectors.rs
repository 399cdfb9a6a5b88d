//! `/connectors` and everything below it but offsets.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use millrace_herder::requests::{Created, Request, RestartScope};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::answer::{self, Failure, Outcome, empty, ok};
use crate::app::{App, Asked};
use crate::body::{self, CreateConnectorRequest};
use crate::internal;
use crate::route::{flag, query};

/// What must be encoded in a path's segment.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// `GET /connectors`: names, or with `expand` a map.
pub(crate) async fn list(app: &App, query_text: &str) -> Outcome {
    let names = app.ask(Request::Connectors).await?;
    let expand: Vec<String> = query(query_text, "expand").collect();
    if expand.is_empty() {
        return ok(&names);
    }
    let mut all = Map::new();
    for name in names {
        let mut one = Map::new();
        for what in &expand {
            let named = name.to_string();
            let value = match what.as_str() {
                "status" => value(app.ask(|reply| Request::Status { name: named, reply }).await),
                "info" => value(app.ask(|reply| Request::Info { name: named, reply }).await),
                _ => continue,
            };
            one.extend(value.map(|value| (what.clone(), value)));
        }
        all.insert(name.to_string(), Value::Object(one));
    }
    ok(&all)
}

/// `None` for a connector that went away meanwhile.
fn value(answer: Result<impl serde::Serialize, Failure>) -> Option<Value> {
    serde_json::to_value(answer.ok()?).ok()
}

/// `POST /connectors`.
pub(crate) async fn create(app: &App, asked: &Asked) -> Outcome {
    let CreateConnectorRequest { name, config, initial } =
        CreateConnectorRequest::parse(&asked.body)?;
    let put = app.ask(|reply| Request::Put { name, config, create_only: true, initial, reply });
    created(asked, put.await?)
}

/// `GET` and `DELETE /connectors/{c}`.
pub(crate) async fn connector(app: &App, method: &Method, name: String) -> Outcome {
    if method == Method::DELETE {
        app.ask(|reply| Request::Delete { name, reply }).await?;
        return empty(StatusCode::NO_CONTENT);
    }
    ok(&app.ask(|reply| Request::Info { name, reply }).await?)
}

/// `GET`, `PUT` and `PATCH /connectors/{c}/config`.
pub(crate) async fn config(app: &App, asked: &Asked, name: String) -> Outcome {
    if asked.method == Method::GET {
        return ok(&app.ask(|reply| Request::Info { name, reply }).await?.config);
    }
    if asked.method == Method::PATCH {
        let changes = body::patch(&asked.body)?;
        return ok(&app.ask(|reply| Request::Patch { name, changes, reply }).await?);
    }
    let config = body::config(&asked.body)?;
    let put = |reply| Request::Put { name, config, create_only: false, initial: None, reply };
    created(asked, app.ask(put).await?)
}

fn created(asked: &Asked, created: Created) -> Outcome {
    if !created.created {
        return ok(&created.info);
    }
    let response = answer::json(StatusCode::CREATED, &created.info);
    Ok(with_location(response, asked, &created.info.name))
}

/// Says where the new connector is, by the name that the client knows this worker by.
pub(crate) fn with_location(mut response: Response, asked: &Asked, name: &str) -> Response {
    let name = utf8_percent_encode(name, SEGMENT);
    let location = format!("{}://{}/connectors/{name}", asked.scheme, asked.host);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// `POST /connectors/{c}/restart`.
pub(crate) async fn restart(app: &App, asked: &Asked, name: String) -> Outcome {
    let scope = RestartScope {
        include_tasks: flag(&asked.query, "includeTasks", false),
        only_failed: flag(&asked.query, "onlyFailed", false),
    };
    let status = app.ask(|reply| Request::Restart { name, scope, reply }).await?;
    if scope.is_connector_only() {
        return empty(StatusCode::NO_CONTENT);
    }
    Ok(answer::json(StatusCode::ACCEPTED, &status))
}

/// `GET /connectors/{c}/tasks`; the POST is between workers of a cluster.
pub(crate) async fn tasks(app: &App, asked: &Asked, name: String) -> Outcome {
    if asked.method == Method::POST {
        return internal::put_task_configs(app, asked, name).await;
    }
    ok(&app.ask(|reply| Request::Tasks { name, reply }).await?)
}

/// `GET …/topics` and `PUT …/topics/reset`.
pub(crate) async fn topics(app: &App, name: String, reset: bool) -> Outcome {
    let parsed = app.context().config.parsed();
    let refuse = |text: &str| Err(Failure::new(StatusCode::FORBIDDEN, text));
    if !parsed.bool("topic.tracking.enable") {
        return refuse("Topic tracking is disabled.");
    }
    if reset {
        if !parsed.bool("topic.tracking.allow.reset") {
            return refuse("Topic tracking reset is disabled.");
        }
        app.ask(|reply| Request::ResetTopics { name, reply }).await?;
        return empty(StatusCode::ACCEPTED);
    }
    let of = name.clone();
    let topics = app.ask(|reply| Request::Topics { name: of, reply }).await?;
    ok(&Value::Object(Map::from_iter([(name, json!({"topics": topics}))])))
}
