//! The key of a record as the table has it: the text of a member where it stands in the record, or
//! what an expression makes.

use millrace_api::record::Record;
use millrace_converters::json::parse;
use millrace_converters::{Arena, DataError, Value};

use super::{Enrich, rows, spec};
use crate::expression::eval::Env;
use crate::expression::fault::Fault;
use crate::expression::subject::Prepared;
use crate::requirements::datum;

/// Where a record's key is.
pub enum Key<'a> {
    /// In the record's own text.
    Raw(&'a [u8]),
    /// In [`Enrich::key`].
    Written,
    /// Nowhere: such a record has no row.
    Missing,
}

impl Enrich {
    /// The key of a record whose text tells where it stands; `None`: it does not, or the key is more
    /// than a member.
    #[inline]
    pub fn straight_key<'a>(
        &mut self,
        record: &Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Key<'a>>, DataError> {
        let Some(side) = self.straight else { return Ok(None) };
        let Value::Json(text) = datum(record, side).value else { return Ok(None) };
        let Some(found) = self.sought.side(side).and_then(|sought| sought.found(text)) else {
            return Ok(None);
        };
        let Some(raw) = found.wanted(0) else { return Ok(Some(Key::Missing)) };
        Ok(Some(match as_written(raw) {
            Some(key) => Key::Raw(key),
            None => self.write_key(parse(raw, arena)?)?,
        }))
    }

    /// The key by its expression, with the side that is joined as it was made ready for that.
    pub fn evaluated_key<'a>(
        &mut self,
        record: &Record<'a>,
        arena: &'a Arena,
    ) -> Result<(Key<'a>, Prepared<'a>), DataError> {
        use millrace_api::transformation::Side;
        let prepared = |side| {
            let set = if side == self.side { &self.names[..] } else { &[] };
            let datum = if side == Side::Key { &record.key } else { &record.value };
            Prepared::of(datum, self.uses.side(side), set, self.sought.side(side), arena)
        };
        let (key, value) = (prepared(Side::Key)?, prepared(Side::Value)?);
        let found =
            match Env::new(record, key.subject(), value.subject(), arena).value_of(&self.node) {
                Ok(found) => Some(found),
                Err(Fault::NoSuchField(_) | Fault::NoHeader(_) | Fault::NoSuchKey) => None,
                Err(fault) => return Err(self.no_key(&fault)),
            };
        let own = if self.side == Side::Key { key } else { value };
        Ok((found.map_or(Ok(Key::Missing), |found| self.write_key(found))?, own))
    }

    fn write_key<'a>(&mut self, value: Value<'_>) -> Result<Key<'a>, DataError> {
        self.key.clear();
        match rows::write_key(value, &mut self.key) {
            Ok(true) => Ok(Key::Written),
            Ok(false) => Ok(Key::Missing),
            Err(type_) => Err(self.no_key(&format!("a {type_} is no key of a table"))),
        }
    }

    #[cold]
    fn no_key(&self, why: &dyn std::fmt::Display) -> DataError {
        DataError::new(format!("{}={}: {why}", spec::KEY, self.join.key))
    }
}

/// Of a value's checked text what [`rows::write_key`] would write of the value, if it stands there.
#[inline]
fn as_written(raw: &[u8]) -> Option<&[u8]> {
    let digits = |digits: &[u8]| digits.len() < 18 && digits.iter().all(u8::is_ascii_digit);
    match raw {
        [b'"', text @ .., b'"'] => (!text.contains(&b'\\')).then_some(text),
        // Minus zero reads as zero, and long integers may be none.
        [b'0'] | b"true" | b"false" => Some(raw),
        [b'1'..=b'9', rest @ ..] | [b'-', b'1'..=b'9', rest @ ..] => digits(rest).then_some(raw),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Either nothing, or exactly what parsing and writing gives.
    fn compare(raw: &str) -> bool {
        let arena = Arena::new();
        let value = parse(raw.as_bytes(), &arena);
        let Some(straight) = as_written(raw.as_bytes()) else { return false };
        let mut written = Vec::new();
        assert_eq!(rows::write_key(value.expect("JSON"), &mut written), Ok(true), "{raw}");
        assert_eq!(straight, written, "{raw}");
        true
    }

    #[test]
    fn keys_are_taken_as_they_stand_where_that_is_what_would_be_written() {
        for (raw, expected) in [
            ("\"\"", true),
            ("\"user 1é\"", true),
            ("0", true),
            ("-7", true),
            ("123456789012345678", true),
            ("true", true),
            ("false", true),
            ("-0", false),
            ("1.0", false),
            ("1e3", false),
            ("1234567890123456789", false),
            ("12345678901234567890", false),
            ("null", false),
            ("\"a\\u0062\"", false),
            ("[1]", false),
            ("{}", false),
        ] {
            assert_eq!(compare(raw), expected, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn numbers_and_texts(
            number in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
            text in "[a-z\u{e9} ]{0,20}(\\\\n)?",
        ) {
            if parse(number.as_bytes(), &Arena::new()).is_ok() {
                compare(&number);
            }
            compare(&format!("\"{text}\""));
        }
    }
}
