//! The sink's keys: `ElasticsearchSinkConnectorConfig`, one row a key.

use millrace_api::config_def::DefaultValue::{Null, Of, Required};
use millrace_api::config_def::{
    ConfigDef, ConfigKey, DefaultValue, Importance, Type, Validator, Width, split_list,
};

use super::config::node_url;

/// One day, one week, half a day, in milliseconds.
const DAY: i64 = 86_400_000;
const WEEK: i64 = 7 * DAY;
const HALF_DAY: i64 = DAY / 2;
/// `Integer.MAX_VALUE`.
const INT_MAX: i64 = i32::MAX as i64;

/// Adds keys of one group, numbered in order.
struct Group {
    def: ConfigDef,
    name: &'static str,
    order: i32,
}

impl Group {
    fn new(def: ConfigDef, name: &'static str) -> Self {
        Self { def, name, order: 0 }
    }

    /// One key: name, type, default, importance, display name, check, documentation.
    #[expect(clippy::too_many_arguments, reason = "a row of a table")]
    fn key(
        mut self,
        name: &'static str,
        type_: Type,
        default: DefaultValue,
        importance: Importance,
        display: &'static str,
        check: Validator,
        documentation: &'static str,
    ) -> Self {
        self.order += 1;
        let width = if type_ == Type::List { Width::Long } else { Width::Short };
        let key = ConfigKey::new(name, type_, default, importance, documentation)
            .check(check)
            .group(self.name, self.order, width, display);
        self.def = self.def.define(key);
        self
    }

    fn done(self) -> ConfigDef {
        self.def
    }
}

fn check_urls(text: &str) -> Result<(), String> {
    let urls = split_list(text);
    if urls.is_empty() {
        return Err("at least one URL is needed, such as http://eshost1:9200".to_owned());
    }
    for url in urls {
        node_url(&url).map_err(|why| format!("The provided url is not a valid url: {why}"))?;
    }
    Ok(())
}

/// A part of a data stream's name. `what` is the part, for the message.
fn check_part(what: &str, text: &str) -> Result<(), String> {
    if text.chars().count() > 100 {
        return Err(format!("The specified {what} must be no longer than 100 characters."));
    }
    if text != text.to_lowercase() {
        return Err(format!("The specified {what} must be in all lowercase."));
    }
    if text.contains(|c| "\\/*?\"<>| ,#-:".contains(c)) {
        return Err(format!(
            "The specified {what} must not contain any spaces or invalid characters \\/*?\"<>|,#-:"
        ));
    }
    Ok(())
}

fn check_dataset(text: &str) -> Result<(), String> {
    check_part("dataset", text)
}

fn check_namespace(text: &str) -> Result<(), String> {
    check_part("namespace", text)
}

/// All keys.
pub fn config_def() -> ConfigDef {
    let def = define_connection(ConfigDef::new());
    let def = define_target(def);
    let def = define_batching(def);
    let def = define_conversion(def);
    define_kerberos(define_security(define_proxy(def)))
}

#[rustfmt::skip]
fn define_connection(def: ConfigDef) -> ConfigDef {
    use Importance::{High, Low, Medium};
    Group::new(def, "Connector")
        .key("connection.url", Type::List, Required, High, "Connection URLs",
            Validator::Custom(check_urls),
            "The comma-separated list of one or more Elasticsearch URLs, such as \
             http://eshost1:9200,http://eshost2:9200. A URL without a protocol is treated as http. \
             Requests take turns over them; one that cannot be reached is passed over.")
        .key("connection.username", Type::String, Null, Medium, "Connection Username",
            Validator::None,
            "The username used to authenticate with Elasticsearch. Authentication is only performed \
             if both the username and password are given.")
        .key("connection.password", Type::Password, Null, Medium, "Connection Password",
            Validator::None, "The password used to authenticate with Elasticsearch.")
        .key("connection.compression", Type::Boolean, Of("false"), Low, "Compression",
            Validator::None,
            "Whether to use GZip compression on the HTTP connection to Elasticsearch.")
        .key("max.connection.idle.time.ms", Type::Int, Of("60000"), Low,
            "Max Connection Idle Time", Validator::Between(-1, DAY),
            "Accepted for compatibility; idle connections are kept for a minute, and one that the server \
             has closed is replaced.")
        .key("connection.timeout.ms", Type::Int, Of("1000"), Low, "Connection Timeout",
            Validator::Between(0, HALF_DAY),
            "How long to wait in milliseconds when establishing a connection to the Elasticsearch \
             server. 0 waits as long as the system does.")
        .key("read.timeout.ms", Type::Int, Of("3000"), Low, "Read Timeout",
            Validator::Between(0, WEEK),
            "How long to wait in milliseconds for the Elasticsearch server to send a response, beside \
             the time that the request itself takes to send. 0 is for ever.")
        .done()
}

