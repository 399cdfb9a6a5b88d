//! CEL's functions: conversions, and those on texts.

use bumpalo::collections::{String as BumpString, Vec as BumpVec};
use millrace_converters::Value;
use millrace_converters::number_text::BigDecimal;

use super::eval::{Env, Evaluated, Scope};
use super::fault::{Fault, float, int, type_name};
use super::node::{Function, Node};

impl<'a> Env<'_, 'a> {
    pub(super) fn call<'n>(
        &self,
        function: Function,
        operands: &'n [Node],
        scope: Option<&Scope<'_, 'a>>,
    ) -> Evaluated<'n, 'a> {
        let name = function.name();
        match (function, operands) {
            (Function::Contains | Function::StartsWith | Function::EndsWith, [text, part]) => {
                let text = self.string(text, scope, name)?;
                self.with_text(part, scope, name, |env, part| {
                    Ok(Value::Boolean(match function {
                        Function::StartsWith => text.starts_with(part),
                        Function::EndsWith => text.ends_with(part),
                        _ => {
                            env.work(text.len())?;
                            text.contains(part)
                        }
                    }))
                })
            }
            (Function::IndexOf, [text, part]) => {
                let text = self.string(text, scope, name)?;
                self.with_text(part, scope, name, |env, part| {
                    env.work(text.len())?;
                    let at = text.find(part).map(|at| text[..at].chars().count() as i64);
                    Ok(Value::Int64(at.unwrap_or(-1)))
                })
            }
            (Function::Substring, [text, bounds @ ..]) => self.substring(text, bounds, scope),
            (Function::Replace, [text, from, to]) => {
                let text = self.string(text, scope, name)?;
                let from = self.string(from, scope, name)?;
                let to = self.string(to, scope, name)?;
                self.replaced(text, from, to)
            }
            (Function::Split, [text, by]) => {
                let text = self.string(text, scope, name)?;
                let by = self.string(by, scope, name)?;
                self.split(text, by)
            }
            (Function::Join, [list, by @ ..]) => {
                let list = self.eval(list, scope)?;
                let by = match by {
                    [by] => self.string(by, scope, name)?,
                    _ => "",
                };
                self.joined(list, by)
            }
            (_, [operand]) => self.of_one(function, self.eval(operand, scope)?),
            // The compiler counted the operands.
            _ => Err(Fault::NoOverload(name, "these operands", "")),
        }
    }

    fn string<'n>(
        &self,
        operand: &'n Node,
        scope: Option<&Scope<'_, 'a>>,
        name: &'static str,
    ) -> Result<&'a str, Fault<'n>> {
        match self.eval(operand, scope)? {
            Value::Str(text) => Ok(text),
            other => Err(Fault::NoOverload(name, type_name(&other), "")),
        }
    }

    fn of_one<'n>(&self, function: Function, value: Value<'a>) -> Evaluated<'n, 'a> {
        match (function, value) {
            (Function::Dyn, value) => Ok(value),
            (Function::Size, value) => self.size(value),
            (Function::ToString, value) => self.to_string(value),
            (Function::ToInt, value) => to_int(value),
            (Function::ToDouble, value) => to_double(value),
            (Function::ToBool, Value::Boolean(value)) => Ok(Value::Boolean(value)),
            (Function::ToBool, Value::Str(text)) => match text {
                "true" | "True" | "TRUE" | "t" | "1" => Ok(Value::Boolean(true)),
                "false" | "False" | "FALSE" | "f" | "0" => Ok(Value::Boolean(false)),
                _ => Err(Fault::Unreadable("bool")),
            },
            (Function::ToBytes, Value::Bytes(bytes)) => Ok(Value::Bytes(bytes)),
            (Function::ToBytes, Value::Str(text)) => Ok(Value::Bytes(text.as_bytes())),
            (Function::Trim, Value::Str(text)) => {
                self.work(text.len())?;
                Ok(Value::Str(text.trim()))
            }
            (Function::LowerAscii, Value::Str(text)) => {
                self.make(text.len())?;
                let mut lower = BumpString::from_str_in(text, self.arena.bump());
                lower.make_ascii_lowercase();
                Ok(Value::Str(lower.into_bump_str()))
            }
            (Function::UpperAscii, Value::Str(text)) => {
                self.make(text.len())?;
                let mut upper = BumpString::from_str_in(text, self.arena.bump());
                upper.make_ascii_uppercase();
                Ok(Value::Str(upper.into_bump_str()))
            }
            (function, other) => Err(Fault::NoOverload(function.name(), type_name(&other), "")),
        }
    }

    fn size<'n>(&self, value: Value<'a>) -> Evaluated<'n, 'a> {
        let size = match value {
            Value::Str(text) => {
                self.work(text.len())?;
                text.chars().count()
            }
            Value::Bytes(bytes) => bytes.len(),
            Value::Array(items) => items.len(),
            Value::Map(entries) => entries.len(),
            Value::Struct(data) => data.schema.fields.len(),
            other => return Err(Fault::NoOverload("size", type_name(&other), "")),
        };
        Ok(Value::Int64(size as i64))
    }

    fn to_string<'n>(&self, value: Value<'a>) -> Evaluated<'n, 'a> {
        use std::fmt::Write;
        if let Value::Str(_) = value {
            return Ok(value);
        }
        let mut out = BumpString::new_in(self.arena.bump());
        // Writing into a string cannot fail.
        let _ = match (value, int(&value), float(&value)) {
            (_, Some(number), _) => write!(out, "{number}"),
            (_, _, Some(number)) => write_float(number, &mut out),
            (Value::Boolean(value), ..) => write!(out, "{value}"),
            (Value::Bytes(bytes), ..) => {
                self.work(bytes.len())?;
                let text = std::str::from_utf8(bytes).map_err(|_| Fault::Unreadable("string"))?;
                return Ok(Value::Str(text));
            }
            (Value::Decimal(decimal), ..) => {
                let number = BigDecimal::from_bytes(decimal.unscaled, decimal.scale);
                write!(out, "{number}")
            }
            (other, ..) => return Err(Fault::NoOverload("string", type_name(&other), "")),
        };
        self.make(out.len())?;
        Ok(Value::Str(out.into_bump_str()))
    }

    /// `+` of texts, bytes and lists.
    pub(super) fn concatenated<'n>(&self, left: Value<'a>, right: Value<'a>) -> Evaluated<'n, 'a> {
        Ok(match (left, right) {
            (Value::Str(left), Value::Str(right)) => {
                let length = left.len() + right.len();
                self.make(length)?;
                let mut out = BumpString::with_capacity_in(length, self.arena.bump());
                out.push_str(left);
                out.push_str(right);
                Value::Str(out.into_bump_str())
            }
            (Value::Bytes(left), Value::Bytes(right)) => Value::Bytes(self.both(left, right)?),
            (Value::Array(left), Value::Array(right)) => Value::Array(self.both(left, right)?),
            (left, right) => {
                return Err(Fault::NoOverload("+", type_name(&left), type_name(&right)));
            }
        })
    }

    fn both<'n, T: Copy>(&self, left: &[T], right: &[T]) -> Result<&'a [T], Fault<'n>> {
        self.make(size_of_val(left) + size_of_val(right))?;
        let mut out = BumpVec::with_capacity_in(left.len() + right.len(), self.arena.bump());
        out.extend_from_slice_copy(left);
        out.extend_from_slice_copy(right);
        Ok(out.into_bump_slice())
    }

    fn substring<'n>(
        &self,
        text: &'n Node,
        bounds: &'n [Node],
        scope: Option<&Scope<'_, 'a>>,
    ) -> Evaluated<'n, 'a> {
        let text = self.string(text, scope, "substring")?;
        self.work(text.len())?;
        let place = |bound: &'n Node| -> Result<usize, Fault<'n>> {
            let value = self.eval(bound, scope)?;
            let place = int(&value).ok_or(Fault::NoOverload("substring", type_name(&value), ""))?;
            let place = usize::try_from(place).map_err(|_| Fault::OutOfRange("the place"))?;
            let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            starts.nth(place).ok_or(Fault::OutOfRange("the place"))
        };
        let start = bounds.first().map_or(Ok(0), place)?;
        let end = bounds.get(1).map_or(Ok(text.len()), place)?;
        text.get(start..end).map(Value::Str).ok_or(Fault::OutOfRange("the place"))
    }

    fn replaced<'n>(&self, text: &'a str, from: &str, to: &str) -> Evaluated<'n, 'a> {
        self.work(text.len())?;
        let mut out = BumpString::with_capacity_in(text.len(), self.arena.bump());
        let mut at = 0;
        for (found, part) in text.match_indices(from) {
            self.make(found - at + to.len())?;
            out.push_str(&text[at..found]);
            out.push_str(to);
            at = found + part.len();
        }
        self.make(text.len() - at)?;
        out.push_str(&text[at..]);
        Ok(Value::Str(out.into_bump_str()))
    }

    fn split<'n>(&self, text: &'a str, by: &str) -> Evaluated<'n, 'a> {
        self.work(text.len())?;
        let mut parts = self.arena.vec();
        let mut push = |part: &'a str| {
            self.make(size_of::<Value<'_>>())?;
            parts.push(Value::Str(part));
            Ok(())
        };
        if by.is_empty() {
            // As cel-go: one part a character.
            for (at, char) in text.char_indices() {
                push(&text[at..at + char.len_utf8()])?;
            }
        } else {
            for part in text.split(by) {
                push(part)?;
            }
        }
        Ok(Value::Array(parts.into_bump_slice()))
    }

    fn joined<'n>(&self, list: Value<'a>, by: &str) -> Evaluated<'n, 'a> {
        let Value::Array(items) = list else {
            return Err(Fault::NoOverload("join", type_name(&list), ""));
        };
        let mut out = BumpString::new_in(self.arena.bump());
        for (at, item) in items.iter().enumerate() {
            let Value::Str(text) = item else {
                return Err(Fault::NoOverload("join", type_name(item), ""));
            };
            self.make(text.len() + by.len())?;
            if at > 0 {
                out.push_str(by);
            }
            out.push_str(text);
        }
        Ok(Value::Str(out.into_bump_str()))
    }
}

