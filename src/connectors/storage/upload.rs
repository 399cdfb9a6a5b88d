//! Objects on their way out: one background task an object, parts side by side, retried until the
//! store takes them.
//!
//! A failing store does not lose what was handed over: after the configured retries the trouble is
//! shown to the sink, which takes no more records, while the upload goes on trying at the slower pace
//! of `retry.backoff.ms`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use millrace_api::LocalFuture;
use millrace_net::rt;

use super::store::{Stamp, Store, StoreError};

/// Requests that one task has on the wire at once.
const MAX_REQUESTS: usize = 8;
/// Full part buffers that are kept for reuse.
const MAX_SPARES: usize = 2;

/// `s3.part.retries`, `s3.retry.backoff.ms`, `retry.backoff.ms`.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    pub retries: u32,
    /// Before the first retry; doubled for each further one, and jittered.
    pub backoff: Duration,
    /// Once the retries are used up.
    pub pause: Duration,
}

/// Longest wait between two retries.
const MAX_BACKOFF: Duration = Duration::from_secs(20);

/// What all uploads of a sink task share.
pub struct Uploads {
    store: Rc<dyn Store>,
    retry: RetryPolicy,
    requests: Cell<usize>,
    bytes: Cell<usize>,
    objects: Cell<usize>,
    troubled: Cell<usize>,
    trouble: RefCell<String>,
    fatal: RefCell<Option<String>>,
    wakers: RefCell<Vec<Waker>>,
    spares: RefCell<Vec<Vec<u8>>>,
    spare_bytes: usize,
    random: Cell<u64>,
}

impl Uploads {
    /// Buffers of at least `spare_bytes` are kept for reuse.
    pub fn new(
        store: Rc<dyn Store>,
        retry: RetryPolicy,
        spare_bytes: usize,
        seed: u64,
    ) -> Rc<Self> {
        Rc::new(Self {
            store,
            retry,
            requests: Cell::new(0),
            bytes: Cell::new(0),
            objects: Cell::new(0),
            troubled: Cell::new(0),
            trouble: RefCell::default(),
            fatal: RefCell::default(),
            wakers: RefCell::default(),
            spares: RefCell::default(),
            spare_bytes,
            random: Cell::new(seed | 1),
        })
    }

    /// Bytes handed over and not yet taken by the store.
    pub fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Objects begun and not yet complete.
    pub fn objects(&self) -> usize {
        self.objects.get()
    }

    /// What went wrong for good.
    pub fn fatal(&self) -> Option<String> {
        self.fatal.borrow().clone()
    }

    /// What is being retried beyond the configured retries.
    pub fn trouble(&self) -> Option<String> {
        (self.troubled.get() > 0).then(|| self.trouble.borrow().clone())
    }

    /// A buffer that has been used before, if there is one.
    pub fn spare(&self) -> Option<Vec<u8>> {
        self.spares.borrow_mut().pop()
    }

    /// What the buffers that are kept for reuse take.
    pub fn kept_bytes(&self) -> usize {
        self.spares.borrow().iter().map(Vec::capacity).sum()
    }

    /// Gives up such buffers where they take more than `room`.
    pub fn keep_spares_within(&self, room: usize) {
        while self.kept_bytes() > room {
            self.spares.borrow_mut().pop();
        }
    }

    fn keep_spare(&self, body: Bytes) {
        let mut spares = self.spares.borrow_mut();
        if body.len() >= self.spare_bytes && spares.len() < MAX_SPARES && body.is_unique() {
            // Being unique, it is not copied.
            let mut buffer = Vec::from(body);
            buffer.clear();
            spares.push(buffer);
        }
    }

