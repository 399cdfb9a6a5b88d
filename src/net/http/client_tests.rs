//! The client against real sockets: a thread per test plays the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use super::*;
use crate::http::{Body, Scheme};
use crate::rt::on_core;

/// A connection at the server's end.
struct Peer(BufReader<TcpStream>);

/// A request as the server saw it.
#[derive(Debug)]
struct Seen {
    head: String,
    body: Vec<u8>,
}

impl Peer {
    /// The head of the next request; `None` if the client has closed.
    fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).unwrap_or(0) == 0 {
                return None;
            }
        }
        Some(head)
    }

    fn request(&mut self) -> Option<Seen> {
        let head = self.head()?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some(Seen { head, body })
    }

    fn say(&mut self, text: &str) {
        let _ = self.0.get_mut().write_all(text.as_bytes());
    }

    /// Closes with unread bytes and no linger: the client gets a reset.
    fn reset(self) {
        let _ = socket2::SockRef::from(self.0.get_ref()).set_linger(Some(Duration::ZERO));
    }
}

/// Runs `serve` with each connection, in turn, on a thread; ends with it.
fn server(serve: impl FnMut(usize, Peer) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut serve = serve;
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            serve(index, Peer(BufReader::new(stream.unwrap())));
        }
    });
    address
}

fn url(address: SocketAddr) -> Url {
    Url::parse(&format!("http://{address}/")).unwrap()
}

fn get(url: &Url) -> Request<'_> {
    Request { method: Method::Get, url, headers: &[], body: Body::Empty }
}

