//! Records joined with rows of a real PostgreSQL database: asked for when they are wanted, remembered
//! for a while, waited for when the database is away.

use std::path::{Path, PathBuf};

use super::{PATIENCE, lines, samples_when, transformed, until};
use crate::rig::kafka;
use crate::rig::postgres::Postgres;
use crate::rig::secured;
use crate::rig::wait_for;
use crate::rig::worker::{Worker, get, properties};

const QUERY: &str = "SELECT country, score, born FROM users WHERE id = $1 AND kind = $2;";

fn filled() -> Postgres {
    let postgres = Postgres::start();
    postgres.execute(
        "CREATE TABLE users (id bigint, kind text, country text, score numeric, born date); \
         INSERT INTO users SELECT at, 'p', 'C' || at, at / 4.0, '2001-02-03' \
         FROM generate_series(1, 5000) AS at",
    );
    postgres
}

fn sink(dir: &Path, name: &str, more: &[(&str, &str)]) -> (PathBuf, PathBuf) {
    let out = dir.join(format!("{name}.txt"));
    let mut pairs = vec![
        ("name", name),
        ("connector.class", "FileStreamSink"),
        ("topics", name),
        ("file", out.to_str().expect("a path")),
        ("errors.tolerance", "all"),
        ("errors.log.enable", "true"),
        ("transforms", "users"),
        ("transforms.users.type", "millrace.Enrich"),
        ("transforms.users.key", "[value.user, 'p']"),
        ("transforms.users.fields", "country,score"),
        ("transforms.users.table.sql.password", "secret"),
    ];
    pairs.extend(more);
    (properties(dir, &format!("{name}.properties"), &pairs), out)
}

