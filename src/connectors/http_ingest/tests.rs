//! The task between real sockets and a worker that judges records by their text.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use millrace_api::Config;
use millrace_api::converters::{Arena, Value};
use millrace_api::source::{Outcome, SourceTask, SourceTaskContext};

use super::HttpIngestSourceTask;
use crate::test_rig::on_a_core;
use crate::text;

/// A record as the worker sees it: topic, key, value, headers.
type Seen = (String, String, String, usize);

struct Client(BufReader<TcpStream>);

impl Client {
    fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next response: status, head, body.
    fn answer(&mut self) -> (u16, String, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "closed after {head:?}");
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (status, head, String::from_utf8(body).unwrap())
    }

    fn post(&mut self, target: &str, headers: &str, body: &[u8]) -> (u16, String, String) {
        let length = body.len();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        self.send(&[head.as_bytes(), body].concat());
        self.answer()
    }

    fn lines(&mut self, body: &str) -> (u16, String) {
        let (status, _, body) = self.post("/topics/t", LINES, body.as_bytes());
        (status, body)
    }

    fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }
}

/// Lets the core get on.
#[expect(clippy::disallowed_methods, reason = "clients run on threads of their own")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

const LINES: &str = "Content-Type: application/x-ndjson\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

/// Runs the task while `client` talks to it; gives what it sent. Records with the word "refuse" or
/// "lose" in them fare so; from a poll with "hold" in it nothing is heard until "release" comes.
fn served(settings: &[(&str, &str)], client: impl FnOnce(u16) + Send + 'static) -> Vec<Seen> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = Config::from([("listener".to_owned(), format!("127.0.0.1:{port}"))]);
    config.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    let (give, take) = std::sync::mpsc::channel();
    on_a_core(move || async move {
        let context = SourceTaskContext::new("h-0", |_| None);
        let mut task = HttpIngestSourceTask::default();
        task.start(&config, context.clone()).await.unwrap();
        let talk = std::thread::spawn(move || client(port));
        let (mut poll, mut untold, mut held) = (0, Vec::new(), false);
        while !talk.is_finished() {
            let arena = Arena::new();
            let mut records = Vec::new();
            task.poll(&arena, &mut records).await.unwrap();
            if records.is_empty() {
                continue;
            }
            let texts: Vec<_> = records
                .iter()
                .map(|source| {
                    let [mut key, mut value] = [Vec::new(), Vec::new()];
                    if !matches!(source.record.key.value, Value::Null) {
                        text::write_string(&source.record.key.value, &mut key);
                    }
                    text::write_string(&source.record.value.value, &mut value);
                    let [key, value] = [key, value].map(|bytes| String::from_utf8(bytes).unwrap());
                    (source.record.topic.to_owned(), key, value, source.record.headers.len())
                })
                .collect();
            let places = |word| {
                let found = texts.iter().enumerate().filter(|(_, seen)| seen.2.contains(word));
                found.map(|(at, _)| at as u32).collect::<Vec<_>>()
            };
            untold.push((places("refuse"), places("lose")));
            held = (held || !places("hold").is_empty()) && places("release").is_empty();
            if !held {
                for (refused, lost) in untold.drain(..) {
                    context.tell(Outcome { poll, refused: &refused, lost: &lost, offsets: &[] });
                    poll += 1;
                }
            }
            for text in texts {
                give.send(text).unwrap();
            }
        }
        task.stop().await;
        talk.join().unwrap();
    });
    take.into_iter().collect()
}

fn values(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|one| one.2.as_str()).collect()
}