    /// Waits until `ready`; looked at again whenever an upload has moved.
    pub async fn wait_until(&self, ready: impl Fn(&Self) -> bool) {
        std::future::poll_fn(|context| {
            if ready(self) {
                return Poll::Ready(());
            }
            let mut wakers = self.wakers.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    fn moved(&self) {
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        for waker in wakers {
            waker.wake();
        }
    }

    fn fail(&self, error: StoreError) {
        tracing::error!("{error}");
        self.fatal.borrow_mut().get_or_insert(error.message);
        self.moved();
    }

    /// Up to twice `base`, so that tasks that fail together do not come back together.
    fn jittered(&self, base: Duration) -> Duration {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        base + base.mul_f64((x >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Carries `request` out until it succeeds. `None` after a fatal error.
    async fn persist<'a, T>(
        &self,
        mut request: impl FnMut() -> LocalFuture<'a, Result<T, StoreError>>,
    ) -> Option<T> {
        let mut trouble: Option<Trouble<'_>> = None;
        loop {
            let mut backoff = self.retry.backoff;
            for attempt in 0..=self.retry.retries {
                let permit = Permit::acquire(self).await;
                let outcome = request().await;
                drop(permit);
                let error = match outcome {
                    Ok(value) => return Some(value),
                    Err(error) if !error.transient => {
                        self.fail(error);
                        return None;
                    }
                    Err(error) => error,
                };
                if attempt < self.retry.retries {
                    tracing::warn!("{error}; trying again");
                    rt::sleep(self.jittered(backoff)).await;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                } else {
                    trouble.get_or_insert_with(|| Trouble::begin(self)).is(&error);
                }
            }
            rt::sleep(self.jittered(self.retry.pause)).await;
        }
    }
}

/// The right to have a request on the wire.
struct Permit<'a>(&'a Uploads);

impl<'a> Permit<'a> {
    async fn acquire(uploads: &'a Uploads) -> Self {
        uploads.wait_until(|uploads| uploads.requests.get() < MAX_REQUESTS).await;
        uploads.requests.set(uploads.requests.get() + 1);
        Self(uploads)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get() - 1);
        self.0.moved();
    }
}

/// A request that has used up its retries, until it succeeds or is dropped.
struct Trouble<'a>(&'a Uploads);

impl<'a> Trouble<'a> {
    fn begin(uploads: &'a Uploads) -> Self {
        uploads.troubled.set(uploads.troubled.get() + 1);
        Self(uploads)
    }

    fn is(&self, error: &StoreError) {
        self.0.trouble.borrow_mut().clone_from(&error.message);
        self.0.moved();
    }
}

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        self.0.troubled.set(self.0.troubled.get() - 1);
        self.0.moved();
    }
}

/// Bytes on their way, counted as long as this lives.
struct Flying {
    uploads: Rc<Uploads>,
    body: Bytes,
}

impl Flying {
    fn new(uploads: &Rc<Uploads>, body: Bytes) -> Self {
        uploads.bytes.set(uploads.bytes.get() + body.len());
        Self { uploads: Rc::clone(uploads), body }
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.uploads.bytes.set(self.uploads.bytes.get() - self.body.len());
        self.uploads.keep_spare(std::mem::take(&mut self.body));
        self.uploads.moved();
    }
}

struct State {
    uploads: Rc<Uploads>,
    key: String,
    queue: RefCell<VecDeque<Flying>>,
    finish: Cell<Option<Stamp>>,
    done: Cell<bool>,
    left: Cell<bool>,
    /// The store may have begun an upload whose name is not known here yet.
    creating: Cell<bool>,
    upload: RefCell<Option<String>>,
}

impl State {
    /// No longer under way: complete, or given up.
    fn leave(&self) {
        if !self.left.replace(true) {
            self.uploads.objects.set(self.uploads.objects.get() - 1);
            self.uploads.moved();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.leave();
    }
}

/// One object on its way.
pub struct Upload {
    state: Rc<State>,
    task: rt::Task<()>,
}

impl Upload {
    /// Begins an object; nothing is sent before the first part or the finish.
    pub fn start(uploads: &Rc<Uploads>, key: String) -> Self {
        uploads.objects.set(uploads.objects.get() + 1);
        let state = Rc::new(State {
            uploads: Rc::clone(uploads),
            key,
            queue: RefCell::default(),
            finish: Cell::new(None),
            done: Cell::new(false),
            left: Cell::new(false),
            creating: Cell::new(false),
            upload: RefCell::new(None),
        });
        let task = rt::spawn(run(Rc::clone(&state)));
        Self { state, task }
    }

