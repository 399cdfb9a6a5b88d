//! The bundled connectors, one folder a system.

#[cfg(any(
    feature = "file",
    feature = "null",
    feature = "datagen",
    feature = "elasticsearch",
    feature = "s3",
    feature = "http-ingest",
    feature = "mirror"
))]
use millrace_api::config_def::ConfigError;
use millrace_api::connector::ConnectorPlugin;
#[cfg(any(
    feature = "file",
    feature = "null",
    feature = "datagen",
    feature = "elasticsearch",
    feature = "s3",
    feature = "http-ingest",
    feature = "mirror"
))]
use millrace_api::error::ConnectError;

#[cfg(feature = "datagen")]
pub mod datagen;
#[cfg(feature = "elasticsearch")]
pub mod elasticsearch;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "http-ingest")]
pub mod http_ingest;
#[cfg(feature = "mirror")]
pub mod mirror;
#[cfg(feature = "null")]
pub mod null;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "s3")]
pub mod storage;
#[cfg(test)]
mod test_rig;
#[cfg(any(feature = "file", feature = "null", feature = "datagen"))]
mod text;

/// Every connector that this build has.
#[allow(unused_mut, clippy::vec_init_then_push)]
pub fn plugins() -> Vec<ConnectorPlugin> {
    let mut list = Vec::new();
    #[cfg(feature = "datagen")]
    list.push(datagen::SOURCE);
    #[cfg(feature = "elasticsearch")]
    list.push(elasticsearch::SINK);
    #[cfg(feature = "file")]
    list.extend(file::PLUGINS);
    #[cfg(feature = "http-ingest")]
    list.push(http_ingest::SOURCE);
    #[cfg(feature = "mirror")]
    list.extend(mirror::PLUGINS);
    #[cfg(feature = "null")]
    list.push(null::SINK);
    #[cfg(feature = "s3")]
    list.extend(s3::PLUGINS);
    list
}

/// A task that was handed a configuration that its definition refuses.
#[cfg(any(
    feature = "file",
    feature = "null",
    feature = "datagen",
    feature = "elasticsearch",
    feature = "s3",
    feature = "http-ingest",
    feature = "mirror"
))]
fn refused(errors: Vec<ConfigError>) -> ConnectError {
    let texts: Vec<_> = errors.into_iter().map(|error| error.message).collect();
    ConnectError {
        class: "org.apache.kafka.common.config.ConfigException",
        ..ConnectError::fatal(texts.join("; "))
    }
}
