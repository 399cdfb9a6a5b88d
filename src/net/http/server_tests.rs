//! Clients good and bad against a connection of the server's side.

use super::*;
use crate::rt::{TcpListener, on_core, sleep, spawn};

const LIMITS: RequestLimits = RequestLimits { head_bytes: 1024, body_bytes: 100_000 };

fn times(millis: u64) -> ServerTimes {
    let limit = Duration::from_millis(millis);
    ServerTimes { idle: limit, head: limit, body: limit, write: limit }
}

/// Answers every request by its method, target and body's length until something ends that.
async fn serve(socket: TcpStream, times: ServerTimes) -> &'static str {
    let mut connection = ServerConnection::accept(socket, None, LIMITS, times).await.unwrap();
    loop {
        let outcome = match connection.next_request().await {
            Ok(_) => connection.read_body(|_| Ok(())).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                let head = connection.head().unwrap();
                let (close, length) = (!head.keep_alive, connection.body().len());
                let text = format!("{} {} {length}", head.method(), head.target());
                connection.respond(200, "", text.as_bytes(), close).await.unwrap();
                if close {
                    return "asked to close";
                }
            }
            Err(NoRequest::Closed) => return "closed",
            Err(NoRequest::Broken(_)) => return "broken",
            Err(NoRequest::Refused(refusal)) => {
                let text = refusal.message.as_bytes();
                connection.respond(refusal.status, "", text, true).await.unwrap();
                return "refused";
            }
        }
    }
}

/// Sends the parts with a pause after each, and gives all that comes back until the end.
fn talk(parts: Vec<&'static [u8]>, times: ServerTimes) -> (String, &'static str) {
    on_core(move || async move {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let served = spawn(async move { serve(listener.accept().await.unwrap(), times).await });
        let mut client = TcpStream::connect(address).await.unwrap();
        for part in parts {
            // A server that has given up no longer takes them.
            let _ = client.write_all(part).await;
            sleep(Duration::from_millis(20)).await;
        }
        let (mut all, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match timeout(Duration::from_millis(300), client.read(&mut piece)).await {
                Ok(Ok(count)) if count > 0 => all.extend_from_slice(&piece[..count]),
                _ => break,
            }
        }
        let _ = client.close().await;
        drop(client);
        (String::from_utf8(all).unwrap(), served.await)
    })
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let (text, end) = talk(
        vec![
            b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHo",
            b"st: h\r\n\r\nPUT /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
            b"0\r\n\r\nGET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /5",
        ],
        times(5000),
    );
    let bodies: Vec<_> = text.split("HTTP/1.1 200 OK\r\n").map(|one| one.lines().last()).collect();
    assert_eq!(
        bodies[1..],
        [Some("POST /1 3"), Some("GET /2 0"), Some("PUT /3 2"), Some("GET /4 0")]
    );
    assert!(text.contains("Connection: close\r\n"));
    assert_eq!(end, "asked to close");
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let head: &[u8] =
        b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let (text, _) = talk(vec![head, b"ab"], times(5000));
    assert!(text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{text}");
}

#[test]
fn the_slow_are_told_and_let_go_and_the_idle_just_let_go() {
    let (text, end) =
        talk(vec![b"POST / HT", b"TP/1.1\r", b"\nHost", b": h", b"\r", b"\n"], times(50));
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert_eq!(end, "refused");
    let head: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n";
    let (text, _) = talk(vec![head, b"a", b"b", b"c", b"d", b"e"], times(50));
    assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    assert_eq!(talk(Vec::new(), times(50)), (String::new(), "closed"));
    assert_eq!(talk(vec![b"GET / HTTP/1.1\r\n"], times(2000)).1, "broken");
}

#[test]
fn a_refused_body_is_dropped_so_that_the_refusal_arrives() {
    static BODY: [u8; 300_000] = [b'x'; 300_000];
    let head: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n";
    let (text, end) = talk(vec![head, &BODY], times(5000));
    assert!(text.starts_with("HTTP/1.1 413 Content Too Large\r\n"), "{text}");
    assert_eq!(end, "refused");
}
