//! `java.util.regex` on our regex engine: the few spellings that differ are translated, and the
//! replacement's own syntax is Java's.

use fancy_regex::{Captures, Regex};
use millrace_converters::DataError;

const ILLEGAL_ARGUMENT: &str = "java.lang.IllegalArgumentException";

/// Compiled: how often a look-around or back-reference may start over before a match is given up.
const BACKTRACKS: usize = 100_000;

/// A compiled pattern.
pub struct Pattern {
    whole: Regex,
    anywhere: Regex,
}

impl Pattern {
    /// # Errors
    /// The part after "Invalid value V for configuration K: ".
    pub fn new(java: &str) -> Result<Self, String> {
        let text = translate(java);
        let compile = |text: &str| {
            fancy_regex::RegexBuilder::new(text)
                .backtrack_limit(BACKTRACKS)
                .build()
                .map_err(|error| format!("Invalid regex: {error}"))
        };
        Ok(Self { anywhere: compile(&text)?, whole: compile(&format!(r"\A(?:{text})\z"))? })
    }

    /// `Matcher.matches`: the whole of the text.
    pub fn matches(&self, text: &str) -> Result<bool, DataError> {
        self.whole.is_match(text).map_err(gave_up)
    }

    /// `Matcher.replaceFirst` if the whole text matches, else `None`.
    pub fn replace_first(
        &self,
        text: &str,
        replacement: &Replacement,
    ) -> Result<Option<String>, DataError> {
        if !self.matches(text)? {
            return Ok(None);
        }
        let Some(found) = self.anywhere.captures(text).map_err(gave_up)? else { return Ok(None) };
        let Some(all) = found.get(0) else { return Ok(None) };
        let mut out = text[..all.start()].to_owned();
        replacement.expand(&self.anywhere, &found, &mut out)?;
        out.push_str(&text[all.end()..]);
        Ok(Some(out))
    }
}

#[cold]
fn gave_up(error: fancy_regex::Error) -> DataError {
    DataError::new(format!("The regular expression could not be evaluated: {error}"))
}

/// A replacement as Java reads it: `$1`, `${name}`, and a backslash before what is meant literally.
pub struct Replacement {
    parts: Vec<Part>,
    /// What is wrong at the end of `parts`; Java finds it when it gets there.
    wrong: Option<String>,
}

enum Part {
    Text(String),
    /// The digits after `$`; how many of them belong to the number depends on the pattern.
    Number(String),
    Name(String),
}

impl Replacement {
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let wrong = parse(text, &mut parts).err();
        Self { parts, wrong }
    }

    fn expand(
        &self,
        regex: &Regex,
        found: &Captures<'_>,
        out: &mut String,
    ) -> Result<(), DataError> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Number(digits) => expand_number(digits, found, out)?,
                Part::Name(name) => {
                    if !regex.capture_names().flatten().any(|known| known == name) {
                        return Err(illegal(format!("No group with name {{{name}}}")));
                    }
                    out.push_str(found.name(name).map_or("", |group| group.as_str()));
                }
            }
        }
        self.wrong.clone().map_or(Ok(()), |wrong| Err(illegal(wrong)))
    }
}

fn illegal(message: String) -> DataError {
    DataError::with_class(ILLEGAL_ARGUMENT, message)
}

/// The first digit always counts, more as long as there is such a group.
fn expand_number(digits: &str, found: &Captures<'_>, out: &mut String) -> Result<(), DataError> {
    let groups = found.len() - 1;
    let mut number = 0;
    let mut used = 0;
    for digit in digits.bytes() {
        let next = number * 10 + usize::from(digit - b'0');
        if used > 0 && next > groups {
            break;
        }
        number = next;
        used += 1;
    }
    if number > groups {
        return Err(DataError::with_class(
            "java.lang.IndexOutOfBoundsException",
            format!("No group {number}"),
        ));
    }
    out.push_str(found.get(number).map_or("", |group| group.as_str()));
    out.push_str(&digits[used..]);
    Ok(())
}

