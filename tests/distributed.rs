//! `connect-distributed` as its users run it, on the real broker: alone, in company, and in turn with
//! the JVM's workers over the same topics.
//!
//! - `alone`: one worker: what is kept through kills, refused at the start, shown over REST.
//! - `away`: brokers that are away, and who waits for them.
//! - `company`: two workers share the work, and one takes over from the other.
//! - `delayed`: what is answered while a rebalance waits for a worker to come back.
//! - `exactly_once`: records of sources through kills and zombies, as readers of committed ones see
//!   them; `transactions` has the producer alone.
//! - `mirror`: MirrorMaker 2's source connector between two brokers.
//! - `own_offsets`: a source whose offsets are in a topic of its own.
//! - `rest`: the REST API beside the JVM's: request by request, through followers too.
//! - `rough`: keys that change, records that make no sense, groups of others.
//! - `secured`: a broker that wants TLS and passwords.
//! - `turns`: a JVM cluster's connectors go on here, and there again; both in one group.

#[path = "distributed/alone.rs"]
mod alone;
#[path = "distributed/answers.rs"]
mod answers;
#[path = "distributed/away.rs"]
mod away;
#[path = "parity/clients.rs"]
mod clients;
#[path = "distributed/cluster_requests.rs"]
#[rustfmt::skip]
mod cluster_requests;
#[path = "distributed/company.rs"]
mod company;
#[path = "parity/comparable.rs"]
mod comparable;
#[path = "distributed/delayed.rs"]
mod delayed;
#[path = "distributed/exactly_once.rs"]
mod exactly_once;
#[path = "distributed/mirror.rs"]
mod mirror;
#[path = "parity/more_requests.rs"]
mod more_requests;
#[path = "distributed/own_offsets.rs"]
mod own_offsets;
#[path = "parity/requests.rs"]
#[rustfmt::skip]
#[expect(dead_code, reason = "what standalone workers answer otherwise")]
mod requests;
#[path = "distributed/rest.rs"]
mod rest;
#[path = "rig/mod.rs"]
#[expect(dead_code, reason = "other tests use the rest of the rig")]
mod rig;
#[path = "distributed/rough.rs"]
mod rough;
#[path = "distributed/secured.rs"]
mod secured;
#[path = "distributed/transactions.rs"]
mod transactions;
#[path = "distributed/turns.rs"]
mod turns;
#[path = "distributed/worker.rs"]
mod worker;

const LIMIT: std::time::Duration = std::time::Duration::from_secs(90);
