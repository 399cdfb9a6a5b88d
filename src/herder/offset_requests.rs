//! The herder's answers about offsets: of source connectors out of their store, of sinks those of their
//! consumer group. Config providers and connectors are asked, and brokers waited for, on a thread of
//! each request's own: one that is away keeps nobody else waiting.

use std::sync::Arc;
use std::time::Duration;

use millrace_api::Config;
use millrace_api::connector::{ConnectorPlugin, WantedOffset};
use millrace_net::rt;
use millrace_worker::command::SourceOffsetStore;

use crate::connector_thread::guarded;
use crate::context::HerderContext;
use crate::requests::{Answer, HerderError, OffsetChange, PartitionOffset, Reply};
use crate::sink_offsets::{self, SinkGroup};
use crate::source_offsets;

/// Requests about offsets that are worked on at the same time; each has a thread.
const AT_ONCE: usize = 32;
/// For reading what was stored, and for storing, each.
const LIMIT: Duration = Duration::from_secs(30);

/// The JVM's refusal to change the offsets of a connector that runs.
pub(crate) fn not_at_rest(name: &str) -> HerderError {
    HerderError::bad_request(format!(
        "Connectors must be in the STOPPED state before their offsets can be modified. This can be \
         done for the specified connector by issuing a 'PUT' request to the '/connectors/{name}/stop' \
         endpoint"
    ))
}

/// A connector whose offsets are asked about.
struct Subject {
    name: String,
    plugin: ConnectorPlugin,
    worker: Arc<Config>,
    /// Placeholders resolved.
    config: Config,
    stores: Arc<dyn OffsetStores>,
    /// Counts the threads.
    _busy: Arc<()>,
}

/// A store whose offsets can be listed.
pub(crate) trait OffsetEntries: SourceOffsetStore {
    /// All keys and values.
    fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)>;

    /// Reads what anybody stored before now; `done` may be called on any thread and must not block.
    fn refresh(&self, done: Box<dyn FnOnce(Result<(), String>) + Send>) {
        done(Ok(()));
    }
}

/// Where each source connector's offsets are.
pub(crate) trait OffsetStores: Send + Sync {
    /// By the connector's name and configuration, placeholders resolved.
    fn of_source(&self, name: &str, config: &Config) -> Result<Arc<dyn OffsetEntries>, String>;
}

/// One store for all.
pub(crate) struct OneStore(pub Arc<dyn OffsetEntries>);

impl OffsetStores for OneStore {
    fn of_source(&self, _: &str, _: &Config) -> Result<Arc<dyn OffsetEntries>, String> {
        Ok(Arc::clone(&self.0))
    }
}

/// Where offsets are kept, and what is needed to ask connectors and brokers about them.
#[derive(Clone)]
pub(crate) struct OffsetDesk {
    pub context: Arc<HerderContext>,
    pub stores: Arc<dyn OffsetStores>,
    /// Held by each thread that works on offsets.
    pub threads: Arc<()>,
}

impl OffsetDesk {
    pub fn new(context: Arc<HerderContext>, stores: Arc<dyn OffsetStores>) -> Self {
        Self { context, stores, threads: Arc::default() }
    }

    /// The offsets of a connector of that configuration.
    pub fn list(&self, name: &str, config: &Config, reply: Reply<Vec<PartitionOffset>>) {
        let of_sink = async |subject: &Subject| subject.group()?.list().await;
        self.work(name, config, reply, of_sink, |subject| {
            let store = subject.store()?;
            Ok(source_offsets::of_connector(&subject.name, &store.entries()))
        });
    }

    /// Changes the offsets of a connector that is at rest; `None` resets everything.
    pub fn alter(
        &self,
        name: &str,
        config: &Config,
        changes: Option<Vec<OffsetChange>>,
        reply: Reply<String>,
    ) {
        let changes = Arc::new(changes);
        let of_source = Arc::clone(&changes);
        self.work(
            name,
            config,
            reply,
            async move |subject: &Subject| alter_sink(subject, (*changes).as_deref()).await,
            move |subject| alter_source(subject, (*of_source).as_deref()),
        );
    }

    /// Does it on a thread of its own: config providers, connectors and brokers may take their time.
    fn work<T: Send + 'static>(
        &self,
        name: &str,
        config: &Config,
        reply: Reply<T>,
        of_sink: impl AsyncFnOnce(&Subject) -> Answer<T> + Send + 'static,
        of_source: impl FnOnce(&Subject) -> Answer<T> + Send + 'static,
    ) {
        if Arc::strong_count(&self.threads) > AT_ONCE {
            return reply.send(Err(HerderError::internal(
                "Too many requests about offsets wait for Kafka or for their connectors; try again",
            )));
        }
        let runtime = self.context.config.runtime();
        let (desk, name, config) = (self.clone(), name.to_owned(), config.clone());
        let busy = Arc::clone(&self.threads);
        let (reply, or_else) = reply.shared();
        let spawned = std::thread::Builder::new().name("offsets".to_owned()).spawn(move || {
            match desk.subject(name, &config, busy) {
                Err(error) => reply.send(Err(error)),
                Ok(subject) if subject.plugin.is_sink() => {
                    on_a_core(subject, runtime, reply, of_sink);
                }
                Ok(subject) => reply.send(of_source(&subject)),
            }
        });
        if let Err(error) = spawned {
            or_else.send(Err(no_thread(&error)));
        }
    }

    fn subject(self, name: String, config: &Config, busy: Arc<()>) -> Answer<Subject> {
        let Self { context, stores, .. } = self;
        let config = context.config.providers.resolve(config);
        let class = config.get("connector.class").map_or("", |class| class.trim());
        let plugin = *context.plugins.connector(class).ok_or_else(|| {
            HerderError::internal(format!("no connector class {class:?} is built in"))
        })?;
        let worker = Arc::clone(&context.config.properties);
        Ok(Subject { name, plugin, worker, config, stores, _busy: busy })
    }
}

