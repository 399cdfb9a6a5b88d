//! Records joined with rows of real databases, PostgreSQL and MariaDB: asked for when they are wanted,
//! remembered for a while, waited for when the database is away.

use std::path::{Path, PathBuf};

use super::{PATIENCE, lines, samples_when, transformed, until};
use crate::rig::kafka;
use crate::rig::mariadb::MariaDb;
use crate::rig::postgres::Postgres;
use crate::rig::secured;
use crate::rig::wait_for;
use crate::rig::worker::{Worker, get, properties};

/// What all databases do alike.
trait Database {
    fn execute(&self, sql: &str);
    fn start_again(&mut self);
    fn stop(&mut self);
    /// Without the password.
    fn url(&self) -> String;
    fn url_with(&self, way_to_be_secure: &str) -> String;
}

macro_rules! databases {
    ($($name:ident),*) => {
        $(impl Database for $name {
            fn execute(&self, sql: &str) {
                self.execute(sql);
            }

            fn start_again(&mut self) {
                self.start_again();
            }

            fn stop(&mut self) {
                self.stop();
            }

            fn url(&self) -> String {
                self.url()
            }

            fn url_with(&self, way_to_be_secure: &str) -> String {
                self.url_with(way_to_be_secure)
            }
        })*
    };
}

databases!(Postgres, MariaDb);

/// What they do not: their words.
struct Dialect {
    topic: &'static str,
    query: &'static str,
    fill: &'static str,
    /// Of a key that is no number.
    bad_key: &'static str,
    no_column: &'static str,
    no_parameter: &'static str,
    wrong_password: &'static str,
    other_parameter: (&'static str, &'static str),
    /// The server's own word for how it is asked, with which query and which answers.
    over_tls: &'static str,
    ways_to_be_secure: [(&'static str, &'static str); 4],
    strictest: &'static str,
}

const POSTGRES: Dialect = Dialect {
    topic: "enrich-sql",
    query: "SELECT country, score, born FROM users WHERE id = $1 AND kind = $2;",
    fill: "CREATE TABLE users (id bigint, kind text, country text, score numeric, born date); \
         INSERT INTO users SELECT at, 'p', 'C' || at, at / 4.0, '2001-02-03' \
         FROM generate_series(1, 5000) AS at",
    bad_key: "invalid input syntax for type bigint",
    no_column: "column \"x\" does not exist",
    no_parameter: "the query has no $1 for the key",
    wrong_password: "password authentication failed",
    other_parameter: ("SELECT 1 AS one FROM users WHERE id = ?", "syntax error"),
    over_tls: "SELECT ssl::text AS over_tls FROM pg_stat_ssl \
         WHERE pid = pg_backend_pid() AND $1 <> ''",
    ways_to_be_secure: [
        ("require", "true"),
        ("verify-full", "true"),
        ("prefer", "true"),
        ("disable", "false"),
    ],
    strictest: "verify-full",
};

const MARIADB: Dialect = Dialect {
    topic: "enrich-mariadb",
    query: "SELECT country, score, born FROM users WHERE id = ? AND kind = ?;",
    // A row of the number that a key that is none is taken for.
    fill: "CREATE TABLE users (id bigint PRIMARY KEY, kind text, country text, score decimal(20, 4), \
         born date); \
         INSERT INTO users SELECT seq, 'p', CONCAT('C', seq), seq / 4.0, '2001-02-03' \
         FROM seq_1_to_5000; \
         INSERT INTO users VALUES (0, 'p', 'not yours', 1, NULL)",
    bad_key: "Truncated incorrect DECIMAL value: 'x' (1292)",
    no_column: "Unknown column 'x' in ",
    no_parameter: "the query has no ? for the key",
    wrong_password: "Access denied for user 'app'",
    other_parameter: (
        "SELECT 1 AS one FROM users WHERE id = $1",
        "a part of the key is ? here, not $1",
    ),
    over_tls: "SELECT IF(variable_value = '', 'false', 'true') AS over_tls \
         FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher' AND ? <> ''",
    ways_to_be_secure: [
        ("REQUIRED", "true"),
        ("VERIFY_IDENTITY", "true"),
        ("preferred", "true"),
        ("disabled", "false"),
    ],
    strictest: "verify-full",
};

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
fn rows_of_postgresql_are_asked_for_remembered_and_waited_for() {
    asked_for_remembered_and_waited_for(&POSTGRES, Postgres::start());
}

#[test]
fn rows_of_mariadb_are_asked_for_remembered_and_waited_for() {
    asked_for_remembered_and_waited_for(&MARIADB, MariaDb::start());
}

