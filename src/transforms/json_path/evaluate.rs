//! A path is followed through data.

use bumpalo::collections::Vec as BumpVec;
use millrace_converters::json::{find_path, parse_text};
use millrace_converters::{Arena, Value};

use super::condition::{Condition, Place};
use super::node::Node;
use super::{Function, JsonPath, PathError, Step};
use crate::requirements::field_value;

/// What the path finds from `item`; `strict`: members that a path asks for must be there.
pub(super) fn find<'a>(
    path: &JsonPath,
    item: Value<'a>,
    root: Value<'a>,
    strict: bool,
    arena: &'a Arena,
) -> Result<&'a [Value<'a>], PathError> {
    let mut walk = Walk { path, root, strict, arena, found: arena.vec() };
    walk.step(0, item)?;
    Ok(walk.found.into_bump_slice())
}

struct Walk<'p, 'a> {
    path: &'p JsonPath,
    root: Value<'a>,
    strict: bool,
    arena: &'a Arena,
    found: BumpVec<'a, Value<'a>>,
}

fn is_map(value: &Value<'_>) -> bool {
    match value {
        Value::Map(_) | Value::Struct(_) => true,
        Value::Json(text) => text.src.first() == Some(&b'{'),
        _ => false,
    }
}

fn is_list(value: &Value<'_>) -> bool {
    match value {
        Value::Array(_) => true,
        Value::Json(text) => text.src.first() == Some(&b'['),
        _ => false,
    }
}

/// The member of that name. Of JSON text no other member is parsed.
fn member<'a>(
    value: Value<'a>,
    name: &str,
    arena: &'a Arena,
) -> Result<Option<Value<'a>>, PathError> {
    Ok(match value {
        Value::Map(map) => {
            let found = map.iter().find(|(key, _)| key.as_str() == Some(name));
            found.map(|(_, value)| *value)
        }
        Value::Struct(data) => {
            let found = data.schema.field(name);
            found.map(|(index, _)| field_value(data, index, true, arena))
        }
        Value::Json(text) => find_path(text, &[name], arena)?,
        _ => None,
    })
}

fn parsed<'a>(value: Value<'a>, arena: &'a Arena) -> Result<Value<'a>, PathError> {
    match value {
        Value::Json(text) => Ok(parse_text(text, arena)?),
        value => Ok(value),
    }
}

