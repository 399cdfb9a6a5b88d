//! One thread a connector instance: start, plan, wait, stop. Connector code may block or panic
//! there without harm to the herder.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::Config;
use millrace_api::connector::{Connector, ConnectorPlugin};
use millrace_net::log_context;

use crate::config_providers::{ConfigProviders, Resolved, reverse_transform};
use crate::requests::{Mailbox, Message, Request, RestartScope};

/// How long a new instance waits for the one before it to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Beyond a secret's time, so that it is over where it is kept, too.
const REFRESH: Duration = Duration::from_millis(50);
/// Until a config provider that failed, or a herder that refused, is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a restart may take to be granted.
const RESTART_LIMIT: Duration = Duration::from_secs(90);

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
                if let Some(previous) = previous {
                    previous.stop_and_wait();
                }
                run(&instance, &stopped, &herder);
                // Disconnects when the thread ends, in whatever way; before the herder hears of it.
                drop(ended_sender);
                let (name, life) = (instance.name, instance.life);
                let _ = herder.send(Message::Ended { name, life });
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

/// Puts the instance in the place of the one of its name, which it lets end first.
pub(crate) fn start(
    threads: &mut HashMap<Arc<str>, ConnectorThread>,
    instance: Instance,
    herder: flume::Sender<Message>,
) -> Result<(), String> {
    let name = Arc::clone(&instance.name);
    let previous = threads.remove(&name);
    let thread = ConnectorThread::spawn(instance, previous, herder)
        .map_err(|error| format!("cannot start the connector's thread: {error}"))?;
    threads.insert(name, thread);
    Ok(())
}

fn run(instance: &Instance, stopped: &flume::Receiver<()>, herder: &flume::Sender<Message>) {
    let _context = log_context::enter(Some(log_context::of_connector(&instance.name)));
    let mut connector = None;
    let mut given = Resolved::default();
    let outcome =
        guarded(|| plan(instance, connector.insert((instance.plugin.connector)()), &mut given));
    let message =
        Message::Planned { name: Arc::clone(&instance.name), life: instance.life, outcome };
    if herder.send(message).is_ok() {
        wait(instance, &given, connector.as_mut(), stopped, herder);
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

fn plan(
    instance: &Instance,
    connector: &mut Box<dyn Connector>,
    given: &mut Resolved,
) -> Result<Vec<Config>, String> {
    *given = instance.providers.try_resolve(&instance.config).map_err(unresolved)?;
    connector.start(&given.config).map_err(|error| error.trace())?;
    tasks(instance, connector, given)
}

fn tasks(
    instance: &Instance,
    connector: &mut Box<dyn Connector>,
    given: &Resolved,
) -> Result<Vec<Config>, String> {
    let tasks = connector.task_configs(instance.tasks_max).map_err(|error| error.trace())?;
    Ok(tasks.into_iter().map(|task| complete(instance, &given.config, task)).collect())
}

/// The trace of a configuration whose secrets could not be had.
pub(crate) fn unresolved(why: String) -> String {
    format!("org.apache.kafka.common.config.ConfigException: {why}")
}

/// Until the instance is to stop, which the sender's drop tells. Meanwhile the connector looks after
/// what it asked to. When a secret's time is over, it is asked for again; if it has changed, the
/// connector restarts with its tasks (`config.action.reload`).
fn wait(
    instance: &Instance,
    given: &Resolved,
    mut connector: Option<&mut Box<dyn Connector>>,
    stopped: &flume::Receiver<()>,
    herder: &flume::Sender<Message>,
) {
    let reload = instance.config.get("config.action.reload").map(|text| text.trim());
    let expiry = |ttl: Duration| Instant::now().checked_add(ttl + REFRESH);
    let mut expires = given.ttl.filter(|_| reload != Some("none")).and_then(expiry);
    let mut tends = connector.is_some().then(Instant::now);
    while let Some(next) = expires.into_iter().chain(tends).min() {
        if stopped.recv_deadline(next) != Err(flume::RecvTimeoutError::Timeout) {
            return;
        }
        let now = Instant::now();
        if tends.is_some_and(|at| at <= now)
            && let Some(connector) = connector.as_deref_mut()
        {
            tends = tend(instance, given, connector, herder);
        }
        if expires.is_none_or(|at| at > now) {
            continue;
        }
        match instance.providers.try_resolve(&instance.config) {
            Ok(now) if now.config == given.config => expires = now.ttl.and_then(expiry),
            Ok(_) => {
                tracing::info!(
                    connector = %instance.name,
                    "a config provider gives other values: the connector and its tasks restart"
                );
                return restart(instance, stopped, herder);
            }
            Err(why) => {
                tracing::warn!(connector = %instance.name, "a config provider failed: {why}");
                expires = expiry(AGAIN);
            }
        }
    }
    let _ = stopped.recv();
}

/// Lets the connector look after its things and, where it wants that, plan its tasks anew; when it is
/// to be called again. A connector that panics is left alone: its tasks go on.
fn tend(
    instance: &Instance,
    given: &Resolved,
    connector: &mut Box<dyn Connector>,
    herder: &flume::Sender<Message>,
) -> Option<Instant> {
    let tended = guarded(|| {
        let tending = connector.tend();
        let plan = match tending.replan {
            true => Some(tasks(instance, connector, given)?),
            false => None,
        };
        Ok((tending.again, plan))
    });
    match tended {
        Ok((again, plan)) => {
            if let Some(plan) = plan {
                let (name, life) = (Arc::clone(&instance.name), instance.life);
                // A herder that has ended needs no plan.
                let _ = herder.send(Message::Planned { name, life, outcome: Ok(plan) });
            }
            again.and_then(|wait| Instant::now().checked_add(wait))
        }
        Err(why) => {
            tracing::error!(connector = %instance.name, why, "the connector's upkeep failed");
            None
        }
    }
}

/// Asks for the restart until it is granted; it ends this instance.
fn restart(instance: &Instance, stopped: &flume::Receiver<()>, herder: &flume::Sender<Message>) {
    let mailbox = Mailbox(herder.clone());
    let all = RestartScope { include_tasks: true, only_failed: false };
    loop {
        // Who is not the leader of a cluster may restart the instance at least.
        for scope in [all, RestartScope::default()] {
            let name = instance.name.to_string();
            let asked = mailbox.ask(|reply| Request::Restart { name, scope, reply });
            let begun = Instant::now();
            while begun.elapsed() < RESTART_LIMIT {
                // The answer comes when the next instance has planned, which waits for this one.
                if stopped.try_recv() == Err(flume::TryRecvError::Disconnected) {
                    return;
                }
                match asked.recv_timeout(REFRESH) {
                    Ok(Ok(_)) => {
                        let _ = stopped.recv();
                        return;
                    }
                    Ok(Err(_)) => break,
                    Err(_) => {}
                }
            }
        }
        if stopped.recv_timeout(AGAIN) != Err(flume::RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// `task.class`, a sink's topics, and no secrets.
fn complete(instance: &Instance, resolved: &Config, mut task: Config) -> Config {
    task.insert("task.class".to_owned(), instance.plugin.task_class.to_owned());
    if instance.plugin.is_sink() {
        for key in ["topics", "topics.regex"] {
            if let Some(topics) = instance.config.get(key) {
                task.insert(key.to_owned(), topics.clone());
            }
        }
    }
    reverse_transform(&instance.config, resolved, task)
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
