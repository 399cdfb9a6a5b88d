//! `/connector-plugins`.

use axum::http::StatusCode;
use millrace_herder::api::config_def::ConfigDef;
use millrace_herder::api::plugin::Plugins;
use millrace_herder::config_infos::ConfigKeyInfo;
use millrace_herder::connector_config::all_keys;
use millrace_herder::requests::Request;
use serde::Serialize;

use crate::answer::{Failure, Outcome, ok};
use crate::app::App;
use crate::body;

/// The version of everything that is built in and has none of its own.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct PluginInfo {
    class: &'static str,
    #[serde(rename = "type")]
    type_: &'static str,
    version: &'static str,
}

/// Sinks, then sources; then everything else, if asked for.
pub(crate) fn list(plugins: &Plugins, connectors_only: bool) -> Outcome {
    let mut all = Vec::new();
    for (sink, type_) in [(true, "sink"), (false, "source")] {
        let kind = plugins.connectors.iter().filter(|plugin| plugin.is_sink() == sink);
        all.extend(sorted(kind.map(|plugin| (plugin.class, plugin.version)), type_));
    }
    if !connectors_only {
        let transforms = plugins.transformations.iter().map(|plugin| (plugin.class, VERSION));
        all.extend(sorted(transforms, "transformation"));
        let predicates = plugins.predicates.iter().map(|plugin| (plugin.class, VERSION));
        all.extend(sorted(predicates, "predicate"));
        all.extend(sorted(
            plugins.converters.iter().map(|plugin| (plugin.class, VERSION)),
            "converter",
        ));
        let headers = plugins.header_converters.iter().map(|plugin| (plugin.class, VERSION));
        all.extend(sorted(headers, "header_converter"));
    }
    ok(&all)
}

fn sorted(
    plugins: impl Iterator<Item = (&'static str, &'static str)>,
    type_: &'static str,
) -> Vec<PluginInfo> {
    let info = |(class, version)| PluginInfo { class, type_, version };
    let mut infos: Vec<_> = plugins.map(info).collect();
    infos.sort_by_key(|info| info.class);
    infos
}

/// The keys of any plug-in.
pub(crate) fn config(plugins: &Plugins, name: &str) -> Outcome {
    let def: Option<ConfigDef> = plugins
        .connector(name)
        .map(all_keys)
        .or_else(|| plugins.converter(name).map(|found| (found.config_def)()))
        .or_else(|| plugins.header_converter(name).map(|found| (found.config_def)()))
        .or_else(|| plugins.transformation(name).map(|found| (found.config_def)()))
        .or_else(|| plugins.predicate(name).map(|found| (found.config_def)()));
    match def {
        Some(def) => ok(&def.keys.iter().map(ConfigKeyInfo::new).collect::<Vec<_>>()),
        None => Err(Failure::new(StatusCode::NOT_FOUND, format!("Unknown plugin {name}."))),
    }
}

/// `PUT …/config/validate`: 200 also when there are errors.
pub(crate) async fn validate(app: &App, plugin: String, bytes: &[u8]) -> Outcome {
    let config = body::config(bytes)?;
    ok(&app.ask(|reply| Request::Validate { plugin, config, reply }).await?)
}
