//! An HTTP request in one piece, byte by byte and through the body's window: the same request.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_net::http::{RequestLimits, RequestParser};

const LIMITS: RequestLimits = RequestLimits { head_bytes: 8 << 10, body_bytes: 64 << 10 };

/// How far the bytes were taken; the request's parts, nothing while it is not whole, or the status of
/// its refusal.
type Outcome = (usize, Result<Option<(String, String, usize, Vec<u8>, bool)>, u16>);

fn receive(data: &[u8], piece: usize, window: bool) -> Outcome {
    let mut parser = RequestParser::new(LIMITS);
    let mut at = 0;
    while at < data.len() && !parser.is_done() {
        let rest = &data[at..(at + piece).min(data.len())];
        let had_head = parser.head().is_some();
        at += match parser.window().filter(|_| window) {
            Some(place) => {
                let count = place.len().min(rest.len());
                assert!(count > 0, "an empty window");
                place[..count].copy_from_slice(&rest[..count]);
                parser.advance(count);
                count
            }
            None => match parser.feed(rest) {
                Ok(taken) => {
                    let stopped = parser.is_done() || (!had_head && parser.head().is_some());
                    assert!(taken == rest.len() || stopped);
                    taken
                }
                Err(refusal) => return (at, Err(refusal.status)),
            },
        };
        assert!(parser.body().len() <= LIMITS.body_bytes);
    }
    if !parser.is_done() {
        return (at, Ok(None));
    }
    let Some(head) = parser.head() else { return (at, Ok(None)) };
    let (method, target) = (head.method().to_owned(), head.target().to_owned());
    let parts = (method, target, head.headers().count(), parser.body().to_vec(), head.keep_alive);
    parser.reset();
    assert!(!parser.has_started());
    (at, Ok(Some(parts)))
}

fuzz_target!(|data: &[u8]| {
    let whole = receive(data, data.len().max(1), false);
    for (piece, window) in [(1, false), (7, true)] {
        let other = receive(data, piece, window);
        // Where a mistake is noticed depends on the pieces; that there is one does not.
        assert_eq!(whole.1.is_err(), other.1.is_err());
        assert!(whole.1.is_err() || whole == other);
    }
});
