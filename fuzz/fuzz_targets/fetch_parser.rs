//! A Fetch response in one piece and byte by byte: the same steps, and never a promise to wait for
//! what is there already.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_kafka::fetch::parser::{FetchParser, ParseError, Step};

/// The steps over `data` when `first` bytes have arrived, then `more` at a time.
fn steps(data: &[u8], first: usize, more: usize) -> (Vec<(Step, usize)>, Option<ParseError>) {
    let mut parser = FetchParser::new();
    let mut out = Vec::new();
    let (mut at, mut there) = (0, first.min(data.len()));
    loop {
        match parser.step(&data[at..there]) {
            Ok((Step::Need(needed), taken)) => {
                assert_eq!(taken, 0, "waiting consumes nothing");
                assert!(needed > there - at, "{needed} bytes are there already");
                if there == data.len() {
                    return (out, None);
                }
                there = (there + more).min(data.len());
            }
            Ok((step, taken)) => {
                assert!(taken <= there - at, "more consumed than shown");
                at += taken;
                // How a cut-off batch is skipped depends on how it arrives.
                if step != Step::Skipped {
                    out.push((step, taken));
                }
                assert!(out.len() <= 4 * data.len() + 16, "steps without end");
            }
            Err(error) => return (out, Some(error)),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let whole = steps(data, data.len(), 1);
    let slowly = steps(data, 0, 1);
    assert_eq!(whole, slowly);
});
