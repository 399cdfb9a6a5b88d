//! A writer's schema, compiled: what to read, in order, and what it becomes in Connect's data.
//!
//! Made once for each schema id; [`super::decode`] and [`super::to_json`] run it. The Connect schema
//! stands beside it: where an operation makes a struct, its schema is found on the same way down.

use std::ops::Range;
use std::sync::Arc;

use super::flat::FlatProgram;
use crate::data::Schema;

/// Place of an operation in [`Program::nodes`].
pub(super) type At = u32;

/// One value to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float,
    Double,
    String,
    Bytes,
    Fixed(u32),
    Decimal(i32),
    /// Size in bytes, scale.
    FixedDecimal(u32, i32),
    Date,
    Time,
    Timestamp,
    /// The symbols are the schema's parameters from `first` on, behind `cut` bytes of the key.
    Enum {
        first: u16,
        count: u16,
        cut: u16,
    },
    /// A union of null and one type; `null` is the place of null in it.
    Optional {
        null: u8,
        inner: At,
    },
    /// A union of one type, which is not shown.
    Single(At),
    Array(At),
    Map(At),
    /// An array of key and value, which stand at this place and the next.
    Entries(At),
    Record(u32),
    /// The record of that number once more, inside of itself.
    Again(u32),
    Union(u32),
    /// `io.confluent.connect.avro.Anything`: a value without schema.
    Anything,
}

/// An operation and, for JSON, the text before its value: a brace or comma and the member's name.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub op: Op,
    pub lead: Range<usize>,
    /// What JSON says when the value is null.
    pub null: Range<usize>,
}

/// The members of a record or the branches of a union.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub first: At,
    pub count: u32,
}

/// A branch of a union that Connect shows as a struct.
#[derive(Clone, Debug)]
pub(super) enum Branch {
    Null,
    /// The operation, the field of the struct, and JSON's text behind the value.
    Field {
        at: At,
        field: u32,
        tail: Range<usize>,
    },
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct Program {
    /// `None`: values without schema.
    pub schema: Option<Arc<Schema>>,
    pub nodes: Vec<Node>,
    pub root: At,
    pub records: Vec<Record>,
    pub unions: Vec<Vec<Branch>>,
    /// By number, the schemas of the records that occur inside of themselves.
    pub definitions: Vec<Option<Arc<Schema>>>,
    /// JSON texts that never change.
    pub literals: Vec<u8>,
    /// The value may be written as JSON text without the typed value being made.
    pub as_json: bool,
    /// The same for JSON text, unrolled, where that can be.
    pub flat: Option<FlatProgram>,
    /// The payload is the bytes themselves, without a length: the schema is Avro's `bytes`.
    pub raw_bytes: bool,
}

impl Program {
    #[inline]
    pub fn op(&self, at: At) -> Op {
        self.nodes[at as usize].op
    }

    #[inline]
    pub fn literal(&self, range: &Range<usize>) -> &[u8] {
        &self.literals[range.clone()]
    }
}
