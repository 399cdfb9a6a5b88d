//! Secrets by config providers: a real OpenBao, logged into in each way, its values used and shown
//! nowhere, and taken up when they change.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::rig::vault::{ROOT, Vault};
use crate::rig::worker::{Worker, binary, worker_file};
use crate::rig::{kafka, wait_for};

const LENSES: &str = "io.lenses.connect.secrets.providers.VaultSecretProvider";
const CUSTENBORDER: &str = "com.github.jcustenborder.kafka.config.vault.VaultConfigProvider";

/// Reads what a transform's placeholder becomes: `millrace transform` resolves as a task's start does.
fn resolved(dir: &Path, provider: &[(&str, &str)], placeholder: &str) -> Result<String, String> {
    let provider: Vec<(String, &str)> = provider
        .iter()
        .map(|(key, value)| match *key {
            "class" => ("config.providers.v.class".to_owned(), *value),
            key => (format!("config.providers.v.param.{key}"), *value),
        })
        .collect();
    let mut pairs = vec![("config.providers", "v")];
    pairs.extend(provider.iter().map(|(key, value)| (key.as_str(), *value)));
    let worker = worker_file(dir, "127.0.0.1:9", &pairs);
    let connector = dir.join("connector.properties");
    let text = format!(
        "transforms=s\ntransforms.s.type=org.apache.kafka.connect.transforms.InsertField$Value\n\
         transforms.s.static.field=secret\ntransforms.s.static.value={placeholder}\n"
    );
    std::fs::write(&connector, text).expect("a file");
    std::fs::write(dir.join("in.txt"), "{\"value\":{}}\n").expect("a file");
    let input = std::fs::File::open(dir.join("in.txt")).expect("the file");
    let mut command = std::process::Command::new(binary());
    command.arg("transform").arg(&connector).arg("--worker").arg(&worker);
    command.env_remove("VAULT_ADDR").env_remove("VAULT_TOKEN").stdin(input);
    let output = command.output().expect("our binary");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let at = text.find("\"secret\":\"").map(|at| at + 10);
    let end = at.and_then(|at| text[at..].find('"').map(|end| at + end));
    at.zip(end).map(|(at, end)| text[at..end].to_owned()).ok_or(text)
}

#[test]
fn openbao_is_logged_into_and_read_in_each_way() {
    let dir = tempfile::tempdir().expect("a folder");
    let vault = Vault::start(dir.path());
    vault.ask("POST", "secret/data/a/b", &json!({"data": {"pw": "v2-secret", "n": 7}}));
    vault.ask("POST", "sys/mounts/kv1", &json!({"type": "kv", "options": {"version": "1"}}));
    vault.ask("POST", "kv1/app", &json!({"pw": "v1-secret"}));
    vault.ask("POST", "sys/mounts/team/kv", &json!({"type": "kv", "options": {"version": "2"}}));
    vault.ask("POST", "team/kv/data/app", &json!({"data": {"pw": "team-secret"}}));
    let policy = "path \"secret/data/*\" {capabilities=[\"read\"]}";
    vault.ask("POST", "sys/policies/acl/app", &json!({"policy": policy}));
    vault.ask("POST", "sys/auth/approle", &json!({"type": "approle"}));
    vault.ask("POST", "auth/approle/role/c", &json!({"token_policies": "app", "token_ttl": "1h"}));
    let role = vault.ask("GET", "auth/approle/role/c/role-id", &json!(null));
    let role = role["data"]["role_id"].as_str().expect("an id").to_owned();
    let secret = vault.ask("POST", "auth/approle/role/c/secret-id", &json!({}));
    let secret = secret["data"]["secret_id"].as_str().expect("an id").to_owned();
    vault.ask("POST", "sys/auth/userpass", &json!({"type": "userpass"}));
    let user = json!({"password": "alices", "token_policies": "app"});
    vault.ask("POST", "auth/userpass/users/alice", &user);
    vault.ask("POST", "sys/namespaces/team1", &json!({}));
    vault.ask("POST", "team1/sys/mounts/kv", &json!({"type": "kv", "options": {"version": "1"}}));
    vault.ask("POST", "team1/kv/app", &json!({"pw": "namespaced"}));
    let (url, tls_url) = (vault.url(), vault.tls_url());
    let ca = dir.path().join("ca.pem").display().to_string();
    let trust = dir.path().join("trust.p12").display().to_string();
    let ours = [("class", "millrace.VaultConfigProvider"), ("vault.address", url.as_str())];
    let token = ("vault.token", ROOT);
    let lenses =
        [("class", LENSES), ("vault.addr", url.as_str()), ("vault.auth.method", "approle")];
    let custenborder = [("class", CUSTENBORDER), ("vault.address", url.as_str())];
    let with = |base: &[(&'static str, &'_ str)], more: &[(&'static str, &'_ str)]| {
        let all = base.iter().chain(more);
        all.map(|(key, value)| (*key, (*value).to_owned())).collect::<Vec<_>>()
    };
    let tls = [("class", "millrace.VaultConfigProvider"), ("vault.address", &tls_url), token];
    let app_role = [("app.role.id", role.as_str()), ("app.role.secret.id", secret.as_str())];
    let login_by = [
        ("vault.login.by", "AppRole"),
        ("vault.role.id", role.as_str()),
        ("vault.secret.id", secret.as_str()),
    ];
    let user = [("vault.auth.method", "userpass"), ("username", "alice"), ("password", "alices")];
    for (provider, placeholder, expected) in [
        (with(&ours, &[token]), "x-${v:secret/a/b:pw}-y", "x-v2-secret-y"),
        (with(&ours, &[token]), "${v:secret/data/a/b:pw}", "v2-secret"),
        (with(&ours, &[token]), "${v:kv1/app:pw}", "v1-secret"),
        (with(&ours, &[token]), "${v:team/kv/app:pw}", "team-secret"),
        (with(&ours, &[token]), "${v:secret/a/b:none}", "${v:secret/a/b:none}"),
        (with(&ours, &[token, ("vault.prefix", "secret/a")]), "${v:b:n}", "7"),
        (with(&ours, &[token, ("vault.namespace", "team1")]), "${v:kv/app:pw}", "namespaced"),
        (with(&ours, &user), "${v:secret/a/b:pw}", "v2-secret"),
        (with(&lenses, &app_role), "${v:secret/a/b:pw}", "v2-secret"),
        (with(&custenborder, &login_by), "${v:secret/a/b:pw}", "v2-secret"),
        (with(&tls, &[("vault.pem", &ca)]), "${v:secret/a/b:pw}", "v2-secret"),
        (
            with(
                &tls,
                &[
                    ("vault.ssl.truststore.location", &trust),
                    ("vault.ssl.truststore.password", "changeit"),
                ],
            ),
            "${v:kv1/app:pw}",
            "v1-secret",
        ),
    ] {
        let provider: Vec<_> = provider.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let given = resolved(dir.path(), &provider, placeholder);
        assert_eq!(given.as_deref(), Ok(expected), "{placeholder} by {provider:?}");
    }
    for (provider, placeholder, expected) in [
        (with(&ours, &[("vault.token", "wrong")]), "", "the token is refused: permission denied"),
        (
            with(&lenses, &[app_role[0], ("app.role.secret.id", "no")]),
            "",
            "invalid role or secret ID",
        ),
        (with(&ours, &[token]), "${v:secret/none:pw}", "Vault path 'secret/none' was not found"),
        (with(&lenses, &app_role), "${v:kv1/app:pw}", "was not found or not allowed"),
        // Nobody trusts the certificate's authority.
        (with(&tls, &[]), "", "certificate"),
    ] {
        let provider: Vec<_> = provider.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let why = resolved(dir.path(), &provider, placeholder).expect_err("a refusal");
        assert!(why.contains(expected), "{provider:?} {placeholder}: {why}");
    }
}

