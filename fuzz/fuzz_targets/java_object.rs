//! The offsets file: whatever bytes give entries or an error, and what was read survives writing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_herder::java_object::{read, write};

fuzz_target!(|data: &[u8]| {
    let head = write(&Vec::new());
    // The fixed part in front, so that the entries behind it are reached.
    let fixed = head.len() - 15;
    let whole = [&head[..fixed], data].concat();
    for bytes in [data, &whole] {
        if let Ok(entries) = read(bytes) {
            assert_eq!(read(&write(&entries)), Ok(entries));
        }
    }
});
