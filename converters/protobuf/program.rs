//! A message of a schema, compiled: what each field number becomes in Connect's data.
//!
//! Made once for each schema id, topic and message; [`super::decode`] runs it. A message's plan does
//! not depend on the place where the message stands: schemas come from the Connect schema, which is
//! walked along with the bytes.

use std::sync::Arc;

use super::file::Scalar;
use crate::data::{Schema, Value};

/// One value to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Scalar(Scalar),
    /// A string that may be no UTF-8 (proto2); what is none is replaced, as Java does.
    LooseString,
    /// A number of 32 bits that Connect has as INT8 or INT16.
    Int8(Scalar),
    Int16(Scalar),
    /// By its symbol; the enum's place in [`Program::enums`].
    Enum(u16),
    /// By its number.
    EnumNumber(u16),
    /// The plan's place in [`Program::messages`].
    Message(u32),
    /// The value in a `google.protobuf.StringValue` or its kin.
    Wrapper(Scalar),
    Decimal,
    Date,
    Time,
    Timestamp,
}

impl Op {
    /// Whether the value is a message on the wire.
    pub fn composite(self) -> bool {
        matches!(
            self,
            Self::Message(_)
                | Self::Wrapper(_)
                | Self::Decimal
                | Self::Date
                | Self::Time
                | Self::Timestamp
        )
    }
}

/// Where a field's value goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// A field of the struct.
    Slot(u16),
    /// One of the message's lists or maps, which grow while it is read.
    List(u16),
    Map(u16),
    /// A oneof of the message, and the member of it.
    Member(u16, u16),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Number and wire type, as its writers write it.
    pub tag: u32,
    pub op: Op,
    pub place: Place,
}

/// A repeated field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growing {
    pub slot: u16,
    /// Of a map, what its keys and values are.
    pub entry: Option<(Op, Op)>,
    /// Of a map, whether its values are groups.
    pub group_values: bool,
}

/// A oneof.
#[derive(Clone, Debug)]
pub(super) enum Union {
    /// A field of the struct, which is a struct itself, with as many fields.
    Nested { slot: u16, members: u16 },
    /// Fields of the struct, by member.
    Flat(Box<[u16]>),
}

/// What stands in a field that is not there, beyond what [`MessagePlan::template`] says.
#[derive(Clone, Debug)]
pub(super) enum Late {
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    /// The enum's value.
    Symbol(u16, i32),
}

#[derive(Debug, Default)]
pub(super) struct MessagePlan {
    /// The fields before anything is read.
    pub template: Box<[Value<'static>]>,
    /// By field number.
    pub entries: Box<[Entry]>,
    /// For small field numbers, one more than the entry's place; 0: none.
    pub dense: Box<[u16]>,
    pub growing: Box<[Growing]>,
    pub unions: Box<[Union]>,
    /// Messages that may occur once: they are read when all of their parts are there.
    pub single: Box<[(u16, Op)]>,
    pub late: Box<[(u16, Late)]>,
    /// Fields without which there is no message (proto2).
    pub required: Box<[u16]>,
}

impl MessagePlan {
    /// The place of the entry of that number.
    #[inline]
    pub fn find(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(0) => None,
            Some(at) => Some(usize::from(*at) - 1),
            None => self.entries.binary_search_by_key(&number, |entry| entry.tag >> 3).ok(),
        }
    }
}

/// An enum's numbers, and where their symbols stand among the schema's parameters.
#[derive(Debug)]
pub(super) struct EnumPlan {
    pub name: Box<str>,
    /// By number: the parameter's place.
    pub symbols: Box<[(i32, u16)]>,
    /// Bytes of the parameter's key before the symbol.
    pub cut: u16,
    /// The number of the first symbol that is declared.
    pub first: i32,
    pub closed: bool,
}

impl EnumPlan {
    /// The symbol's place among the parameters.
    #[inline]
    pub fn find(&self, number: i32) -> Option<u16> {
        // Mostly numbers are 0, 1, 2 …
        if let Some((found, place)) =
            usize::try_from(number).ok().and_then(|at| self.symbols.get(at))
            && *found == number
        {
            return Some(*place);
        }
        let at = self.symbols.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.symbols[at].1)
    }
}

/// The whole of it.
#[derive(Debug)]
pub(super) struct Program {
    pub schema: Arc<Schema>,
    pub root: Op,
    pub messages: Vec<MessagePlan>,
    pub enums: Vec<EnumPlan>,
    /// `generate.struct.for.nulls`.
    pub structs_for_nulls: bool,
}
