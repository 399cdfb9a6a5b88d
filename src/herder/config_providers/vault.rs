//! HashiCorp Vault (and OpenBao) as a config provider: secrets by path, kept for as long as Vault says.
//!
//! A core of its own carries the requests; whoever needs a secret waits for it, for a limited time.
//! While Vault cannot be reached, what it said last goes on being used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millrace_net::rt::{self, CoreOptions, RuntimeChoice};

use super::local::Values;
use super::vault_session::{Read, Session};
use super::vault_settings::VaultSettings;

/// How long one reader waits beyond what Vault's retries may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Secrets without a time to live are asked for again after this; a configuration is read several
/// times in a row when it is put.
const FRESH: Duration = Duration::from_secs(10);
/// Paths that are kept.
const PATHS: usize = 1024;
/// Reads that wait.
const WAITING: usize = 256;
/// The shortest time to live that is believed, so that nobody restarts all the time.
const LEAST_TTL: Duration = Duration::from_secs(1);

/// What stands under a path.
#[derive(Clone)]
pub(super) struct Secret {
    pub values: Arc<Values>,
    /// From now on; `None`: for ever.
    pub ttl: Option<Duration>,
}

struct Kept {
    values: Arc<Values>,
    /// To be asked for again then; and whether that is the secret's own end.
    until: Instant,
    ends: bool,
}

struct Job {
    path: String,
    reply: flume::Sender<Result<Read, String>>,
}

/// A logged-in Vault.
pub(super) struct Vault {
    jobs: flume::Sender<Job>,
    kept: Mutex<HashMap<String, Kept>>,
    limit: Duration,
}

impl Vault {
    /// Logs in. The error tells why that failed, without any secret.
    pub fn start(settings: VaultSettings) -> Result<Self, String> {
        let (jobs, inbox) = flume::bounded(WAITING);
        let (ready, started) = flume::bounded(1);
        let limit = PATIENCE + settings.retry_interval * settings.retries;
        let mut options = CoreOptions::new("vault", None);
        options.runtime = Some(RuntimeChoice::Epoll);
        rt::start_core(options, move || serve(settings, inbox, ready))
            .map_err(|error| error.to_string())?;
        let answer = started.recv_timeout(limit);
        answer.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))?;
        Ok(Self { jobs, kept: Mutex::default(), limit })
    }

    /// What stands under the path.
    pub fn get(&self, path: &str) -> Result<Secret, String> {
        if let Some(known) = self.known(path, false) {
            return Ok(known);
        }
        match self.read(path) {
            Ok(read) => Ok(self.keep(path, read)),
            Err(why) => match self.known(path, true) {
                Some(known) => {
                    tracing::warn!("Vault: {why}; the values that it gave before are used");
                    Ok(known)
                }
                None => Err(why),
            },
        }
    }

    fn read(&self, path: &str) -> Result<Read, String> {
        let (reply, answer) = flume::bounded(1);
        let job = Job { path: path.to_owned(), reply };
        self.jobs.try_send(job).map_err(|_| "Vault is not asked any more".to_owned())?;
        let limit = self.limit;
        answer.recv_timeout(limit).unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
    }

    /// `stale`: also what is past its time, with a short one of its own.
    fn known(&self, path: &str, stale: bool) -> Option<Secret> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.get_mut(path)?;
        let now = Instant::now();
        if stale && known.until <= now {
            known.until = now + FRESH;
        }
        let left = known.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some(Secret { values: Arc::clone(&known.values), ttl: known.ends.then_some(left) })
    }

    fn keep(&self, path: &str, read: Read) -> Secret {
        let ttl = read.ttl.map(|ttl| ttl.max(LEAST_TTL));
        let values = Arc::new(read.values);
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= PATHS {
            kept.retain(|_, known| known.until > now);
        }
        if kept.len() < PATHS {
            let known = Kept {
                values: Arc::clone(&values),
                until: now + ttl.unwrap_or(FRESH),
                ends: ttl.is_some(),
            };
            kept.insert(path.to_owned(), known);
        }
        Secret { values, ttl }
    }
}

/// The core's life: logs in, answers, and renews the token in between.
async fn serve(
    settings: VaultSettings,
    inbox: flume::Receiver<Job>,
    ready: flume::Sender<Result<(), String>>,
) {
    let mut session = match Session::start(settings).await {
        Ok(session) => session,
        Err(why) => return drop(ready.send(Err(why))),
    };
    let _ = ready.send(Ok(()));
    loop {
        match rt::timeout(session.renew_in(), inbox.recv_async()).await {
            Ok(Ok(job)) => {
                let answer = session.read(&job.path).await;
                let _ = job.reply.send(answer);
            }
            // Nobody can ask any more.
            Ok(Err(_)) => return,
            Err(_) => session.renew().await,
        }
    }
}
