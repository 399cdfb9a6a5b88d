//! The requests of consumer groups and of those who look after them.

use std::rc::Rc;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::*;

use crate::core::{Call, Core};
use crate::groups::{Answer, Group, Joiner, State, Token};
use crate::offsets::Committed;
use crate::protocol::{NO_OPERATIONS, code, text};
use crate::signal::Slot;

/// `offset.metadata.max.bytes`.
const MAX_METADATA: usize = 4096;

/// An offset to be committed, or the code of what is wrong with it.
pub(crate) fn committed(
    offset: i64,
    leader_epoch: i32,
    metadata: Option<&str>,
) -> Result<Committed, i16> {
    let metadata = metadata.unwrap_or_default();
    if metadata.len() > MAX_METADATA {
        return Err(code::OFFSET_METADATA_TOO_LARGE);
    }
    Ok(Committed { offset, leader_epoch, metadata: metadata.to_owned() })
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Empty => "Empty",
        State::PreparingRebalance => "PreparingRebalance",
        State::CompletingRebalance => "CompletingRebalance",
        State::Stable => "Stable",
    }
}

impl Core {
    /// A slot for the answer to a request that `ask` puts to the groups.
    fn ask(&self, ask: impl FnOnce(Token)) -> Rc<Slot<Answer>> {
        let slot = Rc::new(Slot::default());
        let token = self.fresh_token();
        self.waiting.borrow_mut().insert(token, slot.clone());
        ask(token);
        self.deliver();
        slot
    }

    fn fresh_token(&self) -> Token {
        self.next_token.set(self.next_token.get() + 1);
        self.next_token.get()
    }

    pub(crate) async fn join_group(
        &self,
        call: &Call,
        request: JoinGroupRequest,
    ) -> JoinGroupResponse {
        let joiner = Joiner {
            version: call.version,
            client_id: &call.client_id,
            host: &call.host,
            fresh_id: crate::topics::random_id().to_string(),
        };
        let slot = self.ask(|token| {
            self.groups.borrow_mut().join(&request, &joiner, token, crate::now_ms());
        });
        drop(request);
        match slot.take().await {
            Answer::Join(mut response) => {
                if call.version < 7 {
                    // Not nullable there.
                    response.protocol_name = response.protocol_name.or_else(|| Some(text("")));
                }
                response.skip_assignment &= call.version >= 9;
                response
            }
            Answer::Sync(_) => {
                JoinGroupResponse::default().with_error_code(code::UNKNOWN_SERVER_ERROR)
            }
        }
    }

    pub(crate) async fn sync_group(&self, request: SyncGroupRequest) -> SyncGroupResponse {
        let slot = self.ask(|token| {
            self.groups.borrow_mut().sync(&request, token, crate::now_ms());
        });
        drop(request);
        match slot.take().await {
            Answer::Sync(response) => response,
            Answer::Join(_) => {
                SyncGroupResponse::default().with_error_code(code::UNKNOWN_SERVER_ERROR)
            }
        }
    }

    pub(crate) fn heartbeat(&self, request: HeartbeatRequest) -> HeartbeatResponse {
        let error = self.groups.borrow_mut().heartbeat(&request, crate::now_ms());
        HeartbeatResponse::default().with_error_code(error)
    }

    pub(crate) fn leave_group(
        &self,
        call: &Call,
        request: LeaveGroupRequest,
    ) -> LeaveGroupResponse {
        let group = request.group_id.as_str();
        let leave = |id: &str, instance: Option<&str>| {
            let error = self.groups.borrow_mut().leave(group, id, instance, crate::now_ms());
            self.deliver();
            error
        };
        if call.version < 3 {
            let error = leave(&request.member_id, None);
            return LeaveGroupResponse::default().with_error_code(error);
        }
        let members = request.members.iter().map(|member| {
            let instance = member.group_instance_id.as_deref();
            MemberResponse::default()
                .with_error_code(leave(&member.member_id, instance))
                .with_member_id(member.member_id.clone())
                .with_group_instance_id(member.group_instance_id.clone())
        });
        LeaveGroupResponse::default().with_members(members.collect())
    }

