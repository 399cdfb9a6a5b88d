//! Takes typed values out of a map of texts and remembers what was wrong and what was not asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One setting that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    pub key: String,
    pub value: String,
    pub why: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invalid value {} for configuration {}: {}", self.value, self.key, self.why)
    }
}

/// Reads settings one by one. Wrong ones are noted, and their default stands in until
/// [`Self::finish`] tells.
pub struct ConfigReader<'a> {
    map: &'a BTreeMap<String, String>,
    asked: BTreeSet<&'a str>,
    problems: Vec<ConfigProblem>,
}

impl<'a> ConfigReader<'a> {
    pub fn new(map: &'a BTreeMap<String, String>) -> Self {
        Self { map, asked: BTreeSet::new(), problems: Vec::new() }
    }

    /// The value as it stands, trimmed; `None` if the key is absent.
    pub fn text(&mut self, key: &str) -> Option<&'a str> {
        let (key, value) = self.map.get_key_value(key)?;
        self.asked.insert(key);
        Some(value.trim())
    }

    /// All settings whose keys begin so, as they stand, asked for or not.
    pub fn all<T: FromIterator<(String, String)>>(&self, beginnings: &[&str]) -> T {
        let begins = |key: &str| beginnings.iter().any(|beginning| key.starts_with(beginning));
        let found = self.map.iter().filter(|(key, _)| begins(key));
        found.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub fn problem(&mut self, key: &str, value: &str, why: impl Into<String>) {
        self.problems.push(ConfigProblem {
            key: key.to_owned(),
            value: value.to_owned(),
            why: why.into(),
        });
    }

    pub fn has_problem(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| problem.key == key)
    }

    /// A number of at least `least`.
    pub fn number<T>(&mut self, key: &str, default: T, least: T) -> T
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let Some(text) = self.text(key) else { return default };
        match text.parse::<T>() {
            Ok(number) if number >= least => return number,
            Ok(_) => self.problem(key, text, format!("Value must be at least {least}")),
            Err(_) => self.problem(key, text, "Not a number, or out of range"),
        }
        default
    }

    /// A time in milliseconds; −1, where allowed, means without limit.
    pub fn millis(&mut self, key: &str, default: i64, least: i64) -> Duration {
        match u64::try_from(self.number(key, default, least)) {
            Ok(millis) => Duration::from_millis(millis),
            Err(_) => Duration::MAX,
        }
    }

    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        let Some(text) = self.text(key) else { return default };
        match text.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.problem(key, text, "Expected value to be either true or false");
                default
            }
        }
    }

    /// One of `choices`, by its name, whatever its case.
    pub fn choice<T: Copy>(&mut self, key: &str, default: T, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text(key) else { return default };
        match choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            Some((_, value)) => *value,
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                self.problem(key, text, format!("String must be one of: {}", names.join(", ")));
                default
            }
        }
    }

    /// Keys that are known and have no effect here.
    pub fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            let _ = self.text(key);
        }
    }

    /// As [`Self::ignore`], for whole families.
    pub fn ignore_prefixes(&mut self, prefixes: &[&str]) {
        let keys = self.map.keys().map(String::as_str);
        self.asked.extend(keys.filter(|key| prefixes.iter().any(|start| key.starts_with(start))));
    }

    /// The keys that nobody asked for, or everything that was wrong.
    pub fn finish(self) -> Result<Vec<String>, Vec<ConfigProblem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let asked = self.asked;
        Ok(self.map.keys().filter(|key| !asked.contains(key.as_str())).cloned().collect())
    }
}
