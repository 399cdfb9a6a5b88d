//! Text that a simple regular expression matches: literals, classes, groups with alternatives and
//! counts. No look-around, anchors or references.

use super::random::Random;

/// What `*` and `+` stop at.
const MANY: u32 = 8;

/// Largest count and class that is taken.
const LIMIT: u32 = 1000;

/// Alternatives of sequences of repeated atoms.
#[derive(Clone, Debug)]
pub struct Pattern {
    alternatives: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug)]
struct Piece {
    atom: Atom,
    min: u32,
    max: u32,
}

#[derive(Clone, Debug)]
enum Atom {
    /// One of these.
    Class(Vec<char>),
    Group(Pattern),
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, String> {
        let chars: Vec<char> = text.chars().collect();
        let mut parser = Parser { chars: &chars, at: 0, depth: 0 };
        let pattern = parser.alternatives()?;
        match parser.peek() {
            None => Ok(pattern),
            Some(other) => Err(format!("unexpected {other:?} in the regex {text:?}")),
        }
    }

    pub fn write(&self, random: &mut Random, out: &mut impl FnMut(char)) {
        let which = random.below(self.alternatives.len() as u64) as usize;
        for piece in &self.alternatives[which] {
            let count = match piece.max - piece.min {
                0 => piece.min,
                more => piece.min + random.below(u64::from(more) + 1) as u32,
            };
            for _ in 0..count {
                match &piece.atom {
                    Atom::Class(chars) => out(chars[random.below(chars.len() as u64) as usize]),
                    Atom::Group(pattern) => pattern.write(random, out),
                }
            }
        }
    }
}

struct Parser<'t> {
    chars: &'t [char],
    at: usize,
    depth: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Result<char, String> {
        let c = self.peek().ok_or("the regex ends too early")?;
        self.at += 1;
        Ok(c)
    }

    fn alternatives(&mut self) -> Result<Pattern, String> {
        self.depth += 1;
        if self.depth > 32 {
            return Err("the regex is nested too deeply".to_owned());
        }
        let mut alternatives = vec![Vec::new()];
        while let Some(c) = self.peek() {
            match c {
                ')' => break,
                '|' => {
                    self.at += 1;
                    alternatives.push(Vec::new());
                }
                _ => {
                    let atom = self.atom()?;
                    let (min, max) = self.count()?;
                    if let Some(last) = alternatives.last_mut() {
                        last.push(Piece { atom, min, max });
                    }
                }
            }
        }
        self.depth -= 1;
        Ok(Pattern { alternatives })
    }

    fn atom(&mut self) -> Result<Atom, String> {
        Ok(match self.next()? {
            '(' => {
                if self.peek() == Some('?') {
                    self.at += 1;
                    if self.next()? != ':' {
                        return Err("the regex has a group of a kind that is not known".to_owned());
                    }
                }
                let group = self.alternatives()?;
                self.next().map_err(|_| "a group of the regex is not closed".to_owned())?;
                Atom::Group(group)
            }
            '[' => Atom::Class(self.class()?),
            '.' => Atom::Class((' '..='~').collect()),
            '\\' => Atom::Class(self.escaped()?),
            '^' | '$' => Atom::Group(Pattern { alternatives: vec![Vec::new()] }),
            c @ ('*' | '+' | '?' | '{') => return Err(format!("nothing to repeat before {c:?}")),
            literal => Atom::Class(vec![literal]),
        })
    }

    fn escaped(&mut self) -> Result<Vec<char>, String> {
        Ok(match self.next()? {
            'd' => ('0'..='9').collect(),
            'w' => ('a'..='z').chain('A'..='Z').chain('0'..='9').chain(['_']).collect(),
            's' => vec![' '],
            't' => vec!['\t'],
            'n' => vec!['\n'],
            c if c.is_ascii_alphanumeric() => {
                return Err(format!("the regex has \\{c}, which is not known"));
            }
            literal => vec![literal],
        })
    }

    fn class(&mut self) -> Result<Vec<char>, String> {
        if self.peek() == Some('^') {
            return Err("negated classes are not known".to_owned());
        }
        let mut chars = Vec::new();
        loop {
            let first = match self.next()? {
                ']' => break,
                '\\' => {
                    chars.extend(self.escaped()?);
                    continue;
                }
                c => c,
            };
            let range = self.peek() == Some('-') && self.chars.get(self.at + 1) != Some(&']');
            if !range {
                chars.push(first);
                continue;
            }
            self.at += 1;
            let last = self.next()?;
            if last < first || last as u32 - first as u32 > LIMIT {
                return Err(format!("the range {first}-{last} of the regex is not one"));
            }
            chars.extend(first..=last);
        }
        if chars.is_empty() { Err("the regex has an empty class".to_owned()) } else { Ok(chars) }
    }

    fn count(&mut self) -> Result<(u32, u32), String> {
        let counts = match self.peek() {
            Some('?') => (0, 1),
            Some('*') => (0, MANY),
            Some('+') => (1, MANY),
            Some('{') => {
                self.at += 1;
                return self.braces();
            }
            _ => return Ok((1, 1)),
        };
        self.at += 1;
        Ok(counts)
    }

    fn braces(&mut self) -> Result<(u32, u32), String> {
        let mut text = String::new();
        loop {
            match self.next()? {
                '}' => break,
                c => text.push(c),
            }
        }
        let (min, max) = text.split_once(',').unwrap_or((&text, &text));
        let number = |text: &str| text.trim().parse::<u32>().ok().filter(|n| *n <= LIMIT);
        let max = if max.is_empty() { number(min).map(|n| n + MANY) } else { number(max) };
        match (number(min), max) {
            (Some(min), Some(max)) if min <= max => Ok((min, max)),
            _ => Err(format!("{{{text}}} is not a count from 0 to {LIMIT}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pattern: &str, number: u64) -> String {
        let mut text = String::new();
        Pattern::new(pattern).unwrap().write(&mut Random::of(1, number), &mut |c| text.push(c));
        text
    }

    #[test]
    fn what_is_made_matches() {
        for pattern in
            ["User_[1-9]", "Item_[1-9][0-9]{0,2}", "(a|bc)+x?", "\\d{3}-\\w*", "[a\\-z-]."]
        {
            let regex = fancy_regex::Regex::new(&format!("^(?:{pattern})$")).unwrap();
            for number in 0..200 {
                let text = text(pattern, number);
                assert!(regex.is_match(&text).unwrap(), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for pattern in
            ["(a", "[a", "a{", "a{2,1}", "*", "[^a]", "a)", "(?=a)", "\\b", "[]", "a{9999}"]
        {
            assert!(Pattern::new(pattern).is_err(), "{pattern}");
        }
    }
}
