//! What stands before the REST API: TLS of its listeners, TLS of calls to other workers, and the
//! users of the basic auth extension.

use std::collections::BTreeMap;
use std::path::Path;

use millrace_api::Config;
use millrace_api::config_def::{ConfigError, split_list};
use millrace_kafka::config::tls_options;
use millrace_net::tls::TlsOptions;
use millrace_net::tls_server::{ClientAuth, ServerTls};

use crate::jaas_file::JaasFile;
use crate::listeners::Listener;
use crate::properties;

/// The one REST extension that is built in.
pub const BASIC_AUTH: &str =
    "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension";
const FILE_MODULE: &str =
    "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule";
/// The entry of the JAAS file that the extension reads.
const ENTRY: &str = "KafkaConnect";
/// Where Java's own option for the JAAS file is looked for.
const JAVA_OPTIONS: [&str; 2] = ["KAFKA_OPTS", "JAVA_TOOL_OPTIONS"];
const JAVA_OPTION: &str = "-Djava.security.auth.login.config=";
/// Our own key for it.
pub const LOGIN_CONFIG: &str = "millrace.security.auth.login.config";

/// Read and checked at the worker's start.
#[derive(Clone, Debug, Default)]
pub struct RestSecurity {
    /// Of `https` among `listeners`; `None` without one.
    pub https: Option<ServerTls>,
    /// Of `https` among `admin.listeners`.
    pub admin_https: Option<ServerTls>,
    /// For requests to other workers over https; the files were read once, so they can be again.
    pub client: TlsOptions,
    /// `None`: everybody may do everything.
    pub users: Option<Users>,
}

impl RestSecurity {
    /// Of the worker's properties, placeholders resolved.
    ///
    /// # Errors
    /// All that is wrong, by key.
    pub fn new(
        worker: &Config,
        listeners: &[Listener],
        admin: &[Listener],
    ) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut keep = |refused: Vec<ConfigError>| errors.extend(refused);
        let mut found = Self::default();
        let wanted = |listeners: &[Listener]| listeners.iter().any(|listener| listener.tls);
        let (prefix, keys) = tls_keys(worker, "listeners.https.");
        match tls_options(&keys) {
            Ok(options) => found.client = options,
            // Without https nobody reads them.
            Err(_) if !wanted(listeners) && prefix.is_empty() => {}
            Err(problems) => keep(under(prefix, problems)),
        }
        if wanted(listeners) {
            match server(prefix, &keys, "listeners") {
                Ok(tls) => found.https = Some(tls),
                Err(refused) => keep(refused),
            }
        }
        if wanted(admin) {
            let (prefix, keys) = tls_keys(worker, "admin.listeners.https.");
            match server(prefix, &keys, "admin.listeners") {
                Ok(tls) => found.admin_https = Some(tls),
                Err(refused) => keep(refused),
            }
        }
        match users(worker) {
            Ok(users) => found.users = users,
            Err(error) => keep(vec![error]),
        }
        // The client's settings and the server's tell the same of the same key.
        errors.dedup_by(|a, b| a.message == b.message);
        if errors.is_empty() { Ok(found) } else { Err(errors) }
    }
}

/// The keys under the prefix, if there is any of them, else the worker's plain ones: never a mixture.
fn tls_keys(worker: &Config, prefix: &'static str) -> (&'static str, BTreeMap<String, String>) {
    let own = worker
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())));
    let own: BTreeMap<_, _> = own.collect();
    if !own.is_empty() {
        return (prefix, own);
    }
    let plain = worker.iter().filter(|(key, _)| key.starts_with("ssl."));
    ("", plain.map(|(key, value)| (key.clone(), value.clone())).collect())
}

fn under(prefix: &str, problems: Vec<millrace_kafka::config::ConfigProblem>) -> Vec<ConfigError> {
    let error = |problem: millrace_kafka::config::ConfigProblem| {
        ConfigError::invalid(&format!("{prefix}{}", problem.key), &problem.value, &problem.why)
    };
    problems.into_iter().map(error).collect()
}

