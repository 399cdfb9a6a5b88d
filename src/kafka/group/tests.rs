//! Assignors, the members' bytes, the membership's steps.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use proptest::prelude::*;

use super::assignor::{Assignment, Member, assign};
use super::classic::Failure;
use super::membership::{Change, Membership};
use super::subscription::{MemberMetadata, decode_assignment, encode_assignment};
use super::{sticky_data, *};
use crate::config::AssignmentStrategy;

fn names(list: &[(&str, i32)]) -> Vec<TopicPartition> {
    list.iter().map(|(topic, index)| TopicPartition::new(*topic, *index)).collect()
}

fn member(id: &str, topics: &[&str], owned: &[(&str, i32)], generation: i32) -> Member {
    let metadata = MemberMetadata {
        topics: topics.iter().map(|topic| Rc::from(*topic)).collect(),
        owned: names(owned),
        generation,
        rack: None,
        user_data: None,
    };
    Member { id: id.to_owned(), instance: None, metadata }
}

fn counts(list: &[(&str, usize)]) -> BTreeMap<Rc<str>, usize> {
    list.iter().map(|(topic, count)| (Rc::from(*topic), *count)).collect()
}

#[test]
fn range_gives_neighbours_the_first_ones_more() {
    let members = [member("b", &["t", "u"], &[], -1), member("a", &["t", "u"], &[], -1)];
    let given = assign(AssignmentStrategy::Range, &members, &counts(&[("t", 3), ("u", 2)]));
    assert_eq!(given["a"], names(&[("t", 0), ("t", 1), ("u", 0)]));
    assert_eq!(given["b"], names(&[("t", 2), ("u", 1)]));
}

#[test]
fn round_robin_goes_round_and_passes_over_those_not_subscribed() {
    let members = [member("a", &["t"], &[], -1), member("b", &["t", "u"], &[], -1)];
    let given = assign(AssignmentStrategy::RoundRobin, &members, &counts(&[("t", 3), ("u", 2)]));
    assert_eq!(given["a"], names(&[("t", 0), ("t", 2)]));
    assert_eq!(given["b"], names(&[("t", 1), ("u", 0), ("u", 1)]));
}

#[test]
fn a_cooperative_newcomer_gets_only_what_was_given_up() {
    let all = [("t", 0), ("t", 1), ("t", 2), ("t", 3)];
    let counts = counts(&[("t", 4)]);
    let first = [member("a", &["t"], &all, 1), member("b", &["t"], &[], -1)];
    let given = assign(AssignmentStrategy::CooperativeSticky, &first, &counts);
    assert_eq!((given["a"].len(), given["b"].len()), (2, 0), "moved ones are withheld");
    let kept: Vec<_> = given["a"].iter().map(|name| ("t", name.partition)).collect();
    let second = [member("a", &["t"], &kept, 2), member("b", &["t"], &[], 2)];
    let given = assign(AssignmentStrategy::CooperativeSticky, &second, &counts);
    assert_eq!((given["a"].len(), given["b"].len()), (2, 2));
    assert_eq!(given["a"], names(&kept));
}

#[test]
fn the_older_claim_loses() {
    let members = [member("a", &["t"], &[("t", 0)], 1), member("b", &["t"], &[("t", 0)], 3)];
    let given = assign(AssignmentStrategy::Sticky, &members, &counts(&[("t", 1)]));
    assert_eq!(given["b"], names(&[("t", 0)]));
}

fn check_sticky(given: &Assignment, members: &[Member], total: usize) {
    let all: Vec<_> = given.values().flatten().collect();
    assert_eq!(all.len(), total, "each partition once");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), total);
    let loads: Vec<_> = members.iter().map(|member| given[&member.id].len()).collect();
    assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
}

proptest! {
    #[test]
    fn sticky_is_even_and_moves_no_more_than_needed(
        count in 1usize..30, before in 1usize..5, after in 1usize..5
    ) {
        let counts = counts(&[("t", count)]);
        let make = |many: usize| -> Vec<Member> {
            (0..many).map(|index| member(&format!("m{index}"), &["t"], &[], -1)).collect()
        };
        let old = make(before);
        let first = assign(AssignmentStrategy::Sticky, &old, &counts);
        check_sticky(&first, &old, count);
        let mut new = make(after);
        for member in &mut new {
            if let Some(owned) = first.get(&member.id) {
                member.metadata.owned.clone_from(owned);
                member.metadata.generation = 1;
            }
        }
        let second = assign(AssignmentStrategy::Sticky, &new, &counts);
        check_sticky(&second, &new, count);
        for member in &new {
            let owned = &member.metadata.owned;
            let kept = owned.iter().filter(|name| second[&member.id].contains(name)).count();
            prop_assert_eq!(kept, owned.len().min(second[&member.id].len()));
        }
    }

    #[test]
    fn noise_from_other_members_does_not_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..60)
    ) {
        let noise = Bytes::from(noise);
        let _ = MemberMetadata::decode(noise.clone());
        let _ = decode_assignment(noise.clone());
        let _ = sticky_data::decode(&noise);
    }
}

