//! What an `Enrich` is told: where its table comes from, and what of it goes where.

use std::time::Duration;

use millrace_api::Config;
use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Parsed, Type, Validator,
};
use millrace_converters::SchemaType;

use super::sql;
use super::sql::settings::{Secret, SqlSpec};

pub const KEY: &str = "key";
pub const TABLE_FILE: &str = "table.file";
pub const TABLE_TOPIC: &str = "table.topic";
pub const TABLE_SQL: &str = "table.sql";
pub const SQL_URL: &str = "table.sql.url";
const SQL_PASSWORD: &str = "table.sql.password";
const SQL_CA: &str = "table.sql.ca.file";
const SQL_TIMEOUT: &str = "table.sql.timeout.ms";
const CACHE_ROWS: &str = "table.cache.rows";
const CACHE_TTL: &str = "table.cache.ttl.ms";
const CACHE_NEGATIVE: &str = "table.cache.negative.ttl.ms";
const TABLE_FORMAT: &str = "table.format";
const TABLE_KEY: &str = "table.key";
const TABLE_TYPES: &str = "table.types";
const DELIMITER: &str = "table.csv.delimiter";
const REFRESH: &str = "table.refresh.ms";
const LOAD_TIMEOUT: &str = "table.load.timeout.ms";
const CONSUMER: &str = "table.consumer.";
const FIELDS: &str = "fields";
const PREFIX: &str = "prefix";
const TARGET: &str = "target.field";
const JOIN: &str = "join";
const MEMORY: &str = "max.memory.bytes";

/// Names that a column's type goes by, and the types.
const TYPES: [(&str, SchemaType); 8] = [
    ("string", SchemaType::String),
    ("boolean", SchemaType::Boolean),
    ("int8", SchemaType::Int8),
    ("int16", SchemaType::Int16),
    ("int32", SchemaType::Int32),
    ("int64", SchemaType::Int64),
    ("float32", SchemaType::Float32),
    ("float64", SchemaType::Float64),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(String),
    Topic(String, Config),
    Sql(SqlSpec),
}

/// A column of the table and the field that it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub field: String,
}

/// All that a table's content depends on: equal ones share a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    pub place: Place,
    pub format: Format,
    /// Columns of the key; of a topic, members of the record's key, or none for its text.
    pub key: Vec<String>,
    /// Empty: all of them but the key's, under their names.
    pub columns: Vec<Column>,
    /// Before the names of columns that are not chosen one by one.
    pub prefix: String,
    pub types: Vec<(String, SchemaType)>,
    pub delimiter: u8,
    pub refresh: Duration,
    pub patience: Duration,
    pub memory: usize,
}

impl TableSpec {
    pub fn type_of(&self, column: &str) -> Option<SchemaType> {
        self.types.iter().find(|(name, _)| name == column).map(|(_, type_)| *type_)
    }

    /// The field that a column becomes; `None`: it is left out.
    pub fn field_of(&self, column: &str) -> Option<std::borrow::Cow<'_, str>> {
        if self.columns.is_empty() {
            let is_key = self.key.iter().any(|key| key == column);
            return (!is_key).then(|| format!("{}{column}", self.prefix).into());
        }
        let chosen = self.columns.iter().find(|chosen| chosen.name == column)?;
        Some(chosen.field.as_str().into())
    }

    /// For messages.
    pub fn name(&self) -> String {
        match &self.place {
            Place::File(path) => format!("the table of {path}"),
            Place::Topic(topic, _) => format!("the table of topic {topic}"),
            Place::Sql(sql) => sql.name(),
        }
    }
}

/// The rest of the configuration.
#[derive(Clone, Debug)]
pub struct JoinSpec {
    /// The expression of the key.
    pub key: String,
    /// Records without a row are dropped.
    pub inner: bool,
    /// The row's fields go into a field of this name.
    pub target: Option<String>,
}

pub fn config_def() -> ConfigDef {
    let keys = table_keys().into_iter().chain(sql_keys()).chain(join_keys()).collect();
    ConfigDef { keys, ..ConfigDef::new() }.checked(|config| parse(config).err().unwrap_or_default())
}

