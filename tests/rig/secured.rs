//! A real Kafka broker with a listener for each way to be secure, and the certificates, stores and
//! passwords that go with them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::kafka::{java, java_with, libs};
use super::process::Process;
use super::{free_port, wait_for};

/// Who may log in by PLAIN and SCRAM; the tool that stores SCRAM's takes no quotes.
pub const USER: &str = "alice";
pub const PASSWORD: &str = "alice's \"secret\"";
pub const SCRAM_PASSWORD: &str = "alice-scrambled";
/// Of all stores and of the encrypted key.
pub const STORE_PASSWORD: &str = "changeit";

/// Name, security protocol, and which certificate it shows.
const LISTENERS: [(&str, &str, &str); 7] = [
    ("CLEAR", "PLAINTEXT", ""),
    ("TLS", "SSL", "server"),
    ("MUTUAL", "SSL", "server"),
    ("OTHER", "SSL", "other"),
    ("EXPIRED", "SSL", "expired"),
    ("SASL", "SASL_PLAINTEXT", ""),
    ("SASLTLS", "SASL_SSL", "server"),
];

pub struct Secured {
    _process: Process,
    ports: Vec<u16>,
    dir: tempfile::TempDir,
}

/// The broker that these tests share.
pub fn shared() -> &'static Secured {
    static SHARED: OnceLock<Secured> = OnceLock::new();
    SHARED.get_or_init(Secured::start)
}

fn run(dir: &Path, program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// An authority, one that nobody trusts, and what they signed.
pub fn certificates(dir: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    for ca in ["ca", "stranger"] {
        let (subject, keyout, out) =
            (format!("/CN={ca}"), format!("{ca}.key"), format!("{ca}.pem"));
        let mut all = vec!["req", "-x509", "-days", "2", "-subj", &subject];
        all.extend(key);
        all.extend(["-keyout", &keyout, "-out", &out]);
        run(dir, "openssl", &all);
    }
    let here = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    for (name, names, dates) in [
        ("server", here, ["20200101000000Z", "20991231000000Z"]),
        ("other", "subjectAltName=DNS:elsewhere.example", ["20200101000000Z", "20991231000000Z"]),
        ("expired", here, ["20200101000000Z", "20200201000000Z"]),
        ("client", "subjectAltName=DNS:client", ["20200101000000Z", "20991231000000Z"]),
    ] {
        let (subject, keyout, csr) =
            (format!("/CN={name}"), format!("{name}.key"), format!("{name}.csr"));
        let mut all = vec!["req", "-new", "-subj", &subject, "-addext", names];
        all.extend(key);
        all.extend(["-keyout", &keyout, "-out", &csr]);
        run(dir, "openssl", &all);
        sign(dir, name, names, dates);
        let (pem, p12) = (format!("{name}.pem"), format!("{name}.p12"));
        let password = format!("pass:{STORE_PASSWORD}");
        let export = ["pkcs12", "-export", "-inkey", &keyout, "-in", &pem, "-certfile", "ca.pem"];
        run(dir, "openssl", &[&export[..], &["-out", &p12, "-passout", &password]].concat());
    }
    for (file, kind) in [("trust.jks", "JKS"), ("trust.p12", "PKCS12")] {
        let import = ["-importcert", "-noprompt", "-file", "ca.pem", "-alias", "ca", "-keystore"];
        let more = [file, "-storetype", kind, "-storepass", STORE_PASSWORD];
        run(dir, "keytool", &[&import[..], &more].concat());
    }
    let import = ["-importkeystore", "-srckeystore", "client.p12", "-srcstorepass", STORE_PASSWORD];
    let more = ["-destkeystore", "client.jks", "-deststoretype", "JKS"];
    run(dir, "keytool", &[&import[..], &more, &["-deststorepass", STORE_PASSWORD]].concat());
    let password = format!("pass:{STORE_PASSWORD}");
    let encrypt = ["pkcs8", "-topk8", "-in", "client.key", "-out", "encrypted.key", "-passout"];
    run(dir, "openssl", &[&encrypt[..], &[&password]].concat());
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("a file");
    let both = read("encrypted.key") + &read("client.pem");
    std::fs::write(dir.join("client-both.pem"), both).expect("a file");
}

/// `openssl ca`: the only one of its commands that takes dates.
fn sign(dir: &Path, name: &str, names: &str, [from, to]: [&str; 2]) {
    let config = format!(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n\
         certificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\npolicy=p\n\
         unique_subject=no\n[p]\ncommonName=supplied\n[x]\n\
         basicConstraints=critical,CA:FALSE\n{names}\n"
    );
    std::fs::write(dir.join("ca.conf"), config).expect("a file");
    std::fs::write(dir.join("index.txt"), "").expect("a file");
    std::fs::write(dir.join("serial"), format!("{:02X}\n", 16 + name.len())).expect("a file");
    let (csr, pem) = (format!("{name}.csr"), format!("{name}.pem"));
    let dates = ["-startdate", from, "-enddate", to];
    let call = ["ca", "-batch", "-notext", "-config", "ca.conf", "-extensions", "x"];
    run(dir, "openssl", &[&call[..], &dates, &["-in", &csr, "-out", &pem]].concat());
}

impl Secured {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        certificates(dir.path());
        let ports: Vec<u16> = LISTENERS.iter().map(|_| free_port()).collect();
        let config = dir.path().join("server.properties");
        std::fs::write(&config, settings(dir.path(), &ports)).expect("a config file");
        let scram =
            |hash: &str| format!("SCRAM-SHA-{hash}=[name={USER},password={SCRAM_PASSWORD}]");
        let done = java()
            .args(["kafka.tools.StorageTool", "format", "--standalone", "-t"])
            .args(["MillraceTestCluster004", "-c"])
            .arg(&config)
            .args(["--add-scram", &scram("256"), "--add-scram", &scram("512")])
            .output()
            .expect("java");
        assert!(done.status.success(), "the storage tool failed: {done:?}");
        let log = dir.path().join("broker.log");
        let mut command = java_with(&libs(), "256m", &[]);
        let process = Process::start(command.arg("kafka.Kafka").arg(&config), &log);
        let secured = Self { _process: process, ports, dir };
        wait_for("the secured broker", Duration::from_secs(120), || {
            let clear = secured.bootstrap("CLEAR");
            let listing = Command::new("kcat").args(["-b", &clear, "-L", "-m", "1"]).output();
            listing.is_ok_and(|output| output.status.success())
        });
        secured
    }

    /// The listener's address, by the name in its certificate.
    pub fn bootstrap(&self, listener: &str) -> String {
        let at = LISTENERS.iter().position(|(name, ..)| *name == listener);
        format!("localhost:{}", self.ports[at.expect("a listener's name")])
    }

    /// A file of certificates, keys and stores.
    pub fn file(&self, name: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        path.to_str().expect("a path").to_owned()
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).expect("a file")
    }
}

