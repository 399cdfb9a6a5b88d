//! Values that are no messages to Connect: scalars, enums, and the messages that stand for one value.

use super::decode::{Decoder, NO_PLAN};
use super::file::Scalar;
use super::logical;
use super::names::loose;
use super::program::{Late, Op};
use super::scalar::wire_type;
use super::wire::{LEN, VARINT};
use crate::data::{Decimal, Schema, Value};
use crate::json::ascii_text;
use crate::varint::{Fault, Input, unzigzag};

const NO_UTF8: Fault = "a string is not UTF-8";
const NO_DIGITS: Fault = "a confluent.type.Decimal has no byte";
const TOO_PRECISE: Fault = "a confluent.type.Decimal has more digits than its precision says";

impl<'a> Decoder<'a, '_> {
    /// What a scalar is where it is not there.
    pub(super) fn zero(
        &mut self,
        op: Op,
        schema: &'a Schema,
        into: &mut Value<'a>,
    ) -> Result<(), Fault> {
        match op {
            Op::LooseString | Op::Scalar(Scalar::String) => *into = Value::Str(""),
            Op::Scalar(Scalar::Bytes) => *into = Value::Bytes(&[]),
            Op::Enum(_) => drop(self.symbol(op, self.first_number(op), schema, into)?),
            Op::EnumNumber(_) => *into = Value::Int32(self.first_number(op)),
            // Eight zeros are the zero of all others.
            op => drop(self.plain(op, &mut Input::new(&[0; 8]), schema, into)?),
        }
        Ok(())
    }

    /// The number of an enum's first symbol, which is its default.
    fn first_number(&self, op: Op) -> i32 {
        let (Op::Enum(plan) | Op::EnumNumber(plan)) = op else { return 0 };
        self.program.enums.get(usize::from(plan)).map_or(0, |plan| plan.first)
    }

    /// Reads a value that is no message to where it stays. False: a number that its enum does not
    /// have, and nothing is put there.
    pub(super) fn plain(
        &mut self,
        op: Op,
        input: &mut Input<'a>,
        schema: &'a Schema,
        into: &mut Value<'a>,
    ) -> Result<bool, Fault> {
        match op {
            Op::Scalar(scalar) | Op::Int8(scalar) | Op::Int16(scalar) => {
                number_or_text(scalar, input, into)?;
                // As Java narrows.
                match (op, &*into) {
                    (Op::Int8(_), Value::Int32(value)) => *into = Value::Int8(*value as i8),
                    (Op::Int16(_), Value::Int32(value)) => *into = Value::Int16(*value as i16),
                    _ => {}
                }
            }
            Op::LooseString => *into = Value::Str(loose(input.delimited()?, self.arena)),
            Op::Enum(_) | Op::EnumNumber(_) => {
                let number = input.varint()? as i32;
                return self.symbol(op, number, schema, into);
            }
            _ => return Err(NO_PLAN),
        }
        Ok(true)
    }

    pub(super) fn symbol(
        &self,
        op: Op,
        number: i32,
        schema: &'a Schema,
        into: &mut Value<'a>,
    ) -> Result<bool, Fault> {
        let (Op::Enum(at) | Op::EnumNumber(at)) = op else { return Err(NO_PLAN) };
        let plan = self.program.enums.get(usize::from(at)).ok_or(NO_PLAN)?;
        let place = plan.find(number);
        if place.is_none() && plan.closed {
            return Ok(false);
        }
        if let Op::EnumNumber(_) = op {
            *into = Value::Int32(number);
            return Ok(true);
        }
        let Some(place) = place else {
            // As Java calls a number that has no name.
            let name = bumpalo::format!(in self.arena.bump(),
                "UNKNOWN_ENUM_VALUE_{}_{number}", plan.name);
            *into = Value::Str(name.into_bump_str());
            return Ok(true);
        };
        let key = schema.parameters.get(usize::from(place));
        let symbol = key.and_then(|(key, _)| key.get(plan.cut.into()..));
        *into = Value::Str(symbol.ok_or(NO_PLAN)?);
        Ok(true)
    }

    /// What stands in a field that is not there.
    pub(super) fn late(
        &self,
        late: &Late,
        schema: &'a Schema,
        into: &mut Value<'a>,
    ) -> Result<(), Fault> {
        match late {
            Late::Text(text) => *into = Value::Str(self.arena.alloc_str(text)),
            Late::Bytes(bytes) => *into = Value::Bytes(self.arena.pin_bytes(bytes)),
            Late::Symbol(plan, number) => {
                self.symbol(Op::Enum(*plan), *number, schema, into)?;
            }
        }
        Ok(())
    }

    /// Messages that are one value to Connect.
    pub(super) fn special(
        &mut self,
        op: Op,
        input: &mut Input<'a>,
        into: &mut Value<'a>,
    ) -> Result<(), Fault> {
        if let Op::Wrapper(scalar) = op {
            return wrapped(scalar, input, into);
        }
        let (mut numbers, mut bytes) = ([0i64; 4], &[][..]);
        while input.left() > 0 {
            let tag = input.tag()?;
            match (tag >> 3, tag & 7) {
                (number @ 1..=4, VARINT) => numbers[number as usize - 1] = input.varint()? as i64,
                (1, LEN) => bytes = input.delimited()?,
                _ => input.skip(tag)?,
            }
        }
        let [first, second, third, fourth] = numbers;
        let (second, third, fourth) = (second as i32, third as i32, fourth as i32);
        *into = match op {
            Op::Timestamp => Value::Timestamp(logical::moment_of(first, second)?),
            Op::Date => Value::Date(logical::days_of(first as i32, second, third)?),
            Op::Time => Value::Time(logical::millis_of(first as i32, second, third, fourth)?),
            Op::Decimal => {
                if bytes.is_empty() {
                    return Err(NO_DIGITS);
                }
                // The JVM would round.
                let precision = second as u32;
                if precision != 0 && logical::digits(bytes) > precision {
                    return Err(TOO_PRECISE);
                }
                let unscaled = logical::minimal(bytes);
                Value::Decimal(self.arena.alloc(Decimal { unscaled, scale: third }))
            }
            _ => return Err(NO_PLAN),
        };
        Ok(())
    }
}

