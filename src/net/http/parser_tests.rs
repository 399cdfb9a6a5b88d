//! Whole responses, in one piece and split anywhere; and bytes that are no response.

use proptest::prelude::*;

use super::*;

const MAX: usize = 1 << 20;

/// Feeds `pieces`, through the window where there is one if `windowed`, then closes. The response, the
/// bytes left over, and whether the connection may be used again.
fn parse(
    pieces: &[&[u8]],
    bodiless: bool,
    windowed: bool,
) -> Result<(Response, Vec<u8>, bool), ParseError> {
    let mut parser = ResponseParser::new(bodiless, MAX);
    let mut left = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !parser.is_done() {
            let lent = if windowed { parser.window()? } else { None };
            let taken = match lent {
                Some(window) => {
                    let count = window.len().min(rest.len());
                    window[..count].copy_from_slice(&rest[..count]);
                    parser.advance(count)?;
                    count
                }
                // A windowless read is short at the window's start only if the parser is done.
                None if windowed => parser.feed(&rest[..1])?,
                None => parser.feed(rest)?,
            };
            rest = &rest[taken..];
        }
        left.extend_from_slice(rest);
    }
    if !parser.is_done() {
        parser.close()?;
    }
    assert!(parser.is_done());
    let reusable = parser.keeps_alive();
    Ok((parser.into_response(), left, reusable))
}

fn whole(text: &str) -> Result<(Response, Vec<u8>, bool), ParseError> {
    parse(&[text.as_bytes()], false, false)
}

/// A response, its body, whether the connection lives, and how many bytes are left over.
const RESPONSES: &[(&str, &str, bool, usize)] = &[
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true, 0),
    ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello!", "hello", true, 1),
    ("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "", true, 0),
    ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "ok", true, 0),
    ("\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", true, 0),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "", true, 0),
    ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "", true, 0),
    ("HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end", false, 0),
    ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false, 0),
    ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", "ok", true, 0),
    ("HTTP/1.1 200 OK\r\nConnection: a, Close\r\nContent-Length: 2\r\n\r\nok", "ok", false, 0),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;ext=\"x\"\r\n!\r\n0\r\n\r\n",
        "hello!",
        true,
        0,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n00a \r\n0123456789\r\n0\r\nT: v\r\nU: w\r\n\r\nHTTP",
        "0123456789",
        true,
        4,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "x",
        false,
        0,
    ),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzz", "zz", false, 0),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\n1",
        "1",
        true,
        0,
    ),
];