#[rustfmt::skip]
fn define_target(def: ConfigDef) -> ConfigDef {
    use Importance::{High, Low, Medium};
    Group::new(def, "Connector")
        .key("external.resource.usage", Type::String, Of("DISABLED"), High,
            "External Resource Usage",
            Validator::OneOfIgnoreCase(
                &["INDEX", "DATASTREAM", "ALIAS_INDEX", "ALIAS_DATASTREAM", "DISABLED"]),
            "The type of resource the connector writes to. When DISABLED, the connector creates indices \
             or data streams named after the topics; otherwise it writes to resources that exist, as \
             topic.to.external.resource.mapping says.")
        .key("topic.to.external.resource.mapping", Type::List, Of(""), High,
            "Topic to External Resource Mapping", Validator::None,
            "A list of topic-to-resource mappings in the format 'topic:resource'. The resources must \
             exist in Elasticsearch.")
        .key("max.external.resource.mappings", Type::Int, Of("15"), Medium,
            "Maximum External Resource Mappings", Validator::AtLeast(1),
            "The maximum number of topic-to-external-resource mappings allowed.")
        .key("data.stream.type", Type::String, Of("NONE"), Low, "Data Stream Type",
            Validator::OneOfIgnoreCase(&["LOGS", "METRICS", "NONE"]),
            "Generic type describing the data to be written to a data stream, whose name is \
             {data.stream.type}-{data.stream.dataset}-{data.stream.namespace}. NONE writes to regular \
             indices.")
        .key("data.stream.dataset", Type::String, Of(""), Low, "Data Stream Dataset",
            Validator::Custom(check_dataset),
            "Generic name describing data ingested and its structure to be written to a data stream.")
        .key("data.stream.namespace", Type::String, Of("${topic}"), Low, "Data Stream Namespace",
            Validator::Custom(check_namespace),
            "Generic name describing user-configurable arbitrary grouping to be written to a data \
             stream.")
        .key("data.stream.timestamp.field", Type::List, Of(""), Low, "Data Stream Timestamp Field",
            Validator::None,
            "The fields to take the @timestamp of documents from: the first that a record has. Without \
             any it is the Kafka record's timestamp.")
        .done()
}

#[rustfmt::skip]
fn define_batching(def: ConfigDef) -> ConfigDef {
    use Importance::{Low, Medium};
    Group::new(def, "Connector")
        .key("batch.size", Type::Int, Of("2000"), Medium, "Batch Size",
            Validator::Between(1, 1_000_000),
            "The number of records to process as a batch when writing to Elasticsearch.")
        .key("bulk.size.bytes", Type::Long, Of("5242880"), Low, "Bulk Size (bytes)",
            Validator::Between(-1, INT_MAX),
            "The size in bytes at which a batch is sent even if batch.size is not reached. -1 disables \
             it, up to 90 MiB.")
        .key("max.in.flight.requests", Type::Int, Of("5"), Medium, "Max In-flight Requests",
            Validator::Between(1, 1000),
            "The maximum number of indexing requests that can be in-flight to Elasticsearch. Fewer \
             while Elasticsearch says that it is overloaded.")
        .key("max.buffered.records", Type::Int, Of("20000"), Low, "Max Buffered Records",
            Validator::Between(1, INT_MAX),
            "The maximum number of records each task will buffer before it takes no more.")
        .key("linger.ms", Type::Long, Of("1"), Low, "Linger (ms)", Validator::Between(0, WEEK),
            "How long a batch that is not full waits for more records while the task has nothing else \
             to send.")
        .key("flush.timeout.ms", Type::Long, Of("180000"), Low, "Flush Timeout (ms)",
            Validator::Between(1000, WEEK),
            "How long the task waits for Elasticsearch to take anything at all, overload included, \
             before it fails.")
        .key("flush.synchronously", Type::Boolean, Of("false"), Low, "Flush synchronously",
            Validator::None,
            "True if offsets are committed only after waiting for every request under way.")
        .key("max.retries", Type::Int, Of("5"), Low, "Max Retries", Validator::Between(0, INT_MAX),
            "The maximum number of retries that are allowed for failed indexing requests. If the retry \
             attempts are exhausted the task will fail.")
        .key("retry.backoff.ms", Type::Long, Of("100"), Low, "Retry Backoff (ms)",
            Validator::Between(0, DAY),
            "How long to wait in milliseconds before attempting the first retry of a failed indexing \
             request; up to twice as long as the previous wait for each further one.")
        .key("use.autogenerated.ids", Type::Boolean, Of("false"), Medium,
            "Elasticsearch Generated IDs", Validator::None,
            "Whether to leave document ids to Elasticsearch, for insertion. A document that is sent \
             again is then there twice.")
        .done()
}

