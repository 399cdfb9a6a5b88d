//! Parameters of a Vault provider, under the names that the JVM's providers have for them.

use std::path::PathBuf;
use std::time::Duration;

use millrace_api::Config;
use millrace_api::config_def::ConfigError;
use millrace_kafka::config::tls_options;
use millrace_net::http::Url;
use millrace_net::tls::{Pem, TlsOptions};

/// Classes that mean Vault: the two providers that are in use on JVM workers, and our own name.
const CLASSES: [&str; 4] = [
    "com.github.jcustenborder.kafka.config.vault.VaultConfigProvider",
    "io.github.jcustenborder.kafka.config.vault.VaultConfigProvider",
    LENSES,
    "millrace.VaultConfigProvider",
];
const LENSES: &str = "io.lenses.connect.secrets.providers.VaultSecretProvider";
const KUBERNETES_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How to log in.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    Token(String),
    AppRole {
        mount: String,
        role: String,
        secret: String,
    },
    UserPass {
        mount: String,
        user: String,
        password: String,
    },
    /// The pod's token is read anew for each login: it is rotated.
    Kubernetes {
        mount: String,
        role: String,
        token: PathBuf,
    },
}

/// Which API the secrets are read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    /// As Vault says that the path's mount is.
    Asked,
    One,
    Two,
}

/// Checked.
#[derive(Clone)]
pub(super) struct VaultSettings {
    pub address: String,
    pub login: Login,
    pub namespace: String,
    /// Put before each path, without slashes around it.
    pub prefix: String,
    pub engine: Engine,
    pub tls: TlsOptions,
    pub retries: u32,
    pub retry_interval: Duration,
    /// Of secrets that Vault says nothing about; `None`: they stay.
    pub default_ttl: Option<Duration>,
}

/// Reads parameters; the first of several names counts.
struct Params<'a> {
    given: &'a Config,
    prefix: &'a str,
}

impl Params<'_> {
    fn get(&self, names: &[&str]) -> Option<String> {
        let value = names.iter().find_map(|name| self.given.get(*name));
        value.filter(|value| !value.is_empty()).cloned()
    }

    fn or(&self, names: &[&str], default: &str) -> String {
        self.get(names).unwrap_or_else(|| default.to_owned())
    }

    fn needed(&self, names: &[&str], why: &str) -> Result<String, ConfigError> {
        self.get(names).ok_or_else(|| self.invalid(names[0], "null", why))
    }

    fn invalid(&self, name: &str, value: &str, why: &str) -> ConfigError {
        ConfigError::invalid(&format!("{}{name}", self.prefix), value, why)
    }

    fn number(&self, names: &[&str]) -> Result<Option<u64>, ConfigError> {
        let Some(text) = self.get(names) else { return Ok(None) };
        let wrong = |_| self.invalid(names[0], &text, "a number is due");
        text.parse().map(Some).map_err(wrong)
    }
}

impl VaultSettings {
    pub fn is_vault(class: &str) -> bool {
        CLASSES.contains(&class)
    }

    /// `prefix` is that of the parameters' keys, for errors.
    pub fn new(class: &str, given: &Config, prefix: &str) -> Result<Self, ConfigError> {
        let params = Params { given, prefix };
        let address = params.get(&["vault.address", "vault.addr"]);
        let address = address
            .or_else(|| std::env::var("VAULT_ADDR").ok())
            .or_else(|| (class == LENSES).then(|| "http://localhost:8200".to_owned()));
        let address = address.ok_or_else(|| {
            let why = "the URL of Vault is due, here or in VAULT_ADDR";
            params.invalid("vault.address", "null", why)
        })?;
        Url::parse(&address).map_err(|why| params.invalid("vault.address", &address, &why))?;
        let engine = match params.get(&["vault.engine.version"]).as_deref() {
            Some("1") => Engine::One,
            Some("2") => Engine::Two,
            None if class == LENSES => Engine::Two,
            None => Engine::Asked,
            Some(other) => {
                return Err(params.invalid("vault.engine.version", other, "1 or 2 is due"));
            }
        };
        let ttl = ["secret.default.ttl", "default.ttl", "vault.secret.minimum.ttl.ms"];
        Ok(Self {
            login: login(&params)?,
            namespace: params.or(&["vault.namespace"], ""),
            prefix: params.or(&["vault.prefix"], "").trim_matches('/').to_owned(),
            tls: tls(&params)?,
            retries: params.number(&["vault.max.retries"])?.unwrap_or(5).min(100) as u32,
            retry_interval: Duration::from_millis(
                params.number(&["vault.retry.interval.ms"])?.unwrap_or(2000),
            ),
            default_ttl: params.number(&ttl)?.filter(|&ms| ms > 0).map(Duration::from_millis),
            engine,
            address,
        })
    }
}

