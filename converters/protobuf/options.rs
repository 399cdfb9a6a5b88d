//! Options of a `.proto` text: `packed = true`, `(confluent.field_meta) = { … }`.

use super::file::Encoding;
use super::lexer::Token;
use super::parse::Parser;

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    /// A word or a number, as it is written.
    Plain(String),
    Text(String),
    Message(Vec<(String, Literal)>),
    List(Vec<Literal>),
}

impl Literal {
    /// A scalar's text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Plain(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn is_true(&self) -> bool {
        self.text() == Some("true")
    }
}

/// An option's name, parentheses left out, and value.
pub(super) type Opt = (String, Literal);

impl Parser<'_> {
    /// `name = value`.
    pub(super) fn option(&mut self) -> Result<Opt, String> {
        let mut name = String::new();
        loop {
            match self.next()? {
                Token::Symbol(b'=') => break,
                Token::Symbol(b'(' | b')') => {}
                Token::Symbol(b'.') => name.push('.'),
                Token::Word(word) => name.push_str(word),
                other => return Err(self.unexpected(&other, "the name of an option")),
            }
        }
        let value = self.literal(0)?;
        Ok((name.trim_start_matches('.').to_owned(), value))
    }

    /// `[a = 1, b = 2]`, if there are any.
    pub(super) fn bracketed_options(&mut self) -> Result<Vec<Opt>, String> {
        let mut all = Vec::new();
        if !self.take(b'[')? {
            return Ok(all);
        }
        loop {
            all.push(self.option()?);
            if self.take(b']')? {
                return Ok(all);
            }
            self.expect(b',')?;
        }
    }

    fn literal(&mut self, depth: usize) -> Result<Literal, String> {
        if depth > super::parse::MAX_DEPTH {
            return Err("an option nests too deeply".to_owned());
        }
        Ok(match self.next()? {
            Token::Word(word) => {
                let mut name = word.to_owned();
                while self.take(b'.')? {
                    name.push('.');
                    name.push_str(self.word("a name")?);
                }
                Literal::Plain(name)
            }
            Token::Number(number) => Literal::Plain(number.to_owned()),
            Token::Symbol(sign @ (b'-' | b'+')) => {
                let sign = if sign == b'-' { "-" } else { "" };
                match self.next()? {
                    Token::Word(text) | Token::Number(text) => {
                        Literal::Plain(format!("{sign}{text}"))
                    }
                    other => return Err(self.unexpected(&other, "a number")),
                }
            }
            Token::Text(mut text) => {
                // Texts that follow one another are one.
                while let Token::Text(_) = self.peek()? {
                    if let Token::Text(more) = self.next()? {
                        text.push_str(&more);
                    }
                }
                Literal::Text(text)
            }
            Token::Symbol(open @ (b'{' | b'<')) => {
                let close = if open == b'{' { b'}' } else { b'>' };
                Literal::Message(self.members(close, depth)?)
            }
            Token::Symbol(b'[') => Literal::List(self.items(depth)?),
            other => return Err(self.unexpected(&other, "the value of an option")),
        })
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Literal>, String> {
        let mut items = Vec::new();
        if self.take(b']')? {
            return Ok(items);
        }
        loop {
            items.push(self.literal(depth + 1)?);
            if self.take(b']')? {
                return Ok(items);
            }
            self.expect(b',')?;
        }
    }

    fn members(&mut self, close: u8, depth: usize) -> Result<Vec<(String, Literal)>, String> {
        let mut members = Vec::new();
        loop {
            let mut name = String::new();
            match self.next()? {
                Token::Symbol(b',' | b';') => continue,
                Token::Symbol(symbol) if symbol == close => return Ok(members),
                Token::Word(word) => name.push_str(word),
                // An extension or the type of an `Any`.
                Token::Symbol(b'[') => loop {
                    match self.next()? {
                        Token::Symbol(b']') => break,
                        Token::Word(word) => name.push_str(word),
                        Token::Symbol(symbol @ (b'.' | b'/')) => name.push(symbol.into()),
                        other => return Err(self.unexpected(&other, "a name")),
                    }
                },
                other => return Err(self.unexpected(&other, "a field of an option")),
            }
            self.take(b':')?;
            members.push((name, self.literal(depth + 1)?));
        }
    }
}

/// The value that stands last under `name`.
pub(super) fn option_named<'o>(options: &'o [Opt], name: &str) -> Option<&'o Literal> {
    options.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// What `features.message_encoding` says, however it is written.
pub(super) fn encoding((name, value): &Opt) -> Result<Option<Encoding>, String> {
    let value = match value {
        Literal::Message(members) if name == "features" => option_named(members, ENCODING),
        value => (name.strip_prefix("features.") == Some(ENCODING)).then_some(value),
    };
    match value.map(|value| value.text().unwrap_or_default()) {
        None => Ok(None),
        Some("LENGTH_PREFIXED") => Ok(Some(Encoding::LengthPrefixed)),
        Some("DELIMITED") => Ok(Some(Encoding::Delimited)),
        Some(other) => Err(format!("{ENCODING} is LENGTH_PREFIXED or DELIMITED, not '{other}'")),
    }
}

const ENCODING: &str = "message_encoding";

/// `params` of `(confluent.field_meta)`, however it is written.
pub(super) fn meta_params(options: &[Opt]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, value) in options {
        let Some(rest) = ["confluent.field_meta", "field_meta"]
            .into_iter()
            .find_map(|known| name.strip_prefix(known))
        else {
            continue;
        };
        match (rest, value) {
            ("", Literal::Message(members)) => {
                let params = members.iter().filter(|(name, _)| name == "params");
                params.for_each(|(_, value)| entries(value, &mut found));
            }
            (".params", value) => entries(value, &mut found),
            _ => {}
        }
    }
    found
}

fn entries(value: &Literal, found: &mut Vec<(String, String)>) {
    match value {
        Literal::List(items) => items.iter().for_each(|item| entries(item, found)),
        Literal::Message(members) => {
            let text = |name: &str| {
                let value = members.iter().find(|(known, _)| known == name);
                value.and_then(|(_, value)| value.text()).unwrap_or_default().to_owned()
            };
            found.push((text("key"), text("value")));
        }
        _ => {}
    }
}
