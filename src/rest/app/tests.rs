//! The HTTP API over a real herder whose tasks are recorded instead of run: the runner reports each
//! task as running. Statuses and messages are those that Kafka Connect 4.1's standalone worker gave
//! to the same requests; where ours differ on purpose, the case says so.

use std::collections::HashMap;

use axum::http::request::Builder;
use millrace_herder::api::Config;
use millrace_herder::api::config_def::{
    ConfigDef, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_herder::api::connector::{
    ConnectorPlugin, NewTask, SameConfigForAll, no_cross_checks,
};
use millrace_herder::api::plugin::{ConverterPlugin, Plugins};
use millrace_herder::command::{Report, TaskId, TaskSpec, TaskState};
use millrace_herder::requests::HerderError;
use millrace_herder::worker_config::WorkerConfig;
use millrace_herder::{HerderHandle, StandaloneHerder, TaskRunner};
use serde_json::Value;
use tower::ServiceExt;

use super::*;

struct Recorder {
    reports: flume::Sender<Report>,
    running: HashMap<TaskId, u64>,
}

impl Recorder {
    fn report(&self, id: &TaskId, state: TaskState) {
        if let Some(&generation) = self.running.get(id) {
            self.reports.send(Report::State { id: id.clone(), generation, state }).unwrap();
        }
    }
}

impl TaskRunner for Recorder {
    fn start_task(&mut self, spec: TaskSpec) {
        self.running.insert(spec.id.clone(), spec.generation);
        self.report(&spec.id, TaskState::Running);
    }

    fn stop_task(&mut self, id: &TaskId) {
        self.report(id, TaskState::Unassigned);
        self.running.remove(id);
    }

    fn pause_task(&mut self, id: &TaskId) {
        self.report(id, TaskState::Paused);
    }

    fn resume_task(&mut self, id: &TaskId) {
        self.report(id, TaskState::Running);
    }

    fn shutdown(self: Box<Self>) {}
}

fn source_keys() -> ConfigDef {
    let key =
        |name, type_, default, importance| ConfigKey::new(name, type_, default, importance, "");
    ConfigDef::new()
        .define(key("file", Type::String, DefaultValue::Null, Importance::High))
        .define(
            key("topic", Type::String, DefaultValue::Required, Importance::High)
                .check(Validator::NonEmpty),
        )
        .define(key("batch.size", Type::Int, DefaultValue::Of("2000"), Importance::Low))
}

fn plugins() -> Plugins {
    let source = ConnectorPlugin {
        class: "org.apache.kafka.connect.file.FileStreamSourceConnector",
        task_class: "org.apache.kafka.connect.file.FileStreamSourceTask",
        also: &[],
        version: "4.1.0",
        config_def: source_keys,
        validate: no_cross_checks,
        connector: || Box::new(SameConfigForAll::new(Some(1))),
        task: NewTask::Source(|| unreachable!("no task runs in these tests")),
    };
    let sink = ConnectorPlugin {
        class: "org.apache.kafka.connect.file.FileStreamSinkConnector",
        task_class: "org.apache.kafka.connect.file.FileStreamSinkTask",
        config_def: ConfigDef::new,
        task: NewTask::Sink(|| unreachable!("no task runs in these tests")),
        ..source
    };
    let converter = ConverterPlugin {
        class: "org.apache.kafka.connect.json.JsonConverter",
        config_def: ConfigDef::new,
        new: |_, _| Err(Vec::new()),
    };
    Plugins { connectors: vec![source, sink], converters: vec![converter], ..Plugins::default() }
}

struct Rig {
    herder: HerderHandle,
    router: Router,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Rig {
    fn new(more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let offsets = folder.path().join("offsets").display().to_string();
        let basic = [
            ("bootstrap.servers", "localhost:9092"),
            ("key.converter", "JsonConverter"),
            ("value.converter", "JsonConverter"),
            ("offset.storage.file.filename", &offsets),
        ];
        let all = basic.iter().chain(more);
        let file: Config =
            all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let worker = WorkerConfig::standalone(file, &plugins()).unwrap();
        let (reports, inbox) = flume::unbounded();
        let runner = Box::new(Recorder { reports, running: HashMap::new() });
        let herder = StandaloneHerder::start(worker, plugins(), runner, inbox).unwrap();
        let app = App::new(herder.mailbox.clone(), RestOptions::new(Arc::clone(&herder.context)));
        let admin = herder.context.config.admin_listeners.is_none();
        let router = router(&app, Front { scope: Scope::main(admin), tls: false });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { herder, router, runtime, _folder: folder }
    }

    /// The same worker, whose herder is a function.
    fn with_herder(mut self, answer: impl FnMut(Request) + Send + 'static) -> Self {
        let options = RestOptions::new(Arc::clone(&self.herder.context));
        let app = App::new(Mailbox::answered_by(answer), options);
        self.router = router(&app, Front { scope: Scope::main(true), tls: false });
        self
    }

    fn send(&self, request: Builder, body: &str) -> Answered {
        let request = request.body(Body::from(body.to_owned())).unwrap();
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (head, body) = response.into_parts();
            let bytes = to_bytes(body, 1 << 20).await.unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Answered { status: head.status.as_u16(), headers: head.headers, body }
        })
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Answered {
        let request = HttpRequest::builder().method(method).uri(path).header("Host", "h:1");
        self.send(request.header("Content-Type", "application/json"), body)
    }

    /// Status and message.
    fn refused(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let answered = self.ask(method, path, body);
        assert_eq!(answered.body["error_code"], answered.status, "{method} {path}");
        (answered.status, answered.body["message"].as_str().unwrap().to_owned())
    }

    fn wait_for(&self, path: &str, pointer: &str, expected: &str) {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let body = self.ask("GET", path, "").body;
            if body.pointer(pointer).and_then(Value::as_str) == Some(expected) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{pointer} of {body} is not {expected}");
            std::thread::yield_now();
        }
    }

    fn with_source(more: &[(&str, &str)]) -> Self {
        let rig = Self::new(more);
        let created = rig.ask("POST", "/connectors", SOURCE);
        assert_eq!(created.status, 201, "{}", created.body);
        rig.wait_for("/connectors/src/status", "/tasks/0/state", "RUNNING");
        rig
    }
}