fn asked_for_remembered_and_waited_for(dialect: &Dialect, mut database: impl Database) {
    let (kafka, topic) = (kafka::shared(), dialect.topic);
    database.execute(dialect.fill);
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic(topic, 1);
    let url = database.url();
    let table = [
        ("transforms.users.table.sql", dialect.query),
        ("transforms.users.table.sql.url", &url),
        ("transforms.users.table.cache.ttl.ms", "2000"),
        ("transforms.users.table.cache.negative.ttl.ms", "1000"),
    ];
    let (connector, out) = sink(dir.path(), topic, &table);
    let events: String =
        (0..3000).map(|at| format!("{{\"user\":{}}}\n", at % 1000 + 4501)).collect();
    kafka.produce(topic, 0, "lz4", false, &events);
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
    let labels = format!("connector=\"{topic}\",task=\"0\",transform=\"users\"");
    let figure = |name: &str| format!("millrace_table_{name}{{{labels}}}");
    let lookups =
        |result: &str| format!("millrace_table_lookups_total{{{labels},result=\"{result}\"}}");
    let all = samples_when(worker.port, "the lookups in the metrics", |all| {
        all.get(&lookups("hit")) == Some(&1500.0) && all.get(&lookups("miss")) == Some(&1500.0)
    });
    assert!(all[&figure("queries_total")] >= 1000.0, "{all:?}");
    assert!(all[&figure("rows")] >= 1000.0, "{all:?}");
    // Rows and their absence are forgotten in time.
    database.execute("UPDATE users SET country = 'NL' WHERE id = 5000");
    database.execute("INSERT INTO users VALUES (9000, 'p', 'BE', 1.5, NULL)");
    until(
        topic,
        r#"{"user":5000,"a":1}"#,
        &out,
        r#"{"user":5000,"a":1,"country":"NL","score":1250.0}"#,
    );
    until(topic, r#"{"user":9000}"#, &out, r#"{"user":9000,"country":"BE","score":1.5}"#);
    // A key that the database cannot read fails its record alone.
    kafka.produce(topic, 0, "none", false, "{\"user\":\"x\"}\n{\"user\":9000,\"b\":1}\n");
    let last = r#"{"user":9000,"b":1,"country":"BE","score":1.5}"#;
    wait_for("the record behind a bad one", PATIENCE, || {
        lines(&out).last().is_some_and(|line| line == last)
    });
    assert!(!lines(&out).iter().any(|line| line.contains("\"x\"")));
    wait_for("the bad record in the log", PATIENCE, || {
        worker.process.log().contains(dialect.bad_key)
    });
    // The database goes away: records wait for it, none is lost.
    database.stop();
    kafka.produce(topic, 0, "none", false, "{\"user\":42}\n{\"user\":9000,\"c\":1}\n");
    wait_for("trouble in the log", PATIENCE, || {
        let status = get(worker.port, &format!("/connectors/{topic}/status"));
        status.is_some_and(|(_, status)| status["tasks"][0]["state"] == "RUNNING")
            && worker.process.log().contains("the query of database 127.0.0.1/app")
    });
    database.start_again();
    let last = r#"{"user":9000,"c":1,"country":"BE","score":1.5}"#;
    wait_for("the records that waited", PATIENCE, || {
        lines(&out).last().is_some_and(|line| line == last)
    });
    assert!(lines(&out).contains(&r#"{"user":42,"country":"C42","score":10.5}"#.to_owned()));
    assert!(!worker.process.log().contains("secret"), "the password is in the log");
}

#[test]
fn queries_of_postgresql_are_tried_and_wrong_ones_say_so() {
    tried_and_wrong_ones_say_so(&POSTGRES, &Postgres::start());
}

#[test]
fn queries_of_mariadb_are_tried_and_wrong_ones_say_so() {
    tried_and_wrong_ones_say_so(&MARIADB, &MariaDb::start());
}

fn tried_and_wrong_ones_say_so(dialect: &Dialect, database: &impl Database) {
    database.execute(dialect.fill);
    let dir = tempfile::tempdir().expect("a folder");
    let url = database.url();
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
    let (went_well, answer) =
        tried(pair, dialect.query, "secret", "{\"value\":{\"user\":\"8\"}}\n");
    assert!(went_well, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let payload =
        serde_json::json!({"user": "8", "country": "C8", "score": 2.0, "born": "2001-02-03"});
    assert_eq!(answer["value"]["payload"], payload);
    let (_, answer) = tried("value.user", dialect.query, "secret", "{\"value\":{\"user\":8}}\n");
    assert!(answer.contains("the key has 1 parts, the query 2 parameters"), "{answer}");
    let (other_query, other_words) = dialect.other_parameter;
    for (query, password, expected) in [
        ("SELECT x FROM users", "secret", dialect.no_column),
        ("SELECT 1 AS one", "secret", dialect.no_parameter),
        (other_query, "secret", other_words),
        (dialect.query, "wrong", dialect.wrong_password),
    ] {
        let (went_well, errors) = tried(pair, query, password, "");
        assert!(!went_well && errors.contains(expected), "{expected}\n{errors}");
        assert!(
            errors.contains("transforms.users: the query of database 127.0.0.1/app"),
            "{errors}"
        );
    }
}

#[test]
fn urls_and_settings_that_are_wrong_say_so() {
    let dir = tempfile::tempdir().expect("a folder");
    for (url, expected) in [
        ("postgresql://app:secret@localhost/app", "the password goes into table.sql.password"),
        ("mysql://app:secret@localhost/app", "the password goes into table.sql.password"),
        ("mysql://localhost/app", "it names no host, or no user"),
        ("mysql://app@localhost/app?ssl-mode=maybe", "ssl-mode=maybe is none of disabled, "),
        (
            "jdbc:mysql://localhost/app?password=secret",
            "\"jdbc:mysql\" is none of postgresql, postgres, mysql, mariadb",
        ),
    ] {
        let wrong = [
            ("transforms", "users"),
            ("transforms.users.type", "millrace.Enrich$Value"),
            ("transforms.users.key", "value.user"),
            ("transforms.users.table.sql", POSTGRES.query),
            ("transforms.users.table.sql.url", url),
            ("transforms.users.table.key", "id"),
        ];
        let (went_well, errors) = transformed(dir.path(), &wrong, "");
        assert!(!went_well, "{errors}");
        for expected in [
            "for configuration transforms.users.table.sql.url: ",
            expected,
            "Invalid value id for configuration transforms.users.table.key",
        ] {
            assert!(errors.contains(expected), "{expected}\n{errors}");
        }
        assert!(!errors.contains("secret"), "{errors}");
    }
}

#[test]
fn columns_of_mariadb_become_what_they_are() {
    let database = MariaDb::start();
    let dir = tempfile::tempdir().expect("a folder");
    database.execute(
        "CREATE TABLE things (id varchar(9) PRIMARY KEY, tiny tinyint, flag boolean, \
             small smallint, big bigint, most bigint unsigned, padded int(5) zerofill, \
             exact decimal(30, 10), f float, d double, one bit(1), bits bit(12), day date, \
             span time(3), at datetime(6), moment timestamp(3) NULL, y year, picked enum('a', 'b'), \
             some set('a', 'b'), note text, latin varchar(9) CHARACTER SET latin1, bytes blob, \
             three binary(3), doc json, whole uuid, ip inet6, nothing int); \
         SET time_zone = '+02:00'; \
         INSERT INTO things VALUES ('a', -7, true, -300, -9007199254740993, 9223372036854775807, \
             42, '12345678901234567890.0123456789', 1.5, 0.1, b'1', b'100000000001', '2001-02-03', \
             '-25:01:02.5', '2001-02-03 04:05:06.25', '2001-02-03 04:05:06.25', 2001, 'b', 'a,b', \
             'é\"\\n', 'é', x'00ff', 'abc', '{\"a\": [1]}', '123e4567-e89b-12d3-a456-426655440000', \
             '::1', NULL)",
    );
    let url = database.url();
    let pairs = [
        ("transforms", "things"),
        ("transforms.things.type", "millrace.Enrich$Value"),
        ("transforms.things.key", "value.id"),
        ("transforms.things.table.sql", "SELECT things.*, 5 > 4 AS more FROM things WHERE id = ?"),
        ("transforms.things.table.sql.url", &url),
        ("transforms.things.table.sql.password", "secret"),
    ];
    let (went_well, answer) = transformed(dir.path(), &pairs, "{\"value\":{\"id\":\"a\"}}\n");
    assert!(went_well, "{answer}");
    let payload = answer.split_once("\"payload\":").expect("a payload").1;
    for expected in [
        "\"tiny\":-7,\"flag\":true,\"small\":-300,\"big\":-9007199254740993,",
        "\"most\":9223372036854775807,\"padded\":42,",
        "\"f\":1.5,\"d\":0.1,\"one\":true,\"bits\":2049,\"day\":\"2001-02-03\",",
        "\"span\":\"-25:01:02.5\",\"at\":\"2001-02-03T04:05:06.25\",",
        "\"moment\":\"2001-02-03T02:05:06.25+00:00\",\"y\":2001,\"picked\":\"b\",",
        "\"some\":\"a,b\",\"note\":\"é\\\"\\n\",\"latin\":\"é\",\"bytes\":\"\\\\x00ff\",",
        "\"three\":\"\\\\x616263\",\"doc\":\"{\\\"a\\\": [1]}\",",
        "\"whole\":\"123e4567-e89b-12d3-a456-426655440000\",\"ip\":\"::1\",\"nothing\":null,",
    ] {
        assert!(payload.contains(expected), "{expected}\n{payload}");
    }
}

#[test]
fn of_many_keys_at_once_each_has_its_own_answer() {
    let (kafka, database) = (kafka::shared(), MariaDb::start());
    let dir = tempfile::tempdir().expect("a folder");
    kafka.create_topic("enrich-many", 1);
    // Text of characters that the column has not is refused.
    database.execute(
        "CREATE TABLE users (name varchar(20) CHARACTER SET latin1, place int, country text, \
             KEY (name)); \
         INSERT INTO users SELECT CONCAT('n', seq), 1, 'not this' FROM seq_1_to_600; \
         INSERT INTO users SELECT CONCAT('n', seq), 2, CONCAT('C', seq) FROM seq_1_to_600; \
         INSERT INTO users VALUES ('', 1, 'none'), ('it''s; --', 1, 'quoted')",
    );
    let url = database.url();
    let table = [
        ("transforms.users.key", "value.user"),
        ("transforms.users.fields", "country"),
        (
            "transforms.users.table.sql",
            "SELECT country FROM users WHERE name = ? ORDER BY place DESC",
        ),
        ("transforms.users.table.sql.url", &url),
    ];
    let (connector, out) = sink(dir.path(), "enrich-many", &table);
    // Three of a batch are refused: the first, one in the middle, the last.
    let keys: Vec<String> = ["ж".to_owned(), String::new(), "it's; --".to_owned()]
        .into_iter()
        .chain((1..=300).map(|at| format!("n{at}")))
        .chain(["жж".to_owned()])
        .chain((301..=600).map(|at| format!("n{at}")))
        .chain(["жжж".to_owned()])
        .collect();
    let events: String = keys.iter().map(|key| format!("{{\"user\":\"{key}\"}}\n")).collect();
    kafka.produce("enrich-many", 0, "lz4", false, &events);
    let worker = Worker::start(dir.path(), &kafka.bootstrap(), &[], &[&connector]);
    wait_for("all records", PATIENCE, || lines(&out).len() == 602);
    let expected: Vec<String> = keys
        .iter()
        .filter(|key| !key.contains('ж'))
        .map(|key| {
            let country = match key.as_str() {
                "" => "none".to_owned(),
                "it's; --" => "quoted".to_owned(),
                number => number.replace('n', "C"),
            };
            format!("{{\"user\":\"{key}\",\"country\":\"{country}\"}}")
        })
        .collect();
    assert_eq!(lines(&out), expected);
    // One that is refused before there was any answer to its asking.
    kafka.produce("enrich-many", 0, "lz4", false, "{\"user\":\"я\"}\n");
    wait_for("the refusal", PATIENCE, || {
        worker.process.log().matches("Illegal mix of collations").count() == 4
    });
    kafka.produce("enrich-many", 0, "lz4", false, "{\"user\":\"n1\"}\n");
    wait_for("the record behind it", PATIENCE, || lines(&out).len() == 603);
}

#[test]
fn postgresql_is_asked_over_tls_and_shows_a_certificate_that_is_trusted() {
    asked_over_tls(&POSTGRES, Postgres::start_with_tls);
}

#[test]
fn mariadb_is_asked_over_tls_and_shows_a_certificate_that_is_trusted() {
    asked_over_tls(&MARIADB, MariaDb::start_with_tls);
}

fn asked_over_tls<D: Database>(dialect: &Dialect, start: fn(&Path) -> D) {
    let dir = tempfile::tempdir().expect("a folder");
    secured::certificates(dir.path());
    let database = start(dir.path());
    let tried = |mode: &str, authority: &str, wait: &str| {
        let (url, authority) = (database.url_with(mode), dir.path().join(authority));
        let pairs = [
            ("transforms", "users"),
            ("transforms.users.type", "millrace.Enrich$Value"),
            ("transforms.users.key", "value.user"),
            ("transforms.users.table.sql", dialect.over_tls),
            ("transforms.users.table.sql.url", &url),
            ("transforms.users.table.sql.password", "secret"),
            ("transforms.users.table.sql.ca.file", authority.to_str().expect("a path")),
            ("transforms.users.table.load.timeout.ms", wait),
        ];
        transformed(dir.path(), &pairs, "{\"value\":{\"user\":\"8\"}}\n")
    };
    for (mode, over_tls) in dialect.ways_to_be_secure {
        let (went_well, answer) = tried(mode, "ca.pem", "20000");
        let expected = format!("\"over_tls\":\"{over_tls}\"");
        assert!(went_well && answer.contains(&expected), "{mode}: {answer}");
    }
    let (went_well, errors) = tried(dialect.strictest, "stranger.pem", "1000");
    assert!(!went_well && errors.contains("invalid peer certificate"), "{errors}");
    let (went_well, errors) = tried(dialect.strictest, "nobody.pem", "20000");
    assert!(!went_well && errors.contains("nobody.pem"), "{errors}");
}
