//! A predicate of a path, and whether a value meets it.

use std::cmp::Ordering;

use millrace_converters::{Arena, Value};

use super::evaluate::find;
use super::literal::Literal;
use super::node::{Node, equals};
use super::{JsonPath, PathError};
use crate::java_regex::Pattern;

/// What stands in `[?(…)]`.
pub(super) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    /// Does the path find something?
    Exists {
        path: JsonPath,
        exists: bool,
    },
    Compare {
        left: Operand,
        operator: Operator,
        right: Operand,
    },
}

/// One side of a comparison.
pub(super) enum Operand {
    Path(JsonPath),
    Literal(Literal),
    Pattern(Box<Pattern>),
}

#[derive(Clone, Copy)]
pub(super) enum Operator {
    Equal,
    SameTypeAndEqual,
    NotEqual,
    NotSameTypeOrEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    In,
    NotIn,
    Contains,
    Size,
    Empty,
    SubsetOf,
    AnyOf,
    NoneOf,
    /// Operators that the library knows and no text can satisfy.
    Never,
}

impl Operator {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "==" => Self::Equal,
            "===" => Self::SameTypeAndEqual,
            "!=" => Self::NotEqual,
            "!==" => Self::NotSameTypeOrEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "=~" => Self::Matches,
            "IN" => Self::In,
            "NIN" => Self::NotIn,
            "CONTAINS" => Self::Contains,
            "SIZE" => Self::Size,
            "EMPTY" => Self::Empty,
            "SUBSETOF" => Self::SubsetOf,
            "ANYOF" => Self::AnyOf,
            "NONEOF" => Self::NoneOf,
            "ALL" | "TYPE" | "MATCHES" | "EXISTS" => Self::Never,
            _ => return None,
        })
    }
}

/// Where a predicate is asked.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// `@`.
    pub item: Value<'a>,
    /// `$`.
    pub root: Value<'a>,
    pub arena: &'a Arena,
}

impl Condition {
    /// Does the value meet it? What is asked in vain of a value is not met.
    pub fn accepts(&self, place: &Place<'_>) -> Result<bool, PathError> {
        match self.holds(place) {
            Err(PathError::Invalid(_) | PathError::NotFound(_)) => Ok(false),
            answer => answer,
        }
    }

    fn holds(&self, place: &Place<'_>) -> Result<bool, PathError> {
        match self {
            Self::Any(list) => {
                for one in list {
                    if one.holds(place)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::All(list) => {
                for one in list {
                    if !one.holds(place)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Not(one) => Ok(!one.holds(place)?),
            Self::Exists { path, exists } => {
                let start = if path.from_root { place.root } else { place.item };
                let found = match find(path, start, place.root, true, place.arena) {
                    Ok(found) => !(found.is_empty() && path.is_definite()),
                    Err(PathError::NotFound(_)) => false,
                    Err(error) => return Err(error),
                };
                Ok(found == *exists)
            }
            Self::Compare { left, operator, right } => {
                let (left, right) = (left.node(place)?, right.node(place)?);
                compare(&left, *operator, &right)
            }
        }
    }
}

impl Operand {
    fn node<'n>(&'n self, place: &Place<'n>) -> Result<Node<'n>, PathError> {
        let path = match self {
            Self::Literal(literal) => return Ok(Node::of_literal(literal)),
            Self::Pattern(pattern) => return Ok(Node::Pattern(pattern)),
            Self::Path(path) => path,
        };
        let start = if path.from_root { place.root } else { place.item };
        match find(path, start, place.root, false, place.arena) {
            Ok(found) if path.is_definite() => match found.last() {
                Some(value) => Node::of_value(*value, place.arena),
                None => Ok(Node::Undefined),
            },
            Ok(found) => Ok(Node::Value(Value::Array(found))),
            Err(PathError::NotFound(_)) => Ok(Node::Undefined),
            Err(error) => Err(error),
        }
    }
}

fn compare(left: &Node<'_>, operator: Operator, right: &Node<'_>) -> Result<bool, PathError> {
    let order = |accepted: fn(Ordering) -> bool| match (left, right) {
        (Node::Number(left), Node::Number(right)) => accepted(left.compare(right)),
        // As Java's strings, by UTF-16 units.
        (Node::Text(left), Node::Text(right)) => {
            accepted(left.encode_utf16().cmp(right.encode_utf16()))
        }
        _ => false,
    };
    Ok(match operator {
        Operator::Equal => equals(left, right)?,
        Operator::NotEqual => !equals(left, right)?,
        Operator::SameTypeAndEqual => left.same_class(right) && equals(left, right)?,
        Operator::NotSameTypeOrEqual => !(left.same_class(right) && equals(left, right)?),
        Operator::Less => order(Ordering::is_lt),
        Operator::LessOrEqual => order(Ordering::is_le),
        Operator::Greater => order(Ordering::is_gt),
        Operator::GreaterOrEqual => order(Ordering::is_ge),
        Operator::Matches => matches(left, right)?,
        Operator::In => is_in(left, right)?,
        Operator::NotIn => !is_in(left, right)?,
        Operator::Contains => match (left, right) {
            (Node::Text(left), Node::Text(right)) => left.contains(right),
            (left, right) => match left.items() {
                Some(items) => items.contain(right)?,
                None => false,
            },
        },
        Operator::Size => match right {
            Node::Number(size) => left.size().is_some_and(|own| own.compare(size).is_eq()),
            _ => false,
        },
        Operator::Empty => match right {
            Node::Bool(empty) => left.is_empty().is_some_and(|own| own == *empty),
            _ => return Err(not_a("boolean")),
        },
        Operator::SubsetOf => meet(left, right, |found, all| found == all)?,
        Operator::AnyOf => meet(left, right, |found, _| found > 0)?,
        Operator::NoneOf => meet(left, right, |found, _| found == 0)?,
        Operator::Never => return Err(not_a("value of that operator")),
    })
}

fn not_a(what: &str) -> PathError {
    PathError::Invalid(format!("Expected a {what}"))
}

fn is_in(left: &Node<'_>, right: &Node<'_>) -> Result<bool, PathError> {
    match (right.items(), right.is_json()) {
        (Some(items), _) => items.contain(left),
        (None, true) => Ok(false),
        (None, false) => Err(not_a("list")),
    }
}

/// How many of the left list's items are in the right one, judged.
fn meet(
    left: &Node<'_>,
    right: &Node<'_>,
    judge: fn(usize, usize) -> bool,
) -> Result<bool, PathError> {
    for side in [right, left] {
        if !side.is_json() {
            return Err(not_a("list"));
        }
    }
    let (Some(left), Some(right)) = (left.items(), right.items()) else { return Ok(false) };
    let mut found = 0;
    for at in 0..left.len() {
        found += usize::from(right.contain(&left.get(at)?)?);
    }
    Ok(judge(found, left.len()))
}

fn matches(left: &Node<'_>, right: &Node<'_>) -> Result<bool, PathError> {
    let (pattern, other) = match (left, right) {
        (Node::Pattern(_), Node::Pattern(_)) => return Ok(false),
        (Node::Pattern(pattern), other) | (other, Node::Pattern(pattern)) => (pattern, other),
        _ => return Ok(false),
    };
    let Some(items) = other.items() else { return Ok(pattern.matches(&other.input())?) };
    for at in 0..items.len() {
        if pattern.matches(&items.get(at)?.input())? {
            return Ok(true);
        }
    }
    Ok(false)
}
