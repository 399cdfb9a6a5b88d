//! What Connect workers tell each other through the group coordinator: the state that a member joins
//! with and the assignment that it gets, in the JVM's bytes.
//!
//! Three subprotocols share the layouts. `default` (V0) is eager; `compatible` (V1) and `sessioned`
//! (V2) are the same bytes but for the version, and a member of `sessioned` also signs its internal
//! requests. Readers take what a newer version appends as not there, and what an older one leaves
//! out as empty. Source: `ConnectProtocol` and `IncrementalCooperativeConnectProtocol` of Kafka 4.1.

mod bytes;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use millrace_worker::command::TaskId;

use bytes::{Reader, Writer};

/// `connect.protocol`: how a group rebalances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectProtocol {
    Eager,
    Compatible,
    Sessioned,
}

impl ConnectProtocol {
    /// The values of `connect.protocol`.
    pub const VALUES: &'static [&'static str] = &["eager", "compatible", "sessioned"];

    /// A value of `connect.protocol`, whatever its case.
    pub fn of_setting(text: &str) -> Option<Self> {
        let all = [Self::Eager, Self::Compatible, Self::Sessioned];
        let at = Self::VALUES.iter().position(|name| name.eq_ignore_ascii_case(text.trim()))?;
        Some(all[at])
    }

    /// The subprotocol that the group chose, by its name there.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::Eager),
            "compatible" => Some(Self::Compatible),
            "sessioned" => Some(Self::Sessioned),
            _ => None,
        }
    }

    /// The name among the group's subprotocols.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eager => "default",
            Self::Compatible => "compatible",
            Self::Sessioned => "sessioned",
        }
    }

    /// The version that messages carry.
    pub fn version(self) -> i16 {
        self as i16
    }

    /// Members stop everything before they join.
    pub fn is_eager(self) -> bool {
        self == Self::Eager
    }

    /// What a member with this setting offers, the best first.
    pub fn offered(self) -> &'static [Self] {
        match self {
            Self::Eager => &[Self::Eager],
            Self::Compatible => &[Self::Compatible, Self::Eager],
            Self::Sessioned => &[Self::Sessioned, Self::Compatible, Self::Eager],
        }
    }
}

/// Work of a member, in the order of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectorsAndTasks {
    pub connectors: Vec<Arc<str>>,
    pub tasks: Vec<TaskId>,
}

impl ConnectorsAndTasks {
    pub fn is_empty(&self) -> bool {
        self.connectors.is_empty() && self.tasks.is_empty()
    }

    pub fn len(&self) -> usize {
        self.connectors.len() + self.tasks.len()
    }

    /// This without `less`, in this order.
    pub fn without(&self, less: &Self) -> Self {
        let connectors: std::collections::HashSet<_> = less.connectors.iter().collect();
        let tasks: std::collections::HashSet<_> = less.tasks.iter().collect();
        Self {
            connectors: self
                .connectors
                .iter()
                .filter(|name| !connectors.contains(name))
                .cloned()
                .collect(),
            tasks: self.tasks.iter().filter(|id| !tasks.contains(id)).cloned().collect(),
        }
    }

    /// This, then what of `more` is not in it yet.
    pub fn with(&self, more: &Self) -> Self {
        let mut all = self.clone();
        let more = more.without(self);
        all.connectors.extend(more.connectors);
        all.tasks.extend(more.tasks);
        all
    }
}

impl fmt::Display for ConnectorsAndTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: Vec<_> = self.tasks.iter().map(ToString::to_string).collect();
        let (connectors, tasks) = (self.connectors.join(", "), tasks.join(", "));
        write!(f, "connectors [{connectors}], tasks [{tasks}]")
    }
}

/// What a member tells the leader when it joins (`ExtendedWorkerState`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerState {
    /// Of its REST API, as others reach it, with the slash at its end.
    pub url: String,
    /// The next offset of the config topic that it will read; −1 if it has read nothing.
    pub config_offset: i64,
    /// What it works on; `None` before its first assignment, and always with the eager protocol.
    pub assignment: Option<Assignment>,
}

/// Whether the leader could assign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AssignmentError {
    #[default]
    None,
    /// The leader has not read as far in the config topic as another member: all join again.
    ConfigMismatch,
    /// A code that this worker does not know; like a mismatch, it asks for another round.
    Other(i16),
}

impl AssignmentError {
    fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::ConfigMismatch => 1,
            Self::Other(code) => code,
        }
    }

    fn of(code: i16) -> Self {
        match code {
            0 => Self::None,
            1 => Self::ConfigMismatch,
            other => Self::Other(other),
        }
    }
}

/// What the leader tells a member (`ExtendedAssignment`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    pub error: AssignmentError,
    /// The leader's member id.
    pub leader: String,
    /// Of the leader's REST API.
    pub leader_url: String,
    /// How far in the config topic the leader had read when it assigned.
    pub config_offset: i64,
    /// Of the eager protocol: all the member's work. Of the others: what is new for it.
    pub work: ConnectorsAndTasks,
    /// To be given up, before the member joins again at once. Never with the eager protocol.
    pub revoked: ConnectorsAndTasks,
    /// After this the member joins again; 0: only when there is a reason.
    pub delay_ms: i32,
}

impl Assignment {
    pub fn failed(&self) -> bool {
        self.error != AssignmentError::None
    }

    /// The bytes for a member of `protocol`.
    pub fn encode(&self, protocol: ConnectProtocol) -> Vec<u8> {
        let mut out = Writer::default();
        out.i16(protocol.version());
        out.i16(self.error.code());
        out.text(&self.leader);
        out.text(&self.leader_url);
        out.i64(self.config_offset);
        out.work(&self.work);
        if !protocol.is_eager() {
            out.work(&self.revoked);
            out.i32(self.delay_ms);
        }
        out.into_bytes()
    }

    /// Reads what a leader of any version sent.
    ///
    /// # Errors
    /// It ends early, a length is negative or longer than what is there, a text is not UTF-8.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(bytes, "assignment")?;
        Ok(Self {
            error: AssignmentError::of(reader.i16()?),
            leader: reader.text()?.to_owned(),
            leader_url: reader.text()?.to_owned(),
            config_offset: reader.i64()?,
            work: reader.work_or_nothing()?,
            revoked: reader.work_or_nothing()?,
            delay_ms: reader.i32_or_zero()?,
        })
    }
}

impl WorkerState {
    /// The bytes with which a member offers `protocol`.
    pub fn encode(&self, protocol: ConnectProtocol) -> Vec<u8> {
        let mut out = Writer::default();
        out.i16(protocol.version());
        out.text(&self.url);
        out.i64(self.config_offset);
        if !protocol.is_eager() {
            out.nullable_bytes(self.assignment.as_ref().map(|a| a.encode(protocol)).as_deref());
        }
        out.into_bytes()
    }

    /// Reads what a member of any version sent.
    ///
    /// # Errors
    /// As [`Assignment::decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let mut reader = Reader::new(bytes, "state of a worker")?;
        let url = reader.text()?.to_owned();
        let config_offset = reader.i64()?;
        let assignment = match reader.bytes_or_null()? {
            // The JVM writes null as an empty buffer in places.
            Some(bytes) if !bytes.is_empty() => Some(Assignment::decode(bytes)?),
            _ => None,
        };
        Ok(Self { url, config_offset, assignment })
    }
}

/// Bytes of another worker that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    what: &'static str,
    why: String,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} can't be read: {}", self.what, self.why)
    }
}

impl std::error::Error for ProtocolError {}