fn parse(text: &str, parts: &mut Vec<Part>) -> Result<(), String> {
    let mut literal = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        if first == '\\' {
            let escaped = rest.chars().next().ok_or("character to be escaped is missing")?;
            literal.push(escaped);
            rest = &rest[escaped.len_utf8()..];
        } else if first == '$' {
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            rest = parse_group(rest, parts)?;
        } else {
            literal.push(first);
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(())
}

/// What follows a `$`; gives back what follows that.
fn parse_group<'t>(text: &'t str, parts: &mut Vec<Part>) -> Result<&'t str, String> {
    if let Some(inner) = text.strip_prefix('{') {
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inner.len());
        let (name, after) = inner.split_at(end);
        if name.is_empty() {
            return Err("named capturing group has 0 length name".to_owned());
        }
        let Some(after) = after.strip_prefix('}') else {
            return Err("named capturing group is missing trailing '}'".to_owned());
        };
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("capturing group name {{{name}}} starts with digit character"));
        }
        parts.push(Part::Name(name.to_owned()));
        return Ok(after);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    match (end, text.is_empty()) {
        (0, true) => Err("Illegal group reference: group index is missing".to_owned()),
        (0, false) => Err("Illegal group reference".to_owned()),
        _ => {
            // No pattern has that many groups; more digits would overflow the number.
            parts.push(Part::Number(text[..end.min(9)].to_owned()));
            Ok(&text[end.min(9)..])
        }
    }
}

/// Java's spellings in ours. What is not mentioned is the same in both, or refused.
fn translate(java: &str) -> String {
    let mut out = String::with_capacity(java.len());
    let mut rest = java;
    let mut in_class = 0usize;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '\\' => rest = translate_escape(rest, in_class > 0, &mut out),
            '[' => {
                in_class += 1;
                out.push('[');
            }
            ']' => {
                in_class = in_class.saturating_sub(1);
                out.push(']');
            }
            other => out.push(other),
        }
    }
    out
}

/// What follows a backslash; gives back what follows that.
fn translate_escape<'t>(text: &'t str, in_class: bool, out: &mut String) -> &'t str {
    let Some(first) = text.chars().next() else {
        out.push('\\');
        return text;
    };
    let after = &text[first.len_utf8()..];
    // The set's inside, and whether it is negated.
    let set = match first {
        'd' => Some(("0-9", false)),
        'D' => Some(("0-9", true)),
        'w' => Some(("a-zA-Z_0-9", false)),
        'W' => Some(("a-zA-Z_0-9", true)),
        's' => Some((" \\t\\n\\x0B\\f\\r", false)),
        'S' => Some((" \\t\\n\\x0B\\f\\r", true)),
        'h' => Some((
            " \\t\\u{A0}\\u{1680}\\u{180e}\\u{2000}-\\u{200a}\\u{202f}\\u{205f}\\u{3000}",
            false,
        )),
        _ => None,
    };
    if let Some((set, negated)) = set {
        write_set(set, negated, in_class, out);
        return after;
    }
    match first {
        'Q' => {
            let (literal, after) = after.split_once("\\E").unwrap_or((after, ""));
            for c in literal.chars() {
                if !c.is_alphanumeric() && c.is_ascii() {
                    out.push('\\');
                }
                out.push(c);
            }
            after
        }
        'p' | 'P' => translate_property(first, after, in_class, out),
        'Z' => {
            out.push_str(r"(?=\n?\z)");
            after
        }
        _ => {
            out.push('\\');
            out.push(first);
            after
        }
    }
}

fn write_set(set: &str, negated: bool, in_class: bool, out: &mut String) {
    if in_class && !negated {
        out.push_str(set);
        return;
    }
    out.push_str(if negated { "[^" } else { "[" });
    out.push_str(set);
    out.push(']');
}

