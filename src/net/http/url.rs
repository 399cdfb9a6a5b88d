//! The part of a URL that a client needs: where to connect and what to ask for.

use std::fmt;

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An absolute `http` or `https` URL. The fragment is dropped when parsed: it is never sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    pub scheme: Scheme,
    /// Lower-case; an IPv6 address stands without its brackets.
    pub host: String,
    /// The scheme's own port if the URL names none.
    pub port: u16,
    /// Begins with `/`; percent-encoded by whoever made the URL; sent as it is.
    pub path_and_query: String,
    /// What stood before `@`, as written. The client does not send it by itself.
    pub user_info: Option<String>,
}

impl Url {
    /// Reads `http[s]://[user-info@]host[:port][/path][?query]`. The error says what is wrong, without
    /// repeating the user-info.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) =
            text.split_once("://").ok_or("a URL begins with http:// or https://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(format!("the URL scheme '{other}' is neither http nor https")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(split);
        let (user_info, host_port) = match authority.rsplit_once('@') {
            Some((user, host_port)) => (Some(user.to_owned()), host_port),
            None => (None, authority),
        };
        let (host, port) = split_host_port(host_port)?;
        let port = port.unwrap_or(scheme.default_port());
        let url = Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port,
            path_and_query: String::new(),
            user_info,
        };
        check_target(target)?;
        Ok(url.with_path(target))
    }

    /// The same server, another path and query. A missing `/` at the front is put there.
    pub fn with_path(&self, path_and_query: impl Into<String>) -> Self {
        let mut path_and_query = path_and_query.into();
        if !path_and_query.starts_with('/') {
            path_and_query.insert(0, '/');
        }
        Self { path_and_query, ..self.clone() }
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query.split_once('?').map(|(_, query)| query)
    }

    /// `host[:port]` as the `Host` header has it: the scheme's own port is left out.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            bracketed(&self.host)
        } else {
            self.host_and_port()
        }
    }

    /// `host:port`, always with the port.
    pub fn host_and_port(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }
}

/// Without user-info: made for logs and errors.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.path_and_query)
    }
}

impl std::str::FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Splits `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split_host_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the URL's '[' has no ']'")?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| format!("'{host}' is not an IPv6 address"))?;
        match after.strip_prefix(':') {
            Some(port) => (host, port),
            None if after.is_empty() => (host, ""),
            None => return Err(format!("'{after}' follows the URL's host")),
        }
    } else {
        let (host, port) = text.split_once(':').unwrap_or((text, ""));
        if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)) {
            return Err(format!("'{host}' is not a host name"));
        }
        (host, port)
    };
    if host.is_empty() {
        return Err("the URL has no host".to_owned());
    }
    match port {
        "" => Ok((host, None)),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .map(|port| (host, Some(port)))
            .ok_or_else(|| format!("'{digits}' is not a port")),
        other => Err(format!("'{other}' is not a port")),
    }
}

/// Only visible ASCII may stand in a request line; anything else would end it early.
pub(super) fn check_target(target: &str) -> Result<(), String> {
    match target.chars().find(|c| !c.is_ascii_graphic()) {
        Some(c) => Err(format!("{c:?} in a URL's path or query must be percent-encoded")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts() {
        let url = Url::parse("https://Bucket.Example.com/a/b?list-type=2#frag").unwrap();
        assert_eq!(url.scheme, Scheme::Https);
        assert_eq!(url.host, "bucket.example.com");
        assert_eq!(url.port, 443);
        assert_eq!(url.path_and_query, "/a/b?list-type=2");
        assert_eq!((url.path(), url.query()), ("/a/b", Some("list-type=2")));
        assert_eq!(url.authority(), "bucket.example.com");
        assert_eq!(url.to_string(), "https://bucket.example.com/a/b?list-type=2");
        let url = Url::parse("http://u:p@[::1]:9000?x").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 9000));
        assert_eq!(url.path_and_query, "/?x");
        assert_eq!(url.user_info.as_deref(), Some("u:p"));
        assert_eq!(url.authority(), "[::1]:9000");
        assert!(!url.to_string().contains("u:p"));
        assert_eq!(Url::parse("http://h").unwrap().with_path("k").path_and_query, "/k");
        assert_eq!(Url::parse("HTTP://h:80/").unwrap().authority(), "h");
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "h/p",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://h:0/",
            "http://h:99999/",
            "http://h:8a/",
            "http://[::1/",
            "http://[zz]/",
            "http://[::1]x/",
            "http://a b/",
            "http://h/a b",
            "http://h/a\r\nX: y",
            "http://h/ü",
            "http://a:1:2/",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_prints_what_it_parsed(text in "(http://)?\\PC{0,40}") {
            if let Ok(url) = Url::parse(&text) {
                let again = Url::parse(&url.to_string()).unwrap();
                prop_assert_eq!(again, Url { user_info: None, ..url });
            }
        }
    }
}
