//! What stands before the REST API, the same on a JVM worker and on ours: https with client
//! certificates, several listeners, admin listeners of their own, users, cross-origin rules and
//! response headers.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::rig::connect::JvmWorker;
use crate::rig::kafka::{self, Kafka};
use crate::rig::process::Process;
use crate::rig::secured::{STORE_PASSWORD, certificates};
use crate::rig::worker::binary;
use crate::rig::{free_port, wait_for};

/// The headers that must agree.
const HEADERS: [&str; 9] = [
    "vary",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "x-custom",
    "cache-control",
    "location",
    "www-authenticate",
];

/// A worker's ports: http, https, admin.
struct Front<'a> {
    dir: &'a Path,
    ports: [u16; 3],
    _process: Process,
}

/// Status, headers and body, ports and the worker's own taken out; `None` where the connection was
/// refused.
type Answer = Option<(u16, Vec<String>, String)>;

impl Front<'_> {
    /// `arguments` are curl's; `HTTP`, `HTTPS` and `ADMIN` in them become the listeners.
    fn ask(&self, arguments: &[&str]) -> Answer {
        let [http, https, admin] = self.ports;
        let output = Command::new("curl")
            .args(["-s", "-i", "-m", "60"])
            .args(arguments.iter().map(|argument| {
                argument
                    .replace("HTTPS/", &format!("https://127.0.0.1:{https}/"))
                    .replace("HTTP/", &format!("http://127.0.0.1:{http}/"))
                    .replace("ADMIN/", &format!("http://127.0.0.1:{admin}/"))
            }))
            .current_dir(self.dir)
            .output()
            .expect("curl");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        for (port, name) in self.ports.iter().zip(["HTTP", "HTTPS", "ADMIN"]) {
            text = text.replace(&format!("127.0.0.1:{port}"), name);
        }
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let name = name.to_ascii_lowercase();
            let mut values: Vec<&str> = value.split(',').collect();
            if name == "access-control-allow-methods" {
                // Java's hash order.
                values.sort_unstable();
            }
            HEADERS.contains(&name.as_str()).then(|| format!("{name}: {}", values.join(",")))
        });
        let mut headers: Vec<String> = headers.collect();
        headers.sort();
        // `X-Date` is a year from now: its year is enough.
        let dated = head.lines().find(|line| line.to_ascii_lowercase().starts_with("x-date"));
        headers.extend(dated.and_then(|line| line.split(' ').nth(4)).map(str::to_owned));
        Some((status, headers, normal(body)))
    }

    fn is_up(&self) -> bool {
        self.ask(&["HTTP/connectors"]).is_some_and(|(status, ..)| status == 401)
    }
}

/// The commit and the loggers are each worker's own, the order of members Java's hash order.
fn normal(body: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(value) if value["commit"].is_string() => value["version"].to_string(),
        Ok(value) if value.get("root").is_some() => "{}".to_owned(),
        Ok(value @ serde_json::Value::Object(_)) => sorted(value).to_string(),
        _ => body.to_owned(),
    }
}

fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(object) => {
            let members: std::collections::BTreeMap<_, _> =
                object.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            serde_json::to_value(members).expect("JSON")
        }
        other => other,
    }
}

fn properties(dir: &Path, bootstrap: &str, ports: [u16; 3], name: &str) -> String {
    let [http, https, admin] = ports;
    let here = dir.display();
    format!(
        "bootstrap.servers={bootstrap}\n\
         key.converter=org.apache.kafka.connect.storage.StringConverter\n\
         value.converter=org.apache.kafka.connect.storage.StringConverter\n\
         offset.storage.file.filename={here}/{name}.offsets\n\
         listeners=http://127.0.0.1:{http},https://127.0.0.1:{https}\n\
         admin.listeners=http://127.0.0.1:{admin}\n\
         access.control.allow.origin=http://good.example,http://.*[.]wild[.]example\n\
         access.control.allow.methods=GET,PUT\n\
         response.http.headers.config=add X-Custom: one two, \
         \"set Cache-Control: no-cache, no-store\",setDate X-Date: 31540000000,add X-Custom: three\n\
         listeners.https.ssl.keystore.location={here}/server.p12\n\
         listeners.https.ssl.keystore.type=PKCS12\n\
         listeners.https.ssl.keystore.password={STORE_PASSWORD}\n\
         listeners.https.ssl.truststore.location={here}/trust.p12\n\
         listeners.https.ssl.truststore.type=PKCS12\n\
         listeners.https.ssl.truststore.password={STORE_PASSWORD}\n\
         listeners.https.ssl.client.auth=required\n\
         rest.extension.classes=\
         org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension\n"
    )
}

const ALICE: &str = "alice:secret";
const TLS: [&str; 6] = ["--cacert", "ca.pem", "--cert", "client.pem", "--key", "client.key"];
const STRANGER: [&str; 6] =
    ["--cacert", "ca.pem", "--cert", "stranger.pem", "--key", "stranger.key"];