fn table_keys() -> Vec<ConfigKey> {
    use DefaultValue::{Null, Of};
    use Importance::{High, Low, Medium};
    let key = ConfigKey::new;
    vec![
        key(TABLE_FILE, Type::String, Null, High, FILE_DOC).check(Validator::NonEmpty),
        key(TABLE_TOPIC, Type::String, Null, High, TOPIC_DOC).check(Validator::NonEmpty),
        key(TABLE_FORMAT, Type::String, Null, Medium, FORMAT_DOC)
            .check(Validator::OneOf(&["csv", "json"])),
        key(TABLE_KEY, Type::List, Null, High, TABLE_KEY_DOC),
        key(TABLE_TYPES, Type::List, Of(""), Medium, TYPES_DOC)
            .check(Validator::Custom(|text| types(text).map(drop))),
        key(DELIMITER, Type::String, Of(","), Low, DELIMITER_DOC)
            .check(Validator::Custom(|text| delimiter(text).map(drop))),
        key(REFRESH, Type::Long, Of("5000"), Medium, REFRESH_DOC).check(Validator::AtLeast(10)),
        key(LOAD_TIMEOUT, Type::Long, Of("300000"), Low, LOAD_TIMEOUT_DOC)
            .check(Validator::AtLeast(1)),
        key(MEMORY, Type::Long, Of("268435456"), High, MEMORY_DOC)
            .check(Validator::AtLeast(1 << 20)),
    ]
}

fn sql_keys() -> Vec<ConfigKey> {
    use DefaultValue::{Null, Of};
    use Importance::{High, Low, Medium};
    let key = ConfigKey::new;
    // A row must live until the record that wants it comes again.
    let lives = |name: &'static str, default, documentation| {
        key(name, Type::Long, Of(default), Medium, documentation).check(Validator::AtLeast(1000))
    };
    vec![
        key(TABLE_SQL, Type::String, Null, High, SQL_DOC).check(Validator::NonEmpty),
        key(SQL_URL, Type::String, Null, High, SQL_URL_DOC),
        key(SQL_PASSWORD, Type::Password, Null, High, "The password of the database's user."),
        key(SQL_CA, Type::String, Null, Low, SQL_CA_DOC).check(Validator::NonEmpty),
        key(SQL_TIMEOUT, Type::Long, Of("30000"), Low, "The longest wait for an answer.")
            .check(Validator::AtLeast(1)),
        key(CACHE_ROWS, Type::Int, Of("100000"), Medium, CACHE_ROWS_DOC)
            .check(Validator::AtLeast(1000)),
        lives(
            CACHE_TTL,
            "60000",
            "How long a row is taken from memory before it is asked for again.",
        ),
        lives(CACHE_NEGATIVE, "10000", "The same for a key that has no row."),
    ]
}

const SQL_DOC: &str = "A query of PostgreSQL, MySQL or MariaDB that finds the row of a key: \
     <code>SELECT segment, city FROM users WHERE id = $1</code>; the parts of a key of several are $1, \
     $2 and so on. MySQL and MariaDB have a ? for each part, in the key's order. It is asked when a record wants a row that is not in memory, for many keys at once, \
     and the rows, and that there is none, are remembered for a while. Of several rows the first counts.";
const SQL_URL_DOC: &str = "The database: \
     <code>postgresql://user@host:5432/database?sslmode=require</code> or \
     <code>mysql://user@host:3306/database?ssl-mode=required</code>, also postgres:// and mariadb://, \
     without the password. <code>sslmode</code> is disable, prefer, require or verify-full, \
     <code>ssl-mode</code> disabled, preferred, required or verify_identity; with TLS the server's \
     certificate and its name are checked in any case.";
const SQL_CA_DOC: &str = "A file of certificates (PEM) that the database's certificate must come from; \
     by default the system's.";
const CACHE_ROWS_DOC: &str = "The most keys that are remembered, with or without a row; those that were \
     not looked up for the longest time go first. max.memory.bytes bounds them, too.";

fn join_keys() -> Vec<ConfigKey> {
    use DefaultValue::{Null, Of, Required};
    use Importance::{High, Medium};
    let key = ConfigKey::new;
    vec![
        key(KEY, Type::String, Required, High, KEY_DOC).check(Validator::NonEmpty),
        key(FIELDS, Type::List, Of(""), High, FIELDS_DOC)
            .check(Validator::Custom(|text| columns(text, "").map(drop))),
        key(PREFIX, Type::String, Of(""), Medium, "Put before the names of the fields."),
        key(TARGET, Type::String, Null, Medium, TARGET_DOC).check(Validator::NonEmpty),
        key(JOIN, Type::String, Of("left"), High, JOIN_DOC)
            .check(Validator::OneOf(&["left", "inner"])),
    ]
}

const DELIMITER_DOC: &str = "What separates a CSV file's columns: one character, or \\t.";
const REFRESH_DOC: &str = "How often a file is looked at; one that changed is read anew.";
const LOAD_TIMEOUT_DOC: &str = "How long the table may take to be read before the task starts.";
const TARGET_DOC: &str =
    "The fields go into a field of this name instead of beside the record's own.";
