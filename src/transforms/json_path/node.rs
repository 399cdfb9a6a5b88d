//! What a predicate compares: values of the record and literals, equal as the library has it.

use std::borrow::Cow;

use millrace_converters::json::parse_text;
use millrace_converters::number_text::{BigDecimal, write_float};
use millrace_converters::{Arena, Value};

use super::PathError;
use super::literal::{Literal, Number};
use crate::java_regex::Pattern;

/// One side of a comparison, found.
pub(super) enum Node<'n> {
    /// The path found nothing.
    Undefined,
    Null,
    Bool(bool),
    Number(Number),
    Text(&'n str),
    Pattern(&'n Pattern),
    /// A list or an object of the record.
    Value(Value<'n>),
    /// A list or an object of the predicate.
    Literal(&'n Literal),
}

/// The items of a list.
pub(super) enum Items<'n> {
    Values(&'n [Value<'n>]),
    Literals(&'n [Literal]),
}

impl<'n> Items<'n> {
    pub fn len(&self) -> usize {
        match self {
            Self::Values(list) => list.len(),
            Self::Literals(list) => list.len(),
        }
    }

    pub fn get(&self, at: usize) -> Result<Node<'n>, PathError> {
        match self {
            Self::Values(list) => match list[at] {
                list @ (Value::Array(_) | Value::Map(_) | Value::Struct(_)) => {
                    Ok(Node::Value(list))
                }
                scalar => Node::of_scalar(scalar),
            },
            Self::Literals(list) => Ok(Node::of_literal(&list[at])),
        }
    }

    pub fn contain(&self, node: &Node<'_>) -> Result<bool, PathError> {
        for at in 0..self.len() {
            if equals(node, &self.get(at)?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<'n> Node<'n> {
    pub fn of_literal(literal: &'n Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Number(number) => Self::Number(number.clone()),
            Literal::Text(text) => Self::Text(text),
            Literal::List(_) | Literal::Map(_) => Self::Literal(literal),
        }
    }

    /// Text is parsed.
    pub fn of_value(value: Value<'n>, arena: &'n Arena) -> Result<Self, PathError> {
        match value {
            Value::Json(text) => Self::of_value(parse_text(text, arena)?, arena),
            Value::Array(_) | Value::Map(_) | Value::Struct(_) => Ok(Self::Value(value)),
            scalar => Self::of_scalar(scalar),
        }
    }

    fn of_scalar(value: Value<'n>) -> Result<Self, PathError> {
        let double = |number: f64| match number.is_finite() {
            true => Ok(Self::Number(Number::Double(number))),
            false => Err(PathError::Failed(format!("{number} is not a number to compare"))),
        };
        match value {
            Value::Null => Ok(Self::Null),
            Value::Boolean(value) => Ok(Self::Bool(value)),
            Value::Int8(number) => Ok(Self::Number(Number::Long(number.into()))),
            Value::Int16(number) => Ok(Self::Number(Number::Long(number.into()))),
            Value::Int32(number) => Ok(Self::Number(Number::Long(number.into()))),
            Value::Int64(number) => Ok(Self::Number(Number::Long(number))),
            Value::Float32(number) => {
                let mut text = Vec::new();
                write_float(number, &mut text);
                double(String::from_utf8_lossy(&text).parse().unwrap_or(f64::NAN))
            }
            Value::Float64(number) => double(number),
            Value::Str(text) => Ok(Self::Text(text)),
            Value::Decimal(number) => {
                let number = BigDecimal::from_bytes(number.unscaled, number.scale);
                Ok(Self::Number(Number::exact(number)))
            }
            other => Err(PathError::Failed(format!(
                "Could not convert {} to a value to compare",
                other.java_class()
            ))),
        }
    }

    pub fn is_json(&self) -> bool {
        matches!(self, Self::Value(_) | Self::Literal(_))
    }

    /// The items, if it is a list.
    pub fn items(&self) -> Option<Items<'n>> {
        match *self {
            Self::Value(Value::Array(list)) => Some(Items::Values(list)),
            Self::Literal(Literal::List(list)) => Some(Items::Literals(list)),
            _ => None,
        }
    }

    /// A text's length in UTF-16 units, a list's items.
    pub fn size(&self) -> Option<Number> {
        let length = match self {
            Self::Text(text) => text.encode_utf16().count(),
            node => match node.items() {
                Some(items) => items.len(),
                None if node.is_json() => return Some(Number::Long(-1)),
                None => return None,
            },
        };
        Some(Number::Long(length as i64))
    }

    pub fn is_empty(&self) -> Option<bool> {
        match self {
            Self::Text(text) => Some(text.is_empty()),
            Self::Value(Value::Array(list)) => Some(list.is_empty()),
            Self::Value(Value::Map(map)) => Some(map.is_empty()),
            Self::Value(Value::Struct(data)) => Some(data.schema.fields.is_empty()),
            Self::Literal(Literal::List(list)) => Some(list.is_empty()),
            Self::Literal(Literal::Map(map)) => Some(map.is_empty()),
            _ => None,
        }
    }

    /// What a pattern is tried on.
    pub fn input(&self) -> Cow<'n, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(*text),
            Self::Number(number) => Cow::Owned(number.text()),
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            _ => Cow::Borrowed(""),
        }
    }

    pub fn same_class(&self, other: &Self) -> bool {
        let json = self.is_json() && other.is_json();
        json || std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// `==`: numbers by value, also where one of them is text.
pub(super) fn equals(left: &Node<'_>, right: &Node<'_>) -> Result<bool, PathError> {
    Ok(match (left, right) {
        (Node::Null, Node::Null) => true,
        (Node::Bool(left), Node::Bool(right)) => left == right,
        (Node::Text(left), Node::Text(right)) => left == right,
        (Node::Number(left), Node::Number(right)) => left.compare(right).is_eq(),
        (Node::Number(left), Node::Text(right)) => {
            Number::parse(right).is_some_and(|right| left.compare(&right).is_eq())
        }
        (Node::Text(left), Node::Number(right)) => **left == right.text(),
        (Node::Value(left), Node::Value(right)) => same(left, right),
        (Node::Value(left), Node::Literal(right)) => is(left, right),
        _ => false,
    })
}

/// `Object.equals`: numbers of different classes are different.
fn same(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Boolean(left), Value::Boolean(right)) => left == right,
        (Value::Int8(left), Value::Int8(right)) => left == right,
        (Value::Int16(left), Value::Int16(right)) => left == right,
        (Value::Int32(left), Value::Int32(right)) => left == right,
        (Value::Int64(left), Value::Int64(right)) => left == right,
        (Value::Float32(left), Value::Float32(right)) => left == right,
        (Value::Float64(left), Value::Float64(right)) => left == right,
        (Value::Str(left), Value::Str(right)) => left == right,
        (Value::Decimal(left), Value::Decimal(right)) => left == right,
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(*right).all(|(l, r)| same(l, r))
        }
        (Value::Map(left), Value::Map(right)) => {
            let there = |(name, value): &(Value<'_>, Value<'_>)| {
                right.iter().any(|(other, against)| same(name, other) && same(value, against))
            };
            left.len() == right.len() && left.iter().all(there)
        }
        (Value::Struct(left), Value::Struct(right)) => {
            left.schema == right.schema
                && left.values.iter().zip(right.values).all(|(left, right)| same(left, right))
        }
        _ => false,
    }
}

/// The same for a literal, whose integers are Java's `Integer` where they fit.
fn is(value: &Value<'_>, literal: &Literal) -> bool {
    match (value, literal) {
        (Value::Null, Literal::Null) => true,
        (Value::Boolean(value), Literal::Bool(literal)) => value == literal,
        (Value::Int32(value), Literal::Number(Number::Long(literal))) => {
            i64::from(*value) == *literal
        }
        (Value::Int64(value), Literal::Number(Number::Long(literal))) => {
            value == literal && i32::try_from(*literal).is_err()
        }
        (Value::Float64(value), Literal::Number(Number::Exact(literal))) => {
            literal.double == Some(*value)
        }
        (Value::Str(value), Literal::Text(literal)) => *value == literal,
        (Value::Array(list), Literal::List(literals)) => {
            list.len() == literals.len() && list.iter().zip(literals).all(|(v, l)| is(v, l))
        }
        (Value::Map(map), Literal::Map(literals)) => {
            let there = |(name, value): &(Value<'_>, Value<'_>)| {
                literals.iter().any(|(other, literal)| {
                    name.as_str() == Some(other.as_str()) && is(value, literal)
                })
            };
            map.len() == literals.len() && map.iter().all(there)
        }
        _ => false,
    }
}
