//! Configuration definitions in the manner of `org.apache.kafka.common.config.ConfigDef`: one
//! declaration beside the code gives parsing, validation, `/config`, `/validate` and the docs.

use crate::Config;

/// `ConfigDef.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    Password,
}

impl Type {
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }
}

/// `ConfigDef.Importance`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    High,
    Medium,
    Low,
}

impl Importance {
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
            Self::Low => "LOW",
        }
    }
}

/// `ConfigDef.Width`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    None,
    Short,
    Medium,
    Long,
}

impl Width {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Short => "SHORT",
            Self::Medium => "MEDIUM",
            Self::Long => "LONG",
        }
    }
}

/// Whether a key must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    Required,
    /// Absent means absent.
    Null,
    /// As it would be written in a file.
    Of(&'static str),
}

/// A value's check beyond its type; the message follows Java's validators.
#[derive(Clone, Copy)]
pub enum Validator {
    None,
    OneOf(&'static [&'static str]),
    OneOfIgnoreCase(&'static [&'static str]),
    AtLeast(i64),
    Between(i64, i64),
    NonEmpty,
    /// Gets the trimmed text; the error is the part after "Invalid value V for configuration K: ".
    Custom(fn(&str) -> Result<(), String>),
}

/// One key.
#[derive(Clone)]
pub struct ConfigKey {
    pub name: String,
    pub type_: Type,
    pub default: DefaultValue,
    pub validator: Validator,
    pub importance: Importance,
    pub documentation: &'static str,
    pub group: Option<String>,
    pub order_in_group: i32,
    pub width: Width,
    pub display_name: Option<&'static str>,
    pub recommended: &'static [&'static str],
}

impl ConfigKey {
    pub fn new(
        name: impl Into<String>,
        type_: Type,
        default: DefaultValue,
        importance: Importance,
        documentation: &'static str,
    ) -> Self {
        Self {
            name: name.into(),
            type_,
            default,
            validator: Validator::None,
            importance,
            documentation,
            group: None,
            order_in_group: -1,
            width: Width::None,
            display_name: None,
            recommended: &[],
        }
    }

    pub fn check(mut self, validator: Validator) -> Self {
        self.validator = validator;
        self
    }

    pub fn group(
        mut self,
        group: impl Into<String>,
        order: i32,
        width: Width,
        display: &'static str,
    ) -> Self {
        self.group = Some(group.into());
        self.order_in_group = order;
        self.width = width;
        self.display_name = Some(display);
        self
    }
}

/// What is wrong with one key. `message` is complete, in Java's words:
/// "Invalid value V for configuration K: …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub key: String,
    pub message: String,
}

impl ConfigError {
    pub fn invalid(key: &str, value: &str, why: &str) -> Self {
        let message = if why.is_empty() {
            format!("Invalid value {value} for configuration {key}")
        } else {
            format!("Invalid value {value} for configuration {key}: {why}")
        };
        Self { key: key.to_owned(), message }
    }

    pub fn missing(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            message: format!(
                "Missing required configuration \"{key}\" which has no default value."
            ),
        }
    }
}

/// An ordered list of keys.
#[derive(Clone, Default)]
pub struct ConfigDef {
    pub keys: Vec<ConfigKey>,
    /// Further checks, of keys whose names the user chooses, and of keys against one another.
    pub whole: Option<fn(&Config) -> Vec<ConfigError>>,
    /// Beginnings of further keys that count, such as those handed on to a client.
    pub prefixes: &'static [&'static str],
}

impl ConfigDef {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn define(mut self, key: ConfigKey) -> Self {
        self.keys.push(key);
        self
    }

    /// With a check of the configuration as a whole; `/validate` makes it once the keys are good.
    #[must_use]
    pub fn checked(mut self, check: fn(&Config) -> Vec<ConfigError>) -> Self {
        self.whole = Some(check);
        self
    }

