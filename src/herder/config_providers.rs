//! Config providers: `${provider:path:key}` in a configuration is replaced by what the provider
//! knows, on this worker, each time a configuration is handed to a plug-in.
//!
//! One pass: what a provider gave is not looked through again. What no provider knows stays as it is
//! written. A provider that cannot be asked (a file that is not there, a Vault that does not answer)
//! is an error of whatever the configuration was to be used for.

mod local;
mod vault;
mod vault_session;
mod vault_settings;

use std::time::Duration;

use millrace_api::Config;
use millrace_api::config_def::{ConfigError, split_list};

use local::Local;
use vault::Vault;
use vault_settings::VaultSettings;

const PREFIX: &str = "org.apache.kafka.common.config.provider.";
/// Shorter values that tasks have in common with secrets are chance.
const LEAST_SECRET: usize = 4;

/// The worker's providers by name.
#[derive(Default)]
pub struct ConfigProviders {
    providers: Vec<(String, Provider)>,
}

enum Provider {
    Local(Local),
    Vault(Vault),
}

/// A configuration as a plug-in gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    pub config: Config,
    /// When the first of the values may have changed; `None`: never.
    pub ttl: Option<Duration>,
}

impl ConfigProviders {
    /// Of `config.providers` and `config.providers.<name>.*` in the worker's properties. Parameters may
    /// refer to providers that stand before. A Vault is logged into here.
    pub fn new(worker: &Config) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut found = Self::default();
        let names = worker.get("config.providers").map(|names| split_list(names));
        for name in names.unwrap_or_default() {
            match found.provider(worker, &name) {
                Ok(provider) => found.providers.push((name, provider)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(found) } else { Err(errors) }
    }

    fn provider(&self, worker: &Config, name: &str) -> Result<Provider, ConfigError> {
        let class_key = format!("config.providers.{name}.class");
        let class = worker.get(&class_key).map(|class| class.trim());
        let class = class.ok_or_else(|| ConfigError::missing(&class_key))?;
        let prefix = format!("config.providers.{name}.param.");
        let own = worker.iter().filter_map(|(key, value)| {
            Some((key.strip_prefix(&prefix)?.to_owned(), value.trim().to_owned()))
        });
        let params: Config = self
            .try_resolve(&own.collect())
            .map_err(|why| ConfigError::invalid(&class_key, class, &why))?
            .config;
        if VaultSettings::is_vault(class) {
            let settings = VaultSettings::new(class, &params, &prefix)?;
            let address = settings.address.clone();
            return Vault::start(settings).map(Provider::Vault).map_err(|why| {
                ConfigError::invalid(&class_key, class, &format!("{address}: {why}"))
            });
        }
        let simple = class.strip_prefix(PREFIX).unwrap_or(class);
        let simple = simple.strip_suffix("ConfigProvider").unwrap_or(simple);
        let param = |key: &str| Some((format!("{prefix}{key}"), params.get(key)?.clone()));
        let unknown = || {
            let why = "no such config provider; there are FileConfigProvider, \
                       DirectoryConfigProvider, EnvVarConfigProvider and millrace.VaultConfigProvider";
            Err(ConfigError::invalid(&class_key, class, why))
        };
        Local::new(simple, param).unwrap_or_else(unknown).map(Provider::Local)
    }

    /// The configuration with all placeholders replaced that a provider knows.
    ///
    /// # Errors
    /// A provider could not be asked; in the JVM's words where it is one of Kafka's.
    pub fn try_resolve(&self, config: &Config) -> Result<Resolved, String> {
        if self.providers.is_empty() {
            return Ok(Resolved { config: config.clone(), ttl: None });
        }
        let mut ttl = None;
        let mut resolved = Config::new();
        for (key, value) in config {
            resolved.insert(key.clone(), self.resolve_value(value, &mut ttl)?);
        }
        Ok(Resolved { config: resolved, ttl })
    }

    /// As [`Self::try_resolve`]; what cannot be asked for is logged and stays as it is written.
    pub fn resolve(&self, config: &Config) -> Config {
        let value = |value: &String| {
            self.resolve_value(value, &mut None).unwrap_or_else(|why| {
                tracing::error!("a config provider failed: {why}");
                value.clone()
            })
        };
        config.iter().map(|(key, text)| (key.clone(), value(text))).collect()
    }

    fn resolve_value(&self, value: &str, ttl: &mut Option<Duration>) -> Result<String, String> {
        let mut out = String::with_capacity(value.len());
        let mut rest = value;
        while let Some(placeholder) = Placeholder::first(rest) {
            out.push_str(&rest[..placeholder.start]);
            match self.lookup(&placeholder, ttl)? {
                Some(found) => out.push_str(&found),
                None => out.push_str(&rest[placeholder.start..placeholder.end]),
            }
            rest = &rest[placeholder.end..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn lookup(
        &self,
        placeholder: &Placeholder<'_>,
        ttl: &mut Option<Duration>,
    ) -> Result<Option<String>, String> {
        let named = |(name, _): &&(String, Provider)| name == placeholder.provider;
        let Some((_, provider)) = self.providers.iter().find(named) else { return Ok(None) };
        let path = placeholder.path.unwrap_or_default();
        match provider {
            Provider::Local(local) => local.get(path, placeholder.key),
            Provider::Vault(vault) => {
                let secret = vault.get(path)?;
                *ttl = [*ttl, secret.ttl].into_iter().flatten().min();
                Ok(secret.values.get(placeholder.key).cloned())
            }
        }
    }
}

/// Whether a value has something of the form of a placeholder.
pub fn has_placeholder(value: &str) -> bool {
    Placeholder::first(value).is_some()
}

/// The secrets' way back: a task key whose value the connector took from a key of its own that
/// holds a placeholder gets the placeholder, so that no secret is kept or shown. So does a key of
/// another name whose value is one of `resolved` (the connector's configuration as it got it).
pub fn reverse_transform(connector: &Config, resolved: &Config, mut task: Config) -> Config {
    let secret = |(key, raw): (&String, &String)| {
        let value = resolved.get(key).filter(|value| has_placeholder(raw) && *value != raw)?;
        (value.len() >= LEAST_SECRET).then(|| (value.clone(), raw.clone()))
    };
    let secrets: std::collections::BTreeMap<_, _> = connector.iter().filter_map(secret).collect();
    for (key, value) in &mut task {
        if let Some(raw) = connector.get(key).filter(|raw| has_placeholder(raw)) {
            value.clone_from(raw);
        } else if let Some(raw) = secrets.get(value) {
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
    fn a_file_that_cannot_be_read_is_an_error() {
        let (folder, providers) = rig();
        let gone = format!("${{f:{}/in/gone.properties:a}}", folder.path().display());
        let why = providers.try_resolve(&config(&[("k", &gone)])).unwrap_err();
        assert!(why.starts_with("Could not read properties from file /"), "{why}");
        assert_eq!(providers.resolve(&config(&[("k", &gone)]))["k"], gone);
    }

    #[test]
    fn parameters_may_come_from_providers_before() {
        let (folder, _) = rig();
        let root = folder.path().display().to_string();
        std::fs::write(folder.path().join("paths.properties"), format!("p={root}/in")).unwrap();
        let worker = config(&[
            ("config.providers", "a,b"),
            ("config.providers.a.class", "FileConfigProvider"),
            ("config.providers.b.class", "FileConfigProvider"),
            (
                "config.providers.b.param.allowed.paths",
                &format!("${{a:{root}/paths.properties:p}}"),
            ),
        ]);
        let providers = ConfigProviders::new(&worker).unwrap();
        let value = format!("${{b:{root}/in/s.properties:a}}");
        assert_eq!(providers.resolve(&config(&[("k", &value)]))["k"], "1");
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
        let resolved = config(&[("pw", "secret"), ("a", "b")]);
        let back = reverse_transform(&connector, &resolved, task);
        assert_eq!(back, config(&[("pw", "${f:x:y}"), ("a", "b"), ("c", "d")]));
        // Under another name, too.
        let task = config(&[("connection", "secret"), ("a", "b")]);
        let back = reverse_transform(&connector, &resolved, task);
        assert_eq!(back, config(&[("connection", "${f:x:y}"), ("a", "b")]));
    }

    proptest::proptest! {
        #[test]
        fn text_without_providers_is_untouched(text in "[$\\{\\}:ab]*") {
            let providers = ConfigProviders::default();
            proptest::prop_assert_eq!(&providers.resolve_value(&text, &mut None).unwrap(), &text);
        }
    }
}