#[test]
fn the_bytes_are_java_s() {
    // ConsumerProtocol.serializeSubscription v1 of topics [t], owned t-0.
    let v1 = b"\x00\x01\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff\
        \x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\x00\x00\x00\x00";
    let read = MemberMetadata::decode(Bytes::from_static(v1)).unwrap();
    assert_eq!((read.topics.len(), read.owned, read.generation), (1, names(&[("t", 0)]), -1));
    let written = encode_assignment(&names(&[("t", 0), ("t", 2)])).unwrap();
    let golden = b"\x00\x03\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x02\
        \x00\x00\x00\x00\x00\x00\x00\x02\xff\xff\xff\xff";
    assert_eq!(&written[..], golden);
    assert_eq!(decode_assignment(written).unwrap(), names(&[("t", 0), ("t", 2)]));
    assert_eq!(decode_assignment(Bytes::new()).unwrap(), []);
    let eager = sticky_data::encode_eager(&names(&[("t", 1)]), 7);
    assert_eq!(
        &eager[..],
        b"\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x07"
    );
    assert_eq!(sticky_data::decode(&eager), Some((names(&[("t", 1)]), 7)));
}

fn membership(strategy: &str) -> Membership {
    let settings = [
        ("bootstrap.servers", "a:1"),
        ("group.id", "g"),
        ("partition.assignment.strategy", strategy),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Membership::new(&ConsumerConfig::parse(&settings.into()).unwrap().config)
}

fn joined(me: &str, protocol: &str) -> JoinGroupResponse {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let metadata = member(me, &["t"], &[], -1).metadata.encode().unwrap();
    let listed =
        JoinGroupResponseMember::default().with_member_id(text(me)).with_metadata(metadata);
    JoinGroupResponse::default()
        .with_generation_id(4)
        .with_member_id(text(me))
        .with_leader(text(me))
        .with_protocol_name(Some(text(protocol)))
        .with_members(vec![listed])
}

fn synced(list: &[(&str, i32)]) -> SyncGroupResponse {
    SyncGroupResponse::default().with_assignment(encode_assignment(&names(list)).unwrap())
}

#[test]
fn a_member_takes_its_id_leads_and_owns() {
    let mut membership = membership("range");
    let required = JoinGroupResponse::default()
        .with_error_code(79)
        .with_member_id(StrBytes::from_static_str("me"));
    let again = membership.on_join(&required, None, &BTreeMap::new());
    assert_eq!(again.unwrap_err(), Failure::Rejoin);
    assert_eq!(membership.join_request(&["t".into()]).unwrap().member_id.as_str(), "me");
    let response = joined("me", "range");
    let members = membership.members(&response).unwrap();
    let sync = membership.on_join(&response, members, &counts(&[("t", 2)])).unwrap();
    assert_eq!((sync.generation_id, sync.assignments.len()), (4, 1));
    let given = decode_assignment(sync.assignments[0].assignment.clone()).unwrap();
    assert_eq!(given, names(&[("t", 0), ("t", 1)]));
    let change = membership.on_sync(&synced(&[("t", 0), ("t", 1)])).unwrap();
    assert_eq!(change, Change { revoked: vec![], added: given.clone() });
    assert_eq!(
        membership.before_join(&["t".into()]),
        [],
        "an eager member waits for the assignment"
    );
}

#[test]
fn an_eager_member_keeps_what_the_next_generation_leaves_it() {
    let mut membership = membership("range");
    membership.member.generation = 4;
    membership.on_sync(&synced(&[("t", 0), ("t", 1)])).unwrap();
    membership.member.generation = 5;
    let change = membership.on_sync(&synced(&[("t", 1), ("t", 2)])).unwrap();
    assert_eq!(change, Change { revoked: names(&[("t", 0)]), added: names(&[("t", 2)]) });
    assert_eq!(membership.owned, names(&[("t", 1), ("t", 2)]));
    // Generation 6 was joined and never synced: another may have had them in it.
    membership.member.generation = 7;
    let change = membership.on_sync(&synced(&[("t", 1), ("t", 3)])).unwrap();
    let (gone, come) = (names(&[("t", 1), ("t", 2)]), names(&[("t", 1), ("t", 3)]));
    assert_eq!(change, Change { revoked: gone, added: come.clone() });
    assert_eq!(membership.owned, come);
}

#[test]
fn a_cooperative_member_keeps_what_stays() {
    let mut membership = membership("cooperative-sticky");
    membership.on_sync(&synced(&[("t", 0), ("t", 1)])).unwrap();
    assert_eq!(membership.before_join(&["t".into()]), []);
    let change = membership.on_sync(&synced(&[("t", 1), ("t", 2)])).unwrap();
    assert_eq!(change, Change { revoked: names(&[("t", 0)]), added: names(&[("t", 2)]) });
    membership.give_up(&change.revoked);
    assert_eq!(membership.owned, names(&[("t", 1), ("t", 2)]));
    assert_eq!(membership.before_join(&["u".into()]), membership.owned, "no longer subscribed");
}

#[test]
fn codes_say_what_to_do_next() {
    let mut membership = membership("range");
    membership.member.id = StrBytes::from_static_str("me");
    assert_eq!(membership.member.check(27, "Heartbeat"), Err(Failure::Rejoin));
    assert_eq!(membership.member.check(22, "Heartbeat"), Err(Failure::Lost));
    assert_eq!(membership.member.id.as_str(), "me");
    assert_eq!(membership.member.check(25, "Heartbeat"), Err(Failure::Lost));
    assert_eq!(membership.member.id.as_str(), "");
    assert!(matches!(membership.member.check(16, "Heartbeat"), Err(Failure::Coordinator(_))));
    assert!(matches!(membership.member.check(14, "JoinGroup"), Err(Failure::Retry(_))));
    assert!(matches!(membership.member.check(82, "JoinGroup"), Err(Failure::Fatal(_))));
}
