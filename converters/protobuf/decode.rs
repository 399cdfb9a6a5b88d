//! Runs a [`Program`] over a record's bytes: typed values that borrow from them.
//!
//! Text and bytes stay where they are; structs, lists and maps are slices in the arena. Nothing is put
//! on the heap, and what the arena takes is bounded by the record's length. A message that may occur
//! once is read when the message around it has ended: its parts may be anywhere, and count as one.

use bumpalo::collections::Vec as BumpVec;

use super::decode_value::op_wire;
use super::program::{Entry, MessagePlan, Op, Place, Program, Union};
use super::wire::{LEN, START};
use crate::arena::{Arena, added};
use crate::data::{Schema, Struct, Value};
use crate::json::last_wins;
use crate::varint::{Fault, Input};

/// What is wrong, and where in memory the bytes are that are; `None`: nowhere in the record.
#[derive(Debug)]
pub(super) struct Wrong {
    pub why: Fault,
    pub address: Option<usize>,
}

/// Reads the message to where it stays.
pub(super) fn read<'a>(
    program: &Program,
    schema: &'a Schema,
    payload: &'a [u8],
    arena: &'a Arena,
    into: &mut Value<'a>,
) -> Result<(), Wrong> {
    let mut decoder = Decoder {
        program,
        arena,
        depth: 0,
        fields: FIELDS + FIELDS_A_BYTE * payload.len(),
        merged: MERGED + payload.len(),
        address: None,
    };
    let read = decoder.composite(program.root, payload, schema, None, into);
    read.map_err(|why| Wrong { why, address: decoder.address })
}

/// Messages in messages, as Java's reader has it.
const MAX_DEPTH: usize = 100;

/// Fields that structs may have: a message of two bytes can be a struct with many.
const FIELDS: usize = 1 << 18;
const FIELDS_A_BYTE: usize = 64;

/// Bytes of messages that came in parts and are put together.
const MERGED: usize = 1 << 16;

const TOO_DEEP: Fault = "the value nests too deeply";
const TOO_MANY: Fault = "the value has too many fields for its bytes";
const TOO_MANY_PARTS: Fault = "the value comes in too many parts";
const MISSING: Fault = "a required field is missing";
pub(super) const NO_PLAN: Fault = "the schema's plan is broken";

pub(super) struct Decoder<'a, 'p> {
    pub program: &'p Program,
    pub arena: &'a Arena,
    depth: usize,
    /// What is left of [`FIELDS`] and [`MERGED`].
    fields: usize,
    merged: usize,
    /// Where the innermost message could not be read on.
    address: Option<usize>,
}

/// The messages around a value, innermost first: where a message may occur again.
#[derive(Clone, Copy)]
struct Around<'a, 'f> {
    message: u32,
    schema: &'a Schema,
    outer: Option<&'f Around<'a, 'f>>,
}

/// A list or a map that grows.
enum Growth<'a> {
    List(BumpVec<'a, Value<'a>>),
    Map(BumpVec<'a, (Value<'a>, Value<'a>)>),
}

/// A message that is read: its struct's values, and what is not in there yet.
struct Frame<'a, 'p> {
    plan: &'p MessagePlan,
    schema: &'a Schema,
    values: &'a mut [Value<'a>],
    growing: &'a mut [Growth<'a>],
    /// By oneof, one more than the entry that was set last, and its value.
    chosen: &'a mut [(u16, Value<'a>)],
}

impl<'a, 'p> Decoder<'a, 'p> {
    /// Reads a value that is a message on the wire to where it stays: one that is handed from
    /// function to function is written in parts and copied as a whole, for which a processor waits.
    fn composite(
        &mut self,
        op: Op,
        payload: &'a [u8],
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), Fault> {
        if let Op::Message(message) = op {
            return self.message(message, payload, schema, around, into);
        }
        let mut input = Input::new(payload);
        let read = self.special(op, &mut input, into);
        if read.is_err() && self.address.is_none() {
            self.address = Some(payload.as_ptr() as usize + input.at);
        }
        read
    }

