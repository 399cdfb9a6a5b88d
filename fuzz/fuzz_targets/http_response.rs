//! An HTTP response in one piece, byte by byte and through the body's window: the same response.
#![no_main]

use libfuzzer_sys::fuzz_target;

mod http;

fuzz_target!(|data: &[u8]| {
    let whole = http::receive(data, data.len().max(1), false);
    for (piece, window) in [(1, false), (7, true)] {
        let other = http::receive(data, piece, window);
        // Where an error is noticed depends on the pieces; that there is one does not.
        assert_eq!(whole.1, other.1);
        assert!(whole.1.is_err() || whole.0 == other.0);
    }
});
