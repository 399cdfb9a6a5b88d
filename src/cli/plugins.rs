//! Everything that is built in, gathered once.

use std::io::Write;
use std::sync::Arc;

use millrace_api::plugin::Plugins;

use super::Failure;

pub(crate) fn gather() -> Arc<Plugins> {
    Arc::new(Plugins {
        connectors: millrace_connectors::plugins(),
        converters: millrace_api::builtin_converters::converters(),
        header_converters: millrace_api::builtin_converters::header_converters(),
        transformations: millrace_transforms::transformations(),
        predicates: millrace_transforms::predicates(),
    })
}

/// `millrace plugins`: kind and class, one a line.
pub(crate) fn print() -> Result<(), Failure> {
    let plugins = gather();
    let mut lines = Vec::new();
    for plugin in &plugins.connectors {
        lines.push((if plugin.is_sink() { "sink" } else { "source" }, plugin.class));
    }
    lines.extend(plugins.converters.iter().map(|plugin| ("converter", plugin.class)));
    lines.extend(plugins.header_converters.iter().map(|plugin| ("header converter", plugin.class)));
    lines.extend(plugins.transformations.iter().map(|plugin| ("transformation", plugin.class)));
    lines.extend(plugins.predicates.iter().map(|plugin| ("predicate", plugin.class)));
    let mut out = std::io::stdout().lock();
    for (kind, class) in lines {
        // A closed pipe (`millrace plugins | head`) is no error.
        if writeln!(out, "{kind:16} {class}").is_err() {
            break;
        }
    }
    Ok(())
}
