//! Where a topic's documents go: indices, data streams and aliases, made when they are missing.

use std::collections::HashMap;

use millrace_api::converters::Schema;
use millrace_api::converters::json::text::write_string;
use millrace_api::error::ConnectError;
use millrace_net::http::Method;

use super::cluster::Cluster;
use super::config::encode;
use super::document::{Rules, WriteMethod};
use super::mapping;

/// `external.resource.usage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Index,
    Alias,
    DataStream,
    AliasOfDataStream,
}

impl Usage {
    fn what(self) -> &'static str {
        match self {
            Self::Index => "Index",
            Self::DataStream => "Data stream",
            Self::Alias | Self::AliasOfDataStream => "Alias",
        }
    }
}

/// How a topic's name becomes a resource's.
#[derive(Clone, Debug)]
pub enum Naming {
    Index,
    /// `{type}-{dataset}-`, and the namespace with its `${topic}`.
    DataStream {
        prefix: String,
        namespace: String,
    },
    External {
        usage: Usage,
        topics: Vec<(String, String)>,
    },
}

impl Naming {
    pub fn is_data_stream(&self) -> bool {
        match self {
            Self::Index => false,
            Self::DataStream { .. } => true,
            Self::External { usage, .. } => {
                matches!(usage, Usage::DataStream | Usage::AliasOfDataStream)
            }
        }
    }

    /// The resource of a topic; `None` if no mapping names the topic.
    fn resource(&self, topic: &str) -> Option<String> {
        match self {
            Self::Index => Some(index_name(topic)),
            Self::DataStream { prefix, namespace } => {
                let namespace = namespace.replace("${topic}", &topic.to_lowercase());
                Some(format!("{prefix}{}", first_chars(&namespace, 100)))
            }
            Self::External { topics, .. } => {
                let known = topics.iter().find(|(known, _)| known == topic);
                known.map(|(_, resource)| resource.clone())
            }
        }
    }
}

fn first_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

/// Lower-case, at most 255 characters, without a leading `-` or `_`, not `.` or `..`.
fn index_name(topic: &str) -> String {
    let lower = topic.to_lowercase();
    let name = first_chars(&lower, 255);
    let name = name.strip_prefix(['-', '_']).unwrap_or(name);
    match name {
        "." | ".." => name.replace('.', "dot"),
        _ => name.to_owned(),
    }
}

/// A topic's place in Elasticsearch, and what its actions begin with.
pub struct Target {
    pub number: u32,
    /// `{"index":{"_index":"orders"`, or create or update.
    pub write_head: Vec<u8>,
    pub delete_head: Vec<u8>,
    /// `,"_id":"orders+`
    pub id_of_place: Vec<u8>,
    pub ignore_key: bool,
    pub ignore_schema: bool,
}

impl Target {
    pub fn new(rules: &Rules, number: u32, topic: &str, resource: &str) -> Self {
        let has = |list: &[String]| list.iter().any(|known| known == topic);
        let head = |action: &str| {
            let mut head = format!("{{\"{action}\":{{\"_index\":").into_bytes();
            write_string(resource, &mut head);
            head
        };
        let mut id_of_place = b",\"_id\":".to_vec();
        write_string(topic, &mut id_of_place);
        id_of_place.pop();
        id_of_place.push(b'+');
        Self {
            number,
            write_head: head(match rules.method {
                WriteMethod::Index => "index",
                WriteMethod::Create => "create",
                WriteMethod::Upsert { .. } => "update",
            }),
            delete_head: head("delete"),
            id_of_place,
            ignore_key: rules.ignore_keys || has(&rules.ignore_keys_of),
            ignore_schema: rules.ignore_schemas || has(&rules.ignore_schemas_of),
        }
    }
}

/// The topics seen so far.
pub struct Resources {
    naming: Naming,
    by_topic: HashMap<String, usize>,
    targets: Vec<Target>,
    /// Resources that are known to be there, and that have a mapping.
    there: HashMap<String, bool>,
}

impl Resources {
    pub fn new(naming: Naming) -> Self {
        Self { naming, by_topic: HashMap::new(), targets: Vec::new(), there: HashMap::new() }
    }

    pub fn find(&self, topic: &str) -> Option<usize> {
        self.by_topic.get(topic).copied()
    }

    pub fn target(&self, at: usize) -> &Target {
        &self.targets[at]
    }

