//! Waiting for one another on one core: a value handed over once, and a bell that wakes many.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    sender_gone: bool,
    receiver_gone: bool,
}

/// The giving end of [`oneshot`].
pub(crate) struct Sender<T>(Rc<RefCell<Slot<T>>>);

/// The waiting end of [`oneshot`]: the value, or `None` if the sender went without one.
pub(crate) struct Receiver<T>(Rc<RefCell<Slot<T>>>);

/// Hands one value from one task of this core to another.
pub(crate) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Rc::new(RefCell::new(Slot {
        value: None,
        waker: None,
        sender_gone: false,
        receiver_gone: false,
    }));
    (Sender(slot.clone()), Receiver(slot))
}

impl<T> Sender<T> {
    pub fn send(self, value: T) {
        self.0.borrow_mut().value = Some(value);
    }

    /// Whether nobody waits any more.
    pub fn is_abandoned(&self) -> bool {
        self.0.borrow().receiver_gone
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.borrow_mut();
            slot.sender_gone = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.borrow_mut().receiver_gone = true;
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.borrow_mut();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Some(value));
        }
        if slot.sender_gone {
            return Poll::Ready(None);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A bell: whoever began to listen before it rang wakes when it rings.
#[derive(Default)]
pub(crate) struct Bell {
    rings: Cell<u64>,
    next_key: Cell<u64>,
    listeners: RefCell<BTreeMap<u64, Waker>>,
}

impl Bell {
    pub fn ring(&self) {
        self.rings.set(self.rings.get() + 1);
        let listeners = std::mem::take(&mut *self.listeners.borrow_mut());
        for waker in listeners.into_values() {
            waker.wake();
        }
    }

    /// Completes at the first ring after this call.
    pub fn listen(&self) -> Listen<'_> {
        Listen { bell: self, since: self.rings.get(), key: None }
    }
}

/// See [`Bell::listen`].
pub(crate) struct Listen<'a> {
    bell: &'a Bell,
    since: u64,
    key: Option<u64>,
}

impl Future for Listen<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.bell.rings.get() != self.since {
            return Poll::Ready(());
        }
        let key = match self.key {
            Some(key) => key,
            None => {
                let key = self.bell.next_key.get();
                self.bell.next_key.set(key + 1);
                self.key = Some(key);
                key
            }
        };
        self.bell.listeners.borrow_mut().insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Listen<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.bell.listeners.borrow_mut().remove(&key);
        }
    }
}

/// Wakes the one task that drives something, and remembers that it was rung until it is asked.
#[derive(Default)]
pub(crate) struct Doorbell {
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Doorbell {
    pub fn ring(&self) {
        self.rung.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it was rung since the last time; if not, `cx` is woken when it is.
    pub fn poll_rung(&self, cx: &mut Context<'_>) -> bool {
        if self.rung.take() {
            return true;
        }
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        false
    }
}
