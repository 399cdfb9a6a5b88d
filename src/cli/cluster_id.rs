//! The Kafka cluster's id, which `GET /` shows: asked once, beside everything else.

use std::sync::Arc;
use std::time::Duration;

use millrace_herder::HerderContext;
use millrace_kafka::Cluster;
use millrace_kafka::config::ClientConfig;
use millrace_net::rt;

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