/// The shortest text that reads back, as Go and with it CEL prints it.
fn write_float(number: f64, out: &mut impl std::fmt::Write) -> std::fmt::Result {
    let size = number.abs();
    match number.is_finite() {
        false if number.is_nan() => out.write_str("NaN"),
        false => out.write_str(if number > 0.0 { "+Inf" } else { "-Inf" }),
        true if size == 0.0 || (1e-4..1e21).contains(&size) => write!(out, "{number}"),
        true => write!(out, "{number:e}"),
    }
}

fn to_int<'n, 'a>(value: Value<'a>) -> Evaluated<'n, 'a> {
    if let Some(number) = int(&value) {
        return Ok(Value::Int64(number));
    }
    if let Some(number) = float(&value) {
        // The ends themselves are no i64, or are the rounded neighbours of what is none.
        let fits = number > i64::MIN as f64 && number < i64::MAX as f64;
        return if fits { Ok(Value::Int64(number as i64)) } else { Err(Fault::OutOfRange("int")) };
    }
    match value {
        Value::Str(text) => text.parse().map(Value::Int64).map_err(|_| Fault::Unreadable("int")),
        // As CEL has it: seconds.
        Value::Timestamp(millis) => Ok(Value::Int64(millis.div_euclid(1000))),
        other => Err(Fault::NoOverload("int", type_name(&other), "")),
    }
}

fn to_double<'n, 'a>(value: Value<'a>) -> Evaluated<'n, 'a> {
    if let Some(number) = int(&value) {
        return Ok(Value::Float64(number as f64));
    }
    if let Some(number) = float(&value) {
        return Ok(Value::Float64(number));
    }
    match value {
        Value::Str(text) => {
            text.parse().map(Value::Float64).map_err(|_| Fault::Unreadable("double"))
        }
        Value::Decimal(decimal) => {
            let number = BigDecimal::from_bytes(decimal.unscaled, decimal.scale);
            Ok(Value::Float64(number.double_value()))
        }
        other => Err(Fault::NoOverload("double", type_name(&other), "")),
    }
}
