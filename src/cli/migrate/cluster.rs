//! A running cluster as it shows itself: its internal topics, its group and its REST API.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_api::Config;
use millrace_herder::listeners::Listener;
use millrace_herder::membership::outlook::{self, GroupOutlook};
use millrace_herder::stores::snapshot::{self, TopicSize};
use millrace_net::http::{Body, Client, ClientOptions, Method, Request, Url};
use millrace_net::rt;
use serde_json::Value;

/// For each source.
const LIMIT: Duration = Duration::from_secs(30);

/// One connector as it runs there.
#[derive(Debug, Default)]
pub(super) struct Connector {
    /// Placeholders unresolved.
    pub config: Config,
    /// As REST says; `None` where REST does not answer.
    pub state: Option<String>,
    pub failed_tasks: usize,
}

#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub connectors: BTreeMap<String, Connector>,
    /// The release that REST tells.
    pub version: Option<String>,
    /// Who is in the group; `None` where it could not be asked.
    pub group: Option<GroupOutlook>,
    /// The internal topics that could be read.
    pub topics: Vec<TopicSize>,
    /// What could not be looked at, and what is odd.
    pub notes: Vec<String>,
}

/// Looks at the config topic and at REST, of which one is enough, and, where the brokers answer, at the
/// rest.
pub(super) fn look(worker: &Config, rest: Option<&str>) -> Result<Cluster, String> {
    let mut cluster = Cluster::default();
    let topic = topic(worker, &mut cluster);
    if topic.is_ok() {
        beside(worker, &mut cluster);
    }
    let url = rest.map_or_else(|| listener(worker), |url| url.trim_end_matches('/').to_owned());
    let asked = ask(&url).map(|answers| shown(answers, &mut cluster));
    match (topic, asked) {
        (Err(topic), Err(rest)) => {
            return Err(format!(
                "neither the config topic nor REST can be read:\n  {topic}\n  {rest}"
            ));
        }
        (topic, asked) => {
            cluster.notes.extend(topic.err().map(|why| format!("config topic not read: {why}")));
            cluster.notes.extend(asked.err().map(|why| format!("REST not asked: {why}")));
        }
    }
    Ok(cluster)
}

fn topic(worker: &Config, cluster: &mut Cluster) -> Result<(), String> {
    if worker.get("config.storage.topic").is_none_or(|topic| topic.trim().is_empty()) {
        return Err("config.storage.topic is not set".to_owned());
    }
    let (config, size) = snapshot::read_config(worker, LIMIT)?;
    for (name, entry) in config.connectors() {
        let config = entry.config.as_deref().cloned().unwrap_or_default();
        if entry.inconsistent {
            cluster.notes.push(format!(
                "{name}: the config topic lacks some of its task configurations; they are written \
                 again when it starts"
            ));
        }
        cluster.connectors.insert(name.to_string(), Connector { config, ..Connector::default() });
    }
    cluster.sized(size);
    Ok(())
}

/// The status and the offset topic, and the group.
fn beside(worker: &Config, cluster: &mut Cluster) {
    match snapshot::read_status(worker, LIMIT) {
        Ok((names, size)) => {
            cluster.sized(size);
            let gone = names.into_iter().filter(|name| !cluster.connectors.contains_key(name));
            let gone: Vec<String> = gone.collect();
            if !gone.is_empty() {
                let list = gone.join(", ");
                cluster.notes.push(format!("statuses of connectors without configuration: {list}"));
            }
        }
        Err(why) => cluster.notes.push(format!("status topic not read: {why}")),
    }
    match snapshot::read_offsets(worker, LIMIT) {
        Ok((counts, size)) => {
            cluster.sized(size);
            for (name, count) in counts {
                if !cluster.connectors.contains_key(&name) {
                    cluster.notes.push(format!(
                        "{name}: {count} source offsets are kept, but it has no configuration; a \
                         connector of that name would go on from them"
                    ));
                }
            }
        }
        Err(why) => cluster.notes.push(format!("offset topic not read: {why}")),
    }
    match outlook::look(worker, LIMIT) {
        Ok(group) => {
            cluster.notes.extend(oddities(&group));
            cluster.group = Some(group);
        }
        Err(why) => cluster.notes.push(format!("the group not asked: {why}")),
    }
}

fn oddities(group: &GroupOutlook) -> Vec<String> {
    let (name, list) = (&group.group, group.strangers.join("; "));
    if !group.strangers.is_empty() && group.protocol_type != "connect" {
        let kind = &group.protocol_type;
        return vec![format!(
            "the group {name} is one of '{kind}' members, no worker can join it: {list}; choose \
             another group.id"
        )];
    }
    let mut odd = Vec::new();
    if !group.strangers.is_empty() {
        odd.push(format!("members of the group {name} that cannot be understood: {list}"));
    }
    if group.protocol == "default" {
        odd.push(format!(
            "the group {name} rebalances eagerly: each change stops all work; set \
             connect.protocol=sessioned on every worker"
        ));
    }
    odd
}

impl Cluster {
    fn sized(&mut self, size: TopicSize) {
        if size.malformed > 0 {
            let (name, count, list) = (&size.name, size.malformed, size.named.join("; "));
            self.notes.push(format!(
                "{count} records of the topic {name} make no sense and are skipped: {list}{}",
                if count > size.named.len() { "; …" } else { "" }
            ));
        }
        self.topics.push(size);
    }
}

