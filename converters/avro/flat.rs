//! A program for JSON text without calls: what a record of records of scalars comes to when it is
//! unrolled into one list of steps.
//!
//! [`super::to_json`] walks the program's tree and appends piece by piece; each piece waits for the
//! length that the one before has left in memory. A flat list is run by one loop
//! ([`super::flat_json`]) whose places in the input and in the text never leave the processor's
//! registers. Records, records that may be null, scalars, scalars that may be null and arrays of
//! scalars are unrolled; a program with anything else has no flat form.

use super::program::{At, Op, Program};
use crate::data::Schema;
use crate::json::text::write_string;

/// Bytes of a step's text, all of which are copied at once.
pub(super) const LEAD: usize = 32;

/// Steps of a program, at most.
const MAX_STEPS: usize = 4096;

/// In place of a null's place in a union: not a union.
pub(super) const NEVER: u8 = u8::MAX;

/// Text, then a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Ends with the quote that opens a string, which a null in its place has not.
    pub lead: [u8; LEAD],
    pub lead_len: u8,
    /// The place of null in the union, or [`NEVER`].
    pub null: u8,
    pub value: Flat,
    /// The step that a null and an array without items go on with; of [`Flat::More`], the items'.
    pub jump: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Flat {
    /// Text alone.
    Nothing,
    String,
    Int64,
    Int32,
    Double,
    Boolean,
    /// The JSON texts of the symbols, from the first on.
    Enum {
        first: u16,
        count: u16,
    },
    /// A scalar as the tree's walk has it.
    Other(Op),
    /// An array begins: the step of its items is next.
    Array,
    /// Behind an item: another, or the array's end.
    More,
}

/// See the module's doc.
#[derive(Debug, Default)]
pub(super) struct FlatProgram {
    pub steps: Vec<Step>,
    /// JSON texts of enums' symbols.
    pub symbols: Vec<Box<[u8]>>,
}

impl FlatProgram {
    /// `None`: the program holds what is not unrolled.
    pub fn of(program: &Program) -> Option<Self> {
        let schema = program.schema.as_deref().filter(|_| program.as_json)?;
        let mut unrolling = Unrolling { program, flat: Self::default(), text: Vec::new() };
        unrolling.value(program.root, schema)?;
        unrolling.text();
        Some(unrolling.flat)
    }
}

struct Unrolling<'p> {
    program: &'p Program,
    flat: FlatProgram,
    /// Text in front of the next step.
    text: Vec<u8>,
}

impl Unrolling<'_> {
    fn value(&mut self, at: At, schema: &Schema) -> Option<()> {
        let node = self.program.nodes.get(at as usize)?;
        match node.op {
            Op::Optional { null, inner } => {
                if self.program.literal(&node.null) != b"null" {
                    return None;
                }
                match self.program.op(inner) {
                    Op::Record(number) => {
                        let branch = self.step(Flat::Nothing, null)?;
                        self.record(number, schema)?;
                        self.text();
                        self.jump_here(branch)
                    }
                    op => self.one(op, schema, null),
                }
            }
            Op::Record(number) => self.record(number, schema),
            op => self.one(op, schema, NEVER),
        }
    }

    /// A scalar, or an array of them.
    fn one(&mut self, op: Op, schema: &Schema, null: u8) -> Option<()> {
        let Op::Array(items) = op else {
            let value = self.scalar(op, schema)?;
            let branch = self.step(value, null)?;
            return self.jump_here(branch);
        };
        let array = self.step(Flat::Array, null)?;
        let item = match self.program.op(items) {
            // Items without bytes are counted by the walk.
            Op::Fixed(0) => return None,
            op => self.scalar(op, schema.value_schema.as_deref()?)?,
        };
        let item = self.step(item, NEVER)?;
        let more = self.step(Flat::More, NEVER)?;
        self.flat.steps[more].jump = u32::try_from(item).ok()?;
        self.jump_here(array)
    }

    /// That step's jump is to what comes now.
    fn jump_here(&mut self, step: usize) -> Option<()> {
        self.flat.steps[step].jump = u32::try_from(self.flat.steps.len()).ok()?;
        Some(())
    }

    fn record(&mut self, number: u32, schema: &Schema) -> Option<()> {
        let record = self.program.records.get(number as usize)?;
        if record.count == 0 {
            self.text.push(b'{');
        }
        for (at, field) in (record.first..record.first + record.count).zip(&schema.fields) {
            let lead = &self.program.nodes.get(at as usize)?.lead;
            self.text.extend_from_slice(self.program.literal(lead));
            self.value(at, &field.schema)?;
        }
        self.text.push(b'}');
        Some(())
    }

    fn scalar(&mut self, op: Op, schema: &Schema) -> Option<Flat> {
        Some(match op {
            Op::String => Flat::String,
            Op::Int64 | Op::Timestamp => Flat::Int64,
            Op::Int32 | Op::Date => Flat::Int32,
            Op::Double => Flat::Double,
            Op::Boolean => Flat::Boolean,
            Op::Int8 | Op::Int16 | Op::Time | Op::Float | Op::Bytes | Op::Fixed(_) => {
                Flat::Other(op)
            }
            Op::Enum { first, count, cut } => {
                let known = u16::try_from(self.flat.symbols.len()).ok()?;
                let (from, cut) = (usize::from(first), usize::from(cut));
                for (key, _) in schema.parameters.get(from..from + usize::from(count))? {
                    let mut text = Vec::new();
                    write_string(key.get(cut..)?, &mut text);
                    self.flat.symbols.push(text.into());
                }
                Flat::Enum { first: known, count }
            }
            _ => return None,
        })
    }

    /// What is left of the text becomes steps.
    fn text(&mut self) {
        for part in std::mem::take(&mut self.text).chunks(LEAD) {
            self.push(part, Flat::Nothing, NEVER);
        }
    }

    /// A step with the text that was left.
    fn step(&mut self, value: Flat, null: u8) -> Option<usize> {
        let mut text = std::mem::take(&mut self.text);
        text.extend(matches!(value, Flat::String).then_some(b'"'));
        // The quote stands with its value.
        let (before, last) = text.split_at(text.len().saturating_sub(1) / LEAD * LEAD);
        for part in before.chunks(LEAD) {
            self.push(part, Flat::Nothing, NEVER);
        }
        self.push(last, value, null);
        (self.flat.steps.len() <= MAX_STEPS).then(|| self.flat.steps.len() - 1)
    }

    fn push(&mut self, text: &[u8], value: Flat, null: u8) {
        let mut lead = [0; LEAD];
        lead[..text.len()].copy_from_slice(text);
        self.flat.steps.push(Step { lead, lead_len: text.len() as u8, null, value, jump: 0 });
    }
}

#[cfg(test)]
#[path = "flat_tests.rs"]
mod tests;