fn login(params: &Params<'_>) -> Result<Login, ConfigError> {
    let key = "vault.auth.method";
    let method = params.or(&[key, "vault.login.by"], "token");
    let needed = |names: &[&str]| params.needed(names, &format!("needed to log in by {method}"));
    Ok(match method.to_ascii_lowercase().as_str() {
        "token" => {
            let token = params.get(&["vault.token"]).or_else(|| std::env::var("VAULT_TOKEN").ok());
            let missing =
                || params.invalid("vault.token", "null", "needed, here or in VAULT_TOKEN");
            Login::Token(token.ok_or_else(missing)?)
        }
        "approle" => Login::AppRole {
            mount: params.or(&["app.role.path"], "approle"),
            role: needed(&["vault.role.id", "app.role.id"])?,
            secret: needed(&["vault.secret.id", "app.role.secret.id"])?,
        },
        "userpass" => Login::UserPass {
            mount: params.or(&["mount"], "userpass"),
            user: needed(&["username"])?,
            password: needed(&["password"])?,
        },
        "kubernetes" => Login::Kubernetes {
            mount: params.or(&["kubernetes.auth.path"], "kubernetes"),
            role: needed(&["kubernetes.role"])?,
            token: params.or(&["kubernetes.token.path"], KUBERNETES_TOKEN).into(),
        },
        _ => {
            let why = "one of token, approle, userpass, kubernetes is due";
            return Err(params.invalid(key, &method, why));
        }
    })
}

/// `vault.ssl.*` as Kafka's `ssl.*`, or PEM files.
fn tls(params: &Params<'_>) -> Result<TlsOptions, ConfigError> {
    let verify = "vault.ssl.verify.enabled";
    if params.get(&[verify]).is_some_and(|text| text.eq_ignore_ascii_case("false")) {
        let why = "certificates are always verified; name the authority's in vault.pem, or in \
                   vault.ssl.truststore.location";
        return Err(params.invalid(verify, "false", why));
    }
    let keys = params.given.iter().filter_map(|(key, value)| {
        let key = key.strip_prefix("vault.").filter(|key| key.starts_with("ssl."))?;
        (key != "ssl.verify.enabled").then(|| (key.to_owned(), value.clone()))
    });
    let mut options = tls_options(&keys.collect()).map_err(|problems| {
        let of = |problem: millrace_kafka::config::ConfigProblem| {
            params.invalid(&format!("vault.{}", problem.key), &problem.value, &problem.why)
        };
        let mut errors = problems.into_iter().map(of);
        errors.next().unwrap_or_else(|| params.invalid("vault.ssl", "", "cannot be used"))
    })?;
    let pem = params.get(&["vault.pem"]);
    let pem = pem
        .or_else(|| ["VAULT_SSL_CERT", "VAULT_CACERT"].iter().find_map(|n| std::env::var(n).ok()));
    if let (Some(path), None) = (pem, &options.roots) {
        options.roots = Some(Pem::File(path.into()));
    }
    if let (Some(path), None) = (params.get(&["vault.client.pem"]), &options.client) {
        options.client = Some((Pem::File(path.clone().into()), Pem::File(path.into())));
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(class: &str, pairs: &[(&str, &str)]) -> Result<VaultSettings, String> {
        let given = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        VaultSettings::new(class, &given.collect(), "p.").map_err(|error| error.message)
    }

    #[test]
    fn names_of_both_jvm_providers_are_understood() {
        let one = read(
            CLASSES[0],
            &[
                ("vault.address", "https://v:8200"),
                ("vault.login.by", "AppRole"),
                ("vault.role.id", "r"),
                ("vault.secret.id", "s"),
                ("vault.prefix", "/staging/"),
            ],
        );
        let one = one.ok().unwrap();
        assert!(matches!(&one.login, Login::AppRole { role, secret, mount }
            if role == "r" && secret == "s" && mount == "approle"));
        assert_eq!((one.prefix.as_str(), one.engine), ("staging", Engine::Asked));
        let two = read(
            LENSES,
            &[
                ("vault.addr", "http://v:8200"),
                ("vault.auth.method", "approle"),
                ("app.role.id", "r"),
                ("app.role.secret.id", "s"),
                ("app.role.path", "roles"),
                ("secret.default.ttl", "30000"),
            ],
        );
        let two = two.ok().unwrap();
        assert!(matches!(&two.login, Login::AppRole { mount, .. } if mount == "roles"));
        assert_eq!(two.engine, Engine::Two);
        assert_eq!(two.default_ttl, Some(Duration::from_secs(30)));
        assert!(!VaultSettings::is_vault("com.example.VaultConfigProvider"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let address = ("vault.address", "http://v:8200");
        for (pairs, expected) in [
            (vec![("vault.address", "v:8200"), ("vault.token", "t")], "p.vault.address"),
            (vec![address, ("vault.login.by", "AppRole")], "p.vault.role.id: needed to log in by"),
            (vec![address, ("vault.auth.method", "gcp")], "one of token, approle, userpass"),
            (vec![address, ("vault.token", "t"), ("vault.engine.version", "3")], "1 or 2"),
            (vec![address, ("vault.token", "t"), ("vault.max.retries", "x")], "a number is due"),
            (
                vec![address, ("vault.token", "t"), ("vault.ssl.verify.enabled", "false")],
                "always verified",
            ),
            (
                vec![address, ("vault.token", "t"), ("vault.ssl.truststore.location", "/no/such")],
                "p.vault.ssl.truststore.location",
            ),
        ] {
            let why = read(CLASSES[3], &pairs).err().unwrap();
            assert!(why.contains(expected), "{pairs:?}: {why}");
        }
    }
}