#[test]
fn whole_responses() {
    for (text, body, reusable, left) in RESPONSES {
        for windowed in [false, true] {
            let (response, rest, alive) = parse(&[text.as_bytes()], false, windowed)
                .unwrap_or_else(|e| panic!("{text}: {e:?}"));
            assert_eq!(response.body, body.as_bytes(), "{text}");
            assert_eq!((alive, rest.len()), (*reusable, *left), "{text}");
        }
    }
    let (response, ..) = whole(RESPONSES[15].0).unwrap();
    assert_eq!(response.status, 201);
    assert_eq!(response.headers, [("Content-Length".to_owned(), "1".to_owned())]);
    let (response, rest, alive) =
        parse(&[b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"], true, false).unwrap();
    assert_eq!((response.header("content-length"), rest.len(), alive), (Some("99"), 0, true));
}

#[test]
fn split_at_every_byte() {
    for (text, body, reusable, left) in RESPONSES {
        let bytes = text.as_bytes();
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            let (response, rest, alive) = parse(&[head, tail], false, false)
                .unwrap_or_else(|e| panic!("{text} at {at}: {e:?}"));
            assert_eq!(response.body, body.as_bytes(), "{text} at {at}");
            assert_eq!((alive, rest.len()), (*reusable, *left), "{text} at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(parse(&single, false, false).unwrap().0.body, body.as_bytes(), "{text}");
    }
}

#[test]
fn cut_short() {
    for (text, _, _, left) in RESPONSES {
        let end = text.len() - left;
        let head = text.find("\r\n\r\n").unwrap_or(0) + 4;
        for at in 0..end {
            let until_close = text.contains("until the end") || text.contains("zz");
            let outcome = parse(&[&text.as_bytes()[..at]], false, false);
            match outcome {
                Err(error) => assert_eq!(error.kind, ErrorKind::Closed, "{text} at {at}"),
                Ok(_) => assert!(until_close && at >= head, "{text} at {at}"),
            }
        }
    }
}

#[test]
fn refused() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (text, kind) in [
        ("SSH-2.0-OpenSSH\r\n\r\n".to_owned(), ErrorKind::Protocol),
        ("\r\n\r\n\r\n\r\n".to_owned(), ErrorKind::Protocol),
        ("HTTP/2.0 200 OK\r\n\r\n".to_owned(), ErrorKind::Protocol),
        ("HTTP/1.1 999 OK\r\n\r\n".to_owned(), ErrorKind::Protocol),
        ("HTTP/1.1 101 Switching\r\n\r\n".to_owned(), ErrorKind::Protocol),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            ErrorKind::Protocol,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx".to_owned(), ErrorKind::Protocol),
        ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nx".to_owned(), ErrorKind::Protocol),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n".to_owned(),
            ErrorKind::Protocol,
        ),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MAX + 1), ErrorKind::TooLarge),
        (format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MAX + 1)), ErrorKind::TooLarge),
        (format!("{chunked}{:x}\r\n", MAX + 1), ErrorKind::TooLarge),
        (format!("{chunked}fffffffffffffffff\r\n"), ErrorKind::Protocol),
        (format!("{chunked}-1\r\n"), ErrorKind::Protocol),
        (format!("{chunked}\r\n"), ErrorKind::Protocol),
        (format!("{chunked}1\r\nxy\r\n"), ErrorKind::Protocol),
        (format!("{chunked}1;{}\r\n", "e".repeat(5000)), ErrorKind::Protocol),
        (format!("{chunked}0\r\n{}", "T: v\r\n".repeat(5000)), ErrorKind::Protocol),
        (format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(70_000)), ErrorKind::Protocol),
        (format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(200)), ErrorKind::Protocol),
        ("HTTP/1.1 100 Continue\r\n\r\n".repeat(20), ErrorKind::Protocol),
    ] {
        let shown = &text[..text.len().min(60)];
        assert_eq!(whole(&text).map(|_| ()).map_err(|e| e.kind), Err(kind), "{shown}");
    }
    let exact = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MAX));
    assert_eq!(whole(&exact).unwrap().0.body.len(), MAX);
}

#[test]
fn a_claimed_length_takes_no_memory() {
    let mut parser = ResponseParser::new(false, 1 << 40);
    parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
    assert_eq!(parser.window().unwrap().unwrap().len(), WINDOW_BYTES);
    assert!(parser.body.len() <= WINDOW_BYTES);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), windowed: bool) {
        let _ = parse(&[&bytes], false, windowed);
    }

    #[test]
    fn damaged_responses_never_panic(
        which in 0..RESPONSES.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        windowed: bool,
    ) {
        let mut bytes = RESPONSES[which].0.as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = parse(&[&bytes], false, windowed);
    }

    #[test]
    fn bodies_survive_any_framing(
        body in proptest::collection::vec(any::<u8>(), 0..2000),
        chunk in 1usize..300,
        cut in 1usize..300,
        framing in 0..3,
        windowed: bool,
    ) {
        let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
        match framing {
            0 => {
                bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                bytes.extend(&body);
            }
            1 => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                for part in body.chunks(chunk) {
                    bytes.extend(format!("{:X}\r\n", part.len()).bytes());
                    bytes.extend(part);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
            _ => {
                bytes.extend(b"\r\n");
                bytes.extend(&body);
            }
        }
        let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
        let (response, left, alive) = parse(&pieces, false, windowed).unwrap();
        prop_assert_eq!(response.body, body);
        prop_assert!(left.is_empty());
        prop_assert_eq!(alive, framing != 2);
    }
}