#[rustfmt::skip]
fn define_conversion(def: ConfigDef) -> ConfigDef {
    use Importance::{High, Low};
    Group::new(def, "Data Conversion")
        .key("key.ignore", Type::Boolean, Of("false"), High, "Ignore Key mode", Validator::None,
            "Whether to ignore the record key for the purpose of forming the document id, which is then \
             topic+partition+offset.")
        .key("schema.ignore", Type::Boolean, Of("false"), Low, "Ignore Schema mode",
            Validator::None,
            "Whether to ignore schemas during indexing: no mapping is registered, Elasticsearch infers \
             it. Records without a schema need it, unless the index has a mapping.")
        .key("compact.map.entries", Type::Boolean, Of("true"), Low, "Compact Map Entries",
            Validator::None,
            "Whether map entries with string keys are written as \"entryKey\": \"entryValue\" rather \
             than {\"key\": \"entryKey\", \"value\": \"entryValue\"}.")
        .key("topic.key.ignore", Type::List, Of(""), Low, "Topics for 'Ignore Key' mode",
            Validator::None, "List of topics for which key.ignore should be true.")
        .key("topic.schema.ignore", Type::List, Of(""), Low, "Topics for 'Ignore Schema' mode",
            Validator::None, "List of topics for which schema.ignore should be true.")
        .key("drop.invalid.message", Type::Boolean, Of("false"), Low, "Drop invalid messages",
            Validator::None,
            "Whether to drop a record that cannot be converted to a document. With a dead letter queue \
             it goes there.")
        .key("behavior.on.null.values", Type::String, Of("FAIL"), Low,
            "Behavior for null-valued records",
            Validator::OneOfIgnoreCase(&["IGNORE", "DELETE", "FAIL"]),
            "How to handle records with a non-null key and a null value (tombstones).")
        .key("behavior.on.malformed.documents", Type::String, Of("FAIL"), Low,
            "Behavior on malformed documents",
            Validator::OneOfIgnoreCase(&["IGNORE", "WARN", "FAIL"]),
            "How to handle records that Elasticsearch rejects because of the document itself, such as a \
             mapping conflict. With IGNORE and WARN they go to the dead letter queue if there is one.")
        .key("external.version.header", Type::String, Of(""), Low,
            "External Version Header Name", Validator::None,
            "Header name to pull the value for external versioning from; the default is the Kafka \
             offset. Must have a numeric value.")
        .key("write.method", Type::String, Of("INSERT"), Low, "Write Method",
            Validator::OneOfIgnoreCase(&["INSERT", "UPSERT"]),
            "INSERT replaces a document of the same id; UPSERT adds or replaces the fields that the \
             record has.")
        .done()
}

#[rustfmt::skip]
fn define_proxy(def: ConfigDef) -> ConfigDef {
    use Importance::Low;
    Group::new(def, "Proxy")
        .key("proxy.host", Type::String, Of(""), Low, "Proxy Host", Validator::None,
            "The address of the proxy host to connect through. Supports the basic authentication scheme \
             only.")
        .key("proxy.port", Type::Int, Of("8080"), Low, "Proxy Port", Validator::Between(1, 65535),
            "The port of the proxy host to connect through.")
        .key("proxy.username", Type::String, Of(""), Low, "Proxy Username", Validator::None,
            "The username for the proxy host.")
        .key("proxy.password", Type::Password, Null, Low, "Proxy Password", Validator::None,
            "The password for the proxy host.")
        .done()
}

