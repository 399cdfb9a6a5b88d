//! The group of Connect workers.
//!
//! - `members`: members with a herder made for the test come, go, hang and lag, on the embedded
//!   broker.
//! - `jvm`: a JVM worker in the group, as the leader and as a member.
//! - `mixed`: a cluster of one JVM worker and two of ours, each leading in its turn.
//! - `oracle`: the assignors beside the JVM's, round by round.

#[path = "group/herder.rs"]
mod herder;
#[path = "group/jvm.rs"]
mod jvm;
#[path = "group/members.rs"]
mod members;
#[path = "group/mixed.rs"]
mod mixed;
#[path = "group/oracle.rs"]
mod oracle;
#[path = "oracle/random.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod random;
#[path = "rig/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of the rig")]
mod rig;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);
