//! The providers that Kafka brings: properties files, folders of files, the environment.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use fancy_regex::Regex;
use millrace_api::config_def::{ConfigError, split_list};

use crate::properties;

/// What a provider knows under a path.
pub(super) type Values = BTreeMap<String, String>;

/// One of Kafka's own.
pub(super) enum Local {
    File(AllowedPaths),
    Directory(AllowedPaths),
    Env(Option<Regex>),
}

/// `allowed.paths`; `None` allows all.
pub(super) struct AllowedPaths(Option<Vec<PathBuf>>);

impl Local {
    /// `param` gives a parameter's full key and its value. `None`: the class is none of these.
    pub fn new(
        simple: &str,
        param: impl Fn(&str) -> Option<(String, String)>,
    ) -> Option<Result<Self, ConfigError>> {
        let paths =
            |make: fn(AllowedPaths) -> Self| AllowedPaths::new(param("allowed.paths")).map(make);
        Some(match simple {
            "File" => paths(Self::File),
            "Directory" => paths(Self::Directory),
            "EnvVar" => allowlist(param("allowlist.pattern")).map(Self::Env),
            _ => return None,
        })
    }

    /// What the path has for the key. A file that cannot be read is an error, as in the JVM; a path
    /// that is not allowed, and a key that is not there, are nothing.
    pub fn get(&self, path: &str, key: &str) -> Result<Option<String>, String> {
        match self {
            Self::File(allowed) if !path.is_empty() => {
                let Some(file) = allowed.check(path) else { return Ok(None) };
                match properties::load(&file) {
                    Ok(mut values) => Ok(values.remove(key)),
                    Err(error) => {
                        Err(format!("Could not read properties from file {path} ({error})"))
                    }
                }
            }
            Self::Directory(allowed) if !path.is_empty() => {
                // A key names a file of that directory, never one elsewhere.
                if key.contains('/') || matches!(key, "" | "." | "..") {
                    return Ok(None);
                }
                let Some(folder) = allowed.check(path) else { return Ok(None) };
                if !folder.is_dir() {
                    tracing::error!("The path {path} is not a directory");
                    return Ok(None);
                }
                let file = folder.join(key);
                if !file.is_file() {
                    return Ok(None);
                }
                let read = std::fs::read(&file);
                let read = read.map(|bytes| Some(String::from_utf8_lossy(&bytes).into_owned()));
                read.map_err(|error| format!("Could not read file {} ({error})", file.display()))
            }
            Self::Env(pattern) if path.is_empty() => {
                let matches = |regex: &Regex| regex.is_match(key).unwrap_or(false);
                let allowed = pattern.as_ref().is_none_or(matches);
                Ok(if allowed { std::env::var(key).ok() } else { None })
            }
            Self::Env(_) => {
                tracing::error!("Path is not supported for the environment's provider, got {path}");
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

fn allowlist(param: Option<(String, String)>) -> Result<Option<Regex>, ConfigError> {
    let Some((key, pattern)) = param else { return Ok(None) };
    let whole = Regex::new(&format!("^(?:{pattern})$"));
    whole.map(Some).map_err(|error| ConfigError::invalid(&key, &pattern, &error.to_string()))
}

impl AllowedPaths {
    fn new(param: Option<(String, String)>) -> Result<Self, ConfigError> {
        let Some((key, paths)) = param.filter(|(_, paths)| !paths.is_empty()) else {
            return Ok(Self(None));
        };
        let mut allowed = Vec::new();
        for path in split_list(&paths) {
            let refuse = |why| Err(ConfigError::invalid(&key, &path, why));
            let as_path = Path::new(&path);
            if !as_path.is_absolute() {
                return refuse("the path must be absolute");
            } else if !as_path.exists() {
                return refuse("the path does not exist");
            }
            allowed.push(normalised(as_path));
        }
        Ok(Self(Some(allowed)))
    }

    /// The path to read, if it lies under an allowed one.
    fn check(&self, path: &str) -> Option<PathBuf> {
        let path = normalised(Path::new(path));
        let allowed = match &self.0 {
            None => true,
            Some(allowed) => allowed.iter().any(|root| path.starts_with(root)),
        };
        if !allowed {
            tracing::error!(path = %path.display(), "the path is not under allowed.paths");
        }
        allowed.then_some(path)
    }
}

/// `.` and `..` taken out without asking the file system, as Java's `normalize`.
fn normalised(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