    /// Makes sure that the topic's resource is there, with a mapping of `schema` if it has none.
    pub async fn resolve(
        &mut self,
        cluster: &Cluster,
        rules: &Rules,
        topic: &str,
        schema: Option<&Schema>,
    ) -> Result<(), ConnectError> {
        let resource = self.naming.resource(topic).ok_or_else(|| {
            ConnectError::fatal(format!(
                "Topic '{topic}' is not mapped to any resource. All topics must be mapped when using \
                 topic-to-resource mapping configuration. Please check the \
                 'topic.to.external.resource.mapping' configuration to ensure all topics are properly \
                 mapped."
            ))
        })?;
        if !self.there.contains_key(&resource) {
            self.ensure(cluster, &resource).await?;
            self.there.insert(resource.clone(), false);
        }
        let target = Target::new(rules, self.targets.len() as u32, topic, &resource);
        if !target.ignore_schema && self.there.get(&resource) != Some(&true) {
            if !has_mapping(cluster, &resource).await? {
                put_mapping(cluster, &resource, schema).await?;
            }
            self.there.insert(resource, true);
        }
        self.by_topic.insert(topic.to_owned(), self.targets.len());
        self.targets.push(target);
        Ok(())
    }

    /// Looks for the resource, and makes it unless it is somebody else's to make.
    async fn ensure(&self, cluster: &Cluster, resource: &str) -> Result<(), ConnectError> {
        let path = format!("/{}", encode(resource));
        let what = format!("check if {resource} exists");
        let found = cluster.call(&what, Method::Head, &path, None).await?;
        match found.status {
            200 => return Ok(()),
            404 => {}
            status => return Err(refused(&what, status, &found.body)),
        }
        let path = match &self.naming {
            Naming::External { usage, .. } => {
                return Err(ConnectError::fatal(format!(
                    "{} '{resource}' does not exist in Elasticsearch; create it, or correct \
                     topic.to.external.resource.mapping",
                    usage.what()
                )));
            }
            Naming::Index => path,
            Naming::DataStream { .. } => format!("/_data_stream{path}"),
        };
        let what = format!("create {resource}");
        tracing::info!("Creating index {resource}.");
        let made = cluster.call(&what, Method::Put, &path, None).await?;
        // Another task may have been quicker.
        let exists = memchr::memmem::find(&made.body, b"resource_already_exists_exception");
        if made.is_success() || exists.is_some() {
            Ok(())
        } else {
            Err(refused(&what, made.status, &made.body))
        }
    }
}

async fn has_mapping(cluster: &Cluster, resource: &str) -> Result<bool, ConnectError> {
    let what = format!("get mapping for index {resource}");
    let path = format!("/{}/_mapping", encode(resource));
    let answer = cluster.call(&what, Method::Get, &path, None).await?;
    if !answer.is_success() {
        return Err(refused(&what, answer.status, &answer.body));
    }
    let value: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let mappings = &value[resource]["mappings"];
    Ok(mappings.as_object().is_some_and(|mappings| !mappings.is_empty()))
}

async fn put_mapping(
    cluster: &Cluster,
    resource: &str,
    schema: Option<&Schema>,
) -> Result<(), ConnectError> {
    let mapping = mapping::of_schema(schema)?.to_string();
    let what = format!("create mapping for {resource}");
    let path = format!("/{}/_mapping", encode(resource));
    let answer = cluster.call(&what, Method::Put, &path, Some(mapping.as_bytes())).await?;
    if answer.is_success() { Ok(()) } else { Err(refused(&what, answer.status, &answer.body)) }
}

fn refused(what: &str, status: u16, body: &[u8]) -> ConnectError {
    let remedy = match status {
        401 => "; check connection.username and connection.password",
        403 => "; the user lacks the privilege, or the index is blocked",
        405 => "; this server does not offer it: create the resource yourself",
        _ => "",
    };
    let text = super::answer::describe_body(body);
    ConnectError::fatal(format!("Failed to {what}: HTTP {status} {text}{remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (topic, index) in [
            ("Orders", "orders"),
            ("_x", "x"),
            ("-x", "x"),
            (".", "dot"),
            ("..", "dotdot"),
            ("a.b-C_1", "a.b-c_1"),
        ] {
            assert_eq!(Naming::Index.resource(topic).as_deref(), Some(index));
        }
        assert_eq!(index_name(&"A".repeat(300)).len(), 255);
        let stream = |namespace: &str| Naming::DataStream {
            prefix: "logs-app-".to_owned(),
            namespace: namespace.to_owned(),
        };
        assert_eq!(stream("${topic}").resource("Web").as_deref(), Some("logs-app-web"));
        assert_eq!(stream("n").resource("Web").as_deref(), Some("logs-app-n"));
        let long = stream("${topic}").resource(&"a".repeat(200)).unwrap();
        assert_eq!(long.len(), "logs-app-".len() + 100);
        let topics = vec![("Web".to_owned(), "site".to_owned())];
        let external = Naming::External { usage: Usage::DataStream, topics };
        assert_eq!(external.resource("Web").as_deref(), Some("site"));
        assert_eq!(external.resource("web"), None);
        assert!(external.is_data_stream());
    }
}
