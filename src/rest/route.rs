//! The map of paths. A trailing slash is as good as none; names are percent-decoded, so that an
//! encoded slash may stand in a name (the JVM's server refuses those).

use axum::http::Method;
use percent_encoding::percent_decode_str;

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Root,
    Health,
    Metrics,
    OpenApi,
    Connectors,
    Connector(String),
    Config(String),
    Status(String),
    Pause(String),
    Resume(String),
    Stop(String),
    Restart(String),
    Tasks(String),
    TaskStatus(String, u32),
    TaskRestart(String, u32),
    Topics(String),
    TopicsReset(String),
    Offsets(String),
    Fence(String),
    Plugins,
    PluginConfig(String),
    PluginValidate(String),
    Loggers,
    Logger(String),
}

/// Every path and what it leads to, given what stands in its places.
pub(crate) const PATHS: &[(&str, Place)] = &[
    ("/", |_| Some(Route::Root)),
    ("/health", |_| Some(Route::Health)),
    ("/metrics", |_| Some(Route::Metrics)),
    ("/openapi.json", |_| Some(Route::OpenApi)),
    ("/connectors", |_| Some(Route::Connectors)),
    ("/connectors/{connector}", |at| named(at, Route::Connector)),
    ("/connectors/{connector}/config", |at| named(at, Route::Config)),
    ("/connectors/{connector}/status", |at| named(at, Route::Status)),
    ("/connectors/{connector}/pause", |at| named(at, Route::Pause)),
    ("/connectors/{connector}/resume", |at| named(at, Route::Resume)),
    ("/connectors/{connector}/stop", |at| named(at, Route::Stop)),
    ("/connectors/{connector}/restart", |at| named(at, Route::Restart)),
    ("/connectors/{connector}/tasks", |at| named(at, Route::Tasks)),
    ("/connectors/{connector}/tasks/{task}/status", |at| task(at, Route::TaskStatus)),
    ("/connectors/{connector}/tasks/{task}/restart", |at| task(at, Route::TaskRestart)),
    ("/connectors/{connector}/topics", |at| named(at, Route::Topics)),
    ("/connectors/{connector}/topics/reset", |at| named(at, Route::TopicsReset)),
    ("/connectors/{connector}/offsets", |at| named(at, Route::Offsets)),
    ("/connectors/{connector}/fence", |at| named(at, Route::Fence)),
    ("/connector-plugins", |_| Some(Route::Plugins)),
    ("/connector-plugins/{plugin}/config", |at| named(at, Route::PluginConfig)),
    ("/connector-plugins/{plugin}/config/validate", |at| named(at, Route::PluginValidate)),
    ("/admin/loggers", |_| Some(Route::Loggers)),
    ("/admin/loggers/{logger}", |at| named(at, Route::Logger)),
];

/// Makes the route of what stands in a path's places; `None` where that cannot be.
type Place = fn(&[&str]) -> Option<Route>;

fn named(at: &[&str], route: fn(String) -> Route) -> Option<Route> {
    at.first().map(|name| route((*name).to_owned()))
}

fn task(at: &[&str], route: fn(String, u32) -> Route) -> Option<Route> {
    Some(route((*at.first()?).to_owned(), at.get(1)?.parse().ok()?))
}

fn segments(template: &str) -> impl Iterator<Item = &str> {
    template.trim_start_matches('/').split('/')
}

impl Route {
    /// `None`: there is nothing at this path.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts = Vec::new();
        for part in path.split('/') {
            parts.push(percent_decode_str(part).decode_utf8().ok()?.into_owned());
        }
        PATHS.iter().find_map(|(template, route)| {
            let segments: Vec<&str> = segments(template).collect();
            if segments.len() != parts.len() {
                return None;
            }
            let mut places = Vec::new();
            for (segment, part) in segments.into_iter().zip(&parts) {
                match segment.starts_with('{') {
                    true if !part.is_empty() || segment == "{logger}" => places.push(part.as_str()),
                    false if segment == part => {}
                    _ => return None,
                }
            }
            route(&places)
        })
    }

    /// What the resource can be asked.
    pub fn methods(&self) -> &'static [Method] {
        const GET: &[Method] = &[Method::GET];
        const PUT: &[Method] = &[Method::PUT];
        const POST: &[Method] = &[Method::POST];
        match self {
            Self::Root | Self::Health | Self::Metrics | Self::Status(_) | Self::TaskStatus(..) => {
                GET
            }
            Self::OpenApi | Self::Topics(_) | Self::Plugins | Self::PluginConfig(_) => GET,
            Self::Loggers => GET,
            Self::Connectors | Self::Tasks(_) => &[Method::POST, Method::GET],
            Self::Connector(_) => &[Method::DELETE, Method::GET],
            Self::Config(_) => &[Method::PATCH, Method::GET, Method::PUT],
            Self::Pause(_) | Self::Resume(_) | Self::Stop(_) | Self::Fence(_) => PUT,
            Self::TopicsReset(_) | Self::PluginValidate(_) => PUT,
            Self::Restart(_) | Self::TaskRestart(..) => POST,
            Self::Offsets(_) => &[Method::DELETE, Method::PATCH, Method::GET],
            Self::Logger(_) => &[Method::GET, Method::PUT],
        }
    }

    pub fn is_admin(&self) -> bool {
        matches!(self, Self::Loggers | Self::Logger(_))
    }
}

/// The first value of a query parameter, decoded.
pub(crate) fn query<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        (decode(key) == name).then(|| decode(value))
    })
}

/// Java's `Boolean.valueOf`: anything but `true` is false.
pub(crate) fn flag(text: &str, name: &str, default: bool) -> bool {
    query(text, name).next().map_or(default, |value| value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let named = |name: &str| name.to_owned();
        for (path, route) in [
            ("/", Some(Route::Root)),
            ("/connectors/", Some(Route::Connectors)),
            ("/connectors/a%20b%2Fc%C3%A9/status", Some(Route::Status(named("a b/cé")))),
            ("/connectors/a/tasks/7/restart/", Some(Route::TaskRestart(named("a"), 7))),
            ("/connectors/a/tasks/x/status", None),
            ("/connectors//status", None),
            ("/connectors/%ff", None),
            ("//connectors", None),
            ("/connectors/a/tasks-config", None),
            ("/admin/loggers/org.x", Some(Route::Logger(named("org.x")))),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn query_parameters() {
        let all: Vec<_> = query("expand=a&x&expand=b%20c+d", "expand").collect();
        assert_eq!(all, ["a", "b c d"]);
        assert!(flag("includeTasks=TRUE", "includeTasks", false));
        assert!(!flag("includeTasks=yes", "includeTasks", true));
        assert!(flag("", "connectorsOnly", true));
    }
}
