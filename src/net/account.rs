//! Whose time and memory it is: the account of a task.
//!
//! An account rides with a task's futures, as [`crate::log_context`] does: it is the thread's present
//! one during each of their polls ([`Account::within`]), and what they spawn inherits it
//! ([`inherited`]). So a core can say whose future it polls ([`crate::rt::Watch`]), and the allocator
//! ([`crate::allocator`]) to whom memory belongs. Two stores and two swaps of a thread-local pointer a
//! poll, one addition an allocation.
//!
//! Memory belongs to the account in which it was allocated until it is freed, wherever that is; what
//! is enlarged belongs to whom enlarges it. It is counted as asked for: the allocator's own rounding
//! and what C libraries allocate are not in it, buffers that a core lends to its tasks in turn belong
//! to the one for which they grew.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::rt::watch;

/// The books of an account, which blocks of memory point to: never freed, but used again.
pub(crate) struct Books {
    number: AtomicU32,
    /// Held now. Exact, as each block knows its books: 0 means that no block is left.
    bytes: AtomicUsize,
    /// Beyond this the allocator stops the thread.
    most: AtomicUsize,
}

thread_local! {
    /// No destructor: the allocator looks at it at any time of a thread's life.
    static CURRENT: Cell<Option<&'static Books>> = const { Cell::new(None) };
}

/// Books of closed accounts: those that hold nothing any more are used again.
static CLOSED: Mutex<Vec<&'static Books>> = Mutex::new(Vec::new());

fn closed() -> MutexGuard<'static, Vec<&'static Books>> {
    CLOSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An open account; closed when dropped.
pub struct Account(&'static Books);

impl Account {
    /// Opens one. `number` is what a [`crate::rt::Watch`] shows of it, not 0; beyond `most` bytes the
    /// allocator stops the core's thread, if it may.
    pub fn open(number: u32, most: usize) -> Self {
        aside(|| {
            let mut closed = closed();
            let free = closed.iter().position(|books| books.bytes.load(Ordering::Acquire) == 0);
            let books = match free {
                Some(at) => closed.swap_remove(at),
                None => Box::leak(Box::new(Books {
                    number: AtomicU32::new(0),
                    bytes: AtomicUsize::new(0),
                    most: AtomicUsize::new(0),
                })),
            };
            books.number.store(number, Ordering::Relaxed);
            books.most.store(most, Ordering::Relaxed);
            Self(books)
        })
    }

    /// Bytes that it holds now; 0 where the process has another allocator than ours.
    pub fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// The future, on this account whenever it is polled. Never polled again on a core that was given
    /// up.
    pub fn within<F: Future>(&self, future: F) -> Within<F> {
        Within { books: Some(self.0), future }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // What outlives the task, such as a table that others use, grows at nobody's expense.
        self.0.most.store(usize::MAX, Ordering::Relaxed);
        aside(|| closed().push(self.0));
    }
}

/// The future, on the account of now.
pub fn inherited<F: Future>(future: F) -> Within<F> {
    Within { books: CURRENT.get(), future }
}

pin_project_lite::pin_project! {
    /// See [`Account::within`].
    pub struct Within<F> {
        books: Option<&'static Books>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(books) = *this.books else { return this.future.poll(cx) };
        if !watch::enter(books.number.load(Ordering::Relaxed)) {
            return Poll::Pending;
        }
        let _polling = Polling { before: CURRENT.replace(Some(books)) };
        this.future.poll(cx)
    }
}

/// A poll, until it ends.
struct Polling {
    before: Option<&'static Books>,
}

impl Drop for Polling {
    fn drop(&mut self) {
        CURRENT.set(self.before);
        // A panic that nobody caught ends the core; whose it was stays to be seen.
        if !std::thread::panicking() {
            let number = |books: &Books| books.number.load(Ordering::Relaxed);
            watch::leave(self.before.map_or(0, number));
        }
    }
}

/// This moment is on somebody's account.
pub(crate) fn is_somebodys() -> bool {
    CURRENT.get().is_some()
}

/// Puts the account back that was there before.
struct Entered(Option<&'static Books>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Does `work` on nobody's account: for what is shared with other threads. Within a lock that others
/// take, the allocator must not stop the thread.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    let _entered = Entered(CURRENT.replace(None));
    work()
}

/// `work` for a companion thread, on the account of now.
pub(crate) fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let books = CURRENT.get();
    move || {
        let _entered = Entered(CURRENT.replace(books));
        work()
    }
}

/// Books `bytes` to the present account, if there is one. May not return: see
/// [`crate::rt::Watch::stopped_at`].
pub(crate) fn charge(bytes: usize) -> Option<&'static Books> {
    let books = CURRENT.get()?;
    charge_to(books, bytes);
    Some(books)
}

/// As [`charge`], to the present account or else to `owner`.
pub(crate) fn charge_here_or(
    owner: Option<&'static Books>,
    bytes: usize,
) -> Option<&'static Books> {
    if let Some(books) = charge(bytes) {
        return Some(books);
    }
    let owner = owner?;
    owner.bytes.fetch_add(bytes, Ordering::Relaxed);
    Some(owner)
}

fn charge_to(books: &'static Books, bytes: usize) {
    let held = books.bytes.fetch_add(bytes, Ordering::Relaxed).wrapping_add(bytes);
    if held > books.most.load(Ordering::Relaxed) {
        pass_limit(held);
    }
}

/// While a panic is under way locks of the standard library may be held: it may go on.
#[cold]
fn pass_limit(held: usize) {
    if !std::thread::panicking() {
        watch::stop_here(held);
    }
}

/// Takes what was charged off again.
pub(crate) fn credit(books: &'static Books, bytes: usize) {
    books.bytes.fetch_sub(bytes, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, yield_now};

    use super::*;

    #[test]
    fn futures_that_take_turns_keep_their_own_and_give_it_to_what_they_spawn() {
        let one = Account::open(1, usize::MAX);
        let (outer, inner) = block_on(one.within(async {
            let (outer, child) = (charge(100), inherited(async { charge(10) }));
            yield_now().await;
            (outer, aside(|| block_on(child)))
        }));
        assert_eq!(one.bytes(), 110);
        assert!(charge(5).is_none(), "nobody's turn");
        let carried = block_on(one.within(async { carried(|| charge(1)) }));
        let third = std::thread::spawn(carried).join().unwrap();
        assert_eq!(one.bytes(), 111);
        for (books, bytes) in [(outer, 100), (inner, 10), (third, 1)] {
            credit(books.unwrap(), bytes);
        }
        assert_eq!(one.bytes(), 0);
    }

    #[test]
    fn books_are_used_again_when_they_hold_nothing() {
        let one = Account::open(1, 7);
        let held = block_on(one.within(async { charge(5) })).unwrap();
        let books: *const Books = one.0;
        drop(one);
        let others: Vec<Account> = (0..50).map(|number| Account::open(number + 2, 7)).collect();
        assert!(others.iter().all(|other| !std::ptr::eq(other.0, books)), "it holds five bytes");
        credit(held, 5);
        let again = |_| std::ptr::eq(Account::open(3, 7).0, books);
        // Other tests open and close accounts, too.
        assert!(closed().iter().any(|other| std::ptr::eq(*other, books)) || (0..9).any(again));
    }
}
