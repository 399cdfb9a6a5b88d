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
    /// Row by row, when a record wants one: [`Table::asking`]. The record that wants it fails as
    /// retriable and comes again once it was asked for.
    Asked,
}

/// Rows on their way from a companion thread into their table.
pub type Rows = Box<dyn Any + Send>;

/// Reads the rows, on a companion thread; `None`: nothing changed since the last time.
pub type Reading = Box<dyn FnOnce() -> Result<Option<Rows>, String> + Send>;

/// Asks for the rows that are wanted, on a companion thread; without any, whether asking would work.
pub type Asking = Box<dyn FnOnce() -> Result<Rows, AskError> + Send>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// Worth trying again: the other side is away, or slow.
    Away(String),
    /// Nothing will come of trying again.
    Hopeless(String),
}

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
    fn reading(&self) -> Reading {
        Box::new(|| Ok(None))
    }

    /// Of [`TableSource::Asked`]: there are rows that somebody wants and nobody asked for yet.
    fn wants(&self) -> bool {
        false
    }

    /// Of [`TableSource::Asked`]. What is wanted stays wanted until its answer is installed.
    fn asking(&self) -> Asking {
        Box::new(|| Err(AskError::Hopeless("nobody asks for these rows".to_owned())))
    }

    /// Puts what [`Self::reading`] made in the place of all rows, or what [`Self::asking`] found out
    /// beside those that are there.
    fn install(&self, rows: Rows);

    /// One record of the topic; without a value it takes its row away.
    ///
    /// # Errors
    /// The record is no row, or there is no room.
    fn record(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), RowError> {
        let _ = (key, value);
        Err(RowError::Refused("the table follows no topic".to_owned()))
    }

    fn size(&self) -> TableSize;

    fn feed(&self) -> &Feed;
}

impl dyn Table {
    /// Fills the table here and now, without a worker: for trying transforms, and tests.
    ///
    /// # Errors
    /// The rows cannot be read, or they come from Kafka.
    pub fn fill_now(&self) -> Result<(), String> {
        match self.source() {
            TableSource::Topic { topic, .. } => {
                return Err(format!("the table of topic {topic} wants a worker and Kafka"));
            }
            TableSource::Asked => self.ask_now().map_err(|error| match error {
                AskError::Away(why) | AskError::Hopeless(why) => why,
            })?,
            TableSource::Read { .. } => {
                if let Some(rows) = (self.reading())()? {
                    self.install(rows);
                }
            }
        }
        self.feed().state.replace(FeedState::Ready);
        Ok(())
    }

    /// Asks here and now for the rows that are wanted.
    ///
    /// # Errors
    /// There is no answer.
    pub fn ask_now(&self) -> Result<(), AskError> {
        self.install((self.asking())()?);
        Ok(())
    }
}

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableSize {
    pub rows: u64,
    /// Memory, with what is free in it.
    pub bytes: u64,
    /// Records that were no rows; keys that the other side would not look up.
    pub refused: u64,
    /// Keys that were asked for.
    pub asked: u64,
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