/// The first listener of the file, as one would call it from here.
fn listener(worker: &Config) -> String {
    let first = worker.get("listeners").and_then(|list| list.split(',').next());
    let listener = first.and_then(|first| Listener::parse(first).ok());
    let advertised = worker.get("rest.advertised.host.name").map(|host| host.trim().to_owned());
    match listener {
        Some(mut listener) => {
            if listener.host.is_empty() {
                listener.host = advertised.unwrap_or_else(|| "localhost".to_owned());
            }
            let port = listener.port;
            listener.url(port).trim_end_matches('/').to_owned()
        }
        None => "http://localhost:8083".to_owned(),
    }
}

/// `/` and all connectors, both with their status and configuration.
fn ask(url: &str) -> Result<[Value; 2], String> {
    let paths = ["/", "/connectors?expand=status&expand=info"];
    let parse = |path| Url::parse(&format!("{url}{path}")).map_err(|why| format!("{url}: {why}"));
    let urls = [parse(paths[0])?, parse(paths[1])?];
    let (sender, answers) = flume::bounded(1);
    let mut options = rt::CoreOptions::new("rest-client", None);
    options.runtime = Some(rt::RuntimeChoice::Epoll);
    let started = rt::start_core(options, move || async move {
        let client = Client::new(ClientOptions { request_timeout: LIMIT, ..Default::default() });
        let mut found = Vec::new();
        for url in &urls {
            let request = Request { method: Method::Get, url, headers: &[], body: Body::Empty };
            let answer = client.send(request).await.map_err(|error| error.to_string());
            found.push(answer.and_then(|answer| match answer.status {
                200 => serde_json::from_slice(&answer.body).map_err(|error| error.to_string()),
                status => Err(format!("status {status}")),
            }));
        }
        let _ = sender.send(found.into_iter().collect::<Result<Vec<Value>, String>>());
    });
    started.map_err(|error| error.to_string())?;
    let found = answers.recv_timeout(LIMIT * 3).map_err(|_| format!("{url}: no answer"))?;
    let found = found.map_err(|why| format!("{url}: {why}"))?;
    <[Value; 2]>::try_from(found).map_err(|_| format!("{url}: no answer"))
}

fn shown([root, connectors]: [Value; 2], cluster: &mut Cluster) {
    cluster.version = root["version"].as_str().map(str::to_owned);
    for (name, one) in connectors.as_object().into_iter().flatten() {
        let known = cluster.connectors.entry(name.clone()).or_default();
        let status = &one["status"];
        known.state = status["connector"]["state"].as_str().map(str::to_owned);
        let tasks = status["tasks"].as_array().into_iter().flatten();
        known.failed_tasks = tasks.filter(|task| task["state"] == "FAILED").count();
        if known.config.is_empty() {
            let text =
                |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
            let config = one["info"]["config"].as_object();
            known.config = config.into_iter().flatten().filter_map(text).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_rest_shows_is_taken_over() {
        let connectors = json!({"a": {
            "status": {"connector": {"state": "RUNNING"},
                "tasks": [{"state": "FAILED"}, {"state": "RUNNING"}]},
            "info": {"config": {"connector.class": "X", "n": "1"}},
        }});
        let mut cluster = Cluster::default();
        shown([json!({"version": "3.9.1"}), connectors], &mut cluster);
        let a = &cluster.connectors["a"];
        assert_eq!((a.state.as_deref(), a.failed_tasks), (Some("RUNNING"), 1));
        assert_eq!(a.config["connector.class"], "X");
        assert_eq!(cluster.version.as_deref(), Some("3.9.1"));
    }

    #[test]
    fn what_is_odd_is_noted() {
        let mut cluster = Cluster::default();
        let size = |malformed| TopicSize {
            name: "t".to_owned(),
            malformed,
            named: vec!["partition 0, offset 3: x".to_owned(); malformed.min(1)],
            ..TopicSize::default()
        };
        cluster.sized(size(0));
        cluster.sized(size(2));
        let told =
            "2 records of the topic t make no sense and are skipped: partition 0, offset 3: x; …";
        assert_eq!((cluster.topics.len(), cluster.notes), (2, vec![told.to_owned()]));
        let group = |kind: &str, protocol: &str, strangers: &[&str]| GroupOutlook {
            group: "g".to_owned(),
            protocol_type: kind.to_owned(),
            protocol: protocol.to_owned(),
            strangers: strangers.iter().map(|one| (*one).to_owned()).collect(),
            ..GroupOutlook::default()
        };
        assert!(oddities(&group("connect", "sessioned", &[])).is_empty());
        assert!(oddities(&group("", "", &[])).is_empty());
        assert!(oddities(&group("consumer", "range", &["c"]))[0].contains("another group.id"));
        assert!(oddities(&group("connect", "default", &[]))[0].contains("eagerly"));
        assert!(oddities(&group("connect", "sessioned", &["m"]))[0].contains("understood: m"));
    }

    #[test]
    fn the_first_listener_is_called() {
        let of = |pairs: &[(&str, &str)]| {
            let worker = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            listener(&worker.collect())
        };
        assert_eq!(of(&[]), "http://localhost:8083");
        assert_eq!(of(&[("listeners", "https://:8443,http://a:1")]), "https://localhost:8443");
        let advertised = [("listeners", "http://:1"), ("rest.advertised.host.name", "h")];
        assert_eq!(of(&advertised), "http://h:1");
    }
}
