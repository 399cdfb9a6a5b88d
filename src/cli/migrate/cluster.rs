//! A running cluster as it shows itself: its config topic and its REST API.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_api::Config;
use millrace_herder::listeners::Listener;
use millrace_herder::stores::snapshot;
use millrace_net::http::{Body, Client, ClientOptions, Method, Request, Url};
use millrace_net::rt;
use serde_json::Value;

/// For each of both sources.
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
    /// What could not be looked at, and what is odd.
    pub notes: Vec<String>,
}

/// Looks at both; one of them is enough.
pub(super) fn look(worker: &Config, rest: Option<&str>) -> Result<Cluster, String> {
    let mut cluster = Cluster::default();
    let topic = topic(worker, &mut cluster);
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
    let read = snapshot::read_config(worker, LIMIT)?;
    for (name, entry) in read.config.connectors() {
        let config = entry.config.as_deref().cloned().unwrap_or_default();
        if entry.inconsistent {
            cluster.notes.push(format!(
                "{name}: the config topic lacks some of its task configurations; they are written \
                 again when it starts"
            ));
        }
        cluster.connectors.insert(name.to_string(), Connector { config, ..Connector::default() });
    }
    if read.malformed > 0 {
        let count = read.malformed;
        cluster.notes.push(format!("{count} records of the config topic make no sense; skipped"));
    }
    Ok(())
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
