//! `SimpleHeaderConverter`: any bytes are some value, and what it writes it reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_converters::header::SimpleHeaderConverter;
use millrace_converters::{Arena, HeaderConverter};

fuzz_target!(|data: &[u8]| {
    let (mut converter, arena) = (SimpleHeaderConverter::default(), Arena::new());
    let read = converter.to_connect_header("t", "h", Some(data), &arena);
    let read = read.expect("whatever is no other value is a string");
    assert_eq!(read.schema.is_none(), read.value.is_null());
    let mut written = Vec::new();
    if converter.from_connect_header("t", "h", read.schema, read.value, &mut written) == Ok(true) {
        let again = converter.to_connect_header("t", "h", Some(&written), &arena);
        again.expect("whatever is no other value is a string");
    }
});