const JOIN_DOC: &str = "What becomes of a record without a row: <code>left</code> passes it on as it \
     is, <code>inner</code> drops it.";
const MEMORY_DOC: &str = "The most memory that the table may take; more fails the task.";
const KEY_DOC: &str = "A CEL expression for the key that is looked up, mostly a field's path such as \
     <code>value.user.id</code>. Numbers and texts are the same key if they read the same; a list is \
     a key of several columns. Null, or a field that is not there, has no row.";
const FILE_DOC: &str = "A file on every worker that the table is read from; read anew when it \
     changes. This, <code>table.topic</code> or <code>table.sql</code>.";
const TOPIC_DOC: &str = "A compacted topic that the table is read from, up to its end before the task \
     starts, and followed from then on. Values are JSON objects without schemas; one without a value \
     takes its row away. <code>table.consumer.*</code> overrides the worker's consumer settings.";
const FORMAT_DOC: &str = "<code>csv</code>, with the names of the columns in the first line, or \
     <code>json</code>, one object a line or an array of objects. By default what the file's name \
     ends in says it.";
const TABLE_KEY_DOC: &str = "The columns that are a row's key. Of a topic, members of the record's key, \
     which is a JSON object then; by default the key's text, or the JSON string that it is.";
const TYPES_DOC: &str = "column:type of columns that are no strings in a CSV file, or to be of that \
     type in a Struct: boolean, int8, int16, int32, int64, float32, float64, string.";
const FIELDS_DOC: &str = "The columns that become fields, as column or column:field; by default all \
     but the key's. Records with a schema want them named.";

/// # Errors
/// Everything that is wrong, each under its key.
pub fn parse(config: &Config) -> Result<(TableSpec, JoinSpec), Vec<ConfigError>> {
    let parsed = config_def_unchecked().parse(config)?;
    let mut errors = unknown(config);
    let prefix = parsed.string(PREFIX).to_owned();
    let place = place(config, &parsed, &mut errors);
    let format = format(&place, &parsed, &mut errors);
    let key = parsed.list(TABLE_KEY);
    let is_file = matches!(place, Place::File(_));
    if is_file && (key.is_empty() || key.iter().any(String::is_empty)) {
        let given = parsed.get(TABLE_KEY).unwrap_or("null");
        let why = "name the column, or columns, that are a row's key";
        errors.push(ConfigError::invalid(TABLE_KEY, given, why));
    }
    let table = TableSpec {
        place,
        format,
        key,
        // The validators have read them.
        columns: columns(parsed.string(FIELDS), &prefix).unwrap_or_default(),
        prefix,
        types: types(parsed.string(TABLE_TYPES)).unwrap_or_default(),
        delimiter: delimiter(parsed.string(DELIMITER)).unwrap_or(b','),
        refresh: Duration::from_millis(parsed.long(REFRESH).unsigned_abs()),
        patience: Duration::from_millis(parsed.long(LOAD_TIMEOUT).unsigned_abs()),
        memory: usize::try_from(parsed.long(MEMORY)).unwrap_or(usize::MAX),
    };
    let join = JoinSpec {
        key: parsed.string(KEY).to_owned(),
        inner: parsed.string(JOIN) == "inner",
        target: parsed.get(TARGET).map(str::to_owned),
    };
    let mut uses = crate::expression::compile::Uses::default();
    if let Err(why) = crate::expression::compile::compile(&join.key, &mut uses) {
        errors.push(ConfigError::invalid(KEY, &join.key, &why));
    }
    if errors.is_empty() { Ok((table, join)) } else { Err(errors) }
}

/// The definition without its check as a whole, which is [`parse`].
fn config_def_unchecked() -> ConfigDef {
    ConfigDef { whole: None, ..config_def() }
}

/// Keys that would change nothing are misspelt.
fn unknown(config: &Config) -> Vec<ConfigError> {
    let def = config_def_unchecked();
    let known =
        |key: &str| def.key(key).is_some() || key == "plugin.version" || key.starts_with(CONSUMER);
    let strangers = config.iter().filter(|(key, _)| !known(key));
    strangers.map(|(key, value)| ConfigError::invalid(key, value, "unknown key")).collect()
}

