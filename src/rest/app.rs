//! From a request to its resource, and what all resources share: methods, media types, limits.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, StatusCode, header};
use axum::response::Response;
use millrace_herder::HerderContext;
use millrace_herder::requests::{Mailbox, Reply, Request};
use serde_json::json;

use crate::answer::{self, Failure, Outcome, empty, ok};
use crate::cors::{Cors, extra_headers};
use crate::loggers::{self, Loggers};
use crate::metrics::{Format, Metrics};
use crate::route::{Route, flag, query};
use crate::worker_client::WorkerClient;
use crate::{RestOptions, basic_auth, connectors, forwarding, internal, offsets, openapi, plugins};

/// Most bytes of a request's body.
const BODY_LIMIT: usize = 10 << 20;
/// How long a question may take, and the one for health.
const REQUEST_LIMIT: Duration = Duration::from_secs(90);
const HEALTH_LIMIT: Duration = Duration::from_secs(10);

/// Which resources a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    resources: bool,
    admin: bool,
}

/// What a listener is: its resources and how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub scope: Scope,
    pub tls: bool,
}

impl Front {
    pub fn scheme(self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

impl Scope {
    pub const ADMIN: Self = Self { resources: false, admin: true };

    pub fn main(admin: bool) -> Self {
        Self { resources: true, admin }
    }

    /// Cross-origin rules, response headers and users are the main listeners' alone, as in the JVM.
    fn is_main(self) -> bool {
        self.resources
    }

    fn covers(self, route: &Route) -> bool {
        if route.is_admin() { self.admin } else { self.resources }
    }
}

/// What handlers share.
pub(crate) struct App {
    herder: Mailbox,
    options: RestOptions,
    pub loggers: Arc<Loggers>,
    metrics: Metrics,
    cors: Option<Cors>,
    pub client: Arc<WorkerClient>,
}

/// A request, taken apart.
pub(crate) struct Asked {
    pub method: Method,
    /// As it came: encoded.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// `host:port` as the client names this worker.
    pub host: String,
    pub body: Bytes,
}

impl App {
    pub fn new(herder: Mailbox, mut options: RestOptions) -> Arc<Self> {
        let loggers = Arc::new(Loggers::new(options.loggers.take()));
        let levels = Arc::clone(&loggers);
        let set = Box::new(move |name: &str, level: &str| levels.set(name, level));
        let _ = options.context.logger_levels.set(set);
        let cors = Cors::new(&options.context.config);
        let client = WorkerClient::new(options.context.config.rest_security.client.clone());
        let (metrics, client) = (Metrics::default(), Arc::new(client));
        Arc::new(Self { herder, options, loggers, metrics, cors, client })
    }

    pub fn context(&self) -> &HerderContext {
        &self.options.context
    }

    /// Asks the herder and waits for the answer, for a limited time.
    pub async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Request) -> Result<T, Failure> {
        let answer = self.herder.ask(question);
        match tokio::time::timeout(REQUEST_LIMIT, answer.recv_async()).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(_)) => Err(Failure::internal("Worker is shutting down")),
            Err(_) => Err(Failure::internal(match self.context().stage.summary() {
                Some(stage) => format!("Request timed out. {stage}"),
                None => "Request timed out".to_owned(),
            })),
        }
    }

    pub fn dropped_lines(&self) -> u64 {
        self.loggers.dropped_lines()
    }

    fn root(&self) -> Outcome {
        ok(&json!({
            "version": self.options.version,
            "commit": self.options.commit,
            "kafka_cluster_id": self.context().cluster_id.get(),
        }))
    }

    async fn health(&self) -> Outcome {
        let answer = self.herder.ask(Request::Health);
        if let Ok(Ok(Ok(()))) = tokio::time::timeout(HEALTH_LIMIT, answer.recv_async()).await {
            let message = "Worker has completed startup and is ready to handle requests.";
            return ok(&json!({"status": "healthy", "message": message}));
        }
        let stage = &self.context().stage;
        let (code, status, message) = match stage.is_ready() {
            true => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "unhealthy",
                "Worker was unable to handle this request and may be unable to handle other \
                 requests.",
            ),
            false => (StatusCode::SERVICE_UNAVAILABLE, "starting", "Worker is still starting up."),
        };
        let message = match stage.summary() {
            Some(stage) => format!("{message} {stage}"),
            None => message.to_owned(),
        };
        Ok(answer::json(code, &json!({"status": status, "message": message})))
    }
}

