//! The classic group coordinator as a state machine: requests and times in, answers out. No IO.
//!
//! It follows `GroupMetadataManager`'s classic half. `group.initial.rebalance.delay.ms` is 0.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

use crate::protocol::{code, text};

/// Names a request whose answer may come later.
pub(crate) type Token = u64;

pub(crate) enum Answer {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
}

/// `group.max.session.timeout.ms`.
const MAX_SESSION_MS: i32 = 1_800_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

#[derive(Clone, Default)]
pub(crate) struct Member {
    pub instance: Option<String>,
    pub client_id: String,
    pub host: String,
    session_ms: i64,
    rebalance_ms: i64,
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    alive_until: i64,
    join: Option<Token>,
    sync: Option<Token>,
    order: u64,
}

#[derive(Default)]
pub(crate) struct Group {
    pub state: State,
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: Option<String>,
    leader: Option<String>,
    pub members: BTreeMap<String, Member>,
    statics: HashMap<String, String>,
    /// Ids that were handed out and not yet joined with, and until when they hold.
    pending: BTreeMap<String, i64>,
    /// When the rebalance goes on without those who are late.
    deadline: i64,
}

pub(crate) struct Groups {
    groups: BTreeMap<String, Group>,
    min_session_ms: i32,
    order: u64,
    answers: Vec<(Token, Answer)>,
}

/// Who joins, besides what the request says.
pub(crate) struct Joiner<'a> {
    pub version: i16,
    pub client_id: &'a str,
    pub host: &'a str,
    /// Appended to the client id or instance id where a new member id is needed.
    pub fresh_id: String,
}

fn refusal(code: i16, member_id: &str) -> Answer {
    Answer::Join(
        JoinGroupResponse::default()
            .with_error_code(code)
            .with_generation_id(-1)
            .with_protocol_name(None)
            .with_member_id(text(member_id)),
    )
}

fn sync_error(code: i16) -> Answer {
    Answer::Sync(SyncGroupResponse::default().with_error_code(code))
}

impl Member {
    fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }

    fn waits(&self) -> bool {
        self.join.is_some() || self.sync.is_some()
    }
}

impl Group {
    /// Whether the named member is who it says; the error's code else.
    pub(crate) fn check_member(&self, member: &str, instance: Option<&str>) -> Result<(), i16> {
        if let Some(instance) = instance {
            return match self.statics.get(instance) {
                None => Err(code::UNKNOWN_MEMBER_ID),
                Some(holder) if holder != member => Err(code::FENCED_INSTANCE_ID),
                Some(_) => Ok(()),
            };
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(code::UNKNOWN_MEMBER_ID) }
    }

    fn supports(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let everyone_has = |name: &str| {
            self.members.values().all(|member| member.protocols.iter().any(|(own, _)| own == name))
        };
        protocol_type == self.protocol_type && protocols.iter().any(|(name, _)| everyone_has(name))
    }

