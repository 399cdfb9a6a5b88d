//! Java's login configuration files: entries by name, each a list of login modules.
//!
//! ```text
//! KafkaConnect {
//!     org.apache.kafka…PropertyFileLoginModule required
//!     file="/etc/connect/passwords.properties";
//! };
//! ```

use std::collections::BTreeMap;

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// One module of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoginModule {
    pub class: String,
    pub options: BTreeMap<String, String>,
}

/// A file's entries.
#[derive(Debug)]
pub(crate) struct JaasFile(BTreeMap<String, Vec<LoginModule>>);

impl JaasFile {
    /// The error says what is missing and after what.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = words(text)?.into_iter();
        let mut entries = BTreeMap::new();
        while let Some(name) = words.next() {
            expect(&mut words, "{", &name.text)?;
            let mut modules = Vec::new();
            loop {
                match words.next() {
                    Some(word) if word.is("}") => break,
                    Some(class) => modules.push(module(class.text, &mut words)?),
                    None => return Err(format!("the entry {} is not closed by }}", name.text)),
                }
            }
            expect(&mut words, ";", "}")?;
            entries.insert(name.text, modules);
        }
        Ok(Self(entries))
    }

    pub fn entry(&self, name: &str) -> Option<&[LoginModule]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

fn module(class: String, words: &mut impl Iterator<Item = Word>) -> Result<LoginModule, String> {
    match words.next() {
        Some(flag) if FLAGS.iter().any(|known| flag.text.eq_ignore_ascii_case(known)) => {}
        _ => return Err(format!("after {class} one of {} is due", FLAGS.join(", "))),
    }
    let mut options = BTreeMap::new();
    loop {
        let name = match words.next() {
            Some(word) if word.is(";") => return Ok(LoginModule { class, options }),
            Some(word) if !word.is("}") => word.text,
            _ => return Err(format!("the ; after {class}'s options is missing")),
        };
        expect(words, "=", &name)?;
        match words.next() {
            Some(value) if !value.sign => drop(options.insert(name, value.text)),
            _ => return Err(format!("the option {name} has no value")),
        }
    }
}

fn expect(words: &mut impl Iterator<Item = Word>, sign: &str, after: &str) -> Result<(), String> {
    match words.next() {
        Some(word) if word.is(sign) => Ok(()),
        _ => Err(format!("after {after} a {sign} is due")),
    }
}

struct Word {
    text: String,
    /// One of `{ } = ;`, not quoted.
    sign: bool,
}

impl Word {
    fn is(&self, sign: &str) -> bool {
        self.sign && self.text == sign
    }
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return Ok(words) };
        if rest.starts_with("//") || first == '#' {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").ok_or("a /* comment is not closed")?.1;
        } else if "{}=;".contains(first) {
            words.push(Word { text: first.to_string(), sign: true });
            rest = &rest[1..];
        } else if first == '"' || first == '\'' {
            let (text, after) = quoted(&rest[1..], first)?;
            words.push(Word { text, sign: false });
            rest = after;
        } else {
            let end = |c: char| c.is_whitespace() || "{}=;\"'".contains(c);
            let (word, after) = rest.split_at(rest.find(end).unwrap_or(rest.len()));
            words.push(Word { text: word.to_owned(), sign: false });
            rest = after;
        }
    }
}

/// Up to the closing quote, with `\` before what is meant as it is; and what follows.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut found = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return Ok((found, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => found.push('\n'),
                Some((_, 't')) => found.push('\t'),
                Some((_, other)) => found.push(other),
                None => break,
            },
            _ => found.push(c),
        }
    }
    Err(format!("a {quote} is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_comments_and_quotes() {
        let text = "/* two */ // entries\nA { a.B required x=\"1;\\\"}\" y='z';\n c.D OPTIONAL; };\n\
                    KafkaConnect{};";
        let file = JaasFile::parse(text).unwrap();
        let modules = file.entry("A").unwrap();
        assert_eq!(modules.len(), 2);
        assert_eq!(modules[0].class, "a.B");
        assert_eq!(modules[0].options["x"], "1;\"}");
        assert_eq!(modules[0].options["y"], "z");
        assert_eq!(file.entry("KafkaConnect"), Some(&[][..]));
        assert_eq!(file.entry("B"), None);
    }

    #[test]
    fn what_is_missing_is_told() {
        for (text, expected) in [
            ("A", "after A a {"),
            ("A {", "not closed"),
            ("A { b.C }", "one of required"),
            ("A { b.C required x };", "after x a ="),
            ("A { b.C required x=; };", "no value"),
            ("A { b.C required }", "the ; after"),
            ("A { }", "after } a ;"),
            ("A { b.C required x=\"1; };", "is not closed"),
            ("/* A", "comment"),
        ] {
            let error = JaasFile::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[A-c{}=;\"'\\\\/*# \n]*") {
            let _ = JaasFile::parse(&text);
        }
    }
}
