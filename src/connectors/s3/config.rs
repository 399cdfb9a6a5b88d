//! The sink's keys: `S3SinkConnectorConfig`, and what they mean to the store.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_api::Config;
use millrace_api::config_def::DefaultValue::{Null, Of, Required};
use millrace_api::config_def::{ConfigDef, ConfigError, Importance, Parsed, Type, Validator};
use millrace_net::http::Url;

use super::credentials::{Credentials, Source};
use crate::storage::compression::Compression;
use crate::storage::config::{Group, NO_EFFECT, StoreSettings, simple};
use crate::storage::config::{define_connector, define_nulls, define_storage, settings};
use crate::storage::sink::{NullValues, Settings};
use crate::storage::store::MIN_PART_BYTES;

const ACLS: &[&str] = &[
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "log-delivery-write",
    "bucket-owner-read",
    "bucket-owner-full-control",
    "aws-exec-read",
];

/// What the S3 store is configured with.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub bucket: String,
    pub place: Place,
    pub credentials: Source,
    /// Content checksums are sent over https too.
    pub send_digest: bool,
    /// Content checksums are not sent over http either.
    pub unsigned_payload: bool,
    pub expect_continue: bool,
    /// `If-None-Match: *`.
    pub conditional: bool,
    /// Headers of every object: encryption, access control.
    pub object_headers: Vec<(String, String)>,
    /// Headers of every request that touches an object's bytes (SSE-C).
    pub key_headers: Vec<(String, String)>,
    pub tagging: Option<Tagging>,
    /// `http://[user:password@]host:port`.
    pub proxy: Option<String>,
}

/// Where the objects go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    S3 {
        endpoint: Url,
        region: String,
        path_style: bool,
    },
    /// `store.url=file:///folder`.
    Folder(PathBuf),
}

/// `s3.object.tagging`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagging {
    pub extra: Vec<(String, String)>,
    pub ignore_errors: bool,
}

fn check_part_size(text: &str) -> Result<(), String> {
    match text.parse::<i64>() {
        Ok(bytes) if bytes >= MIN_PART_BYTES as i64 => Ok(()),
        _ => Err(format!("Part size must be at least: {MIN_PART_BYTES} bytes (5MB)")),
    }
}

fn check_provider(class: &str) -> Result<(), String> {
    Source::of_class(class).map(|_| ())
}

fn check_bucket(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if (3..=255).contains(&name.len()) && name.bytes().all(fits) {
        Ok(())
    } else {
        Err("a bucket's name is 3 to 63 letters, digits, dots and hyphens".to_owned())
    }
}

fn check_not_stored(text: &str) -> Result<(), String> {
    if text.eq_ignore_ascii_case("false") {
        Ok(())
    } else {
        Err("storing keys or headers in files of their own is not built in yet; set it to false"
            .to_owned())
    }
}

/// All keys.
pub fn config_def() -> ConfigDef {
    let def = define_connector(ConfigDef::new());
    let def = define_s3(def);
    let def = define_requests(def);
    let def = define_nulls(def);
    define_storage(define_files(def))
}

