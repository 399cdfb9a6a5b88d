//! The epoll instance, and who waits for which socket.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use slab::Slab;

/// Events that one call takes; what is left comes with the next.
const EVENTS: usize = 256;
/// What the bell of other threads and the alarm bear instead of a place in the slab.
const BELL: u64 = u64::MAX;
const ALARM: u64 = u64::MAX - 1;
/// epoll counts milliseconds, so shorter waits than this are left to the alarm, which counts
/// nanoseconds, for the price of a system call. `epoll_pwait2` would need no alarm, but is younger
/// than io_uring itself and absent where epoll is needed.
const FINE: Duration = Duration::from_millis(10);
/// An idle core looks around that often, whatever it waits for.
const LONGEST: Duration = Duration::from_secs(3600);

/// Who waits for one direction of a socket, and whether there is something to wait for.
#[derive(Default)]
struct Direction {
    ready: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Direction {
    fn wake(&self) {
        self.ready.set(true);
        // A waker may run what waits again, so none is called within the borrow; the room is kept.
        while let Some(waker) = self.pop() {
            waker.wake();
        }
    }

    fn pop(&self) -> Option<Waker> {
        self.waiting.borrow_mut().pop()
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.ready.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// What is known of one socket.
#[derive(Default)]
struct Source {
    reading: Direction,
    writing: Direction,
    /// The peer has ended its side, or the connection is broken: there is always an answer to a read.
    ended: Cell<bool>,
}

impl Source {
    fn happened(&self, flags: EventFlags) {
        let ended = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(ended) {
            self.ended.set(true);
        }
        if flags.intersects(ended | EventFlags::IN) {
            self.reading.wake();
        }
        if flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR) {
            self.writing.wake();
        }
    }
}

/// A socket that the core watches; dropped before the socket is closed.
pub(super) struct Watched {
    reactor: Rc<Reactor>,
    key: usize,
    source: Rc<Source>,
}

impl Watched {
    /// Ready as long as reads may find something.
    pub(super) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        self.source.reading.poll(cx)
    }

    pub(super) fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        self.source.writing.poll(cx)
    }

    /// A read found nothing.
    pub(super) fn drained(&self) {
        self.source.reading.ready.set(false);
    }

    /// A read did not fill its buffer: nothing is left, and what comes is an edge of its own. This
    /// spares the call that would only say so. A connection that has ended stays readable, since its
    /// edge may be the one that has been seen.
    pub(super) fn emptied(&self) {
        if !self.source.ended.get() {
            self.drained();
        }
    }

    /// A write found no room, or less than it wanted.
    pub(super) fn filled(&self) {
        self.source.writing.ready.set(false);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Closing the socket takes it out of the epoll instance. Wakers are dropped outside of the
        // borrow, since they may hold the last reference to a task.
        let source = self.reactor.sources.borrow_mut().try_remove(self.key);
        drop(source);
    }
}

/// The epoll instance of a core.
pub(super) struct Reactor {
    epoll: OwnedFd,
    alarm: OwnedFd,
    /// When the alarm rings, if it is set.
    alarm_at: Cell<Option<Instant>>,
    sources: RefCell<Slab<Rc<Source>>>,
    events: RefCell<Vec<Event>>,
}

impl Reactor {
    /// `bell` wakes the core from other threads.
    pub(super) fn new(bell: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let alarm = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let edge = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, bell, EventData::new_u64(BELL), edge)?;
        epoll::add(&epoll, &alarm, EventData::new_u64(ALARM), edge)?;
        Ok(Self {
            epoll,
            alarm,
            alarm_at: Cell::new(None),
            sources: RefCell::default(),
            events: RefCell::new(Vec::with_capacity(EVENTS)),
        })
    }

    /// Watches a socket in both directions, edge-triggered, for as long as it lives: one call a socket
    /// instead of one a wait. What is ready already comes with the next [`Self::wait`].
    pub(super) fn watch(self: &Rc<Self>, socket: impl AsFd) -> io::Result<Watched> {
        let source = Rc::new(Source::default());
        let key = self.sources.borrow_mut().insert(Rc::clone(&source));
        // Made first, so that an error gives the place back.
        let watched = Watched { reactor: Rc::clone(self), key, source };
        let both = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(key as u64), both)?;
        Ok(watched)
    }

    /// Takes what has happened, without waiting.
    pub(super) fn poll(&self) -> io::Result<()> {
        self.take_events(Some(&Timespec::default()))
    }

    /// Waits until something happens, at most until `until`. May return early.
    pub(super) fn wait(&self, until: Option<Instant>) -> io::Result<()> {
        let left = until.map_or(LONGEST, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return self.poll();
        }
        let mut limit = left.min(LONGEST);
        if left < FINE {
            self.set_alarm(until, left)?;
            // The alarm ends the wait; should it not, this does.
            limit = FINE;
        }
        // rustix rounds up to whole milliseconds.
        let limit =
            Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        self.take_events(Some(&limit))
    }

    /// An alarm for a time that nobody waits for any more wakes the core once for nothing: cheaper than
    /// taking it back.
    fn set_alarm(&self, at: Option<Instant>, left: Duration) -> io::Result<()> {
        if self.alarm_at.get() == at {
            return Ok(());
        }
        let left = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec::default(), it_value: left };
        timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &once)?;
        self.alarm_at.set(at);
        Ok(())
    }

    fn take_events(&self, limit: Option<&Timespec>) -> io::Result<()> {
        let mut events = self.events.borrow_mut();
        events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), limit) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Wakers only put tasks into lanes: no task runs, and no socket is dropped, in this loop.
        for event in events.iter() {
            match event.data.u64() {
                BELL => {}
                ALARM => self.alarm_at.set(None),
                key => {
                    let source = self.sources.borrow().get(key as usize).cloned();
                    if let Some(source) = source {
                        source.happened(event.flags);
                    }
                }
            }
        }
        Ok(())
    }
}
