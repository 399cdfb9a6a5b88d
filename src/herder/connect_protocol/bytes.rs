//! The wire types of the group protocol: big-endian numbers, texts with two bytes of length, arrays
//! and bytes with four.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_worker::command::TaskId;

use super::{ConnectorsAndTasks, ProtocolError};

/// The task number that stands for the connector itself.
const CONNECTOR: i32 = -1;
/// Longest text, by the width of its length.
const MAX_TEXT: usize = i16::MAX as usize;

#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub fn i16(&mut self, value: i16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn count(&mut self, count: usize) {
        self.i32(i32::try_from(count).unwrap_or(i32::MAX));
    }

    /// A text; one that is longer than the protocol allows is cut, which no URL and no member id is.
    pub fn text(&mut self, text: &str) {
        let cut = text.floor_char_boundary(MAX_TEXT);
        self.i16(cut as i16);
        self.0.extend_from_slice(&text.as_bytes()[..cut]);
    }

    pub fn nullable_bytes(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.i32(-1),
            Some(bytes) => {
                self.count(bytes.len());
                self.0.extend_from_slice(bytes);
            }
        }
    }

    /// One element a connector, in the order in which they come first; its instance before its
    /// tasks. A connector whose name the protocol can't carry is left out: it runs nowhere.
    pub fn work(&mut self, work: &ConnectorsAndTasks) {
        let mut order: Vec<(&Arc<str>, Vec<i32>)> = Vec::new();
        let mut places: HashMap<&Arc<str>, usize> = HashMap::new();
        let instances = work.connectors.iter().map(|name| (name, CONNECTOR));
        let tasks = work.tasks.iter().map(|id| (&id.connector, id.task as i32));
        for (name, number) in instances.chain(tasks).filter(|(name, _)| name.len() <= MAX_TEXT) {
            let place = *places.entry(name).or_insert_with(|| {
                order.push((name, Vec::new()));
                order.len() - 1
            });
            order[place].1.push(number);
        }
        self.count(order.len());
        for (name, numbers) in order {
            self.text(name);
            self.count(numbers.len());
            for number in numbers {
                self.i32(number);
            }
        }
    }
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Takes the version: newer ones are read as far as this one goes.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Result<Self, ProtocolError> {
        let mut reader = Self { rest: bytes, what };
        match reader.i16()? {
            version if version < 0 => Err(reader.wrong(format!("version {version}"))),
            _ => Ok(reader),
        }
    }

    fn wrong(&self, why: String) -> ProtocolError {
        ProtocolError { what: self.what, why }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ProtocolError> {
        let taken = self.rest.split_at_checked(count);
        let (taken, rest) = taken.ok_or_else(|| self.wrong("it ends early".to_owned()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn i16(&mut self) -> Result<i16, ProtocolError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub fn i32(&mut self) -> Result<i32, ProtocolError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, ProtocolError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub fn i32_or_zero(&mut self) -> Result<i32, ProtocolError> {
        if self.rest.is_empty() { Ok(0) } else { self.i32() }
    }

    pub fn text(&mut self) -> Result<&'a str, ProtocolError> {
        let length = self.i16()?;
        let length =
            usize::try_from(length).map_err(|_| self.wrong(format!("a text of {length} bytes")))?;
        std::str::from_utf8(self.take(length)?)
            .map_err(|error| self.wrong(format!("a text is not UTF-8: {error}")))
    }

    /// `None` for null, and where an older version ends.
    pub fn bytes_or_null(&mut self) -> Result<Option<&'a [u8]>, ProtocolError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        match usize::try_from(self.i32()?) {
            Ok(length) => Ok(Some(self.take(length)?)),
            Err(_) => Ok(None),
        }
    }

    /// Null, and where an older version ends, is nothing. Counts are believed only as far as there
    /// are bytes: a forged one allocates nothing.
    pub fn work_or_nothing(&mut self) -> Result<ConnectorsAndTasks, ProtocolError> {
        let mut work = ConnectorsAndTasks::default();
        if self.rest.is_empty() {
            return Ok(work);
        }
        for _ in 0..self.i32()? {
            let name: Arc<str> = self.text()?.into();
            let count = self.i32()?;
            if count < 0 {
                return Err(self.wrong(format!("{count} tasks of connector {name}")));
            }
            for _ in 0..count {
                match self.i32()? {
                    CONNECTOR => work.connectors.push(Arc::clone(&name)),
                    number => match u32::try_from(number) {
                        Ok(task) => {
                            work.tasks.push(TaskId { connector: Arc::clone(&name), task });
                        }
                        Err(_) => return Err(self.wrong(format!("task {number} of {name}"))),
                    },
                }
            }
        }
        Ok(work)
    }
}
