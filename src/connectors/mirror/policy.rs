//! How remote topics are named: the two replication policies of MirrorMaker 2.

/// `replication.policy.class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `DefaultReplicationPolicy`: the source's alias, a separator, the topic.
    Prefixed,
    /// `IdentityReplicationPolicy`: as in the source, heartbeats aside.
    Identity,
}

/// The heartbeats' topic, in the cluster where they are emitted.
pub const HEARTBEATS: &str = "heartbeats";

/// A policy with its settings. The answers are those of the JVM's classes, also where they are odd;
/// `tests.rs` has a table of theirs.
#[derive(Clone, Debug)]
pub struct ReplicationPolicy {
    pub naming: Naming,
    /// `source.cluster.alias`.
    pub source: String,
    /// `target.cluster.alias`.
    pub target: String,
    /// Not empty.
    pub separator: String,
    /// Of internal topics: the separator, or a dot.
    pub internal_separator: String,
}

impl ReplicationPolicy {
    /// The topic's name in the target.
    pub fn remote_topic(&self, topic: &str) -> String {
        match self.is_as_it_was(topic) {
            true => topic.to_owned(),
            false => format!("{}{}{topic}", self.source, self.separator),
        }
    }

    /// The alias of the cluster that a topic of the target comes from; `None` if it is at home.
    pub fn topic_source<'t>(&'t self, topic: &'t str) -> Option<&'t str> {
        match self.is_as_it_was(topic) {
            true => Some(&self.source),
            false => self.prefix(topic),
        }
    }

    /// The topic's name where it comes from.
    pub fn upstream_topic<'t>(&self, topic: &'t str) -> Option<&'t str> {
        if self.is_as_it_was(topic) {
            return Some(topic);
        }
        let prefix = self.prefix(topic)?;
        topic.get(prefix.len() + self.separator.len()..)
    }

    /// Kept out of mirrors, whatever the filter says.
    pub fn is_internal(&self, topic: &str) -> bool {
        topic.starts_with("__")
            || topic.starts_with('.')
            || (topic.starts_with("mm2") && topic.ends_with(&self.internal_suffix()))
            || topic.ends_with(&self.checkpoints_suffix())
    }

    /// Heartbeats, those mirrored from elsewhere too.
    pub fn is_heartbeats(&self, topic: &str) -> bool {
        let mut topic = topic;
        while let Some(upstream) = self.upstream_topic(topic).filter(|upstream| *upstream != topic)
        {
            topic = upstream;
        }
        topic == HEARTBEATS
    }

    /// The topic has been in the target: mirroring it would go round for ever.
    pub fn is_cycle(&self, topic: &str) -> bool {
        let mut topic = topic;
        loop {
            match self.topic_source(topic) {
                None => return false,
                Some(source) if source == self.target => return true,
                Some(_) => {}
            }
            match self.upstream_topic(topic).filter(|upstream| *upstream != topic) {
                None => return false,
                Some(upstream) => topic = upstream,
            }
        }
    }

    /// Of offset syncs, by the alias of the cluster that does not have it.
    pub fn offset_syncs_topic(&self, other: &str) -> String {
        let separator = &self.internal_separator;
        format!("mm2-offset-syncs{separator}{other}{}", self.internal_suffix())
    }

    /// Of checkpoints, in the target.
    pub fn checkpoints_topic(&self) -> String {
        format!("{}{}", self.source, self.checkpoints_suffix())
    }

    fn internal_suffix(&self) -> String {
        format!("{}internal", self.internal_separator)
    }

    fn checkpoints_suffix(&self) -> String {
        format!("{}checkpoints{}", self.internal_separator, self.internal_suffix())
    }

    fn is_as_it_was(&self, topic: &str) -> bool {
        self.naming == Naming::Identity && !topic.ends_with(HEARTBEATS)
    }

    /// What stands before the first separator, if anything but separators stands behind it.
    fn prefix<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let (prefix, mut rest) = topic.split_once(&*self.separator)?;
        while let Some(shorter) = rest.strip_prefix(&*self.separator) {
            rest = shorter;
        }
        (!rest.is_empty()).then_some(prefix)
    }
}
