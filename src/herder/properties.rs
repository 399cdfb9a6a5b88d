//! Java `.properties` text, and the connector files of `connect-standalone`.
//!
//! Escapes, continuation lines and separators are those of `java.util.Properties.load`. Bytes are
//! UTF-8; a file that is not valid UTF-8 is read as ISO-8859-1, which is how the JVM reads all of
//! them (plain ASCII is the same either way).

use std::path::Path;

use millrace_api::Config;
use millrace_worker::command::TargetState;

/// Reads a properties file. The error names the file.
pub fn load(path: &Path) -> Result<Config, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(parse(&text(&bytes)))
}

/// The file's characters; see the module's words on encodings.
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

/// All keys and values; of a key given twice the last value counts.
pub fn parse(text: &str) -> Config {
    logical_lines(text).iter().map(|line| split(line)).collect()
}

/// Joins continuation lines and drops comments and blank lines; escapes are still in place.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for natural in text.split('\n').flat_map(|line| line.trim_end_matches('\r').split('\r')) {
        let part = natural.trim_start_matches([' ', '\t', '\x0c']);
        if open.is_none() && (part.is_empty() || part.starts_with(['#', '!'])) {
            continue;
        }
        let mut line = open.take().unwrap_or_default();
        let backslashes = part.len() - part.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            line.push_str(&part[..part.len() - 1]);
            open = Some(line);
        } else {
            line.push_str(part);
            lines.push(line);
        }
    }
    lines.extend(open.filter(|line| !line.is_empty()));
    lines
}

/// The key ends at the first unescaped `=`, `:` or white space.
fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    let mut end = line.len();
    for (at, c) in line.char_indices() {
        if !escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\x0c') {
            end = at;
            break;
        }
        escaped = !escaped && c == '\\';
    }
    let white = [' ', '\t', '\x0c'];
    let mut value = line[end..].trim_start_matches(white);
    if let Some(rest) = value.strip_prefix(['=', ':']) {
        value = rest.trim_start_matches(white);
    }
    (unescape(&line[..end]), unescape(value))
}

fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    // UTF-16 units, because \u escapes give halves of a surrogate pair.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', None) => break,
            ('\\', Some('t')) => '\t',
            ('\\', Some('n')) => '\n',
            ('\\', Some('r')) => '\r',
            ('\\', Some('f')) => '\x0c',
            ('\\', Some('u')) => match unit(chars.as_str()) {
                Some(unit) => {
                    chars.nth(3);
                    units.push(unit);
                    continue;
                }
                // Java refuses the file; a letter u is the kinder reading.
                None => 'u',
            },
            ('\\', Some(other)) => other,
            (plain, _) => plain,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16_lossy(&units)
}

/// The four hexadecimal digits that `text` begins with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

/// A connector as a file on the command line gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorFile {
    pub name: String,
    pub config: Config,
    /// `initial_state`; a connector starts as STARTED without it.
    pub target: TargetState,
}

/// Reads a connector file: properties, a flat JSON object with `name`, or a JSON object with
/// `name`, `config` and perhaps `initial_state`. The error says which file and what is wrong.
pub fn load_connector(path: &Path) -> Result<ConnectorFile, String> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
    connector(&text(&bytes)).map_err(|error| format!("{shown}: {error}"))
}

/// As [`load_connector`], of the file's text.
pub fn connector(text: &str) -> Result<ConnectorFile, String> {
    let (config, name, target) = parts(text)?;
    let name = name
        .or_else(|| config.get("name").map(|name| name.trim().to_owned()))
        .filter(|name| !name.is_empty())
        .ok_or("the connector has no 'name'; add name=<a unique name>")?;
    let mut config = config;
    config.entry("name".to_owned()).or_insert_with(|| name.clone());
    Ok(ConnectorFile { name, config, target })
}

/// A connector file's settings, for what needs no connector: the name may be missing.
pub fn load_settings(path: &Path) -> Result<Config, String> {
    let shown = path.display();
    let bytes = std::fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
    let (mut config, name, _) =
        parts(&text(&bytes)).map_err(|error| format!("{shown}: {error}"))?;
    if let Some(name) = name {
        config.entry("name".to_owned()).or_insert(name);
    }
    Ok(config)
}

/// Settings, the name that stands beside them, and the initial state.
type Parts = (Config, Option<String>, TargetState);

