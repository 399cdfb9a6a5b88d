//! `listeners` and `response.http.headers.config`.

use millrace_api::config_def::split_list;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `https`.
    pub tls: bool,
    /// Empty: every interface.
    pub host: String,
    /// 0: any free port.
    pub port: u16,
}

impl Listener {
    /// Of `http://host:port` or `https://host:port`; `[::1]` for IPv6.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "must be of the form http://host:port or https://host:port";
        let (scheme, rest) = text.trim().split_once("://").ok_or(form)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => return Err(format!("protocol {other} is neither http nor https; it {form}")),
        };
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or(form)?;
        let port = port.parse().map_err(|_| format!("'{port}' is not a port; it {form}"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(form.to_owned());
        }
        Ok(Self { tls, host: bare.unwrap_or(host).to_owned(), port })
    }
}

impl Listener {
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// With a trailing slash, as workers tell one another; `port` is the bound one.
    pub fn url(&self, port: u16) -> String {
        format!("{}://{}:{port}/", self.scheme(), bracketed(&self.host))
    }
}

/// An IPv6 address as it stands in a URL.
pub fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A check for the worker's definition.
pub fn check(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("at least one listener must be given, for example http://:8083".to_owned());
    }
    check_admin(text)
}

/// As [`check`]; an empty list switches the admin API off.
pub fn check_admin(text: &str) -> Result<(), String> {
    for listener in split_list(text) {
        Listener::parse(&listener).map_err(|why| format!("{listener}: {why}"))?;
    }
    Ok(())
}

/// One rule of `response.http.headers.config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHeader {
    pub action: HeaderAction,
    pub name: String,
    pub value: String,
}

/// What to do with a response's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderAction {
    Set,
    Add,
    /// The value is milliseconds added to the time of the answer.
    SetDate,
    AddDate,
}

/// A check for the worker's definition.
pub fn check_headers(text: &str) -> Result<(), String> {
    headers(text).map(|_| ())
}

/// `[action] [name]:[value], …`; a rule with commas stands in double quotes.
pub fn headers(text: &str) -> Result<Vec<ResponseHeader>, String> {
    rules(text).iter().map(|rule| header(rule.trim())).collect()
}

fn rules(text: &str) -> Vec<String> {
    let mut rules = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => rules.push(String::new()),
            _ => rules.last_mut().into_iter().for_each(|rule| rule.push(c)),
        }
    }
    rules.retain(|rule| !rule.trim().is_empty());
    rules
}

fn header(rule: &str) -> Result<ResponseHeader, String> {
    let form = format!("Invalid format for HTTP header '{rule}': [action] [name]:[value] is due");
    let mut parts = rule.split(':');
    let (Some(head), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(form);
    };
    let (action, name) = head.trim().split_once(char::is_whitespace).ok_or(form)?;
    let action = match action.to_ascii_lowercase().as_str() {
        "set" => HeaderAction::Set,
        "add" => HeaderAction::Add,
        "setdate" => HeaderAction::SetDate,
        "adddate" => HeaderAction::AddDate,
        _ => {
            return Err(format!(
                "Invalid HTTP header action '{action}': one of set, add, setDate, addDate is due"
            ));
        }
    };
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(format!("Invalid HTTP header name '{name}': it must not contain white space"));
    }
    if !name.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;\\\"/[]?={}".contains(&b))
        || !value.bytes().all(|b| (b' '..=b'~').contains(&b))
    {
        return Err(format!("Invalid HTTP header '{name}: {value}': unprintable characters"));
    }
    let date = matches!(action, HeaderAction::SetDate | HeaderAction::AddDate);
    if date && value.parse::<i64>().is_err() {
        return Err(format!("Invalid HTTP header date '{value}': a number of milliseconds is due"));
    }
    Ok(ResponseHeader { action, name: name.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_of_all_forms() {
        let parsed = |text| Listener::parse(text).map(|l| (l.host, l.port));
        assert_eq!(parsed("http://:8083"), Ok((String::new(), 8083)));
        assert_eq!(parsed("HTTP://[::1]:0"), Ok(("::1".to_owned(), 0)));
        assert_eq!(parsed("http://a.b:1/"), Ok(("a.b".to_owned(), 1)));
        for wrong in
            ["", "a:1", "ftp://a:1", "http://a", "http://a:x", "http://a:99999", "http://::1"]
        {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        assert!(Listener::parse("https://a:1").unwrap().tls);
        assert!(!Listener::parse("http://a:1").unwrap().tls);
        assert_eq!(Listener::parse("HTTPS://[::1]:0").unwrap().url(7), "https://[::1]:7/");
    }

    #[test]
    fn header_rules() {
        let text =
            "set X-Frame-Options: DENY, \"add Cache-Control:no-cache, no-store\",setDate E:1";
        let rules = headers(text).unwrap();
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[1].value, "no-cache, no-store");
        assert_eq!(rules[2].action, HeaderAction::SetDate);
        for wrong in
            ["set X", "X:Y", "put X:Y", "set X:Y:Z", "set a b:c", "setDate X:Y", "set X:\u{1}"]
        {
            assert!(headers(wrong).is_err(), "{wrong}");
        }
        assert!(headers("").unwrap().is_empty());
    }
}
