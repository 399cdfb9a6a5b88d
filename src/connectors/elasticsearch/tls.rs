//! `elastic.https.ssl.*`: Java's keystores and PEM, as Kafka's clients have them.

use std::path::{Path, PathBuf};

use millrace_api::config_def::{ConfigError, Parsed};
use millrace_net::keystore::{self, Keystore, Refused};
use millrace_net::tls::{Pem, TlsOptions};

use super::config::Wrong;

const PREFIX: &str = "elastic.https.ssl.";

/// Where trust and identity come from; opened when the task starts.
#[derive(Clone)]
pub struct TlsStores {
    trust: Option<Place>,
    identity: Option<Identity>,
    /// Of the private key; for stores the store's own by default. Never printed.
    key_password: Option<String>,
    /// What needs no file.
    options: TlsOptions,
}

/// A file.
#[derive(Clone)]
enum Place {
    Text(String),
    Pem(PathBuf),
    /// JKS or PKCS#12, with its password.
    Store(PathBuf, Option<String>),
}

#[derive(Clone)]
enum Identity {
    /// Chain and key as PEM text.
    Text(String, String),
    At(Place),
}

/// What the keys say, if `elastic.security.protocol` is `SSL`.
pub fn read(values: &Parsed, wrong: &mut Wrong) -> Option<TlsStores> {
    if !values.string("elastic.security.protocol").eq_ignore_ascii_case("SSL") {
        return None;
    }
    let get = |name: &str| {
        let value = values.get(&format!("{PREFIX}{name}")).filter(|text| !text.is_empty());
        value.map(str::to_owned)
    };
    let list = |name: &str| values.list(&format!("{PREFIX}{name}"));
    let mut options = TlsOptions {
        verify_hostname: get("endpoint.identification.algorithm").is_some(),
        ..TlsOptions::default()
    };
    for (name, of) in [
        (
            "enabled.protocols",
            TlsOptions { versions: list("enabled.protocols"), ..options.clone() },
        ),
        ("cipher.suites", TlsOptions { cipher_suites: list("cipher.suites"), ..options.clone() }),
    ] {
        match of.check_choices() {
            Ok(()) if name == "cipher.suites" => options.cipher_suites = of.cipher_suites,
            Ok(()) => options.versions = of.versions,
            Err(why) => refuse(wrong, name, &list(name).join(","), &why),
        }
    }
    let trust = place(&get, "truststore", "truststore.certificates", wrong);
    let at = place(&get, "keystore", "keystore.key", wrong);
    let identity = match (at, get("keystore.certificate.chain")) {
        (Some(Place::Text(key)), Some(chain)) => Some(Identity::Text(chain, key)),
        (Some(Place::Text(_)), None) | (None, Some(_)) => {
            let keys = ["keystore.certificate.chain", "keystore.key"];
            let keys = keys.map(|name| format!("{PREFIX}{name}"));
            let why = "a certificate chain and its private key must be given together";
            wrong.add(&[&keys[0], &keys[1]], why);
            None
        }
        (at, _) => at.map(Identity::At),
    };
    Some(TlsStores { trust, identity, key_password: get("key.password"), options })
}

fn refuse(wrong: &mut Wrong, name: &str, value: &str, why: &str) {
    wrong.0.push(ConfigError::invalid(&format!("{PREFIX}{name}"), value, why));
}

/// The text of `inline`, or the file of `<store>.location`; both have the type of `<store>.type`.
fn place(
    get: &impl Fn(&str) -> Option<String>,
    store: &str,
    inline: &str,
    wrong: &mut Wrong,
) -> Option<Place> {
    let type_key = format!("{store}.type");
    let kind = get(&type_key).unwrap_or_default();
    let (text, path) = (get(inline), get(&format!("{store}.location")));
    if text.is_none() && path.is_none() {
        return None;
    }
    let pem = kind.eq_ignore_ascii_case("PEM");
    if !pem && !["JKS", "PKCS12"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        refuse(wrong, &type_key, &kind, "not one of JKS, PKCS12, PEM");
        return None;
    }
    if let Some(text) = text {
        if !pem {
            refuse(wrong, inline, "[hidden]", &format!("needs {PREFIX}{type_key}=PEM"));
        }
        return Some(Place::Text(text));
    }
    let path = PathBuf::from(path?);
    Some(match pem {
        true => Place::Pem(path),
        false => Place::Store(path, get(&format!("{store}.password"))),
    })
}

impl TlsStores {
    /// Opens the stores; blocks for milliseconds.
    ///
    /// # Errors
    /// What cannot be read, or opened with its password, by its key and path.
    pub fn open(self) -> Result<TlsOptions, String> {
        let roots = match self.trust {
            None => None,
            Some(Place::Text(text)) => Some(Pem::Text(lines("truststore.certificates", &text)?)),
            Some(Place::Pem(path)) => Some(Pem::File(path)),
            Some(Place::Store(path, password)) => {
                Some(Pem::Text(store("truststore", &path, password.as_deref())?.trusted))
            }
        };
        let key_password = self.key_password.as_deref();
        let client = match self.identity {
            None => None,
            Some(Identity::Text(chain, key)) => {
                let chain = lines("keystore.certificate.chain", &chain)?;
                Some((chain, private_key("keystore.key", &key, key_password)?))
            }
            Some(Identity::At(Place::Store(path, password))) => {
                let opened = store("keystore", &path, password.as_deref())?;
                let identity = opened.identity(key_password.or(password.as_deref()));
                Some(identity.map_err(|why| at("keystore.location", &path, &why))?)
            }
            Some(Identity::At(Place::Pem(path))) => {
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| at("keystore.location", &path, &error.to_string()))?;
                let key = private_key("keystore.location", &text, key_password)?;
                Some((text, key))
            }
            Some(Identity::At(Place::Text(_))) => None,
        };
        let client = client.map(|(chain, key)| (Pem::Text(chain), Pem::Text(key)));
        Ok(TlsOptions { roots, client, ..self.options })
    }
}

fn at(name: &str, path: &Path, why: &str) -> String {
    format!("{PREFIX}{name}={}: {why}", path.display())
}

/// PEM in a properties file, where its lines often became one.
fn lines(name: &str, text: &str) -> Result<String, String> {
    keystore::on_lines(text).map_err(|why| format!("{PREFIX}{name}: {why}"))
}

/// The PEM text with a key that needs no password.
fn private_key(name: &str, text: &str, password: Option<&str>) -> Result<String, String> {
    let name = if password.is_some() { "key.password" } else { name };
    keystore::decrypted(text, password).map_err(|why| format!("{PREFIX}{name}: {why}"))
}

fn store(kind: &str, path: &Path, password: Option<&str>) -> Result<Keystore, String> {
    keystore::open(path, password).map_err(|refused| match refused {
        Refused::Password(why) => {
            let location = path.display();
            format!("{PREFIX}{kind}.password of {PREFIX}{kind}.location={location}: {why}")
        }
        Refused::File(why) => at(&format!("{kind}.location"), path, &why),
    })
}