fn server(
    prefix: &str,
    keys: &BTreeMap<String, String>,
    listeners: &str,
) -> Result<ServerTls, Vec<ConfigError>> {
    let auth = match keys.get("ssl.client.auth").map_or("none", |text| text.trim()) {
        text if text.eq_ignore_ascii_case("none") || text.is_empty() => ClientAuth::None,
        text if text.eq_ignore_ascii_case("requested") => ClientAuth::Requested,
        text if text.eq_ignore_ascii_case("required") => ClientAuth::Required,
        other => {
            let why = "String must be one of: required, requested, none";
            return Err(vec![ConfigError::invalid(
                &format!("{prefix}ssl.client.auth"),
                other,
                why,
            )]);
        }
    };
    let options = tls_options(keys).map_err(|problems| under(prefix, problems))?;
    let location = format!("{prefix}ssl.keystore.location");
    if options.client.is_none() {
        let why = format!("an https listener among {listeners} needs a keystore with its key");
        return Err(vec![ConfigError::invalid(&location, "null", &why)]);
    }
    let path = keys.get("ssl.keystore.location").map_or("", String::as_str);
    ServerTls::with_clients(&options, auth)
        .map_err(|why| vec![ConfigError::invalid(&location, path, &why)])
}

/// The users of the login module's file.
#[derive(Clone, Default)]
pub struct Users(BTreeMap<String, String>);