    /// The protocol that all members know and most prefer.
    fn select_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let candidate = member.protocols.iter().find(|(name, _)| {
                self.members
                    .values()
                    .all(|other| other.protocols.iter().any(|(own, _)| own == name))
            })?;
            *votes.entry(&candidate.0).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
    }

    fn longest_rebalance(&self) -> i64 {
        self.members.values().map(|member| member.rebalance_ms).max().unwrap_or(0)
    }

    fn join_answer(&self, id: &str, member: &Member, skip_assignment: bool) -> JoinGroupResponse {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let leader = self.leader.as_deref().unwrap_or_default();
        let mut response = JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(Some(text(&self.protocol_type)))
            .with_protocol_name(Some(text(protocol)))
            .with_leader(text(leader))
            .with_skip_assignment(skip_assignment)
            .with_member_id(text(id));
        if leader == id {
            response.members = self
                .members
                .iter()
                .map(|(id, _other)| {
                    let other = if *id == response.member_id.as_str() { member } else { _other };
                    JoinGroupResponseMember::default()
                        .with_member_id(text(id))
                        .with_group_instance_id(other.instance.as_deref().map(text))
                        .with_metadata(other.metadata(protocol))
                })
                .collect();
        }
        response
    }

    fn sync_answer(&self, member: &Member) -> Answer {
        Answer::Sync(
            SyncGroupResponse::default()
                .with_protocol_type(Some(text(&self.protocol_type)))
                .with_protocol_name(self.protocol.as_deref().map(text))
                .with_assignment(member.assignment.clone()),
        )
    }

    fn prepare(&mut self, now: i64, answers: &mut Vec<(Token, Answer)>) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(token) = member.sync.take() {
                member.alive_until = now + member.session_ms;
                answers.push((token, sync_error(code::REBALANCE_IN_PROGRESS)));
            }
        }
        if self.state != State::PreparingRebalance {
            self.state = State::PreparingRebalance;
            self.deadline = now + self.longest_rebalance();
        }
        self.try_complete(now, answers);
    }

    fn try_complete(&mut self, now: i64, answers: &mut Vec<(Token, Answer)>) {
        let all = self.members.values().all(|member| member.join.is_some());
        if self.state == State::PreparingRebalance && all && self.pending.is_empty() {
            self.complete(now, answers);
        }
    }

    /// Ends the joining: those dynamic members who have not come are out.
    fn complete(&mut self, now: i64, answers: &mut Vec<(Token, Answer)>) {
        self.members.retain(|_, member| member.join.is_some() || member.instance.is_some());
        self.generation += 1;
        if self.members.is_empty() {
            self.state = State::Empty;
            self.protocol = None;
            self.leader = None;
            return;
        }
        let led = self.leader.as_ref().and_then(|id| self.members.get(id));
        if led.is_none_or(|member| member.join.is_none()) {
            let joined = self.members.iter().filter(|(_, member)| member.join.is_some());
            let first = joined.min_by_key(|(_, member)| member.order).map(|(id, _)| id.clone());
            if first.is_none() {
                // Only static members that are away: wait for them, or for their sessions to end.
                self.generation -= 1;
                self.deadline = now + self.longest_rebalance().max(1000);
                return;
            }
            self.leader = first;
        }
        self.protocol = self.select_protocol();
        self.state = State::CompletingRebalance;
        self.deadline = now + self.longest_rebalance();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.alive_until = now + member.session_ms;
            if let Some(token) = member.join.take() {
                let member = &self.members[&id];
                answers.push((token, Answer::Join(self.join_answer(&id, member, false))));
            }
        }
    }

    fn remove(&mut self, id: &str, now: i64, answers: &mut Vec<(Token, Answer)>) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance) = &member.instance
            && self.statics.get(instance).is_some_and(|holder| holder == id)
        {
            self.statics.remove(instance);
        }
        if let Some(token) = member.join {
            answers.push((token, refusal(code::UNKNOWN_MEMBER_ID, id)));
        }
        if let Some(token) = member.sync {
            answers.push((token, sync_error(code::UNKNOWN_MEMBER_ID)));
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = None;
        }
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare(now, answers),
            State::PreparingRebalance => self.try_complete(now, answers),
            State::Empty => {}
        }
    }

    fn tick(&mut self, now: i64, answers: &mut Vec<(Token, Answer)>) {
        self.pending.retain(|_, until| *until > now);
        let late: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| !member.waits() && member.alive_until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            tracing::info!(member = id, "session expired");
            self.remove(&id, now, answers);
        }
        self.try_complete(now, answers);
        if self.deadline > now {
            return;
        }
        match self.state {
            State::PreparingRebalance => self.complete(now, answers),
            State::CompletingRebalance => {
                let silent = self.members.iter().filter(|(_, member)| member.sync.is_none());
                let silent: Vec<String> = silent.map(|(id, _)| id.clone()).collect();
                silent.iter().for_each(|id| self.remove(id, now, answers));
            }
            State::Empty | State::Stable => {}
        }
    }

    fn next_deadline(&self) -> Option<i64> {
        let waiting = matches!(self.state, State::PreparingRebalance | State::CompletingRebalance);
        let members = self.members.values().filter(|member| !member.waits());
        let sessions = members.map(|member| member.alive_until);
        let rebalance = waiting.then_some(self.deadline);
        sessions.chain(self.pending.values().copied()).chain(rebalance).min()
    }
}

