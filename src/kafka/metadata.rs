//! What is known of the cluster: brokers, topics, who leads which partition. No IO.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};

use kafka_protocol::messages::metadata_response::{MetadataResponse, MetadataResponsePartition};

/// A broker as the cluster advertises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub node: i32,
    pub host: String,
    pub port: u16,
    pub rack: Option<String>,
}

/// A partition, by its index in [`Topic::partitions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// −1 while there is none.
    pub leader: i32,
    /// −1 where the broker does not tell.
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    /// The broker's code, as 5 `LEADER_NOT_AVAILABLE`; 0 if all is well.
    pub error: i16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// 0 where the broker is too old to tell.
    pub id: u128,
    pub internal: bool,
    /// The broker's code, as 3 `UNKNOWN_TOPIC_OR_PARTITION`; 0 if all is well.
    pub error: i16,
    /// Shared by all clients of the core that were told the same.
    pub partitions: Rc<[Partition]>,
}

thread_local! {
    /// What each topic's partitions were when a client of this core heard of them last. A thousand
    /// tasks that read one topic of a thousand partitions would hold a million of them otherwise.
    static KNOWN: RefCell<HashMap<Rc<str>, Weak<[Partition]>>> = RefCell::default();
}

/// Names that are remembered before those that nobody holds any more are forgotten.
const MOST_FORGOTTEN: usize = 64;

/// The same partitions, in memory that others hold already if they were told the same.
fn shared(topic: &Rc<str>, partitions: Vec<Partition>) -> Rc<[Partition]> {
    KNOWN.with_borrow_mut(|known| {
        let before = known.get(topic).and_then(Weak::upgrade);
        if let Some(same) = before.filter(|before| **before == *partitions) {
            return same;
        }
        if known.len() >= MOST_FORGOTTEN && known.len().is_power_of_two() {
            known.retain(|_, partitions| partitions.strong_count() > 0);
        }
        let partitions: Rc<[Partition]> = partitions.into();
        known.insert(topic.clone(), Rc::downgrade(&partitions));
        partitions
    })
}

/// One state of knowledge; never changed, replaced by a newer one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Counts refreshes; 0 before the first.
    pub version: u64,
    pub cluster_id: Option<Rc<str>>,
    /// −1 if unknown.
    pub controller: i32,
    pub brokers: BTreeMap<i32, Broker>,
    /// Topics that were asked for, unknown ones with their error.
    pub topics: BTreeMap<Rc<str>, Topic>,
}

impl Metadata {
    /// The leader's node and epoch, if there is one and its address is known.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(i32, i32)> {
        let partition = self.partition(topic, partition)?;
        self.brokers
            .contains_key(&partition.leader)
            .then_some((partition.leader, partition.leader_epoch))
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        let topic = self.topics.get(topic)?;
        topic.partitions.get(usize::try_from(partition).ok()?)
    }

    /// How many partitions the topic has; `None` if it is unknown.
    pub fn partition_count(&self, topic: &str) -> Option<usize> {
        let topic = self.topics.get(topic)?;
        (!topic.partitions.is_empty()).then_some(topic.partitions.len())
    }

    /// What a response makes of this: the topics in it replace those of the same name, or all of
    /// them if `all` were asked for. A partition keeps its leader if the response comes from a
    /// broker that knows only an older epoch of the same topic.
    pub fn merged(&self, response: &MetadataResponse, all: bool) -> Self {
        let brokers = response.brokers.iter().filter_map(|broker| {
            let port = u16::try_from(broker.port).ok()?;
            let (node, host) = (broker.node_id.0, broker.host.to_string());
            let rack = broker.rack.as_ref().map(ToString::to_string);
            Some((node, Broker { node, host, port, rack }))
        });
        let mut topics = if all { BTreeMap::new() } else { self.topics.clone() };
        for topic in &response.topics {
            let Some(name) = &topic.name else { continue };
            let name: Rc<str> = name.as_str().into();
            let before =
                self.topics.get(&name).filter(|before| before.id == topic.topic_id.as_u128());
            let partitions = shared(&name, self.partitions(&topic.partitions, before));
            let topic = Topic {
                id: topic.topic_id.as_u128(),
                internal: topic.is_internal,
                error: topic.error_code,
                partitions,
            };
            topics.insert(name, topic);
        }
        Self {
            version: self.version + 1,
            cluster_id: response.cluster_id.as_ref().map(|id| id.as_str().into()),
            controller: response.controller_id.0,
            brokers: brokers.collect(),
            topics,
        }
    }

    /// Partitions come in any order; indexes without one stand as leaderless.
    fn partitions(
        &self,
        listed: &[MetadataResponsePartition],
        before: Option<&Topic>,
    ) -> Vec<Partition> {
        let absent =
            Partition { leader: -1, leader_epoch: -1, replicas: vec![], isr: vec![], error: 5 };
        let mut partitions = vec![absent; listed.len()];
        for partition in listed {
            let index = usize::try_from(partition.partition_index).unwrap_or(usize::MAX);
            let Some(place) = partitions.get_mut(index) else { continue };
            let known = before.and_then(|topic| topic.partitions.get(index));
            *place = match known {
                Some(known)
                    if partition.leader_epoch >= 0
                        && partition.leader_epoch < known.leader_epoch =>
                {
                    known.clone()
                }
                _ => Partition {
                    leader: partition.leader_id.0,
                    leader_epoch: partition.leader_epoch,
                    replicas: partition.replica_nodes.iter().map(|node| node.0).collect(),
                    isr: partition.isr_nodes.iter().map(|node| node.0).collect(),
                    error: partition.error_code,
                },
            };
        }
        partitions
    }

    pub fn without(&self, topic: &str) -> Self {
        let mut less = self.clone();
        less.topics.remove(topic);
        less
    }
}

