//! One value as another primitive type, as Java's `Number` and parsers do it.

use millrace_converters::data::{DATE_NAME, TIME_NAME, TIMESTAMP_NAME};
use millrace_converters::java_text::write_java_text;
use millrace_converters::json::parse_text;
use millrace_converters::number_text::BigDecimal;
use millrace_converters::values::write_text;
use millrace_converters::{Arena, DataError, SchemaAndValue, SchemaType, Value};

/// `Cast.castValueToType`; null stays null. `scratch` is for texts and keeps its memory.
pub fn cast<'a>(
    datum: SchemaAndValue<'a>,
    type_: SchemaType,
    scratch: &mut Vec<u8>,
    arena: &'a Arena,
) -> Result<Value<'a>, DataError> {
    let value = match datum.value {
        Value::Null => return Ok(Value::Null),
        Value::Json(text) => parse_text(text, arena)?,
        value => value,
    };
    input(&value, datum)?;
    if type_ == SchemaType::String {
        return text(value, scratch, arena);
    }
    let value = encoded(value, datum);
    let number = Number::of(value)?;
    Ok(match type_ {
        SchemaType::Int8 => Value::Int8(whole(number, |text| text.parse::<i8>().ok())? as i8),
        SchemaType::Int16 => Value::Int16(whole(number, |text| text.parse::<i16>().ok())? as i16),
        SchemaType::Int32 => Value::Int32(whole(number, |text| text.parse::<i32>().ok())? as i32),
        SchemaType::Int64 => Value::Int64(match number {
            Number::Text(text) => text.parse().map_err(|_| out_of_range(text))?,
            number => number.long(),
        }),
        SchemaType::Float32 => Value::Float32(match number {
            Number::Text(text) => java_float(text).ok_or_else(|| out_of_range(text))?,
            number => number.single(),
        }),
        SchemaType::Float64 => Value::Float64(match number {
            Number::Text(text) => java_float(text).ok_or_else(|| out_of_range(text))?,
            number => number.double(),
        }),
        _ => Value::Boolean(match number {
            Number::Text(text) => text.eq_ignore_ascii_case("true"),
            number => number.long() != 0,
        }),
    })
}

/// What Java's `Number`, `Boolean` and `String` have in common here.
enum Number<'a> {
    Whole(i64),
    Single(f32),
    Double(f64),
    Decimal(BigDecimal),
    Text(&'a str),
}

impl<'a> Number<'a> {
    fn of(value: Value<'a>) -> Result<Self, DataError> {
        Ok(match value {
            Value::Boolean(value) => Self::Whole(value.into()),
            Value::Int8(number) => Self::Whole(number.into()),
            Value::Int16(number) => Self::Whole(number.into()),
            Value::Int32(number) => Self::Whole(number.into()),
            Value::Int64(number) => Self::Whole(number),
            Value::Float32(number) => Self::Single(number),
            Value::Float64(number) => Self::Double(number),
            Value::Decimal(number) => {
                Self::Decimal(BigDecimal::from_bytes(number.unscaled, number.scale))
            }
            Value::Str(text) => Self::Text(text),
            other => {
                let class = other.java_class();
                return Err(DataError::new(format!(
                    "Unexpected type in Cast transformation: class {class}"
                )));
            }
        })
    }

    /// `longValue()`.
    fn long(self) -> i64 {
        match self {
            Self::Whole(number) => number,
            Self::Single(number) => number as i64,
            Self::Double(number) => number as i64,
            Self::Decimal(number) => number.long_value(),
            Self::Text(_) => 0,
        }
    }

    /// `floatValue()`.
    fn single(self) -> f32 {
        match self {
            Self::Whole(number) => number as f32,
            Self::Single(number) => number,
            Self::Double(number) => number as f32,
            Self::Decimal(number) => number.float_value(),
            Self::Text(_) => 0.0,
        }
    }

    /// `doubleValue()`.
    fn double(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Single(number) => number.into(),
            Self::Double(number) => number,
            Self::Decimal(number) => number.double_value(),
            Self::Text(_) => 0.0,
        }
    }
}

/// `intValue()`, from which the narrower ones are cut; texts are parsed at their own width.
fn whole<T: Into<i64>>(
    number: Number<'_>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<i64, DataError> {
    Ok(match number {
        Number::Text(text) => parse(text).ok_or_else(|| out_of_range(text))?.into(),
        // Floating numbers stop at the ends of an int; integers lose their high bits.
        Number::Single(number) => (number as i32).into(),
        Number::Double(number) => (number as i32).into(),
        number => number.long(),
    })
}

