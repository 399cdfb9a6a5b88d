//! What the connector does to both clusters' topics: looks at them, makes those that are missing,
//! and keeps settings and access rights alike. Runs on a short-lived core of the connector's thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millrace_api::Config;
use millrace_kafka::acls::{ALLOW, SECURITY_DISABLED, TopicAcl, operation};
use millrace_kafka::admin::{Admin, Creation, NewTopic};
use millrace_kafka::topic_settings::{Change, Changes, Setting, SettingSource};
use millrace_kafka::{Cluster, KafkaError};
use millrace_net::rt::{self, CoreOptions, RuntimeChoice};

use super::clients::{self, Side};
use super::config::Settings;
use super::filter::PropertyFilter;

/// Topics and how many partitions they have.
pub type Topics = BTreeMap<String, i32>;

/// What there is, as far as it concerns the mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Topics to be mirrored.
    pub source: Topics,
    /// Topics of the target that are mirrors of the source's.
    pub target: Topics,
}

/// Whatever kept a piece of work from being done, in words.
pub type Outcome<T> = Result<T, String>;

/// Runs `work` on a core of its own and waits for it, as connectors may. Each request in it takes
/// `timeout_ms` at most.
pub fn on_a_core<T: Send + 'static>(
    timeout_ms: i64,
    work: impl AsyncFnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    // For what nobody foresaw.
    let limit = Duration::from_millis(timeout_ms.unsigned_abs());
    let limit = limit.saturating_mul(10).max(Duration::from_secs(60));
    let mut options = CoreOptions::new("mirror", None);
    // Little happens here, and epoll costs no memory that is locked.
    options.runtime = Some(RuntimeChoice::Epoll);
    let (done, answer) = flume::bounded(1);
    rt::start_core(options, move || async move {
        let _ = done.send(work().await);
        // The connections' tasks end before their core does.
        rt::sleep(Duration::from_millis(10)).await;
    })
    .map_err(|error| format!("cannot start a thread: {error}"))?;
    answer.recv_timeout(limit).unwrap_or_else(|_| Err("it took too long".to_owned()))
}

/// An admin client of that cluster.
pub fn admin(config: &Config, side: Side, client_id: &str, timeout_ms: i64) -> Outcome<Admin> {
    match clients::admin(config, side, client_id, timeout_ms) {
        Ok(parsed) => Ok(Admin::new(Cluster::new(parsed.config))),
        Err(problems) => {
            let errors = clients::errors(config, problems);
            let texts: Vec<_> = errors.into_iter().map(|error| error.message).collect();
            Err(texts.join("; "))
        }
    }
}

