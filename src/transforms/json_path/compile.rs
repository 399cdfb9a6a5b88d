//! A path's text becomes steps.

use super::condition_compile::condition;
use super::{Function, JsonPath, Step};

/// Predicates in predicates, and parentheses in them, that a path may have.
pub(super) const MAX_DEPTH: usize = 64;

/// Compiles a path; without `$` or `@` at its front it begins at the document.
pub(super) fn path(text: &str, depth: usize) -> Result<JsonPath, String> {
    if depth > MAX_DEPTH {
        return Err("it is nested too deeply".to_owned());
    }
    let text = text.trim_matches(' ');
    let (from_root, steps) = match text.as_bytes().first() {
        None => return Err("the path is empty".to_owned()),
        Some(b'$') => (true, text[1..].to_owned()),
        Some(b'@') => (false, text[1..].to_owned()),
        Some(_) => (true, format!(".{text}")),
    };
    if steps.ends_with('.') {
        return Err("a path must not end with a dot".to_owned());
    }
    if !steps.is_empty() && !steps.starts_with(['.', '[']) {
        return Err("expected a dot or an opening bracket behind the root".to_owned());
    }
    let mut cursor = Cursor { text: &steps, at: 0 };
    let mut list = Vec::new();
    while cursor.peek().is_some() {
        if matches!(list.last(), Some(Step::Function(_))) {
            return Err("nothing may follow a function".to_owned());
        }
        cursor.step(&mut list, depth)?;
    }
    Ok(JsonPath::of(list, from_root))
}

/// A place in a text whose delimiters are all ASCII.
pub(super) struct Cursor<'t> {
    pub text: &'t str,
    pub at: usize,
}

impl<'t> Cursor<'t> {
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub fn spaces(&mut self) {
        while self.peek() == Some(b' ') {
            self.at += 1;
        }
    }

    /// Passes over that character, if it is the next but for spaces.
    pub fn take(&mut self, what: u8) -> bool {
        let before = self.at;
        self.spaces();
        if self.peek() == Some(what) {
            self.at += 1;
            return true;
        }
        self.at = before;
        false
    }

    pub fn wrong(&self, what: &str) -> String {
        format!("{what} at character {} of {:?}", self.at, self.text)
    }

