//! The converters of single numbers and booleans, big-endian as Kafka's serializers have them.

use std::sync::Arc;

use crate::arena::Arena;
use crate::converter::{Converter, DataError, Detail, header_like_data};
use crate::data::{Schema, SchemaAndValue, SchemaType, Value};
use crate::number_text::BigDecimal;

/// Which of the number converters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKind {
    /// INT16, 2 bytes.
    Short,
    /// INT32, 4 bytes.
    Integer,
    /// INT64, 8 bytes.
    Long,
    /// FLOAT32, 4 bytes.
    Float,
    /// FLOAT64, 8 bytes.
    Double,
}

impl NumberKind {
    /// Connect's type, bytes on the wire, the word in error texts, the deserializer's name in them.
    fn facts(self) -> (SchemaType, usize, &'static str, &'static str) {
        match self {
            Self::Short => (SchemaType::Int16, 2, "short", "ShortDeserializer"),
            Self::Integer => (SchemaType::Int32, 4, "integer", "IntegerDeserializer"),
            Self::Long => (SchemaType::Int64, 8, "long", "LongDeserializer"),
            // Kafka's own texts name no type here.
            Self::Float => (SchemaType::Float32, 4, "float", "Deserializer"),
            Self::Double => (SchemaType::Float64, 8, "double", "Deserializer"),
        }
    }
}

/// `org.apache.kafka.connect.converters.{Short,Integer,Long,Float,Double}Converter`.
pub struct NumberConverter {
    kind: NumberKind,
    schema: Arc<Schema>,
}

impl NumberConverter {
    /// The converter of that type.
    pub fn new(kind: NumberKind) -> Self {
        Self { kind, schema: Arc::new(Schema::new(kind.facts().0).optional()) }
    }

    fn read(&self, bytes: &[u8]) -> Option<Value<'static>> {
        Some(match self.kind {
            NumberKind::Short => Value::Int16(i16::from_be_bytes(bytes.try_into().ok()?)),
            NumberKind::Integer => Value::Int32(i32::from_be_bytes(bytes.try_into().ok()?)),
            NumberKind::Long => Value::Int64(i64::from_be_bytes(bytes.try_into().ok()?)),
            NumberKind::Float => Value::Float32(f32::from_be_bytes(bytes.try_into().ok()?)),
            NumberKind::Double => Value::Float64(f64::from_be_bytes(bytes.try_into().ok()?)),
        })
    }
}

/// `java.lang.Number`: what the accessors `intValue()`, `doubleValue()` and so on start from.
enum Number {
    Long(i64),
    Double(f64),
}

impl Number {
    fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Int8(number) => Self::Long((*number).into()),
            Value::Int16(number) => Self::Long((*number).into()),
            Value::Int32(number) => Self::Long((*number).into()),
            Value::Int64(number) => Self::Long(*number),
            Value::Float32(number) => Self::Double((*number).into()),
            Value::Float64(number) => Self::Double(*number),
            _ => return None,
        })
    }

    fn long(&self) -> i64 {
        match self {
            Self::Long(number) => *number,
            Self::Double(number) => *number as i64,
        }
    }

    /// Java saturates at int, then drops bits for short.
    fn int(&self) -> i32 {
        match self {
            Self::Long(number) => *number as i32,
            Self::Double(number) => *number as i32,
        }
    }

    fn double(&self) -> f64 {
        match self {
            Self::Long(number) => *number as f64,
            Self::Double(number) => *number,
        }
    }

    fn float(&self) -> f32 {
        match self {
            Self::Long(number) => *number as f32,
            Self::Double(number) => *number as f32,
        }
    }
}

impl Converter for NumberConverter {
    fn to_connect_data_at<'a>(
        &mut self,
        _topic: &str,
        bytes: Option<&'a [u8]>,
        _detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        into.value = match bytes {
            None => Value::Null,
            Some(bytes) => self.read(bytes).ok_or_else(|| {
                let (_, size, word, deserializer) = self.kind.facts();
                DataError::new(format!(
                    "Failed to deserialize {word}: Size of data received by {deserializer} is not \
                     {size}"
                ))
            })?,
        };
        into.schema = Some(arena.pin_schema(&self.schema));
        Ok(())
    }

    fn from_connect_data(
        &mut self,
        _topic: &str,
        _schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        if value.is_null() {
            return Ok(false);
        }
        let decimal = match &value {
            Value::Decimal(decimal) => {
                let number = BigDecimal::from_bytes(decimal.unscaled, decimal.scale);
                Some(match self.kind {
                    NumberKind::Float | NumberKind::Double => Number::Double(number.double_value()),
                    _ => Number::Long(number.long_value()),
                })
            }
            _ => None,
        };
        let Some(number) = decimal.or_else(|| Number::of(&value)) else {
            let class = value.java_class();
            return Err(DataError::new(format!(
                "Failed to serialize to {} (was class {class}): class {class} cannot be cast to \
                 class java.lang.Number",
                self.kind.facts().2
            )));
        };
        match self.kind {
            NumberKind::Short => out.extend_from_slice(&(number.int() as i16).to_be_bytes()),
            NumberKind::Integer => out.extend_from_slice(&number.int().to_be_bytes()),
            NumberKind::Long => out.extend_from_slice(&number.long().to_be_bytes()),
            NumberKind::Float => out.extend_from_slice(&number.float().to_be_bytes()),
            NumberKind::Double => out.extend_from_slice(&number.double().to_be_bytes()),
        }
        Ok(true)
    }

    fn class_name(&self) -> &'static str {
        match self.kind {
            NumberKind::Short => "org.apache.kafka.connect.converters.ShortConverter",
            NumberKind::Integer => "org.apache.kafka.connect.converters.IntegerConverter",
            NumberKind::Long => "org.apache.kafka.connect.converters.LongConverter",
            NumberKind::Float => "org.apache.kafka.connect.converters.FloatConverter",
            NumberKind::Double => "org.apache.kafka.connect.converters.DoubleConverter",
        }
    }
}

