//! Why an expression has no value for a record.

use std::fmt;

use millrace_converters::{DataError, Value};

/// Cheap to make: `||`, `&&` and the macros may take it back. The text is made when the record
/// fails.
#[derive(Debug)]
pub enum Fault<'n> {
    /// The map or struct has no such field.
    NoSuchField(&'n str),
    /// A field is asked of what has none.
    NoFields(&'n str, &'static str),
    NoHeader(&'n str),
    /// A key or index that is computed is not there.
    NoSuchKey,
    /// No such operation for operands of these types.
    NoOverload(&'static str, &'static str, &'static str),
    NotBoolean(&'static str),
    Overflow,
    DivideByZero,
    /// A text that does not say a value of that type.
    Unreadable(&'static str),
    OutOfRange(&'static str),
    Pattern,
    TooManySteps,
    TooMuchMemory,
    Data(Box<DataError>),
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchField(name) => write!(f, "no such field: {name}"),
            Self::NoFields(name, type_) => write!(f, "no field {name} in a value of type {type_}"),
            Self::NoHeader(name) => write!(f, "no such header: {name}"),
            Self::NoSuchKey => f.write_str("no such key or index"),
            Self::NoOverload(what, one, "") => write!(f, "{what} is not defined for {one}"),
            Self::NoOverload(what, one, other) => {
                write!(f, "{what} is not defined for {one} and {other}")
            }
            Self::NotBoolean(type_) => write!(f, "a bool is wanted, not {type_}"),
            Self::Overflow => f.write_str("the integer overflows"),
            Self::DivideByZero => f.write_str("divided by zero"),
            Self::Unreadable(type_) => write!(f, "the text is no {type_}"),
            Self::OutOfRange(what) => write!(f, "{what} is out of range"),
            Self::Pattern => f.write_str("the pattern gave up on this text"),
            Self::TooManySteps => f.write_str("the evaluation takes too many steps"),
            Self::TooMuchMemory => f.write_str("the evaluation makes too much data"),
            Self::Data(error) => write!(f, "{error}"),
        }
    }
}

impl Fault<'_> {
    /// A limit was reached: nothing takes that back.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooManySteps | Self::TooMuchMemory)
    }
}

/// CEL's name for the type of a value.
pub fn type_name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Boolean(_) => "bool",
        Value::Int8(_) | Value::Int16(_) | Value::Int32(_) | Value::Int64(_) => "int",
        Value::Float32(_) | Value::Float64(_) => "double",
        Value::Str(_) => "string",
        Value::Bytes(_) => "bytes",
        Value::Decimal(_) => "decimal",
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => "timestamp",
        Value::Array(_) => "list",
        Value::Map(_) | Value::Struct(_) => "map",
        Value::Json(_) => "JSON",
    }
}

/// An integer of any width.
pub fn int(value: &Value<'_>) -> Option<i64> {
    Some(match *value {
        Value::Int8(number) => number.into(),
        Value::Int16(number) => number.into(),
        Value::Int32(number) => number.into(),
        Value::Int64(number) => number,
        _ => return None,
    })
}

/// A floating-point number of any width.
pub fn float(value: &Value<'_>) -> Option<f64> {
    match *value {
        Value::Float32(number) => Some(number.into()),
        Value::Float64(number) => Some(number),
        _ => None,
    }
}