    /// Behind the string, pattern or bracket that begins here; a backslash hides what follows it.
    pub fn behind(&self, from: usize, close: u8) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut at = from + 1;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at += 1,
                byte if byte == close => return Some(at + 1),
                _ => {}
            }
            at += 1;
        }
        None
    }

    /// Where the bracket that opens here is closed; brackets in strings and patterns do not count.
    pub fn closing(&self, open: u8, close: u8, patterns: bool) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let mut depth = 0usize;
        let mut at = self.at;
        while at < bytes.len() {
            match bytes[at] {
                quote @ (b'\'' | b'"') => {
                    at = self.behind(at, quote)?;
                    continue;
                }
                b'/' if patterns => {
                    at = self.behind(at, b'/')?;
                    continue;
                }
                byte if byte == open => depth += 1,
                byte if byte == close => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        None
    }

    fn step(&mut self, list: &mut Vec<Step>, depth: usize) -> Result<(), String> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.peek() == Some(b'.') {
                self.at += 1;
                list.push(Step::Scan);
            }
        }
        match self.peek() {
            Some(b'.') | None => Err(self.wrong("expected a name")),
            Some(b'*') => {
                self.at += 1;
                list.push(Step::Wildcard);
                Ok(())
            }
            Some(b'[') => {
                let step = self.bracket(depth)?;
                list.push(step);
                Ok(())
            }
            Some(_) => {
                let step = self.name()?;
                list.push(step);
                Ok(())
            }
        }
    }

    /// `foo` or `foo()`.
    fn name(&mut self) -> Result<Step, String> {
        let rest = &self.text[self.at..];
        let end = rest.find(['.', '[', '(', ' ']).unwrap_or(rest.len());
        let name = &rest[..end];
        match rest.as_bytes().get(end) {
            Some(b' ') => {
                Err(self.wrong("a name with blanks is written in brackets, ['my name'],"))
            }
            Some(b'(') => {
                let Some(b')') = rest[end + 1..].trim_start_matches(' ').bytes().next() else {
                    return Err(format!("the function {name} with arguments is not supported"));
                };
                self.at += end + 1;
                self.take(b')');
                Function::named(name).map(Step::Function)
            }
            _ => {
                self.at += end;
                Ok(Step::Property(name.to_owned()))
            }
        }
    }

    fn bracket(&mut self, depth: usize) -> Result<Step, String> {
        let open = self.at;
        self.at += 1;
        self.spaces();
        match self.peek() {
            Some(quote @ (b'\'' | b'"')) => self.names(quote),
            Some(b'0'..=b'9' | b'-' | b':') => self.indexes(),
            Some(b'*') => {
                self.at += 1;
                if self.take(b']') { Ok(Step::Wildcard) } else { Err(self.wrong("expected ]")) }
            }
            Some(b'?') => {
                self.at += 1;
                self.spaces();
                if self.peek() != Some(b'(') {
                    return Err(self.wrong("expected a predicate in parentheses"));
                }
                let begin = self.at + 1;
                let end = self.closing(b'(', b')', true);
                let end = end.ok_or_else(|| self.wrong("a parenthesis is not closed"))?;
                self.at = end + 1;
                if !self.take(b']') {
                    return Err(self.wrong("expected ] behind the predicate"));
                }
                condition(&self.text[begin..end], depth + 1).map(Step::Filter)
            }
            _ => {
                self.at = open;
                Err(self.wrong("expected ?, ', 0-9 or * in brackets"))
            }
        }
    }

    /// `'a'`, `'a','b'`, and the closing bracket.
    fn names(&mut self, quote: u8) -> Result<Step, String> {
        let mut names = Vec::new();
        loop {
            self.spaces();
            if self.peek() != Some(quote) {
                return Err(self.wrong("expected a name in quotes"));
            }
            let end = self.behind(self.at, quote);
            let end = end.ok_or_else(|| self.wrong("a quote is not closed"))?;
            names.push(unescape(&self.text[self.at + 1..end - 1])?);
            self.at = end;
            if self.take(b']') {
                break;
            }
            if !self.take(b',') {
                return Err(self.wrong("expected a comma or ]"));
            }
        }
        Ok(match names.len() {
            1 => Step::Property(names.remove(0)),
            _ => Step::Properties(names),
        })
    }

    /// `1`, `0,-1`, `1:`, `:-1`, `1:3`, and the closing bracket.
    fn indexes(&mut self) -> Result<Step, String> {
        let rest = &self.text[self.at..];
        let end = rest.find(']').ok_or_else(|| self.wrong("a bracket is not closed"))?;
        let text = rest[..end].trim_matches(' ');
        let number = |text: &str| {
            text.trim_matches(' ').parse::<i32>().map_err(|_| format!("{text:?} is no index"))
        };
        let step = match text.split_once(':') {
            None => Step::Indexes(text.split(',').map(number).collect::<Result<_, _>>()?),
            Some((from, to)) => {
                let side = |text: &str| match text {
                    "" => Ok(None),
                    text => number(text).map(Some),
                };
                let (from, to) = (side(from)?, side(to)?);
                if from.is_none() && to.is_none() {
                    return Err(self.wrong("a slice needs a begin or an end"));
                }
                Step::Slice(from, to)
            }
        };
        self.at += end + 1;
        Ok(step)
    }

    /// The text from `from` to here.
    pub fn since(&self, from: usize) -> &'t str {
        &self.text[from..self.at]
    }
}

impl Function {
    fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "length" | "size" => Self::Length,
            "min" => Self::Min,
            "max" => Self::Max,
            "avg" => Self::Average,
            "sum" => Self::Sum,
            "first" => Self::First,
            "last" => Self::Last,
            _ => return Err(format!("there is no function {name}")),
        })
    }
}

/// Backslash and letter as in Java's strings; any other character stands for itself.
pub(super) fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match rest.next() {
            None => out.push('\\'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('b') => out.push('\u{8}'),
            Some('u') => {
                let digits: String = rest.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                let code = code.ok_or_else(|| format!("\\u{digits} is no character"))?;
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
        }
    }
    Ok(out)
}
