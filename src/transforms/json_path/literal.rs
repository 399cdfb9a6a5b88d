//! Literals of a predicate, and numbers as `BigDecimal` compares them.

use std::cmp::Ordering;
use std::rc::Rc;

use millrace_converters::number_text::{BigDecimal, write_double};

use super::compile::unescape;

/// A number: a 64-bit integer or a double where that says it all, for which no memory is needed.
#[derive(Clone, Debug)]
pub(super) enum Number {
    Long(i64),
    /// Finite.
    Double(f64),
    Exact(Rc<Exact>),
}

/// Any decimal number.
#[derive(Debug)]
pub(super) struct Exact {
    pub number: BigDecimal,
    /// The double whose shortest text is this very number.
    pub double: Option<f64>,
}

impl Number {
    /// `new BigDecimal(text)`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<i64>() {
            return Some(Self::Long(number));
        }
        Some(Self::exact(BigDecimal::parse(text)?))
    }

    pub fn exact(number: BigDecimal) -> Self {
        let double = Some(number.double_value()).filter(|double| double.is_finite());
        let double = double.filter(|double| decimal(*double).compare(&number) == Ordering::Equal);
        Self::Exact(Rc::new(Exact { number, double }))
    }

    /// `BigDecimal.compareTo`.
    pub fn compare(&self, other: &Self) -> Ordering {
        const EXACT: i64 = 1 << 53;
        let as_double = |number: &Self| match number {
            // A double's shortest text is the integer itself below 2^53.
            Self::Long(number) if (-EXACT..EXACT).contains(number) => Some(*number as f64),
            Self::Long(_) => None,
            Self::Double(number) => Some(*number),
            Self::Exact(exact) => exact.double,
        };
        if let (Self::Long(a), Self::Long(b)) = (self, other) {
            return a.cmp(b);
        }
        if let (Some(a), Some(b)) = (as_double(self), as_double(other))
            && let Some(order) = a.partial_cmp(&b)
        {
            return order;
        }
        self.decimal().compare(&other.decimal())
    }

    fn decimal(&self) -> BigDecimal {
        match self {
            Self::Long(number) => BigDecimal { unscaled: (*number).into(), scale: 0 },
            Self::Double(number) => decimal(*number),
            Self::Exact(exact) => exact.number.clone(),
        }
    }

    /// `BigDecimal.toString`.
    pub fn text(&self) -> String {
        self.decimal().to_string()
    }
}

/// `new BigDecimal(Double.toString(number))`.
fn decimal(number: f64) -> BigDecimal {
    let mut text = Vec::new();
    write_double(number, &mut text);
    let text = String::from_utf8_lossy(&text);
    BigDecimal::parse(&text).unwrap_or(BigDecimal { unscaled: 0.into(), scale: 0 })
}

/// A value that stands in a predicate.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Literal>),
    Map(Vec<(String, Literal)>),
}

impl Literal {
    /// JSON, in which quotes may be single.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let literal = reader.value(0)?;
        reader.spaces();
        match reader.rest().is_empty() {
            true => Ok(literal),
            false => Err(format!("{text:?} is not JSON")),
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, what: char) -> bool {
        self.spaces();
        let found = self.rest().starts_with(what);
        self.at += usize::from(found);
        found
    }

    fn wrong(&self) -> String {
        format!("{:?} is not JSON", self.text)
    }

    fn value(&mut self, depth: usize) -> Result<Literal, String> {
        if depth > super::compile::MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        if self.take('[') {
            let mut list = Vec::new();
            while !self.take(']') {
                if !list.is_empty() && !self.take(',') {
                    return Err(self.wrong());
                }
                list.push(self.value(depth + 1)?);
            }
            return Ok(Literal::List(list));
        }
        if self.take('{') {
            let mut map = Vec::new();
            while !self.take('}') {
                if !map.is_empty() && !self.take(',') {
                    return Err(self.wrong());
                }
                let Literal::Text(name) = self.value(depth + 1)? else { return Err(self.wrong()) };
                if !self.take(':') {
                    return Err(self.wrong());
                }
                map.push((name, self.value(depth + 1)?));
            }
            return Ok(Literal::Map(map));
        }
        self.scalar()
    }

    fn scalar(&mut self) -> Result<Literal, String> {
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|quote| "'\"".contains(*quote)) {
            let mut hidden = false;
            let end = rest[1..].find(|character: char| {
                let ends = character == quote && !hidden;
                hidden = character == '\\' && !hidden;
                ends
            });
            let end = end.ok_or_else(|| self.wrong())?;
            self.at += end + 2;
            return unescape(&rest[1..=end]).map(Literal::Text);
        }
        let end = rest.find([',', ']', '}', ':']).unwrap_or(rest.len());
        self.at += end;
        Ok(match rest[..end].trim() {
            "" => return Err(self.wrong()),
            "null" => Literal::Null,
            "true" => Literal::Bool(true),
            "false" => Literal::Bool(false),
            word => match Number::parse(word) {
                Some(number) => Literal::Number(number),
                None => Literal::Text(word.to_owned()),
            },
        })
    }
}
