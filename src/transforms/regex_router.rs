//! RegexRouter: another topic, by a regular expression over its whole name.

use std::collections::HashMap;
use std::rc::Rc;

use millrace_api::config_def::{
    ConfigDef, ConfigError, ConfigKey, DefaultValue, Importance, Type, Validator,
};
use millrace_api::plugin::TransformationPlugin;
use millrace_api::record::Record;
use millrace_api::transformation::{Reads, Transformation};
use millrace_converters::{Arena, DataError};

use crate::java_regex::{Pattern, Replacement};

/// Topics whose route is remembered.
const REMEMBERED: usize = 1024;

/// `org.apache.kafka.connect.transforms.RegexRouter`.
pub const REGEX_ROUTER: TransformationPlugin = TransformationPlugin {
    class: "org.apache.kafka.connect.transforms.RegexRouter",
    config_def,
    new: |config| {
        let parsed = config_def().parse(config)?;
        let regex = parsed.string("regex");
        let pattern =
            Pattern::new(regex).map_err(|why| vec![ConfigError::invalid("regex", regex, &why)])?;
        Ok(Box::new(RegexRouter::new(pattern, parsed.string("replacement"))))
    },
};

fn config_def() -> ConfigDef {
    let key = |name: &'static str, documentation: &'static str| {
        ConfigKey::new(name, Type::String, DefaultValue::Required, Importance::High, documentation)
    };
    ConfigDef::new()
        .define(
            key("regex", "Regular expression to use for matching.")
                .check(Validator::Custom(|text| Pattern::new(text).map(drop))),
        )
        .define(key("replacement", "Replacement string."))
}

/// The transform; Debezium's routers route with it too.
pub struct RegexRouter {
    pattern: Pattern,
    replacement: Replacement,
    /// The new name of each topic met; `None`: it stays. A task meets few topics.
    routes: HashMap<String, Option<Rc<str>>>,
    /// The topic met last: the next record mostly has the same.
    last: Option<(String, Option<Rc<str>>)>,
}

impl RegexRouter {
    pub fn new(pattern: Pattern, replacement: &str) -> Self {
        Self {
            pattern,
            replacement: Replacement::new(replacement),
            routes: HashMap::new(),
            last: None,
        }
    }

    /// Where records of that topic go; `None`: the pattern is not that of the topic.
    pub fn route(&mut self, topic: &str) -> Result<Option<&str>, DataError> {
        if self.last.as_ref().is_none_or(|(last, _)| last != topic) {
            let route = self.look_up(topic)?;
            let (known, kept) = self.last.get_or_insert_default();
            known.clear();
            known.push_str(topic);
            *kept = route;
        }
        Ok(self.last.as_ref().and_then(|(_, route)| route.as_deref()))
    }

    fn look_up(&mut self, topic: &str) -> Result<Option<Rc<str>>, DataError> {
        if let Some(route) = self.routes.get(topic) {
            return Ok(route.clone());
        }
        let route = self.pattern.replace_first(topic, &self.replacement)?.map(Rc::from);
        if self.routes.len() >= REMEMBERED {
            self.routes.clear();
        }
        self.routes.insert(topic.to_owned(), route.clone());
        Ok(route)
    }
}

impl Transformation for RegexRouter {
    fn apply<'a>(
        &mut self,
        mut record: Record<'a>,
        arena: &'a Arena,
    ) -> Result<Option<Record<'a>>, DataError> {
        Ok(self.apply_in_place(&mut record, arena)?.then_some(record))
    }

    fn apply_in_place<'a>(
        &mut self,
        record: &mut Record<'a>,
        arena: &'a Arena,
    ) -> Result<bool, DataError> {
        if let Some(topic) = self.route(record.topic)? {
            record.topic = arena.alloc_str(topic);
        }
        Ok(true)
    }

    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    fn spares_sides(&self) -> bool {
        true
    }

    fn class_name(&self) -> &'static str {
        REGEX_ROUTER.class
    }
}
