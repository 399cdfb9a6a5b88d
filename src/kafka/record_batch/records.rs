//! Borrowed records: nothing is copied, nothing allocated, headers are read when asked for.

use std::ops::Range;

use super::error::{BatchError, Fault};
use super::header::{BatchHeader, TimestampType};
use super::varint;

/// One record; all slices lie in [`Records::buffer`].
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    pub offset: i64,
    /// Ms since 1970; the batch's append time where the topic says so.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: RawHeaders<'a>,
}

/// The records of one batch in order. Stops after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    buffer: &'a [u8],
    start: usize,
    at: usize,
    end: usize,
    remaining: u32,
    base_offset: i64,
    base_timestamp: i64,
    /// The batch's append time if it stands for that of each record.
    append_time: Option<i64>,
}

impl<'a> Records<'a> {
    /// `range` must lie in `buffer`.
    pub(super) fn new(header: &BatchHeader, buffer: &'a [u8], range: Range<usize>) -> Self {
        let end = range.end.min(buffer.len());
        Self {
            buffer,
            start: range.start.min(end),
            at: range.start.min(end),
            end,
            remaining: header.record_count.max(0) as u32,
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time: match header.timestamp_type() {
                TimestampType::CreateTime => None,
                TimestampType::LogAppendTime => Some(header.max_timestamp),
            },
        }
    }

    /// The bytes that the records lie in, with whatever stands before and after them: readers that
    /// load 32 or 64 bytes at a time may do so within this slice. Compressed batches always have
    /// [`crate::compression::PADDING`] bytes after their last record.
    pub fn buffer(&self) -> &'a [u8] {
        self.buffer
    }

    /// Where all the records together lie in [`Records::buffer`].
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Where `part`, a key or a value of these records, lies in [`Records::buffer`]. For a foreign
    /// slice the range is meaningless, though using it is no worse than a panic.
    #[inline]
    pub fn range_of(&self, part: &[u8]) -> Range<usize> {
        let start = (part.as_ptr() as usize).wrapping_sub(self.buffer.as_ptr() as usize);
        start..start.wrapping_add(part.len())
    }

    /// Records not yet returned, by the header's count.
    pub fn remaining(&self) -> usize {
        self.remaining as usize
    }

    #[inline]
    fn read(&mut self) -> Result<RawRecord<'a>, BatchError> {
        let begin = self.at;
        let section = &self.buffer[..self.end];
        let mut at = begin;
        let length =
            varint::read_i32(section, &mut at).ok_or_else(|| self.fault(Fault::Varint, begin))?;
        let left = section.len() - at;
        if length < 0 || length as usize > left {
            return Err(self.length(Fault::RecordLength, begin, left, length));
        }
        let end = at + length as usize;
        self.at = end;
        let record = &section[..end];
        // The attributes byte has no meaning yet.
        at += 1;
        let (Some(timestamp_delta), Some(offset_delta), Some(key_length)) = (
            varint::read_i64(record, &mut at),
            varint::read_i32(record, &mut at),
            varint::read_i32(record, &mut at),
        ) else {
            return Err(self.fault(Fault::Varint, at));
        };
        let key = self.field(record, &mut at, key_length)?;
        let value_length =
            varint::read_i32(record, &mut at).ok_or_else(|| self.fault(Fault::Varint, at))?;
        let value = self.field(record, &mut at, value_length)?;
        let count =
            varint::read_i32(record, &mut at).ok_or_else(|| self.fault(Fault::Varint, at))?;
        if count < 0 {
            return Err(self.length(Fault::HeaderCount, at, 0, count));
        }
        let rest = &record[at..];
        if count == 0 && !rest.is_empty() {
            return Err(self.length(Fault::RecordSurplus, at, 0, rest.len() as i32));
        }
        Ok(RawRecord {
            offset: self.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp: match self.append_time {
                None => self.base_timestamp.wrapping_add(timestamp_delta),
                Some(time) => time,
            },
            key,
            value,
            headers: RawHeaders { bytes: rest, at: at - self.start, count: count as u32 },
        })
    }

    #[inline(always)]
    fn field(
        &self,
        record: &'a [u8],
        at: &mut usize,
        length: i32,
    ) -> Result<Option<&'a [u8]>, BatchError> {
        if length < 0 {
            return Ok(None);
        }
        let left = record.len() - *at;
        if length as usize > left {
            return Err(self.length(Fault::FieldLength, *at, left, length));
        }
        let field = &record[*at..*at + length as usize];
        *at += length as usize;
        Ok(Some(field))
    }

    #[cold]
    fn fault(&self, fault: Fault, at: usize) -> BatchError {
        BatchError::new(fault, at - self.start, 0, 0)
    }

    #[cold]
    fn length(&self, fault: Fault, at: usize, expected: usize, actual: i32) -> BatchError {
        BatchError::new(fault, at - self.start, expected as i64, i64::from(actual))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RawRecord<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            let surplus = self.end - self.at;
            if surplus != 0 {
                let error = self.length(Fault::BatchSurplus, self.at, 0, surplus as i32);
                self.at = self.end;
                return Some(Err(error));
            }
            return None;
        }
        self.remaining -= 1;
        let record = self.read();
        if record.is_err() {
            self.remaining = 0;
            self.at = self.end;
        }
        Some(record)
    }
}

