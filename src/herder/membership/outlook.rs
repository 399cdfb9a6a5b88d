//! The group of workers as one sees it who is not in it: who is there, who leads, who has how much.
//! Nothing is joined.

use std::time::Duration;

use millrace_api::Config;
use millrace_kafka::Cluster;
use millrace_kafka::group_admin::{GroupAdmin, GroupDescription, MemberDescription};
use millrace_net::rt;
use serde::Serialize;

use super::MembershipSettings;
use crate::connect_protocol::{Assignment, WorkerState};
use crate::stores::listed;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupOutlook {
    pub group: String,
    /// As `Stable`, or `PreparingRebalance`.
    pub state: String,
    /// `connect`, unless it is another kind's group; empty where there is none.
    pub protocol_type: String,
    /// `sessioned`, `compatible` or `default` (eager).
    pub protocol: String,
    /// By their URLs.
    pub workers: Vec<WorkerOutlook>,
    /// Members that cannot be understood, with the reason.
    pub strangers: Vec<String>,
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkerOutlook {
    pub url: String,
    pub leads: bool,
    /// As of the round's end.
    pub connectors: usize,
    pub tasks: usize,
}

/// Asks the coordinator of the group that these worker's properties name, within `limit`.
///
/// # Errors
/// A setting is wrong, or the coordinator cannot be asked; in words for the user.
pub fn look(worker: &Config, limit: Duration) -> Result<GroupOutlook, String> {
    let settings = MembershipSettings::of(worker, "http://localhost/", "migrate-check")
        .map_err(|all| listed(&all))?;
    let group = settings.group_id.clone();
    let (sender, answer) = flume::bounded(1);
    let mut options = rt::CoreOptions::new("group", None);
    options.runtime = Some(rt::RuntimeChoice::Epoll);
    let started = rt::start_core(options, move || async move {
        let admin = GroupAdmin::new(Cluster::new(settings.client), &settings.group_id);
        let described = admin.describe().await;
        drop(admin);
        let _ = sender.send(described.map_err(|error| error.to_string()));
        // The connections' tasks end before their core does.
        rt::sleep(Duration::from_millis(10)).await;
    });
    started.map_err(|error| error.to_string())?;
    let answered = answer.recv_timeout(limit);
    let late = || Err(format!("the coordinator of {group} did not answer within {limit:?}"));
    answered.unwrap_or_else(|_| late()).map(|described| understood(&group, described))
}

fn understood(group: &str, described: GroupDescription) -> GroupOutlook {
    let GroupDescription { state, protocol_type, protocol, members } = described;
    let mut outlook = GroupOutlook {
        group: group.to_owned(),
        state,
        protocol_type,
        protocol,
        ..GroupOutlook::default()
    };
    if outlook.protocol_type != "connect" {
        let named = |member: &MemberDescription| format!("{} at {}", member.client_id, member.host);
        outlook.strangers = members.iter().map(named).collect();
        return outlook;
    }
    for member in &members {
        match worker(member) {
            Ok(worker) => outlook.workers.push(worker),
            Err(why) => outlook.strangers.push(format!("{} at {}: {why}", member.id, member.host)),
        }
    }
    outlook.workers.sort_by(|one, other| one.url.cmp(&other.url));
    outlook
}

/// What it kept and what it got; while a round is under way it has no assignment.
fn worker(member: &MemberDescription) -> Result<WorkerOutlook, String> {
    let state = WorkerState::decode(&member.metadata).map_err(|error| error.to_string())?;
    let held = state.assignment.map(|held| held.work).unwrap_or_default();
    let given = match member.assignment.is_empty() {
        true => Assignment::default(),
        false => Assignment::decode(&member.assignment).map_err(|error| error.to_string())?,
    };
    let work = held.without(&given.revoked).with(&given.work);
    Ok(WorkerOutlook {
        leads: !member.id.is_empty() && given.leader == member.id,
        url: state.url,
        connectors: work.connectors.len(),
        tasks: work.tasks.len(),
    })
}

#[cfg(test)]
mod tests {
    use millrace_worker::command::TaskId;

    use super::*;
    use crate::connect_protocol::{ConnectProtocol, ConnectorsAndTasks};

    fn work(connectors: &[&str], tasks: &[u32]) -> ConnectorsAndTasks {
        ConnectorsAndTasks {
            connectors: connectors.iter().map(|name| (*name).into()).collect(),
            tasks: tasks.iter().map(|task| TaskId { connector: "a".into(), task: *task }).collect(),
        }
    }

    #[test]
    fn what_a_member_kept_and_got_is_its_work() {
        let held = Assignment { work: work(&["a", "b"], &[0, 1]), ..Assignment::default() };
        let state = WorkerState {
            url: "http://one:1/".to_owned(),
            config_offset: 7,
            assignment: Some(held),
        };
        let given = Assignment {
            leader: "one".to_owned(),
            work: work(&["c"], &[2]),
            revoked: work(&["a"], &[0]),
            ..Assignment::default()
        };
        let protocol = ConnectProtocol::Sessioned;
        let one = MemberDescription {
            id: "one".to_owned(),
            metadata: state.encode(protocol),
            assignment: given.encode(protocol),
            ..MemberDescription::default()
        };
        let other = MemberDescription {
            id: "other".to_owned(),
            host: "/h".to_owned(),
            metadata: vec![1],
            ..MemberDescription::default()
        };
        let described = GroupDescription {
            state: "Stable".to_owned(),
            protocol_type: "connect".to_owned(),
            protocol: "sessioned".to_owned(),
            members: vec![one.clone(), other],
        };
        let outlook = understood("g", described.clone());
        let expected =
            WorkerOutlook { url: "http://one:1/".to_owned(), leads: true, connectors: 2, tasks: 2 };
        assert_eq!(outlook.workers, [expected]);
        assert!(outlook.strangers[0].starts_with("other at /h: "), "{:?}", outlook.strangers);
        let consumers = GroupDescription { protocol_type: "consumer".to_owned(), ..described };
        assert_eq!(understood("g", consumers).strangers.len(), 2);
    }
}
