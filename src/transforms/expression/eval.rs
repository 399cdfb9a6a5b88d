//! Evaluates a [`Node`] over a borrowed record: CEL's semantics on Connect's data.
//!
//! Values stay what they are (an Int32 is compared as an int and passed on as an Int32); what is
//! made goes into the batch's arena. Steps and made bytes are bounded for each evaluation, so that
//! no expression and no record can hold the core.

use std::cell::Cell;

use millrace_api::record::Record;
use millrace_api::transformation::Side;
use millrace_converters::json::parse_text;
use millrace_converters::{Arena, Value};

use super::fault::{Fault, float, int, type_name};
use super::node::{Loop, LoopKind, Name, Node, Operation, Root};
use crate::requirements::field_value;

/// Nodes evaluated, and items and bytes gone through in blocks of 64, for one expression.
const STEPS: usize = 100_000;
/// Bytes made in the arena by one expression.
const ROOM: usize = 4 << 20;

/// A side as the expressions see it.
#[derive(Clone, Copy)]
pub enum Subject<'e, 'a> {
    Datum(Value<'a>),
    /// The members that somebody looks at, by their slots; the rest was never parsed.
    Members(&'e [Option<Value<'a>>]),
}

/// What one record's expressions are evaluated in.
pub struct Env<'e, 'a> {
    record: &'e Record<'a>,
    key: Subject<'e, 'a>,
    value: Subject<'e, 'a>,
    pub(super) arena: &'a Arena,
    steps: Cell<usize>,
    room: Cell<usize>,
}

/// A loop's variable, and the loops further out.
#[derive(Clone, Copy)]
pub struct Scope<'s, 'a> {
    item: Value<'a>,
    out: Option<&'s Scope<'s, 'a>>,
}

pub type Evaluated<'n, 'a> = Result<Value<'a>, Fault<'n>>;
type Scoped<'s, 'a> = Option<&'s Scope<'s, 'a>>;

impl<'e, 'a> Env<'e, 'a> {
    pub fn new(
        record: &'e Record<'a>,
        key: Subject<'e, 'a>,
        value: Subject<'e, 'a>,
        arena: &'a Arena,
    ) -> Self {
        Self { record, key, value, arena, steps: Cell::new(0), room: Cell::new(0) }
    }