/// The value in a wrapper; zero where there is none.
fn wrapped<'a>(scalar: Scalar, input: &mut Input<'a>, into: &mut Value<'a>) -> Result<(), Fault> {
    match scalar {
        Scalar::String => *into = Value::Str(""),
        Scalar::Bytes => *into = Value::Bytes(&[]),
        other => number_or_text(other, &mut Input::new(&[0; 8]), into)?,
    }
    while input.left() > 0 {
        let tag = input.tag()?;
        if tag == 1 << 3 | wire_type(scalar) {
            number_or_text(scalar, input, into)?;
        } else {
            input.skip(tag)?;
        }
    }
    Ok(())
}

/// The wire type of one value.
#[inline]
pub(super) fn op_wire(op: Op) -> u32 {
    match op {
        Op::Scalar(scalar) | Op::Int8(scalar) | Op::Int16(scalar) => wire_type(scalar),
        Op::Enum(_) | Op::EnumNumber(_) => VARINT,
        _ => LEN,
    }
}

#[inline(always)]
fn number_or_text<'a>(
    scalar: Scalar,
    input: &mut Input<'a>,
    into: &mut Value<'a>,
) -> Result<(), Fault> {
    match scalar {
        Scalar::String => {
            let from = input.at;
            let bytes = input.delimited()?;
            let Some(text) = ascii_text(bytes).or_else(|| std::str::from_utf8(bytes).ok()) else {
                input.at = from;
                return Err(NO_UTF8);
            };
            *into = Value::Str(text);
        }
        Scalar::Int64 | Scalar::Uint64 => *into = Value::Int64(input.varint()? as i64),
        Scalar::Int32 => *into = Value::Int32(input.varint()? as i32),
        Scalar::Double => *into = Value::Float64(f64::from_le_bytes(input.array()?)),
        Scalar::Bool => *into = Value::Boolean(input.varint()? != 0),
        Scalar::Float => *into = Value::Float32(f32::from_le_bytes(input.array()?)),
        Scalar::Uint32 => *into = Value::Int64((input.varint()? as u32).into()),
        Scalar::Sint32 => *into = Value::Int32(unzigzag((input.varint()? as u32).into()) as i32),
        Scalar::Sint64 => *into = Value::Int64(unzigzag(input.varint()?)),
        Scalar::Fixed32 => *into = Value::Int64(u32::from_le_bytes(input.array()?).into()),
        Scalar::Fixed64 | Scalar::Sfixed64 => {
            *into = Value::Int64(i64::from_le_bytes(input.array()?));
        }
        Scalar::Sfixed32 => *into = Value::Int32(i32::from_le_bytes(input.array()?)),
        Scalar::Bytes => *into = Value::Bytes(input.delimited()?),
    }
    Ok(())
}