    /// With keys that begin so and are not defined one by one.
    #[must_use]
    pub fn with_prefixes(mut self, prefixes: &'static [&'static str]) -> Self {
        self.prefixes = prefixes;
        self
    }

    pub fn key(&self, name: &str) -> Option<&ConfigKey> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Parses every key of the definition; all errors at once.
    pub fn parse(&self, config: &Config) -> Result<Parsed, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut values = std::collections::BTreeMap::new();
        for key in &self.keys {
            match key.parse(config.get(&key.name).map(String::as_str)) {
                Ok(Some(text)) => {
                    values.insert(key.name.clone(), text);
                }
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Parsed { values }) } else { Err(errors) }
    }
}

impl ConfigKey {
    /// The checked text of the value given or of the default; `None` is null.
    pub fn parse(&self, given: Option<&str>) -> Result<Option<String>, ConfigError> {
        let text = match (given, self.default) {
            (Some(text), _) => text.trim(),
            (None, DefaultValue::Of(text)) => text,
            (None, DefaultValue::Null) => return Ok(None),
            (None, DefaultValue::Required) => return Err(ConfigError::missing(&self.name)),
        };
        let wrong = |shown: &str, why: &str| ConfigError::invalid(&self.name, shown, why);
        let written = if self.type_ == Type::Password { "[hidden]" } else { text };
        self.check_type(text).map_err(|why| wrong(written, &why))?;
        self.check_value(text).map_err(|why| wrong(&self.shown(text), &why))?;
        Ok(Some(text.to_owned()))
    }

    /// For `/validate`: the value as parsed (`None` is null) and every error, in Java's order. As in
    /// Java, the validator also looks at the null that a failed parse leaves, so that one bad value
    /// may count twice. `name` is what the validator calls the key: the key without the prefix
    /// under which it is embedded.
    pub fn validate(&self, given: Option<&str>, name: &str) -> (Option<String>, Vec<String>) {
        let mut errors = Vec::new();
        let value = match (given, self.default) {
            (Some(text), _) => match self.check_type(text.trim()) {
                Ok(()) => Some(text.trim()),
                Err(why) => {
                    let shown = if self.type_ == Type::Password { "[hidden]" } else { text.trim() };
                    errors.push(ConfigError::invalid(&self.name, shown, &why).message);
                    None
                }
            },
            (None, DefaultValue::Of(text)) => Some(text),
            (None, DefaultValue::Null) => None,
            (None, DefaultValue::Required) => {
                errors.push(ConfigError::missing(&self.name).message);
                None
            }
        };
        let checked = match value {
            Some(text) => self.check_value(text),
            // Only ranges refuse null.
            None if matches!(self.validator, Validator::AtLeast(_) | Validator::Between(..))
                && self.default != DefaultValue::Null =>
            {
                Err("Value must be non-null".to_owned())
            }
            None => Ok(()),
        };
        if let Err(why) = checked {
            let shown = value.map_or_else(|| "null".to_owned(), |text| self.shown(text));
            errors.push(ConfigError::invalid(name, &shown, &why).message);
        }
        (value.map(str::to_owned), errors)
    }

    /// A parsed value as a validator's message prints it.
    fn shown(&self, text: &str) -> String {
        match self.type_ {
            Type::Password => "[hidden]".to_owned(),
            Type::List => format!("[{}]", split_list(text).join(", ")),
            _ => text.to_owned(),
        }
    }

    fn check_type(&self, text: &str) -> Result<(), String> {
        let number = |ok: bool| {
            if ok { Ok(()) } else { Err(format!("Not a number of type {}", self.type_.name())) }
        };
        match self.type_ {
            Type::Boolean => match text.to_ascii_lowercase().as_str() {
                "true" | "false" => Ok(()),
                _ => Err("Expected value to be either true or false".to_owned()),
            },
            Type::Int => number(text.parse::<i32>().is_ok()),
            Type::Short => number(text.parse::<i16>().is_ok()),
            Type::Long => number(text.parse::<i64>().is_ok()),
            Type::Double => number(text.parse::<f64>().is_ok()),
            Type::String | Type::List | Type::Class | Type::Password => Ok(()),
        }
    }

