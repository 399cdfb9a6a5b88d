//! The response parser, which no other crate can name, and three ways to feed it.

#[path = "../../../src/net/http/error.rs"]
#[allow(dead_code)]
mod error;
#[path = "../../../src/net/http/parser.rs"]
#[allow(dead_code)]
mod parser;

use error::ErrorKind;
use parser::ResponseParser;

/// Stands for the room's own.
#[derive(Debug, PartialEq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

const MOST: usize = 1 << 20;

/// How far the bytes were taken, and the response or why there is none.
pub type Outcome = (usize, Result<Response, ErrorKind>);

/// Fed `piece` bytes at a time; by the window, where there is one, if `window`.
pub fn receive(data: &[u8], piece: usize, window: bool) -> Outcome {
    let mut parser = ResponseParser::new(false, MOST);
    let mut at = 0;
    while at < data.len() && !parser.is_done() {
        let rest = &data[at..(at + piece).min(data.len())];
        if window {
            match parser.window() {
                Err(error) => return (at, Err(error.kind)),
                Ok(None) => {}
                Ok(Some(place)) => {
                    let count = place.len().min(rest.len());
                    assert!(count > 0, "an empty window");
                    place[..count].copy_from_slice(&rest[..count]);
                    if let Err(error) = parser.advance(count) {
                        return (at, Err(error.kind));
                    }
                    at += count;
                    continue;
                }
            }
        }
        match parser.feed(rest) {
            Ok(taken) => {
                assert!(taken <= rest.len());
                assert!(taken == rest.len() || parser.is_done());
                at += taken;
            }
            Err(error) => return (at, Err(error.kind)),
        }
    }
    match parser.close() {
        Ok(()) => {
            assert!(parser.is_done());
            let response = parser.into_response();
            assert!(response.body.len() <= MOST);
            (at, Ok(response))
        }
        Err(error) => (at, Err(error.kind)),
    }
}
