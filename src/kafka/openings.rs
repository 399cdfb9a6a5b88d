//! How many connections of a core are being opened to one broker at a time.
//!
//! A broker has room for few connections that it has not accepted yet (`socket.listen.backlog.size`,
//! 50). Those beyond it seem open to their side and hear nothing: their bytes are sent again after
//! one second, two, four and so on, so that some of a thousand tasks that start at once were given
//! up after half a minute. So they take turns; a broker that refuses or does not answer has none to
//! guard, and whoever waits for a turn tries at once, to find out for itself and turn elsewhere.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use millrace_net::rt::timeout;

/// At a time; the rest of the backlog is for other cores and other processes.
const MOST: usize = 24;

/// If no attempt ends for so long, those that have a turn do not go on, as where their tasks are busy
/// with something else: nobody waits for them.
const STANDSTILL: Duration = Duration::from_secs(1);

struct Door {
    host: Box<str>,
    port: u16,
    /// The turns that are free. One that is waited for is taken when its taker runs, so that none is
    /// lost with a future that is dropped before that.
    free: (flume::Sender<()>, flume::Receiver<()>),
    /// The last attempt failed.
    failing: Cell<bool>,
    /// When the last attempt ended.
    ended: Cell<Instant>,
}

thread_local! {
    static DOORS: RefCell<Vec<Rc<Door>>> = RefCell::default();
}

/// The door of that address. A process knows few of them; those that nobody stands at go.
fn door(host: &str, port: u16) -> Rc<Door> {
    DOORS.with_borrow_mut(|doors| {
        let is_it = |door: &Rc<Door>| *door.host == *host && door.port == port;
        if let Some(door) = doors.iter().find(|door| is_it(door)) {
            return Rc::clone(door);
        }
        doors.retain(|door| Rc::strong_count(door) > 1);
        let free = flume::bounded(MOST);
        (0..MOST).for_each(|_| give(&free.0));
        let host = host.into();
        let (failing, ended) = (Cell::new(false), Cell::new(Instant::now()));
        doors.push(Rc::new(Door { host, port, free, failing, ended }));
        Rc::clone(&doors[doors.len() - 1])
    })
}

fn give(free: &flume::Sender<()>) {
    // There is room for all.
    let _ = free.try_send(());
}

/// Leave to open a connection; whoever waits may when it is dropped.
pub(crate) struct Turn {
    door: Rc<Door>,
    holds: bool,
    /// It failed, or was given up.
    failed: bool,
}

impl Turn {
    /// How the attempt ended.
    pub fn ended(mut self, well: bool) {
        self.failed = !well;
    }

    fn give_back(&mut self) {
        if std::mem::take(&mut self.holds) {
            give(&self.door.free.0);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.door.failing.set(self.failed);
        self.door.ended.set(Instant::now());
        self.give_back();
    }
}

/// Waits for a turn to connect to that address.
pub(crate) async fn turn(host: &str, port: u16) -> Turn {
    let door = door(host, port);
    let mut taking = pin!(take(&door));
    loop {
        match timeout(STANDSTILL, taking.as_mut()).await {
            Ok(turn) => return turn,
            Err(_) if door.ended.get().elapsed() < STANDSTILL => {}
            Err(_) => return Turn { door: Rc::clone(&door), holds: false, failed: true },
        }
    }
}

async fn take(door: &Rc<Door>) -> Turn {
    // The sender is the door's own, so it is there.
    let holds = door.free.1.recv_async().await.is_ok();
    let mut turn = Turn { door: Rc::clone(door), holds, failed: true };
    if door.failing.get() {
        turn.give_back();
    }
    turn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_rig::on_core;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    type Waiting = Pin<Box<dyn Future<Output = Turn>>>;

    fn poll(waiting: &mut Waiting) -> Option<Turn> {
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn wait(host: &'static str, port: u16) -> Waiting {
        Box::pin(async move { take(&door(host, port)).await })
    }

    fn now(host: &'static str, port: u16) -> Option<Turn> {
        poll(&mut wait(host, port))
    }

    #[test]
    fn so_many_at_a_time_and_of_each_broker() {
        let mut turns: Vec<Turn> = (0..MOST).map(|_| now("a", 1).expect("a turn")).collect();
        assert!(now("a", 1).is_none());
        let other = (now("a", 2).expect("another broker"), now("b", 1).expect("another host"));
        let mut waiting = wait("a", 1);
        assert!(poll(&mut waiting).is_none());
        turns.pop().expect("one").ended(true);
        let next = poll(&mut waiting).expect("its turn");
        assert!(now("a", 1).is_none());
        next.ended(true);
        assert!(now("a", 1).is_some_and(|turn| turn.holds));
        drop((turns, other));
    }

    #[test]
    fn one_that_waits_no_more_takes_no_turn() {
        let turns: Vec<Turn> = (0..MOST).map(|_| now("c", 1).expect("a turn")).collect();
        let mut waiting = wait("c", 1);
        assert!(poll(&mut waiting).is_none());
        drop(waiting);
        turns.into_iter().for_each(|turn| turn.ended(true));
        let all: Vec<Turn> = (0..MOST).map(|_| now("c", 1).expect("a turn")).collect();
        assert!(now("c", 1).is_none());
        drop(all);
    }

    #[test]
    fn a_turn_that_comes_too_late_is_the_next_ones() {
        let mut turns: Vec<Turn> = (0..MOST).map(|_| now("f", 1).expect("a turn")).collect();
        let (mut gone, mut waiting) = (wait("f", 1), wait("f", 1));
        assert!(poll(&mut gone).is_none() && poll(&mut waiting).is_none());
        turns.pop().expect("one").ended(true);
        // It could have had it, and was dropped before it was polled again.
        drop(gone);
        assert!(poll(&mut waiting).is_some_and(|turn| turn.holds));
    }

    #[test]
    fn a_broker_that_is_away_keeps_nobody_waiting() {
        let mut turns: Vec<Turn> = (0..MOST).map(|_| now("d", 1).expect("a turn")).collect();
        let mut waiting: Vec<_> = (0..100).map(|_| wait("d", 1)).collect();
        assert!(waiting.iter_mut().all(|one| poll(one).is_none()));
        turns.pop().expect("one").ended(false);
        let free: Vec<Turn> = waiting.iter_mut().map(|one| poll(one).expect("a way")).collect();
        assert!(free.iter().all(|turn| !turn.holds));
        // It answers again: turns are taken as before.
        free.into_iter().for_each(|turn| turn.ended(true));
        turns.push(now("d", 1).expect("the one that is free"));
        assert!(now("d", 1).is_none());
    }

    #[test]
    fn nobody_waits_for_those_that_do_not_go_on() {
        on_core(|| async {
            let busy: Vec<Turn> = (0..MOST).map(|_| now("e", 1).expect("a turn")).collect();
            let free = turn("e", 1).await;
            assert!(!free.holds);
            drop(busy);
            free.ended(true);
            assert!(turn("e", 1).await.holds);
        });
    }
}
