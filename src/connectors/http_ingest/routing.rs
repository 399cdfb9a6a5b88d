//! From a request's head to what its records are to be, or a refusal. No IO.

use std::borrow::Cow;
use std::rc::Rc;

use millrace_net::http::{Refusal, RequestHead};

use super::config::{Format, Forward, KeyFrom, Settings};

/// What every record of a request has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub topic: Rc<str>,
    /// The key, unless it is a field of each record.
    pub key: Option<Box<str>>,
    pub headers: Vec<(Box<str>, Box<str>)>,
    pub format: Format,
    pub gzip: bool,
}

/// Headers of the connection, not of the message, and those with secrets; `headers=*` leaves them out.
const OWN_HEADERS: [&str; 14] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "content-length",
    "content-encoding",
    "accept-encoding",
];

/// Looks at everything that can be refused before the body comes.
pub fn route(settings: &Settings, head: &RequestHead) -> Result<Route, Refusal> {
    if !admitted(&settings.credentials, head.header("authorization")) {
        return Err(Refusal::new(401, "the credentials are wrong or missing"));
    }
    let (path, query) = match head.target().split_once('?') {
        Some((path, query)) => (path, query),
        None => (head.target(), ""),
    };
    let Some(in_path) = matches(&settings.path, path) else {
        return Err(Refusal::new(404, "there is nothing at this path"));
    };
    if head.method() != "POST" {
        return Err(Refusal::new(405, "records are sent by POST"));
    }
    if head.length.is_none() && !head.chunked {
        return Err(Refusal::new(411, "a Content-Length or chunked coding is needed"));
    }
    let topic = topic(settings, in_path, query)?;
    let key = match &settings.key {
        KeyFrom::Header(name) => head.header(name).map(Into::into),
        KeyFrom::Query(name) => parameter(query, name).map(Into::into),
        KeyFrom::Nowhere | KeyFrom::Field(_) => None,
    };
    Ok(Route {
        topic,
        key,
        headers: forwarded(&settings.headers, head),
        format: format(settings.format, head)?,
        gzip: is_gzip(head)?,
    })
}

/// Compares in a time that does not tell how much of a secret was right.
fn admitted(credentials: &[String], shown: Option<&str>) -> bool {
    let same = |wanted: &String, shown: &str| {
        let (wanted, shown) = (wanted.as_bytes(), shown.as_bytes());
        let differ = wanted.iter().zip(shown).fold(0, |all, (a, b)| all | (a ^ b));
        std::hint::black_box(differ) == 0 && wanted.len() == shown.len()
    };
    credentials.is_empty()
        || shown.is_some_and(|shown| credentials.iter().any(|wanted| same(wanted, shown)))
}

/// Whether the path is ours; the inner value is the topic in it.
fn matches(pattern: &[Option<String>], path: &str) -> Option<Option<String>> {
    // One slash at the end makes no difference.
    let path = path.strip_prefix('/')?;
    let parts = path.strip_suffix('/').unwrap_or(path).split('/');
    let (mut topic, mut wanted) = (None, pattern.iter());
    for part in parts {
        let part = decoded(part, false)?;
        match wanted.next()? {
            Some(text) if *text == part => {}
            Some(_) => return None,
            None => topic = Some(part.into_owned()),
        }
    }
    wanted.next().is_none().then_some(topic)
}

fn topic(settings: &Settings, in_path: Option<String>, query: &str) -> Result<Rc<str>, Refusal> {
    let named =
        in_path.or_else(|| settings.topic_query.as_deref().and_then(|name| parameter(query, name)));
    let Some(name) = named else {
        let none = || Refusal::new(400, "the request names no topic");
        return settings.topic.clone().ok_or_else(none);
    };
    if settings.topic.as_deref() == Some(&*name) {
        return Ok(name.into());
    }
    if !is_topic(&name) {
        let rule = "1 to 249 of a-z, A-Z, 0-9, dot, underscore and dash";
        return Err(Refusal::new(400, format!("that is no topic's name: {rule}")));
    }
    let allowed = match settings.topics_allowed.as_slice() {
        // Kafka's own topics begin like this.
        [] => !name.starts_with("__"),
        listed => listed.contains(&name),
    };
    if allowed { Ok(name.into()) } else { Err(Refusal::new(403, "not to this topic")) }
}

fn is_topic(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=249).contains(&name.len()) && name.bytes().all(legal) && name != "." && name != ".."
}

fn format(wanted: Format, head: &RequestHead) -> Result<Format, Refusal> {
    if wanted != Format::Auto {
        return Ok(wanted);
    }
    let full = head.header("content-type").unwrap_or_default();
    let type_ = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match type_.as_str() {
        "application/json" => Ok(Format::Json),
        "application/x-ndjson"
        | "application/ndjson"
        | "application/jsonl"
        | "application/x-jsonlines" => Ok(Format::Lines),
        "application/octet-stream" => Ok(Format::Bytes),
        _ => Err(Refusal::new(
            415,
            "the Content-Type must be application/json, application/x-ndjson or \
             application/octet-stream",
        )),
    }
}

fn is_gzip(head: &RequestHead) -> Result<bool, Refusal> {
    match head.header("content-encoding").unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(false),
        "gzip" | "x-gzip" => Ok(true),
        _ => Err(Refusal::new(415, "the only Content-Encoding taken is gzip")),
    }
}

fn forwarded(forward: &Forward, head: &RequestHead) -> Vec<(Box<str>, Box<str>)> {
    let wanted = |name: &str| match forward {
        Forward::All => !OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)),
        Forward::Listed(names) => names.iter().any(|listed| name.eq_ignore_ascii_case(listed)),
    };
    if matches!(forward, Forward::Listed(names) if names.is_empty()) {
        return Vec::new();
    }
    let found = head.headers().filter(|(name, _)| wanted(name));
    found.map(|(name, value)| (name.into(), String::from_utf8_lossy(value).into())).collect()
}