/// The broker's settings: each listener its own mechanisms and certificate.
fn settings(dir: &Path, ports: &[u16]) -> String {
    let controller = free_port();
    let addresses = |host: &str| {
        let all =
            LISTENERS.iter().zip(ports).map(|((name, ..), port)| format!("{name}://{host}:{port}"));
        all.collect::<Vec<_>>().join(",")
    };
    let protocols: Vec<_> =
        LISTENERS.iter().map(|(name, protocol, _)| format!("{name}:{protocol}")).collect();
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\nlisteners={},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners={}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map={},CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=CLEAR\ncontroller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         log.dirs={}/data\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\nnum.partitions=1\n\
         sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n",
        addresses("127.0.0.1"),
        addresses("localhost"),
        protocols.join(","),
        dir.display()
    );
    let mut add = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for (name, protocol, certificate) in LISTENERS {
        let listener = format!("listener.name.{}", name.to_lowercase());
        if !certificate.is_empty() {
            add(format!("{listener}.ssl.keystore.location={}/{certificate}.p12", dir.display()));
            add(format!("{listener}.ssl.keystore.type=PKCS12"));
            add(format!("{listener}.ssl.keystore.password={STORE_PASSWORD}"));
            add(format!("{listener}.ssl.truststore.location={}/trust.p12", dir.display()));
            add(format!("{listener}.ssl.truststore.type=PKCS12"));
            add(format!("{listener}.ssl.truststore.password={STORE_PASSWORD}"));
        }
        if name == "MUTUAL" {
            add(format!("{listener}.ssl.client.auth=required"));
        }
        if protocol.starts_with("SASL") {
            let module = "org.apache.kafka.common.security";
            // A backslash counts for the properties file, and once more for JAAS.
            let secret = PASSWORD.replace('"', "\\\\\"");
            add(format!(
                "{listener}.plain.sasl.jaas.config={module}.plain.PlainLoginModule required \
                 username=\"broker\" password=\"broker\" user_{USER}=\"{secret}\";"
            ));
            for hash in ["256", "512"] {
                add(format!(
                    "{listener}.scram-sha-{hash}.sasl.jaas.config={module}.scram.ScramLoginModule \
                     required;"
                ));
            }
            add(format!(
                "{listener}.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule \
                 required unsecuredLoginStringClaim_sub=\"broker\";"
            ));
            // The session ends while a test reads: the client has to authenticate anew.
            add(format!("{listener}.connections.max.reauth.ms=4000"));
        }
    }
    text
}
