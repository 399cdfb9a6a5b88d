//! `sasl.jaas.config`: one login module with its options.
//!
//! ```text
//! org.apache.kafka…PlainLoginModule required username="alice" password="pass\"word";
//! ```

use std::collections::BTreeMap;
use std::fmt;

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// The entry: its module's class and options.
pub struct Jaas {
    pub module: String,
    options: BTreeMap<String, String>,
}

/// Without the values, which may be passwords.
impl fmt::Debug for Jaas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jaas")
            .field("module", &self.module)
            .field("options", &self.options.keys())
            .finish()
    }
}

impl Jaas {
    /// Reads an entry as Java's JAAS parser does.
    ///
    /// # Errors
    /// What is wrong, without any value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Tokens { rest: text };
        let Some(module) = tokens.next()? else { return Err("it is empty".to_owned()) };
        match tokens.next()? {
            Some(flag) if FLAGS.iter().any(|known| flag.eq_ignore_ascii_case(known)) => {}
            _ => return Err(format!("after {module} one of {} is needed", FLAGS.join(", "))),
        }
        let mut options = BTreeMap::new();
        loop {
            let name = match tokens.next()?.as_deref() {
                None => return Err("the ; at the end is missing".to_owned()),
                Some(";") => break,
                Some(name) => name.to_owned(),
            };
            if tokens.next()?.as_deref() != Some("=") {
                return Err(format!("after the option {name} a = is needed"));
            }
            match tokens.next()? {
                Some(value) if value != ";" || tokens.rest.trim_start().starts_with(';') => {
                    options.insert(name, value);
                }
                _ => return Err(format!("the option {name} has no value")),
            }
        }
        match tokens.next()? {
            None => Ok(Self { module, options }),
            Some(_) => Err("more than one login module is named".to_owned()),
        }
    }

    pub fn get(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// Options by their names' beginning, which is cut off.
    pub fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        self.options
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

/// Words, quoted texts, `=` and `;`.
struct Tokens<'a> {
    rest: &'a str,
}

impl Tokens<'_> {
    fn next(&mut self) -> Result<Option<String>, String> {
        self.rest = self.rest.trim_start();
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        match first {
            '=' | ';' => {
                self.rest = &self.rest[1..];
                Ok(Some(first.to_string()))
            }
            '"' | '\'' => self.quoted(first).map(Some),
            _ => {
                let end = |c: char| c.is_whitespace() || "=;\"'".contains(c);
                let length = self.rest.find(end).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(length);
                self.rest = rest;
                Ok(Some(word.to_owned()))
            }
        }
    }

    /// A quoted text, with Java's escapes.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                _ if character == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, other)) => text.push(other),
                    None => break,
                },
                _ => text.push(character),
            }
        }
        Err(format!("a {quote} is not closed"))
    }
}
