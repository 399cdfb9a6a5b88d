//! `security.protocol` with its `ssl.*` and `sasl.*` keys, read and checked: files are opened here,
//! so that a wrong path or password is told with all other mistakes, before anything connects.

use std::collections::BTreeMap;
use std::path::PathBuf;

use millrace_net::keystore::{self, Keystore};
use millrace_net::tls::{HandshakeFault, Pem, TlsConfig, TlsOptions};

use super::{ConfigProblem, ConfigReader};
use crate::sasl::SaslSettings;

/// How brokers are spoken to.
#[derive(Clone, Debug)]
pub struct Security {
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: &'static str,
    /// `None` in the clear.
    pub tls: Option<Tls>,
    /// `None` without authentication by SASL.
    pub sasl: Option<SaslSettings>,
}

/// TLS to brokers, and where its settings came from, for errors that say what to change.
#[derive(Clone, Debug)]
pub struct Tls {
    pub config: TlsConfig,
    /// The key that names the trusted authorities, with its value where that is a path.
    trust: String,
    /// The key that names our certificate; `None` if we have none.
    identity: Option<String>,
}

impl Tls {
    /// TLS of a client to anybody, by the `ssl.*` keys of `map`.
    ///
    /// # Errors
    /// Everything that is wrong with them, files included.
    pub fn parse(map: &BTreeMap<String, String>) -> Result<Self, Vec<ConfigProblem>> {
        let mut reader = ConfigReader::new(map);
        let tls = read_tls(&mut reader);
        reader.finish()?;
        tls.ok_or_else(Vec::new)
    }

    /// What went wrong and which key is to be changed.
    pub fn explain(&self, fault: HandshakeFault, error: &std::io::Error) -> String {
        let trust = &self.trust;
        match fault {
            HandshakeFault::UnknownIssuer => format!(
                "no authority in {trust} signed the broker's certificate ({error}); put the \
                 certificate of the authority that did into ssl.truststore.location"
            ),
            HandshakeFault::Expired => format!(
                "the broker's certificate is not valid at this time ({error}); renew it on the \
                 broker, and check this machine's clock"
            ),
            HandshakeFault::WrongName => format!(
                "the broker's certificate is for another host ({error}); name the brokers in \
                 bootstrap.servers and advertised.listeners as their certificates do, or set \
                 ssl.endpoint.identification.algorithm to an empty value to accept any name"
            ),
            HandshakeFault::ClientRefused => match &self.identity {
                Some(key) => format!(
                    "the broker does not accept our certificate ({error}); {key} must hold one \
                     that an authority in the broker's truststore signed, not expired"
                ),
                None => format!(
                    "the broker asks for a certificate and we have none ({error}); set \
                     ssl.keystore.location, or ssl.keystore.key and ssl.keystore.certificate.chain"
                ),
            },
            HandshakeFault::NothingShared => format!(
                "no protocol version or cipher suite is shared ({error}); check \
                 ssl.enabled.protocols and ssl.cipher.suites here and on the broker"
            ),
            HandshakeFault::NotTls => format!(
                "what answers does not speak TLS ({error}); check the port in bootstrap.servers \
                 and security.protocol"
            ),
            HandshakeFault::Certificate => {
                format!("the broker's certificate cannot be used: {error}")
            }
            HandshakeFault::Broken => format!(
                "{error}; if this stays, check that the port in bootstrap.servers is one for \
                 security.protocol SSL or SASL_SSL"
            ),
        }
    }
}

/// Keys without effect here, and Java's classes in whose place nothing else is set.
const IGNORED: [&str; 8] = [
    "ssl.protocol",
    "ssl.provider",
    "ssl.keymanager.algorithm",
    "ssl.trustmanager.algorithm",
    "ssl.secure.random.implementation",
    "ssl.client.auth",
    "ssl.principal.mapping.rules",
    "ssl.allow.dn.changes",
];

impl Security {
    /// Takes its keys from `reader`.
    pub fn read(reader: &mut ConfigReader<'_>) -> Self {
        let key = "security.protocol";
        let given = reader.text(key).unwrap_or("PLAINTEXT").to_owned();
        let (protocol, tls, sasl) = match given.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => ("PLAINTEXT", false, false),
            "SSL" => ("SSL", true, false),
            "SASL_PLAINTEXT" => ("SASL_PLAINTEXT", false, true),
            "SASL_SSL" => ("SASL_SSL", true, true),
            _ => {
                let why = "not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL";
                reader.problem(key, &given, why);
                ("PLAINTEXT", false, false)
            }
        };
        let tls = if tls { read_tls(reader) } else { None };
        let sasl = if sasl { SaslSettings::read(reader, tls.as_ref()) } else { None };
        // Known, and without effect where the protocol does not need them.
        reader.ignore_prefixes(&["ssl.", "sasl."]);
        Self { protocol, tls, sasl }
    }

    /// In the clear, without authentication.
    pub fn none() -> Self {
        Self { protocol: "PLAINTEXT", tls: None, sasl: None }
    }
}