/// A record's headers, not yet read.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawHeaders<'a> {
    bytes: &'a [u8],
    /// Where `bytes` begins, from the start of the records.
    at: usize,
    count: u32,
}

impl<'a> RawHeaders<'a> {
    /// How many headers the record says it has; forged counts show when they are read.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> HeaderIter<'a> {
        HeaderIter { bytes: self.bytes, base: self.at, at: 0, remaining: self.count }
    }

    /// The last header called `name`, as `Headers.lastHeader` of the Java client.
    pub fn last(&self, name: &str) -> Result<Option<RawHeader<'a>>, BatchError> {
        let mut found = None;
        for header in self.iter() {
            let header = header?;
            if header.name == name {
                found = Some(header);
            }
        }
        Ok(found)
    }
}

impl<'a> IntoIterator for RawHeaders<'a> {
    type Item = Result<RawHeader<'a>, BatchError>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawHeader<'a> {
    pub name: &'a str,
    pub value: Option<&'a [u8]>,
}

/// Headers in the order they were written; stops after the first error.
#[derive(Clone, Debug)]
pub struct HeaderIter<'a> {
    bytes: &'a [u8],
    base: usize,
    at: usize,
    remaining: u32,
}

impl<'a> HeaderIter<'a> {
    fn read(&mut self) -> Result<RawHeader<'a>, BatchError> {
        let begin = self.at;
        let name = self.field()?;
        let name = name.and_then(|name| std::str::from_utf8(name).ok()).ok_or_else(|| {
            let length = name.map_or(-1, |name| name.len() as i64);
            BatchError::new(Fault::HeaderName, self.base + begin, 0, length)
        })?;
        Ok(RawHeader { name, value: self.field()? })
    }

    fn field(&mut self) -> Result<Option<&'a [u8]>, BatchError> {
        let length = varint::read_i32(self.bytes, &mut self.at)
            .ok_or_else(|| BatchError::new(Fault::Varint, self.base + self.at, 0, 0))?;
        if length < 0 {
            return Ok(None);
        }
        let left = &self.bytes[self.at..];
        let field = left.get(..length as usize).ok_or_else(|| {
            let at = self.base + self.at;
            BatchError::new(Fault::FieldLength, at, left.len() as i64, i64::from(length))
        })?;
        self.at += length as usize;
        Ok(Some(field))
    }
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Result<RawHeader<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            let surplus = self.bytes.len() - self.at;
            if surplus == 0 {
                return None;
            }
            let at = self.base + self.at;
            self.at = self.bytes.len();
            return Some(Err(BatchError::new(Fault::RecordSurplus, at, 0, surplus as i64)));
        }
        self.remaining -= 1;
        let header = self.read();
        if header.is_err() {
            self.remaining = 0;
            self.at = self.bytes.len();
        }
        Some(header)
    }
}