#[cfg(test)]
mod tests {
    //! Merging responses, stale ones among them.
    use super::*;
    use kafka_protocol::messages::metadata_response::{
        MetadataResponseBroker, MetadataResponseTopic,
    };
    use kafka_protocol::messages::{BrokerId, TopicName};
    use kafka_protocol::protocol::StrBytes;

    fn response(leader: i32, epoch: i32) -> MetadataResponse {
        let broker = |node: i32| {
            MetadataResponseBroker::default()
                .with_node_id(BrokerId(node))
                .with_host(StrBytes::from_static_str("h"))
                .with_port(9092)
        };
        let partition = MetadataResponsePartition::default()
            .with_leader_id(BrokerId(leader))
            .with_leader_epoch(epoch);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("t"))))
            .with_partitions(vec![partition]);
        MetadataResponse::default()
            .with_brokers(vec![broker(1), broker(2)])
            .with_topics(vec![topic])
    }

    #[test]
    fn an_older_epoch_does_not_replace_a_newer_one() {
        let first = Metadata::default().merged(&response(1, 5), false);
        assert_eq!(first.leader("t", 0), Some((1, 5)));
        let stale = first.merged(&response(2, 4), false);
        assert_eq!(stale.leader("t", 0), Some((1, 5)));
        let newer = first.merged(&response(2, 6), false);
        assert_eq!(newer.leader("t", 0), Some((2, 6)));
        let mut other = first;
        other.topics.get_mut("t").unwrap().id = 9;
        let recreated = other.merged(&response(2, 0), false);
        assert_eq!(recreated.leader("t", 0), Some((2, 0)), "a new topic of the same name");
    }

    #[test]
    fn clients_that_were_told_the_same_share_it() {
        let told = |leader| Metadata::default().merged(&response(leader, 1), false);
        let (one, two, other) = (told(1), told(1), told(2));
        let partitions = |metadata: &Metadata| metadata.topics["t"].partitions.clone();
        assert!(Rc::ptr_eq(&partitions(&one), &partitions(&two)));
        assert_eq!((one.leader("t", 0), other.leader("t", 0)), (Some((1, 1)), Some((2, 1))));
    }

    #[test]
    fn leaders_without_an_address_are_none() {
        let metadata = Metadata::default().merged(&response(3, 1), true);
        assert_eq!(metadata.leader("t", 0), None);
        assert_eq!(metadata.leader("t", 1), None);
        assert_eq!(metadata.leader("t", -1), None);
        assert_eq!(metadata.partition_count("t"), Some(1));
        assert_eq!(metadata.partition_count("u"), None);
    }
}