#[test]
fn bodies_arrive_as_they_were_given() {
    let (seen, requests) = mpsc::channel();
    let address = server(move |_, mut peer| {
        while let Some(request) = peer.request() {
            seen.send(request).unwrap();
            peer.say("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    on_core(move || async move {
        let client = Client::new(ClientOptions::default());
        let url = url(address).with_path("/bucket/key?x=1");
        let large = vec![7u8; 3 << 20];
        let lines: Vec<Vec<u8>> = (0..100).map(|n| format!("line {n}\n").into_bytes()).collect();
        let slices: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        for body in [Body::Empty, Body::Bytes(&large), Body::Slices(&slices), Body::Bytes(b"")] {
            let request = Request { method: Method::Put, url: &url, headers: &[("A", "b")], body };
            let response = client.send(request).await.unwrap();
            assert_eq!((response.status, response.body.as_slice()), (200, b"ok".as_slice()));
            assert_eq!(response.header("etag"), Some("\"e\""));
            let seen = requests.recv().unwrap();
            assert!(seen.head.starts_with("PUT /bucket/key?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
            assert!(seen.head.contains("A: b\r\n"));
            let expected = (0..).map_while(|index| body.slice(index)).collect::<Vec<_>>().concat();
            assert_eq!(seen.body, expected);
        }
        assert_eq!(client.idle_connections(), 1);
    });
}

#[test]
fn a_stale_connection_is_replaced_once_for_idempotent_requests() {
    let (counted, connections) = mpsc::channel();
    let address = server(move |index, mut peer| {
        counted.send(index).unwrap();
        // Each connection serves one request, promises to stay, hears the next one and hangs up.
        if peer.request().is_some() {
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            let _ = peer.head();
        }
    });
    on_core(move || async move {
        let client = Client::new(ClientOptions::default());
        let url = url(address);
        assert_eq!(client.send(get(&url)).await.unwrap().status, 200);
        assert_eq!(client.send(get(&url)).await.unwrap().status, 200);
        let post = Request { method: Method::Post, body: Body::Bytes(b"x"), ..get(&url) };
        let error = client.send(post).await.unwrap_err();
        assert_eq!((error.kind, error.sent), (ErrorKind::Closed, true), "{error}");
        assert!(error.is_transient());
        assert_eq!(client.idle_connections(), 0);
    });
    assert_eq!(connections.try_iter().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_connection_closed_while_idle_is_not_tried() {
    let (hung_up, closed) = mpsc::channel();
    let address = server(move |_, mut peer| {
        peer.request();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        drop(peer);
        hung_up.send(()).unwrap();
    });
    on_core(move || async move {
        let client = Client::new(ClientOptions::default());
        let url = url(address);
        let post = Request { method: Method::Post, body: Body::Bytes(b"x"), ..get(&url) };
        for _ in 0..3 {
            assert_eq!(client.send(post).await.unwrap().status, 200);
            closed.recv().unwrap();
        }
    });
}

#[test]
fn resets_and_truncated_responses() {
    let address = server(|index, mut peer| {
        peer.request();
        match index {
            0 => peer.reset(),
            1 => peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
            2 => peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n"),
            _ => peer.say("220 smtp.example.com ESMTP\r\n\r\n"),
        }
    });
    on_core(move || async move {
        let client =
            Client::new(ClientOptions { max_response_bytes: 1000, ..ClientOptions::default() });
        let url = url(address);
        for kind in [ErrorKind::Closed, ErrorKind::Closed, ErrorKind::TooLarge, ErrorKind::Protocol]
        {
            let error = client.send(get(&url)).await.unwrap_err();
            assert_eq!((error.kind, error.sent), (kind, true), "{error}");
        }
    });
}

#[test]
fn a_slow_server_meets_the_limit() {
    let (end, ended) = mpsc::channel::<()>();
    let address = server(move |_, mut peer| {
        peer.request();
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        let _ = ended.recv();
    });
    on_core(move || async move {
        let client = Client::new(ClientOptions {
            request_timeout: Duration::from_millis(50),
            ..ClientOptions::default()
        });
        let error = client.send(get(&url(address))).await.unwrap_err();
        assert_eq!((error.kind, error.sent), (ErrorKind::Timeout, true), "{error}");
        assert_eq!(client.idle_connections(), 0);
        drop(end);
    });
}

#[test]
fn nobody_listens_and_nobody_is_known() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    on_core(move || async move {
        let client = Client::new(ClientOptions::default());
        let error = client.send(get(&url(address))).await.unwrap_err();
        assert_eq!((error.kind, error.sent), (ErrorKind::Connect, false), "{error}");
        let unknown = Url::parse("http://name.invalid/").unwrap();
        let error = client.send(get(&unknown)).await.unwrap_err();
        assert_eq!((error.kind, error.sent), (ErrorKind::Resolve, false), "{error}");
        let client = Client::new(ClientOptions {
            proxy: Some("socks5://h".to_owned()),
            ..ClientOptions::default()
        });
        assert_eq!(client.send(get(&unknown)).await.unwrap_err().kind, ErrorKind::Connect);
    });
}

/// The response comes while the client still writes a body that nobody reads.
#[test]
fn an_early_answer_is_heard() {
    let (end, ended) = mpsc::channel::<()>();
    let address = server(move |index, mut peer| {
        peer.head();
        peer.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
        if index == 0 {
            // Neither reads on nor closes.
            let _ = ended.recv();
        } else {
            // Lets a part of the body come, then closes upon unread bytes, which resets.
            let mut part = vec![0; 1 << 20];
            peer.0.read_exact(&mut part).unwrap();
        }
    });
    on_core(move || async move {
        let client = Client::new(ClientOptions::default());
        let url = url(address);
        let large = vec![1; 64 << 20];
        let put = Request { method: Method::Put, body: Body::Bytes(&large), ..get(&url) };
        let response = client.send(put).await.unwrap();
        assert_eq!((response.status, response.body.as_slice()), (413, b"no!".as_slice()));
        drop(end);
        assert_eq!(client.send(put).await.unwrap().status, 413);
        assert_eq!(client.idle_connections(), 0);
    });
}

#[test]
fn the_body_waits_for_continue() {
    let address = server(|index, mut peer| {
        if index == 0 {
            let head = peer.head().unwrap();
            assert!(head.contains("Expect: 100-continue\r\n"));
            // The body may not be there yet.
            assert!(peer.0.buffer().is_empty());
            peer.say("HTTP/1.1 100 Continue\r\n\r\n");
            let mut body = [0; 4];
            peer.0.read_exact(&mut body).unwrap();
            assert_eq!(&body, b"body");
            peer.say("HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        } else if index == 1 {
            peer.head();
            peer.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
            // No body follows a refusal: the client closes.
            assert!(peer.head().is_none());
        } else {
            // Does not know the custom: waits for the body.
            peer.request();
            peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    on_core(move || async move {
        let client = Client::new(ClientOptions::default());
        let url = url(address);
        let put = Request {
            method: Method::Put,
            headers: &[("Expect", "100-continue")],
            body: Body::Bytes(b"body"),
            ..get(&url)
        };
        for status in [201, 403, 200] {
            assert_eq!(client.send(put).await.unwrap().status, status);
        }
    });
}

#[test]
fn chunked_and_close_delimited_bodies() {
    let address = server(|_, mut peer| {
        while let Some(request) = peer.request() {
            if request.head.starts_with("HEAD") {
                peer.say("HTTP/1.1 200 OK\r\nContent-Length: 7777777777\r\n\r\n");
            } else if request.head.starts_with("GET /chunked") {
                peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                let part = "0123456789".repeat(10_000);
                for _ in 0..20 {
                    peer.say(&format!("{:x}\r\n{part}\r\n", part.len()));
                }
                peer.say("0\r\n\r\n");
            } else {
                peer.say("HTTP/1.1 200 OK\r\n\r\nall of it");
                return;
            }
        }
    });
    on_core(move || async move {
        let client = Client::new(ClientOptions::default());
        let url = url(address).with_path("/chunked");
        let head = Request { method: Method::Head, ..get(&url) };
        assert_eq!(client.send(head).await.unwrap().body, b"");
        let body = client.send(get(&url)).await.unwrap().body;
        assert_eq!(body, "0123456789".repeat(200_000).into_bytes());
        assert_eq!(client.idle_connections(), 1);
        let response = client.send(get(&url.with_path("/"))).await.unwrap();
        assert_eq!(response.body, b"all of it");
        assert_eq!(client.idle_connections(), 0);
    });
}

#[test]
fn idle_connections_are_bounded_and_belong_to_their_server() {
    let answer = |mut peer: Peer| {
        std::thread::spawn(move || {
            while peer.request().is_some() {
                peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        });
    };
    let addresses = [server(move |_, peer| answer(peer)), server(move |_, peer| answer(peer))];
    on_core(move || async move {
        let client = Client::new(ClientOptions { idle_per_host: 2, ..ClientOptions::default() });
        for address in addresses {
            let tasks: Vec<_> = (0..5)
                .map(|_| {
                    let client = client.clone();
                    crate::rt::spawn(async move { client.send(get(&url(address))).await })
                })
                .collect();
            for task in tasks {
                assert_eq!(task.await.unwrap().status, 200);
            }
        }
        assert_eq!(client.idle_connections(), 4);
    });
}

#[test]
fn requests_go_through_a_proxy() {
    let (seen, requests) = mpsc::channel();
    let proxy = server(move |index, mut peer| {
        seen.send(peer.request().unwrap()).unwrap();
        peer.say(match index {
            0 => "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\n",
        });
    });
    on_core(move || async move {
        let client = Client::new(ClientOptions {
            proxy: Some(format!("http://u%40:p@{proxy}")),
            ..ClientOptions::default()
        });
        let mut url = Url::parse("http://name.invalid:81/a").unwrap();
        assert_eq!(client.send(get(&url)).await.unwrap().status, 200);
        let head = requests.recv().unwrap().head;
        assert!(head.starts_with("GET http://name.invalid:81/a HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic dUA6cA==\r\n"), "{head}");
        url.scheme = Scheme::Https;
        let error = client.send(get(&url)).await.unwrap_err();
        assert_eq!((error.kind, error.sent), (ErrorKind::Connect, false));
        assert!(error.message.contains("407"), "{error}");
        assert!(requests.recv().unwrap().head.starts_with("CONNECT name.invalid:81 HTTP/1.1\r\n"));
    });
}