#[cold]
fn out_of_range(text: &str) -> DataError {
    DataError::new(format!("Value ({text}) was out of range for requested data type"))
}

/// `Float.parseFloat` and `Double.parseDouble`: white space around, a type letter at the end, `NaN`
/// and `Infinity` by these names alone. Hexadecimal numbers are not read.
fn java_float<T: std::str::FromStr>(text: &str) -> Option<T> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(bare, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    if text.bytes().any(|b| !b.is_ascii_digit() && !b"+-.eE".contains(&b)) {
        return None;
    }
    text.parse().ok()
}

/// Refuses what `Cast` does not take: what has no type of Connect's, and what holds others.
fn input(value: &Value<'_>, datum: SchemaAndValue<'_>) -> Result<(), DataError> {
    let type_ = match datum.schema {
        Some(schema) => match schema.type_ {
            SchemaType::Array | SchemaType::Map | SchemaType::Struct => Some(schema.type_.name()),
            _ => None,
        },
        None => match value {
            Value::Array(_) => Some("ARRAY"),
            Value::Map(_) => Some("MAP"),
            Value::Struct(_) => Some("STRUCT"),
            Value::Decimal(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
                let class = value.java_class();
                return Err(DataError::new(format!(
                    "Cast transformation was passed a value of type class {class} which is not \
                     supported by Connect's data API"
                )));
            }
            _ => None,
        },
    };
    match type_ {
        None => Ok(()),
        Some(type_) => Err(DataError::new(format!(
            "Cast transformation does not support casting from {type_}; supported types are [INT8, \
             INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING, BYTES]"
        ))),
    }
}

/// Dates as the numbers that stand for them.
fn encoded<'a>(value: Value<'a>, datum: SchemaAndValue<'_>) -> Value<'a> {
    let name = datum.schema.and_then(|schema| schema.name.as_deref());
    match (name, value) {
        (Some(DATE_NAME), Value::Date(days)) => Value::Int32(days),
        (Some(TIME_NAME), Value::Time(millis)) => Value::Int32(millis),
        (Some(TIMESTAMP_NAME), Value::Timestamp(millis)) => Value::Int64(millis),
        (_, value) => value,
    }
}

fn text<'a>(
    value: Value<'a>,
    scratch: &mut Vec<u8>,
    arena: &'a Arena,
) -> Result<Value<'a>, DataError> {
    scratch.clear();
    match value {
        Value::Str(_) => return Ok(value),
        Value::Bytes(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
            write_text(value, scratch)?;
        }
        value => write_java_text(value, scratch)?,
    }
    Ok(Value::Str(arena.alloc_str(&String::from_utf8_lossy(scratch))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: Value<'_>, type_: SchemaType) -> String {
        let arena = Arena::new();
        match cast(SchemaAndValue { schema: None, value }, type_, &mut Vec::new(), &arena) {
            Ok(value) => format!("{value:?}"),
            Err(error) => error.message,
        }
    }

    #[test]
    fn numbers_are_cut_as_java_cuts_them() {
        use SchemaType::{Boolean, Float32, Int8, Int16, Int32, Int64};
        for (value, type_, expected) in [
            (Value::Int64(300), Int8, "Int8(44)"),
            (Value::Float64(1e10), Int8, "Int8(-1)"),
            (Value::Float64(1e10), Int32, "Int32(2147483647)"),
            (Value::Float64(f64::NAN), Int64, "Int64(0)"),
            (Value::Float32(-1.9), Int16, "Int16(-1)"),
            (Value::Float64(0.5), Boolean, "Boolean(false)"),
            (Value::Str("+7"), Int8, "Int8(7)"),
            (Value::Str(" 1.5f "), Float32, "Float32(1.5)"),
            (Value::Str("Infinity"), Float32, "Float32(inf)"),
            (Value::Str("TRUE"), Boolean, "Boolean(true)"),
            (Value::Str("128"), Int8, "Value (128) was out of range for requested data type"),
            (Value::Str("inf"), Float32, "Value (inf) was out of range for requested data type"),
            (Value::Str(" 7"), Int64, "Value ( 7) was out of range for requested data type"),
        ] {
            assert_eq!(shown(value, type_), expected, "{value:?}");
        }
    }
}
