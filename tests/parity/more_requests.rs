//! Further requests, made of lists: every endpoint with and without its slash, every plug-in that both
//! workers have, configurations with one thing good or wrong at a time.

use super::requests::Asked;

fn leak(text: String) -> &'static str {
    text.leak()
}

/// Endpoints of a connector that is not there, as the JVM's paths have them.
const ENDPOINTS: &[(&str, &str, &str)] = &[
    ("GET", "connectors/nope/config", ""),
    ("GET", "connectors/nope/status", ""),
    ("GET", "connectors/nope/tasks", ""),
    ("GET", "connectors/nope/tasks/0/status", ""),
    ("GET", "connectors/nope/topics", ""),
    ("GET", "connectors/nope/offsets", ""),
    ("PUT", "connectors/nope/pause", ""),
    ("PUT", "connectors/nope/resume", ""),
    ("PUT", "connectors/nope/topics/reset", ""),
    ("PUT", "connectors/nope/fence", ""),
    ("POST", "connectors/nope/tasks", "[]"),
    ("DELETE", "connectors/nope", ""),
    ("DELETE", "connectors/nope/offsets", ""),
    ("GET", "connector-plugins", ""),
    ("GET", "connector-plugins/FileStreamSink/config", ""),
    ("GET", "health", ""),
];

/// Methods that a path does not have.
const WRONG_METHODS: &[(&str, &[&str])] = &[
    ("/connectors/nope", &["PUT", "PATCH", "POST"]),
    ("/connectors/nope/config", &["POST", "DELETE"]),
    ("/connectors/nope/status", &["POST", "DELETE", "PATCH"]),
    ("/connectors/nope/restart", &["GET", "PUT", "DELETE"]),
    ("/connectors/nope/stop", &["GET", "POST", "DELETE"]),
    ("/connectors/nope/tasks/0/status", &["PUT", "POST"]),
    ("/connectors/nope/tasks/0/restart", &["GET", "PUT"]),
    ("/connectors/nope/topics", &["PUT", "DELETE"]),
    ("/connectors/nope/topics/reset", &["GET", "POST"]),
    ("/connectors/nope/fence", &["GET", "POST"]),
    ("/connector-plugins/FileStreamSink/config", &["POST", "DELETE"]),
    ("/connector-plugins/FileStreamSink/config/validate", &["POST", "PATCH"]),
    ("/admin/loggers/root", &["POST", "PATCH"]),
];

/// Bodies between workers that are none.
const TASKS: &[&str] = &["", "{}", "[{}]", "[null]", "[1]", "[[]]", "[{\"a\":{}}]", "x"];

/// After the package of transforms.
const TRANSFORMS: &[&str] = &[
    "Cast$Key",
    "Cast$Value",
    "DropHeaders",
    "ExtractField$Key",
    "Filter",
    "Flatten$Key",
    "Flatten$Value",
    "HeaderFrom$Key",
    "HeaderFrom$Value",
    "HoistField$Key",
    "HoistField$Value",
    "InsertField$Key",
    "InsertHeader",
    "MaskField$Value",
    "ReplaceField$Key",
    "SetSchemaMetadata$Key",
    "SetSchemaMetadata$Value",
    "TimestampConverter$Key",
    "TimestampConverter$Value",
    "ValueToKey",
];

const CONVERTERS: &[&str] = &[
    "converters.BooleanConverter",
    "converters.DoubleConverter",
    "converters.FloatConverter",
    "converters.IntegerConverter",
    "converters.ShortConverter",
    "storage.StringConverter",
];

