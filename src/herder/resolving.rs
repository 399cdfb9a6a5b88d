//! Tasks whose settings name what config providers know, until they are told: a Vault may take its
//! time, and the herder does not wait for it. One thread asks, in the order of the starts.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_api::Config;
use millrace_worker::command::{TargetState, TaskId, TaskSpec};

use crate::config_providers::{ConfigProviders, has_placeholder};
use crate::requests::Message;

/// Starts that wait for their turn before further ones fail.
const WAITING: usize = 4096;

struct Job {
    id: TaskId,
    generation: u64,
    connector: Arc<Config>,
    task: Arc<Config>,
}

/// What the providers gave for a task.
pub(crate) struct ResolvedTask {
    pub id: TaskId,
    pub generation: u64,
    /// The connector's settings and the task's; the error is a provider's.
    pub outcome: Result<(Config, Config), String>,
}

/// The tasks that wait, and the way to the thread.
pub(crate) struct Resolving {
    jobs: flume::Sender<Job>,
    waiting: HashMap<TaskId, TaskSpec>,
}

impl Resolving {
    /// Starts the thread; it ends with this, or when nobody listens at the mailbox any more.
    pub fn start(
        providers: Arc<ConfigProviders>,
        herder: flume::Sender<Message>,
    ) -> std::io::Result<Self> {
        let (jobs, inbox) = flume::bounded::<Job>(WAITING);
        std::thread::Builder::new().name("config-providers".to_owned()).spawn(move || {
            while let Ok(Job { id, generation, connector, task }) = inbox.recv() {
                let both = providers.try_resolve(&connector).and_then(|connector| {
                    Ok((connector.config, providers.try_resolve(&task)?.config))
                });
                let resolved = ResolvedTask { id, generation, outcome: both };
                if herder.send(Message::Resolved(Box::new(resolved))).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs, waiting: HashMap::new() })
    }

    /// The task's settings as they are will not do.
    pub fn is_needed(spec: &TaskSpec) -> bool {
        let values = spec.connector.values().chain(spec.task.values());
        values.into_iter().any(|value| has_placeholder(value))
    }

    /// Asks for the task, which is answered by [`Message::Resolved`]; an earlier generation of it is
    /// forgotten.
    pub fn push(&mut self, spec: TaskSpec) -> Result<(), String> {
        let (connector, task) = (Arc::clone(&spec.connector), Arc::clone(&spec.task));
        let job = Job { id: spec.id.clone(), generation: spec.generation, connector, task };
        self.jobs
            .try_send(job)
            .map_err(|_| "too many tasks wait for config providers".to_owned())?;
        self.waiting.insert(spec.id.clone(), spec);
        Ok(())
    }

    /// The task as it can start, or the provider's error; `None` if it does not wait any more.
    pub fn done(&mut self, resolved: ResolvedTask) -> Option<Result<TaskSpec, String>> {
        let ResolvedTask { id, generation, outcome } = resolved;
        if self.waiting.get(&id)?.generation != generation {
            return None;
        }
        let mut spec = self.waiting.remove(&id)?;
        Some(outcome.map(|(connector, task)| {
            spec.connector = Arc::new(connector);
            spec.task = Arc::new(task);
            spec
        }))
    }

    /// The task is not wanted any more.
    pub fn remove(&mut self, id: &TaskId) -> Option<TaskSpec> {
        self.waiting.remove(id)
    }

    /// Begins in another state; false if it does not wait here.
    pub fn retarget(&mut self, id: &TaskId, target: TargetState) -> bool {
        let waiting = self.waiting.get_mut(id);
        waiting.map(|spec| spec.target = target).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millrace_worker::command::SourceOffsetStore;

    use super::*;

    struct NoOffsets;

    impl SourceOffsetStore for NoOffsets {
        fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
            None
        }

        fn put(
            &self,
            _: Vec<(Vec<u8>, Option<Vec<u8>>)>,
            done: Box<dyn FnOnce(Result<(), String>) + Send>,
        ) {
            done(Ok(()));
        }
    }

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn spec(task: u32, generation: u64, value: &str) -> TaskSpec {
        TaskSpec {
            id: TaskId { connector: "c".into(), task },
            generation,
            worker: Arc::default(),
            connector: Arc::new(config(&[("a", value)])),
            task: Arc::new(config(&[("b", value), ("c", "plain")])),
            plugins: Arc::default(),
            target: TargetState::Started,
            offsets: Arc::new(NoOffsets),
            bounds: None,
            exactly_once: None,
        }
    }

    #[test]
    fn tasks_wait_for_what_providers_know_and_can_be_called_off() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets");
        std::fs::write(&file, "key=told\n").unwrap();
        let known = format!("${{file:{}:key}}", file.display());
        let absent = format!("${{file:{}.absent:key}}", file.display());
        let class = "org.apache.kafka.common.config.provider.FileConfigProvider";
        let worker =
            config(&[("config.providers", "file"), ("config.providers.file.class", class)]);
        let providers = Arc::new(ConfigProviders::new(&worker).unwrap());
        let (herder, mailbox) = flume::bounded(16);
        let mut resolving = Resolving::start(providers, herder).unwrap();
        assert!(Resolving::is_needed(&spec(0, 1, &known)));
        assert!(!Resolving::is_needed(&spec(0, 1, "plain")));
        let answered = || match mailbox.recv_timeout(Duration::from_secs(20)) {
            Ok(Message::Resolved(task)) => *task,
            _ => panic!("another message, or none"),
        };

        resolving.push(spec(0, 1, &known)).unwrap();
        assert!(resolving.retarget(&spec(0, 1, "").id, TargetState::Paused));
        let ready = resolving.done(answered()).unwrap().unwrap();
        assert_eq!((ready.connector["a"].as_str(), ready.task["b"].as_str()), ("told", "told"));
        assert_eq!((ready.task["c"].as_str(), ready.target), ("plain", TargetState::Paused));

        // Stopped meanwhile; started anew meanwhile.
        resolving.push(spec(0, 2, &known)).unwrap();
        assert!(resolving.remove(&spec(0, 2, "").id).is_some());
        assert!(resolving.done(answered()).is_none());
        resolving.push(spec(0, 3, &known)).unwrap();
        resolving.push(spec(0, 4, &known)).unwrap();
        assert!(resolving.done(answered()).is_none());
        assert_eq!(resolving.done(answered()).unwrap().unwrap().generation, 4);

        resolving.push(spec(1, 5, &absent)).unwrap();
        assert!(resolving.done(answered()).unwrap().is_err());
        assert!(!resolving.retarget(&spec(1, 5, "").id, TargetState::Paused));
    }
}
