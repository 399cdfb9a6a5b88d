//! Requests in every piece that a network may cut them into.

use proptest::prelude::*;

use super::*;

const LIMITS: RequestLimits = RequestLimits { head_bytes: 4096, body_bytes: 1000 };

/// A request as received, and the bytes that are left.
type Received = (String, String, Vec<(String, Vec<u8>)>, Vec<u8>, bool);

/// Feeds `bytes` in pieces; by the window where there is one, if asked to.
fn receive(bytes: &[u8], piece: usize, window: bool) -> Result<(Option<Received>, usize), Refusal> {
    let mut parser = RequestParser::new(LIMITS);
    let mut at = 0;
    while at < bytes.len() && !parser.is_done() {
        let next = &bytes[at..(at + piece).min(bytes.len())];
        let taken = match parser.window().filter(|_| window) {
            Some(place) => {
                let count = place.len().min(next.len());
                place[..count].copy_from_slice(&next[..count]);
                parser.advance(count);
                count
            }
            None => parser.feed(next)?,
        };
        at += taken;
        assert!(parser.body().len() <= LIMITS.body_bytes);
    }
    if !parser.is_done() {
        return Ok((None, at));
    }
    let head = parser.head().unwrap();
    let headers = head.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    let (method, target, keep) =
        (head.method().to_owned(), head.target().to_owned(), head.keep_alive);
    Ok((Some((method, target, headers, parser.take_body(), keep)), at))
}

fn body(bytes: &[u8]) -> Vec<u8> {
    receive(bytes, 4096, false).unwrap().0.unwrap().3
}

fn refused(bytes: &[u8]) -> u16 {
    receive(bytes, 4096, false).unwrap_err().status
}

#[test]
fn lengths_chunks_and_what_follows() {
    let (request, taken) =
        receive(b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET", 4096, false)
            .unwrap();
    let (method, target, headers, body_, keep) = request.unwrap();
    assert_eq!((&*method, &*target, &*body_, keep), ("POST", "/a?b=c", b"abc".as_slice(), true));
    assert_eq!(headers[1], ("Content-Length".to_owned(), b"3".to_vec()));
    assert_eq!(taken, 55);
    let chunks = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3;x=y\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n";
    assert_eq!(body(chunks), b"abc0123456789");
    assert_eq!(body(b"\r\nGET / HTTP/1.0\r\n\r\n"), b"");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let with =
        |headers: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n").into_bytes();
    assert_eq!(refused(&with("Content-Length: 3\r\nContent-Length: 4")), 400);
    assert_eq!(refused(&with("Content-Length: +3")), 400);
    assert_eq!(refused(&with("Content-Length: 3\r\nTransfer-Encoding: chunked")), 400);
    assert_eq!(refused(&with("Transfer-Encoding: chunked, gzip")), 501);
    assert_eq!(refused(&with("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked")), 501);
    assert_eq!(refused(&with("Transfer-Encoding : chunked")), 400);
    assert_eq!(refused(&with("X: a\r\n b")), 400);
    assert_eq!(refused(&with("Host: other")), 400);
    assert_eq!(refused(&with("Expect: tea")), 417);
    assert_eq!(refused(&with("Content-Length: 1001")), 413);
    assert_eq!(refused(b"POST / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(refused(b"POST / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
    assert_eq!(refused(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
    let chunked = |data: &str| {
        format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{data}")
            .into_bytes()
    };
    for data in [" 3\r\nabc\r\n", "3 \r\nabc\r\n", "3\nabc\r\n", "+3\r\n", "\r\n", "3\r\nabcd\r\n"]
    {
        assert_eq!(refused(&chunked(data)), 400, "{data:?}");
    }
    assert_eq!(refused(&chunked("3E9\r\n")), 413);
    assert_eq!(refused(&chunked("FFFFFFFFFFFFFFFF\r\n")), 413);
    assert_eq!(refused(&[b'x'; 5000]), 431);
    let many: String = (0..101).map(|at| format!("h{at}: x\r\n")).collect();
    assert_eq!(refused(format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()), 431);
}

#[test]
fn a_parser_is_used_again() {
    let mut parser = RequestParser::new(LIMITS);
    for _ in 0..3 {
        let bytes =
            b"POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab";
        let head = parser.feed(bytes).unwrap();
        assert!(parser.head().unwrap().expects_continue && !parser.is_done());
        assert_eq!(parser.feed(&bytes[head..]).unwrap(), 2);
        assert_eq!((parser.body(), parser.head().unwrap().header("HOST")), (&b"ab"[..], Some("h")));
        parser.reset();
        assert!(!parser.has_started() && parser.head().is_none());
    }
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        junk in proptest::collection::vec(any::<u8>(), 0..80),
        kind in 0usize..4,
        cut in 0usize..200,
        piece in 1usize..50,
    ) {
        let start: &[u8] = [
            b"".as_slice(),
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
            b"POST / HTTP/1.1\r\nHost: h\r\n",
        ][kind];
        let mut bytes = start[..start.len().min(200 - cut)].to_vec();
        bytes.extend(junk);
        let whole = receive(&bytes, bytes.len().max(1), false);
        for window in [false, true] {
            let other = receive(&bytes, piece, window);
            match (&whole, &other) {
                (Ok(whole), Ok(other)) => prop_assert_eq!(whole, other),
                (whole, other) => prop_assert_eq!(whole.is_err(), other.is_err()),
            }
        }
    }

    #[test]
    fn chunks_are_joined(parts in proptest::collection::vec("[a-z]{1,20}", 0..8), piece in 1usize..30) {
        let mut bytes = b"PUT /p HTTP/1.1\r\nhost: h\r\ntransfer-encoding: CHUNKED\r\n\r\n".to_vec();
        for part in &parts {
            bytes.extend(format!("{:x}\r\n{part}\r\n", part.len()).bytes());
        }
        bytes.extend(b"0\r\n\r\nnext");
        let (request, taken) = receive(&bytes, piece, true).unwrap();
        prop_assert_eq!(request.unwrap().3, parts.concat().into_bytes());
        prop_assert_eq!(taken, bytes.len() - 4);
    }
}
