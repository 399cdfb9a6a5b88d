//! The eager assignor: connectors are dealt round to the members, both sorted; then, where the
//! circle stands, the tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ClusterSnapshot, Shares};
use crate::connect_protocol::{ConnectorsAndTasks, WorkerState};

/// Each member's share; none where there are no members.
pub(super) fn assign(
    members: &BTreeMap<String, WorkerState>,
    snapshot: &ClusterSnapshot,
) -> Shares {
    let mut dealt = vec![ConnectorsAndTasks::default(); members.len()];
    let places: Vec<usize> = (0..members.len()).collect();
    let mut circle = places.iter().cycle();
    for name in snapshot.connectors.keys() {
        if let Some(place) = circle.next() {
            dealt[*place].connectors.push(Arc::clone(name));
        }
    }
    for id in snapshot.tasks() {
        if let Some(place) = circle.next() {
            dealt[*place].tasks.push(id);
        }
    }
    members.keys().cloned().zip(dealt).collect()
}
