//! The embedded broker for the quickstart, demos and fast tests. Never for production.
//!
//! One node on one core that speaks Kafka's wire protocol: topics, groups of the classic protocol,
//! idempotent and transactional producers, kept in files. It keeps one copy of everything and
//! fsyncs only when it is stopped; what a machine loses in a crash is lost. [`BrokerHandle::faults`]
//! makes it misbehave on purpose.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use millrace_broker::{Broker, BrokerOptions};
//!
//! let listen = "127.0.0.1:9092".parse().expect("an address");
//! let broker = Broker::spawn_thread(BrokerOptions::new(listen, "/tmp/broker"), None)?;
//! println!("bootstrap.servers={}", broker.addr());
//! broker.stop_blocking()
//! # }
//! ```

mod admin;
mod api;
mod compaction;
mod core;
mod faults;
mod fetch;
mod group_api;
mod groups;
mod log;
mod metadata;
mod offset_api;
mod offsets;
mod produce;
mod producers;
mod protocol;
mod rows;
mod segment;
mod signal;
mod topics;
mod transaction_api;
mod transactions;
mod wire;

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_net::rt;

use crate::core::Core;
pub use crate::faults::{Fault, FaultAction, Faults};
use crate::signal::{Notify, unless};

/// More connections than this at a time are closed as they come.
const MAX_CONNECTIONS: usize = 4096;
/// How long a stop waits for connections to let go.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How a broker is set up.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The host that clients are told to connect to; the listening address if `None`.
    pub advertised_host: Option<String>,
    /// Holds everything; one broker at a time.
    pub data_dir: PathBuf,
    pub node_id: i32,
    /// `num.partitions`.
    pub default_partitions: i32,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `group.min.session.timeout.ms`; tests of expiring members may want less than Kafka's 6 s.
    pub min_session_timeout: Duration,
}

impl BrokerOptions {
    /// Kafka's defaults for all but address and directory.
    pub fn new(listen: SocketAddr, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            advertised_host: None,
            data_dir: data_dir.into(),
            node_id: 1,
            default_partitions: 1,
            auto_create_topics: true,
            min_session_timeout: Duration::from_secs(6),
        }
    }
}

/// A broker that runs. Dropping the handle stops it without waiting; [`BrokerHandle::stop`] waits
/// until all is on disk.
pub struct BrokerHandle {
    addr: SocketAddr,
    faults: Faults,
    stop: flume::Sender<()>,
    stopped: flume::Receiver<io::Result<()>>,
    thread: Option<rt::CoreThread>,
}

impl BrokerHandle {
    /// Where the broker listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The switch for faults, usable from any thread.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// Closes all connections and makes everything durable.
    pub async fn stop(self) -> io::Result<()> {
        drop(self.stop);
        self.stopped.recv_async().await.unwrap_or(Ok(()))
    }

    /// As [`BrokerHandle::stop`], for brokers on threads of their own: never on the broker's core.
    pub fn stop_blocking(self) -> io::Result<()> {
        drop(self.stop);
        let result = self.stopped.recv().unwrap_or(Ok(()));
        match self.thread.map(rt::CoreThread::join) {
            Some(Err(panic)) => Err(io::Error::other(panic)),
            _ => result,
        }
    }
}

/// Starts brokers.
pub struct Broker;

impl Broker {
    /// Starts a broker on the current core, beside whatever else runs there. Opening large logs
    /// keeps the core busy for a while.
    pub async fn start_on_current_core(options: BrokerOptions) -> io::Result<BrokerHandle> {
        let (core, listener, lock) = open(options)?;
        let core = Rc::new(core);
        let (stop, stop_asked) = flume::bounded(1);
        let (stopped_tell, stopped) = flume::bounded(1);
        let addr = listener.local_addr()?;
        let faults = core.faults.clone();
        rt::spawn(accept(core.clone(), listener)).detach();
        rt::spawn_urgent(core.clone().keep_time(0)).detach();
        rt::spawn(async move {
            // An error is the handle's end, and means the same.
            let _ = stop_asked.recv_async().await;
            core.stop.notify();
            let deadline = std::time::Instant::now() + STOP_PATIENCE;
            while core.connections.get() > 0 && std::time::Instant::now() < deadline {
                rt::sleep(Duration::from_millis(1)).await;
            }
            let result = core.sync();
            drop(lock);
            tracing::info!("the embedded broker has stopped");
            let _ = stopped_tell.send(result);
        })
        .detach();
        Ok(BrokerHandle { addr, faults, stop, stopped, thread: None })
    }

    /// Starts a broker on a thread with an executor of its own, pinned to `cpu` if given.
    pub fn spawn_thread(options: BrokerOptions, cpu: Option<usize>) -> io::Result<BrokerHandle> {
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = rt::start_core(rt::CoreOptions::new("broker", cpu), move || async move {
            match Self::start_on_current_core(options).await {
                Ok(handle) => {
                    let stopped = handle.stopped.clone();
                    let (tell, result) = flume::bounded(1);
                    let _ = ready.send(Ok(BrokerHandle { stopped: result, ..handle }));
                    // Keeps the executor until the broker has stopped.
                    let _ = tell.send(stopped.recv_async().await.unwrap_or(Ok(())));
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        match started.recv() {
            Ok(Ok(handle)) => Ok(BrokerHandle { thread: Some(thread), ..handle }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the broker's thread ended before it had started")),
        }
    }
}

fn open(options: BrokerOptions) -> io::Result<(Core, rt::TcpListener, File)> {
    let directory = options.data_dir.clone();
    fs::create_dir_all(&directory)?;
    let lock = File::create(directory.join("lock"))?;
    lock.try_lock().map_err(|error| {
        io::Error::other(format!("{} is another broker's directory: {error}", directory.display()))
    })?;
    let topics = topics::Topics::open(&directory)?;
    let offsets = offsets::OffsetStore::open(&directory.join("offsets"))?;
    let transactions = transactions::Transactions::open(&directory.join("transactions"))?;
    let listener = rt::TcpListener::bind(options.listen)?;
    let port = listener.local_addr()?.port();
    tracing::warn!(
        directory = %directory.display(),
        listen = %listener.local_addr()?,
        "embedded broker: for the quickstart, demos and tests, never for production: one copy of \
         everything, fsync only when it stops, no authentication"
    );
    let min_session_ms = options.min_session_timeout.as_millis() as i32;
    let core = Core {
        options,
        port,
        topics: RefCell::new(topics),
        groups: RefCell::new(groups::Groups::new(min_session_ms)),
        offsets: RefCell::new(offsets),
        transactions: RefCell::new(transactions),
        waiting: RefCell::default(),
        deadlines: Notify::default(),
        stop: Notify::default(),
        faults: Faults::default(),
        connections: Cell::new(0),
        next_token: Cell::new(0),
    };
    Ok((core, listener, lock))
}

async fn accept(core: Rc<Core>, listener: rt::TcpListener) {
    while let Some(accepted) = unless(&core.stop, 0, listener.accept()).await {
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                rt::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        if core.connections.get() >= MAX_CONNECTIONS {
            tracing::warn!(MAX_CONNECTIONS, "too many connections");
            continue;
        }
        core.connections.set(core.connections.get() + 1);
        let core = core.clone();
        rt::spawn(async move {
            let connection = wire::Connection::new(core.clone(), stream);
            if let Some(Err(error)) = unless(&core.stop, 0, connection.serve()).await {
                tracing::debug!(%error, "closed a connection");
            }
            core.connections.set(core.connections.get() - 1);
        })
        .detach();
    }
}

/// Wall-clock time in ms since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests;
