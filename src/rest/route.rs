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

impl Route {
    /// `None`: there is nothing at this path.
    pub fn of(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts = Vec::new();
        for part in path.split('/') {
            parts.push(percent_decode_str(part).decode_utf8().ok()?.into_owned());
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let route = match parts.as_slice() {
            [""] => Self::Root,
            ["health"] => Self::Health,
            ["metrics"] => Self::Metrics,
            ["connectors"] => Self::Connectors,
            ["connectors", "", ..] => return None,
            ["connectors", name, rest @ ..] => return Self::of_connector((*name).to_owned(), rest),
            ["connector-plugins"] => Self::Plugins,
            ["connector-plugins", name, "config"] => Self::PluginConfig((*name).to_owned()),
            ["connector-plugins", name, "config", "validate"] => {
                Self::PluginValidate((*name).to_owned())
            }
            ["admin", "loggers"] => Self::Loggers,
            ["admin", "loggers", name] => Self::Logger((*name).to_owned()),
            _ => return None,
        };
        Some(route)
    }

    fn of_connector(name: String, rest: &[&str]) -> Option<Self> {
        Some(match rest {
            [] => Self::Connector(name),
            ["config"] => Self::Config(name),
            ["status"] => Self::Status(name),
            ["pause"] => Self::Pause(name),
            ["resume"] => Self::Resume(name),
            ["stop"] => Self::Stop(name),
            ["restart"] => Self::Restart(name),
            ["tasks"] => Self::Tasks(name),
            ["tasks", task, "status"] => Self::TaskStatus(name, task.parse().ok()?),
            ["tasks", task, "restart"] => Self::TaskRestart(name, task.parse().ok()?),
            ["topics"] => Self::Topics(name),
            ["topics", "reset"] => Self::TopicsReset(name),
            ["offsets"] => Self::Offsets(name),
            ["fence"] => Self::Fence(name),
            _ => return None,
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
            Self::Topics(_) | Self::Plugins | Self::PluginConfig(_) | Self::Loggers => GET,
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