/// `ssl.*` alone, whoever the peers are: a server's own certificate stands where a client's does.
///
/// # Errors
/// Everything that is wrong with these keys.
pub fn tls_options(map: &BTreeMap<String, String>) -> Result<TlsOptions, Vec<ConfigProblem>> {
    let mut reader = ConfigReader::new(map);
    let mut options = read_choices(&mut reader);
    read_trust(&mut reader, &mut options);
    read_identity(&mut reader, &mut options);
    reader.finish().map(|_| options)
}

/// Versions, cipher suites, whether names are checked.
fn read_choices(reader: &mut ConfigReader<'_>) -> TlsOptions {
    reader.ignore(&IGNORED);
    if let Some(class) = given(reader, "ssl.engine.factory.class") {
        let why = "Java classes cannot be loaded here; set the ssl.* keys instead";
        reader.problem("ssl.engine.factory.class", &class, why);
    }
    let list = |text: Option<String>| -> Vec<String> {
        let text = text.unwrap_or_default();
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    };
    let mut options = TlsOptions {
        verify_hostname: read_identification(reader),
        versions: list(given(reader, "ssl.enabled.protocols")),
        cipher_suites: list(given(reader, "ssl.cipher.suites")),
        ..TlsOptions::default()
    };
    for (key, of) in [
        ("ssl.enabled.protocols", TlsOptions { cipher_suites: Vec::new(), ..options.clone() }),
        ("ssl.cipher.suites", TlsOptions { versions: Vec::new(), ..options.clone() }),
    ] {
        if let Err(why) = of.check_choices() {
            let value = reader.text(key).unwrap_or_default().to_owned();
            reader.problem(key, &value, why);
            options.versions.clear();
            options.cipher_suites.clear();
        }
    }
    options
}

fn read_tls(reader: &mut ConfigReader<'_>) -> Option<Tls> {
    let mut options = read_choices(reader);
    let trust = read_trust(reader, &mut options);
    // Each part by itself, so that its error goes to its key.
    if let Err(why) = TlsConfig::new(&options) {
        let key = trust.split('=').next().unwrap_or(&trust);
        let key = if key.starts_with("ssl.") { key } else { "ssl.truststore.location" };
        let value = trust.split_once('=').map_or("", |(_, path)| path);
        reader.problem(key, value, why);
        options.roots = None;
        return None;
    }
    let identity = read_identity(reader, &mut options);
    match TlsConfig::new(&options) {
        Ok(config) => Some(Tls { config, trust, identity }),
        Err(why) => {
            let (key, value) = identity
                .as_deref()
                .map_or(("ssl.keystore.location", ""), |at| at.split_once('=').unwrap_or((at, "")));
            reader.problem(key, value, why);
            None
        }
    }
}