/// The service of one listener.
pub(crate) fn router(app: &Arc<App>, front: Front) -> Router {
    Router::new().fallback(handle).with_state((Arc::clone(app), front))
}

async fn handle(
    State((app, front)): State<(Arc<App>, Front)>,
    request: HttpRequest<Body>,
) -> Response {
    let headers = request.headers().clone();
    let is_head = request.method() == Method::HEAD;
    let outcome = respond(&app, front, request).await;
    let mut response = outcome.unwrap_or_else(Failure::into_response);
    if is_head {
        *response.body_mut() = Body::empty();
    }
    if !front.scope.is_main() {
        return response;
    }
    if let Some(cors) = &app.cors {
        cors.apply(&headers, response.headers_mut());
    }
    extra_headers(&app.context().config.response_headers, response.headers_mut());
    response
}

async fn respond(app: &App, front: Front, request: HttpRequest<Body>) -> Outcome {
    let (head, body) = request.into_parts();
    let route = Route::of(head.uri.path()).filter(|route| front.scope.covers(route));
    let route = route.ok_or_else(|| Failure::http(StatusCode::NOT_FOUND))?;
    // HEAD is GET without the body.
    let method = if head.method == Method::HEAD { Method::GET } else { head.method };
    if method != Method::OPTIONS && !route.methods().contains(&method) {
        let mut refused = Failure::http(StatusCode::METHOD_NOT_ALLOWED).into_response();
        refused.headers_mut().insert(header::ALLOW, allow(&route));
        return Ok(refused);
    }
    if method != Method::OPTIONS && route != Route::Metrics {
        media_types(&method, &head.headers)?;
    }
    let users = app.context().config.rest_security.users.as_ref();
    if let Some(users) = users.filter(|_| front.scope.is_main())
        && let Some(refused) = basic_auth::refuse(users, &method, &route, &head.headers)?
    {
        return Ok(refused);
    }
    if method == Method::OPTIONS {
        return Ok(options(&route));
    }
    let read = tokio::time::timeout(REQUEST_LIMIT, to_bytes(body, BODY_LIMIT)).await;
    let body = match read {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(Failure::http(StatusCode::PAYLOAD_TOO_LARGE)),
        Err(_) => return Err(Failure::http(StatusCode::REQUEST_TIMEOUT)),
    };
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.map_or_else(|| app.context().config.worker_id(None).to_string(), str::to_owned);
    let asked = Asked {
        method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        scheme: front.scheme(),
        host,
        body,
    };
    match dispatch(app, route, &asked).await {
        Err(Failure { elsewhere: Some(url), status, message }) => {
            let refused = Failure::new(status, message);
            forwarding::forward(app, &asked, &url, refused).await
        }
        outcome => outcome,
    }
}

