//! A schema, compiled: what to make of the JSON text at hand.
//!
//! Made once for each schema id; [`super::decode`] and [`super::exact`] run it. The Connect schema
//! stands beside it: names, defaults and what may be null are found there on the same way down.

use std::sync::Arc;

use super::validate::Validator;
use crate::data::{Field, Schema};
use crate::json::Literal;

/// Place of an operation in [`Ops::list`].
pub(super) type At = u32;

/// One value to read, null aside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    String,
    Bytes,
    Decimal,
    Date,
    Time,
    Timestamp,
    Array(At),
    /// An object whose members are entries.
    Map(At),
    /// An array of objects with a key and a value, whose operations stand here and next.
    Entries(At),
    /// An object: its number in [`Ops::records`].
    Struct(u32),
    /// The struct of that number once more, inside of itself.
    Again(u32),
    /// One of the types whose operations begin here.
    Union(At),
    /// Anything, as a Variant.
    Variant,
}

/// Operations, those of one struct or union next to each other.
#[derive(Debug, Default)]
pub(super) struct Ops {
    pub list: Vec<Op>,
    /// By a struct's number.
    pub records: Vec<Record>,
}

/// A struct's members, as most writers write them: in the order of its fields.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Where the operations of the fields begin.
    pub first: At,
    /// What leads to each field's value, from behind the value before or from the opening brace.
    pub leads: Box<[Literal]>,
    /// The last field is no member: it has those that the schema does not name.
    pub others: bool,
}

impl Record {
    pub fn new<'f>(first: At, fields: impl Iterator<Item = &'f Field>, others: bool) -> Self {
        let lead = |(at, field): (usize, &Field)| {
            Literal::lead(if at == 0 { b'{' } else { b',' }, &field.name)
        };
        let mut leads: Vec<Literal> = fields.enumerate().map(lead).collect();
        leads.truncate(leads.len() - usize::from(others));
        Self { first, leads: leads.into(), others }
    }
}

impl Ops {
    #[inline]
    pub fn get(&self, at: At) -> Op {
        self.list[at as usize]
    }
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct Program {
    pub schema: Arc<Schema>,
    pub ops: Ops,
    pub root: Op,
    /// Text that has just the members and kinds that the schema says may be a sink's JSON as it is.
    pub as_json: bool,
    /// What the text is checked against first.
    pub validator: Option<Validator>,
}
