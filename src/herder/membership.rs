//! Membership in the Connect group: what the herder hears of it, and what it may ask for.
//!
//! A thread of its own talks with the coordinator, so that heartbeats go on whatever the herder
//! does. It keeps the member's assignment, as `WorkerCoordinator` does; the herder decides on the
//! work. One question stands open at a time, and the events come in this order:
//!
//! ```text
//! Prepare ─▶ (eager: Revoked) ─▶ joined ─▶ (leader: Assign) ─▶ (Revoked) ─▶ Assigned
//!    ▲                                                                         │
//!    └── a rebalance, a rejoin, a delay that is over, something was revoked ───┘
//! ```

mod driver;
pub mod outlook;
mod settings;
mod texts;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use millrace_net::rt::{self, CoreThread};

use crate::connect_protocol::{Assignment, ConnectProtocol, ConnectorsAndTasks, WorkerState};

pub use settings::MembershipSettings;

/// The answering end of a question of the membership. Dropped without an answer, it counts as a
/// herder that is gone: the member leaves the group.
#[derive(Debug)]
pub struct MemberReply<T>(flume::Sender<T>);

impl<T> MemberReply<T> {
    /// A reply and where its answer comes out.
    pub fn new() -> (Self, flume::Receiver<T>) {
        let (sender, receiver) = flume::bounded(1);
        (Self(sender), receiver)
    }

    pub fn send(self, answer: T) {
        let _ = self.0.try_send(answer);
    }
}

/// What the herder hears of its group. Questions are to be answered within `rebalance.timeout.ms`;
/// after that the member leaves the group until the herder answers.
#[derive(Debug)]
pub enum MemberEvent {
    /// The group is about to be joined. The answer is the next offset of the config topic that the
    /// herder will read, −1 if it has read nothing ([`WorkerState::config_offset`]). Until
    /// [`Self::Assigned`] the owners of the last round are not to be relied on.
    Prepare { reply: MemberReply<i64> },
    /// To be stopped; answered when it is, with its statuses written. All the work, of an eager
    /// member before it joins; of the others what the assignment takes.
    Revoked { work: ConnectorsAndTasks, reply: MemberReply<()> },
    /// This worker leads: the answer is what each member gets, of `assignor`'s making. A member that
    /// the answer leaves out gets nothing.
    Assign { round: Round, reply: MemberReply<BTreeMap<String, Assignment>> },
    /// The round is over. With something revoked or with an error the member joins again as soon as
    /// [`Self::Prepare`] is answered; the herder starts work (or reads on) before that.
    Assigned(Assigned),
    /// The coordinator can't be reached; told once until it can. Work goes on.
    Unreachable { why: String },
    /// The coordinator could not be found within `heartbeat.interval.ms`, so others may run this
    /// work soon: stop all of it. The assignment is forgotten; when the coordinator is back, the
    /// group is joined anew.
    Lost { why: String },
    /// The group can't be joined, and nothing but other settings or rights helps. The membership
    /// has ended.
    Fatal { message: String },
}

/// What a leader assigns by.
#[derive(Clone, Debug)]
pub struct Round {
    pub protocol: ConnectProtocol,
    /// The round's generation.
    pub generation: i32,
    /// The generation of the last round that this member saw to its end; −1 if none.
    pub last_completed_generation: i32,
    /// This member's id.
    pub leader: String,
    /// All members by id. One whose state can't be read is not among them.
    pub members: BTreeMap<String, WorkerState>,
}

/// The outcome of a round for this member.
#[derive(Clone, Debug)]
pub struct Assigned {
    pub protocol: ConnectProtocol,
    pub generation: i32,
    pub member_id: String,
    /// As the leader sent it, but `work` is all that is this member's from now on: what is new and
    /// what it has kept.
    pub assignment: Assignment,
    /// What of it is new.
    pub added: ConnectorsAndTasks,
}

impl Assigned {
    pub fn is_leader(&self) -> bool {
        self.assignment.leader == self.member_id
    }
}

/// What is asked of the membership, until it looks.
#[derive(Debug, Default)]
struct Wanted {
    rejoin: Option<String>,
    leave: Option<String>,
    forget: bool,
    stop: bool,
}

#[derive(Debug)]
struct Orders {
    wanted: Mutex<Wanted>,
    /// One token wakes the membership; more are not needed.
    wake: flume::Sender<()>,
}

impl Orders {
    fn give(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = self.wake.try_send(());
    }
}

/// The running membership, for the herder. Dropped, it leaves the group without being waited for.
pub struct MembershipHandle {
    orders: Arc<Orders>,
    thread: Option<CoreThread>,
}

impl MembershipHandle {
    /// Joins the group, and stays in it as long as the handle lives and [`MemberEvent::Fatal`] does
    /// not come. The receiver of `events` has to keep taking them.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(
        settings: MembershipSettings,
        events: flume::Sender<MemberEvent>,
    ) -> io::Result<Self> {
        let (wake, woken) = flume::bounded(1);
        let orders = Arc::new(Orders { wanted: Mutex::default(), wake });
        let mut options = rt::CoreOptions::new("membership", None);
        options.runtime = settings.runtime;
        let theirs = Arc::clone(&orders);
        let thread = rt::start_core(options, move || {
            driver::Driver::new(settings, events, theirs, woken).run()
        })?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Joins again as soon as can be: a connector came or went, a task set changed, the offset of an
    /// assignment was passed. Also ends a [`Self::leave`].
    pub fn rejoin(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.orders.give(|wanted| {
            wanted.leave = None;
            wanted.rejoin = Some(reason);
        });
    }

    /// Leaves the group, as when the config topic can't be read to its end, until
    /// [`Self::rejoin`]. Work is kept, and offered when the group is joined again. A question that
    /// stands open is void.
    pub fn leave(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.orders.give(|wanted| {
            wanted.rejoin = None;
            wanted.leave = Some(reason);
        });
    }

    /// All work was stopped: the next join offers none.
    pub fn forget(&self) {
        self.orders.give(|wanted| wanted.forget = true);
    }

    /// Leaves the group and ends the membership, within seconds. Work that goes on must have been
    /// stopped before: others get it at once.
    pub fn shutdown(mut self) {
        self.orders.give(|wanted| wanted.stop = true);
        if let Some(Err(why)) = self.thread.take().map(CoreThread::join) {
            tracing::error!(why, "the membership's thread died");
        }
    }
}

impl Drop for MembershipHandle {
    fn drop(&mut self) {
        self.orders.give(|wanted| wanted.stop = true);
    }
}