async fn dispatch(app: &App, route: Route, asked: &Asked) -> Outcome {
    let plugins = &app.context().plugins;
    match route {
        Route::Root => app.root(),
        Route::Health => app.health().await,
        Route::Metrics => {
            let accept = asked.headers.get_all(header::ACCEPT).iter();
            let format = Format::accepted(accept.filter_map(|value| value.to_str().ok()));
            app.metrics.answer(app, format).await
        }
        Route::OpenApi => openapi::document(),
        Route::Connectors if asked.method == Method::POST => connectors::create(app, asked).await,
        Route::Connectors => connectors::list(app, &asked.query).await,
        Route::Connector(name) => connectors::connector(app, &asked.method, name).await,
        Route::Config(name) => connectors::config(app, asked, name).await,
        Route::Status(name) => ok(&app.ask(|reply| Request::Status { name, reply }).await?),
        Route::Pause(name) => {
            app.ask(|reply| Request::Pause { name, reply }).await?;
            empty(StatusCode::ACCEPTED)
        }
        Route::Resume(name) => {
            app.ask(|reply| Request::Resume { name, reply }).await?;
            empty(StatusCode::ACCEPTED)
        }
        Route::Stop(name) => {
            app.ask(|reply| Request::Stop { name, reply }).await?;
            empty(StatusCode::NO_CONTENT)
        }
        Route::Restart(name) => connectors::restart(app, asked, name).await,
        Route::Tasks(name) => connectors::tasks(app, asked, name).await,
        Route::TaskStatus(name, task) => {
            ok(&app.ask(|reply| Request::TaskStatus { name, task, reply }).await?)
        }
        Route::TaskRestart(name, task) => {
            app.ask(|reply| Request::RestartTask { name, task, reply }).await?;
            empty(StatusCode::NO_CONTENT)
        }
        Route::Topics(name) => connectors::topics(app, name, false).await,
        Route::TopicsReset(name) => connectors::topics(app, name, true).await,
        Route::Offsets(name) => offsets::handle(app, &asked.method, name, &asked.body).await,
        Route::Fence(name) => internal::fence(app, asked, name).await,
        Route::Plugins => plugins::list(plugins, flag(&asked.query, "connectorsOnly", true)),
        Route::PluginConfig(name) => plugins::config(plugins, &name),
        Route::PluginValidate(name) => plugins::validate(app, name, &asked.body).await,
        Route::Loggers => app.loggers.list(),
        Route::Logger(name) if asked.method == Method::GET => app.loggers.get(&name),
        Route::Logger(namespace) if is_for_cluster(asked) => {
            let level = loggers::level(&asked.body)?.to_owned();
            app.ask(|reply| Request::SetLoggerLevel { namespace, level, reply }).await?;
            empty(StatusCode::NO_CONTENT)
        }
        Route::Logger(name) => app.loggers.put(&name, &asked.body),
    }
}

fn is_for_cluster(asked: &Asked) -> bool {
    query(&asked.query, "scope").next().is_some_and(|scope| scope.eq_ignore_ascii_case("cluster"))
}

/// Everything is JSON: other bodies are refused, and clients that take nothing like it.
fn media_types(method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
    let is_json = |media: &str| {
        let media = media.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/json")
    };
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let content = headers.get(header::CONTENT_TYPE).map(text);
    let has_body = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    if has_body && content.is_some_and(|media| !is_json(&media)) {
        return Err(Failure::http(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let accepted: Vec<String> = headers.get_all(header::ACCEPT).iter().map(text).collect();
    let mut accepted = accepted.iter().flat_map(|list| list.split(',')).peekable();
    let any = |media: &str| {
        let media = media.split(';').next().unwrap_or_default().trim();
        media.is_empty() || media == "*/*" || media.eq_ignore_ascii_case("application/*")
    };
    if accepted.peek().is_some() && !accepted.any(|media| is_json(media) || any(media)) {
        return Err(Failure::http(StatusCode::NOT_ACCEPTABLE));
    }
    Ok(())
}

fn options(route: &Route) -> Response {
    let allow = allow(route);
    let body = allow.to_str().unwrap_or_default().replace(',', ", ");
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::ALLOW, allow);
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn allow(route: &Route) -> HeaderValue {
    let methods = route.methods();
    let head = if methods.contains(&Method::GET) { "HEAD," } else { "" };
    let list: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let text = format!("{head}{},OPTIONS", list.join(","));
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
}

#[cfg(test)]
mod tests;
