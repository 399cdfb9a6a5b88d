//! Equality and order of CEL: across widths and between int and double, and by content for lists,
//! maps and structs.

use std::cmp::Ordering;

use millrace_converters::{Decimal, Value};

use super::eval::{Env, Scope};
use super::fault::{Fault, float, int, type_name};
use super::node::{Comparison, Node};

/// How deep values are compared; records are not nested deeper, and what is, is not equal.
const MAX_DEPTH: usize = 64;

impl<'a> Env<'_, 'a> {
    pub(super) fn compare<'n>(
        &self,
        comparison: Comparison,
        pair: &'n [Node; 2],
        scope: Option<&Scope<'_, 'a>>,
    ) -> Result<bool, Fault<'n>> {
        let (mut room, mut other) = (Value::Null, Value::Null);
        // The common case, a field against a literal, without a copy of the literal.
        if let Node::Text(text) = &pair[1] {
            let left = self.see(&pair[0], scope, &mut room)?;
            return self.decide(comparison, left, &Value::Str(text));
        }
        let left = self.see(&pair[0], scope, &mut room)?;
        let right = self.see(&pair[1], scope, &mut other)?;
        self.decide(comparison, left, right)
    }

    fn decide<'n>(
        &self,
        comparison: Comparison,
        left: &Value<'_>,
        right: &Value<'_>,
    ) -> Result<bool, Fault<'n>> {
        match comparison {
            Comparison::Equal => return self.equal(left, right),
            Comparison::NotEqual => return self.equal(left, right).map(|equal| !equal),
            _ => {}
        }
        let Some(order) = self.order(left, right)? else {
            let symbol = match comparison {
                Comparison::Less => "<",
                Comparison::LessOrEqual => "<=",
                Comparison::Greater => ">",
                _ => ">=",
            };
            return Err(Fault::NoOverload(symbol, type_name(left), type_name(right)));
        };
        // NaN is in no order with anything.
        Ok(order.is_some_and(|order| match comparison {
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            _ => order.is_ge(),
        }))
    }

    /// `None`: values of these types have no order.
    fn order<'n>(
        &self,
        left: &Value<'_>,
        right: &Value<'_>,
    ) -> Result<Option<Option<Ordering>>, Fault<'n>> {
        if let Some(order) = numbers(left, right) {
            return Ok(Some(order));
        }
        Ok(Some(Some(match (left, right) {
            (Value::Str(left), Value::Str(right)) => {
                self.work(left.len().min(right.len()))?;
                left.cmp(right)
            }
            (Value::Bytes(left), Value::Bytes(right)) => {
                self.work(left.len().min(right.len()))?;
                left.cmp(right)
            }
            (Value::Boolean(left), Value::Boolean(right)) => left.cmp(right),
            (Value::Timestamp(left), Value::Timestamp(right)) => left.cmp(right),
            (Value::Date(left), Value::Date(right)) => left.cmp(right),
            (Value::Time(left), Value::Time(right)) => left.cmp(right),
            _ => return Ok(None),
        })))
    }

    pub(super) fn equal<'n>(&self, left: &Value<'_>, right: &Value<'_>) -> Result<bool, Fault<'n>> {
        self.equal_at(left, right, 0)
    }

    fn equal_at<'n>(
        &self,
        left: &Value<'_>,
        right: &Value<'_>,
        depth: usize,
    ) -> Result<bool, Fault<'n>> {
        self.work(0)?;
        if depth == MAX_DEPTH {
            return Ok(false);
        }
        if let Some(order) = numbers(left, right) {
            return Ok(order == Some(Ordering::Equal));
        }
        Ok(match (left, right) {
            (Value::Null, Value::Null) => true,
            (Value::Boolean(left), Value::Boolean(right)) => left == right,
            (Value::Str(left), Value::Str(right)) => {
                left.len() == right.len() && self.work(left.len()).map(|()| left == right)?
            }
            (Value::Bytes(left), Value::Bytes(right)) => {
                left.len() == right.len() && self.work(left.len()).map(|()| left == right)?
            }
            (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
            (Value::Date(left), Value::Date(right)) => left == right,
            (Value::Time(left), Value::Time(right)) => left == right,
            (Value::Decimal(left), Value::Decimal(right)) => same_decimal(left, right),
            (Value::Array(left), Value::Array(right)) => {
                if left.len() != right.len() {
                    return Ok(false);
                }
                for (left, right) in left.iter().zip(*right) {
                    if !self.equal_at(left, right, depth + 1)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Map(left), Value::Map(right)) => {
                left.len() == right.len() && self.same_entries(left, right, depth)?
            }
            (Value::Struct(left), Value::Struct(right)) => {
                if left.schema.fields.len() != right.schema.fields.len() {
                    return Ok(false);
                }
                for (field, value) in left.schema.fields.iter().zip(left.values) {
                    let Some((at, _)) = right.schema.field(&field.name) else { return Ok(false) };
                    let other = right.values.get(at).copied().unwrap_or_default();
                    if !self.equal_at(value, &other, depth + 1)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => false,
        })
    }

    fn same_entries<'n>(
        &self,
        left: &[(Value<'_>, Value<'_>)],
        right: &[(Value<'_>, Value<'_>)],
        depth: usize,
    ) -> Result<bool, Fault<'n>> {
        for (key, value) in left {
            let mut found = false;
            for (other, candidate) in right {
                if self.equal_at(key, other, depth + 1)? {
                    found = self.equal_at(value, candidate, depth + 1)?;
                    break;
                }
            }
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `x in list`, `x in map`.
    pub(super) fn contained<'n>(
        &self,
        pair: &'n [Node; 2],
        scope: Option<&Scope<'_, 'a>>,
    ) -> Result<bool, Fault<'n>> {
        let (mut room, mut other) = (Value::Null, Value::Null);
        let needle = self.see(&pair[0], scope, &mut room)?;
        // A literal list, as in `value.x in ['a', 'b']`, is not built.
        if let Node::List(items) = &pair[1] {
            for item in items {
                let found = match item {
                    Node::Text(text) => self.equal(needle, &Value::Str(text))?,
                    item => self.equal(needle, &self.eval(item, scope)?)?,
                };
                if found {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        match self.see(&pair[1], scope, &mut other)? {
            Value::Array(items) => {
                for item in *items {
                    if self.equal(needle, item)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::Map(entries) => {
                for (key, _) in *entries {
                    if self.equal(needle, key)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::Struct(data) => {
                self.work(data.schema.fields.len())?;
                Ok(needle.as_str().is_some_and(|name| data.schema.field(name).is_some()))
            }
            other => Err(Fault::NoOverload("in", type_name(needle), type_name(other))),
        }
    }
}

/// `None`: not two numbers. `Some(None)`: a NaN is among them.
fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Option<Ordering>> {
    match (int(left), int(right)) {
        (Some(left), Some(right)) => Some(Some(left.cmp(&right))),
        (Some(left), None) => Some(int_and_float(left, float(right)?)),
        (None, Some(right)) => Some(int_and_float(right, float(left)?).map(Ordering::reverse)),
        (None, None) => Some(float(left)?.partial_cmp(&float(right)?)),
    }
}

/// Exact, also where a double cannot hold the integer.
fn int_and_float(int: i64, float: f64) -> Option<Ordering> {
    match (int as f64).partial_cmp(&float)? {
        // Equal once rounded: such a double is whole and fits.
        Ordering::Equal => Some(i128::from(int).cmp(&(float as i128))),
        order => Some(order),
    }
}

fn same_decimal(left: &Decimal<'_>, right: &Decimal<'_>) -> bool {
    left.scale == right.scale && left.unscaled == right.unscaled
}
