//! RecordIsTombstone: records whose value is null.

use millrace_api::config_def::ConfigDef;
use millrace_api::plugin::PredicatePlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Predicate, Reads};
use millrace_converters::DataError;

use crate::requirements::is_null;

/// `org.apache.kafka.connect.transforms.predicates.RecordIsTombstone`.
pub const RECORD_IS_TOMBSTONE: PredicatePlugin = PredicatePlugin {
    class: "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
    config_def: ConfigDef::new,
    new: |_| Ok(Box::new(RecordIsTombstone)),
};

struct RecordIsTombstone;

impl Predicate for RecordIsTombstone {
    fn test(&self, record: &Record<'_>) -> Result<bool, DataError> {
        Ok(is_null(&record.value.value))
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    fn class_name(&self) -> &'static str {
        RECORD_IS_TOMBSTONE.class
    }
}