const SINK: &str = r#"{"name":"f","config":{"connector.class":"FileStreamSink","topics":"front","file":"/tmp/millrace-front.txt"},"initial_state":"STOPPED"}"#;

/// curl's arguments.
fn requests() -> Vec<Vec<&'static str>> {
    let json = ["-H", "Content-Type: application/json"];
    let preflight = |origin, method| {
        vec!["-X", "OPTIONS", "-u", ALICE, "-H", origin, "-H", method, "HTTP/connectors"]
    };
    let mut all = vec![
        vec!["HTTP/"],
        vec!["-u", ALICE, "HTTP/"],
        vec!["-u", "alice:wrong", "HTTP/connectors"],
        vec!["-u", "bob:", "HTTP/connectors"],
        vec!["-H", "Authorization: basic YWxpY2U6c2VjcmV0", "HTTP/"],
        vec!["-H", "Authorization: Bearer YWxpY2U6c2VjcmV0", "HTTP/"],
        vec!["-H", "Authorization: Basic  YWxpY2U6c2VjcmV0", "HTTP/"],
        vec!["-H", "Authorization: Basic !!!", "HTTP/"],
        vec!["-H", "Authorization: Basic", "HTTP/"],
        vec!["HTTP/health"],
        vec!["HTTP/nowhere"],
        vec!["-X", "DELETE", "HTTP/connectors"],
        vec!["-u", ALICE, "-H", "Origin: http://good.example", "HTTP/connectors"],
        vec!["-u", ALICE, "-H", "Origin: http://bad.example", "HTTP/connectors"],
        vec!["-u", ALICE, "-H", "Origin: http://x.wild.example", "HTTP/nowhere"],
        preflight("Origin: http://good.example", "Access-Control-Request-Method: PUT"),
        preflight("Origin: http://good.example", "Access-Control-Request-Method: DELETE"),
        preflight("Origin: http://bad.example", "Access-Control-Request-Method: PUT"),
        vec!["-X", "OPTIONS", "HTTP/connectors"],
        vec!["-u", ALICE, "HTTP/admin/loggers"],
        vec!["ADMIN/admin/loggers"],
        vec!["-u", ALICE, "ADMIN/connectors"],
        vec!["ADMIN/"],
        [&["-X", "POST", "-d", "[]"], &json[..], &["HTTP/connectors/a/tasks"]].concat(),
        vec!["-X", "PUT", "HTTP/connectors/a/fence"],
        vec!["--cacert", "ca.pem", "-u", ALICE, "HTTPS/"],
    ];
    let over_tls = |more: &[&'static str]| [&TLS[..], more].concat();
    all.push(over_tls(&["-u", ALICE, "HTTPS/"]));
    all.push(over_tls(&["HTTPS/"]));
    all.push(over_tls(&["-H", json[1], "-u", ALICE, "-d", SINK, "HTTPS/connectors"]));
    all.push(over_tls(&["-u", ALICE, "HTTPS/admin/loggers"]));
    all.push([&STRANGER[..], &["-u", ALICE, "HTTPS/"]].concat());
    all.push(vec!["-u", ALICE, "-X", "DELETE", "HTTP/connectors/f"]);
    all
}

#[test]
fn listeners_users_and_headers_are_the_jvms() {
    let (theirs, kafka) = (Kafka::start(), kafka::shared());
    let dir = tempfile::tempdir().expect("a folder");
    certificates(dir.path());
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let passwords = write("passwords.properties", "alice=secret\n");
    let module =
        "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule required";
    let jaas =
        write("jaas.conf", &format!("KafkaConnect {{\n {module}\n file=\"{passwords}\";\n}};"));
    let option = format!("-Djava.security.auth.login.config={jaas}");
    let ports = || [free_port(), free_port(), free_port()];
    let (jvm_ports, our_ports) = (ports(), ports());
    let text = properties(dir.path(), &theirs.bootstrap(), jvm_ports, "jvm");
    let process = JvmWorker::process(dir.path(), &text, std::slice::from_ref(&option));
    let jvm = Front { dir: dir.path(), ports: jvm_ports, _process: process };
    let file =
        write("worker.properties", &properties(dir.path(), &kafka.bootstrap(), our_ports, "ours"));
    let mut command = Command::new(binary());
    command.env("KAFKA_OPTS", &option).arg("connect-standalone").arg(file);
    let process = Process::start(&mut command, &dir.path().join("worker.log"));
    let ours = Front { dir: dir.path(), ports: our_ports, _process: process };
    wait_for("our worker", Duration::from_secs(60), || ours.is_up());
    wait_for("the JVM worker", Duration::from_secs(120), || jvm.is_up());
    let mut wrong = Vec::new();
    let requests = requests();
    for request in &requests {
        let [theirs, mine] = [&jvm, &ours].map(|front| front.ask(request));
        if theirs != mine {
            wrong.push(format!("{request:?}\n  JVM:  {theirs:?}\n  ours: {mine:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), requests.len(), wrong.join("\n"));
}
