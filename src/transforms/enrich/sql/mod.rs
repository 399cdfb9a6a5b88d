//! A table in a database: rows are asked for when records want them, and remembered for a while.

mod cache;
mod connection;
mod mysql;
mod mysql_row;
mod postgres;
pub mod settings;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_api::table::{Asking, Feed, Rows, Table, TableSize, TableSource};
use millrace_converters::json::parse;
use millrace_converters::{Arena, Value};

use self::cache::{Cache, Known};
use self::connection::{Answer, Link};
use super::rows::write_row;
use super::spec::TableSpec;
use settings::SqlSpec;

/// Keys of one asking at most; who wants more asks again.
const AT_ONCE: usize = 1024;

/// What was found out, of keys in their order.
type Found = (Vec<Box<[u8]>>, Vec<Answer>);

/// What a record is told of its key.
pub enum Looked<R> {
    Known(R),
    /// The record comes again once it was asked for.
    Wanted,
    Refused(String),
}

/// See [`shared`].
pub struct SqlTable {
    spec: TableSpec,
    sql: SqlSpec,
    name: String,
    link: Arc<Link>,
    cache: RefCell<Cache>,
    wanted: RefCell<HashSet<Box<[u8]>>>,
    /// The clock's zero.
    started: Instant,
    asked: Cell<u64>,
    refused: Cell<u64>,
    row: RefCell<Vec<u8>>,
    arena: RefCell<Arena>,
    feed: Feed,
}

thread_local! {
    /// Tables go with the last transform that holds them.
    static TABLES: RefCell<Vec<(TableSpec, Weak<SqlTable>)>> = RefCell::default();
}

/// The core's table of that specification: the one that is there, or a new one.
pub fn shared(spec: TableSpec, sql: SqlSpec) -> Rc<SqlTable> {
    TABLES.with_borrow_mut(|tables| {
        tables.retain(|(_, table)| table.strong_count() > 0);
        let same = tables.iter().find(|(known, _)| *known == spec);
        if let Some(table) = same.and_then(|(_, table)| table.upgrade()) {
            return table;
        }
        let table = Rc::new(SqlTable::new(spec.clone(), sql));
        tables.push((spec, Rc::downgrade(&table)));
        table
    })
}

impl SqlTable {
    fn new(spec: TableSpec, sql: SqlSpec) -> Self {
        Self {
            name: spec.name(),
            link: Arc::new(Link::new(sql.clone())),
            cache: RefCell::new(Cache::new(sql.rows, spec.memory)),
            spec,
            sql,
            wanted: RefCell::default(),
            started: Instant::now(),
            asked: Cell::new(0),
            refused: Cell::new(0),
            row: RefCell::default(),
            arena: RefCell::default(),
            feed: Feed::default(),
        }
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Calls `with` with the row of that key, if it is known whether there is one.
    pub fn with_row<R>(&self, key: &[u8], with: impl FnOnce(Option<&[u8]>) -> R) -> Looked<R> {
        match self.cache.borrow_mut().get(key, self.now()) {
            Some(Known::Row(row)) => Looked::Known(with(Some(row))),
            Some(Known::None) => Looked::Known(with(None)),
            Some(Known::Refused(why)) => Looked::Refused(format!("{}: {why}", self.name)),
            None => {
                let mut wanted = self.wanted.borrow_mut();
                if wanted.len() < AT_ONCE {
                    wanted.insert(key.into());
                }
                Looked::Wanted
            }
        }
    }

    /// Puts one answer into the cache.
    fn remember(&self, key: &[u8], answer: &Answer) {
        let mut row = self.row.borrow_mut();
        row.clear();
        let known = match answer {
            Ok(None) => Ok(Known::None),
            Ok(Some(text)) => self.write(text, &mut row).map(|()| Known::Row(&row)),
            Err(why) => Err(why.clone()),
        };
        let (known, lives) = match &known {
            Ok(Known::Row(row)) => (Known::Row(row), self.sql.lives),
            Ok(other) => (*other, self.sql.negative_lives),
            Err(why) => {
                self.refused.update(|refused| refused + 1);
                (Known::Refused(why), self.sql.negative_lives)
            }
        };
        let until = |lives: Duration| self.now() + lives.as_millis() as u64;
        let mut cache = self.cache.borrow_mut();
        if cache.insert(key, known, until(lives)).is_err() {
            let why = format!("a row of {} bytes is too much for max.memory.bytes", row.len());
            // Short as it is, there is room for it: a new half has a whole block.
            let _ = cache.insert(key, Known::Refused(&why), until(self.sql.negative_lives));
        }
    }

    /// A row's JSON object as the fields that a record gets.
    fn write(&self, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
        let mut arena = self.arena.borrow_mut();
        arena.reset();
        match parse(text.as_bytes(), &arena).map_err(|error| error.message)? {
            Value::Map(entries) => write_row(&self.spec, entries, out),
            _ => Err("no JSON object".to_owned()),
        }
    }
}

impl Table for SqlTable {
    fn source(&self) -> &TableSource {
        &TableSource::Asked
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn patience(&self) -> Duration {
        self.spec.patience
    }

    fn wants(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }

    fn asking(&self) -> Asking {
        let keys: Vec<Box<[u8]>> = self.wanted.borrow().iter().cloned().collect();
        let link = Arc::clone(&self.link);
        Box::new(move || {
            let answers = link.ask(&keys)?;
            let found: Found = (keys, answers);
            Ok(Box::new(found) as Rows)
        })
    }

    fn install(&self, rows: Rows) {
        let Ok(found) = rows.downcast::<Found>() else { return };
        let (keys, answers) = *found;
        self.asked.update(|asked| asked + keys.len() as u64);
        for (key, answer) in keys.iter().zip(&answers) {
            self.remember(key, answer);
            self.wanted.borrow_mut().remove(key);
        }
    }

    fn size(&self) -> TableSize {
        let cache = self.cache.borrow();
        TableSize {
            rows: cache.rows() as u64,
            bytes: cache.bytes() as u64,
            refused: self.refused.get(),
            asked: self.asked.get(),
        }
    }

    fn feed(&self) -> &Feed {
        &self.feed
    }
}
