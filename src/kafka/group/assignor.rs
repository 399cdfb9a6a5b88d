//! How the leader of a group shares partitions out. Pure functions; the outcome depends on nothing
//! but the arguments, so that every leader decides the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::subscription::MemberMetadata;
use crate::config::AssignmentStrategy;
use crate::partitions::TopicPartition;

/// One member, as the leader sees it.
#[derive(Clone, Debug, Default)]
pub struct Member {
    pub id: String,
    /// `group.instance.id`, which orders static members before others.
    pub instance: Option<String>,
    pub metadata: MemberMetadata,
}

/// Partitions by member id; members without any are there with none.
pub type Assignment = BTreeMap<String, Vec<TopicPartition>>;

/// Shares the partitions of `counts` (topic → number of partitions) out. Topics that are not in
/// `counts` don't exist.
pub fn assign(
    strategy: AssignmentStrategy,
    members: &[Member],
    counts: &BTreeMap<Rc<str>, usize>,
) -> Assignment {
    let mut order: Vec<&Member> = members.iter().collect();
    // As Java does: static members first, by their instance, then the others by id.
    order.sort_by_key(|member| (member.instance.is_none(), &member.instance, &member.id));
    let mut assignment = match strategy {
        AssignmentStrategy::Range => range(&order, counts),
        AssignmentStrategy::RoundRobin => round_robin(&order, counts),
        AssignmentStrategy::Sticky => sticky(&order, counts),
        AssignmentStrategy::CooperativeSticky => {
            let mut assignment = sticky(&order, counts);
            withhold(&order, &mut assignment);
            assignment
        }
    };
    assignment.values_mut().for_each(|partitions| partitions.sort_unstable());
    assignment
}

fn empty(members: &[&Member]) -> Assignment {
    members.iter().map(|member| (member.id.clone(), Vec::new())).collect()
}

fn subscribers<'a>(members: &[&'a Member], topic: &Rc<str>) -> Vec<&'a Member> {
    members.iter().copied().filter(|member| member.metadata.topics.contains(topic)).collect()
}

fn give(assignment: &mut Assignment, member: &Member, name: TopicPartition) {
    assignment.entry(member.id.clone()).or_default().push(name);
}

/// Topic by topic, each member a run of neighbours, the first ones one more.
fn range(members: &[&Member], counts: &BTreeMap<Rc<str>, usize>) -> Assignment {
    let mut assignment = empty(members);
    for (topic, count) in counts {
        let takers = subscribers(members, topic);
        if takers.is_empty() {
            continue;
        }
        let (share, more) = (count / takers.len(), count % takers.len());
        let mut next = 0;
        for (place, member) in takers.iter().enumerate() {
            let end = next + share + usize::from(place < more);
            for partition in next..end {
                let name = TopicPartition::new(topic.clone(), partition as i32);
                give(&mut assignment, member, name);
            }
            next = end;
        }
    }
    assignment
}

/// All partitions in order, to the members in turn.
fn round_robin(members: &[&Member], counts: &BTreeMap<Rc<str>, usize>) -> Assignment {
    let mut assignment = empty(members);
    if members.is_empty() {
        return assignment;
    }
    let mut turn = 0;
    for (topic, count) in counts {
        if subscribers(members, topic).is_empty() {
            continue;
        }
        for partition in 0..*count {
            while !members[turn % members.len()].metadata.topics.contains(topic) {
                turn += 1;
            }
            let name = TopicPartition::new(topic.clone(), partition as i32);
            give(&mut assignment, members[turn % members.len()], name);
            turn += 1;
        }
    }
    assignment
}

/// Who holds what, by the claims of the youngest generation; two claims of the same age are both
/// void, as neither can be trusted.
fn claims(members: &[&Member]) -> HashMap<TopicPartition, usize> {
    let mut claims: HashMap<TopicPartition, (i32, Option<usize>)> = HashMap::new();
    for (place, member) in members.iter().enumerate() {
        let generation = claimed_generation(member);
        for name in claimed(member) {
            let claim = claims.entry(name).or_insert((i32::MIN, None));
            if generation > claim.0 {
                *claim = (generation, Some(place));
            } else if generation == claim.0 {
                claim.1 = None;
            }
        }
    }
    claims.into_iter().filter_map(|(name, (_, place))| Some((name, place?))).collect()
}

/// `owned`, or for eager sticky members the assignment in their user data.
fn claimed(member: &Member) -> Vec<TopicPartition> {
    if !member.metadata.owned.is_empty() {
        return member.metadata.owned.clone();
    }
    let data = member.metadata.user_data.as_ref();
    data.and_then(super::sticky_data::decode).map_or_else(Vec::new, |data| data.0)
}

fn claimed_generation(member: &Member) -> i32 {
    if member.metadata.generation >= 0 {
        return member.metadata.generation;
    }
    let data = member.metadata.user_data.as_ref();
    data.and_then(super::sticky_data::decode).map_or(-1, |data| data.1)
}

/// Even to within one, with as few moves as that takes.
fn sticky(members: &[&Member], counts: &BTreeMap<Rc<str>, usize>) -> Assignment {
    let topics: Vec<BTreeSet<&Rc<str>>> =
        members.iter().map(|member| member.metadata.topics.iter().collect()).collect();
    let claims = claims(members);
    let mut held: Vec<BTreeSet<TopicPartition>> = vec![BTreeSet::new(); members.len()];
    let mut free = Vec::new();
    for (topic, count) in counts {
        if !topics.iter().any(|topics| topics.contains(topic)) {
            continue;
        }
        for partition in 0..*count {
            let name = TopicPartition::new(topic.clone(), partition as i32);
            match claims.get(&name).filter(|place| topics[**place].contains(topic)) {
                Some(place) => {
                    held[*place].insert(name);
                }
                None => free.push(name),
            }
        }
    }
    for name in free {
        let takers = (0..members.len()).filter(|place| topics[*place].contains(&name.topic));
        if let Some(least) = takers.min_by_key(|place| held[*place].len()) {
            held[least].insert(name);
        }
    }
    balance(&topics, &mut held);
    members
        .iter()
        .zip(held)
        .map(|(member, held)| (member.id.clone(), held.into_iter().collect()))
        .collect()
}

/// Moves partitions from members that hold two more than another that could take one. Each move
/// makes the sum of squares smaller, so it ends.
fn balance(topics: &[BTreeSet<&Rc<str>>], held: &mut [BTreeSet<TopicPartition>]) {
    loop {
        let mut order: Vec<usize> = (0..held.len()).collect();
        order.sort_by_key(|place| held[*place].len());
        let step = order.iter().rev().find_map(|from| {
            // The last ones first: what a member got last it has the least to lose by.
            held[*from].iter().rev().find_map(|name| {
                let to = order.iter().find(|to| topics[**to].contains(&name.topic))?;
                (held[*from].len() >= held[*to].len() + 2).then(|| (*from, *to, name.clone()))
            })
        });
        let Some((from, to, name)) = step else { return };
        held[from].remove(&name);
        held[to].insert(name);
    }
}

/// Holds back what another member still owns: it is given in the next round, after that member gave
/// it up.
fn withhold(members: &[&Member], assignment: &mut Assignment) {
    let owners = claims(members);
    for (id, partitions) in assignment {
        partitions.retain(|name| owners.get(name).is_none_or(|place| members[*place].id == *id));
    }
}
