//! The thread that checks configurations: a check may be slow, and the herder must not wait for it.

use std::collections::BTreeMap;

use millrace_api::Config;
use millrace_worker::command::TargetState;

use crate::config_infos::ConfigInfos;
use crate::requests::{ConnectorInfo, Created, HerderError, Message, Reply, Submitted};
use crate::state::Definition;
use crate::validation::Validator;

/// Configurations that wait for their check before further ones are refused.
const WAITING: usize = 256;

/// A put on its way from the validation thread to the herder.
pub(crate) struct Put {
    pub name: String,
    pub definition: Definition,
    pub create_only: bool,
    pub initial: Option<TargetState>,
    pub reply: PutReply,
}

/// POST and PUT tell whether the connector is new; PATCH does not.
pub(crate) enum PutReply {
    Created(Reply<Created>),
    Info(Reply<ConnectorInfo>),
}

impl PutReply {
    pub fn fail(self, error: HerderError) {
        match self {
            Self::Created(reply) => reply.send(Err(error)),
            Self::Info(reply) => reply.send(Err(error)),
        }
    }
}

/// What the validation thread is asked.
pub(crate) enum Job {
    Put {
        name: String,
        config: Submitted,
        create_only: bool,
        initial: Option<TargetState>,
        reply: PutReply,
    },
    Validate {
        plugin: String,
        config: Submitted,
        reply: Reply<ConfigInfos>,
    },
}

impl Job {
    pub fn fail(self, error: HerderError) {
        match self {
            Self::Put { reply, .. } => reply.fail(error),
            Self::Validate { reply, .. } => reply.send(Err(error)),
        }
    }
}

/// The herder's end.
pub(crate) struct ValidationQueue(flume::Sender<Job>);

impl ValidationQueue {
    /// Starts the thread; it ends when the herder's end of the mailbox is gone.
    pub fn start(validator: Validator, herder: flume::Sender<Message>) -> std::io::Result<Self> {
        let (jobs, inbox) = flume::bounded(WAITING);
        std::thread::Builder::new().name("validation".to_owned()).spawn(move || {
            while let Ok(job) = inbox.recv() {
                work(&validator, job, &herder);
            }
        })?;
        Ok(Self(jobs))
    }

    /// Answered by the thread; at once when too many wait.
    pub fn push(&self, job: Job) {
        if let Err(refused) = self.0.try_send(job) {
            refused.into_inner().fail(HerderError::internal(
                "Too many configurations wait for their validation; try again",
            ));
        }
    }

    /// Asks for `config` with the changes; `None` removes a key.
    pub fn patch(
        &self,
        name: String,
        mut config: Config,
        changes: BTreeMap<String, Option<String>>,
        reply: Reply<ConnectorInfo>,
    ) {
        for (key, value) in changes {
            match value {
                Some(value) => config.insert(key, value),
                None => config.remove(&key),
            };
        }
        let (config, reply) = (config.into(), PutReply::Info(reply));
        self.push(Job::Put { name, config, create_only: false, initial: None, reply });
    }
}

fn work(validator: &Validator, job: Job, herder: &flume::Sender<Message>) {
    match job {
        Job::Validate { plugin, config, reply } => {
            reply.send(validator.validate_for(&plugin, &config));
        }
        Job::Put { name, config, create_only, initial, reply } => {
            match validator.definition(&name, config) {
                Err(error) => reply.fail(error),
                Ok(definition) => {
                    let put = Put { name, definition, create_only, initial, reply };
                    if let Err(refused) = herder.send(Message::Validated(Box::new(put)))
                        && let Message::Validated(put) = refused.into_inner()
                    {
                        put.reply.fail(HerderError::internal("Worker is shutting down"));
                    }
                }
            }
        }
    }
}