#[test]
fn a_secret_that_changes_restarts_its_connector_and_is_shown_nowhere() {
    let kafka = kafka::shared();
    kafka.create_topic("rest-secrets", 1);
    let dir = tempfile::tempdir().expect("a folder");
    let vault = Vault::start(dir.path());
    vault.ask("POST", "sys/mounts/kv1", &json!({"type": "kv", "options": {"version": "1"}}));
    let path = |name: &str| dir.path().join(name).display().to_string();
    // A time to live of its own: two seconds.
    let put = |file: &str| vault.ask("POST", "kv1/app", &json!({"file": path(file), "ttl": "2s"}));
    put("first-secret-place");
    let url = vault.url();
    let worker = Worker::start(
        dir.path(),
        &kafka.bootstrap(),
        &[
            ("config.providers", "v"),
            ("config.providers.v.class", "millrace.VaultConfigProvider"),
            ("config.providers.v.param.vault.address", &url),
            ("config.providers.v.param.vault.token", ROOT),
        ],
        &[],
    );
    let config = json!({
        "name": "s", "connector.class": "FileStreamSink", "topics": "rest-secrets",
        "file": "${v:kv1/app:file}", "tasks.max": "1",
        "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    });
    let body = config.to_string();
    let mut shown = Vec::new();
    let validated = worker.call("PUT", "/connector-plugins/FileStreamSink/config/validate", &body);
    assert_eq!((validated.0, &validated.1["error_count"]), (200, &json!(0)), "{validated:?}");
    shown.push(validated.1);
    let wrong = body.replace("\"tasks.max\":\"1\"", "\"tasks.max\":\"${v:kv1/app:file}\"");
    let refused = worker.call("PUT", "/connectors/s/config", &wrong);
    assert_eq!(refused.0, 400, "{refused:?}");
    let told = refused.1["message"].as_str().unwrap_or_default().to_owned();
    assert!(told.contains("config provider reference failed validation"), "{told}");
    shown.push(refused.1);
    let lost = body.replace("kv1/app", "kv1/none");
    let refused = worker.call("PUT", "/connectors/s/config", &lost);
    assert_eq!(refused.0, 500, "{refused:?}");
    assert_eq!(worker.call("PUT", "/connectors/s/config", &body).0, 201);
    let reads = |file: &str, text: &str| {
        wait_for(&format!("{text} in {file}"), Duration::from_secs(60), || {
            std::fs::read_to_string(path(file)).is_ok_and(|lines| lines.contains(text))
        });
    };
    kafka.produce("rest-secrets", 0, "none", false, "one\n");
    reads("first-secret-place", "one");
    put("second-secret-place");
    wait_for("the other file", Duration::from_secs(60), || {
        Path::new(&path("second-secret-place")).exists()
    });
    kafka.produce("rest-secrets", 0, "none", false, "two\n");
    reads("second-secret-place", "two");
    for path in [
        "/connectors/s",
        "/connectors/s/config",
        "/connectors/s/tasks",
        "/connectors/s/status",
        "/connectors?expand=info&expand=status",
    ] {
        shown.push(worker.get(path).1);
    }
    let log = worker.process.log();
    assert!(log.contains("gives other values"), "{log}");
    for text in shown.iter().map(ToString::to_string).chain([log]) {
        assert!(!text.contains("secret-place"), "{text}");
    }
}