    fn message(
        &mut self,
        message: u32,
        payload: &'a [u8],
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), Fault> {
        let plan = self.program.messages.get(message as usize).ok_or(NO_PLAN)?;
        let (mut schema, mut outer) = (schema, around);
        if schema.fields.is_empty() && !plan.template.is_empty() {
            // Inside of itself: the schema is the one further out.
            let mut found = around;
            while let Some(one) = found.filter(|one| one.message != message) {
                found = one.outer;
            }
            let found = found.ok_or(NO_PLAN)?;
            (schema, outer) = (found.schema, found.outer);
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        self.fields = self.fields.checked_sub(plan.template.len()).ok_or(TOO_MANY)?;
        let around = Around { message, schema, outer };
        let mut frame = self.frame(plan, schema);
        let mut input = Input::new(payload);
        let read = self.fields(&mut input, &mut frame, &around);
        if read.is_err() && self.address.is_none() {
            self.address = Some(payload.as_ptr() as usize + input.at);
        }
        read?;
        self.finish(&mut frame, &around)?;
        self.depth -= 1;
        let values = frame.values;
        *into = Value::Struct(self.arena.alloc(Struct { schema, values }));
        Ok(())
    }

    #[inline]
    fn frame(&self, plan: &'p MessagePlan, schema: &'a Schema) -> Frame<'a, 'p> {
        let (arena, bump) = (self.arena, self.arena.bump());
        let template: &[Value<'a>] = &plan.template;
        let growing: &'a mut [Growth<'a>] = match plan.growing.is_empty() {
            true => &mut [],
            false => bump.alloc_slice_fill_iter(plan.growing.iter().map(|one| match one.entry {
                None => Growth::List(arena.vec()),
                Some(_) => Growth::Map(arena.vec()),
            })),
        };
        let chosen: &'a mut [(u16, Value<'a>)] = match plan.unions.is_empty() {
            true => &mut [],
            false => bump.alloc_slice_fill_copy(plan.unions.len(), (0, Value::Null)),
        };
        Frame { plan, schema, values: bump.alloc_slice_copy(template), growing, chosen }
    }

    /// Reads all fields to the message's end.
    fn fields(
        &mut self,
        input: &mut Input<'a>,
        frame: &mut Frame<'a, 'p>,
        around: &Around<'a, '_>,
    ) -> Result<(), Fault> {
        let plan = frame.plan;
        // Writers write fields in the order of their numbers.
        let mut next = 0;
        while input.left() > 0 {
            let tag = input.tag()?;
            let mut at = next;
            let entry = match plan.entries.get(at) {
                Some(entry) if entry.tag == tag => entry,
                _ => match plan.find(tag >> 3) {
                    Some(found) => {
                        at = found;
                        &plan.entries[found]
                    }
                    None => {
                        input.skip(tag)?;
                        continue;
                    }
                },
            };
            next = match entry.place {
                Place::List(_) | Place::Map(_) => at,
                _ => at + 1,
            };
            if !self.field(tag, entry, at, input, frame, around)? {
                input.skip(tag)?;
            }
        }
        Ok(())
    }

    /// Whether the field was read; one of another wire type than the schema's is an unknown one.
    fn field(
        &mut self,
        tag: u32,
        entry: &Entry,
        at: usize,
        input: &mut Input<'a>,
        frame: &mut Frame<'a, 'p>,
        around: &Around<'a, '_>,
    ) -> Result<bool, Fault> {
        match entry.place {
            Place::Slot(slot) if tag == entry.tag => {
                let slot = usize::from(slot);
                let value = &mut frame.values[slot];
                if entry.op.composite() {
                    let part = input.message(tag)?;
                    self.join(value, part)?;
                } else {
                    self.plain(entry.op, input, &frame.schema.fields[slot].schema, value)?;
                }
            }
            Place::Member(group, member) if tag == entry.tag => {
                let mark = at as u16 + 1;
                let group = usize::from(group);
                if entry.op.composite() {
                    let part = input.message(tag)?;
                    let (known, value) = &mut frame.chosen[group];
                    if *known != mark {
                        (*known, *value) = (mark, Value::Null);
                    }
                    self.join(value, part)?;
                } else {
                    let schema = member_schema(frame, group, member)?;
                    let (known, value) = &mut frame.chosen[group];
                    if self.plain(entry.op, input, schema, value)? {
                        *known = mark;
                    }
                }
            }
            Place::List(list) => return self.items(tag, entry, list, input, frame, around),
            Place::Map(list) if tag == entry.tag => {
                let growing = frame.plan.growing[usize::from(list)];
                let schema = &*frame.schema.fields[usize::from(growing.slot)].schema;
                let payload = input.message(tag)?;
                let ops = growing.entry.ok_or(NO_PLAN)?;
                let value_wire = if growing.group_values { START } else { LEN };
                let Growth::Map(entries) = &mut frame.growing[usize::from(list)] else {
                    return Err(NO_PLAN);
                };
                self.entry(ops, value_wire, payload, schema, around, added(entries))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A message's parts so far and one more.
    #[inline]
    fn join(&mut self, value: &mut Value<'a>, part: &'a [u8]) -> Result<(), Fault> {
        match *value {
            Value::Bytes(before) if !before.is_empty() => {
                let length = before.len() + part.len();
                self.merged = self.merged.checked_sub(length).ok_or(TOO_MANY_PARTS)?;
                let both = before.iter().chain(part).copied();
                let mut all = BumpVec::with_capacity_in(length, self.arena.bump());
                all.extend(both);
                *value = Value::Bytes(all.into_bump_slice());
            }
            _ => *value = Value::Bytes(part),
        }
        Ok(())
    }

    /// One item of a repeated field, or many that are packed.
    fn items(
        &mut self,
        tag: u32,
        entry: &Entry,
        list: u16,
        input: &mut Input<'a>,
        frame: &mut Frame<'a, 'p>,
        around: &Around<'a, '_>,
    ) -> Result<bool, Fault> {
        let growing = frame.plan.growing[usize::from(list)];
        let schema = &frame.schema.fields[usize::from(growing.slot)].schema;
        let schema = schema.value_schema.as_deref().ok_or(NO_PLAN)?;
        let (op, wire, own) = (entry.op, tag & 7, op_wire(entry.op));
        let Growth::List(items) = &mut frame.growing[usize::from(list)] else {
            return Err(NO_PLAN);
        };
        if op.composite() {
            if tag != entry.tag {
                return Ok(false);
            }
            let payload = input.message(tag)?;
            self.composite(op, payload, schema, Some(around), added(items))?;
        } else if wire == own {
            if !self.plain(op, input, schema, added(items))? {
                items.pop();
            }
        } else if wire == LEN && own != LEN {
            let packed = input.delimited()?;
            let mut inner = Input::new(packed);
            while inner.left() > 0 {
                let item = self.plain(op, &mut inner, schema, added(items));
                if item.is_err() {
                    self.address = Some(packed.as_ptr() as usize + inner.at);
                }
                if !item? {
                    items.pop();
                }
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// A map's entry: key and value, each what nothing is read as where it is missing.
    fn entry(
        &mut self,
        (key, value): (Op, Op),
        value_wire: u32,
        payload: &'a [u8],
        schema: &'a Schema,
        around: &Around<'a, '_>,
        into: &mut (Value<'a>, Value<'a>),
    ) -> Result<(), Fault> {
        let (Some(keys), Some(values)) = (&schema.key_schema, &schema.value_schema) else {
            return Err(NO_PLAN);
        };
        let mut input = Input::new(payload);
        let read = self.pair((key, value), value_wire, &mut input, keys, values, into);
        if read.is_err() && self.address.is_none() {
            self.address = Some(payload.as_ptr() as usize + input.at);
        }
        let (found_key, found) = read?;
        if !found_key {
            self.zero(key, keys, &mut into.0)?;
        }
        if value.composite() {
            let part = if let Value::Bytes(part) = into.1 { part } else { &[] };
            return self.composite(value, part, values, Some(around), &mut into.1);
        }
        if found { Ok(()) } else { self.zero(value, values, &mut into.1) }
    }

    /// Whether a key and a value were found.
    fn pair(
        &mut self,
        (key, value): (Op, Op),
        value_wire: u32,
        input: &mut Input<'a>,
        keys: &'a Schema,
        values: &'a Schema,
        into: &mut (Value<'a>, Value<'a>),
    ) -> Result<(bool, bool), Fault> {
        let (mut found_key, mut found) = (false, false);
        while input.left() > 0 {
            let tag = input.tag()?;
            match (tag >> 3, tag & 7) {
                (1, wire) if wire == op_wire(key) => {
                    found_key |= self.plain(key, input, keys, &mut into.0)?;
                }
                (2, wire) if wire == value_wire && value.composite() => {
                    let part = input.message(tag)?;
                    self.join(&mut into.1, part)?;
                    found = true;
                }
                (2, wire) if wire == op_wire(value) && !value.composite() => {
                    found |= self.plain(value, input, values, &mut into.1)?;
                }
                _ => input.skip(tag)?,
            }
        }
        Ok((found_key, found))
    }

    /// Puts lists, oneofs and messages into the struct, and what stands for fields that were not
    /// there.
    fn finish(&mut self, frame: &mut Frame<'a, 'p>, around: &Around<'a, '_>) -> Result<(), Fault> {
        let plan = frame.plan;
        for (growth, growing) in frame.growing.iter_mut().zip(&plan.growing) {
            let slot = &mut frame.values[usize::from(growing.slot)];
            match growth {
                Growth::List(items) if !items.is_empty() => {
                    let items = std::mem::replace(items, self.arena.vec());
                    *slot = Value::Array(items.into_bump_slice());
                }
                Growth::Map(entries) if !entries.is_empty() => {
                    let mut entries = std::mem::replace(entries, self.arena.vec());
                    last_wins(&mut entries);
                    *slot = Value::Map(entries.into_bump_slice());
                }
                _ => {}
            }
        }
        for slot in &plan.required {
            if frame.values[usize::from(*slot)].is_null() {
                return Err(MISSING);
            }
        }
        for (slot, op) in &plan.single {
            let slot = usize::from(*slot);
            let schema = &*frame.schema.fields[slot].schema;
            let value = &mut frame.values[slot];
            match *value {
                Value::Bytes(payload) => {
                    self.composite(*op, payload, schema, Some(around), value)?;
                }
                _ if self.program.structs_for_nulls && !self.again(*op, schema) => {
                    self.composite(*op, &[], schema, Some(around), value)?;
                }
                _ => {}
            }
        }
        for group in 0..plan.unions.len() {
            self.union(group, frame, around)?;
        }
        for (slot, late) in &plan.late {
            let slot = usize::from(*slot);
            if frame.values[slot].is_null() {
                let schema = &*frame.schema.fields[slot].schema;
                self.late(late, schema, &mut frame.values[slot])?;
            }
        }
        Ok(())
    }

    /// Whether the message is one of those around: without data it would never end.
    fn again(&self, op: Op, schema: &Schema) -> bool {
        let Op::Message(message) = op else { return false };
        let plan = self.program.messages.get(message as usize);
        schema.fields.is_empty() && plan.is_some_and(|plan| !plan.template.is_empty())
    }

    fn union(
        &mut self,
        group: usize,
        frame: &mut Frame<'a, 'p>,
        around: &Around<'a, '_>,
    ) -> Result<(), Fault> {
        let mark = frame.chosen[group].0;
        let Some(at) = usize::from(mark).checked_sub(1) else { return Ok(()) };
        let entry = frame.plan.entries[at];
        let Place::Member(_, member) = entry.place else { return Err(NO_PLAN) };
        let schema = member_schema(frame, group, member)?;
        let value = &mut frame.chosen[group].1;
        if let Value::Bytes(payload) = *value
            && entry.op.composite()
        {
            self.composite(entry.op, payload, schema, Some(around), value)?;
        }
        match &frame.plan.unions[group] {
            Union::Flat(slots) => {
                frame.values[usize::from(slots[usize::from(member)])] = *value;
            }
            Union::Nested { slot, members } => {
                let count = usize::from(*members);
                self.fields = self.fields.checked_sub(count).ok_or(TOO_MANY)?;
                let values = self.arena.bump().alloc_slice_fill_copy(count, Value::Null);
                values[usize::from(member)] = *value;
                let schema = &*frame.schema.fields[usize::from(*slot)].schema;
                let union = self.arena.alloc(Struct { schema, values });
                frame.values[usize::from(*slot)] = Value::Struct(union);
            }
        }
        Ok(())
    }
}

fn member_schema<'a>(
    frame: &Frame<'a, '_>,
    group: usize,
    member: u16,
) -> Result<&'a Schema, Fault> {
    let schema = frame.schema;
    let field = match frame.plan.unions.get(group).ok_or(NO_PLAN)? {
        Union::Flat(slots) => schema.fields.get(usize::from(slots[usize::from(member)])),
        Union::Nested { slot, .. } => {
            let union = schema.fields.get(usize::from(*slot)).ok_or(NO_PLAN)?;
            union.schema.fields.get(usize::from(member))
        }
    };
    field.map(|field| &*field.schema).ok_or(NO_PLAN)
}
