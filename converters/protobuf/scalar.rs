//! Protobuf's scalars: their wire types, Connect's types, wrappers and defaults.

use super::file::Scalar;
use super::program::Op;
use super::wire::{I32, I64, LEN, VARINT};
use crate::data::{SchemaType, Value};

/// How the scalar is written on the wire.
pub(super) fn wire_type(scalar: Scalar) -> u32 {
    match scalar {
        Scalar::Double | Scalar::Fixed64 | Scalar::Sfixed64 => I64,
        Scalar::Float | Scalar::Fixed32 | Scalar::Sfixed32 => I32,
        Scalar::String | Scalar::Bytes => LEN,
        _ => VARINT,
    }
}

/// Connect's type of a scalar.
pub(super) fn type_of(scalar: Scalar) -> SchemaType {
    match scalar {
        Scalar::Double => SchemaType::Float64,
        Scalar::Float => SchemaType::Float32,
        Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => SchemaType::Int32,
        Scalar::Bool => SchemaType::Boolean,
        Scalar::String => SchemaType::String,
        Scalar::Bytes => SchemaType::Bytes,
        _ => SchemaType::Int64,
    }
}

/// What is in the wrapper of that name.
pub(super) fn wrapper(full: &str) -> Option<Scalar> {
    Some(match full.strip_prefix("google.protobuf.")? {
        "DoubleValue" => Scalar::Double,
        "FloatValue" => Scalar::Float,
        "Int64Value" => Scalar::Int64,
        "UInt64Value" => Scalar::Uint64,
        "Int32Value" => Scalar::Int32,
        "UInt32Value" => Scalar::Uint32,
        "BoolValue" => Scalar::Bool,
        "StringValue" => Scalar::String,
        "BytesValue" => Scalar::Bytes,
        _ => return None,
    })
}

/// `given` or zero; `None`: it does not fit.
pub(super) fn scalar_default(
    scalar: Scalar,
    op: Op,
    given: Option<&str>,
) -> Option<Value<'static>> {
    let float = || match given {
        None => Some(0.0),
        Some("nan" | "-nan") => Some(f64::NAN),
        Some(text) => text.parse::<f64>().ok(),
    };
    let integer = || given.map_or(Some(0), integer_of);
    Some(match (op, scalar) {
        (Op::Int8(_), _) => Value::Int8(integer()? as i8),
        (Op::Int16(_), _) => Value::Int16(integer()? as i16),
        (_, Scalar::Double) => Value::Float64(float()?),
        (_, Scalar::Float) => Value::Float32(float()? as f32),
        (_, Scalar::Bool) => Value::Boolean(given == Some("true")),
        (_, Scalar::String) => Value::Str(""),
        (_, Scalar::Bytes) => Value::Bytes(&[]),
        (_, Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32) => {
            Value::Int32(i32::try_from(integer()?).ok()?)
        }
        (_, Scalar::Uint32 | Scalar::Fixed32) => {
            Value::Int64(u32::try_from(integer()?).ok()?.into())
        }
        (_, Scalar::Uint64 | Scalar::Fixed64) => {
            Value::Int64(u64::try_from(integer()?).ok()? as i64)
        }
        _ => Value::Int64(i64::try_from(integer()?).ok()?),
    })
}

/// Decimal, octal or hexadecimal, with a sign.
pub(super) fn integer_of(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i128::from_str_radix(hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => i128::from_str_radix(digits, 8),
        None => digits.parse(),
    };
    number.ok().and_then(|number| if negative { number.checked_neg() } else { Some(number) })
}