fn parts(text: &str) -> Result<Parts, String> {
    if text.trim_start().starts_with('{') {
        json_connector(text)
    } else {
        Ok((parse(text), None, TargetState::Started))
    }
}

fn json_connector(text: &str) -> Result<Parts, String> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("not valid JSON: {error}"))?;
    let object = value.as_object().ok_or("a connector file in JSON must be an object")?;
    let Some(inner) = object.get("config").and_then(|config| config.as_object()) else {
        return Ok((flat(object)?, None, TargetState::Started));
    };
    if let Some(odd) =
        object.keys().find(|key| !matches!(key.as_str(), "name" | "config" | "initial_state"))
    {
        return Err(format!("unknown field '{odd}' beside 'name', 'config' and 'initial_state'"));
    }
    let name = object.get("name").and_then(|name| name.as_str()).map(|name| name.trim().to_owned());
    let target = match object.get("initial_state") {
        None | Some(serde_json::Value::Null) => TargetState::Started,
        Some(state) => initial_state(state.as_str().unwrap_or_default())
            .ok_or_else(|| format!("initial_state {state} is none of RUNNING, PAUSED, STOPPED"))?,
    };
    Ok((flat(inner)?, name, target))
}

/// `RUNNING`, `PAUSED` or `STOPPED`, in any case.
pub fn initial_state(text: &str) -> Option<TargetState> {
    match text.to_ascii_uppercase().as_str() {
        "RUNNING" => Some(TargetState::Started),
        "PAUSED" => Some(TargetState::Paused),
        "STOPPED" => Some(TargetState::Stopped),
        _ => None,
    }
}

fn flat(object: &serde_json::Map<String, serde_json::Value>) -> Result<Config, String> {
    let mut config = Config::new();
    for (key, value) in object {
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) => value.to_string(),
            _ => return Err(format!("the value of '{key}' must be a string, not {value}")),
        };
        config.insert(key.clone(), text);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, String) {
        let config = parse(text);
        assert_eq!(config.len(), 1, "{text:?} gave {config:?}");
        config.into_iter().next().unwrap()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn separators_as_in_java() {
        for text in ["a=b", "a = b", "a:b", "a b", "  a\t=\tb", "a : b"] {
            assert_eq!(one(text), pair("a", "b"), "{text:?}");
        }
        assert_eq!(one("a"), pair("a", ""));
        assert_eq!(one("a= b "), pair("a", "b "));
        assert_eq!(one("a==b"), pair("a", "=b"));
        assert_eq!(one(r"a\=b=c"), pair("a=b", "c"));
        assert_eq!(one(r"a\ b c"), pair("a b", "c"));
    }

    #[test]
    fn continuation_comments_and_escapes() {
        assert_eq!(one("a=b,\\\n   c,\\\r\n\td"), pair("a", "b,c,d"));
        assert_eq!(one("a=x\\\\\n#b=c"), pair("a", "x\\"));
        assert_eq!(one("a=b\\\n#c"), pair("a", "b#c"));
        assert_eq!(one("! no\n# no\n\n a=1"), pair("a", "1"));
        assert_eq!(one(r"a=\u00e9\ud83d\ude00\t\q"), pair("a", "é😀\tq"));
        assert_eq!(one(r"a=\uzz"), pair("a", "uzz"));
        assert_eq!(one("a=b\\"), pair("a", "b"));
    }

    #[test]
    fn latin1_is_read_when_utf8_fails() {
        assert_eq!(parse(&text(b"a=\xe9"))["a"], "é");
        assert_eq!(parse(&text("a=é".as_bytes()))["a"], "é");
    }

    #[test]
    fn connector_files_of_three_kinds() {
        let plain = connector("name=c\ntopics=t").unwrap();
        let flat = connector(r#"{"name":"c","topics":"t"}"#).unwrap();
        let full = connector(r#" {"name":"c","config":{"topics":"t"},"initial_state":"paused"}"#);
        let full = full.unwrap();
        assert_eq!(plain, flat);
        assert_eq!((full.name, full.config), (plain.name, plain.config));
        assert_eq!(full.target, TargetState::Paused);
        assert!(connector("topics=t").unwrap_err().contains("name"));
        assert!(connector(r#"{"name":"c","x":[]}"#).unwrap_err().contains("'x'"));
        assert!(connector(r#"{"name":"c","config":{},"foo":1}"#).unwrap_err().contains("foo"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".*") {
            parse(&text);
            let _ = connector(&text);
        }
    }
}
