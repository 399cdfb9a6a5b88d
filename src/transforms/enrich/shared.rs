//! A table of one core, shared by all transforms there that want the same rows.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use millrace_api::table::{Feed, Reading, RowError, Rows, Table, TableSize, TableSource};
use millrace_converters::Arena;

use super::compact::CompactTable;
use super::rows::{Stamp, read_file, record};
use super::spec::{Place, TableSpec};

/// See [`shared`].
pub struct SharedTable {
    spec: TableSpec,
    name: String,
    source: TableSource,
    rows: RefCell<CompactTable>,
    seen: Cell<Option<Stamp>>,
    refused: Cell<u64>,
    arena: RefCell<Arena>,
    feed: Feed,
}

thread_local! {
    /// By what their content depends on. Tables go with the last transform that holds them.
    static TABLES: RefCell<HashMap<String, Weak<SharedTable>>> = RefCell::default();
}

/// The core's table of that specification: the one that is there, or a new one.
pub fn shared(spec: TableSpec) -> Rc<SharedTable> {
    let identity = format!("{spec:?}");
    TABLES.with_borrow_mut(|tables| {
        tables.retain(|_, table| table.strong_count() > 0);
        if let Some(table) = tables.get(&identity).and_then(Weak::upgrade) {
            return table;
        }
        let table = Rc::new(SharedTable::new(spec));
        tables.insert(identity, Rc::downgrade(&table));
        table
    })
}

impl SharedTable {
    fn new(spec: TableSpec) -> Self {
        let source = match &spec.place {
            Place::File(_) => TableSource::Read { again: spec.refresh },
            Place::Topic(topic, consumer) => {
                TableSource::Topic { topic: topic.clone(), consumer: consumer.clone() }
            }
            Place::Sql(_) => TableSource::Asked,
        };
        Self {
            name: spec.name(),
            source,
            rows: RefCell::new(CompactTable::new(spec.memory)),
            spec,
            seen: Cell::new(None),
            refused: Cell::new(0),
            arena: RefCell::default(),
            feed: Feed::default(),
        }
    }

    /// Calls `with` with the row of that key.
    #[inline]
    pub fn with_row<R>(&self, key: &[u8], with: impl FnOnce(Option<&[u8]>) -> R) -> R {
        with(self.rows.borrow().get(key))
    }
}

impl SharedTable {
    /// Has the row of that key fetched into the caches, in two steps: see [`CompactTable`].
    #[inline]
    pub fn fetch_slot(&self, key: &[u8]) -> u32 {
        self.rows.borrow().fetch_slot(key)
    }

    #[inline]
    pub fn fetch_row(&self, hash: u32) {
        self.rows.borrow().fetch_row(hash);
    }
}

impl Table for SharedTable {
    fn source(&self) -> &TableSource {
        &self.source
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn patience(&self) -> Duration {
        self.spec.patience
    }

    fn reading(&self) -> Reading {
        let (spec, seen) = (self.spec.clone(), self.seen.get());
        Box::new(move || {
            let Place::File(path) = &spec.place else { return Ok(None) };
            let read = read_file(&spec, path, seen)?;
            Ok(read.map(|rows| -> Rows { Box::new(rows) }))
        })
    }

    fn install(&self, rows: Rows) {
        if let Ok(rows) = rows.downcast::<(CompactTable, Stamp)>() {
            let (rows, stamp) = *rows;
            *self.rows.borrow_mut() = rows;
            self.seen.set(Some(stamp));
        }
    }

    fn record(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), RowError> {
        let mut arena = self.arena.borrow_mut();
        arena.reset();
        let outcome = record(&self.spec, &mut self.rows.borrow_mut(), key, value, &arena);
        if let Err(RowError::Refused(_)) = outcome {
            self.refused.set(self.refused.get() + 1);
        }
        outcome
    }

    fn size(&self) -> TableSize {
        let rows = self.rows.borrow();
        TableSize {
            rows: rows.rows() as u64,
            bytes: rows.bytes() as u64,
            refused: self.refused.get(),
            asked: 0,
        }
    }

    fn feed(&self) -> &Feed {
        &self.feed
    }
}
