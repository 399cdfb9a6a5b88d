//! A predicate's text, `@.a == 'x' && !(@.b > 5)`, becomes a [`Condition`].

use super::compile::{Cursor, MAX_DEPTH, path, unescape};
use super::condition::{Condition, Operand, Operator};
use super::literal::{Literal, Number};
use crate::java_regex::Pattern;

/// Compiles what stands between the parentheses of `[?(…)]`.
pub(super) fn condition(text: &str, depth: usize) -> Result<Condition, String> {
    let mut parser = Parser { cursor: Cursor { text, at: 0 }, depth, refused: None };
    let condition = parser.any()?;
    parser.cursor.spaces();
    match parser.cursor.peek() {
        None => Ok(condition),
        Some(_) => Err(parser
            .refused
            .unwrap_or_else(|| parser.cursor.wrong("expected the end of the predicate"))),
    }
}

struct Parser<'t> {
    cursor: Cursor<'t>,
    depth: usize,
    /// Why the last path is no side of a comparison, to be told if nothing else explains the rest.
    refused: Option<String>,
}

impl Parser<'_> {
    /// `all { || all }`.
    fn any(&mut self) -> Result<Condition, String> {
        let mut list = vec![self.all()?];
        while self.operator("||") {
            list.push(self.all()?);
        }
        Ok(if list.len() == 1 { list.remove(0) } else { Condition::Any(list) })
    }

    /// `one { && one }`.
    fn all(&mut self) -> Result<Condition, String> {
        let mut list = vec![self.one()?];
        while self.operator("&&") {
            list.push(self.one()?);
        }
        Ok(if list.len() == 1 { list.remove(0) } else { Condition::All(list) })
    }

    fn operator(&mut self, what: &str) -> bool {
        let before = self.cursor.at;
        self.cursor.spaces();
        if self.cursor.text[self.cursor.at..].starts_with(what) {
            self.cursor.at += what.len();
            return true;
        }
        self.cursor.at = before;
        false
    }

    /// `! one`, `( any )`, or a comparison. Before a path the exclamation mark is the path's.
    fn one(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        self.cursor.spaces();
        let begin = self.cursor.at;
        let mut condition = None;
        if self.cursor.take(b'!') {
            self.cursor.spaces();
            if matches!(self.cursor.peek(), Some(b'$' | b'@')) {
                self.cursor.at = begin;
            } else {
                condition = Some(Condition::Not(Box::new(self.one()?)));
            }
        }
        if condition.is_none() && self.cursor.take(b'(') {
            condition = Some(self.any()?);
            if !self.cursor.take(b')') {
                return Err(self.cursor.wrong("expected a closing parenthesis"));
            }
        }
        let condition = match condition {
            Some(condition) => condition,
            None => self.comparison()?,
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn comparison(&mut self) -> Result<Condition, String> {
        let (left, negated) = self.operand()?;
        let before = self.cursor.at;
        let compared = self.relation().and_then(|operator| Ok((operator, self.operand()?.0)));
        match (compared, left) {
            (Ok((operator, right)), left) => Ok(Condition::Compare { left, operator, right }),
            (Err(why), Operand::Path(path)) => {
                self.refused = Some(why);
                self.cursor.at = before;
                Ok(Condition::Exists { path, exists: !negated })
            }
            (Err(why), _) => Err(why),
        }
    }

    /// One operand, and whether an exclamation mark stood before it.
    fn operand(&mut self) -> Result<(Operand, bool), String> {
        let negated = self.cursor.take(b'!');
        self.cursor.spaces();
        if matches!(self.cursor.peek(), Some(b'$' | b'@')) {
            let depth = self.depth + 1;
            return Ok((Operand::Path(path(self.path()?, depth)?), negated));
        }
        if negated {
            return Err(self.cursor.wrong("expected a path behind the exclamation mark"));
        }
        Ok((self.literal()?, false))
    }

    /// The text of a path, which ends at a blank, an operator or a parenthesis.
    fn path(&mut self) -> Result<&str, String> {
        let begin = self.cursor.at;
        self.cursor.at += 1;
        while let Some(byte) = self.cursor.peek() {
            match byte {
                b'[' => {
                    let end = self.cursor.closing(b'[', b']', false);
                    let end = end.ok_or_else(|| self.cursor.wrong("a bracket is not closed"))?;
                    self.cursor.at = end + 1;
                    continue;
                }
                b'<' | b'>' | b'=' | b'~' | b'!' | b' ' => break,
                b')' if !self.cursor.since(begin).ends_with('(') => break,
                _ => {}
            }
            self.cursor.at += 1;
        }
        Ok(self.cursor.since(begin))
    }

    fn relation(&mut self) -> Result<Operator, String> {
        self.cursor.spaces();
        let begin = self.cursor.at;
        let sign = |byte: Option<u8>| matches!(byte, Some(b'<' | b'>' | b'=' | b'~' | b'!'));
        if sign(self.cursor.peek()) {
            while sign(self.cursor.peek()) {
                self.cursor.at += 1;
            }
        } else {
            while self.cursor.peek().is_some_and(|byte| byte != b' ') {
                self.cursor.at += 1;
            }
        }
        let name = self.cursor.since(begin);
        Operator::named(name).ok_or_else(|| format!("there is no operator {name:?}"))
    }

    fn literal(&mut self) -> Result<Operand, String> {
        let begin = self.cursor.at;
        let rest = &self.cursor.text[begin..];
        for (word, literal) in [
            ("true", Literal::Bool(true)),
            ("false", Literal::Bool(false)),
            ("null", Literal::Null),
        ] {
            if rest.starts_with(word) {
                self.cursor.at += word.len();
                return Ok(Operand::Literal(literal));
            }
        }
        match self.cursor.peek() {
            Some(quote @ (b'\'' | b'"')) => {
                let end = self.cursor.behind(begin, quote);
                self.cursor.at = end.ok_or_else(|| self.cursor.wrong("a quote is not closed"))?;
                let text = self.cursor.since(begin);
                Ok(Operand::Literal(Literal::Text(unescape(&text[1..text.len() - 1])?)))
            }
            Some(b'/') => self.pattern(),
            Some(open @ (b'[' | b'{')) => {
                let close = if open == b'[' { b']' } else { b'}' };
                let end = self.cursor.closing(open, close, false);
                let end = end.ok_or_else(|| self.cursor.wrong("a bracket is not closed"))?;
                self.cursor.at = end + 1;
                Literal::parse(self.cursor.since(begin)).map(Operand::Literal)
            }
            _ => {
                let number = |byte: u8| byte.is_ascii_digit() || b"-.eE".contains(&byte);
                while self.cursor.peek().is_some_and(number) {
                    self.cursor.at += 1;
                }
                let number = Number::parse(self.cursor.since(begin));
                number
                    .map(|number| Operand::Literal(Literal::Number(number)))
                    .ok_or_else(|| self.cursor.wrong("expected a value"))
            }
        }
    }

    /// `/pattern/flags`.
    fn pattern(&mut self) -> Result<Operand, String> {
        let begin = self.cursor.at;
        let end = self.cursor.behind(begin, b'/');
        let end = end.ok_or_else(|| self.cursor.wrong("a pattern is not closed"))?;
        self.cursor.at = end;
        while matches!(self.cursor.peek(), Some(b'd' | b'i' | b'x' | b'm' | b's' | b'u' | b'U')) {
            self.cursor.at += 1;
        }
        let flags = self.cursor.since(end);
        // Java's other flags are about line ends and Unicode's classes.
        let flags: String = flags.chars().filter(|flag| "ixms".contains(*flag)).collect();
        let text = &self.cursor.text[begin + 1..end - 1];
        let text = if flags.is_empty() { text.to_owned() } else { format!("(?{flags}){text}") };
        Pattern::new(&text).map(|pattern| Operand::Pattern(Box::new(pattern)))
    }
}