/// The first parameter of that name.
fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key, true)? == name).then(|| decoded(value, true))?.map(Cow::into_owned)
    })
}

/// `%XX` decoded, and in queries `+`; `None` for what is then no text.
fn decoded(text: &str, query: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || (query && byte == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let digits = text.get(at + 1..at + 3)?;
                let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                out.push(u8::from_str_radix(digits, 16).ok().filter(|_| hex)?);
                at += 2;
            }
            b'+' if query => out.push(b' '),
            byte => out.push(*byte),
        }
        at += 1;
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use millrace_api::Config;
    use millrace_net::http::{RequestLimits, RequestParser};

    use super::*;

    fn routed(settings: &[(&str, &str)], request: &str) -> Result<Route, u16> {
        let config: Config =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = Settings::of(&config).unwrap();
        let mut parser =
            RequestParser::new(RequestLimits { head_bytes: 10_000, body_bytes: 10_000 });
        let head = format!("{}\r\n\r\n", request.replace('\n', "\r\n"));
        parser.feed(head.as_bytes()).unwrap();
        route(&settings, parser.head().unwrap()).map_err(|refusal| refusal.status)
    }

    const JSON: &str = "Host: h\nContent-Length: 2\nContent-Type: application/json; charset=utf-8";

    #[test]
    fn path_and_query_name_topic_and_key() {
        let post = |target: &str| format!("POST {target} HTTP/1.1\n{JSON}");
        let plain = routed(&[], &post("/topics/a.b-c_1/")).unwrap();
        assert_eq!((&*plain.topic, plain.format, plain.gzip), ("a.b-c_1", Format::Json, false));
        let keyed =
            [("key", "query:id"), ("path", "/in"), ("topic.query", "to"), ("topic", "dflt")];
        let route = routed(&keyed, &post("/in?x=%zz&to=%61b&id=a+b%2B")).unwrap();
        assert_eq!((&*route.topic, route.key.as_deref()), ("ab", Some("a b+")));
        assert_eq!(&*routed(&keyed, &post("/in?id=1")).unwrap().topic, "dflt");
        for (target, status) in [
            ("/topics", 404),
            ("/topics/a/b", 404),
            ("/", 404),
            ("/topics/%ff", 404),
            ("/topics/a%20b", 400),
            ("/topics/..", 400),
            ("/topics/__consumer_offsets", 403),
        ] {
            assert_eq!(routed(&[], &post(target)), Err(status), "{target}");
        }
        let listed = [("topics.allowed", "a,b"), ("topic", "c")];
        assert!(routed(&listed, &post("/topics/b")).is_ok());
        assert!(routed(&listed, &post("/topics/c")).is_ok());
        assert_eq!(routed(&listed, &post("/topics/d")), Err(403));
    }

    #[test]
    fn what_is_not_taken_has_its_status() {
        let post = |more: &str| format!("POST /topics/t HTTP/1.1\nHost: h\n{more}");
        assert_eq!(routed(&[], &format!("GET /topics/t HTTP/1.1\n{JSON}")), Err(405));
        assert_eq!(routed(&[], &post("Content-Type: application/json")), Err(411));
        assert_eq!(routed(&[], &post("Content-Length: 1")), Err(415));
        assert_eq!(routed(&[], &post("Content-Length: 1\nContent-Type: text/plain")), Err(415));
        assert_eq!(routed(&[], &post(&format!("{}\nContent-Encoding: br", &JSON[8..]))), Err(415));
        let gzip = routed(&[], &post(&format!("{}\nContent-Encoding: gzip", &JSON[8..])));
        assert!(gzip.unwrap().gzip);
        let bytes = routed(&[("body.format", "bytes")], &post("Transfer-Encoding: chunked"));
        assert_eq!(bytes.unwrap().format, Format::Bytes);
    }

    #[test]
    fn credentials_and_headers() {
        let keys = [
            ("basic.user", "u"),
            ("basic.password", "p"),
            ("bearer.token", "secret"),
            ("headers", "*"),
            ("key", "header:x-key"),
        ];
        let with = |more: &str| routed(&keys, &format!("POST /topics/t HTTP/1.1\n{JSON}{more}"));
        assert_eq!(with(""), Err(401));
        assert_eq!(with("\nAuthorization: Bearer secre"), Err(401));
        assert_eq!(with("\nAuthorization: Bearer secrets"), Err(401));
        assert!(with("\nAuthorization: Bearer secret").is_ok());
        let route = with("\nAuthorization: Basic dTpw\nX-Key: k\nX-Trace: 1").unwrap();
        assert_eq!(route.key.as_deref(), Some("k"));
        let names: Vec<_> = route.headers.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["Content-Type", "X-Key", "X-Trace"]);
        let one = routed(
            &[("headers", "x-trace")],
            &format!("POST /topics/t HTTP/1.1\n{JSON}\nX-Trace: 1"),
        );
        assert_eq!(one.unwrap().headers, [("X-Trace".into(), "1".into())]);
    }

    #[test]
    fn settings_that_do_not_fit_are_named() {
        let errors = |settings: &[(&str, &str)]| {
            let config = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Settings::of(&config)
                .unwrap_err()
                .into_iter()
                .map(|error| error.key)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            errors(&[
                ("path", "/"),
                ("basic.user", "u"),
                ("tls.key", "k"),
                ("inflight.max.bytes", "1")
            ]),
            ["topic", "basic.password", "tls.certificate", "inflight.max.bytes"]
        );
        assert_eq!(errors(&[("listener", "8088"), ("key", "field:")]), ["listener", "key"]);
    }
}
