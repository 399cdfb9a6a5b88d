//! Config providers: `${provider:path:key}` in a configuration is replaced by what the provider
//! knows, on this worker, each time a configuration is handed to a plug-in.
//!
//! One pass: what a provider gave is not looked through again. What no provider knows stays as it is
//! written.

use std::path::{Component, Path, PathBuf};

use fancy_regex::Regex;
use millrace_api::Config;
use millrace_api::config_def::{ConfigError, split_list};

use crate::properties;

const PREFIX: &str = "org.apache.kafka.common.config.provider.";

/// The worker's providers by name.
#[derive(Default)]
pub struct ConfigProviders {
    providers: Vec<(String, Provider)>,
}

enum Provider {
    File(AllowedPaths),
    Directory(AllowedPaths),
    Env(Option<Regex>),
}

/// `allowed.paths`; `None` allows all.
struct AllowedPaths(Option<Vec<PathBuf>>);

impl ConfigProviders {
    /// Of `config.providers` and `config.providers.<name>.*` in the worker's properties.
    pub fn new(worker: &Config) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut providers = Vec::new();
        let names = worker.get("config.providers").map(|names| split_list(names));
        for name in names.unwrap_or_default() {
            match provider(worker, &name) {
                Ok(provider) => providers.push((name, provider)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self { providers }) } else { Err(errors) }
    }

    /// The configuration with all placeholders replaced that a provider knows.
    pub fn resolve(&self, config: &Config) -> Config {
        if self.providers.is_empty() {
            return config.clone();
        }
        config.iter().map(|(key, value)| (key.clone(), self.resolve_value(value))).collect()
    }

    fn resolve_value(&self, value: &str) -> String {
        let mut out = String::with_capacity(value.len());
        let mut rest = value;
        while let Some(placeholder) = Placeholder::first(rest) {
            out.push_str(&rest[..placeholder.start]);
            match self.lookup(&placeholder) {
                Some(found) => out.push_str(&found),
                None => out.push_str(&rest[placeholder.start..placeholder.end]),
            }
            rest = &rest[placeholder.end..];
        }
        out.push_str(rest);
        out
    }

    fn lookup(&self, placeholder: &Placeholder<'_>) -> Option<String> {
        let named = |(name, _): &&(String, Provider)| name == placeholder.provider;
        let (_, provider) = self.providers.iter().find(named)?;
        provider.get(placeholder.path.unwrap_or_default(), placeholder.key)
    }
}

/// Whether a value has something of the form of a placeholder.
pub fn has_placeholder(value: &str) -> bool {
    Placeholder::first(value).is_some()
}

/// The secrets' way back: a task key whose value the connector took from a key of its own that
/// holds a placeholder gets the placeholder, so that no secret is kept or shown.
pub fn reverse_transform(connector: &Config, mut task: Config) -> Config {
    for (key, value) in &mut task {
        if let Some(raw) = connector.get(key).filter(|raw| has_placeholder(raw)) {
            value.clone_from(raw);
        }
    }
    task
}

struct Placeholder<'a> {
    start: usize,
    end: usize,
    provider: &'a str,
    path: Option<&'a str>,
    key: &'a str,
}

impl<'a> Placeholder<'a> {
    /// Java's pattern: `\$\{([^}]*?):(([^}]*?):)?([^}]*?)\}`.
    fn first(text: &'a str) -> Option<Self> {
        let mut from = 0;
        while let Some(at) = text[from..].find("${") {
            let start = from + at;
            let body = &text[start + 2..];
            let close = body.find('}')?;
            let end = start + 2 + close + 1;
            if let Some((provider, rest)) = body[..close].split_once(':') {
                let (path, key) = match rest.split_once(':') {
                    Some((path, key)) => (Some(path), key),
                    None => (None, rest),
                };
                return Some(Self { start, end, provider, path, key });
            }
            from = start + 2;
        }
        None
    }
}

fn provider(worker: &Config, name: &str) -> Result<Provider, ConfigError> {
    let class_key = format!("config.providers.{name}.class");
    let class = worker.get(&class_key).map(|class| class.trim());
    let class = class.ok_or_else(|| ConfigError::missing(&class_key))?;
    let param = |key: &str| {
        let key = format!("config.providers.{name}.param.{key}");
        worker.get(&key).map(|value| (key, value.trim()))
    };
    let simple = class.strip_prefix(PREFIX).unwrap_or(class);
    match simple.strip_suffix("ConfigProvider").unwrap_or(simple) {
        "File" => Ok(Provider::File(AllowedPaths::new(param("allowed.paths"))?)),
        "Directory" => Ok(Provider::Directory(AllowedPaths::new(param("allowed.paths"))?)),
        "EnvVar" => Ok(Provider::Env(allowlist(param("allowlist.pattern"))?)),
        _ => Err(ConfigError::invalid(
            &class_key,
            class,
            "no such config provider; there are FileConfigProvider, DirectoryConfigProvider and \
             EnvVarConfigProvider",
        )),
    }
}

