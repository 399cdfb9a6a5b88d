//! The list of plug-ins, and how a class name or alias finds one.

use millrace_converters::{Converter, HeaderConverter};

use crate::Config;
use crate::config_def::{ConfigDef, ConfigError};
use crate::connector::ConnectorPlugin;
use crate::transformation::{Predicate, Transformation};

/// A plug-in made from its configuration, or everything that is wrong with that.
pub type Made<T> = Result<Box<T>, Vec<ConfigError>>;

/// A converter; `new` gets its own keys, prefix stripped, and whether it is the key's.
#[derive(Clone, Copy)]
pub struct ConverterPlugin {
    pub class: &'static str,
    pub config_def: fn() -> ConfigDef,
    pub new: fn(&Config, bool) -> Made<dyn Converter>,
}

#[derive(Clone, Copy)]
pub struct HeaderConverterPlugin {
    pub class: &'static str,
    pub config_def: fn() -> ConfigDef,
    pub new: fn(&Config) -> Made<dyn HeaderConverter>,
}

/// A transform; `new` gets its own keys, prefix stripped.
#[derive(Clone, Copy)]
pub struct TransformationPlugin {
    pub class: &'static str,
    pub config_def: fn() -> ConfigDef,
    pub new: fn(&Config) -> Made<dyn Transformation>,
}

#[derive(Clone, Copy)]
pub struct PredicatePlugin {
    pub class: &'static str,
    pub config_def: fn() -> ConfigDef,
    pub new: fn(&Config) -> Made<dyn Predicate>,
}

/// Everything that is built in.
#[derive(Clone, Default)]
pub struct Plugins {
    pub connectors: Vec<ConnectorPlugin>,
    pub converters: Vec<ConverterPlugin>,
    pub header_converters: Vec<HeaderConverterPlugin>,
    pub transformations: Vec<TransformationPlugin>,
    pub predicates: Vec<PredicatePlugin>,
}

impl Plugins {
    pub fn connector(&self, name: &str) -> Option<&ConnectorPlugin> {
        self.connectors
            .iter()
            .find(|plugin| plugin.also.contains(&name))
            .or_else(|| find(&self.connectors, name, "Connector", |plugin| plugin.class))
    }

    pub fn converter(&self, name: &str) -> Option<&ConverterPlugin> {
        find(&self.converters, name, "Converter", |plugin| plugin.class)
    }

    pub fn header_converter(&self, name: &str) -> Option<&HeaderConverterPlugin> {
        find(&self.header_converters, name, "HeaderConverter", |plugin| plugin.class)
            .or_else(|| find(&self.header_converters, name, "Converter", |plugin| plugin.class))
    }

    pub fn transformation(&self, name: &str) -> Option<&TransformationPlugin> {
        find(&self.transformations, name, "Transformation", |plugin| plugin.class)
    }

    pub fn predicate(&self, name: &str) -> Option<&PredicatePlugin> {
        find(&self.predicates, name, "Predicate", |plugin| plugin.class)
    }
}

/// By full class name, by simple name, or by simple name without `suffix`; an alias that two
/// plug-ins share finds neither, as in the JVM.
fn find<'a, T>(
    list: &'a [T],
    name: &str,
    suffix: &str,
    class: fn(&T) -> &'static str,
) -> Option<&'a T> {
    if let Some(found) = list.iter().find(|item| class(item) == name) {
        return Some(found);
    }
    let mut matching = list.iter().filter(|item| {
        let class = class(item);
        let simple = class.rsplit('.').next().unwrap_or(class);
        simple == name || simple.strip_suffix(suffix) == Some(name)
    });
    let first = matching.next()?;
    if matching.next().is_some() { None } else { Some(first) }
}