#[rustfmt::skip]
fn define_s3(def: ConfigDef) -> ConfigDef {
    use Importance::{High, Low, Medium};
    Group::new(def, "S3")
        .key("s3.bucket.name", Type::String, Required, High, "S3 Bucket", "The S3 Bucket.",
            Validator::Custom(check_bucket))
        .key("s3.region", Type::String, Of("us-west-2"), Medium, "AWS region",
            "The AWS region to be used by the connector.", Validator::NonEmpty)
        .key("s3.part.size", Type::Int, Of("26214400"), High, "S3 Part Size",
            "The Part Size in S3 Multi-part Uploads. Buffers grow up to it as records come.",
            Validator::Custom(check_part_size))
        .key("s3.credentials.provider.class", Type::Class,
            Of("software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"), Low,
            "AWS Credentials Provider Class",
            "Where credentials come from, unless aws.access.key.id is given. The default looks at the \
             environment, a web identity token and the profile file.",
            Validator::Custom(check_provider))
        .key("aws.access.key.id", Type::String, Of(""), High, "AWS Access Key ID",
            "The AWS access key ID.", Validator::None)
        .key("aws.secret.access.key", Type::Password, Null, High, "AWS Secret Access Key",
            "The secret access key.", Validator::None)
        .key("s3.ssea.name", Type::String, Of(""), Low, "S3 Server Side Encryption Algorithm",
            "The S3 Server Side Encryption Algorithm.",
            Validator::OneOf(&["", "AES256", "aws:kms", "aws:kms:dsse"]))
        .key("s3.sse.customer.key", Type::Password, Null, Low,
            "S3 Server Side Encryption Customer-Provided Key (SSE-C)",
            "The S3 Server Side Encryption Customer-Provided Key (SSE-C): 32 bytes in base64.",
            Validator::None)
        .key("s3.sse.kms.key.id", Type::String, Of(""), Low, "S3 Server Side Encryption Key",
            "The AWS-KMS key for s3.ssea.name=aws:kms.", Validator::None)
        .key("s3.acl.canned", Type::String, Null, Low, "S3 Canned ACL",
            "An S3 canned ACL header value to apply when writing objects.", Validator::OneOf(ACLS))
        .key("s3.wan.mode", Type::Boolean, Of("false"), Medium, "S3 accelerated endpoint enabled",
            "Use S3 accelerated endpoint.", Validator::None)
        .key("s3.path.style.access.enabled", Type::Boolean, Of("true"), Low,
            "Enable Path Style Access to S3",
            "Whether the bucket stands in the URL's path rather than in its host name.",
            Validator::None)
        .key("s3.object.tagging", Type::Boolean, Of("false"), Low, "S3 Object Tagging",
            "Tag S3 objects with start and end offsets, as well as record count.", Validator::None)
        .key("s3.object.tagging.key.value.pairs", Type::List, Of(""), Low,
            "S3 Object Tagging Extra Key Value pairs",
            "Additional S3 tags, as key:value pairs.", Validator::None)
        .key("s3.object.behavior.on.tagging.error", Type::String, Of("ignore"), Low,
            "Behavior for S3 object tagging error",
            "How to handle S3 object tagging error. Valid options are 'ignore' and 'fail'.",
            Validator::OneOfIgnoreCase(&["ignore", "fail"]))
        .done()
}

#[rustfmt::skip]
fn define_requests(def: ConfigDef) -> ConfigDef {
    use Importance::{Low, Medium};
    Group::new(def, "S3 requests")
        .key("s3.part.retries", Type::Int, Of("3"), Medium, "S3 Part Upload Retries",
            "Maximum number of retry attempts for failed requests. Zero means no retries.",
            Validator::Between(0, 1000))
        .key("s3.retry.backoff.ms", Type::Long, Of("200"), Low, "Retry Backoff (ms)",
            "How long to wait in milliseconds before attempting the first retry of a failed S3 \
             request. Doubled for each further retry, with up to as much again at random.",
            Validator::AtLeast(0))
        .key("s3.http.send.expect.continue", Type::Boolean, Of("true"), Low,
            "S3 HTTP Send Uses Expect Continue",
            "Ask the server with EXPECT: 100-CONTINUE before a large body is sent.", Validator::None)
        .key("s3.send.digest", Type::Boolean, Of("false"), Low, "S3 Send Upload Message Digest",
            "Send the SHA-256 of every body, also over https (over http it is sent unless \
             millrace.s3.unsigned.payload says otherwise).",
            Validator::None)
        .key("millrace.s3.unsigned.payload", Type::Boolean, Of("false"), Low,
            "S3 Unsigned Payload",
            "Over http, leave the SHA-256 of bodies out of the signature, as over https. It is a \
             quarter of the processor time of uncompressed objects; without it nobody notices a body \
             that was altered on its way, so only for networks that are trusted.",
            Validator::None)
        .key("enable.conditional.writes", Type::Boolean, Of("true"), Low,
            "Enable conditional writes during multipart upload",
            "Write an object only if there is none of its name. Where there is one, the object that \
             reaches further is kept.",
            Validator::None)
        .key("max.files.scan.limit", Type::Int, Of("100"), Low, "Max files scan limit", NO_EFFECT,
            Validator::None)
        .key("max.write.duration.ms", Type::Long, Of("9223372036854775807"), Low,
            "Maximum write duration", NO_EFFECT, Validator::None)
        .key("s3.elastic.buffer.enable", Type::Boolean, Of("false"), Low,
            "Enable elastic buffer to staging s3-part",
            "Accepted for compatibility; buffers always grow as needed.", Validator::None)
        .key("s3.elastic.buffer.init.capacity", Type::Int, Of("131072"), Low,
            "Elastic buffer initial capacity", NO_EFFECT, Validator::None)
        .key("s3.proxy.url", Type::String, Of(""), Low, "S3 Proxy Settings",
            "The HTTP proxy through which S3 is reached.", Validator::None)
        .key("s3.proxy.user", Type::String, Null, Low, "S3 Proxy User", "S3 Proxy User.",
            Validator::None)
        .key("s3.proxy.password", Type::Password, Null, Low, "S3 Proxy Password",
            "S3 Proxy Password.", Validator::None)
        .done()
}