impl<'a> Walk<'_, 'a> {
    /// Is there but one way to the step?
    fn definite_before(&self, at: usize) -> bool {
        at <= self.path.indefinite
    }

    fn step(&mut self, at: usize, model: Value<'a>) -> Result<(), PathError> {
        let path = self.path;
        let Some(step) = path.steps.get(at) else {
            self.found.push(model);
            return Ok(());
        };
        match step {
            Step::Property(name) => self.property(at, model, name),
            Step::Properties(names) if at + 1 == path.steps.len() => self.merged(at, model, names),
            Step::Properties(names) => {
                names.iter().try_for_each(|name| self.property(at, model, name))
            }
            Step::Indexes(list) => {
                let Some(items) = self.items(at, model)? else { return Ok(()) };
                list.iter().try_for_each(|index| self.index(at, items, *index))
            }
            Step::Slice(from, to) => {
                let Some(items) = self.items(at, model)? else { return Ok(()) };
                slice(items, *from, *to).iter().try_for_each(|item| self.step(at + 1, *item))
            }
            Step::Wildcard => self.each(at, model),
            Step::Scan => self.scan(at + 1, model),
            Step::Filter(condition) => self.filter(at, model, condition),
            Step::Function(function) => {
                let value = self.call(*function, model)?;
                self.found.push(value);
                Ok(())
            }
        }
    }

    fn property(&mut self, at: usize, model: Value<'a>, name: &str) -> Result<(), PathError> {
        if !is_map(&model) {
            return self.no_object(at, name);
        }
        if let Some(value) = member(model, name, self.arena)? {
            return self.step(at + 1, value);
        }
        let missing = if at + 1 == self.path.steps.len() {
            self.strict
        } else {
            self.strict || at < self.path.indefinite
        };
        match missing {
            true => Err(PathError::NotFound(format!("Missing property {name} in the path"))),
            false => Ok(()),
        }
    }

    fn no_object(&self, at: usize, name: &str) -> Result<(), PathError> {
        match self.definite_before(at) {
            true => Err(PathError::NotFound(format!("Expected an object with property {name}"))),
            false => Ok(()),
        }
    }

    /// `['a','b']` at the end: one object of those that are there.
    fn merged(&mut self, at: usize, model: Value<'a>, names: &[String]) -> Result<(), PathError> {
        if !is_map(&model) {
            return self.no_object(at, &names[0]);
        }
        let mut map = BumpVec::new_in(self.arena.bump());
        for name in names {
            match member(model, name, self.arena)? {
                Some(value) => map.push((Value::Str(self.arena.alloc_str(name)), value)),
                None if self.strict => {
                    return Err(PathError::NotFound(format!("Missing property {name}")));
                }
                None => {}
            }
        }
        self.found.push(Value::Map(map.into_bump_slice()));
        Ok(())
    }

    /// The items of what should be a list.
    fn items(&self, at: usize, model: Value<'a>) -> Result<Option<&'a [Value<'a>]>, PathError> {
        match parsed(model, self.arena)? {
            Value::Array(items) => Ok(Some(items)),
            _ if self.definite_before(at) => {
                Err(PathError::NotFound("An index can only be applied to a list".to_owned()))
            }
            _ => Ok(None),
        }
    }

    fn index(&mut self, at: usize, items: &'a [Value<'a>], index: i32) -> Result<(), PathError> {
        let index = i64::from(index);
        let index = if index < 0 { items.len() as i64 + index } else { index };
        match usize::try_from(index).ok().and_then(|index| items.get(index)) {
            Some(item) => self.step(at + 1, *item),
            None => Ok(()),
        }
    }

    fn each(&mut self, at: usize, model: Value<'a>) -> Result<(), PathError> {
        match parsed(model, self.arena)? {
            Value::Map(map) => map.iter().try_for_each(|(_, value)| self.step(at + 1, *value)),
            Value::Struct(data) => (0..data.schema.fields.len()).try_for_each(|index| {
                let value = field_value(data, index, true, self.arena);
                self.step(at + 1, value)
            }),
            Value::Array(items) => {
                items.iter().try_for_each(|item| match self.step(at + 1, *item) {
                    Err(PathError::NotFound(_)) if !self.strict => Ok(()),
                    answer => answer,
                })
            }
            _ => Ok(()),
        }
    }

    fn accepts(&self, condition: &Condition, item: Value<'a>) -> Result<bool, PathError> {
        condition.accepts(&Place { item, root: self.root, arena: self.arena })
    }

    fn filter(
        &mut self,
        at: usize,
        model: Value<'a>,
        condition: &Condition,
    ) -> Result<(), PathError> {
        if is_map(&model) {
            return match self.accepts(condition, model)? {
                true => self.step(at + 1, model),
                false => Ok(()),
            };
        }
        let Value::Array(items) = parsed(model, self.arena)? else {
            return match self.definite_before(at) {
                true => {
                    Err(PathError::Invalid("A filter can not be applied to primitives".to_owned()))
                }
                false => Ok(()),
            };
        };
        for item in items {
            if self.accepts(condition, *item)? {
                self.step(at + 1, *item)?;
            }
        }
        Ok(())
    }

    /// The step at `at` here and on everything below.
    fn scan(&mut self, at: usize, model: Value<'a>) -> Result<(), PathError> {
        let path = self.path;
        let model = parsed(model, self.arena)?;
        let here = match path.steps.get(at) {
            Some(Step::Property(name)) => {
                is_map(&model) && member(model, name, self.arena)?.is_some()
            }
            Some(Step::Properties(names)) if at + 1 == path.steps.len() => {
                let mut all = is_map(&model);
                for name in names {
                    all = all && member(model, name, self.arena)?.is_some();
                }
                all
            }
            Some(Step::Properties(_)) => is_map(&model),
            Some(Step::Indexes(_) | Step::Slice(..)) => is_list(&model),
            Some(Step::Wildcard) => is_map(&model) || is_list(&model),
            Some(Step::Filter(condition)) => {
                (is_map(&model) || is_list(&model)) && self.accepts(condition, model)?
            }
            _ => false,
        };
        if here {
            self.step(at, model)?;
        }
        match model {
            Value::Map(map) => map.iter().try_for_each(|(_, value)| self.scan(at, *value)),
            Value::Array(items) => items.iter().try_for_each(|item| self.scan(at, *item)),
            Value::Struct(data) => (0..data.schema.fields.len())
                .try_for_each(|index| self.scan(at, field_value(data, index, true, self.arena))),
            _ => Ok(()),
        }
    }

    fn call(&self, function: Function, model: Value<'a>) -> Result<Value<'a>, PathError> {
        let model = parsed(model, self.arena)?;
        let Value::Array(items) = model else {
            return match (function, model) {
                (Function::Length, Value::Map(map)) => Ok(Value::Int32(map.len() as i32)),
                (Function::Length, Value::Struct(data)) => {
                    Ok(Value::Int32(data.schema.fields.len() as i32))
                }
                (Function::Length, _) => Ok(Value::Null),
                _ => Err(nothing_to_aggregate()),
            };
        };
        let numbers = items.iter().filter_map(|item| match Node::of_value(*item, self.arena) {
            Ok(Node::Number(number)) => number.text().parse::<f64>().ok(),
            _ => None,
        });
        let count = numbers.clone().count();
        if count == 0 && !matches!(function, Function::Length | Function::First | Function::Last) {
            return Err(nothing_to_aggregate());
        }
        Ok(match function {
            Function::Length => Value::Int32(items.len() as i32),
            Function::First => items.first().copied().unwrap_or_default(),
            Function::Last => items.last().copied().unwrap_or_default(),
            Function::Min => Value::Float64(numbers.fold(f64::INFINITY, f64::min)),
            Function::Max => Value::Float64(numbers.fold(f64::NEG_INFINITY, f64::max)),
            Function::Sum => Value::Float64(numbers.sum()),
            Function::Average => Value::Float64(numbers.sum::<f64>() / count as f64),
        })
    }
}

#[cold]
fn nothing_to_aggregate() -> PathError {
    PathError::Failed("An aggregation function was applied to no numbers".to_owned())
}

/// `[from:to]` of a list.
fn slice<'a>(items: &'a [Value<'a>], from: Option<i32>, to: Option<i32>) -> &'a [Value<'a>] {
    let length = items.len() as i64;
    let (from, to) = (from.map(i64::from), to.map(i64::from));
    let (from, to) = match (from, to) {
        // With both given the library does not count from the end.
        (Some(from), Some(to)) => (from, to.min(length)),
        (Some(from), None) => (if from < 0 { length + from } else { from }, length),
        (None, Some(to)) => (0, if to < 0 { length + to } else { to.min(length) }),
        (None, None) => (0, length),
    };
    let from = from.max(0);
    if from >= to { &[] } else { &items[from as usize..to as usize] }
}