    pub(crate) fn describe_groups(
        &self,
        call: &Call,
        request: DescribeGroupsRequest,
    ) -> DescribeGroupsResponse {
        let groups = self.groups.borrow();
        let described = request.groups.iter().map(|id| {
            let answer = DescribedGroup::default()
                .with_group_id(id.clone())
                .with_authorized_operations(NO_OPERATIONS);
            match groups.get(id) {
                Some(group) => describe(group, answer),
                None if self.offsets.borrow().get(id).is_some() => {
                    answer.with_group_state(text("Empty"))
                }
                None if call.version >= 6 => answer
                    .with_group_state(text("Dead"))
                    .with_error_code(code::GROUP_ID_NOT_FOUND)
                    .with_error_message(Some(text(&format!("Group {} not found.", id.as_str())))),
                None => answer.with_group_state(text("Dead")),
            }
        });
        DescribeGroupsResponse::default().with_groups(described.collect())
    }

    pub(crate) fn list_groups(
        &self,
        call: &Call,
        request: ListGroupsRequest,
    ) -> ListGroupsResponse {
        let groups = self.groups.borrow();
        let mut ids = groups.ids();
        ids.extend(self.offsets.borrow().groups().cloned());
        let wanted = |filter: &[kafka_protocol::protocol::StrBytes], value: &str| {
            filter.is_empty() || filter.iter().any(|name| name.eq_ignore_ascii_case(value))
        };
        let mut listed = Vec::new();
        for id in ids {
            let group = groups.get(&id);
            let state = state_name(group.map_or(State::Empty, |group| group.state));
            if wanted(&request.states_filter, state) && wanted(&request.types_filter, "classic") {
                let kind = group.map_or("", |group| group.protocol_type.as_str());
                let mut own = ListedGroup::default()
                    .with_group_id(GroupId(text(&id)))
                    .with_protocol_type(text(kind));
                if call.version >= 4 {
                    own.group_state = text(state);
                }
                if call.version >= 5 {
                    own.group_type = text("classic");
                }
                listed.push(own);
            }
        }
        ListGroupsResponse::default().with_groups(listed)
    }

    pub(crate) fn delete_groups(&self, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let results = request.groups_names.iter().map(|id| {
            DeletableGroupResult::default()
                .with_group_id(id.clone())
                .with_error_code(self.delete_group(id).err().unwrap_or(code::NONE))
        });
        DeleteGroupsResponse::default().with_results(results.collect())
    }

    fn delete_group(&self, id: &str) -> Result<(), i16> {
        let mut groups = self.groups.borrow_mut();
        let mut offsets = self.offsets.borrow_mut();
        match groups.get(id) {
            Some(group) if group.state != State::Empty => return Err(code::NON_EMPTY_GROUP),
            None if offsets.get(id).is_none() => return Err(code::GROUP_ID_NOT_FOUND),
            _ => {}
        }
        groups.delete(id);
        offsets.delete_group(id).map_err(crate::topics::storage_error)
    }
}

fn describe(group: &Group, answer: DescribedGroup) -> DescribedGroup {
    let protocol = group.protocol.as_deref().unwrap_or_default();
    // While the members are not agreed, Kafka shows neither protocol nor what belongs to it.
    let stable = group.state == State::Stable;
    let members = group.members.iter().map(|(id, member)| {
        let own = DescribedGroupMember::default()
            .with_member_id(text(id))
            .with_group_instance_id(member.instance.as_deref().map(text))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.host));
        match member.protocols.iter().find(|(name, _)| stable && name == protocol) {
            Some((_, metadata)) => own
                .with_member_metadata(metadata.clone())
                .with_member_assignment(member.assignment.clone()),
            None => own,
        }
    });
    answer
        .with_group_state(text(state_name(group.state)))
        .with_protocol_type(text(&group.protocol_type))
        .with_protocol_data(text(if stable { protocol } else { "" }))
        .with_members(members.collect())
}