/// A value that is there and not empty: Java takes an empty path for none.
fn given(reader: &mut ConfigReader<'_>, key: &str) -> Option<String> {
    reader.text(key).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Whether names are checked: `https`, the default, or an empty value for not.
fn read_identification(reader: &mut ConfigReader<'_>) -> bool {
    let key = "ssl.endpoint.identification.algorithm";
    match reader.text(key) {
        None => true,
        Some("") => false,
        Some(text) if text.eq_ignore_ascii_case("https") => true,
        Some(text) => {
            reader.problem(key, text, "must be https, or empty to accept any name");
            true
        }
    }
}

/// The store's format by its `.type`: JKS and PKCS12 tell themselves by their first bytes.
fn is_pem(reader: &mut ConfigReader<'_>, key: &str) -> bool {
    match given(reader, key) {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("PEM") => true,
        Some(text) if ["JKS", "PKCS12"].iter().any(|known| text.eq_ignore_ascii_case(known)) => {
            false
        }
        Some(text) => {
            reader.problem(key, &text, "not one of JKS, PKCS12, PEM");
            false
        }
    }
}

/// Sets the authorities; gives the words for where they come from, `KEY=PATH` or a key.
fn read_trust(reader: &mut ConfigReader<'_>, options: &mut TlsOptions) -> String {
    let pem = is_pem(reader, "ssl.truststore.type");
    let password = given(reader, "ssl.truststore.password");
    if let Some(text) = given(reader, "ssl.truststore.certificates") {
        if !pem {
            let why = "needs ssl.truststore.type=PEM";
            reader.problem("ssl.truststore.certificates", "[hidden]", why);
        }
        options.roots = inline(reader, "ssl.truststore.certificates", &text);
        return "ssl.truststore.certificates".to_owned();
    }
    let key = "ssl.truststore.location";
    let Some(path) = given(reader, key) else {
        return "the system's certificates (ssl.truststore.location is not set)".to_owned();
    };
    options.roots = if pem {
        Some(Pem::File(PathBuf::from(&path)))
    } else {
        let store = open_store(reader, key, &path, "ssl.truststore.password", password.as_deref());
        store.map(|store| Pem::Text(store.trusted))
    };
    format!("{key}={path}")
}

/// Sets our certificate and key; gives the words for where they come from.
fn read_identity(reader: &mut ConfigReader<'_>, options: &mut TlsOptions) -> Option<String> {
    let pem = is_pem(reader, "ssl.keystore.type");
    let password = given(reader, "ssl.keystore.password");
    let key_password = given(reader, "ssl.key.password");
    let text = given(reader, "ssl.keystore.key");
    let chain = given(reader, "ssl.keystore.certificate.chain");
    if let Some(text) = text {
        let key = "ssl.keystore.key";
        if !pem {
            reader.problem(key, "[hidden]", "needs ssl.keystore.type=PEM");
        }
        let Some(chain) = chain else {
            let why = "ssl.keystore.certificate.chain is needed with ssl.keystore.key";
            reader.problem("ssl.keystore.certificate.chain", "", why);
            return None;
        };
        let chain = inline(reader, "ssl.keystore.certificate.chain", &chain);
        let private = private_key(reader, key, &text, key_password.as_deref());
        options.client = chain.zip(private.map(Pem::Text));
        return Some(key.to_owned());
    }
    let key = "ssl.keystore.location";
    let path = given(reader, key)?;
    options.client = if pem {
        match std::fs::read_to_string(&path) {
            Ok(text) => private_key(reader, key, &text, key_password.as_deref())
                .map(|private| (Pem::File(PathBuf::from(&path)), Pem::Text(private))),
            Err(error) => {
                reader.problem(key, &path, error.to_string());
                None
            }
        }
    } else {
        let store = open_store(reader, key, &path, "ssl.keystore.password", password.as_deref());
        let key_password = key_password.or(password);
        store.and_then(|store| match store.identity(key_password.as_deref()) {
            Ok((chain, private)) => Some((Pem::Text(chain), Pem::Text(private))),
            Err(why) => {
                reader.problem(key, &path, why);
                None
            }
        })
    };
    Some(format!("{key}={path}"))
}

/// PEM in a properties file, where its lines often became one.
fn inline(reader: &mut ConfigReader<'_>, key: &str, text: &str) -> Option<Pem> {
    match keystore::on_lines(text) {
        Ok(text) => Some(Pem::Text(text)),
        Err(why) => {
            reader.problem(key, "[hidden]", why);
            None
        }
    }
}

fn open_store(
    reader: &mut ConfigReader<'_>,
    key: &str,
    path: &str,
    password_key: &str,
    password: Option<&str>,
) -> Option<Keystore> {
    match keystore::open(std::path::Path::new(path), password) {
        Ok(store) => Some(store),
        Err(keystore::Refused::Password(why)) => {
            reader.problem(password_key, "[hidden]", why);
            None
        }
        Err(keystore::Refused::File(why)) => {
            reader.problem(key, path, why);
            None
        }
    }
}

/// The PEM text with a key that needs no password.
fn private_key(
    reader: &mut ConfigReader<'_>,
    key: &str,
    text: &str,
    password: Option<&str>,
) -> Option<String> {
    match keystore::decrypted(text, password) {
        Ok(text) => Some(text),
        Err(why) => {
            let value = if key.ends_with(".key") { "[hidden]" } else { "(a PEM file)" };
            let (key, value) = match password {
                Some(_) => ("ssl.key.password", "[hidden]"),
                None => (key, value),
            };
            reader.problem(key, value, why);
            None
        }
    }
}
