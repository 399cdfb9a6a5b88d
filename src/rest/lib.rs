//! The REST sidecar: Kafka Connect's HTTP API.
//!
//! One thread with a current-thread runtime of its own. It keeps nothing but logger levels; every
//! other answer comes from the herder through its mailbox. One file a resource; [`route`] is the map
//! of paths.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! # let herder: millrace_herder::HerderHandle = panic!();
//! let options = millrace_rest::RestOptions::new(herder.context.clone());
//! let listeners = herder.context.config.listeners.clone();
//! let rest = millrace_rest::serve(&listeners, herder.mailbox.clone(), options)?;
//! println!("listening on {:?}", rest.bound);
//! rest.shutdown();
//! herder.shutdown();
//! # Ok(())
//! # }
//! ```
//!
//! Bodies are limited to 10 MiB and questions to 90 s. Where the JVM's standalone worker answers an
//! unknown connector with a null pointer's text and 500 (restart, stop), this one answers 404.

mod answer;
mod app;
mod basic_auth;
mod body;
mod connectors;
mod cors;
mod forwarding;
mod internal;
mod loggers;
mod metrics;
mod offsets;
mod openapi;
mod plugins;
mod route;
mod tls_listener;
mod worker_client;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use millrace_herder::HerderContext;
use millrace_herder::listeners::Listener;
use millrace_herder::requests::Mailbox;
use millrace_herder::tls::ServerTls;

pub use loggers::LoggerControl;
use tls_listener::TlsListener;

/// How long open requests may take after a shutdown began.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// What REST needs beside the herder's mailbox.
pub struct RestOptions {
    pub context: Arc<HerderContext>,
    /// Carries out `PUT /admin/loggers`; without it levels are kept and have no effect.
    pub loggers: Option<Box<dyn LoggerControl>>,
    /// `version` of `/`: the Kafka Connect release whose behaviour clients can rely on.
    pub version: String,
    /// `commit` of `/`.
    pub commit: String,
}

impl RestOptions {
    pub fn new(context: Arc<HerderContext>) -> Self {
        Self {
            context,
            loggers: None,
            version: "4.1.0".to_owned(),
            commit: concat!("millrace-", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A running REST server.
pub struct RestHandle {
    /// The addresses of the main listeners, in their order; ports are real ones.
    pub bound: Vec<SocketAddr>,
    stop: tokio::sync::watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl RestHandle {
    /// Ends the server; open requests get a few seconds.
    pub fn shutdown(self) {
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the REST thread panicked");
        }
    }
}

/// Binds and serves. Sets the worker's id, which needs the bound port. An error names the listener.
pub fn serve(
    listeners: &[Listener],
    herder: Mailbox,
    options: RestOptions,
) -> std::io::Result<RestHandle> {
    let main = bind(listeners, "listeners")?;
    let bound = main.iter().map(|one| one.socket.local_addr()).collect::<Result<Vec<_>, _>>()?;
    let context = Arc::clone(&options.context);
    let config = &context.config;
    let admin = config.admin_listeners.as_deref().unwrap_or_default();
    let admin = bind(admin, "admin.listeners")?;
    let app = app::App::new(herder, options);
    // What others reach this worker by is known now, and what the herder is lent.
    let advertised = bound.get(config.advertised_listener()).or(bound.first());
    let port = advertised.map(SocketAddr::port);
    let (internal, inbox) = worker_client::InternalRequests::new();
    let _ = context.internal_client.set(Box::new(internal));
    let _ = context.worker_id.set(config.worker_id(port));
    let _ = context.advertised_url.set(config.advertised_url(port));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("rest".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let config = &app.context().config;
            let security = &config.rest_security;
            let everything = app::Scope::main(config.admin_listeners.is_none());
            let mut servers = tokio::task::JoinSet::new();
            for (listeners, scope, tls) in [
                (main, everything, &security.https),
                (admin, app::Scope::ADMIN, &security.admin_https),
            ] {
                for Bound { socket, tls: is_tls } in listeners {
                    let tls = tls.clone().filter(|_| is_tls);
                    let router = app::router(&app, app::Front { scope, tls: is_tls });
                    servers.spawn(listen(socket, tls, router, stopped.clone()));
                }
            }
            let carrier = tokio::spawn(worker_client::carry(Arc::clone(&app.client), inbox));
            let mut stopped = stopped;
            let _ = stopped.wait_for(|stop| *stop).await;
            let _ = tokio::time::timeout(SHUTDOWN_LIMIT, servers.join_all()).await;
            carrier.abort();
        });
    })?;
    Ok(RestHandle { bound, stop, thread })
}

/// A socket that listens, and whether TLS is spoken there.
struct Bound {
    socket: TcpListener,
    tls: bool,
}

fn bind(listeners: &[Listener], key: &str) -> std::io::Result<Vec<Bound>> {
    let one = |listener: &Listener| {
        let bound = match listener.host.as_str() {
            // Every interface: of both protocols where the machine has both.
            "" => TcpListener::bind(("::", listener.port))
                .or_else(|_| TcpListener::bind(("0.0.0.0", listener.port))),
            host => TcpListener::bind((host, listener.port)),
        };
        let socket = bound.map_err(|error| {
            let url = listener.url(listener.port);
            let text = format!("cannot listen on {url}: {error}; correct {key}");
            std::io::Error::new(error.kind(), text)
        })?;
        socket.set_nonblocking(true)?;
        Ok(Bound { socket, tls: listener.tls })
    };
    listeners.iter().map(one).collect()
}

async fn listen(
    socket: TcpListener,
    tls: Option<ServerTls>,
    router: axum::Router,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    let served = async {
        let listener = tokio::net::TcpListener::from_std(socket)?;
        let until = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        match tls {
            None => axum::serve(listener, router).with_graceful_shutdown(until).await,
            Some(tls) => {
                let listener = TlsListener::new(listener, &tls)?;
                axum::serve(listener, router).with_graceful_shutdown(until).await
            }
        }
    };
    if let Err(error) = served.await {
        tracing::error!(%error, "the REST server ended");
    }
}
