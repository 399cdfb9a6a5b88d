//! `S3SinkTask`: the configuration read, the store opened, the rest is `storage`'s.

use std::rc::Rc;

use millrace_api::error::ConnectError;
use millrace_api::record::{Record, TopicPartition};
use millrace_api::sink::{Needs, Offsets, SinkTask, SinkTaskContext};
use millrace_api::{Config, LocalFuture};
use millrace_net::rt;

use super::client::S3Store;
use super::config::{Place, StoreConfig};
use crate::storage::local::LocalStore;
use crate::storage::sink::{Settings, StorageSink};
use crate::storage::store::{Store, StoreError};

type Parse =
    fn(&Config) -> Result<(Settings, StoreConfig), Vec<millrace_api::config_def::ConfigError>>;

/// Tries to reach the store at the start before the task gives up.
const START_ATTEMPTS: u32 = 3;

/// A task of the sink, in either of its two key sets.
pub struct S3SinkTask {
    parse: Parse,
    sink: Option<StorageSink>,
}

impl S3SinkTask {
    pub fn new(parse: Parse) -> Self {
        Self { parse, sink: None }
    }

    async fn begin(
        &mut self,
        config: &Config,
        context: Rc<SinkTaskContext>,
    ) -> Result<(), ConnectError> {
        let (settings, store) = (self.parse)(config).map_err(crate::refused)?;
        let store: Rc<dyn Store> = match store.place.clone() {
            Place::Folder(folder) => Rc::new(LocalStore::new(folder.join(&store.bucket))),
            Place::S3 { endpoint, region, path_style } => {
                Rc::new(S3Store::new(store, endpoint, &region, path_style, settings.compression))
            }
        };
        check(&*store, settings.retry.backoff).await.map_err(|error| {
            if error.transient {
                ConnectError::retriable(error.message)
            } else {
                ConnectError::fatal(error.message)
            }
        })?;
        self.sink = Some(StorageSink::new(store, settings, context));
        Ok(())
    }

    fn sink(&mut self) -> Result<&mut StorageSink, ConnectError> {
        self.sink.as_mut().ok_or_else(|| ConnectError::fatal("the task was not started"))
    }
}

async fn check(store: &dyn Store, backoff: std::time::Duration) -> Result<(), StoreError> {
    let mut attempt = 1;
    loop {
        match store.check().await {
            Err(error) if error.transient && attempt < START_ATTEMPTS => {
                tracing::warn!("{error}; trying again");
                rt::sleep(backoff * attempt).await;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

impl SinkTask for S3SinkTask {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        context: Rc<SinkTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Box::pin(self.begin(config, context))
    }

    fn needs(&self) -> Needs {
        self.sink.as_ref().map(StorageSink::needs).unwrap_or_default()
    }

    fn open<'a>(
        &'a mut self,
        partitions: &'a Offsets,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        let outcome = self.sink().map(|sink| sink.open(partitions));
        Box::pin(std::future::ready(outcome))
    }

    fn put<'a>(
        &'a mut self,
        records: &'a [Record<'a>],
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Box::pin(async { self.sink()?.put(records).await })
    }

    fn pre_commit<'a>(
        &'a mut self,
        consumed: &'a Offsets,
    ) -> LocalFuture<'a, Result<Offsets, ConnectError>> {
        let outcome = self.sink().and_then(|sink| sink.pre_commit(consumed));
        Box::pin(std::future::ready(outcome))
    }

    fn close<'a>(
        &'a mut self,
        partitions: &'a [TopicPartition],
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        Box::pin(async {
            self.sink()?.close(partitions).await;
            Ok(())
        })
    }

    fn finish(&mut self) -> LocalFuture<'_, Result<(), ConnectError>> {
        Box::pin(async { self.sink()?.finish().await })
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        Box::pin(async {
            if let Some(sink) = &mut self.sink {
                sink.stop().await;
            }
        })
    }
}
