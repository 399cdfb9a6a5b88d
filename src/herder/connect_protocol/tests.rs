//! The JVM's bytes, and bytes that are nobody's.

use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn task(connector: &str, task: u32) -> TaskId {
    TaskId { connector: connector.into(), task }
}

const URL: &str = "http://h:8083/";
const URL_BYTES: &str = "000e 687474703a2f2f683a383038332f";

fn state(assignment: Option<Assignment>) -> WorkerState {
    WorkerState { url: URL.to_owned(), config_offset: 7, assignment }
}

fn given() -> Assignment {
    Assignment {
        leader: "m-1".to_owned(),
        leader_url: URL.to_owned(),
        config_offset: 7,
        work: ConnectorsAndTasks { connectors: vec!["c".into()], tasks: vec![task("c", 0)] },
        ..Assignment::default()
    }
}

#[test]
fn metadata_are_the_jvms_bytes() {
    let eager = hex(&format!("0000 {URL_BYTES} 0000000000000007"));
    assert_eq!(state(None).encode(ConnectProtocol::Eager), eager);
    assert_eq!(state(Some(given())).encode(ConnectProtocol::Eager), eager);
    let newcomer = hex(&format!("0002 {URL_BYTES} 0000000000000007 ffffffff"));
    assert_eq!(state(None).encode(ConnectProtocol::Sessioned), newcomer);
    for bytes in [eager, newcomer] {
        assert_eq!(WorkerState::decode(&bytes).unwrap(), state(None));
    }
    let again = state(Some(given())).encode(ConnectProtocol::Compatible);
    let inner = given().encode(ConnectProtocol::Compatible);
    assert_eq!(again[..2], [0, 1]);
    assert_eq!(again[again.len() - inner.len()..], inner);
    assert_eq!(WorkerState::decode(&again).unwrap(), state(Some(given())));
}

#[test]
fn assignments_are_the_jvms_bytes() {
    let start = format!("0000 0003 6d2d31 {URL_BYTES} 0000000000000007");
    let work = "00000001 0001 63 00000002 ffffffff 00000000";
    let eager = hex(&format!("0000 {start} {work}"));
    assert_eq!(given().encode(ConnectProtocol::Eager), eager);
    assert_eq!(Assignment::decode(&eager).unwrap(), given());
    let revoking = Assignment {
        revoked: ConnectorsAndTasks { connectors: Vec::new(), tasks: vec![task("d", 1)] },
        ..given()
    };
    let sessioned =
        hex(&format!("0002 {start} {work} 00000001 0001 64 00000001 00000001 00000000"));
    assert_eq!(revoking.encode(ConnectProtocol::Sessioned), sessioned);
    assert_eq!(Assignment::decode(&sessioned).unwrap(), revoking);
}

#[test]
fn what_versions_leave_out_or_append_is_tolerated() {
    let short = hex(&format!("0001 0001 0001 61 {URL_BYTES} 0000000000000007 ffffffff"));
    let read = Assignment::decode(&short).unwrap();
    assert!(read.failed() && read.work.is_empty() && read.revoked.is_empty());
    let mut longer = given().encode(ConnectProtocol::Sessioned);
    longer[1] = 9;
    longer.extend([1, 2, 3]);
    assert_eq!(Assignment::decode(&longer).unwrap(), given());
}

#[test]
fn broken_bytes_say_what_is_wrong() {
    let text = |bytes: &[u8]| Assignment::decode(bytes).unwrap_err().to_string();
    assert_eq!(text(&[0]), "the assignment can't be read: it ends early");
    assert_eq!(text(&[0xff, 0xff]), "the assignment can't be read: version -1");
    let forged = hex(&format!("0000 0000 0000 {URL_BYTES} 0000000000000007 7fffffff"));
    assert_eq!(text(&forged), "the assignment can't be read: it ends early");
}

#[test]
fn a_name_beyond_the_protocol_is_left_out() {
    let long: Arc<str> = "x".repeat(40_000).into();
    let mut assignment = given();
    assignment.work.connectors.push(long.clone());
    assignment.leader_url = "é".repeat(20_000);
    let read = Assignment::decode(&assignment.encode(ConnectProtocol::Sessioned)).unwrap();
    assert_eq!(read.work, given().work);
    assert_eq!(read.leader_url.len(), 32_766);
}

#[test]
fn each_setting_offers_what_older_members_understand() {
    let names = |text| {
        let offered = ConnectProtocol::of_setting(text).unwrap().offered();
        offered.iter().map(|protocol| protocol.name()).collect::<Vec<_>>()
    };
    assert_eq!(names("EAGER"), ["default"]);
    assert_eq!(names("compatible"), ["compatible", "default"]);
    assert_eq!(names("sessioned"), ["sessioned", "compatible", "default"]);
    assert_eq!(ConnectProtocol::of_setting("fast"), None);
    for protocol in ConnectProtocol::Sessioned.offered() {
        assert_eq!(ConnectProtocol::of_name(protocol.name()), Some(*protocol));
    }
}

fn work() -> impl Strategy<Value = ConnectorsAndTasks> {
    let pairs = proptest::collection::btree_map("[a-zé]{1,4}", (any::<bool>(), 0u32..4), 0..5);
    pairs.prop_map(|pairs| {
        let mut work = ConnectorsAndTasks::default();
        for (name, (instance, tasks)) in pairs {
            if instance {
                work.connectors.push(name.as_str().into());
            }
            work.tasks.extend((0..tasks).map(|number| task(&name, number)));
        }
        work
    })
}

/// The bytes keep a connector's tasks together, where its first element stands.
fn sorted(mut assignment: Assignment) -> Assignment {
    assignment.work.tasks.sort();
    assignment.revoked.tasks.sort();
    assignment
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        work in work(), revoked in work(), delay_ms in 0i32.., offset in -1i64.., error in 0i16..3
    ) {
        let assignment = Assignment {
            error: AssignmentError::of(error), config_offset: offset, work, revoked, delay_ms,
            ..given()
        };
        for protocol in [ConnectProtocol::Compatible, ConnectProtocol::Sessioned] {
            let read = Assignment::decode(&assignment.encode(protocol)).unwrap();
            prop_assert_eq!(sorted(read), sorted(assignment.clone()));
            let bytes = state(Some(assignment.clone())).encode(protocol);
            let read = WorkerState::decode(&bytes).unwrap();
            prop_assert_eq!(read.assignment.map(sorted), Some(sorted(assignment.clone())));
        }
    }

    #[test]
    fn noise_does_not_panic(mut noise in proptest::collection::vec(any::<u8>(), 0..80), cut in 0usize..200) {
        let _ = Assignment::decode(&noise);
        let _ = WorkerState::decode(&noise);
        if let Some(first) = noise.first_mut() {
            *first = 0;
        }
        let _ = Assignment::decode(&noise);
        let _ = WorkerState::decode(&noise);
        let good = state(Some(given())).encode(ConnectProtocol::Sessioned);
        let _ = WorkerState::decode(&good[..cut.min(good.len())]);
    }
}