impl Groups {
    pub(crate) fn new(min_session_ms: i32) -> Self {
        Self { groups: BTreeMap::new(), min_session_ms, order: 0, answers: Vec::new() }
    }

    pub(crate) fn take_answers(&mut self) -> Vec<(Token, Answer)> {
        std::mem::take(&mut self.answers)
    }

    pub(crate) fn get(&self, group: &str) -> Option<&Group> {
        self.groups.get(group)
    }

    /// Forgets a group without members.
    pub(crate) fn delete(&mut self, group: &str) {
        self.groups.remove(group);
    }

    pub(crate) fn tick(&mut self, now: i64) {
        for group in self.groups.values_mut() {
            group.tick(now, &mut self.answers);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<i64> {
        self.groups.values().filter_map(Group::next_deadline).min()
    }

    pub(crate) fn join(
        &mut self,
        request: &JoinGroupRequest,
        joiner: &Joiner<'_>,
        token: Token,
        now: i64,
    ) {
        let asked_id = request.member_id.as_str();
        let instance = request.group_instance_id.as_deref();
        let checked = self.check_join(request);
        let protocols: Vec<(String, Bytes)> = request
            .protocols
            .iter()
            .map(|own| (own.name.to_string(), Bytes::copy_from_slice(&own.metadata)))
            .collect();
        let answers = &mut self.answers;
        if let Err(code) = checked {
            return answers.push((token, refusal(code, asked_id)));
        }
        let group = self.groups.entry(request.group_id.to_string()).or_default();
        if !group.supports(&request.protocol_type, &protocols) {
            return answers.push((token, refusal(code::INCONSISTENT_GROUP_PROTOCOL, asked_id)));
        }
        self.order += 1;
        let session_ms = i64::from(request.session_timeout_ms);
        let timeout = i64::from(request.rebalance_timeout_ms);
        let fresh = Member {
            instance: instance.map(str::to_owned),
            client_id: joiner.client_id.to_owned(),
            host: joiner.host.to_owned(),
            session_ms,
            rebalance_ms: if joiner.version == 0 || timeout < 0 { session_ms } else { timeout },
            protocols,
            alive_until: now + session_ms,
            join: Some(token),
            order: self.order,
            ..Default::default()
        };
        if group.members.is_empty() {
            group.protocol_type = request.protocol_type.to_string();
        }
        if asked_id.is_empty() {
            let prefix = instance.unwrap_or(joiner.client_id);
            let id = format!("{prefix}-{}", joiner.fresh_id);
            match instance.and_then(|instance| group.statics.get(instance).cloned()) {
                Some(old) => group.replace_static(&old, id, fresh, now, answers),
                None if instance.is_none() && joiner.version >= 4 => {
                    answers.push((token, refusal(code::MEMBER_ID_REQUIRED, &id)));
                    group.pending.insert(id, now + session_ms);
                }
                None => group.add(id, fresh, now, answers),
            }
        } else if group.pending.remove(asked_id).is_some() {
            group.add(asked_id.to_owned(), fresh, now, answers);
        } else if let Err(code) = group.check_member(asked_id, instance) {
            answers.push((token, refusal(code, asked_id)));
        } else {
            group.rejoin(asked_id, fresh, now, answers);
        }
    }

    fn check_join(&self, request: &JoinGroupRequest) -> Result<(), i16> {
        if request.group_id.is_empty() {
            return Err(code::INVALID_GROUP_ID);
        }
        if !(self.min_session_ms..=MAX_SESSION_MS).contains(&request.session_timeout_ms) {
            return Err(code::INVALID_SESSION_TIMEOUT);
        }
        if !request.member_id.is_empty() && !self.groups.contains_key(request.group_id.as_str()) {
            return Err(code::UNKNOWN_MEMBER_ID);
        }
        Ok(())
    }

    pub(crate) fn sync(&mut self, request: &SyncGroupRequest, token: Token, now: i64) {
        let Some(group) = self.groups.get_mut(request.group_id.as_str()) else {
            return self.answers.push((token, sync_error(code::UNKNOWN_MEMBER_ID)));
        };
        if let Err(code) = group.check_sync(request) {
            return self.answers.push((token, sync_error(code)));
        }
        let id = request.member_id.as_str();
        let leads = group.leader.as_deref() == Some(id);
        let completing = group.state == State::CompletingRebalance;
        let Some(member) = group.members.get_mut(id) else { return };
        member.alive_until = now + member.session_ms;
        if !completing {
            let answer = group.sync_answer(&group.members[id]);
            return self.answers.push((token, answer));
        }
        if let Some(old) = member.sync.replace(token) {
            self.answers.push((old, sync_error(code::REBALANCE_IN_PROGRESS)));
        }
        if leads {
            for given in &request.assignments {
                if let Some(member) = group.members.get_mut(given.member_id.as_str()) {
                    member.assignment = Bytes::copy_from_slice(&given.assignment);
                }
            }
            group.state = State::Stable;
            for member in group.members.values_mut() {
                member.alive_until = now + member.session_ms;
            }
            let synced: Vec<(String, Token)> = group
                .members
                .iter_mut()
                .filter_map(|(id, member)| Some((id.clone(), member.sync.take()?)))
                .collect();
            for (id, token) in synced {
                self.answers.push((token, group.sync_answer(&group.members[&id])));
            }
        }
    }

    pub(crate) fn heartbeat(&mut self, request: &HeartbeatRequest, now: i64) -> i16 {
        let group = self.groups.get_mut(request.group_id.as_str());
        let Some(group) = group.filter(|group| group.state != State::Empty) else {
            return code::UNKNOWN_MEMBER_ID;
        };
        let (id, instance) = (request.member_id.as_str(), request.group_instance_id.as_deref());
        if let Err(code) = group.check_member(id, instance) {
            return code;
        }
        if request.generation_id != group.generation {
            return code::ILLEGAL_GENERATION;
        }
        if let Some(member) = group.members.get_mut(id) {
            member.alive_until = now + member.session_ms;
        }
        if group.state == State::PreparingRebalance {
            code::REBALANCE_IN_PROGRESS
        } else {
            code::NONE
        }
    }

    pub(crate) fn leave(&mut self, group: &str, id: &str, instance: Option<&str>, now: i64) -> i16 {
        let Some(group) = self.groups.get_mut(group) else { return code::UNKNOWN_MEMBER_ID };
        // A static member may be sent away by its instance id alone.
        let id = match instance {
            Some(instance) if id.is_empty() => match group.statics.get(instance) {
                Some(holder) => holder.clone(),
                None => return code::UNKNOWN_MEMBER_ID,
            },
            _ => id.to_owned(),
        };
        if group.pending.remove(&id).is_some() {
            group.try_complete(now, &mut self.answers);
            return code::NONE;
        }
        if let Err(code) = group.check_member(&id, instance) {
            return code;
        }
        group.remove(&id, now, &mut self.answers);
        code::NONE
    }

    /// Whether a member may commit offsets; counts as a sign of life.
    pub(crate) fn check_commit(
        &mut self,
        group: &str,
        id: &str,
        instance: Option<&str>,
        generation: i32,
        now: i64,
    ) -> Result<(), i16> {
        let Some(group) = self.groups.get_mut(group) else {
            return if generation < 0 { Ok(()) } else { Err(code::ILLEGAL_GENERATION) };
        };
        if generation < 0 && group.state == State::Empty {
            // Offsets of those who manage their partitions themselves.
            return Ok(());
        }
        group.check_member(id, instance)?;
        if generation != group.generation {
            return Err(code::ILLEGAL_GENERATION);
        }
        if let Some(member) = group.members.get_mut(id) {
            member.alive_until = now + member.session_ms;
        }
        if group.state == State::CompletingRebalance {
            return Err(code::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    /// Ids of the groups that have members or had some.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.groups.keys().cloned().collect()
    }
}

impl Group {
    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), i16> {
        self.check_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(code::ILLEGAL_GENERATION);
        }
        let other = |asked: Option<&str>, own: &str| asked.is_some_and(|name| name != own);
        let protocol = self.protocol.as_deref().unwrap_or_default();
        if other(request.protocol_type.as_deref(), &self.protocol_type)
            || other(request.protocol_name.as_deref(), protocol)
        {
            return Err(code::INCONSISTENT_GROUP_PROTOCOL);
        }
        match self.state {
            State::Empty => Err(code::UNKNOWN_MEMBER_ID),
            State::PreparingRebalance => Err(code::REBALANCE_IN_PROGRESS),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    fn add(&mut self, id: String, member: Member, now: i64, answers: &mut Vec<(Token, Answer)>) {
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        self.members.insert(id, member);
        self.prepare(now, answers);
    }

    /// A static member is back under a new id: no rebalance if nothing else has changed.
    fn replace_static(
        &mut self,
        old_id: &str,
        id: String,
        mut fresh: Member,
        now: i64,
        answers: &mut Vec<(Token, Answer)>,
    ) {
        let old = self.members.remove(old_id).unwrap_or_default();
        if let Some(token) = old.join {
            answers.push((token, refusal(code::FENCED_INSTANCE_ID, old_id)));
        }
        if let Some(token) = old.sync {
            answers.push((token, sync_error(code::FENCED_INSTANCE_ID)));
        }
        if let Some(instance) = &fresh.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        let led = self.leader.as_deref() == Some(old_id);
        if led {
            self.leader = Some(id.clone());
        }
        let same = old.protocols == fresh.protocols;
        fresh.assignment = old.assignment;
        fresh.order = old.order;
        if self.state == State::Stable && same {
            let token = fresh.join.take();
            let answer = self.join_answer_with(&id, fresh, led);
            answers.extend(token.map(|token| (token, Answer::Join(answer))));
        } else {
            self.members.insert(id, fresh);
            self.prepare(now, answers);
        }
    }

    fn join_answer_with(&mut self, id: &str, member: Member, skip: bool) -> JoinGroupResponse {
        self.members.insert(id.to_owned(), member);
        self.join_answer(id, &self.members[id], skip)
    }

    fn rejoin(&mut self, id: &str, fresh: Member, now: i64, answers: &mut Vec<(Token, Answer)>) {
        let leads = self.leader.as_deref() == Some(id);
        let state = self.state;
        let Some(member) = self.members.get_mut(id) else { return };
        let same = member.protocols == fresh.protocols;
        let settled = match state {
            State::CompletingRebalance => same,
            State::Stable => same && !leads,
            State::PreparingRebalance | State::Empty => false,
        };
        if let Some(old) = member.join.take() {
            answers.push((old, refusal(code::REBALANCE_IN_PROGRESS, id)));
        }
        let token = fresh.join;
        let (order, assignment) = (member.order, std::mem::take(&mut member.assignment));
        let sync = member.sync.take();
        *member = Member { order, assignment, sync, ..fresh };
        if settled {
            member.join = None;
            let answer = self.join_answer(id, &self.members[id], false);
            answers.extend(token.map(|token| (token, Answer::Join(answer))));
        } else {
            self.prepare(now, answers);
        }
    }
}

#[cfg(test)]
mod tests;