#[rustfmt::skip]
fn define_files(def: ConfigDef) -> ConfigDef {
    use Importance::Low;
    let def = Group::new(def, "Compression")
        .key("s3.compression.type", Type::String, Of("none"), Low, "Compression type",
            "Compression type for files written to S3: none, gzip, or zstd, which takes a fraction of \
             gzip's time.",
            Validator::OneOf(&["none", "gzip", "zstd"]))
        .key("s3.compression.level", Type::Int, Of("-1"), Low, "Compression Level",
            "Compression level: 1 to 9 for gzip (-1 is 6; 1 takes a quarter of the time), 1 to 22 for \
             zstd (-1 is 1).",
            Validator::Between(-1, 22))
        .done();
    Group::new(def, "Keys and Headers")
        .key(
            "store.kafka.keys",
            Type::Boolean,
            Of("false"),
            Low,
            "Store kafka keys",
            "Enable or disable writing keys to storage; not built in yet.",
            Validator::Custom(check_not_stored),
        )
        .key(
            "store.kafka.headers",
            Type::Boolean,
            Of("false"),
            Low,
            "Store kafka headers",
            "Enable or disable writing headers to storage; not built in yet.",
            Validator::Custom(check_not_stored),
        )
        .key(
            "keys.format.class",
            Type::Class,
            Of("io.confluent.connect.s3.format.avro.AvroFormat"),
            Low,
            "Keys format class",
            NO_EFFECT,
            Validator::None,
        )
        .key(
            "headers.format.class",
            Type::Class,
            Of("io.confluent.connect.s3.format.avro.AvroFormat"),
            Low,
            "Headers format class",
            NO_EFFECT,
            Validator::None,
        )
        .key(
            "s3.schema.partition.affix.type",
            Type::String,
            Of("NONE"),
            Low,
            "Schema Partition Affix Type",
            "Only NONE is built in.",
            Validator::OneOfIgnoreCase(&["NONE"]),
        )
        .done()
}