#[test]
fn rows_are_asked_for_remembered_and_waited_for() {
    let (kafka, mut postgres) = (kafka::shared(), filled());
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("enrich-sql", 1);
    let url = postgres.url();
    let table = [
        ("transforms.users.table.sql", QUERY),
        ("transforms.users.table.sql.url", &url),
        ("transforms.users.table.cache.ttl.ms", "2000"),
        ("transforms.users.table.cache.negative.ttl.ms", "1000"),
    ];
    let (connector, out) = sink(dir.path(), "enrich-sql", &table);
    let events: String =
        (0..3000).map(|at| format!("{{\"user\":{}}}\n", at % 1000 + 4501)).collect();
    kafka.produce("enrich-sql", 0, "lz4", false, &events);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("all records", PATIENCE, || lines(&out).len() == 3000);
    for (at, line) in lines(&out).iter().enumerate() {
        let user = at % 1000 + 4501;
        let score = user as f64 / 4.0;
        match user {
            ..=5000 => {
                let expected = format!(r#"{{"user":{user},"country":"C{user}","score":"#);
                let found = line.strip_prefix(&expected).and_then(|rest| rest.strip_suffix('}'));
                let found: f64 = found.and_then(|text| text.parse().ok()).expect(line);
                assert!((found - score).abs() < 1e-9, "{line}");
            }
            _ => assert_eq!(*line, format!(r#"{{"user":{user}}}"#)),
        }
    }
    let labels = "connector=\"enrich-sql\",task=\"0\",transform=\"users\"";
    let figure = |name: &str| format!("millrace_table_{name}{{{labels}}}");
    let lookups =
        |result: &str| format!("millrace_table_lookups_total{{{labels},result=\"{result}\"}}");
    let all = samples_when(worker.port, "the lookups in the metrics", |all| {
        all.get(&lookups("hit")) == Some(&1500.0) && all.get(&lookups("miss")) == Some(&1500.0)
    });
    assert!(all[&figure("queries_total")] >= 1000.0, "{all:?}");
    assert!(all[&figure("rows")] >= 1000.0, "{all:?}");
    // Rows and their absence are forgotten in time.
    postgres.execute("UPDATE users SET country = 'NL' WHERE id = 5000");
    postgres.execute("INSERT INTO users VALUES (9000, 'p', 'BE', 1, NULL)");
    until(
        "enrich-sql",
        r#"{"user":5000,"a":1}"#,
        &out,
        r#"{"user":5000,"a":1,"country":"NL","score":1250.0}"#,
    );
    until("enrich-sql", r#"{"user":9000}"#, &out, r#"{"user":9000,"country":"BE","score":1}"#);
    // A key that the database cannot read fails its record alone.
    kafka.produce("enrich-sql", 0, "none", false, "{\"user\":\"x\"}\n{\"user\":9000,\"b\":1}\n");
    let last = r#"{"user":9000,"b":1,"country":"BE","score":1}"#;
    wait_for("the record behind a bad one", PATIENCE, || {
        lines(&out).last().is_some_and(|line| line == last)
    });
    assert!(!lines(&out).iter().any(|line| line.contains("\"x\"")));
    wait_for("the bad record in the log", PATIENCE, || {
        worker.process.log().contains("invalid input syntax for type bigint")
    });
    // The database goes away: records wait for it, none is lost.
    postgres.stop();
    kafka.produce("enrich-sql", 0, "none", false, "{\"user\":42}\n{\"user\":9000,\"c\":1}\n");
    wait_for("trouble in the log", PATIENCE, || {
        let status = get(worker.port, "/connectors/enrich-sql/status");
        status.is_some_and(|(_, status)| status["tasks"][0]["state"] == "RUNNING")
            && worker.process.log().contains("the query of database 127.0.0.1/app")
    });
    postgres.start_again();
    let last = r#"{"user":9000,"c":1,"country":"BE","score":1}"#;
    wait_for("the records that waited", PATIENCE, || {
        lines(&out).last().is_some_and(|line| line == last)
    });
    assert!(lines(&out).contains(&r#"{"user":42,"country":"C42","score":10.5}"#.to_owned()));
    assert!(!worker.process.log().contains("secret"), "the password is in the log");
}

#[test]
fn queries_are_tried_and_wrong_ones_say_so() {
    let postgres = filled();
    let dir = tempfile::tempdir().expect("a folder");
    let url = postgres.url();
    let tried = |key: &str, query: &str, password: &str, input: &str| {
        let pairs = [
            ("transforms", "users"),
            ("transforms.users.type", "millrace.Enrich$Value"),
            ("transforms.users.key", key),
            ("transforms.users.table.sql", query),
            ("transforms.users.table.sql.url", &url),
            ("transforms.users.table.sql.password", password),
            ("transforms.users.table.load.timeout.ms", "20000"),
        ];
        transformed(dir.path(), &pairs, input)
    };
    let pair = "[value.user, 'p']";
    let (went_well, answer) = tried(pair, QUERY, "secret", "{\"value\":{\"user\":\"8\"}}\n");
    assert!(went_well, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let payload =
        serde_json::json!({"user": "8", "country": "C8", "score": 2.0, "born": "2001-02-03"});
    assert_eq!(answer["value"]["payload"], payload);
    let (_, answer) = tried("value.user", QUERY, "secret", "{\"value\":{\"user\":8}}\n");
    assert!(answer.contains("the key has 1 parts, the query 2 parameters"), "{answer}");
    for (query, password, expected) in [
        ("SELECT x FROM users WHERE id = $1", "secret", "column \\\"x\\\" does not exist"),
        ("SELECT 1 AS one", "secret", "the query has no $1 for the key"),
        (QUERY, "wrong", "password authentication failed"),
    ] {
        let (went_well, errors) = tried(pair, query, password, "");
        assert!(!went_well && errors.contains(&expected.replace('\\', "")), "{expected}\n{errors}");
        assert!(
            errors.contains("transforms.users: the query of database 127.0.0.1/app"),
            "{errors}"
        );
    }
    let wrong = [
        ("transforms", "users"),
        ("transforms.users.type", "millrace.Enrich$Value"),
        ("transforms.users.key", "value.user"),
        ("transforms.users.table.sql", QUERY),
        ("transforms.users.table.sql.url", "postgresql://app:secret@localhost/app"),
        ("transforms.users.table.key", "id"),
    ];
    let (went_well, errors) = transformed(dir.path(), &wrong, "");
    assert!(!went_well, "{errors}");
    for expected in [
        "transforms.users.table.sql.url",
        "the password goes into table.sql.password",
        "Invalid value id for configuration transforms.users.table.key",
    ] {
        assert!(errors.contains(expected), "{expected}\n{errors}");
    }
    assert!(!errors.contains("secret"), "{errors}");
}

#[test]
fn the_database_is_asked_over_tls_and_shows_a_certificate_that_is_trusted() {
    let dir = tempfile::tempdir().expect("a folder");
    secured::certificates(dir.path());
    let postgres = Postgres::start_with_tls(dir.path());
    let tried = |sslmode: &str, authority: &str, wait: &str| {
        let (url, authority) = (postgres.url_with(sslmode), dir.path().join(authority));
        let pairs = [
            ("transforms", "users"),
            ("transforms.users.type", "millrace.Enrich$Value"),
            ("transforms.users.key", "value.user"),
            // The server's own word for how it is asked.
            (
                "transforms.users.table.sql",
                "SELECT ssl::text AS over_tls FROM pg_stat_ssl \
                 WHERE pid = pg_backend_pid() AND $1 <> ''",
            ),
            ("transforms.users.table.sql.url", &url),
            ("transforms.users.table.sql.password", "secret"),
            ("transforms.users.table.sql.ca.file", authority.to_str().expect("a path")),
            ("transforms.users.table.load.timeout.ms", wait),
        ];
        transformed(dir.path(), &pairs, "{\"value\":{\"user\":\"8\"}}\n")
    };
    for (sslmode, expected) in [
        ("require", "\"over_tls\":\"true\""),
        ("verify-full", "\"over_tls\":\"true\""),
        ("prefer", "\"over_tls\":\"true\""),
        ("disable", "\"over_tls\":\"false\""),
    ] {
        let (went_well, answer) = tried(sslmode, "ca.pem", "20000");
        assert!(went_well && answer.contains(expected), "{sslmode}: {answer}");
    }
    let (went_well, errors) = tried("verify-full", "stranger.pem", "1000");
    assert!(!went_well && errors.contains("invalid peer certificate"), "{errors}");
    let (went_well, errors) = tried("verify-full", "nobody.pem", "20000");
    assert!(!went_well && errors.contains("nobody.pem"), "{errors}");
}