    /// Hands over a part of at least [`super::store::MIN_PART_BYTES`].
    pub fn part(&self, body: Vec<u8>) {
        let flying = Flying::new(&self.state.uploads, Bytes::from(body));
        self.state.queue.borrow_mut().push_back(flying);
        self.state.uploads.moved();
    }

    /// Hands over the rest, which may be empty only if there were parts.
    pub fn finish(&self, rest: Vec<u8>, stamp: Stamp) {
        self.state.finish.set(Some(stamp));
        self.part(rest);
    }

    pub fn is_done(&self) -> bool {
        self.state.done.get()
    }

    /// Gives the object up: stops what runs and frees what the store keeps of it. A store that was
    /// asked to begin an upload is waited for, since only its answer says what to abort.
    pub async fn cancel(self) {
        self.state.uploads.wait_until(|_| !self.state.creating.get()).await;
        self.task.cancel().await;
        if self.state.done.get() {
            return;
        }
        let upload = self.state.upload.take();
        if let Some(upload) = upload
            && let Err(error) = self.state.uploads.store.abort(&self.state.key, &upload).await
        {
            tracing::warn!("the upload of {} could not be aborted: {error}", self.state.key);
        }
    }
}

/// The object's life. Ends when it is complete or after a fatal error, which the sink sees.
async fn run(state: Rc<State>) {
    if carry_out(&state).await.is_some() {
        state.done.set(true);
        state.leave();
    }
}

async fn carry_out(state: &Rc<State>) -> Option<()> {
    let uploads = &state.uploads;
    let store = &uploads.store;
    uploads.wait_until(|_| !state.queue.borrow().is_empty()).await;
    let is_whole = state.queue.borrow().len() == 1;
    if let Some(stamp) = state.finish.get().filter(|_| is_whole) {
        let whole = state.queue.borrow_mut().pop_front()?;
        return uploads.persist(|| put(state, whole.body.clone(), stamp)).await;
    }
    let upload = uploads.persist(|| create(state)).await?;
    let mut parts: Vec<rt::Task<Option<String>>> = Vec::new();
    let mut tags = Vec::new();
    loop {
        uploads
            .wait_until(|_| !state.queue.borrow().is_empty() || state.finish.get().is_some())
            .await;
        let Some(part) = state.queue.borrow_mut().pop_front() else { break };
        if part.body.is_empty() {
            continue;
        }
        let number = (tags.len() + parts.len() + 1) as u32;
        let sending = send_part(Rc::clone(state), upload.clone(), number, part);
        if store.in_order() {
            tags.push(sending.await?);
        } else {
            parts.push(rt::spawn(sending));
        }
    }
    for part in parts {
        tags.push(part.await?);
    }
    let stamp = state.finish.get()?;
    uploads.persist(|| store.complete(&state.key, &upload, &tags, &stamp)).await?;
    state.upload.replace(None);
    Some(())
}

fn create(state: &State) -> LocalFuture<'_, Result<String, StoreError>> {
    Box::pin(async move {
        state.creating.set(true);
        let created = state.uploads.store.create(&state.key).await;
        if let Ok(upload) = &created {
            state.upload.replace(Some(upload.clone()));
        }
        state.creating.set(false);
        state.uploads.moved();
        created
    })
}

fn put(state: &State, body: Bytes, stamp: Stamp) -> LocalFuture<'_, Result<(), StoreError>> {
    Box::pin(async move { state.uploads.store.put(&state.key, body, &stamp).await })
}

async fn send_part(state: Rc<State>, upload: String, number: u32, part: Flying) -> Option<String> {
    let store = &state.uploads.store;
    state
        .uploads
        .persist(|| store.upload_part(&state.key, &upload, number, part.body.clone()))
        .await
}
