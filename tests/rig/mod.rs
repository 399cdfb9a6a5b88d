//! The real systems that the tests run against: started on demand, on free ports of loopback,
//! killed with the test process. One that cannot be found fails the test that needs it.

pub mod cluster;
pub mod connect;
pub mod distributed;
pub mod elasticsearch;
pub mod kafka;
pub mod mariadb;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod registry;
pub mod s3;
pub mod secured;
pub mod vault;
pub mod worker;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A port that nobody listens on now, and that nobody else of this process was given.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let port = listener.local_addr().expect("an address").port();
        if GIVEN.lock().expect("nothing panics in between").insert(port) {
            return port;
        }
    }
}

/// Where `tests/run` keeps what it installs.
pub fn cache() -> PathBuf {
    std::env::var_os("MILLRACE_TEST_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/millrace"),
        PathBuf::from,
    )
}

/// Waits until `ready` says so; says what was waited for when the time is over.
pub fn wait_for(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        pause(Duration::from_millis(50));
    }
}

/// Lets the other processes of a test get on.
#[expect(clippy::disallowed_methods, reason = "tests run on threads of their own, not on a core")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The project's folder, from a test of the root package or from a member.
pub fn project() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    if here.join("Cargo.lock").exists() { here } else { here.join("..") }
}
