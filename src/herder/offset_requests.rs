//! The herder's answers about offsets: of source connectors out of the file, of sinks those of their
//! consumer group. Connectors are asked and brokers waited for on threads of their own.

use std::sync::Arc;

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
const AT_ONCE: usize = 8;

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
    runtime: Option<rt::RuntimeChoice>,
    /// Counts the threads.
    _busy: Arc<()>,
}

/// A store whose offsets can be listed.
pub(crate) trait OffsetEntries: SourceOffsetStore {
    /// All keys and values.
    fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)>;
}

/// Where offsets are kept, and what is needed to ask connectors and brokers about them.
#[derive(Clone)]
pub(crate) struct OffsetDesk {
    pub context: Arc<HerderContext>,
    pub store: Arc<dyn OffsetEntries>,
    /// Held by each thread that works on offsets.
    pub threads: Arc<()>,
}

impl OffsetDesk {
    pub fn new(context: Arc<HerderContext>, store: Arc<dyn OffsetEntries>) -> Self {
        Self { context, store, threads: Arc::default() }
    }

    /// The offsets of a connector of that configuration.
    pub fn list(&self, name: &str, config: &Config, reply: Reply<Vec<PartitionOffset>>) {
        match self.subject(name, config) {
            Err(error) => reply.send(Err(error)),
            Ok(subject) if subject.plugin.is_sink() => {
                on_a_core(subject, reply, async |subject| subject.group()?.list().await)
            }
            Ok(_) => reply.send(Ok(source_offsets::of_connector(name, &self.store.entries()))),
        }
    }

    /// Changes the offsets of a connector that is at rest; `None` resets everything.
    pub fn alter(
        &self,
        name: &str,
        config: &Config,
        changes: Option<Vec<OffsetChange>>,
        reply: Reply<String>,
    ) {
        match self.subject(name, config) {
            Err(error) => reply.send(Err(error)),
            Ok(subject) if subject.plugin.is_sink() => {
                on_a_core(subject, reply, async move |subject| {
                    alter_sink(subject, changes.as_deref()).await
                });
            }
            Ok(subject) => self.alter_source(subject, changes.as_deref(), reply),
        }
    }

    fn subject(&self, name: &str, config: &Config) -> Answer<Subject> {
        let config = self.context.config.providers.resolve(config);
        let class = config.get("connector.class").map_or("", |class| class.trim());
        let plugin = *self.context.plugins.connector(class).ok_or_else(|| {
            HerderError::internal(format!("no connector class {class:?} is built in"))
        })?;
        if Arc::strong_count(&self.threads) > AT_ONCE {
            return Err(HerderError::internal(
                "Too many requests about offsets wait for Kafka or for their connectors; try again",
            ));
        }
        Ok(Subject {
            name: name.to_owned(),
            plugin,
            worker: Arc::clone(&self.context.config.properties),
            config,
            runtime: self.context.config.runtime(),
            _busy: Arc::clone(&self.threads),
        })
    }

    fn alter_source(
        &self,
        subject: Subject,
        changes: Option<&[OffsetChange]>,
        reply: Reply<String>,
    ) {
        let verb = verb(changes);
        let stored = self.store.entries();
        let wanted = match changes.map(source_offsets::wanted).transpose() {
            Ok(Some(wanted)) => wanted,
            Ok(None) => source_offsets::of_connector(&subject.name, &stored)
                .into_iter()
                .map(|(partition, _)| (partition, None))
                .collect(),
            Err(error) => return reply.send(Err(error)),
        };
        let entries = match changes {
            Some(_) => source_offsets::entries(&subject.name, &wanted),
            None => source_offsets::tombstones(&subject.name, &stored),
        };
        let store = Arc::clone(&self.store);
        let (reply, or_else) = reply.shared();
        let spawned = std::thread::Builder::new().name("offsets".to_owned()).spawn(move || {
            let complete = match subject.ask(&wanted) {
                Ok(complete) => complete,
                Err(error) => return reply.send(Err(error)),
            };
            store.put(
                entries,
                Box::new(move |result| {
                    let message = || message(verb, complete);
                    reply.send(result.map(|()| message()).map_err(HerderError::internal));
                }),
            );
        });
        if let Err(error) = spawned {
            or_else.send(Err(no_thread(&error)));
        }
    }
}

impl Subject {
    fn group(&self) -> Answer<SinkGroup> {
        SinkGroup::of(&self.name, &self.worker, &self.config)
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
    reply: Reply<T>,
    work: impl AsyncFnOnce(&Subject) -> Answer<T> + Send + 'static,
) {
    let (reply, or_else) = reply.shared();
    let mut options = rt::CoreOptions::new("offsets", None);
    options.runtime = subject.runtime;
    let started = rt::start_core(options, move || async move {
        reply.send(work(&subject).await);
        // The connections' tasks end before their core does.
        rt::sleep(std::time::Duration::from_millis(10)).await;
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