/// Members beside class, name and topics, each checked for itself.
const SINKS: &[&str] = &[
    r#""tasks.max":"-1""#,
    r#""tasks.max":" 2 ""#,
    r#""tasks.max":"2147483648""#,
    r#""tasks.max":1.5"#,
    r#""tasks.max":true"#,
    r#""tasks.max.enforce":"false""#,
    r#""tasks.max.enforce":"no""#,
    r#""errors.retry.timeout":"-1""#,
    r#""errors.retry.timeout":"9223372036854775808""#,
    r#""errors.retry.delay.max.ms":"x""#,
    r#""errors.tolerance":"ALL""#,
    r#""errors.tolerance":"""#,
    r#""errors.log.enable":"TRUE""#,
    r#""errors.log.include.messages":"1""#,
    r#""errors.deadletterqueue.topic.name":"d""#,
    r#""errors.deadletterqueue.topic.replication.factor":"0""#,
    r#""errors.deadletterqueue.topic.replication.factor":"40000""#,
    r#""errors.deadletterqueue.context.headers.enable":"x""#,
    r#""config.action.reload":"restart""#,
    r#""config.action.reload":"""#,
    r#""file":"""#,
    r#""key.converter":"""#,
    r#""key.converter":"org.apache.kafka.connect.converters.LongConverter""#,
    r#""value.converter":"JsonConverter","value.converter.schemas.enable":"false","value.converter.schemas.cache.size":"x""#,
    r#""header.converter":"org.apache.kafka.connect.storage.StringConverter""#,
    r#""transforms":"""#,
    r#""transforms":"a,b""#,
    r#""transforms":"a","transforms.a.type":"""#,
    r#""transforms":"a","transforms.a.type":"org.apache.kafka.connect.transforms.RegexRouter","transforms.a.regex":"x","transforms.a.replacement":"y","transforms.a.predicate":"p","predicates":"p","predicates.p.type":"org.apache.kafka.connect.transforms.predicates.RecordIsTombstone""#,
    r#""transforms":"a","transforms.a.type":"org.apache.kafka.connect.transforms.MaskField$Value","transforms.a.fields":"""#,
    r#""transforms":"a","transforms.a.type":"org.apache.kafka.connect.transforms.ReplaceField$Value","transforms.a.exclude":"x""#,
    r#""transforms":"a","transforms.a.type":"org.apache.kafka.connect.transforms.InsertField$Value","transforms.a.static.field":"x","transforms.a.static.value":"y""#,
    r#""transforms":"a","transforms.a.type":"org.apache.kafka.connect.transforms.TimestampRouter""#,
    r#""predicates":"p""#,
    r#""predicates":"p,p","predicates.p.type":"org.apache.kafka.connect.transforms.predicates.RecordIsTombstone""#,
    r#""predicates":"p","predicates.p.type":"no.such.Predicate""#,
    r#""predicates":"p","predicates.p.type":"org.apache.kafka.connect.transforms.predicates.HasHeaderKey""#,
    r#""predicates":"p","predicates.p.type":"org.apache.kafka.connect.transforms.predicates.HasHeaderKey","predicates.p.name":"h""#,
    r#""consumer.override.client.id":"x""#,
    r#""some.other.key":"x","another":"y""#,
    r#""topics.regex":"""#,
];

/// All of them.
pub fn more() -> Vec<Asked> {
    let mut all: Vec<Asked> = Vec::new();
    for (method, path, body) in ENDPOINTS {
        all.push((method, leak(format!("/{path}/")), body));
        all.push((method, leak(format!("/{path}?forward=false&x=%20")), body));
    }
    for (path, methods) in WRONG_METHODS {
        all.extend(methods.iter().map(|method| (*method, *path, "{}")));
    }
    all.extend(TASKS.iter().map(|body| ("POST", "/connectors/nope/tasks", *body)));
    let config = |class: String| -> Asked {
        ("GET", leak(format!("/connector-plugins/{class}/config")), "")
    };
    let package = "org.apache.kafka.connect";
    all.extend(TRANSFORMS.iter().map(|name| config(format!("{package}.transforms.{name}"))));
    all.extend(CONVERTERS.iter().map(|name| config(format!("{package}.{name}"))));
    all.extend(
        ["/connectors/a%3Fb", "/connectors/%E2%82%AC/status"]
            .map(|path| -> Asked { ("GET", path, "") }),
    );
    for more in SINKS {
        let body =
            format!(r#"{{"connector.class":"FileStreamSink","name":"v","topics":"t",{more}}}"#);
        let path = "/connector-plugins/FileStreamSink/config/validate";
        all.push(("PUT", path, leak(body)));
    }
    all
}
