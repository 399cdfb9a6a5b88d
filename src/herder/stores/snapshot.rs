//! The config topic read once, up to its end, by somebody who is no member of the cluster: nothing is
//! made, joined or written.

use std::time::Duration;

use millrace_api::Config;
use millrace_net::rt;

use super::config_log::{ClusterConfig, ConfigLog};
use super::topic_log::{LogEvent, LogHandle, TopicLog};
use super::topics::Which;
use super::{Clients, clients};

/// What the topic says, and how many of its records nobody understands.
#[derive(Debug)]
pub struct Snapshot {
    pub config: ClusterConfig,
    pub malformed: usize,
}

/// Reads `config.storage.topic` of these worker's properties within `limit`.
///
/// # Errors
/// A client setting is wrong, or the topic cannot be read; in words for the user.
pub fn read_config(worker: &Config, limit: Duration) -> Result<Snapshot, String> {
    let Clients { topic, consumer, producer } = clients(worker, Which::Config).map_err(|all| {
        let list: Vec<_> = all.iter().map(|one| format!("{}: {}", one.key, one.why)).collect();
        list.join("; ")
    })?;
    let name = topic.clone();
    let log = TopicLog { topic, partitions: 1, consumer, producer };
    let (handle, inbox) = LogHandle::new();
    let (sender, answer) = flume::bounded(1);
    let mut options = rt::CoreOptions::new("config-topic", None);
    options.runtime = Some(rt::RuntimeChoice::Epoll);
    handle.read_to_end(0);
    let started = rt::start_core(options, move || async move {
        let mut state = ConfigLog::default();
        let mut malformed = 0;
        let each = async |event| match event {
            LogEvent::Records(records) => {
                for record in records {
                    let value = record.value.as_deref();
                    malformed +=
                        usize::from(state.apply(record.offset, &record.key, value).is_err());
                }
                true
            }
            LogEvent::AtEnd { outcome, .. } => {
                let config = state.config().clone();
                let _ = sender.send(outcome.map(|()| Snapshot { config, malformed }));
                false
            }
            LogEvent::Trouble(why) => {
                let _ = sender.send(Err(why));
                false
            }
        };
        log.read(inbox.reads, each).await;
    });
    started.map_err(|error| error.to_string())?;
    let answered = answer.recv_timeout(limit);
    // Who waits for a topic that is not there is told to end.
    drop(handle);
    answered.unwrap_or_else(|_| Err(format!("{name} could not be read within {limit:?}")))
}
