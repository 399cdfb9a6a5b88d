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
