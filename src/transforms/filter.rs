//! Filter: drops every record that reaches it; a predicate decides which do.

use millrace_api::config_def::ConfigDef;
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Transformation};
use millrace_converters::{Arena, DataError};

/// `org.apache.kafka.connect.transforms.Filter`.
pub const FILTER: TransformationPlugin = TransformationPlugin {
    class: "org.apache.kafka.connect.transforms.Filter",
    config_def: ConfigDef::new,
    new: |_| Ok(Box::new(Filter)),
};

struct Filter;

impl Transformation for Filter {
    fn apply<'a>(
        &mut self,
        _record: Record<'a>,
        _arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        Ok(None)
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    fn spares_sides(&self) -> bool {
        true
    }

    fn class_name(&self) -> &'static str {
        FILTER.class
    }
}
