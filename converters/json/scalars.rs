//! Single values of JSON text by the type that a schema asks for.
//!
//! Coercions are those of `JsonConverter`, which Confluent's converters share: a number's field given
//! something else is 0, a string's given something else is null; only logical types check.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::parse::{Reader, finite};
use super::scan::Kind;
use super::write::decimal_scale;
use crate::converter::DataError;
use crate::data::{DATE_NAME, Decimal, Schema, TIMESTAMP_NAME, Value};
use crate::number_text::BigDecimal;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Jackson's name of what begins with that byte.
pub(crate) fn node_type(byte: u8) -> &'static str {
    match byte {
        b'{' => "OBJECT",
        b'[' => "ARRAY",
        b'"' => "STRING",
        b't' | b'f' => "BOOLEAN",
        b'n' => "NULL",
        _ => "NUMBER",
    }
}

impl<'a> Reader<'a> {
    /// The string at hand; `None`, the value skipped, if it is something else.
    pub fn text(&mut self) -> Result<Option<&'a str>, DataError> {
        if self.scan.peek() == b'"' {
            return self.string().map(Some);
        }
        self.skip()?;
        Ok(None)
    }

    /// What `text` stands for in Base64.
    pub fn binary(&self, text: &str) -> Result<&'a [u8], DataError> {
        let room = base64::decoded_len_estimate(text.len());
        let bytes = self.arena.bump().alloc_slice_fill_copy(room, 0);
        let length = STANDARD
            .decode_slice(text, bytes)
            .map_err(|_| DataError::new("Invalid bytes field"))?;
        Ok(&bytes[..length])
    }

    /// `longValue()` of a number; 0 of anything else. A number beyond 64 bits is refused, where
    /// Java keeps its low bits.
    pub fn long(&mut self) -> Result<i64, DataError> {
        let Some((kind, text)) = self.number()? else {
            self.skip()?;
            return Ok(0);
        };
        if let Ok(number) = text.parse() {
            return Ok(number);
        }
        if kind == Kind::Integer || finite(text)?.abs() >= i64::MIN.unsigned_abs() as f64 {
            return Err(DataError::new(format!("Integer {text} does not fit into 64 bits")));
        }
        Ok(BigDecimal::parse(text).map_or(0, |number| number.long_value()))
    }

    pub fn float<T: std::str::FromStr + Default>(&mut self) -> Result<T, DataError> {
        let Some((_, text)) = self.number()? else {
            self.skip()?;
            return Ok(T::default());
        };
        finite(text)?;
        Ok(text.parse().unwrap_or_default())
    }

    pub fn decimal(&mut self, schema: &Schema) -> Result<Value<'a>, DataError> {
        let byte = self.scan.peek();
        let arena = self.arena;
        if let Some((_, text)) = self.number()? {
            let number = BigDecimal::parse(text).ok_or_else(|| {
                DataError::new(format!("Number {text} is out of a BigDecimal's range"))
            })?;
            let unscaled = arena.alloc_bytes(&number.unscaled.to_signed_bytes_be());
            return Ok(Value::Decimal(arena.alloc(Decimal { unscaled, scale: number.scale })));
        }
        if byte != b'"' {
            return Err(DataError::new(format!(
                "Invalid type for Decimal, underlying representation should be numeric or bytes \
                 but was {}",
                node_type(byte)
            )));
        }
        let text = self.string()?;
        let unscaled = self.binary(text)?;
        let scale = decimal_scale(schema)?;
        Ok(Value::Decimal(arena.alloc(Decimal { unscaled, scale })))
    }

    pub fn date(&mut self, name: &str) -> Result<Value<'a>, DataError> {
        let byte = self.scan.peek();
        let number = match self.number()? {
            // Wider than 64 bits is still integral to Java; its low bits are a day nobody meant.
            Some((Kind::Integer, text)) => text.parse::<i64>().ok(),
            _ => None,
        };
        let (short, number) = match (name, number) {
            (TIMESTAMP_NAME, Some(number)) => return Ok(Value::Timestamp(number)),
            (TIMESTAMP_NAME, None) => ("Timestamp", None),
            (DATE_NAME, number) => ("Date", number.and_then(|number| i32::try_from(number).ok())),
            (_, number) => ("Time", number.and_then(|number| i32::try_from(number).ok())),
        };
        match number {
            Some(days) if short == "Date" => Ok(Value::Date(days)),
            Some(millis) if (0..=DAY).contains(&i64::from(millis)) => Ok(Value::Time(millis)),
            Some(_) => Err(DataError::new(
                "Time values must use number of milliseconds greater than 0 and less than 86400000",
            )),
            None => {
                let what = if short == "Timestamp" { "integral" } else { "integer" };
                Err(DataError::new(format!(
                    "Invalid type for {short}, underlying representation should be {what} but was \
                     {}",
                    node_type(byte)
                )))
            }
        }
    }
}