fn place(config: &Config, parsed: &Parsed, errors: &mut Vec<ConfigError>) -> Place {
    match (parsed.get(TABLE_FILE), parsed.get(TABLE_TOPIC), parsed.get(TABLE_SQL)) {
        (Some(path), None, None) => Place::File(path.to_owned()),
        (None, Some(topic), None) => {
            let own = |(key, value): (&String, &String)| {
                Some((key.strip_prefix(CONSUMER)?.to_owned(), value.clone()))
            };
            Place::Topic(topic.to_owned(), config.iter().filter_map(own).collect())
        }
        (None, None, Some(query)) => Place::Sql(sql_place(query, parsed, errors)),
        (file, ..) => {
            let why = "give one of table.file, table.topic and table.sql";
            errors.push(ConfigError::invalid(TABLE_FILE, file.unwrap_or("null"), why));
            Place::File(String::new())
        }
    }
}

fn sql_place(query: &str, parsed: &Parsed, errors: &mut Vec<ConfigError>) -> SqlSpec {
    let millis = |key| Duration::from_millis(parsed.long(key).unsigned_abs());
    match parsed.get(SQL_URL) {
        None => {
            let why = "say where the database is: postgresql://user@host:5432/database or \
                 mysql://user@host:3306/database";
            errors.push(ConfigError::invalid(SQL_URL, "null", why));
        }
        // What may hold a password is not repeated.
        Some(url) => {
            if let Err(why) = sql::settings::server(url) {
                errors.push(ConfigError::invalid(SQL_URL, "[hidden]", &why));
            }
        }
    }
    if !parsed.list(TABLE_KEY).is_empty() {
        let given = parsed.get(TABLE_KEY).unwrap_or("null");
        let why = "the query's parameters are the key of table.sql; leave it away";
        errors.push(ConfigError::invalid(TABLE_KEY, given, why));
    }
    SqlSpec {
        query: query.trim().trim_end_matches(';').to_owned(),
        url: parsed.get(SQL_URL).unwrap_or_default().to_owned(),
        password: parsed.get(SQL_PASSWORD).map(|text| Secret(text.to_owned())),
        ca: parsed.get(SQL_CA).map(str::to_owned),
        timeout: millis(SQL_TIMEOUT),
        rows: parsed.long(CACHE_ROWS).unsigned_abs() as usize,
        lives: millis(CACHE_TTL),
        negative_lives: millis(CACHE_NEGATIVE),
    }
}

fn format(place: &Place, parsed: &Parsed, errors: &mut Vec<ConfigError>) -> Format {
    match (parsed.get(TABLE_FORMAT), place) {
        (Some("csv"), Place::Topic(..) | Place::Sql(_)) => {
            let why = "only a file may be CSV";
            errors.push(ConfigError::invalid(TABLE_FORMAT, "csv", why));
            Format::Json
        }
        (Some("csv"), _) => Format::Csv,
        (Some(_), _) | (None, Place::Topic(..) | Place::Sql(_)) => Format::Json,
        (None, Place::File(path)) => {
            let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
            if !ends(&[".csv", ".json", ".jsonl", ".ndjson"]) && !path.is_empty() {
                let why = "csv or json? The name of the file does not say it";
                errors.push(ConfigError::invalid(TABLE_FORMAT, "null", why));
            }
            if ends(&[".csv"]) { Format::Csv } else { Format::Json }
        }
    }
}

fn columns(text: &str, prefix: &str) -> Result<Vec<Column>, String> {
    let items = millrace_api::config_def::split_list(text);
    let mut columns: Vec<Column> = Vec::new();
    for item in items {
        let (name, field) = item.split_once(':').unwrap_or((&item, &item));
        if name.is_empty() || field.is_empty() {
            return Err(format!("{item:?} is neither column nor column:field"));
        }
        let field = format!("{prefix}{field}");
        if columns.iter().any(|other| other.field == field || other.name == name) {
            return Err(format!("{item} comes twice"));
        }
        columns.push(Column { name: name.to_owned(), field });
    }
    Ok(columns)
}

fn types(text: &str) -> Result<Vec<(String, SchemaType)>, String> {
    let items = millrace_api::config_def::split_list(text);
    let read = |item: String| {
        let (name, type_) =
            item.split_once(':').ok_or_else(|| format!("{item:?} is not column:type"))?;
        let known = TYPES.iter().find(|(known, _)| *known == type_);
        let (_, type_) = known.ok_or_else(|| {
            let names: Vec<_> = TYPES.iter().map(|(name, _)| *name).collect();
            format!("{type_:?} is none of {}", names.join(", "))
        })?;
        Ok((name.to_owned(), *type_))
    };
    items.into_iter().map(read).collect()
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if !matches!(byte, b'"' | b'\r' | b'\n' | 128..) => Ok(*byte),
        _ => Err("one ASCII character, or \\t".to_owned()),
    }
}