/// Makes a compacted topic of one partition, if it is not there. Those who may not make topics may
/// have one made for them.
pub async fn create_compacted(admin: &Admin, topic: &str, replication_factor: i16) -> Outcome<()> {
    const NOT_ALLOWED: [i16; 3] = [29, 31, 35];
    let wanted = NewTopic {
        name: topic.to_owned(),
        partitions: 1,
        replication_factor,
        configs: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
    };
    let failed = |error: KafkaError| format!("topic '{topic}' was not made: {error}");
    for outcome in admin.create_topics(&[wanted]).await.map_err(failed)? {
        match outcome {
            Creation::Created => tracing::info!(topic, "created"),
            Creation::Failed(error) if !NOT_ALLOWED.contains(&error.code) => {
                return Err(failed(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Both clusters, for one piece of work. Belongs to its core.
pub struct Upkeep {
    settings: Arc<Settings>,
    source: Admin,
    target: Admin,
}

impl Upkeep {
    /// Runs `work` on a core of its own and waits for it, as connectors may.
    pub fn run<T: Send + 'static>(
        settings: &Arc<Settings>,
        config: &Config,
        work: impl AsyncFnOnce(&Upkeep) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let limit = settings.admin_timeout_ms;
        let (settings, config) = (Arc::clone(settings), config.clone());
        on_a_core(limit, async move || work(&Upkeep::new(settings, &config)?).await)
    }

    fn new(settings: Arc<Settings>, config: &Config) -> Outcome<Self> {
        let admin = |side, role: &str| {
            admin(config, side, &settings.client_id(None, role), settings.admin_timeout_ms)
        };
        let source = admin(Side::Source, "replication-source-admin")?;
        let target = admin(Side::Target, "replication-target-admin")?;
        Ok(Self { settings, source, target })
    }

    fn alias(&self, side: Side) -> &str {
        match side {
            Side::Source => &self.settings.policy.source,
            Side::Target => &self.settings.policy.target,
        }
    }

    fn on(&self, side: Side) -> &Admin {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// Makes the topic of offset syncs, if they are wanted and it is not there.
    pub async fn create_offset_syncs_topic(&self) -> Outcome<()> {
        let Some(side) = self.settings.syncs else { return Ok(()) };
        let topic = self.settings.offset_syncs_topic(side);
        create_compacted(self.on(side), &topic, self.settings.syncs_replication_factor).await
    }

    /// Looks at the topics of both clusters.
    pub async fn look(&self) -> Outcome<Known> {
        let Settings { policy, topics, .. } = &*self.settings;
        let mut known = Known::default();
        for (name, count) in self.list(Side::Source).await? {
            if topics.takes(&name, policy) {
                known.source.insert(name, count);
            }
        }
        let checkpoints = policy.checkpoints_topic();
        for (name, count) in self.list(Side::Target).await? {
            if policy.topic_source(&name) == Some(&policy.source) && name != checkpoints {
                known.target.insert(name, count);
            }
        }
        Ok(known)
    }

    async fn list(&self, side: Side) -> Outcome<Topics> {
        let failed = |error| format!("topics of {} could not be listed: {error}", self.alias(side));
        let listed = self.on(side).list_topics().await.map_err(failed)?;
        let there = listed.into_iter().filter(|(_, topic)| topic.error == 0 && !topic.internal);
        Ok(there.map(|(name, topic)| (name.to_string(), topic.partitions.len() as i32)).collect())
    }

    /// Makes topics and partitions that the target lacks. What cannot be made is told in the log.
    pub async fn create_missing(&self, known: &Known) -> Outcome<()> {
        let policy = &self.settings.policy;
        let remote = |topic: &String| policy.remote_topic(topic);
        let is_new = |(topic, _): &(&String, &i32)| !known.target.contains_key(&remote(topic));
        let (new, there): (Vec<_>, Vec<_>) = known.source.iter().partition(is_new);
        if !new.is_empty() {
            self.create_topics(&new).await?;
        }
        let more: BTreeMap<String, i32> = there
            .into_iter()
            .map(|(topic, count)| (remote(topic), *count))
            .filter(|(remote, count)| known.target.get(remote).is_some_and(|has| has < count))
            .collect();
        if more.is_empty() {
            return Ok(());
        }
        let target = self.alias(Side::Target);
        let outcomes = self.target.create_partitions(&more).await;
        for (topic, outcome) in outcomes.map_err(|error| format!("partitions: {error}"))? {
            let count = more.get(&topic);
            match outcome {
                Ok(()) => tracing::info!(topic, ?count, target, "has more partitions now"),
                Err(error) => tracing::error!(topic, ?count, target, "partitions: {error}"),
            }
        }
        Ok(())
    }

    async fn create_topics(&self, new: &[(&String, &i32)]) -> Outcome<()> {
        let names: Vec<&str> = new.iter().map(|(topic, _)| topic.as_str()).collect();
        let settings = self.settings_of(&names).await?;
        let topics: Vec<NewTopic> = new
            .iter()
            .map(|(topic, count)| NewTopic {
                name: self.settings.policy.remote_topic(topic),
                partitions: **count,
                replication_factor: self.settings.replication_factor,
                configs: settings
                    .get(*topic)
                    .map(|list| at_creation(list, &self.settings.properties))
                    .unwrap_or_default(),
            })
            .collect();
        let target = self.alias(Side::Target);
        let outcomes = self.target.create_topics(&topics).await;
        let outcomes = outcomes.map_err(|error| format!("topics were not made: {error}"))?;
        for (NewTopic { name, partitions, .. }, outcome) in topics.iter().zip(outcomes) {
            match outcome {
                Creation::Created => tracing::info!(topic = name, partitions, target, "created"),
                Creation::Existed => {}
                Creation::Failed(error) => {
                    tracing::error!(topic = name, target, "could not be made: {error}");
                }
            }
        }
        let wanted: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        // Tasks that find a topic without leaders wait by themselves.
        if let Err(error) = self.target.wait_for_leaders(&wanted).await {
            tracing::warn!(target, "new topics: {error}");
        }
        Ok(())
    }

    async fn settings_of(&self, topics: &[&str]) -> Outcome<BTreeMap<String, Vec<Setting>>> {
        let failed = |error| format!("settings of topics could not be read: {error}");
        let mut found = BTreeMap::new();
        for (topic, settings) in self.source.settings(topics).await.map_err(failed)? {
            match settings {
                Ok(settings) => drop(found.insert(topic, settings)),
                Err(error) => tracing::warn!(topic, "its settings could not be read: {error}"),
            }
        }
        Ok(found)
    }

    /// Writes the settings of mirrored topics to their mirrors.
    pub async fn sync_configs(&self, known: &Known) -> Outcome<()> {
        let policy = &self.settings.policy;
        let mirrored = |topic: &&String| known.target.contains_key(&policy.remote_topic(topic));
        let topics: Vec<&str> = known.source.keys().filter(mirrored).map(String::as_str).collect();
        if topics.is_empty() {
            return Ok(());
        }
        let settings = self.settings_of(&topics).await?;
        let changes: Vec<(String, Changes)> = settings
            .into_iter()
            .map(|(topic, list)| {
                (policy.remote_topic(&topic), changes(&list, &self.settings.properties))
            })
            .collect();
        let outcomes = self.target.change_settings(&changes).await;
        let failed = |error| format!("settings of topics could not be written: {error}");
        for (topic, outcome) in outcomes.map_err(failed)? {
            if let Err(error) = outcome {
                tracing::warn!(topic, "its settings could not be written: {error}");
            }
        }
        Ok(())
    }

    /// Gives readers of topics the right to read their mirrors. `false`: the source has no authorizer.
    pub async fn sync_acls(&self) -> Outcome<bool> {
        let acls = match self.source.topic_acls().await {
            Err(error) if error.code == SECURITY_DISABLED => return Ok(false),
            acls => acls.map_err(|error| format!("access rights could not be read: {error}"))?,
        };
        let Settings { policy, topics, .. } = &*self.settings;
        let wanted: BTreeSet<TopicAcl> = acls
            .into_iter()
            .filter(|acl| topics.takes(&acl.topic, policy))
            .filter_map(at_the_mirror)
            .map(|acl| TopicAcl { topic: policy.remote_topic(&acl.topic), ..acl })
            .collect();
        if wanted.is_empty() {
            return Ok(true);
        }
        let wanted: Vec<TopicAcl> = wanted.into_iter().collect();
        let failed = |error| format!("access rights could not be given: {error}");
        for outcome in self.target.create_topic_acls(&wanted).await.map_err(failed)? {
            if let Err(error) = outcome {
                tracing::warn!("access rights could not be given: {error}");
            }
        }
        Ok(true)
    }
}

/// What a topic's right is at its mirror: nobody but the connector writes there.
pub(super) fn at_the_mirror(acl: TopicAcl) -> Option<TopicAcl> {
    match (acl.permission, acl.operation) {
        (ALLOW, operation::WRITE) => None,
        (ALLOW, operation::ALL) => Some(TopicAcl { operation: operation::READ, ..acl }),
        _ => Some(acl),
    }
}

/// Settings that concern the mirror at all.
fn of_concern<'s>(
    settings: &'s [Setting],
    filter: &'s PropertyFilter,
) -> impl Iterator<Item = &'s Setting> {
    settings.iter().filter(|setting| {
        !setting.read_only
            && !setting.sensitive
            && setting.source != SettingSource::StaticBroker
            && !filter.exclude.matches(&setting.name)
    })
}

/// What a new mirror gets.
pub(super) fn at_creation(
    settings: &[Setting],
    filter: &PropertyFilter,
) -> BTreeMap<String, String> {
    of_concern(settings, filter)
        .filter(|setting| setting.source != SettingSource::Default || filter.source_defaults)
        .filter_map(|setting| Some((setting.name.clone(), setting.value.clone()?)))
        .collect()
}

/// What is to change at a mirror that is there: defaults of the source become those of the target,
/// unless the source's count.
pub(super) fn changes(settings: &[Setting], filter: &PropertyFilter) -> Changes {
    let change = |setting: &Setting| {
        let inherited = setting.source == SettingSource::Default && !filter.source_defaults;
        let change = if inherited { Change::Delete } else { Change::Set(setting.value.clone()) };
        (setting.name.clone(), change)
    };
    of_concern(settings, filter).map(change).collect()
}