header_like_data!(NumberConverter);

/// `org.apache.kafka.connect.converters.BooleanConverter`: one byte, 0 or 1.
pub struct BooleanConverter {
    schema: Arc<Schema>,
}

impl Default for BooleanConverter {
    fn default() -> Self {
        Self { schema: Arc::new(Schema::new(SchemaType::Boolean).optional()) }
    }
}

impl Converter for BooleanConverter {
    fn to_connect_data_at<'a>(
        &mut self,
        _topic: &str,
        bytes: Option<&'a [u8]>,
        _detail: Detail,
        arena: &'a Arena,
        into: &mut SchemaAndValue<'a>,
    ) -> Result<(), DataError> {
        let wrong =
            |why: String| Err(DataError::new(format!("Failed to deserialize boolean: {why}")));
        into.value = match bytes {
            None => Value::Null,
            Some([0]) => Value::Boolean(false),
            Some([1]) => Value::Boolean(true),
            Some([other]) => {
                return wrong(format!("Unexpected byte received by BooleanDeserializer: {other}"));
            }
            Some(_) => {
                return wrong("Size of data received by BooleanDeserializer is not 1".to_owned());
            }
        };
        into.schema = Some(arena.pin_schema(&self.schema));
        Ok(())
    }

    fn from_connect_data(
        &mut self,
        _topic: &str,
        schema: Option<&Schema>,
        value: Value<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, DataError> {
        if let Some(schema) = schema.filter(|schema| schema.type_ != SchemaType::Boolean) {
            return Err(DataError::new(format!(
                "Invalid schema type for BooleanConverter: {}",
                schema.type_.name()
            )));
        }
        match value {
            Value::Null => Ok(false),
            Value::Boolean(value) => {
                out.push(u8::from(value));
                Ok(true)
            }
            other => Err(DataError::new(format!(
                "BooleanConverter is not compatible with objects of type class {}",
                other.java_class()
            ))),
        }
    }

    fn class_name(&self) -> &'static str {
        "org.apache.kafka.connect.converters.BooleanConverter"
    }
}

header_like_data!(BooleanConverter);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(converter: &mut dyn Converter, bytes: &[u8]) -> Result<String, String> {
        let arena = Arena::new();
        let data = converter.to_connect_data("t", Some(bytes), Detail::Full, &arena);
        data.map(|data| format!("{:?}", data.value)).map_err(|error| error.message)
    }

    #[test]
    fn there_and_back() {
        for (kind, bytes, value) in [
            (NumberKind::Short, &[0xff, 0xfe][..], "Int16(-2)"),
            (NumberKind::Integer, &[0, 0, 1, 0], "Int32(256)"),
            (NumberKind::Long, &[0, 0, 0, 0, 0, 0, 1, 0], "Int64(256)"),
            (NumberKind::Float, &[0x3f, 0x80, 0, 0], "Float32(1.0)"),
            (NumberKind::Double, &[0x3f, 0xf0, 0, 0, 0, 0, 0, 0], "Float64(1.0)"),
        ] {
            let mut converter = NumberConverter::new(kind);
            assert_eq!(read(&mut converter, bytes).as_deref(), Ok(value));
            assert!(read(&mut converter, &[]).unwrap_err().contains("is not"));
            let arena = Arena::new();
            let data = converter.to_connect_data("t", Some(bytes), Detail::Full, &arena).unwrap();
            let mut out = Vec::new();
            assert_eq!(converter.from_connect_data("t", None, data.value, &mut out), Ok(true));
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn narrows_as_java() {
        let mut out = Vec::new();
        let mut short = NumberConverter::new(NumberKind::Short);
        short.from_connect_data("t", None, Value::Int64(65_537), &mut out).unwrap();
        short.from_connect_data("t", None, Value::Float64(1e20), &mut out).unwrap();
        assert_eq!(out, [0, 1, 0xff, 0xff]);
        let error = short.from_connect_data("t", None, Value::Str("x"), &mut out).unwrap_err();
        assert!(
            error
                .message
                .starts_with("Failed to serialize to short (was class java.lang.String): ")
        );
    }

    #[test]
    fn booleans() {
        let mut converter = BooleanConverter::default();
        assert_eq!(read(&mut converter, &[1]).as_deref(), Ok("Boolean(true)"));
        assert_eq!(
            read(&mut converter, &[2]).unwrap_err(),
            "Failed to deserialize boolean: Unexpected byte received by BooleanDeserializer: 2"
        );
        assert!(read(&mut converter, &[1, 1]).is_err());
        let string = Schema::new(SchemaType::String);
        let mut out = Vec::new();
        let error = converter.from_connect_data("t", Some(&string), Value::Null, &mut out);
        assert_eq!(error.unwrap_err().message, "Invalid schema type for BooleanConverter: STRING");
    }
}