/// `elastic.https.` and Kafka's client TLS keys.
#[rustfmt::skip]
fn define_security(def: ConfigDef) -> ConfigDef {
    use Importance::{Low, Medium};
    const KEPT: &str = "Accepted for compatibility; has no effect.";
    const KINDS: &str = "JKS, PKCS12 or PEM; the first two are told apart by the file's first bytes.";
    Group::new(def, "Security")
        .key("elastic.security.protocol", Type::String, Of("PLAINTEXT"), Medium,
            "Security protocol", Validator::OneOfIgnoreCase(&["PLAINTEXT", "SSL"]),
            "If PLAINTEXT, all configs prefixed by elastic.https. are ignored; https URLs then trust \
             the system's authorities.")
        .key("elastic.https.ssl.truststore.type", Type::String, Of("JKS"), Medium,
            "Truststore type", Validator::None, KINDS)
        .key("elastic.https.ssl.truststore.location", Type::String, Null, Medium,
            "Truststore location", Validator::None, "The store, or PEM file, of the authorities to trust.")
        .key("elastic.https.ssl.truststore.password", Type::Password, Null, Medium,
            "Truststore password", Validator::None,
            "Of a JKS or PKCS12 store; without it a JKS store is read unchecked.")
        .key("elastic.https.ssl.truststore.certificates", Type::Password, Null, Medium,
            "Truststore certificates", Validator::None,
            "The authorities to trust, as PEM text in place of a file.")
        .key("elastic.https.ssl.keystore.type", Type::String, Of("JKS"), Medium, "Keystore type",
            Validator::None, KINDS)
        .key("elastic.https.ssl.keystore.location", Type::String, Null, Medium,
            "Keystore location", Validator::None,
            "The store, or PEM file, that holds our certificate chain and its private key.")
        .key("elastic.https.ssl.keystore.password", Type::Password, Null, Medium,
            "Keystore password", Validator::None, "Of a JKS or PKCS12 store.")
        .key("elastic.https.ssl.keystore.certificate.chain", Type::Password, Null, Medium,
            "Certificate chain", Validator::None, "Our certificate chain as PEM text.")
        .key("elastic.https.ssl.keystore.key", Type::Password, Null, Medium, "Private key",
            Validator::None, "Our private key as PEM text.")
        .key("elastic.https.ssl.key.password", Type::Password, Null, Medium, "Key password",
            Validator::None, "The private key's password, where it is not the store's.")
        .key("elastic.https.ssl.endpoint.identification.algorithm", Type::String, Of("https"), Low,
            "Endpoint identification", Validator::None,
            "Empty: the server's certificate need not bear the name that is connected to.")
        .key("elastic.https.ssl.protocol", Type::String, Of("TLSv1.3"), Medium, "Protocol",
            Validator::None, KEPT)
        .key("elastic.https.ssl.enabled.protocols", Type::List, Of("TLSv1.2,TLSv1.3"), Medium,
            "Enabled protocols", Validator::None, "TLSv1.2 and TLSv1.3 are built in.")
        .key("elastic.https.ssl.provider", Type::String, Null, Medium, "Provider",
            Validator::None, KEPT)
        .key("elastic.https.ssl.cipher.suites", Type::List, Null, Low, "Cipher suites",
            Validator::None, "By their registered names; all that are built in if empty.")
        .key("elastic.https.ssl.keymanager.algorithm", Type::String, Of("SunX509"), Low,
            "Key manager", Validator::None, KEPT)
        .key("elastic.https.ssl.trustmanager.algorithm", Type::String, Of("PKIX"), Low,
            "Trust manager", Validator::None, KEPT)
        .key("elastic.https.ssl.secure.random.implementation", Type::String, Null, Low,
            "Random numbers", Validator::None, KEPT)
        .key("elastic.https.ssl.engine.factory.class", Type::Class, Null, Low, "Engine factory",
            Validator::None, KEPT)
        .done()
}

#[rustfmt::skip]
fn define_kerberos(def: ConfigDef) -> ConfigDef {
    use Importance::Low;
    Group::new(def, "Kerberos")
        .key("kerberos.user.principal", Type::String, Null, Low, "Kerberos User Principal",
            Validator::None, "Kerberos is not built in; a connector that sets this is refused.")
        .key("kerberos.keytab.path", Type::String, Null, Low, "Kerberos Keytab File Path",
            Validator::None, "Kerberos is not built in; a connector that sets this is refused.")
        .done()
}
