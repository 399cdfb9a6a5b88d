//! The contract of a single message transform and of a predicate.

use std::rc::Rc;

use millrace_converters::{Arena, DataError};

use crate::record::Record;
use crate::table::TableUse;

/// `org.apache.kafka.connect.transforms.Transformation`, on borrowed records.
///
/// Configured when made, then called once per record, in order, on one core. It may keep caches of
/// its own (schemas), never anything of a batch.
pub trait Transformation {
    /// `Ok(None)` drops the record. An error is this record's; `errors.tolerance` decides.
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError>;

    /// [`Self::apply`] to the record where it stands, `false` drops it: for what changes little of a
    /// record, which is large, so that handing it on would cost more. After an error it is as it was.
    fn apply_in_place<'a>(
        &mut self,
        record: &mut Record<'a>,
        arena: &'a Arena,
    ) -> Result<bool, DataError> {
        let applied = self.apply(*record, arena)?;
        let kept = applied.is_some();
        if let Some(next) = applied {
            *record = next;
        }
        Ok(kept)
    }

    /// What the transform does to the top-level members of a schemaless JSON object, if that is all
    /// it does; the chain then patches the text instead of calling [`Self::apply`].
    fn json_ops(&self) -> Option<JsonOps> {
        None
    }

    /// What [`Self::apply`] looks at; the rest need not be decoded for it.
    fn reads(&self) -> Reads {
        Reads::default()
    }

    /// Whether JSON text ([`millrace_converters::Value::Json`]) is as good for [`Self::apply`] as
    /// typed values, so that the record need not be parsed for it.
    fn takes_text(&self) -> bool {
        false
    }

    /// What [`Self::apply`] looks for in JSON text of that side. The text of a document may then tell
    /// where it stands, so that nobody need search it.
    fn sought(&self, _side: Side) -> Option<Rc<Sought>> {
        None
    }

    /// The table that it joins with: the worker fills it before the first record and keeps it up to
    /// date.
    fn table(&self) -> Option<TableUse> {
        None
    }

    /// Whether [`Self::prefetch`] does anything: records then come in small groups.
    fn prefetches(&self) -> bool {
        false
    }

    /// Sees the records that come to [`Self::apply`] next, in their order, so that the memory that
    /// they will need is on its way when they do. Only a hint: some of them may not come. What is
    /// found out of a record's text may be left with it ([`Sought::note`]); it says the same
    /// afterwards.
    fn prefetch<'a>(&mut self, _records: &mut [Record<'a>], _arena: &'a Arena) {}

    /// Leaves key, value, partition and timestamp as they are: it routes, drops records, fails or
    /// looks after headers. What comes behind may then be done to the text before it.
    fn spares_sides(&self) -> bool {
        false
    }

    /// Leaves that side, partition and timestamp as they are, and takes of JSON text there only what it
    /// has [`Self::sought`], which it finds by [`Sought::taken`]. What comes behind may then be done to
    /// the side's text before it.
    fn stands_beside(&self, side: Side) -> bool {
        self.spares_sides() || self.json_ops().is_some_and(|edit| edit.side != side)
    }

    /// The Java class, for error contexts.
    fn class_name(&self) -> &'static str;
}

/// Which side, and the operations in order.
pub struct JsonOps {
    pub side: Side,
    pub ops: Vec<JsonOp>,
}

/// The half of a record that a `$Key` or `$Value` transform works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Key,
    Value,
}

pub use millrace_converters::json::patch::{Call, JsonOp, Quick};
pub use millrace_converters::json::sought::Sought;

/// Parts of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    pub key: bool,
    pub value: bool,
    pub headers: bool,
}

impl Default for Reads {
    fn default() -> Self {
        Self { key: true, value: true, headers: true }
    }
}

impl Reads {
    /// Only topic, partition, timestamp and whether the sides are null.
    pub const NOTHING: Reads = Reads { key: false, value: false, headers: false };
}

/// `org.apache.kafka.connect.transforms.predicates.Predicate`.
pub trait Predicate {
    fn test(&self, record: &Record<'_>) -> Result<bool, DataError>;

    fn reads(&self) -> Reads {
        Reads::default()
    }

    /// The answer holds for all records of one topic.
    fn by_topic_only(&self) -> bool {
        false
    }

    fn class_name(&self) -> &'static str;
}
