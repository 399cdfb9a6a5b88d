//! Requests beside those of standalone workers: what only a worker of a cluster does, or does in
//! another way.

use super::requests::Asked;

/// The group of the workers that are asked; a sink named `rest` would meet it.
pub const GROUP: &str = "connect-rest";

const SOURCE: &str = r#"{"name":"f","config":{"connector.class":"FileStreamSource","topic":"rest-parity-out","file":"/tmp/millrace-rest-parity-in.txt","tasks.max":"3"},"initial_state":"STOPPED"}"#;
const SOURCE_CONFIG: &str = r#"{"connector.class":"FileStreamSource","topic":"rest-parity-out","file":"/tmp/millrace-rest-parity-in.txt","tasks.max":"1"}"#;
/// Its converter wants a schema, which the topic's record has not.
const FAILING: &str = r#"{"name":"bad","config":{"connector.class":"FileStreamSink","topics":"rest-parity","file":"/tmp/millrace-rest-parity.txt","value.converter":"org.apache.kafka.connect.json.JsonConverter"}}"#;
const PARTITION: &str = r#""partition":{"filename":"/tmp/millrace-rest-parity-in.txt"}"#;

fn leak(text: String) -> &'static str {
    text.leak()
}

/// A source's life, stopped first, so that its offsets can be given.
pub fn source() -> Vec<Asked> {
    let offsets = |offset: &str| -> Asked {
        let body = format!(r#"{{"offsets":[{{{PARTITION},"offset":{offset}}}]}}"#);
        ("PATCH", "/connectors/f/offsets", leak(body))
    };
    vec![
        ("POST", "/connectors", SOURCE),
        ("POST", "/connectors", SOURCE),
        ("POST", "/connectors/", SOURCE),
        ("GET", "/connectors/f", ""),
        ("GET", "/connectors/f/config", ""),
        ("GET", "/connectors/f/status/", ""),
        ("GET", "/connectors/f/tasks/", ""),
        ("GET", "/connectors/f/tasks/0/status", ""),
        ("GET", "/connectors/f/topics", ""),
        ("GET", "/connectors/f/offsets", ""),
        ("POST", "/connectors/f/tasks/0/restart", ""),
        ("GET", "/connectors?expand=status", ""),
        ("GET", "/connectors?expand=info&expand=status", ""),
        ("GET", "/connectors/?expand=info&expand=nothing", ""),
        ("PATCH", "/connectors/f/offsets", r#"{"offsets":[{"offset":null}]}"#),
        ("PATCH", "/connectors/f/offsets", r#"{"offsets":[{"offset":{"position":1}}]}"#),
        (
            "PATCH",
            "/connectors/f/offsets",
            r#"{"offsets":[{"partition":{"file":"x"},"offset":{"position":1}}]}"#,
        ),
        (
            "PATCH",
            "/connectors/f/offsets",
            r#"{"offsets":[{"partition":{"filename":[1]},"offset":{"position":1}}]}"#,
        ),
        offsets("{}"),
        offsets(r#"{"position":null}"#),
        offsets(r#"{"position":"7"}"#),
        offsets(r#"{"position":-1}"#),
        offsets(r#"{"position":7.5}"#),
        offsets(r#"{"position":{}}"#),
        offsets(r#"{"position":7}"#),
        ("GET", "/connectors/f/offsets", ""),
        offsets("null"),
        ("GET", "/connectors/f/offsets", ""),
        offsets(r#"{"position":14}"#),
        ("DELETE", "/connectors/f/offsets", ""),
        ("GET", "/connectors/f/offsets/", ""),
        ("DELETE", "/connectors/f/offsets", ""),
        offsets(r#"{"position":14}"#),
        ("PUT", "/connectors/f/resume", ""),
        ("GET", "/connectors/f", ""),
        ("GET", "/connectors/f/tasks", ""),
        ("GET", "/connectors/f/status", ""),
        ("GET", "/connectors/f/tasks/0/status", ""),
        ("GET", "/connectors/f/tasks/1/status", ""),
        ("GET", "/connectors/f/topics", ""),
        ("DELETE", "/connectors/f/offsets", ""),
        ("POST", "/connectors/f/tasks/0/restart", ""),
        ("POST", "/connectors/f/tasks/1/restart", ""),
        ("POST", "/connectors/f/restart", ""),
        ("POST", "/connectors/f/restart/", ""),
        ("POST", "/connectors/f/restart?includeTasks=yes", ""),
        ("POST", "/connectors/f/restart?onlyFailed=true", ""),
        ("POST", "/connectors/f/restart?onlyFailed=true&includeTasks=true", ""),
        ("POST", "/connectors/f/restart?includeTasks=true", ""),
        ("PUT", "/connectors/f/config", SOURCE_CONFIG),
        ("PUT", "/connectors/f/config", SOURCE_CONFIG),
        ("PATCH", "/connectors/f/config", r#"{"batch.size":"10"}"#),
        ("PATCH", "/connectors/f/config", r#"{"batch.size":null}"#),
        ("PATCH", "/connectors/f/config", r#"{"batch.size":"many"}"#),
        ("PATCH", "/connectors/f/config", r#"{"exactly.once.support":"required"}"#),
        ("PATCH", "/connectors/f/config", r#"{"exactly.once.support":"perhaps"}"#),
        ("PATCH", "/connectors/f/config", r#"{"transaction.boundary":"sometimes"}"#),
        ("PATCH", "/connectors/f/config", r#"{"transaction.boundary.interval.ms":"-1"}"#),
        ("PATCH", "/connectors/f/config", "null"),
        ("GET", "/connectors/f/config", ""),
        ("PUT", "/connectors/f/pause", ""),
        ("GET", "/connectors/f/status", ""),
        ("POST", "/connectors/f/restart?includeTasks=true", ""),
        ("PUT", "/connectors/f/stop", ""),
        ("GET", "/connectors/f/offsets", ""),
        // So that it can be asked again.
        ("DELETE", "/connectors/f/offsets", ""),
        ("PUT", "/connectors/f/pause", ""),
        ("GET", "/connectors/f", ""),
        ("PUT", "/connectors/f/topics/reset", ""),
        ("GET", "/connectors/f/topics", ""),
        ("DELETE", "/connectors/f", ""),
        ("DELETE", "/connectors/f/", ""),
        ("GET", "/connectors/f/offsets", ""),
        ("GET", "/connectors/f/status", ""),
        ("GET", "/connectors/f/topics", ""),
    ]
}

/// Restarts of what has failed; names that meet the group; loggers of the whole cluster; what
/// `forward` says of who asks.
pub const CLUSTER: &[Asked] = &[
    ("POST", "/connectors", FAILING),
    ("GET", "/connectors/bad/status", ""),
    ("GET", "/connectors/bad/tasks/0/status", ""),
    ("POST", "/connectors/bad/restart?onlyFailed=true", ""),
    ("POST", "/connectors/bad/restart?includeTasks=true&onlyFailed=true", ""),
    ("GET", "/connectors/bad/status", ""),
    ("POST", "/connectors/bad/restart?includeTasks=true", ""),
    ("POST", "/connectors/bad/tasks/0/restart", ""),
    ("POST", "/connectors/bad/tasks/1/restart", ""),
    ("DELETE", "/connectors/bad", ""),
    ("POST", "/connectors/bad/restart", ""),
    ("POST", "/connectors/bad/tasks/0/restart", ""),
    ("PUT", "/connectors/bad/stop", ""),
    ("PUT", "/connectors/bad/pause?forward=true", ""),
    (
        "POST",
        "/connectors",
        r#"{"name":"rest","config":{"connector.class":"FileStreamSink","topics":"rest-parity"}}"#,
    ),
    (
        "POST",
        "/connectors",
        r#"{"name":"z","config":{"connector.class":"FileStreamSink","topics":"t","consumer.override.group.id":"connect-rest"}}"#,
    ),
    (
        "PUT",
        "/connector-plugins/FileStreamSink/config/validate",
        r#"{"connector.class":"FileStreamSink","name":"rest","topics":"t"}"#,
    ),
    ("GET", "/connector-plugins/FileStreamSource/config", ""),
    (
        "PUT",
        "/connector-plugins/FileStreamSource/config/validate",
        r#"{"connector.class":"FileStreamSource","name":"v","topic":"t"}"#,
    ),
    (
        "PUT",
        "/connector-plugins/FileStreamSource/config/validate",
        r#"{"connector.class":"FileStreamSource","name":"v","batch.size":"0","tasks.max":"x"}"#,
    ),
    ("PUT", "/connectors/nope/stop", ""),
    ("PUT", "/connectors/nope/stop/", ""),
    ("POST", "/connectors/nope/restart", ""),
    ("POST", "/connectors/nope/restart?includeTasks=true", ""),
    ("POST", "/connectors/nope/tasks/0/restart", ""),
    ("POST", "/connectors/nope/tasks/x/restart", ""),
    ("PATCH", "/connectors/nope/config", r#"{"a":"b"}"#),
    ("GET", "/?forward=true", ""),
    ("GET", "/connectors?forward=perhaps", ""),
    ("GET", "/connectors/nope?forward=true", ""),
    ("DELETE", "/connectors/nope?forward=true", ""),
    ("DELETE", "/connectors/nope?forward=false", ""),
    ("PUT", "/connectors/nope/stop?forward=true", ""),
    ("POST", "/connectors/nope/restart?forward=false&includeTasks=true", ""),
    ("PATCH", "/connectors/nope/offsets?forward=true", r#"{"offsets":[{"partition":{"a":1}}]}"#),
    ("POST", "/connectors?forward=maybe", r#"{"name":"b","config":{}}"#),
    ("PUT", "/admin/loggers/org.millrace.cluster?scope=cluster", r#"{"level":"DEBUG"}"#),
    ("GET", "/admin/loggers/org.millrace.cluster", ""),
    ("PUT", "/admin/loggers/org.millrace.cluster?scope=cluster", r#"{"level":"WARN"}"#),
    ("GET", "/admin/loggers/org.millrace.cluster", ""),
    ("PUT", "/admin/loggers/org.millrace.cluster?scope=cluster", r#"{"level":"LOUD"}"#),
    ("PUT", "/admin/loggers/org.millrace.cluster?scope=cluster", "{}"),
    ("PUT", "/admin/loggers/org.millrace.cluster?scope=cluster", "[]"),
    ("PUT", "/admin/loggers/org.millrace.cluster?scope=CLUSTER", r#"{"level":"info"}"#),
    ("PUT", "/admin/loggers/org.millrace.worker?scope=worker", r#"{"level":"debug"}"#),
    ("PUT", "/admin/loggers/org.millrace.worker?scope=worker", r#"{"level":"debug"}"#),
    ("PUT", "/admin/loggers/org.millrace.worker?scope=galaxy", r#"{"level":"error"}"#),
    ("GET", "/admin/loggers/org.millrace.worker", ""),
    ("GET", "/admin/loggers/org.millrace.worker/", ""),
    ("GET", "/health", ""),
    ("GET", "/health/?forward=true", ""),
    ("GET", "/connectors/?expand=status", ""),
    ("GET", "/connectors", ""),
];

/// Of requests between workers: method, path, body, the MAC (`-` for none), its algorithm.
pub const SIGNED: &[(&str, &str, &str, &str, &str)] = &[
    ("POST", "/connectors/nope/tasks", "[]", "-", "HmacSHA256"),
    ("POST", "/connectors/nope/tasks", "[]", "AQI=", "-"),
    ("POST", "/connectors/nope/tasks", "[]", "AQI=", "HmacSHA256"),
    ("POST", "/connectors/nope/tasks", "[{\"a\":\"b\"}]", "AQI=", "HmacSHA256"),
    ("POST", "/connectors/nope/tasks", "{}", "AQI=", "HmacSHA256"),
    ("POST", "/connectors/nope/tasks", "[]", "AQI=", "HmacNone"),
    ("POST", "/connectors/nope/tasks", "[]", "AQI=", "HmacSHA512"),
    ("POST", "/connectors/nope/tasks", "[]", "AQI", "HmacSHA256"),
    ("POST", "/connectors/nope/tasks", "[]", "AQ=", "HmacSHA256"),
    ("POST", "/connectors/nope/tasks", "[]", "AQIDB", "HmacSHA256"),
    ("POST", "/connectors/nope/tasks", "[]", "A!I=", "HmacSHA256"),
    ("POST", "/connectors/nope/tasks", "[]", "", "HmacSHA256"),
    ("POST", "/connectors/nope/tasks?forward=false", "[]", "AQI=", "HmacSHA256"),
    ("PUT", "/connectors/nope/fence", "", "AQI=", "HmacSHA256"),
    ("PUT", "/connectors/nope/fence", "", "AQI=", "HmacSHA512"),
    ("PUT", "/connectors/nope/fence/", "", "-", "-"),
];

/// Through a follower of another kind: connectors come, change, fail to change and go.
pub fn short() -> Vec<Asked> {
    let all = source();
    let asks = |(method, path, body): &&Asked| {
        *method == "DELETE" && !path.ends_with('/')
            || path.contains("/restart")
            || path.ends_with("/resume")
            || path.ends_with("/pause")
            || path.ends_with("/stop")
            || *method == "POST" && *path == "/connectors"
            || *path == "/connectors/f/config"
            || body.contains("\"position\":")
            || *method == "GET" && path.ends_with("/offsets")
    };
    let of_cluster = CLUSTER.iter().take_while(|(_, path, _)| !path.contains("validate"));
    all.iter().filter(asks).copied().chain(of_cluster.copied()).collect()
}
