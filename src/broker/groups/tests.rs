//! Groups without a network: joins, rebalances, expiry, static members, and a random walk.

use super::*;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use proptest::prelude::*;

struct Bench {
    groups: Groups,
    now: i64,
    token: Token,
}

fn request(id: &str, instance: Option<&str>) -> JoinGroupRequest {
    let range = JoinGroupRequestProtocol::default().with_name(text("range"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
        .with_member_id(text(id))
        .with_group_instance_id(instance.map(text))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![range.with_metadata(Bytes::from_static(b"m"))])
}

impl Bench {
    fn new() -> Self {
        Self { groups: Groups::new(6000), now: 0, token: 0 }
    }

    fn join(&mut self, request: &JoinGroupRequest, version: i16) -> Vec<(Token, Answer)> {
        self.token += 1;
        let fresh_id = format!("{:03}", self.token);
        let joiner = Joiner { version, client_id: "c", host: "/h", fresh_id };
        self.groups.join(request, &joiner, self.token, self.now);
        self.groups.take_answers()
    }

    /// Joins as a client of today does, with an id given by the broker first.
    fn join_new(&mut self) -> (String, Vec<(Token, Answer)>) {
        let answers = self.join(&request("", None), 9);
        let refused = joined(&answers)[0];
        assert_eq!(refused.error_code, code::MEMBER_ID_REQUIRED);
        let id = refused.member_id.to_string();
        let answers = self.join(&request(&id, None), 9);
        (id, answers)
    }

    fn sync(
        &mut self,
        id: &str,
        generation: i32,
        assignments: &[(&str, &str)],
    ) -> Vec<(Token, Answer)> {
        self.token += 1;
        let assignments = assignments.iter().map(|(id, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(id))
                .with_assignment(Bytes::copy_from_slice(assignment.as_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_generation_id(generation)
            .with_member_id(text(id))
            .with_assignments(assignments.collect());
        self.groups.sync(&request, self.token, self.now);
        self.groups.take_answers()
    }

    fn heartbeat(&mut self, id: &str, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text("g")))
            .with_generation_id(generation)
            .with_member_id(text(id));
        self.groups.heartbeat(&request, self.now)
    }

    fn tick(&mut self, ms: i64) -> Vec<(Token, Answer)> {
        self.now += ms;
        self.groups.tick(self.now);
        self.groups.take_answers()
    }

    /// A stable group of one.
    fn settled() -> (Self, String) {
        let mut bench = Self::new();
        let (id, answers) = bench.join_new();
        assert_eq!(joined(&answers)[0].generation_id, 1);
        let answers = bench.sync(&id, 1, &[(&id, "all")]);
        assert_eq!(synced(&answers)[0].assignment, "all");
        (bench, id)
    }
}

fn joined(answers: &[(Token, Answer)]) -> Vec<&JoinGroupResponse> {
    answers
        .iter()
        .filter_map(|(_, answer)| match answer {
            Answer::Join(response) => Some(response),
            Answer::Sync(_) => None,
        })
        .collect()
}

fn synced(answers: &[(Token, Answer)]) -> Vec<&SyncGroupResponse> {
    answers
        .iter()
        .filter_map(|(_, answer)| match answer {
            Answer::Sync(response) => Some(response),
            Answer::Join(_) => None,
        })
        .collect()
}

#[test]
fn a_second_member_makes_the_first_join_again() {
    let (mut bench, first) = Bench::settled();
    let (second, answers) = bench.join_new();
    assert!(answers.is_empty(), "the second has to wait for the first");
    assert_eq!(bench.heartbeat(&first, 1), code::REBALANCE_IN_PROGRESS);
    let answers = bench.join(&request(&first, None), 9);
    let joined = joined(&answers);
    assert_eq!(joined.len(), 2);
    for response in joined {
        assert_eq!((response.error_code, response.generation_id), (0, 2));
        assert_eq!(response.leader.as_str(), first);
        let members = if response.member_id.as_str() == first { 2 } else { 0 };
        assert_eq!(response.members.len(), members);
    }
    assert!(bench.sync(&second, 2, &[]).is_empty());
    let answers = bench.sync(&first, 2, &[(&first, "a"), (&second, "b")]);
    let mut given: Vec<_> = synced(&answers).iter().map(|own| own.assignment.clone()).collect();
    given.sort();
    assert_eq!(given, ["a", "b"]);
    assert_eq!(bench.heartbeat(&second, 2), code::NONE);
    assert_eq!(bench.heartbeat(&second, 1), code::ILLEGAL_GENERATION);
    assert_eq!(bench.heartbeat("nobody", 2), code::UNKNOWN_MEMBER_ID);
}

#[test]
fn who_falls_silent_is_out() {
    let (mut bench, id) = Bench::settled();
    bench.tick(9_999);
    assert_eq!(bench.heartbeat(&id, 1), code::NONE);
    bench.tick(9_999);
    assert_eq!(bench.groups.get("g").map(|group| group.state), Some(State::Stable));
    bench.tick(1);
    let group = bench.groups.get("g").expect("the group");
    assert_eq!((group.state, group.generation), (State::Empty, 2));
    assert_eq!(bench.heartbeat(&id, 1), code::UNKNOWN_MEMBER_ID);
    assert_eq!(bench.groups.next_deadline(), None);
}

#[test]
fn a_rebalance_goes_on_without_the_late() {
    let (mut bench, first) = Bench::settled();
    let (second, _) = bench.join_new();
    let mut answers = Vec::new();
    for _ in 0..12 {
        answers.extend(bench.tick(5_000));
        bench.heartbeat(&first, 1);
    }
    let joined = joined(&answers);
    assert_eq!(joined.len(), 1);
    assert_eq!((joined[0].leader.as_str(), joined[0].generation_id), (second.as_str(), 2));
    assert_eq!(bench.heartbeat(&first, 1), code::UNKNOWN_MEMBER_ID);
}

#[test]
fn leaving_starts_a_rebalance_at_once() {
    let (mut bench, first) = Bench::settled();
    let (second, _) = bench.join_new();
    let now = bench.now;
    assert_eq!(bench.groups.leave("g", &first, None, now), code::NONE);
    assert_eq!(bench.groups.leave("g", &first, None, now), code::UNKNOWN_MEMBER_ID);
    let answers = bench.groups.take_answers();
    assert_eq!(joined(&answers)[0].leader.as_str(), second);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut bench = Bench::new();
    let answers = bench.join(&request("", Some("i")), 9);
    let old = joined(&answers)[0].member_id.to_string();
    bench.sync(&old, 1, &[(&old, "all")]);
    let answers = bench.join(&request("", Some("i")), 9);
    let response = joined(&answers)[0];
    let new = response.member_id.to_string();
    assert_ne!(old, new);
    assert_eq!((response.error_code, response.generation_id), (0, 1));
    assert!(response.skip_assignment);
    assert_eq!(synced(&bench.sync(&new, 1, &[]))[0].assignment, "all");
    let now = bench.now;
    let commit = bench.groups.check_commit("g", &old, Some("i"), 1, now);
    assert_eq!(commit, Err(code::FENCED_INSTANCE_ID));
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let (mut bench, id) = Bench::settled();
    let error = |answers: Vec<(Token, Answer)>| joined(&answers)[0].error_code;
    let other = request("", None).with_protocol_type(text("connect"));
    assert_eq!(error(bench.join(&other, 9)), code::INCONSISTENT_GROUP_PROTOCOL);
    let short = request("", None).with_session_timeout_ms(10);
    assert_eq!(error(bench.join(&short, 9)), code::INVALID_SESSION_TIMEOUT);
    assert_eq!(error(bench.join(&request("x", None), 9)), code::UNKNOWN_MEMBER_ID);
    let unnamed = request("", None).with_group_id(GroupId(text("")));
    assert_eq!(error(bench.join(&unnamed, 9)), code::INVALID_GROUP_ID);
    assert_eq!(synced(&bench.sync(&id, 7, &[]))[0].error_code, code::ILLEGAL_GENERATION);
    let now = bench.now;
    let mut commit =
        |id: &str, generation| bench.groups.check_commit("g", id, None, generation, now);
    assert_eq!(commit(&id, 1), Ok(()));
    assert_eq!(commit(&id, 2), Err(code::ILLEGAL_GENERATION));
    assert_eq!(commit("", -1), Err(code::UNKNOWN_MEMBER_ID));
}

proptest! {
    /// Whatever members do, each request gets one answer, and none waits when time is up.
    #[test]
    fn every_request_is_answered_once(steps in prop::collection::vec((0u8..6, 0usize..4, 0i64..9000), 1..80)) {
        let mut bench = Bench::new();
        let mut ids: Vec<String> = Vec::new();
        let mut asked = std::collections::BTreeSet::new();
        let mut settle = |bench: &Bench, answers: Vec<(Token, Answer)>, ids: &mut Vec<String>, asks: bool| {
            if asks {
                asked.insert(bench.token);
            }
            for (token, answer) in answers {
                assert!(asked.remove(&token), "answered twice or not asked");
                if let Answer::Join(response) = answer
                    && !response.member_id.is_empty()
                {
                    ids.push(response.member_id.to_string());
                }
            }
            asked.len()
        };
        let instance = |which: usize| (which == 3).then_some("i");
        for (action, which, ms) in steps {
            let id = ids.get(ids.len().saturating_sub(which + 1)).cloned().unwrap_or_default();
            let generation = bench.groups.get("g").map_or(0, |group| group.generation);
            let answers = match action {
                0 => bench.join(&request("", instance(which)), 9),
                1 => bench.join(&request(&id, None), 9),
                2 => bench.sync(&id, generation, &[(&id, "x")]),
                3 => bench.tick(ms),
                4 => {
                    let now = bench.now;
                    bench.groups.leave("g", &id, None, now);
                    bench.groups.take_answers()
                }
                _ => {
                    bench.heartbeat(&id, generation);
                    Vec::new()
                }
            };
            settle(&bench, answers, &mut ids, action < 3);
        }
        let mut waiting = usize::MAX;
        for _ in 0..40 {
            let answers = bench.tick(30_000);
            waiting = settle(&bench, answers, &mut ids, false);
        }
        prop_assert_eq!(waiting, 0);
        prop_assert_eq!(bench.groups.get("g").map_or(0, |group| group.members.len()), 0);
    }
}
