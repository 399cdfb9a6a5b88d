//! Tables that transforms join records with: what a transform keeps, and what the worker does for
//! it in the background.
//!
//! A transform never waits: its table is in memory, on the task's core. The worker fills the table
//! before the task's first record and keeps it up to date afterwards; Kafka and threads are its
//! business. Tasks of one core may share a table; then it is fed once.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::Config;

/// Where a table's rows come from.
#[derive(Clone, Debug, PartialEq)]
pub enum TableSource {
    /// [`Table::reading`] makes the rows, again and again, so far apart.
    Read { again: Duration },
    /// Every partition of a topic, from its beginning; `consumer` are overrides of the worker's
    /// consumer settings.
    Topic { topic: String, consumer: Config },
}

/// Rows on their way from a companion thread into their table.
pub type Rows = Box<dyn Any + Send>;

/// Reads the rows, on a companion thread; `None`: nothing changed since the last time.
pub type Reading = Box<dyn FnOnce() -> Result<Option<Rows>, String> + Send>;

/// Why a record of a topic is not in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowError {
    /// The record is no row; the table does without it.
    Refused(String),
    /// No row fits any more: the task fails.
    Full(String),
}

/// A table of one core.
pub trait Table {
    fn source(&self) -> &TableSource;

    /// For messages: `the table of /etc/geo.csv`.
    fn name(&self) -> &str;

    /// How long the first filling may take.
    fn patience(&self) -> Duration;

    /// Of [`TableSource::Read`].
    fn reading(&self) -> Reading;

    /// Puts what [`Self::reading`] made in the place of all rows.
    fn install(&self, rows: Rows);

    /// One record of the topic; without a value it takes its row away.
    ///
    /// # Errors
    /// The record is no row, or there is no room.
    fn record(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), RowError>;

    fn size(&self) -> TableSize;

    fn feed(&self) -> &Feed;
}

impl dyn Table {
    /// Fills the table here and now, without a worker: for trying transforms, and tests.
    ///
    /// # Errors
    /// The rows cannot be read, or they come from Kafka.
    pub fn fill_now(&self) -> Result<(), String> {
        if let TableSource::Topic { topic, .. } = self.source() {
            return Err(format!("the table of topic {topic} wants a worker and Kafka"));
        }
        if let Some(rows) = (self.reading())()? {
            self.install(rows);
        }
        self.feed().state.replace(FeedState::Ready);
        Ok(())
    }
}

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSize {
    pub rows: u64,
    /// Memory, with what is free in it.
    pub bytes: u64,
    /// Records that were no rows.
    pub refused: u64,
}

/// How far the worker is with a table.
#[derive(Default)]
pub struct Feed {
    /// Somebody feeds it.
    pub driven: Cell<bool>,
    /// Tasks that want it fed.
    pub users: Cell<usize>,
    pub state: RefCell<FeedState>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FeedState {
    #[default]
    Filling,
    /// It was filled once; what comes now are changes.
    Ready,
    /// It cannot be fed any more.
    Failed(String),
}

/// A transform's table and what it found in it.
#[derive(Clone)]
pub struct TableUse {
    pub table: Rc<dyn Table>,
    pub lookups: Rc<Lookups>,
}

/// Counted by one transform.
#[derive(Default)]
pub struct Lookups {
    pub hits: Cell<u64>,
    pub misses: Cell<u64>,
}
