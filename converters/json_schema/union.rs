//! Which type of a union the JSON text at hand is of.
//!
//! The first whose kind of value it is; of objects the one that knows most of its members, those in
//! members that are objects counted too.

use super::decode::{Around, Decoder, again, broken};
use super::program::{At, Op};
use crate::converter::DataError;
use crate::data::{Schema, SchemaType, Struct, Value};
use crate::json::{Kind, serialization_error};

/// How far down members count: each level of a union looks at the text below it again.
const LEVELS: usize = 8;

impl<'a> Decoder<'a, '_> {
    /// A struct of which one field is set.
    pub fn union(
        &mut self,
        first: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        into: &mut Value<'a>,
    ) -> Result<(), DataError> {
        self.deeper()?;
        let chosen = self.choose(first, schema, around)?;
        let arena = self.reader.arena;
        let values = arena.bump().alloc_slice_fill_copy(schema.fields.len(), Value::Null);
        let op = self.ops.get(first + chosen as u32);
        self.value(op, &schema.fields[chosen].schema, around, &mut values[chosen])?;
        self.shallower();
        *into = Value::Struct(arena.alloc(Struct { schema, values }));
        Ok(())
    }

    fn choose(
        &mut self,
        first: At,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
    ) -> Result<usize, DataError> {
        let byte = self.reader.scan.peek();
        let integer = match byte {
            b'-' | b'0'..=b'9' => {
                let from = self.reader.scan.at;
                let kind = self.reader.scan.number().map_err(serialization_error)?;
                self.reader.scan.at = from;
                kind == Kind::Integer
            }
            _ => false,
        };
        let mut best = (0, None);
        for (at, field) in schema.fields.iter().enumerate() {
            if is_of(field.schema.type_, byte, integer) {
                return Ok(at);
            }
            if byte == b'{' && field.schema.type_ == SchemaType::Struct {
                let op = self.ops.get(first + at as u32);
                let known = self.known_members(op, &field.schema, around, LEVELS)?;
                if known > best.0 {
                    best = (known, Some(at));
                }
            }
        }
        // To the JVM text is no bytes and only an object may be anything, by the names of its members;
        // where nothing else takes it, it is what they are.
        let anything = || {
            let is = |at: &usize| matches!(self.ops.get(first + *at as u32), Op::Variant);
            (0..schema.fields.len()).find(is)
        };
        let bytes = || {
            let is = |field: &crate::data::Field| field.schema.type_ == SchemaType::Bytes;
            schema.fields.iter().position(is).filter(|_| byte == b'"')
        };
        best.1
            .or_else(anything)
            .or_else(bytes)
            .ok_or_else(|| DataError::new("Did not find matching oneof field for data"))
    }

    /// How many of the members of the object at hand the struct has as fields. Nothing is read.
    fn known_members(
        &mut self,
        op: Op,
        schema: &'a Schema,
        around: Option<&Around<'a, '_>>,
        levels: usize,
    ) -> Result<usize, DataError> {
        let (number, schema, outer) = match op {
            // No data of a Variant, but the JVM looks for its fields as for those of any struct.
            Op::Variant => {
                let mut ahead = self.reader.at_hand();
                let mut known = 0;
                ahead.members(|reader, key| {
                    known += usize::from(schema.field(key).is_some());
                    reader.skip().map(drop)
                })?;
                return Ok(known);
            }
            Op::Struct(number) => (number, schema, around),
            Op::Again(number) => {
                let found = around.map(|around| again(Some(around), number)).transpose()?;
                let found = found.ok_or_else(broken)?;
                (number, found.schema(), found.outer())
            }
            _ => return Ok(0),
        };
        self.deeper()?;
        let inside = Around::new(number, schema, outer);
        let first = self.ops.records[number as usize].first;
        // A reader of its own: nothing is read here.
        let mut ahead = self.reader.at_hand();
        std::mem::swap(&mut self.reader, &mut ahead);
        let known = self.count_members(first, schema, &inside, levels);
        self.reader = ahead;
        self.shallower();
        known
    }

    fn count_members(
        &mut self,
        first: At,
        schema: &'a Schema,
        inside: &Around<'a, '_>,
        levels: usize,
    ) -> Result<usize, DataError> {
        let mut known = 0;
        let mut more = self.reader.enter_object()?;
        while more {
            let key = self.reader.name()?;
            if let Some((at, field)) = schema.field(key) {
                known += 1;
                let object = self.reader.scan.peek() == b'{';
                if levels > 0 && object && field.schema.type_ == SchemaType::Struct {
                    let op = self.ops.get(first + at as u32);
                    known += self.known_members(op, &field.schema, Some(inside), levels - 1)?;
                }
            }
            self.reader.skip()?;
            more = self.reader.more_members()?;
        }
        Ok(known)
    }
}

/// Whether a value that begins with `byte` is one of that type.
fn is_of(type_: SchemaType, byte: u8, integer: bool) -> bool {
    use SchemaType as T;
    let number = matches!(byte, b'-' | b'0'..=b'9');
    match type_ {
        T::Int8 | T::Int16 | T::Int32 | T::Int64 => integer,
        T::Float32 | T::Float64 => number,
        T::Boolean => matches!(byte, b't' | b'f'),
        T::String => byte == b'"',
        T::Bytes => number && !integer,
        T::Array => byte == b'[',
        T::Map => matches!(byte, b'{' | b'['),
        T::Struct => false,
    }
}