    /// One expression's value.
    pub fn value_of<'n>(&self, node: &'n Node) -> Evaluated<'n, 'a> {
        self.steps.set(STEPS);
        self.room.set(ROOM);
        self.eval(node, None)
    }

    /// The same where it stands, or in `room`.
    pub fn see_value_of<'v, 'n>(
        &'v self,
        node: &'n Node,
        room: &'v mut Value<'a>,
    ) -> Result<&'v Value<'a>, Fault<'n>> {
        self.steps.set(STEPS);
        self.room.set(ROOM);
        self.see(node, None, room)
    }

    /// Counts work that grows with the data: `size` items or bytes.
    pub(super) fn work<'n>(&self, size: usize) -> Result<(), Fault<'n>> {
        let left = self.steps.get().checked_sub(1 + size / 64).ok_or(Fault::TooManySteps)?;
        self.steps.set(left);
        Ok(())
    }

    /// Counts bytes that are made.
    pub(super) fn make<'n>(&self, bytes: usize) -> Result<(), Fault<'n>> {
        let left = self.room.get().checked_sub(bytes).ok_or(Fault::TooMuchMemory)?;
        self.room.set(left);
        self.work(bytes)
    }

    pub(super) fn eval<'n>(&self, node: &'n Node, scope: Scoped<'_, 'a>) -> Evaluated<'n, 'a> {
        self.work(0)?;
        Ok(match node {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Boolean(*value),
            Node::Int(number) => Value::Int64(*number),
            Node::Double(number) => Value::Float64(*number),
            Node::Text(text) => self.text(text)?,
            Node::Bytes(bytes) => {
                self.make(bytes.len())?;
                Value::Bytes(self.arena.alloc_bytes(bytes))
            }
            Node::Root(root) => self.root(*root)?,
            Node::Member(side, slot, name) => self.member(*side, *slot, name)?,
            Node::Header(name) => self.header(name).ok_or(Fault::NoHeader(name))?,
            Node::Local(out) => local(scope, *out),
            Node::Field(operand, name) => self.field(self.eval(operand, scope)?, name)?,
            Node::Has(field) => Value::Boolean(self.has(field, scope)?),
            Node::Index(pair) => {
                let index = self.eval(&pair[1], scope)?;
                self.index(self.eval(&pair[0], scope)?, index)?
            }
            Node::IsNull(side, negate) => {
                let null = match self.subject(*side) {
                    Subject::Datum(value) => value.is_null(),
                    Subject::Members(_) => false,
                };
                Value::Boolean(null != *negate)
            }
            Node::Not(operand) => Value::Boolean(!self.truth(operand, scope)?),
            Node::Negate(operand) => self.negate(operand, scope)?,
            Node::And(pair) => Value::Boolean(self.either(pair, scope, false)?),
            Node::Or(pair) => Value::Boolean(self.either(pair, scope, true)?),
            Node::If(parts) => match self.truth(&parts[0], scope)? {
                true => self.eval(&parts[1], scope)?,
                false => self.eval(&parts[2], scope)?,
            },
            Node::Compare(comparison, pair) => {
                Value::Boolean(self.compare(*comparison, pair, scope)?)
            }
            Node::Arithmetic(operation, pair) => self.arithmetic(*operation, pair, scope)?,
            Node::In(pair) => Value::Boolean(self.contained(pair, scope)?),
            Node::List(items) => {
                self.make(items.len() * size_of::<Value<'_>>())?;
                let mut list = crate::requirements::room_for(items.len(), self.arena);
                for item in items {
                    list.push(self.eval(item, scope)?);
                }
                Value::Array(list.into_bump_slice())
            }
            Node::Map(entries) => {
                self.make(entries.len() * 2 * size_of::<Value<'_>>())?;
                let mut map = crate::requirements::room_for(entries.len(), self.arena);
                for (key, value) in entries {
                    map.push((self.eval(key, scope)?, self.eval(value, scope)?));
                }
                Value::Map(map.into_bump_slice())
            }
            Node::Call(function, operands) => self.call(*function, operands, scope)?,
            Node::Matches(text, regex) => self.with_text(text, scope, "matches", |env, text| {
                env.work(text.len() * 8)?;
                regex.is_match(text).map(Value::Boolean).map_err(|_| Fault::Pattern)
            })?,
            Node::Loop(looped) => self.looped(looped, scope)?,
        })
    }

    /// The value where it stands, as an operand is only looked at: to copy one that was just written
    /// has the processor wait for it. What is made stands in `room`.
    pub(super) fn see<'v, 'n>(
        &'v self,
        node: &'n Node,
        scope: Scoped<'_, 'a>,
        room: &'v mut Value<'a>,
    ) -> Result<&'v Value<'a>, Fault<'n>> {
        match node {
            Node::Member(side, slot, name) => {
                self.work(0)?;
                self.see_member(*side, *slot, name, room)
            }
            Node::Field(operand, name) => {
                self.work(0)?;
                let mut own = Value::Null;
                let operand = self.see(operand, scope, &mut own)?;
                self.see_field(operand, name, room)
            }
            Node::Compare(comparison, pair) => {
                self.work(0)?;
                *room = Value::Boolean(self.compare(*comparison, pair, scope)?);
                Ok(room)
            }
            Node::Double(number) => {
                self.work(0)?;
                *room = Value::Float64(*number);
                Ok(room)
            }
            Node::Int(number) => {
                self.work(0)?;
                *room = Value::Int64(*number);
                Ok(room)
            }
            node => {
                *room = self.eval(node, scope)?;
                Ok(room)
            }
        }
    }

    fn see_member<'v, 'n>(
        &'v self,
        side: Side,
        slot: usize,
        name: &'n Name,
        room: &'v mut Value<'a>,
    ) -> Result<&'v Value<'a>, Fault<'n>> {
        let subject = match side {
            Side::Key => &self.key,
            Side::Value => &self.value,
        };
        match subject {
            Subject::Datum(value) => self.see_field(value, name, room),
            Subject::Members(members) => {
                let found = members.get(slot).and_then(Option::as_ref);
                found.ok_or(Fault::NoSuchField(&name.text))
            }
        }
    }

    fn see_field<'v, 'n>(
        &'v self,
        value: &Value<'a>,
        name: &'n Name,
        room: &'v mut Value<'a>,
    ) -> Result<&'v Value<'a>, Fault<'n>> {
        let missing = Fault::NoSuchField(&name.text);
        match value {
            Value::Map(entries) => {
                if let Some((key, value)) = entries.get(name.hint.get())
                    && key.as_str() == Some(&name.text)
                {
                    return Ok(value);
                }
                self.work(entries.len())?;
                let at = entries.iter().position(|(key, _)| key.as_str() == Some(&name.text));
                let at = at.ok_or(missing)?;
                name.hint.set(at);
                Ok(&entries[at].1)
            }
            Value::Struct(data) => {
                let fields = &data.schema.fields;
                let hinted = fields.get(name.hint.get());
                if hinted.is_none_or(|field| *field.name != *name.text) {
                    self.work(fields.len())?;
                    let at = fields.iter().position(|field| *field.name == *name.text);
                    name.hint.set(at.ok_or(missing)?);
                }
                *room = field_value(data, name.hint.get(), true, self.arena);
                Ok(room)
            }
            Value::Json(text) => match parse_text(text, self.arena) {
                Ok(Value::Json(_)) => Err(missing),
                Ok(value) => self.see_field(&value, name, room),
                Err(error) => Err(Fault::Data(Box::new(error))),
            },
            other => Err(Fault::NoFields(&name.text, type_name(other))),
        }
    }

    pub(super) fn text<'n>(&self, text: &str) -> Evaluated<'n, 'a> {
        self.make(text.len())?;
        Ok(Value::Str(self.arena.alloc_str(text)))
    }

    /// Calls `with` with the operand's text; a literal is not copied for it.
    pub(super) fn with_text<'n, R>(
        &self,
        operand: &'n Node,
        scope: Scoped<'_, 'a>,
        what: &'static str,
        with: impl FnOnce(&Self, &str) -> Result<R, Fault<'n>>,
    ) -> Result<R, Fault<'n>> {
        if let Node::Text(text) = operand {
            return with(self, text);
        }
        match self.eval(operand, scope)? {
            Value::Str(text) => with(self, text),
            other => Err(Fault::NoOverload(what, type_name(&other), "")),
        }
    }

    fn subject(&self, side: Side) -> Subject<'e, 'a> {
        match side {
            Side::Key => self.key,
            Side::Value => self.value,
        }
    }

    fn root<'n>(&self, root: Root) -> Evaluated<'n, 'a> {
        let number = |number: Option<i64>| number.map_or(Value::Null, Value::Int64);
        Ok(match root {
            Root::Side(side) => match self.subject(side) {
                Subject::Datum(value) => value,
                // Whoever wants the whole has it as a datum.
                Subject::Members(_) => Value::Null,
            },
            Root::Topic => Value::Str(self.record.topic),
            Root::Partition => number(self.record.partition.map(i64::from)),
            Root::Offset => number(self.record.offset()),
            Root::Timestamp => number(self.record.timestamp),
            Root::Headers => {
                let headers = self.record.headers;
                self.make(headers.len() * 2 * size_of::<Value<'_>>())?;
                let mut map = crate::requirements::room_for(headers.len(), self.arena);
                for header in headers {
                    self.work(map.len())?;
                    crate::requirements::put(&mut map, header.name, header.datum.value);
                }
                Value::Map(map.into_bump_slice())
            }
        })
    }

    fn member<'n>(&self, side: Side, slot: usize, name: &'n Name) -> Evaluated<'n, 'a> {
        self.see_member(side, slot, name, &mut Value::Null).copied()
    }

    fn header(&self, name: &str) -> Option<Value<'a>> {
        let last = self.record.headers.iter().rev().find(|header| header.name == name)?;
        Some(last.datum.value)
    }

    fn field<'n>(&self, value: Value<'a>, name: &'n Name) -> Evaluated<'n, 'a> {
        self.see_field(&value, name, &mut Value::Null).copied()
    }

    /// A map's key is there; a struct's field is there and not null; a header is there.
    fn has<'n>(&self, field: &'n Node, scope: Scoped<'_, 'a>) -> Result<bool, Fault<'n>> {
        let (found, of_struct) = match field {
            Node::Header(name) => return Ok(self.header(name).is_some()),
            Node::Member(side, slot, name) => {
                let subject = self.subject(*side);
                let of_struct = matches!(subject, Subject::Datum(Value::Struct(_)));
                (self.member(*side, *slot, name), of_struct)
            }
            Node::Field(operand, name) => {
                let operand = self.eval(operand, scope)?;
                (self.field(operand, name), matches!(operand, Value::Struct(_)))
            }
            other => (self.eval(other, scope), false),
        };
        match found {
            Ok(value) => Ok(!(of_struct && value.is_null())),
            Err(Fault::NoSuchField(_)) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    fn index<'n>(&self, value: Value<'a>, index: Value<'a>) -> Evaluated<'n, 'a> {
        match (value, int(&index)) {
            (Value::Array(items), Some(at)) => usize::try_from(at)
                .ok()
                .and_then(|at| items.get(at).copied())
                .ok_or(Fault::NoSuchKey),
            (Value::Map(entries), _) => {
                self.work(entries.len())?;
                for (key, value) in entries {
                    if self.equal(key, &index)? {
                        return Ok(*value);
                    }
                }
                Err(Fault::NoSuchKey)
            }
            (Value::Struct(data), _) => {
                self.work(data.schema.fields.len())?;
                let name = index.as_str().ok_or(Fault::NoSuchKey)?;
                let (at, _) = data.schema.field(name).ok_or(Fault::NoSuchKey)?;
                Ok(field_value(data, at, true, self.arena))
            }
            (other, _) => Err(Fault::NoOverload("[]", type_name(&other), type_name(&index))),
        }
    }

    pub(super) fn truth<'n>(
        &self,
        node: &'n Node,
        scope: Scoped<'_, 'a>,
    ) -> Result<bool, Fault<'n>> {
        if let Node::Compare(comparison, pair) = node {
            self.work(0)?;
            return self.compare(*comparison, pair, scope);
        }
        match self.eval(node, scope)? {
            Value::Boolean(value) => Ok(value),
            other => Err(Fault::NotBoolean(type_name(&other))),
        }
    }

    /// `||` with `decisive` true, `&&` with false: the decisive value on either side decides, even
    /// where the other side has no value.
    fn either<'n>(
        &self,
        pair: &'n [Node; 2],
        scope: Scoped<'_, 'a>,
        decisive: bool,
    ) -> Result<bool, Fault<'n>> {
        match self.truth(&pair[0], scope) {
            Ok(first) if first == decisive => Ok(decisive),
            Ok(_) => self.truth(&pair[1], scope),
            Err(fault) if fault.is_limit() => Err(fault),
            Err(fault) => match self.truth(&pair[1], scope) {
                Ok(second) if second == decisive => Ok(decisive),
                Err(second) if second.is_limit() => Err(second),
                _ => Err(fault),
            },
        }
    }

    fn negate<'n>(&self, operand: &'n Node, scope: Scoped<'_, 'a>) -> Evaluated<'n, 'a> {
        let value = self.eval(operand, scope)?;
        match (int(&value), float(&value)) {
            (Some(number), _) => number.checked_neg().map(Value::Int64).ok_or(Fault::Overflow),
            (_, Some(number)) => Ok(Value::Float64(-number)),
            _ => Err(Fault::NoOverload("-", type_name(&value), "")),
        }
    }

    fn arithmetic<'n>(
        &self,
        operation: Operation,
        pair: &'n [Node; 2],
        scope: Scoped<'_, 'a>,
    ) -> Evaluated<'n, 'a> {
        let (mut room, mut other) = (Value::Null, Value::Null);
        let left = self.see(&pair[0], scope, &mut room)?;
        let right = self.see(&pair[1], scope, &mut other)?;
        if let (Some(left), Some(right)) = (int(left), int(right)) {
            return integers(operation, left, right).map(Value::Int64);
        }
        let wide = |value: &Value<'_>| float(value).or_else(|| int(value).map(|int| int as f64));
        if let (Some(left), Some(right)) = (wide(left), wide(right)) {
            return Ok(Value::Float64(match operation {
                Operation::Add => left + right,
                Operation::Subtract => left - right,
                Operation::Multiply => left * right,
                Operation::Divide => left / right,
                Operation::Modulo => return Err(Fault::NoOverload("%", "double", "")),
            }));
        }
        match operation {
            Operation::Add => self.concatenated(*left, *right),
            _ => Err(Fault::NoOverload(operation.symbol(), type_name(left), type_name(right))),
        }
    }

    fn looped<'n>(&self, looped: &'n Loop, scope: Scoped<'_, 'a>) -> Evaluated<'n, 'a> {
        let range = self.eval(&looped.range, scope)?;
        let items = self.items(range)?;
        let mut given = self.arena.vec();
        let mut count = 0;
        // What had no value, unless a later item decides.
        let mut fault = None;
        for item in items {
            let inner = Scope { item: *item, out: scope };
            self.work(0)?;
            let passes = match looped.test.as_ref().map(|test| self.truth(test, Some(&inner))) {
                None => true,
                Some(Ok(passes)) => passes,
                Some(Err(other))
                    if !other.is_limit()
                        && matches!(looped.kind, LoopKind::All | LoopKind::Exists) =>
                {
                    fault = fault.or(Some(other));
                    continue;
                }
                Some(Err(other)) => return Err(other),
            };
            match (looped.kind, &looped.give) {
                (LoopKind::All, _) if !passes => return Ok(Value::Boolean(false)),
                (LoopKind::Exists, _) if passes => return Ok(Value::Boolean(true)),
                (LoopKind::ExistsOne, _) => count += usize::from(passes),
                (LoopKind::Map, Some(give)) if passes => {
                    self.make(size_of::<Value<'_>>())?;
                    given.push(self.eval(give, Some(&inner))?);
                }
                _ => {}
            }
        }
        match (looped.kind, fault) {
            (_, Some(fault)) => Err(fault),
            (LoopKind::Map, None) => Ok(Value::Array(given.into_bump_slice())),
            (LoopKind::ExistsOne, None) => Ok(Value::Boolean(count == 1)),
            (kind, None) => Ok(Value::Boolean(kind == LoopKind::All)),
        }
    }

    /// A list's items, a map's keys.
    fn items<'n>(&self, range: Value<'a>) -> Result<&'a [Value<'a>], Fault<'n>> {
        match range {
            Value::Array(items) => Ok(items),
            Value::Map(entries) => {
                self.make(size_of_val(entries))?;
                let mut keys = crate::requirements::room_for(entries.len(), self.arena);
                keys.extend(entries.iter().map(|(key, _)| *key));
                Ok(keys.into_bump_slice())
            }
            Value::Struct(data) => {
                let fields = &data.schema.fields;
                self.make(size_of_val(&fields[..]))?;
                let mut keys = crate::requirements::room_for(fields.len(), self.arena);
                keys.extend(
                    fields.iter().map(|field| Value::Str(self.arena.alloc_str(&field.name))),
                );
                Ok(keys.into_bump_slice())
            }
            other => Err(Fault::NoOverload("a macro", type_name(&other), "")),
        }
    }
}

fn local<'a>(mut scope: Scoped<'_, 'a>, out: usize) -> Value<'a> {
    for _ in 0..out {
        scope = scope.and_then(|scope| scope.out);
    }
    // The compiler counted the loops.
    scope.map_or(Value::Null, |scope| scope.item)
}

fn integers<'n>(operation: Operation, left: i64, right: i64) -> Result<i64, Fault<'n>> {
    let divided = matches!(operation, Operation::Divide | Operation::Modulo);
    if divided && right == 0 {
        return Err(Fault::DivideByZero);
    }
    let result = match operation {
        Operation::Add => left.checked_add(right),
        Operation::Subtract => left.checked_sub(right),
        Operation::Multiply => left.checked_mul(right),
        Operation::Divide => left.checked_div(right),
        Operation::Modulo => left.checked_rem(right),
    };
    result.ok_or(Fault::Overflow)
}