    fn check_value(&self, text: &str) -> Result<(), String> {
        let number = || text.parse::<i64>().unwrap_or(0);
        match self.validator {
            Validator::None => Ok(()),
            Validator::OneOf(allowed) if allowed.contains(&text) => Ok(()),
            Validator::OneOf(allowed) => {
                Err(format!("String must be one of: {}", allowed.join(", ")))
            }
            Validator::OneOfIgnoreCase(allowed)
                if allowed.iter().any(|one| one.eq_ignore_ascii_case(text)) =>
            {
                Ok(())
            }
            Validator::OneOfIgnoreCase(allowed) => {
                let upper: Vec<_> = allowed.iter().map(|one| one.to_uppercase()).collect();
                Err(format!("String must be one of (case insensitive): {}", upper.join(", ")))
            }
            Validator::AtLeast(min) if number() < min => {
                Err(format!("Value must be at least {min}"))
            }
            Validator::Between(min, _) if number() < min => {
                Err(format!("Value must be at least {min}"))
            }
            Validator::Between(_, max) if number() > max => {
                Err(format!("Value must be no more than {max}"))
            }
            Validator::AtLeast(_) | Validator::Between(..) => Ok(()),
            Validator::NonEmpty if text.is_empty() => Err("String must be non-empty".to_owned()),
            Validator::NonEmpty => Ok(()),
            Validator::Custom(check) => check(text),
        }
    }
}

/// Checked values. The getters panic on a key that the definition lacks or on the wrong type: those
/// are mistakes of the program, not of the user.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    values: std::collections::BTreeMap<String, String>,
}

impl Parsed {
    /// Null, or absent from the definition.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub fn string(&self, key: &str) -> &str {
        self.get(key).unwrap_or_else(|| panic!("the definition gives {key} no value"))
    }

    pub fn bool(&self, key: &str) -> bool {
        self.string(key).eq_ignore_ascii_case("true")
    }

    pub fn long(&self, key: &str) -> i64 {
        self.string(key).parse().expect("the definition checked the number")
    }

    pub fn double(&self, key: &str) -> f64 {
        self.string(key).parse().expect("the definition checked the number")
    }

    /// Split on commas, trimmed; empty text is an empty list.
    pub fn list(&self, key: &str) -> Vec<String> {
        self.get(key).map(split_list).unwrap_or_default()
    }
}

/// A LIST's items as Java splits them.
pub fn split_list(text: &str) -> Vec<String> {
    let text = text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| item.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def() -> ConfigDef {
        ConfigDef::new()
            .define(
                ConfigKey::new("tasks.max", Type::Int, DefaultValue::Of("1"), Importance::High, "")
                    .check(Validator::AtLeast(1)),
            )
            .define(ConfigKey::new(
                "file",
                Type::String,
                DefaultValue::Required,
                Importance::High,
                "",
            ))
    }

    #[test]
    fn all_errors_at_once_in_javas_words() {
        let config = Config::from([("tasks.max".to_owned(), "0".to_owned())]);
        let errors = def().parse(&config).unwrap_err();
        let texts: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(
            texts,
            [
                "Invalid value 0 for configuration tasks.max: Value must be at least 1",
                "Missing required configuration \"file\" which has no default value.",
            ]
        );
    }

    #[test]
    fn a_failed_parse_is_also_seen_by_the_range() {
        let def = def();
        let (value, errors) = def.keys[0].validate(Some("abc"), "tasks.max");
        assert_eq!(value, None);
        assert_eq!(
            errors,
            [
                "Invalid value abc for configuration tasks.max: Not a number of type INT",
                "Invalid value null for configuration tasks.max: Value must be non-null",
            ]
        );
        assert_eq!(def.keys[0].validate(None, "tasks.max"), (Some("1".to_owned()), Vec::new()));
        assert_eq!(def.keys[1].validate(None, "file").1.len(), 1);
    }

    #[test]
    fn values_are_trimmed_and_defaults_apply() {
        let config = Config::from([("file".to_owned(), " a ".to_owned())]);
        let parsed = def().parse(&config).unwrap();
        assert_eq!(parsed.string("file"), "a");
        assert_eq!(parsed.long("tasks.max"), 1);
    }
}