/// `\p{Lower}` and the other POSIX classes, which are ASCII in Java; the rest is passed on.
fn translate_property<'t>(p: char, text: &'t str, in_class: bool, out: &mut String) -> &'t str {
    let name = text.strip_prefix('{').and_then(|inner| inner.split_once('}'));
    let set = name.and_then(|(name, _)| {
        Some(match name {
            "Lower" => "a-z",
            "Upper" => "A-Z",
            "ASCII" => r"\x00-\x7F",
            "Alpha" => "a-zA-Z",
            "Digit" => "0-9",
            "Alnum" => "a-zA-Z0-9",
            "Punct" => r"!-/:-@\[-`{-~",
            "Graph" => "!-~",
            "Print" => " -~",
            "Blank" => r" \t",
            "Cntrl" => r"\x00-\x1F\x7F",
            "XDigit" => "0-9a-fA-F",
            "Space" => r" \t\n\x0B\f\r",
            _ => return None,
        })
    });
    match (set, name) {
        (Some(set), Some((_, after))) => {
            write_set(set, p == 'P', in_class, out);
            after
        }
        _ => {
            out.push('\\');
            out.push(p);
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(regex: &str, replacement: &str) -> String {
        let answer =
            Pattern::new(regex).unwrap().replace_first("topic", &Replacement::new(replacement));
        match answer {
            Ok(Some(text)) => text,
            Ok(None) => "topic".to_owned(),
            Err(error) => format!("{}: {}", error.class, error.message),
        }
    }

    /// Regex, replacement and what Java's `RegexRouter` makes of the topic `topic`.
    const FROM_JAVA: &[(&str, &str, &str)] = &[
        ("(.*)", "x-$1", "x-topic"),
        ("t(o)(p)ic", "$2$1", "po"),
        ("(?<n>top).*", "${n}-y", "top-y"),
        ("topic", "a\\$b", "a$b"),
        ("topic", "a\\\\b", "a\\b"),
        (
            "topic",
            "$",
            "java.lang.IllegalArgumentException: Illegal group reference: group index is missing",
        ),
        ("topic", "$1", "java.lang.IndexOutOfBoundsException: No group 1"),
        ("(t).*", "$10", "t0"),
        ("(t).*", "$1a$0", "tatopic"),
        ("top", "x", "topic"),
        ("topic", "${n}", "java.lang.IllegalArgumentException: No group with name {n}"),
        ("topic", "a\\", "java.lang.IllegalArgumentException: character to be escaped is missing"),
        ("(x)?topic", "[$1]", "[]"),
        (
            "topic",
            "${}",
            "java.lang.IllegalArgumentException: named capturing group has 0 length name",
        ),
        (
            "(?<n>t).*",
            "${n",
            "java.lang.IllegalArgumentException: named capturing group is missing trailing '}'",
        ),
        (
            "topic",
            "${1n}",
            "java.lang.IllegalArgumentException: capturing group name {1n} starts with digit character",
        ),
        ("t.*?", "L", "Lopic"),
        ("topic", "$a", "java.lang.IllegalArgumentException: Illegal group reference"),
        ("(t)(o)(p)(i)(c)", "$12", "t2"),
        ("t|topic", "alt", "altopic"),
        ("topic", "", ""),
        (".*(?=c)c", "la", "la"),
        ("(?i)TOPIC", "ci", "ci"),
        ("\\p{Alpha}+", "pa", "pa"),
        ("\\p{Lower}+", "pl", "pl"),
        ("[a-z&&[^x]]+", "inter", "inter"),
        ("\\Qtopic\\E", "q", "q"),
        ("t++opic", "poss", "poss"),
        ("(?<n>t)\\k<n>?opic", "br", "br"),
        ("\\w+\\z", "z", "z"),
        ("topi\\x63", "hex", "hex"),
        ("topi\\u0063", "uni", "uni"),
    ];

    #[test]
    fn replaces_as_java_does() {
        for (regex, replacement, expected) in FROM_JAVA {
            assert_eq!(route(regex, replacement), *expected, "{regex} {replacement}");
        }
    }

    #[test]
    fn javas_sets_are_ascii() {
        assert!(!Pattern::new("\\w+").unwrap().matches("é").unwrap());
        assert!(Pattern::new("[\\w&&[^_]]+").unwrap().matches("a1").unwrap());
        assert!(!Pattern::new("[^\\d]").unwrap().matches("7").unwrap());
        assert!(Pattern::new("[\\D.]+").unwrap().matches("a.b").unwrap());
        assert!(Pattern::new("\\Qa.b\\E.*").unwrap().matches("a.b-c").unwrap());
    }

    #[test]
    fn what_is_not_a_regex_is_refused() {
        for text in ["(", "[a", "*", "a{2,1}", "(?<n>"] {
            let why = Pattern::new(text).err().unwrap();
            assert!(why.starts_with("Invalid regex: "), "{why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_and_replacement_end_well(
            regex in "[a-c\\\\(\\[\\])*+?|.{}QEpw<>]{0,10}",
            replacement in "[a$\\\\{}1]{0,8}",
        ) {
            if let Ok(pattern) = Pattern::new(&regex) {
                let _ = pattern.replace_first("abc", &Replacement::new(&replacement));
            }
        }
    }
}
