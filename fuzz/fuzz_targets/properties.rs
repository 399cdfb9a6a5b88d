//! Properties and connector files of whatever bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_herder::properties;

fuzz_target!(|data: &[u8]| {
    let text = properties::text(data);
    let pairs = properties::parse(&text);
    // Escaped throughout and parsed again, the pairs are the same.
    let mut escaped = String::new();
    for (key, value) in &pairs {
        for part in [key, value] {
            for unit in part.encode_utf16() {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
            escaped.push(if std::ptr::eq(part, key) { '=' } else { '\n' });
        }
    }
    assert_eq!(properties::parse(&escaped), pairs);
    let _ = properties::connector(&text);
    let _ = properties::initial_state(&text);
});
