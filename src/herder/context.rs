//! What is known of a running herder without asking it, and what others lend it.
//!
//! Who fills what: the command line makes the context; REST sets, when it is bound,
//! [`HerderContext::worker_id`], [`HerderContext::advertised_url`],
//! [`HerderContext::internal_client`] and [`HerderContext::logger_levels`], each once; a distributed
//! herder joins its group only when the first two are there. The herder tells through
//! [`HerderContext::stage`] what it is doing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use millrace_api::plugin::Plugins;

use crate::internal_requests::InternalClient;
use crate::requests::{Mailbox, Request};
use crate::stage::Stage;
use crate::worker_config::WorkerConfig;

/// What the front door and REST keep of a running herder.
pub struct HerderHandle {
    pub mailbox: Mailbox,
    pub context: Arc<HerderContext>,
    thread: std::thread::JoinHandle<()>,
}

/// Sets a logger (`root`, or a name) and those below it to a level, as `PUT /admin/loggers` does.
pub type LoggerLevels = Box<dyn Fn(&str, &str) + Send + Sync>;

/// What is known without asking the herder.
pub struct HerderContext {
    pub config: WorkerConfig,
    pub plugins: Arc<Plugins>,
    /// Set by whoever asked the brokers first; `/` shows null until then.
    pub cluster_id: OnceLock<String>,
    /// Set when REST is bound: with port 0 the port is known only then.
    pub worker_id: OnceLock<Arc<str>>,
    /// What other workers reach this one by: `http://host:port/`, with the slash.
    pub advertised_url: OnceLock<Arc<str>>,
    /// How the herder reaches other workers.
    pub internal_client: OnceLock<Box<dyn InternalClient>>,
    /// Called by the herder when the level of a logger is set for the whole cluster.
    pub logger_levels: OnceLock<LoggerLevels>,
    /// Why the herder has ended by itself.
    failure: OnceLock<String>,
    /// What the herder is doing: for `/health` and for requests that time out.
    pub stage: Stage,
}

impl HerderContext {
    pub(crate) fn new(config: WorkerConfig, plugins: Arc<Plugins>) -> Self {
        Self {
            config,
            plugins,
            cluster_id: OnceLock::new(),
            worker_id: OnceLock::new(),
            advertised_url: OnceLock::new(),
            internal_client: OnceLock::new(),
            logger_levels: OnceLock::new(),
            failure: OnceLock::new(),
            stage: Stage::default(),
        }
    }

    /// Why the herder has ended by itself, if it has: the process is to end, too.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub(crate) fn fail(&self, why: String) {
        let _ = self.failure.set(why);
    }

    pub(crate) fn set_logger_level(&self, namespace: &str, level: &str) {
        if let Some(set) = self.logger_levels.get() {
            set(namespace, level);
        }
    }
}

impl HerderHandle {
    pub(crate) fn new(
        mailbox: Mailbox,
        context: Arc<HerderContext>,
        thread: std::thread::JoinHandle<()>,
    ) -> Self {
        Self { mailbox, context, thread }
    }

    /// Stops all connectors and tasks, writes what is to be written, and waits for the end.
    pub fn shutdown(self) {
        let limit = self.context.config.graceful_timeout() + Duration::from_secs(10);
        let _ = self.mailbox.call(limit, Request::Shutdown);
        drop(self.mailbox);
        if self.thread.join().is_err() {
            tracing::error!("the herder's thread panicked");
        }
    }
}
