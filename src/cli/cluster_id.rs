//! The Kafka cluster's id, which `GET /` shows: asked once, beside everything else.

use std::sync::Arc;
use std::time::Duration;

use millrace_api::Config;
use millrace_herder::HerderContext;
use millrace_kafka::Cluster;
use millrace_kafka::config::ClientConfig;
use millrace_net::rt;

use super::Failure;

/// Asks for up to `default.api.timeout.ms`: a worker of a cluster does not start without brokers.
pub(crate) fn require(worker: &Config) -> Result<String, Failure> {
    let refused = |why: &str| {
        let servers = worker.get("bootstrap.servers").map_or("", String::as_str);
        Failure::startup(format!(
            "Failed to connect to and describe Kafka cluster. Check worker's broker connection and \
             security properties. ({why}; bootstrap.servers={servers})"
        ))
    };
    let parsed = ClientConfig::parse(worker).map_err(|problems| {
        let list = problems.iter().map(|one| format!("{}: {}", one.key, one.why));
        refused(&list.collect::<Vec<_>>().join("; "))
    })?;
    let (sender, answer) = flume::bounded(1);
    let mut options = rt::CoreOptions::new("cluster-id", None);
    options.runtime = Some(rt::RuntimeChoice::Epoll);
    let core = rt::start_core(options, move || async move {
        let limit = parsed.config.api_timeout;
        let cluster = Cluster::new(parsed.config);
        let known = cluster.refresh_within(limit).await;
        let id = known.map(|known| known.cluster_id.as_deref().unwrap_or_default().to_owned());
        let _ = sender.send(id.map_err(|error| error.to_string()));
        // The connections' tasks end before their core does.
        drop(cluster);
        rt::sleep(Duration::from_millis(10)).await;
    });
    core.map_err(|error| refused(&error.to_string()))?;
    let answer = answer.recv().unwrap_or_else(|_| Err("no answer".to_owned()));
    answer.map_err(|why| refused(&why))
}

/// Asks on a core of its own until a broker answers; that thread ends then.
pub(crate) fn look_up(context: Arc<HerderContext>, runtime: Option<rt::RuntimeChoice>) {
    let mut options = rt::CoreOptions::new("cluster-id", None);
    options.runtime = runtime;
    let started = rt::start_core(options, move || async move {
        let Ok(parsed) = ClientConfig::parse(&context.config.properties) else { return };
        let cluster = Cluster::new(parsed.config);
        let mut backoff = cluster.backoff();
        loop {
            match cluster.refresh().await {
                Ok(_) => break,
                Err(error) if !error.is_retriable() => {
                    // Each task that needs the brokers fails with it, too.
                    tracing::error!("the Kafka cluster cannot be used: {error}");
                    return;
                }
                Err(error) => tracing::warn!("the Kafka cluster cannot be reached: {error}"),
            }
            rt::sleep(backoff.next_wait()).await;
        }
        if let Some(id) = cluster.cluster_id() {
            let _ = context.cluster_id.set(id.to_string());
        }
        // The connections' tasks end before their core does.
        drop(cluster);
        rt::sleep(Duration::from_millis(10)).await;
    });
    if let Err(error) = started {
        tracing::warn!(%error, "the cluster's id cannot be looked up");
    }
}