/// For the plug-in: errors across keys. Keys that are wrong by themselves are reported elsewhere.
pub fn validate(config: &Config) -> Vec<ConfigError> {
    match config_def().parse(config) {
        Ok(values) => read(&values).err().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// Everything, or all that is wrong.
pub fn parse(config: &Config) -> Result<(Settings, StoreConfig), Vec<ConfigError>> {
    read(&config_def().parse(config)?)
}

fn read(values: &Parsed) -> Result<(Settings, StoreConfig), Vec<ConfigError>> {
    let mut errors = Vec::new();
    let compression = compression(values, &mut errors);
    let store = store(values, &mut errors);
    let shared = StoreSettings {
        compression,
        part_bytes: values.long("s3.part.size") as usize,
        retries: values.long("s3.part.retries") as u32,
        backoff: Duration::from_millis(values.long("s3.retry.backoff.ms") as u64),
    };
    let settings = match settings(values, shared) {
        Ok(settings) => Some(settings),
        Err(more) => {
            errors.extend(more);
            None
        }
    };
    if let Some(settings) = &settings {
        let bytes = simple(values.string("format.class")) == "ByteArrayFormat";
        if settings.null_values == NullValues::Write && bytes {
            errors.push(ConfigError::invalid(
                "behavior.on.null.values",
                "write",
                "ByteArrayFormat has no form for null; use ignore",
            ));
        }
        let room = settings.memory_bytes / 2;
        if settings.part_bytes > room {
            errors.push(ConfigError::invalid(
                "s3.part.size",
                &settings.part_bytes.to_string(),
                &format!(
                    "a part may take at most half of millrace.memory.bytes ({room}); raise that, or \
                     use smaller parts"
                ),
            ));
        }
    }
    match (settings, store) {
        (Some(settings), Some(store)) if errors.is_empty() => Ok((settings, store)),
        _ => Err(errors),
    }
}

fn compression(values: &Parsed, errors: &mut Vec<ConfigError>) -> Compression {
    let level = values.long("s3.compression.level");
    match values.string("s3.compression.type") {
        "gzip" if level > 9 => {
            errors.push(ConfigError::invalid(
                "s3.compression.level",
                &level.to_string(),
                "gzip's levels are 0 to 9, and -1 for 6",
            ));
            Compression::None
        }
        "gzip" => Compression::Gzip(u32::try_from(level).unwrap_or(6)),
        "zstd" => Compression::Zstd(level.clamp(1, 22) as i32),
        _ => Compression::None,
    }
}

fn store(values: &Parsed, errors: &mut Vec<ConfigError>) -> Option<StoreConfig> {
    let place = place(values, errors)?;
    let mut object_headers = Vec::new();
    let mut header = |name: &str, value: &str| {
        if !value.is_empty() {
            object_headers.push((name.to_owned(), value.to_owned()));
        }
    };
    header("x-amz-server-side-encryption", values.string("s3.ssea.name"));
    header("x-amz-server-side-encryption-aws-kms-key-id", values.string("s3.sse.kms.key.id"));
    header("x-amz-acl", values.get("s3.acl.canned").unwrap_or_default());
    if !values.string("s3.sse.kms.key.id").is_empty()
        && !values.string("s3.ssea.name").starts_with("aws:kms")
    {
        errors.push(ConfigError::invalid(
            "s3.sse.kms.key.id",
            values.string("s3.sse.kms.key.id"),
            "a KMS key needs s3.ssea.name=aws:kms",
        ));
    }
    Some(StoreConfig {
        bucket: values.string("s3.bucket.name").to_owned(),
        place,
        credentials: credentials(values, errors),
        send_digest: values.bool("s3.send.digest"),
        unsigned_payload: values.bool("millrace.s3.unsigned.payload"),
        expect_continue: values.bool("s3.http.send.expect.continue"),
        conditional: values.bool("enable.conditional.writes"),
        object_headers,
        key_headers: customer_key(values, errors),
        tagging: tagging(values, errors),
        proxy: proxy(values, errors),
    })
}

fn place(values: &Parsed, errors: &mut Vec<ConfigError>) -> Option<Place> {
    let region = values.string("s3.region");
    let path_style = values.bool("s3.path.style.access.enabled");
    let accelerate = values.bool("s3.wan.mode");
    if accelerate && path_style {
        let why = "Both accelerate mode and path style access are being enabled. These options are \
                   mutually exclusive and cannot be enabled together. Please disable one of them";
        for key in ["s3.wan.mode", "s3.path.style.access.enabled"] {
            errors.push(ConfigError { key: key.to_owned(), message: why.to_owned() });
        }
        return None;
    }
    let url = values.get("store.url").unwrap_or_default();
    if let Some(folder) = url.strip_prefix("file://") {
        if !folder.starts_with('/') {
            let why = "a folder's URL is file:// and an absolute path: file:///data";
            errors.push(ConfigError::invalid("store.url", url, why));
            return None;
        }
        return Some(Place::Folder(PathBuf::from(folder)));
    }
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let text = match (url, accelerate) {
        ("", true) => format!("https://s3-accelerate.{domain}"),
        ("", false) => format!("https://s3.{region}.{domain}"),
        (url, _) => url.to_owned(),
    };
    match Url::parse(&text) {
        Ok(endpoint) => Some(Place::S3 { endpoint, region: region.to_owned(), path_style }),
        Err(why) => {
            errors.push(ConfigError::invalid("store.url", url, &why));
            None
        }
    }
}

fn credentials(values: &Parsed, errors: &mut Vec<ConfigError>) -> Source {
    let id = values.string("aws.access.key.id");
    let secret = values.get("aws.secret.access.key").unwrap_or_default();
    if id.is_empty() != secret.is_empty() {
        let missing = if id.is_empty() { "aws.access.key.id" } else { "aws.secret.access.key" };
        errors.push(ConfigError {
            key: missing.to_owned(),
            message: format!(
                "Invalid value for configuration {missing}: it must be given together \
                              with its other half (aws.access.key.id, aws.secret.access.key)"
            ),
        });
    }
    if id.is_empty() {
        return Source::of_class(values.string("s3.credentials.provider.class"))
            .unwrap_or(Source::Chain);
    }
    Source::Static(Credentials {
        access_key_id: id.to_owned(),
        secret_access_key: secret.to_owned(),
        session_token: None,
        expires: None,
    })
}

fn customer_key(values: &Parsed, errors: &mut Vec<ConfigError>) -> Vec<(String, String)> {
    const NAME: &str = "x-amz-server-side-encryption-customer";
    let Some(text) = values.get("s3.sse.customer.key").filter(|key| !key.is_empty()) else {
        return Vec::new();
    };
    match STANDARD.decode(text) {
        Ok(key) if key.len() == 32 => vec![
            (format!("{NAME}-algorithm"), "AES256".to_owned()),
            (format!("{NAME}-key"), text.to_owned()),
            (format!("{NAME}-key-md5"), STANDARD.encode(md5::compute(&key).0)),
        ],
        _ => {
            let why = "must be 32 bytes in base64";
            errors.push(ConfigError::invalid("s3.sse.customer.key", "[hidden]", why));
            Vec::new()
        }
    }
}

fn tagging(values: &Parsed, errors: &mut Vec<ConfigError>) -> Option<Tagging> {
    if !values.bool("s3.object.tagging") {
        return None;
    }
    let mut extra = Vec::new();
    for pair in values.list("s3.object.tagging.key.value.pairs") {
        match pair.split_once(':') {
            Some((key, value)) => extra.push((key.trim().to_owned(), value.trim().to_owned())),
            None => errors.push(ConfigError::invalid(
                "s3.object.tagging.key.value.pairs",
                &pair,
                "is not a key:value pair",
            )),
        }
    }
    let ignore_errors =
        values.string("s3.object.behavior.on.tagging.error").eq_ignore_ascii_case("ignore");
    Some(Tagging { extra, ignore_errors })
}

fn proxy(values: &Parsed, errors: &mut Vec<ConfigError>) -> Option<String> {
    let text = values.string("s3.proxy.url");
    if text.is_empty() {
        return None;
    }
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = match Url::parse(&text) {
        Ok(url) => url,
        Err(why) => {
            errors.push(ConfigError::invalid("s3.proxy.url", &text, &why));
            return None;
        }
    };
    let Some(user) = values.get("s3.proxy.user").filter(|user| !user.is_empty()) else {
        return Some(text);
    };
    let encode = |text: &str| super::sign::encode(text, false);
    let password = values.get("s3.proxy.password").unwrap_or_default();
    Some(format!("{}://{}:{}@{}", url.scheme, encode(user), encode(password), url.host_and_port()))
}
