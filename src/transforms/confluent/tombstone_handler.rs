//! TombstoneHandler: what becomes of records whose value is null.

use millrace_api::config_def::{ConfigDef, ConfigKey, DefaultValue, Importance, Type, Validator};
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Transformation};
use millrace_converters::{Arena, DataError};

use crate::requirements::is_null;

/// `io.confluent.connect.transforms.TombstoneHandler`.
pub const TOMBSTONE_HANDLER: TransformationPlugin = TransformationPlugin {
    class: "io.confluent.connect.transforms.TombstoneHandler",
    config_def,
    new: |config| {
        let parsed = config_def().parse(config)?;
        let behavior = match parsed.string("behavior").to_ascii_lowercase().as_str() {
            "drop_silent" => Behavior { drops: true, warns: false, fails: false },
            "drop_warn" => Behavior { drops: true, warns: true, fails: false },
            "fail" => Behavior { drops: false, warns: false, fails: true },
            "ignore" => Behavior { drops: false, warns: false, fails: false },
            _ => Behavior { drops: false, warns: true, fails: false },
        };
        Ok(Box::new(TombstoneHandler { behavior }))
    },
};

fn config_def() -> ConfigDef {
    ConfigDef::new().define(
        ConfigKey::new(
            "behavior",
            Type::String,
            DefaultValue::Of("warn"),
            Importance::Medium,
            "What becomes of a tombstone: <code>drop_silent</code> and <code>drop_warn</code> drop \
             it, <code>ignore</code> and <code>warn</code> pass it on, those with <code>warn</code> \
             after a line in the log; <code>fail</code> is an error.",
        )
        .check(Validator::OneOfIgnoreCase(&[
            "drop_silent",
            "drop_warn",
            "fail",
            "ignore",
            "warn",
        ])),
    )
}

struct Behavior {
    drops: bool,
    warns: bool,
    fails: bool,
}

struct TombstoneHandler {
    behavior: Behavior,
}

impl Transformation for TombstoneHandler {
    fn apply<'a>(
        &mut self,
        record: Record<'a>,
        _arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        if !is_null(&record.value.value) {
            return Ok(Some(record));
        }
        let Behavior { drops, warns, fails } = self.behavior;
        if fails {
            return Err(DataError::new(format!(
                "The record is a tombstone: its value is null (topic '{}')",
                record.topic
            )));
        }
        if warns {
            let what = if drops { "dropped" } else { "passed on" };
            let (topic, partition, offset) = (record.topic, record.partition, record.offset());
            tracing::warn!(topic, partition, offset, "A tombstone was {what}");
        }
        Ok((!drops).then_some(record))
    }

    /// Whether the value is null is seen without decoding it.
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    fn spares_sides(&self) -> bool {
        true
    }

    fn class_name(&self) -> &'static str {
        TOMBSTONE_HANDLER.class
    }
}
