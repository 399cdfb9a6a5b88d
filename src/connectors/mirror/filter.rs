//! Which topics are mirrored, and which of their settings: `DefaultTopicFilter` and
//! `DefaultConfigPropertyFilter`.

use fancy_regex::Regex;

use super::policy::ReplicationPolicy;

/// A list of patterns, one of which is to match the whole text, as Java's `matches`.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Option<Regex>);

impl Patterns {
    /// An empty list matches nothing. The error says why the patterns are none.
    pub fn of(list: &[String]) -> Result<Self, String> {
        if list.is_empty() {
            return Ok(Self(None));
        }
        let all = list.join("|");
        let regex = Regex::new(&format!("^(?:{all})$"));
        regex.map(|regex| Self(Some(regex))).map_err(|error| error.to_string())
    }

    /// A pattern that takes too long does not match.
    pub fn matches(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|regex| regex.is_match(text).unwrap_or(false))
    }
}

/// Which topics are mirrored.
#[derive(Clone, Debug)]
pub struct TopicFilter {
    pub include: Patterns,
    /// Counts more than `include`.
    pub exclude: Patterns,
    /// Heartbeats are mirrored whatever the patterns say.
    pub heartbeats: bool,
}

impl TopicFilter {
    pub fn takes(&self, topic: &str, policy: &ReplicationPolicy) -> bool {
        let wanted = self.include.matches(topic) && !self.exclude.matches(topic);
        let wanted = wanted || (self.heartbeats && policy.is_heartbeats(topic));
        wanted && !policy.is_internal(topic) && !policy.is_cycle(topic)
    }
}

/// Which settings of a topic are kept alike.
#[derive(Clone, Debug)]
pub struct PropertyFilter {
    pub exclude: Patterns,
    /// `use.defaults.from=source`: what is a default in the source is written into the target.
    pub source_defaults: bool,
}