impl Subject {
    fn group(&self) -> Answer<SinkGroup> {
        SinkGroup::of(&self.name, &self.worker, &self.config)
    }

    /// The store of a source, read to what anybody has stored before.
    fn store(&self) -> Answer<Arc<dyn OffsetEntries>> {
        let refused = |why: String| {
            let what = format!("Failed to retrieve offsets for connector {}", self.name);
            HerderError::internal(format!("{what}: {why}"))
        };
        let store = self.stores.of_source(&self.name, &self.config).map_err(refused)?;
        awaited(|done| store.refresh(done)).map_err(refused)?;
        Ok(store)
    }

    /// Asks an instance of the connector, which may refuse: whether nothing else is to be done.
    fn ask(&self, wanted: &[WantedOffset]) -> Answer<bool> {
        let asked = guarded(|| {
            let answer = (self.plugin.connector)().alter_offsets(&self.config, wanted);
            answer.map_err(|error| error.message)
        });
        asked.map_err(HerderError::internal)
    }
}

/// Waits for what `begin` begins.
fn awaited(begin: impl FnOnce(Box<dyn FnOnce(Result<(), String>) + Send>)) -> Result<(), String> {
    let (done, outcome) = flume::bounded(1);
    begin(Box::new(move |result| {
        let _ = done.try_send(result);
    }));
    outcome.recv_timeout(LIMIT).unwrap_or_else(|_| Err(format!("no answer in {LIMIT:?}")))
}

fn alter_source(subject: &Subject, changes: Option<&[OffsetChange]>) -> Answer<String> {
    let store = subject.store()?;
    let stored = store.entries();
    let (wanted, entries) = match changes {
        Some(changes) => {
            let wanted = source_offsets::wanted(changes)?;
            let entries = source_offsets::entries(&subject.name, &wanted);
            (wanted, entries)
        }
        None => {
            let known = source_offsets::of_connector(&subject.name, &stored);
            let wanted = known.into_iter().map(|(partition, _)| (partition, None)).collect();
            (wanted, source_offsets::tombstones(&subject.name, &stored))
        }
    };
    let complete = subject.ask(&wanted)?;
    awaited(|done| store.put(entries, done)).map_err(HerderError::internal)?;
    Ok(message(verb(changes), complete))
}

async fn alter_sink(subject: &Subject, changes: Option<&[OffsetChange]>) -> Answer<String> {
    let wanted = changes.map(sink_offsets::wanted).transpose()?;
    let group = subject.group()?;
    let offsets = match &wanted {
        Some(wanted) => wanted.clone(),
        None => group.all().await?,
    };
    let complete = subject.ask(&sink_offsets::for_connector(&offsets))?;
    match wanted {
        Some(_) => group.alter(&offsets).await?,
        None => group.reset().await?,
    }
    Ok(message(verb(changes), complete))
}

/// Runs `work` on a thread with an executor, for requests to Kafka.
fn on_a_core<T: Send + 'static>(
    subject: Subject,
    runtime: Option<rt::RuntimeChoice>,
    reply: Reply<T>,
    work: impl AsyncFnOnce(&Subject) -> Answer<T> + Send + 'static,
) {
    let (reply, or_else) = reply.shared();
    let mut options = rt::CoreOptions::new("offsets", None);
    options.runtime = runtime;
    let started = rt::start_core(options, move || async move {
        reply.send(work(&subject).await);
        // The connections' tasks end before their core does.
        rt::sleep(Duration::from_millis(10)).await;
    });
    if let Err(error) = started {
        or_else.send(Err(no_thread(&error)));
    }
}

fn no_thread(error: &std::io::Error) -> HerderError {
    HerderError::internal(format!("cannot start a thread for the offsets: {error}"))
}

fn verb(changes: Option<&[OffsetChange]>) -> &'static str {
    if changes.is_some() { "altered" } else { "reset" }
}

/// The JVM's words, with a warning where the connector does not say that this was all.
fn message(verb: &str, complete: bool) -> String {
    if complete {
        return format!("The offsets for this connector have been {verb} successfully");
    }
    format!(
        "The Connect framework-managed offsets for this connector have been {verb} successfully. \
         However, if this connector manages offsets externally, they will need to be manually \
         {verb} in the system that the connector uses."
    )
}
