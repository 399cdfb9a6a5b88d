//! Waking tasks of the same core.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Tells tasks of this core that something has changed; costs no lock and no system call. Between
/// threads use a `flume` channel.
#[derive(Default)]
pub struct Notify {
    /// One notification that nobody was there to take.
    kept: Cell<bool>,
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Default)]
struct Waiter {
    notified: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Waiter {
    fn notify(&self) {
        self.notified.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Notify {
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the task that has waited longest. If none waits, the next one will not wait; any number of
    /// such notifications count as one.
    pub fn notify_one(&self) {
        let first = self.waiting.borrow_mut().pop_front();
        match first {
            Some(waiter) => waiter.notify(),
            None => self.kept.set(true),
        }
    }

    /// Wakes all that wait now; keeps nothing for later ones.
    pub fn notify_all(&self) {
        let all = std::mem::take(&mut *self.waiting.borrow_mut());
        for waiter in all {
            waiter.notify();
        }
    }

    /// Waits for a notification. Its place in the queue is taken when it is first polled; a notification
    /// is not lost if the future is dropped.
    pub async fn notified(&self) {
        if self.kept.take() {
            return;
        }
        let waiter = Rc::new(Waiter::default());
        self.waiting.borrow_mut().push_back(waiter.clone());
        let mut place = Place { notify: self, waiter, taken: false };
        poll_fn(|cx| {
            if place.waiter.notified.get() {
                place.taken = true;
                return Poll::Ready(());
            }
            place.waiter.waker.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// A place in the queue, given back when the wait is dropped.
struct Place<'a> {
    notify: &'a Notify,
    waiter: Rc<Waiter>,
    taken: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        if self.waiter.notified.get() {
            self.notify.notify_one();
        } else {
            self.notify.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.waiter));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_lite::future::poll_once;

    use super::*;
    use crate::rt::{on_core, sleep, spawn};

    #[test]
    fn one_and_all() {
        on_core(|| async {
            let (notify, woken) = (Rc::new(Notify::new()), Rc::new(Cell::new(0)));
            let tasks: Vec<_> = (0..5)
                .map(|_| {
                    let (notify, woken) = (notify.clone(), woken.clone());
                    spawn(async move {
                        notify.notified().await;
                        woken.set(woken.get() + 1);
                    })
                })
                .collect();
            sleep(Duration::from_millis(1)).await;
            assert_eq!((woken.get(), notify.waiting.borrow().len()), (0, 5));
            notify.notify_one();
            notify.notify_one();
            sleep(Duration::from_millis(1)).await;
            assert_eq!(woken.get(), 2);
            notify.notify_all();
            for task in tasks {
                task.await;
            }
            assert_eq!(woken.get(), 5);
            assert!(poll_once(notify.notified()).await.is_none(), "nothing is kept");
        });
    }

    #[test]
    fn kept_and_passed_on() {
        on_core(|| async {
            let notify = Notify::new();
            notify.notify_one();
            notify.notify_one();
            assert!(poll_once(notify.notified()).await.is_some());
            assert!(poll_once(notify.notified()).await.is_none());
            assert!(notify.waiting.borrow().is_empty(), "a dropped wait gives its place back");
            let mut first = Box::pin(notify.notified());
            let mut second = Box::pin(notify.notified());
            assert!(poll_once(&mut first).await.is_none());
            assert!(poll_once(&mut second).await.is_none());
            notify.notify_one();
            drop(first);
            assert!(poll_once(&mut second).await.is_some(), "the notification is passed on");
        });
    }
}