/// Without the passwords.
impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Users {
    /// Of lines `user=password`.
    pub fn parse(text: &str) -> Self {
        Self(properties::parse(text))
    }

    /// Whether they may come in; with an empty file everybody may, as in the JVM. Takes the same time
    /// whatever the password's first wrong letter.
    pub fn admits(&self, user: &str, password: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(known) = self.0.get(user) else { return false };
        let same = known.bytes().zip(password.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        same == 0 && known.len() == password.len()
    }
}

/// A check for the worker's definition.
pub(crate) fn check_extensions(text: &str) -> Result<(), String> {
    match split_list(text).iter().find(|class| *class != BASIC_AUTH) {
        None => Ok(()),
        Some(class) => Err(format!(
            "{class} is a Java class, which this worker cannot load; the one REST extension that is \
             built in is {BASIC_AUTH}"
        )),
    }
}

/// The users, if the extension is asked for.
fn users(worker: &Config) -> Result<Option<Users>, ConfigError> {
    let extensions = worker.get("rest.extension.classes").map(|list| split_list(list));
    if !extensions.unwrap_or_default().iter().any(|class| class == BASIC_AUTH) {
        return Ok(None);
    }
    let (key, path) = login_config(worker).ok_or_else(|| {
        let why = format!(
            "the basic auth extension needs a JAAS file with the entry {ENTRY}; name it here, or as \
             in Java by KAFKA_OPTS={JAVA_OPTION}FILE"
        );
        ConfigError::invalid(LOGIN_CONFIG, "null", &why)
    })?;
    let refuse = |why: String| ConfigError::invalid(&key, &path, &why);
    let text = std::fs::read(&path).map_err(|error| refuse(error.to_string()))?;
    let file = JaasFile::parse(&properties::text(&text)).map_err(refuse)?;
    let entry = file.entry(ENTRY).ok_or_else(|| refuse(format!("it has no entry {ENTRY}")))?;
    let [module] = entry else {
        let why = format!("the entry {ENTRY} must name one login module, {FILE_MODULE}");
        return Err(refuse(why));
    };
    if module.class != FILE_MODULE {
        let why = format!("{} cannot be loaded here; use {FILE_MODULE}", module.class);
        return Err(refuse(why));
    }
    let passwords = module.options.get("file").ok_or_else(|| {
        refuse(format!("the login module of {ENTRY} needs the option file=\"PATH\""))
    })?;
    let read = std::fs::read(Path::new(passwords));
    let text = read.map_err(|error| refuse(format!("its file={passwords}: {error}")))?;
    Ok(Some(Users::parse(&properties::text(&text))))
}

/// The key or variable that names the JAAS file, and the path.
fn login_config(worker: &Config) -> Option<(String, String)> {
    let own = worker.get(LOGIN_CONFIG).map(|path| path.trim()).filter(|path| !path.is_empty());
    if let Some(path) = own {
        return Some((LOGIN_CONFIG.to_owned(), path.to_owned()));
    }
    JAVA_OPTIONS.into_iter().find_map(|variable| {
        let options = std::env::var(variable).ok()?;
        let path = options.split_whitespace().find_map(|word| word.strip_prefix(JAVA_OPTION))?;
        Some((variable.to_owned(), path.trim_matches('"').to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn listener(text: &str) -> [Listener; 1] {
        [Listener::parse(text).unwrap()]
    }

    #[test]
    fn users_and_passwords() {
        let users = Users::parse("alice=secret\nbob = a b\n");
        assert!(users.admits("alice", "secret"));
        assert!(users.admits("bob", "a b"));
        for (user, password) in [("alice", "secre"), ("alice", "secrets"), ("carol", ""), ("", "")]
        {
            assert!(!users.admits(user, password), "{user}:{password}");
        }
        assert!(Users::parse("# nobody\n").admits("x", "y"));
        assert!(!format!("{users:?}").contains("secret"));
    }

    #[test]
    fn the_extension_reads_its_login_file() {
        let dir = tempfile::tempdir().unwrap();
        let (jaas, passwords) = (dir.path().join("jaas.conf"), dir.path().join("passwords"));
        std::fs::write(&passwords, "alice=secret").unwrap();
        let worker = config(&[
            ("rest.extension.classes", BASIC_AUTH),
            (LOGIN_CONFIG, jaas.to_str().unwrap()),
        ]);
        let read = |text: &str| {
            std::fs::write(&jaas, text).unwrap();
            RestSecurity::new(&worker, &[], &[]).map(|found| found.users)
        };
        let module = format!("{FILE_MODULE} required file=\"{}\";", passwords.display());
        let users = read(&format!("KafkaConnect {{\n {module}\n}};")).unwrap().unwrap();
        assert!(users.admits("alice", "secret"));
        for (text, expected) in [
            (format!("Other {{ {module} }};"), "no entry KafkaConnect"),
            (format!("KafkaConnect {{ {module} {module} }};"), "one login module"),
            ("KafkaConnect { com.example.Ldap required; };".to_owned(), "com.example.Ldap cannot"),
            (format!("KafkaConnect {{ {FILE_MODULE} required; }};"), "needs the option file"),
            (format!("KafkaConnect {{ {FILE_MODULE} required file=\"/no\"; }};"), "file=/no"),
            ("KafkaConnect {".to_owned(), "closed"),
        ] {
            let errors = read(&text).unwrap_err();
            assert!(errors[0].message.contains(expected), "{text}: {errors:?}");
        }
        let lost = config(&[("rest.extension.classes", BASIC_AUTH), (LOGIN_CONFIG, "/no/file")]);
        assert!(RestSecurity::new(&lost, &[], &[]).is_err());
        assert!(check_extensions("com.example.Extension").unwrap_err().contains("Java class"));
    }

    #[test]
    fn https_needs_a_keystore_of_its_own_or_the_workers() {
        let https = listener("https://127.0.0.1:0");
        let refused = |pairs: &[(&str, &str)]| {
            let errors = RestSecurity::new(&config(pairs), &https, &[]).unwrap_err();
            errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("\n")
        };
        assert!(refused(&[]).contains("configuration ssl.keystore.location: an https listener"));
        let mixed = [("listeners.https.ssl.client.auth", "none"), ("ssl.keystore.location", "/x")];
        assert!(refused(&mixed).contains("listeners.https.ssl.keystore.location"));
        let wrong = [("listeners.https.ssl.client.auth", "maybe")];
        assert!(refused(&wrong).contains("required, requested, none"));
        let missing = refused(&[("listeners.https.ssl.keystore.location", "/no/such.p12")]);
        assert!(missing.contains("listeners.https.ssl.keystore.location"), "{missing}");
        assert_eq!(missing.lines().count(), 1, "{missing}");
        let plain = listener("http://127.0.0.1:0");
        // Keys for brokers alone do not matter to REST.
        let brokers = config(&[("ssl.keystore.location", "/no/such.p12")]);
        assert!(RestSecurity::new(&brokers, &plain, &[]).is_ok());
    }
}