const SOURCE: &str = r#"{"name":"src","config":{"connector.class":"FileStreamSource",
    "file":"/tmp/in.txt","topic":"t1","tasks.max":"1"}}"#;

#[test]
fn the_worker_and_its_health() {
    let rig = Rig::new(&[]);
    let root = rig.ask("GET", "/", "");
    assert_eq!(root.body["version"], "4.1.0");
    assert_eq!(root.body["kafka_cluster_id"], Value::Null);
    rig.herder.context.cluster_id.set("abc".to_owned()).unwrap();
    assert_eq!(rig.ask("GET", "/", "").body["kafka_cluster_id"], "abc");
    let health = rig.ask("GET", "/health/", "");
    assert_eq!((health.status, &health.body["status"]), (200, &Value::from("healthy")));
}

#[test]
fn a_connector_from_post_to_delete() {
    let rig = Rig::new(&[]);
    let created = rig.ask("POST", "/connectors", SOURCE);
    assert_eq!(created.status, 201);
    assert_eq!(created.headers["location"], "http://h:1/connectors/src");
    let info = json!({
        "name": "src",
        "config": {"connector.class": "FileStreamSource", "file": "/tmp/in.txt", "name": "src",
            "tasks.max": "1", "topic": "t1"},
        "tasks": [{"connector": "src", "task": 0}],
        "type": "source",
    });
    assert_eq!(created.body, info);
    assert_eq!(rig.ask("GET", "/connectors", "").body, json!(["src"]));
    assert_eq!(rig.ask("GET", "/connectors/src/", "").body, info);
    assert_eq!(rig.ask("GET", "/connectors/src/config", "").body, info["config"]);
    rig.wait_for("/connectors/src/status", "/tasks/0/state", "RUNNING");
    let status = json!({
        "name": "src",
        "connector": {"state": "RUNNING", "worker_id": "127.0.0.1:8083", "version": "4.1.0"},
        "tasks": [
            {"id": 0, "state": "RUNNING", "worker_id": "127.0.0.1:8083", "version": "4.1.0"}
        ],
        "type": "source",
    });
    assert_eq!(rig.ask("GET", "/connectors/src/status", "").body, status);
    assert_eq!(rig.ask("GET", "/connectors/src/tasks/0/status", "").body, status["tasks"][0]);
    let expanded = rig.ask("GET", "/connectors?expand=status&expand=info", "").body;
    assert_eq!(expanded, json!({"src": {"status": status, "info": info}}));
    assert_eq!(rig.ask("GET", "/connectors?expand=foo", "").body, json!({"src": {}}));
    let tasks = rig.ask("GET", "/connectors/src/tasks", "").body;
    assert_eq!(tasks[0]["id"], json!({"connector": "src", "task": 0}));
    let class = "org.apache.kafka.connect.file.FileStreamSourceTask";
    assert_eq!(tasks[0]["config"]["task.class"], class);

    let put = r#"{"connector.class":"FileStreamSource","topic":"t2"}"#;
    let changed = rig.ask("PUT", "/connectors/src/config", put);
    assert_eq!((changed.status, changed.headers.get("location")), (200, None));
    let patched = rig.ask("PATCH", "/connectors/src/config", r#"{"batch.size":7,"topic":"t3"}"#);
    assert_eq!(patched.status, 200);
    assert_eq!(patched.body["config"]["batch.size"], "7");
    assert_eq!(patched.body["config"]["topic"], "t3");

    let named = rig.ask("PUT", "/connectors/a%20b%2Fc%C3%A9/config", put);
    assert_eq!(named.status, 201);
    assert_eq!(named.headers["location"], "http://h:1/connectors/a%20b%2Fc%C3%A9");
    assert_eq!(named.body["name"], "a b/cé");
    let gone = rig.ask("DELETE", "/connectors/a%20b%2Fc%C3%A9", "");
    assert_eq!((gone.status, gone.body), (204, json!("")));
    assert_eq!(rig.ask("GET", "/connectors", "").body, json!(["src"]));
}

#[test]
fn refusals_have_the_jvms_statuses_and_messages() {
    let rig = Rig::with_source(&[]);
    let source = |more: &str| {
        format!(r#"{{"name":"x","config":{{"connector.class":"FileStreamSource"{more}}}}}"#)
    };
    let invalid = |errors: &str, count: u32| {
        format!(
            "Connector configuration is invalid and contains the following {count} error(s):\n\
             {errors}\nYou can also find the above list of errors at the endpoint \
             `/connector-plugins/{{connectorType}}/config/validate`"
        )
    };
    let cases: &[(&str, &str, &str, u16, &str)] = &[
        ("GET", "/nosuch", "", 404, "HTTP 404 Not Found"),
        ("PUT", "/nosuch", "{}", 404, "HTTP 404 Not Found"),
        ("GET", "/connectors/src/tasks-config", "", 404, "HTTP 404 Not Found"),
        ("GET", "/connectors/src/tasks/x/status", "", 404, "HTTP 404 Not Found"),
        ("DELETE", "/connectors", "", 405, "HTTP 405 Method Not Allowed"),
        ("POST", "/", "", 405, "HTTP 405 Method Not Allowed"),
        ("POST", "/connectors", SOURCE, 409, "Connector src already exists"),
        (
            "PUT",
            "/connectors/src/config",
            r#"{"name":"zzz","connector.class":"FileStreamSource","topic":"t"}"#,
            400,
            "Connector name configuration (zzz) doesn't match connector name in the URL (src)",
        ),
        (
            "POST",
            "/connectors",
            r#"{"name":"x","config":{"topic":"t"}}"#,
            400,
            "Connector config {name=x, topic=t} contains no connector type",
        ),
        (
            "POST",
            "/connectors",
            &source(r#","tasks.max":"0""#),
            400,
            &invalid(
                "Invalid value 0 for configuration tasks.max: Value must be at least 1\nMissing \
                 required configuration \"topic\" which has no default value.",
                2,
            ),
        ),
        (
            "POST",
            "/connectors",
            r#"{"config":{"connector.class":"FileStreamSource","topic":"t"}}"#,
            400,
            &invalid("Invalid value  for configuration name: String may not be empty", 1),
        ),
        (
            "POST",
            "/connectors",
            &source(r#","topic":"t","tasks.max":null"#),
            400,
            &invalid("Null value can not be supplied as the configuration value.", 1),
        ),
        ("GET", "/connectors/x", "", 404, "Connector x not found"),
        ("GET", "/connectors/x/config", "", 404, "Connector x not found"),
        ("GET", "/connectors/x/tasks", "", 404, "Connector x not found"),
        ("GET", "/connectors/x/offsets", "", 404, "Connector x not found"),
        ("PATCH", "/connectors/x/config", "{}", 404, "Connector x not found"),
        ("DELETE", "/connectors/x", "", 404, "Connector x not found"),
        ("GET", "/connectors/x/status", "", 404, "No status found for connector x"),
        ("GET", "/connectors/x/tasks/0/status", "", 404, "No status found for task x-0"),
        ("GET", "/connectors/src/tasks/9/status", "", 404, "No status found for task src-9"),
        ("PUT", "/connectors/x/pause", "", 404, "Unknown connector x"),
        ("PUT", "/connectors/x/resume", "", 404, "Unknown connector x"),
        ("POST", "/connectors/src/tasks/7/restart", "", 404, "Task src-7 not found"),
        ("POST", "/connectors/x/restart?includeTasks=true", "", 404, "Unknown connector: x"),
        // The JVM answers these three with 500 and the text of a null pointer or the like.
        ("PUT", "/connectors/x/stop", "", 404, "Unknown connector x"),
        ("POST", "/connectors/x/restart", "", 404, "Connector x not found"),
        ("POST", "/connectors/x/tasks/0/restart", "", 404, "Connector x not found"),
        (
            "POST",
            "/connectors/src/tasks",
            "[]",
            500,
            "Kafka Connect in standalone mode does not support externally setting task \
             configurations.",
        ),
        (
            "PUT",
            "/connectors/src/fence",
            "",
            500,
            "Kafka Connect in standalone mode does not support exactly-once source connectors.",
        ),
        (
            "DELETE",
            "/connectors/src/offsets",
            "",
            400,
            "Connectors must be in the STOPPED state before their offsets can be modified. This can \
             be done for the specified connector by issuing a 'PUT' request to the \
             '/connectors/src/stop' endpoint",
        ),
        (
            "PATCH",
            "/connectors/src/offsets",
            "{}",
            400,
            "Partitions / offsets need to be provided for an alter offsets request",
        ),
        ("GET", "/connector-plugins/Nope/config", "", 404, "Unknown plugin Nope."),
        (
            "PUT",
            "/connector-plugins/FileStreamSource/config/validate",
            r#"{"connector.class":"FileStreamSink","topic":"t"}"#,
            400,
            "Included connector type FileStreamSink does not match request type FileStreamSource",
        ),
        (
            "PUT",
            "/connector-plugins/FileStreamSource/config/validate",
            r#"{"topic":"t"}"#,
            500,
            "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: Connector config \
             {topic=t} contains no connector type",
        ),
        ("GET", "/admin/loggers/org.x", "", 404, "Logger org.x not found."),
        ("PUT", "/admin/loggers/org.x", r#"{"level":"nah"}"#, 404, "invalid log level 'nah'."),
        (
            "PUT",
            "/admin/loggers/org.x",
            "{}",
            400,
            "Desired 'level' parameter was not specified in request.",
        ),
    ];
    for (method, path, body, status, message) in cases {
        let refused = rig.refused(method, path, body);
        assert_eq!(refused, (*status, (*message).to_owned()), "{method} {path} {body}");
    }
}

#[test]
fn pause_resume_stop_and_restarts() {
    let rig = Rig::with_source(&[]);
    let connector = "/connector/state";
    let status = "/connectors/src/status";
    let paused = rig.ask("PUT", "/connectors/src/pause", "");
    assert_eq!((paused.status, paused.body), (202, json!("")));
    rig.wait_for(status, "/tasks/0/state", "PAUSED");
    rig.wait_for(status, connector, "PAUSED");
    assert_eq!(rig.ask("PUT", "/connectors/src/resume", "").status, 202);
    rig.wait_for(status, "/tasks/0/state", "RUNNING");
    rig.wait_for(status, connector, "RUNNING");
    for (query, expected) in [
        ("", 204),
        ("?includeTasks=xyz", 204),
        ("?includeTasks=true", 202),
        ("?onlyFailed=true", 202),
        ("?includeTasks=true&onlyFailed=true", 202),
    ] {
        let path = format!("/connectors/src/restart{query}");
        let restarted = rig.ask("POST", &path, "");
        assert_eq!(restarted.status, expected, "{query}");
        let shown = restarted.body.pointer(connector).and_then(Value::as_str);
        match query {
            "?includeTasks=true" => {
                assert_eq!(shown, Some("RESTARTING"));
                assert_eq!(restarted.body["tasks"][0]["state"], "RESTARTING");
            }
            _ if expected == 202 => assert_eq!(shown, Some("RUNNING"), "{query}"),
            _ => assert_eq!(restarted.body, json!("")),
        }
        rig.wait_for(status, "/tasks/0/state", "RUNNING");
        rig.wait_for(status, connector, "RUNNING");
    }
    assert_eq!(rig.ask("POST", "/connectors/src/tasks/0/restart", "").status, 204);
    assert_eq!(rig.ask("PUT", "/connectors/src/stop", "").status, 204);
    let stopped = rig.ask("GET", status, "").body;
    assert_eq!(
        (&stopped["connector"]["state"], &stopped["tasks"]),
        (&json!("STOPPED"), &json!([]))
    );
    assert_eq!(rig.ask("GET", "/connectors/src/tasks", "").body, json!([]));
}

#[test]
fn offsets_are_altered_listed_and_reset() {
    let rig = Rig::with_source(&[]);
    rig.ask("PUT", "/connectors/src/stop", "");
    let body = r#"{"offsets":[{"partition":{"filename":"/f"},"offset":{"position":2}}]}"#;
    let altered = rig.ask("PATCH", "/connectors/src/offsets", body);
    assert_eq!(altered.status, 200);
    assert!(altered.body["message"].as_str().unwrap().contains("altered"));
    let listed: Value = serde_json::from_str(body).unwrap();
    assert_eq!(rig.ask("GET", "/connectors/src/offsets", "").body, listed);
    assert_eq!(rig.ask("DELETE", "/connectors/src/offsets", "").status, 200);
    assert_eq!(rig.ask("GET", "/connectors/src/offsets", "").body, json!({"offsets": []}));
}

#[test]
fn topics_can_be_reset_unless_switched_off() {
    let rig = Rig::with_source(&[]);
    let none = |name: &str| json!({name: {"topics": []}});
    assert_eq!(rig.ask("GET", "/connectors/src/topics", "").body, none("src"));
    assert_eq!(rig.ask("GET", "/connectors/nope/topics", "").body, none("nope"));
    assert_eq!(rig.ask("PUT", "/connectors/nope/topics/reset", "").status, 202);
    let rig = Rig::new(&[("topic.tracking.allow.reset", "false")]);
    let refused = rig.refused("PUT", "/connectors/a/topics/reset", "");
    assert_eq!(refused, (403, "Topic tracking reset is disabled.".to_owned()));
    let rig = Rig::new(&[("topic.tracking.enable", "false")]);
    let refused = rig.refused("GET", "/connectors/a/topics", "");
    assert_eq!(refused, (403, "Topic tracking is disabled.".to_owned()));
}

#[test]
fn plugins_and_validation() {
    let rig = Rig::new(&[]);
    let sink = "org.apache.kafka.connect.file.FileStreamSinkConnector";
    let listed = rig.ask("GET", "/connector-plugins", "").body;
    assert_eq!(listed[0], json!({"class": sink, "type": "sink", "version": "4.1.0"}));
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let all = rig.ask("GET", "/connector-plugins?connectorsOnly=false", "").body;
    assert_eq!(all[2]["type"], "converter");
    let keys = rig.ask("GET", "/connector-plugins/FileStreamSource/config", "").body;
    let expected = json!({"name": "topic", "type": "STRING", "required": true,
        "default_value": null, "importance": "HIGH", "documentation": "", "group": null,
        "width": "NONE", "display_name": "topic", "dependents": [], "order": -1});
    assert_eq!(keys[1], expected);
    assert_eq!(keys[3]["name"], "name");
    let path = "/connector-plugins/FileStreamSource/config/validate";
    let body = r#"{"connector.class":"FileStreamSource","name":"a","tasks.max":"0"}"#;
    let infos = rig.ask("PUT", path, body);
    assert_eq!(infos.status, 200);
    assert_eq!(infos.body["error_count"], 2);
    assert_eq!(infos.body["name"], "FileStreamSource");
    let value = json!({"name": "tasks.max", "value": "0", "recommended_values": [],
        "errors": ["Invalid value 0 for configuration tasks.max: Value must be at least 1"],
        "visible": true});
    assert_eq!(infos.body["configs"][3]["value"], value);
}

#[test]
fn loggers() {
    let rig = Rig::new(&[]);
    let root = json!({"level": "INFO", "last_modified": null});
    assert_eq!(rig.ask("GET", "/admin/loggers", "").body, json!({"root": root}));
    let put = |name: &str, level: &str| {
        let body = json!({"level": level}).to_string();
        rig.ask("PUT", &format!("/admin/loggers/{name}"), &body)
    };
    assert_eq!(put("org.x.y", "debug").body, json!(["org.x.y"]));
    assert_eq!(put("org.x", "DEBUG").body, json!(["org.x"]));
    assert_eq!(put("org.x", "TRACE").body, json!(["org.x", "org.x.y"]));
    assert_eq!(put("org.x?scope=foo", "TRACE").body, json!([]));
    assert_eq!(put("org.x?scope=cluster", "INFO").status, 204);
    let shown = rig.ask("GET", "/admin/loggers/org.x.y", "").body;
    assert_eq!(shown["level"], "INFO");
    assert!(shown["last_modified"].is_u64());
    let rig = Rig::new(&[("admin.listeners", "")]);
    assert_eq!(rig.ask("GET", "/admin/loggers", "").status, 404);
}

#[test]
fn media_types_methods_and_sizes() {
    let rig = Rig::with_source(&[]);
    let plain = HttpRequest::builder().method("POST").uri("/connectors");
    let refused = rig.send(plain.header("Content-Type", "text/plain"), "a");
    assert_eq!(refused.body["message"], "HTTP 415 Unsupported Media Type");
    let html = HttpRequest::builder().uri("/connectors").header("Accept", "text/html");
    assert_eq!(rig.send(html, "").status, 406);
    let browser = HttpRequest::builder().uri("/connectors");
    let browser = browser.header("Accept", "text/html,application/xml;q=0.9,*/*;q=0.8");
    assert_eq!(rig.send(browser, "").status, 200);
    let options = rig.ask("OPTIONS", "/connectors", "");
    assert_eq!(options.headers["allow"], "HEAD,POST,GET,OPTIONS");
    assert_eq!(options.body, json!("HEAD, POST, GET, OPTIONS"));
    let head = rig.ask("HEAD", "/connectors", "");
    assert_eq!((head.status, head.body), (200, json!("")));
    let large = " ".repeat(BODY_LIMIT + 1);
    assert_eq!(rig.ask("POST", "/connectors", &large).status, 413);
}

#[test]
fn headers_on_top() {
    let rig = Rig::new(&[
        ("response.http.headers.config", "set X-Frame-Options:DENY"),
        ("access.control.allow.origin", "http://a.org"),
        ("access.control.allow.methods", "GET,PUT"),
    ]);
    let from = |origin: &str| {
        HttpRequest::builder().method("OPTIONS").uri("/connectors").header("Origin", origin)
    };
    let preflight = from("http://a.org").header("Access-Control-Request-Method", "PUT");
    let answered = rig.send(preflight, "");
    assert_eq!(answered.headers["access-control-allow-origin"], "http://a.org");
    assert_eq!(answered.headers["access-control-allow-methods"], "GET,PUT");
    assert_eq!(answered.headers["x-frame-options"], "DENY");
    let foreign = rig.send(from("http://b.org"), "");
    assert!(!foreign.headers.contains_key("access-control-allow-origin"));
    let missing = rig.ask("GET", "/nosuch", "");
    assert_eq!(missing.headers["x-frame-options"], "DENY");
}

#[test]
fn only_known_users_come_in() {
    use millrace_herder::rest_security::{BASIC_AUTH, LOGIN_CONFIG};
    let dir = tempfile::tempdir().unwrap();
    let (jaas, passwords) = (dir.path().join("jaas"), dir.path().join("passwords"));
    std::fs::write(&passwords, "alice=secret").unwrap();
    let text = format!(
        "KafkaConnect {{ org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule \
         required file=\"{}\"; }};",
        passwords.display()
    );
    std::fs::write(&jaas, text).unwrap();
    let rig =
        Rig::new(&[("rest.extension.classes", BASIC_AUTH), (LOGIN_CONFIG, jaas.to_str().unwrap())]);
    let ask = |method: &str, path: &str, credentials: &str| {
        let request = HttpRequest::builder().method(method).uri(path);
        let request = request.header("Content-Type", "application/json");
        rig.send(request.header("Authorization", credentials), "[]")
    };
    let (alice, mallory) = ("Basic YWxpY2U6c2VjcmV0", "Basic YWxpY2U6d3Jvbmc=");
    assert_eq!(ask("GET", "/connectors", alice).status, 200);
    let refused = ask("GET", "/connectors", mallory);
    assert_eq!((refused.status, &refused.body), (401, &json!("User cannot access the resource.")));
    assert!(!refused.headers.contains_key("www-authenticate"));
    for (method, path, status) in [
        ("GET", "/metrics", 401),
        ("GET", "/openapi.json", 401),
        ("GET", "/admin/loggers", 401),
        ("OPTIONS", "/connectors", 401),
        // No resource: nobody asks who it is.
        ("GET", "/nowhere", 404),
        ("DELETE", "/connectors", 405),
        // Between workers.
        ("POST", "/connectors/a/tasks", 500),
        ("PUT", "/connectors/a/fence", 500),
    ] {
        assert_eq!(ask(method, path, mallory).status, status, "{method} {path}");
    }
}

#[test]
fn what_another_worker_can_answer_is_forwarded() {
    let leader = Rig::new(&[("listeners", "http://127.0.0.1:0")]);
    let context = Arc::clone(&leader.herder.context);
    let listeners = context.config.listeners.clone();
    let mailbox = leader.herder.mailbox.clone();
    let server = crate::serve(&listeners, mailbox, RestOptions::new(context)).unwrap();
    let url: Arc<str> = format!("http://{}/", server.bound[0]).into();
    let follower = Rig::new(&[]).with_herder(elsewhere(Some(url)));
    let created = follower.ask("POST", "/connectors", SOURCE);
    assert_eq!(created.status, 201, "{}", created.body);
    assert_eq!(created.headers["location"], "http://h:1/connectors/src");
    assert_eq!(created.body["config"]["topic"], "t1");
    leader.wait_for("/connectors/src/status", "/tasks/0/state", "RUNNING");
    let conflict = follower.refused("POST", "/connectors", SOURCE);
    assert_eq!(conflict, (409, "Connector src already exists".to_owned()));
    let restarted = follower.ask("POST", "/connectors/src/restart?includeTasks=true", "");
    assert_eq!((restarted.status, &restarted.body["name"]), (202, &json!("src")));
    let unknown = follower.refused("DELETE", "/connectors/a%20b", "");
    assert_eq!(unknown, (404, "Connector a b not found".to_owned()));
    assert_eq!(follower.ask("DELETE", "/connectors/src", "").status, 204);
    // Where it may not go on, what the herder said is the answer.
    let stays = follower.refused("DELETE", "/connectors/src?forward=false", "");
    assert_eq!(stays.0, 409);
    assert!(stays.1.contains("conflicting operation"), "{stays:?}");
    server.shutdown();
    let (status, message) = follower.refused("DELETE", "/connectors/src", "");
    assert_eq!(status, 500);
    assert!(message.starts_with("IO Error trying to forward REST request: "), "{message}");
    let unknown = Rig::new(&[]).with_herder(elsewhere(None));
    let (status, message) = unknown.refused("DELETE", "/connectors/src", "");
    assert_eq!(status, 409);
    assert!(message.contains("no known leader URL"), "{message}");
}

/// A herder that always points to another worker.
fn elsewhere(url: Option<Arc<str>>) -> impl FnMut(Request) + Send + 'static {
    move |request| match request {
        Request::Put { reply, .. } => reply.send(Err(HerderError::elsewhere(url.clone()))),
        Request::Delete { reply, .. } => reply.send(Err(HerderError::elsewhere(url.clone()))),
        Request::Restart { reply, .. } => reply.send(Err(HerderError::elsewhere(url.clone()))),
        _ => {}
    }
}

#[test]
fn two_workers_that_point_to_one_another_give_up_after_two_hops() {
    let rig = Rig::new(&[("listeners", "http://127.0.0.1:0")]);
    let context = Arc::clone(&rig.herder.context);
    let listeners = context.config.listeners.clone();
    let own = Arc::new(std::sync::OnceLock::<Arc<str>>::new());
    let (url, asked) = (Arc::clone(&own), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let mailbox = Mailbox::answered_by(move |request| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        elsewhere(url.get().cloned())(request);
    });
    let server = crate::serve(&listeners, mailbox, RestOptions::new(context)).unwrap();
    let url: Arc<str> = format!("http://{}/", server.bound[0]).into();
    own.set(Arc::clone(&url)).unwrap();
    let follower = Rig::new(&[]).with_herder(elsewhere(Some(url)));
    let (status, message) = follower.refused("DELETE", "/connectors/src", "");
    assert_eq!(status, 409);
    assert!(message.contains("conflicting operation"), "{message}");
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2, "two hops and no more");
    server.shutdown();
}

#[test]
fn requests_between_workers_need_the_clusters_signature() {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    use millrace_herder::internal_requests::{ALGORITHM_HEADER, SIGNATURE_HEADER, SessionKey};
    use millrace_herder::requests::InternalAccess;
    let key = SessionKey::generate("HmacSHA256", None, 1).unwrap();
    let sent = Arc::new(std::sync::Mutex::new(Vec::new()));
    let rig = |access: InternalAccess| {
        let sent = Arc::clone(&sent);
        Rig::new(&[]).with_herder(move |request| match request {
            Request::InternalAccess(reply) => reply.send(Ok(access.clone())),
            Request::PutTaskConfigs { name, tasks, reply } => {
                sent.lock().unwrap().push((name, tasks));
                reply.send(Ok(()));
            }
            Request::Fence { reply, .. } => reply.send(Ok(())),
            _ => {}
        })
    };
    let body = r#"[{"task.class":"T","a":1}]"#;
    let post = |rig: &Rig, signature: Option<(&str, &str)>, body: &str| {
        let mut request = HttpRequest::builder().method("POST").uri("/connectors/a%20b/tasks");
        if let Some((mac, algorithm)) = signature {
            request = request.header(SIGNATURE_HEADER, mac).header(ALGORITHM_HEADER, algorithm);
        }
        let answered = rig.send(request.header("Content-Type", "application/json"), body);
        (answered.status, answered.body["message"].as_str().unwrap_or_default().to_owned())
    };
    let mac = BASE64_STANDARD.encode(key.mac("HmacSHA256", body.as_bytes()).unwrap());
    let good = Some((mac.as_str(), "HmacSHA256"));
    let unsigned = rig(InternalAccess::default());
    assert_eq!(post(&unsigned, None, body).0, 204);
    let task =
        Config::from([("a".to_owned(), "1".to_owned()), ("task.class".to_owned(), "T".to_owned())]);
    assert_eq!(*sent.lock().unwrap(), [("a b".to_owned(), vec![task])]);
    assert_eq!(post(&unsigned, None, "").0, 500);
    assert_eq!(post(&unsigned, None, "{}").0, 500);
    assert_eq!(post(&unsigned, Some(("!", "HmacSHA256")), body).0, 400, "read in any case");
    let keyless = rig(InternalAccess { signed: true, key: None });
    let missing = post(&keyless, None, body);
    assert_eq!(missing, (400, "Internal request missing required signature".to_owned()));
    let signed = rig(InternalAccess { signed: true, key: Some(key.clone()) });
    // The standalone worker's definition has no algorithms: none is allowed.
    let (status, message) = post(&signed, good, body);
    assert_eq!(status, 400);
    assert!(message.contains("does not support the 'HmacSHA256' key signing"), "{message}");
}

#[test]
fn a_server_on_a_free_port_names_the_worker_by_it() {
    use std::io::{Read, Write};
    let rig = Rig::new(&[("listeners", "http://127.0.0.1:0")]);
    let context = Arc::clone(&rig.herder.context);
    let listeners = context.config.listeners.clone();
    let mailbox = rig.herder.mailbox.clone();
    let server = crate::serve(&listeners, mailbox, RestOptions::new(context)).unwrap();
    let port = server.bound[0].port();
    assert_ne!(port, 0);
    let created = rig.ask("POST", "/connectors", SOURCE);
    assert_eq!(created.status, 201);
    let mut socket = std::net::TcpStream::connect(server.bound[0]).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = "GET /connectors/src/status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!("\"worker_id\":\"127.0.0.1:{port}\"")), "{answer}");
    server.shutdown();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}