#[test]
fn each_format_and_the_count_of_what_was_taken() {
    let seen = served(&[("key", "field:id.n"), ("headers", "x-a")], |port| {
        let mut client = Client::new(port);
        assert_eq!(
            client.lines("{\"id\":{\"n\":7}}\n\r\n [1] \n\"s\""),
            (200, r#"{"count":3}"#.into())
        );
        let (status, head, _) = client.post("/topics/u", JSON, b" {\"a\":\n1} ");
        assert_eq!((status, head.contains("Connection: close")), (200, false));
        let bytes = "Content-Type: application/octet-stream\r\nX-A: 1\r\n";
        assert_eq!(client.post("/topics/v", bytes, b"raw").0, 200);
        assert_eq!(client.lines(""), (200, r#"{"count":0}"#.into()));
        let chunked = format!(
            "POST /topics/t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n{LINES}\r\n\
             2\r\n1\n\r\n1\r\n2\r\n0\r\n\r\n"
        );
        client.send(chunked.as_bytes());
        assert_eq!(client.answer().2, r#"{"count":2}"#);
    });
    assert_eq!(values(&seen), ["{\"id\":{\"n\":7}}", "[1]", "s", "{\"a\":\n1}", "raw", "1", "2"]);
    assert_eq!((seen[0].1.as_str(), seen[1].1.as_str(), seen[4].3), ("7", "", 1));
    assert_eq!((seen[3].0.as_str(), seen[4].0.as_str()), ("u", "v"));
}

#[test]
fn rubbish_is_refused_whole_and_with_its_place() {
    let seen = served(&[("record.max.bytes", "50"), ("records.max", "3")], |port| {
        let mut client = Client::new(port);
        let (status, body) = client.lines("{\"a\":1}\n\n{\"a\":nope}\n{}");
        assert_eq!(status, 400);
        assert!(body.contains(r#""record":3,"byte":14"#), "{body}");
        let (status, body) = client.lines(&format!("1\n\"{}\"", "x".repeat(60)));
        assert_eq!(status, 413);
        assert!(body.contains(r#""record":2,"byte":2"#), "{body}");
        assert_eq!(client.lines("1\n2\n3\n4").0, 413);
        assert_eq!(client.post("/topics/t", JSON, b"{} {}").0, 400);
        assert_eq!(client.post("/topics/t", JSON, b" ").0, 400);
        assert_eq!(client.post("/elsewhere", JSON, b"{}").0, 404);
        let gzip = format!("{LINES}Content-Encoding: gzip\r\n");
        assert_eq!(client.post("/topics/t", &gzip, b"no gzip").0, 400);
        // The connection was of use all the while.
        assert_eq!(client.lines("\"good\"").0, 200);
        client.send(b"GET /topics/t HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/9.1\r\n\r\n");
        let (status, head, _) = client.answer();
        assert!(status == 405 && head.contains("Allow: POST"), "{head}");
        assert_eq!(client.answer().0, 505);
        assert!(client.is_closed());
    });
    assert_eq!(values(&seen), ["good"]);
}

#[test]
fn what_becomes_of_a_request_is_its_own_affair() {
    let seen = served(&[("ack.timeout.ms", "300")], |port| {
        let mut clients: Vec<_> = (0..4).map(|_| Client::new(port)).collect();
        let bodies = ["\"a\"\n\"refuse\"\n", "\"b\"\n", "\"lose\"\n", "\"c\"\n\"d\"\n"];
        for (client, body) in clients.iter_mut().zip(bodies) {
            let length = body.len();
            client.send(
                format!("POST /topics/t HTTP/1.1\r\nHost: h\r\n{LINES}Content-Length: {length}\r\n\r\n{body}")
                    .as_bytes(),
            );
        }
        let answers: Vec<_> = clients.iter_mut().map(Client::answer).collect();
        let statuses: Vec<_> = answers.iter().map(|answer| answer.0).collect();
        assert_eq!(statuses, [422, 200, 503, 200]);
        assert!(answers[0].2.contains(r#""record":2"#), "{}", answers[0].2);
        assert!(answers[2].1.contains("Retry-After: 1"));
        let (status, body) = clients[0].lines("\"hold\"");
        assert!(status == 503 && body.contains("300 ms"), "{body}");
    });
    assert_eq!(seen.len(), 7);
}

#[test]
fn a_request_larger_than_a_poll_is_sent_in_several() {
    let seen = served(&[], |port| {
        let body: String = (0..9_500).map(|at| format!("{at}\n")).collect();
        assert_eq!(Client::new(port).lines(&body), (200, r#"{"count":9500}"#.into()));
    });
    assert!(seen.iter().enumerate().all(|(at, one)| one.2 == at.to_string()));
    assert_eq!(seen.len(), 9_500);
}

#[test]
fn gzip_is_inflated_within_the_bound() {
    let seen = served(&[("body.max.bytes", "100000"), ("inflight.max.bytes", "150000")], |port| {
        let packed = |text: &str| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let gzip = format!("{LINES}Content-Encoding: gzip\r\n");
        let mut client = Client::new(port);
        let twice = [packed("1\n2\n"), packed("3\n")].concat();
        assert_eq!(client.post("/topics/t", &gzip, &twice).2, r#"{"count":3}"#);
        let bomb = packed(&"1\n".repeat(5_000_000));
        assert!(bomb.len() < 50_000);
        assert_eq!(client.post("/topics/t", &gzip, &bomb).0, 413);
        assert_eq!(client.post("/topics/t", &gzip, &twice[..twice.len() - 4]).0, 400);
        assert_eq!(client.lines("4").0, 200);
    });
    assert_eq!(values(&seen), ["1", "2", "3", "4"]);
}

#[test]
fn back_pressure_and_bounds_are_told_and_pass() {
    let keys = [
        ("body.max.bytes", "1000"),
        ("inflight.max.bytes", "1500"),
        ("ack.timeout.ms", "700"),
        ("connections.max", "3"),
        ("retry.after.seconds", "9"),
        ("header.timeout.ms", "300"),
        ("bearer.token", "s"),
    ];
    served(&keys, |port| {
        let auth = format!("{LINES}Authorization: Bearer s\r\n");
        let fat = format!("\"hold{}\"", "x".repeat(900));
        let mut first = Client::new(port);
        let head = format!("POST /topics/t HTTP/1.1\r\nHost: h\r\n{auth}");
        first.send(format!("{head}Content-Length: {}\r\n\r\n{fat}", fat.len()).as_bytes());
        pause(Duration::from_millis(100));
        let mut second = Client::new(port);
        let (status, head_, _) = second.post("/topics/t", &auth, fat.as_bytes());
        assert!(status == 429 && head_.contains("Retry-After: 9"), "{head_}");
        assert_eq!(first.answer().0, 503);
        assert_eq!(second.post("/topics/t", &auth, b"\"release\"").0, 200);
        let thin = fat.replace("hold", "held");
        assert_eq!(second.post("/topics/t", &auth, thin.as_bytes()).0, 200);
        let (status, head_, _) = second.post("/topics/t", LINES, b"1");
        assert!(status == 401 && head_.contains("WWW-Authenticate: Bearer"), "{head_}");
        second.send(format!("{head}Content-Length: 1001\r\n\r\n").as_bytes());
        assert_eq!(second.answer().0, 413);
        assert!(second.is_closed());
        drop(second);
        let mut slow = Client::new(port);
        slow.send(b"POST /topics/t HTTP/1.1\r\nHo");
        assert_eq!(slow.answer().0, 408);
        drop((first, slow));
        // The connections before these are gone when the server has seen it.
        let mut tries = 0;
        let mut crowd = vec![loop {
            let mut one = Client::new(port);
            if one.post("/topics/t", &auth, b"1").0 == 200 {
                break one;
            }
            tries += 1;
            assert!(tries < 100, "no connection is ever free again");
            pause(Duration::from_millis(50));
        }];
        crowd.extend((0..4).map(|_| Client::new(port)));
        pause(Duration::from_millis(100));
        let statuses: Vec<_> =
            crowd.iter_mut().map(|one| one.post("/topics/t", &auth, b"1").0).collect();
        assert!(statuses.contains(&503) && statuses.contains(&200), "{statuses:?}");
    });
}

#[test]
fn a_stop_answers_what_waits_and_lets_the_idle_go() {
    let (give, take) = std::sync::mpsc::channel();
    served(&[], move |port| {
        let mut idle = Client::new(port);
        assert_eq!(idle.lines("1").0, 200);
        let mut waiting = Client::new(port);
        let body = "\"hold\"";
        let length = body.len();
        waiting.send(
            format!("POST /topics/t HTTP/1.1\r\nHost: h\r\n{LINES}Content-Length: {length}\r\n\r\n{body}")
                .as_bytes(),
        );
        pause(Duration::from_millis(100));
        give.send((idle, waiting)).unwrap();
    });
    let (mut idle, mut waiting) = take.recv().unwrap();
    let (status, head, _) = waiting.answer();
    assert!(status == 503 && head.contains("Connection: close"), "{head}");
    assert!(idle.is_closed());
}
