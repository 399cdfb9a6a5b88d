//! Heartbeats: a record a second in the worker's own cluster, which mirrors carry on, so that somebody
//! who watches the other end sees that they do.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use millrace_api::connector::{Connector, Tending, WantedOffset};
use millrace_api::converters::{Arena, Schema, SchemaAndValue, SchemaType, Value};
use millrace_api::error::ConnectError;
use millrace_api::record::{Origin, Record};
use millrace_api::source::offsets::Scalar;
use millrace_api::source::{OffsetMap, Polled, SourceRecord, SourceTask, SourceTaskContext};
use millrace_api::{Config, LocalFuture};
use millrace_net::rt;

use super::clients::Side;
use super::config::HeartbeatSettings;
use super::policy::HEARTBEATS;
use super::source::OFFSET;
use super::upkeep::{admin, create_compacted, on_a_core};
use super::wanted_offsets;

/// Until a topic that could not be made is tried again. The JVM's connector never does.
const AGAIN: Duration = Duration::from_secs(10);
/// The longest wait in a poll, so that pause and stop are heard.
const WAIT: Duration = Duration::from_millis(500);

const SOURCE_ALIAS: &str = "sourceClusterAlias";
const TARGET_ALIAS: &str = "targetClusterAlias";

/// `org.apache.kafka.connect.mirror.MirrorHeartbeatConnector`: one task at most, and its topic.
#[derive(Default)]
pub struct MirrorHeartbeatConnector {
    running: Option<(HeartbeatSettings, Config)>,
    has_topic: bool,
    tended: bool,
}

impl MirrorHeartbeatConnector {
    fn make_topic(&mut self) {
        let Some((settings, config)) = self.running.clone() else { return };
        let made = on_a_core(settings.admin_timeout_ms, async move || {
            let HeartbeatSettings { name, source, target, .. } = &settings;
            let id = format!("{source}->{target}|{name}|heartbeats-target-admin");
            let admin = admin(&config, Side::Target, &id, settings.admin_timeout_ms)?;
            create_compacted(&admin, HEARTBEATS, settings.replication_factor).await
        });
        match made {
            Ok(()) => self.has_topic = true,
            Err(why) => tracing::error!("{why}; it is tried again in {} s", AGAIN.as_secs()),
        }
    }
}

impl Connector for MirrorHeartbeatConnector {
    fn start(&mut self, config: &Config) -> Result<(), ConnectError> {
        let settings = HeartbeatSettings::of(config).map_err(crate::refused)?;
        self.running = Some((settings, config.clone()));
        self.make_topic();
        Ok(())
    }

    fn task_configs(&mut self, _: usize) -> Result<Vec<Config>, ConnectError> {
        let running = self.running.as_ref().filter(|(settings, _)| settings.interval.is_some());
        Ok(running.map(|(_, config)| config.clone()).into_iter().collect())
    }

    fn tend(&mut self) -> Tending {
        // Right after the start, which has just tried, it only says when to call again.
        if !self.has_topic && std::mem::replace(&mut self.tended, true) {
            self.make_topic();
        }
        Tending { again: (!self.has_topic).then_some(AGAIN), replan: false }
    }

    fn alter_offsets(
        &mut self,
        _: &Config,
        offsets: &[WantedOffset],
    ) -> Result<bool, ConnectError> {
        let keys = [SOURCE_ALIAS, TARGET_ALIAS];
        for (partition, offset) in offsets {
            if let Some(offset) = offset {
                let checked = wanted_offsets::of_nothing(partition, offset, &keys);
                checked.map_err(ConnectError::fatal)?;
            }
        }
        Ok(true)
    }

    fn stop(&mut self) {
        self.running = None;
    }
}

/// `org.apache.kafka.connect.mirror.MirrorHeartbeatTask`.
#[derive(Default)]
pub struct MirrorHeartbeatTask {
    running: Option<Running>,
}

struct Running {
    interval: Duration,
    next: Instant,
    key: Vec<u8>,
    partition: u32,
    schema: Arc<Schema>,
}

impl Running {
    fn start(config: &Config, context: &SourceTaskContext) -> Result<Self, ConnectError> {
        let settings = HeartbeatSettings::of(config).map_err(crate::refused)?;
        let HeartbeatSettings { source, target, interval, .. } = settings;
        let interval = interval.unwrap_or_default();
        Ok(Self {
            next: Instant::now() + interval,
            interval,
            key: key(&source, &target),
            partition: context.partition(partition(&source, &target)),
            schema: Arc::new(Schema::new(SchemaType::Bytes)),
        })
    }

    /// Waits for the next heartbeat; `false` if it is not due yet.
    async fn wait(&mut self) -> bool {
        let left = self.next.saturating_duration_since(Instant::now());
        // An interval of 0 must let others run, too.
        rt::sleep(left.clamp(Duration::from_millis(1), WAIT)).await;
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + self.interval;
        true
    }

    fn beat<'a>(&self, arena: &'a Arena) -> SourceRecord<'a> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_millis() as i64);
        let schema = Some(arena.pin_schema(&self.schema));
        let bytes =
            |bytes: &[u8]| SchemaAndValue { schema, value: Value::Bytes(arena.alloc_bytes(bytes)) };
        SourceRecord {
            record: Record {
                topic: HEARTBEATS,
                partition: Some(0),
                timestamp: Some(now),
                key: bytes(&self.key),
                value: bytes(&value(now)),
                headers: &[],
                origin: Origin::Source { index: 0 },
            },
            source_partition: self.partition,
            source_offset: arena.bump().alloc([(OFFSET, Value::Int64(0))]),
        }
    }
}

/// As it is stored, in the order of Java's hash map.
fn partition(source: &str, target: &str) -> OffsetMap {
    vec![
        (SOURCE_ALIAS.to_owned(), Scalar::String(source.to_owned())),
        (TARGET_ALIAS.to_owned(), Scalar::String(target.to_owned())),
    ]
}

/// `{sourceClusterAlias: STRING, targetClusterAlias: STRING}` as Kafka writes structs.
pub(super) fn key(source: &str, target: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(source.len() + target.len() + 4);
    for alias in [source, target] {
        key.extend((alias.len() as u16).to_be_bytes());
        key.extend(alias.as_bytes());
    }
    key
}

/// `{version: INT16 = 0}{timestamp: INT64}`.
pub(super) fn value(timestamp: i64) -> [u8; 10] {
    let mut value = [0; 10];
    value[2..].copy_from_slice(&timestamp.to_be_bytes());
    value
}

impl SourceTask for MirrorHeartbeatTask {
    fn start<'a>(
        &'a mut self,
        config: &'a Config,
        context: Rc<SourceTaskContext>,
    ) -> LocalFuture<'a, Result<(), ConnectError>> {
        let started = Running::start(config, &context).map(|running| self.running = Some(running));
        Box::pin(std::future::ready(started))
    }

    fn poll<'f, 'a: 'f>(
        &'f mut self,
        arena: &'a Arena,
        out: &'f mut Vec<SourceRecord<'a>>,
    ) -> LocalFuture<'f, Result<Polled, ConnectError>> {
        Box::pin(async move {
            let Some(running) = &mut self.running else {
                return Err(ConnectError::fatal("The heart was used before it was started"));
            };
            if running.wait().await {
                out.push(running.beat(arena));
            }
            Ok(Polled::More)
        })
    }

    fn stop(&mut self) -> LocalFuture<'_, ()> {
        self.running = None;
        Box::pin(std::future::ready(()))
    }
}