fn allowlist(param: Option<(String, &str)>) -> Result<Option<Regex>, ConfigError> {
    let Some((key, pattern)) = param else { return Ok(None) };
    let whole = Regex::new(&format!("^(?:{pattern})$"));
    whole.map(Some).map_err(|error| ConfigError::invalid(&key, pattern, &error.to_string()))
}

impl AllowedPaths {
    fn new(param: Option<(String, &str)>) -> Result<Self, ConfigError> {
        let Some((key, paths)) = param.filter(|(_, paths)| !paths.is_empty()) else {
            return Ok(Self(None));
        };
        let mut allowed = Vec::new();
        for path in split_list(paths) {
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

impl Provider {
    fn get(&self, path: &str, key: &str) -> Option<String> {
        match self {
            Self::File(allowed) if !path.is_empty() => {
                let file = allowed.check(path)?;
                let read = properties::load(&file);
                read.map_err(|error| tracing::error!("config provider: {error}")).ok()?.remove(key)
            }
            Self::Directory(allowed) if !path.is_empty() => {
                // A key names a file of that directory, never one elsewhere.
                if key.contains('/') || matches!(key, "" | "." | "..") {
                    return None;
                }
                let file = allowed.check(path)?.join(key);
                std::fs::read(&file).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            }
            Self::Env(pattern) if path.is_empty() => {
                let allowed =
                    pattern.as_ref().is_none_or(|regex| regex.is_match(key).unwrap_or(false));
                if allowed { std::env::var(key).ok() } else { None }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn rig() -> (tempfile::TempDir, ConfigProviders) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/s.properties"), "a=1\nb=${f:x:y}").unwrap();
        std::fs::write(folder.path().join("in/secret"), "pw\n").unwrap();
        std::fs::write(folder.path().join("out.properties"), "a=no").unwrap();
        let worker = config(&[
            ("config.providers", "f, d,e"),
            ("config.providers.f.class", &format!("{PREFIX}FileConfigProvider")),
            ("config.providers.f.param.allowed.paths", &format!("{root}/in")),
            ("config.providers.d.class", &format!("{PREFIX}DirectoryConfigProvider")),
            ("config.providers.e.class", &format!("{PREFIX}EnvVarConfigProvider")),
            ("config.providers.e.param.allowlist.pattern", "PAT.*|HOM"),
        ]);
        (folder, ConfigProviders::new(&worker).unwrap())
    }

    #[test]
    fn placeholders_are_replaced_once_and_unknown_ones_stay() {
        let (folder, providers) = rig();
        let root = folder.path().display();
        let file = format!("{root}/in/s.properties");
        for (value, expected) in [
            (format!("x${{f:{file}:a}}y${{f:{file}:a}}"), "x1y1".to_owned()),
            (format!("${{f:{file}:b}}"), "${f:x:y}".to_owned()),
            (format!("${{f:{file}:none}}"), format!("${{f:{file}:none}}")),
            (format!("${{d:{root}/in:secret}}"), "pw\n".to_owned()),
            (format!("${{d:{root}/in:../out.properties}}"), {
                format!("${{d:{root}/in:../out.properties}}")
            }),
            (format!("${{f:{root}/in/../out.properties:a}}"), {
                format!("${{f:{root}/in/../out.properties:a}}")
            }),
            ("${e:PATH}".to_owned(), std::env::var("PATH").unwrap()),
            ("${e:HOME}".to_owned(), "${e:HOME}".to_owned()),
            ("${who:a:b} ${ ${x} $".to_owned(), "${who:a:b} ${ ${x} $".to_owned()),
        ] {
            let resolved = providers.resolve(&config(&[("k", &value)]));
            assert_eq!(resolved["k"], expected, "{value}");
        }
    }

    #[test]
    fn wrong_providers_are_refused_together() {
        let worker = config(&[
            ("config.providers", "a,b,c"),
            ("config.providers.a.class", "com.example.Vault"),
            ("config.providers.c.class", "FileConfigProvider"),
            ("config.providers.c.param.allowed.paths", "relative"),
        ]);
        let errors = ConfigProviders::new(&worker).err().unwrap();
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "config.providers.a.class",
                "config.providers.b.class",
                "config.providers.c.param.allowed.paths"
            ]
        );
    }

    #[test]
    fn secrets_do_not_come_back_in_task_configs() {
        let connector = config(&[("pw", "${f:x:y}"), ("a", "b")]);
        let task = config(&[("pw", "secret"), ("a", "b"), ("c", "d")]);
        let back = reverse_transform(&connector, task);
        assert_eq!(back, config(&[("pw", "${f:x:y}"), ("a", "b"), ("c", "d")]));
    }

    proptest::proptest! {
        #[test]
        fn text_without_providers_is_untouched(text in "[$\\{\\}:ab]*") {
            let providers = ConfigProviders::default();
            proptest::prop_assert_eq!(&providers.resolve_value(&text), &text);
        }
    }
}
