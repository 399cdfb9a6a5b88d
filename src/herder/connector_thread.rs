//! One thread a connector instance: start, plan, wait, stop. Connector code may block or panic
//! there without harm to the herder.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use millrace_api::Config;
use millrace_api::connector::{Connector, ConnectorPlugin};
use millrace_net::log_context;

use crate::config_providers::{ConfigProviders, reverse_transform};
use crate::requests::Message;

/// How long a new instance waits for the one before it to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What an instance is made of.
pub(crate) struct Instance {
    pub name: Arc<str>,
    pub life: u64,
    /// As submitted.
    pub config: Arc<Config>,
    pub plugin: ConnectorPlugin,
    pub tasks_max: usize,
    pub providers: Arc<ConfigProviders>,
}

/// A running instance; dropping it lets the instance stop.
pub(crate) struct ConnectorThread {
    stop: Option<flume::Sender<()>>,
    ended: flume::Receiver<()>,
}

impl ConnectorThread {
    /// Starts the instance once `previous` has ended; the plan comes as [`Message::Planned`].
    pub fn spawn(
        instance: Instance,
        previous: Option<ConnectorThread>,
        herder: flume::Sender<Message>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = flume::bounded::<()>(0);
        let (ended_sender, ended) = flume::bounded::<()>(0);
        std::thread::Builder::new().name(format!("connector-{}", instance.name)).spawn(
            move || {
                // Disconnects when the thread ends, in whatever way.
                let _ended = ended_sender;
                if let Some(previous) = previous {
                    previous.stop_and_wait();
                }
                run(&instance, &stopped, &herder);
            },
        )?;
        Ok(Self { stop: Some(stop), ended })
    }

    /// Stops the instance and waits for its end, for a limited time.
    pub fn stop_and_wait(mut self) {
        self.stop = None;
        let _ = self.ended.recv_timeout(STOP_LIMIT);
    }

    /// Tells the instance to stop; a successor may wait for its end.
    pub fn tell_to_stop(&mut self) {
        self.stop = None;
    }
}

fn run(instance: &Instance, stopped: &flume::Receiver<()>, herder: &flume::Sender<Message>) {
    let _context = log_context::enter(Some(log_context::of_connector(&instance.name)));
    let mut connector = None;
    let outcome = guarded(|| plan(instance, connector.insert((instance.plugin.connector)())));
    let message =
        Message::Planned { name: Arc::clone(&instance.name), life: instance.life, outcome };
    if herder.send(message).is_ok() {
        // Ends by the sender's drop.
        let _ = stopped.recv();
    }
    if let Some(mut connector) = connector {
        let ended = guarded(|| {
            connector.stop();
            Ok(())
        });
        if let Err(error) = ended {
            tracing::warn!(connector = %instance.name, error, "stopping the connector failed");
        }
    }
}

fn plan(instance: &Instance, connector: &mut Box<dyn Connector>) -> Result<Vec<Config>, String> {
    let resolved = instance.providers.resolve(&instance.config);
    connector.start(&resolved).map_err(|error| error.trace())?;
    let tasks = connector.task_configs(instance.tasks_max).map_err(|error| error.trace())?;
    Ok(tasks.into_iter().map(|task| complete(instance, task)).collect())
}

/// `task.class`, a sink's topics, and no secrets.
fn complete(instance: &Instance, mut task: Config) -> Config {
    task.insert("task.class".to_owned(), instance.plugin.task_class.to_owned());
    if instance.plugin.is_sink() {
        for key in ["topics", "topics.regex"] {
            if let Some(topics) = instance.config.get(key) {
                task.insert(key.to_owned(), topics.clone());
            }
        }
    }
    reverse_transform(&instance.config, task)
}

/// A panic becomes a trace.
pub(crate) fn guarded<T>(code: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| {
        Err(format!("java.lang.RuntimeException: the connector panicked: {}", words(&*panic)))
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
