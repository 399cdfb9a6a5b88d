//! S3 over a network as companies have it: TLS by an authority of their own, a proxy, buckets as host
//! names, encryption by the service, credentials by web identity. The store is versitygw; what it does
//! not show is looked at by stand-ins, which say so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, OnceLock};

use crate::export::{assert_each_once, connector, documents, fill};
use crate::rig::kafka;
use crate::rig::proxy::Proxy;
use crate::rig::s3::{self, ACCESS_KEY, S3, SECRET_KEY};
use crate::rig::worker::{binary, worker_file};

const TOPIC: &str = "object-store";
const RECORDS: u64 = 500;

/// Fills the topic that all of these export, once.
fn topic() {
    static FILLED: OnceLock<()> = OnceLock::new();
    FILLED.get_or_init(|| fill(kafka::shared(), TOPIC, 1, RECORDS, "lz4"));
}

/// Exports the topic into a bucket.
fn export(url: &str, bucket: &str, more: &[(&str, &str)], variables: &[(&str, &str)]) -> Output {
    topic();
    let dir = tempfile::tempdir().expect("a folder");
    let mut pairs = vec![("s3.bucket.name", bucket), ("s3.part.retries", "1")];
    pairs.extend_from_slice(more);
    let connector = connector(dir.path(), bucket, TOPIC, url, &pairs);
    let worker = worker_file(dir.path(), &kafka::shared().bootstrap(), &[]);
    Command::new(binary())
        .arg("export")
        .arg(connector)
        .arg("--worker")
        .arg(worker)
        // What this machine trusts by itself is not part of the test.
        .env_remove("AWS_CA_BUNDLE")
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .envs(variables.iter().copied())
        .output()
        .expect("our binary")
}

fn assert_exported(output: &Output, bucket: &Path) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    assert_each_once(&documents(&s3::objects(bucket)), RECORDS);
    assert!(!text.contains(SECRET_KEY), "a secret was printed:\n{text}");
}

/// An authority and a certificate for `localhost`, and one that signed nothing.
fn certificates(dir: &Path) {
    let run = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output();
        assert!(output.expect("openssl").status.success(), "openssl {arguments}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    for ca in ["ca", "stranger"] {
        run(&format!("req -x509 {key} -keyout {ca}.key -out {ca}.pem -subj /CN={ca}"));
    }
    run(&format!(
        "req -x509 {key} -keyout server.key -out server.pem -subj /CN=localhost -addext \
         subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -CA ca.pem -CAkey \
         ca.key"
    ));
}

#[test]
fn https_by_an_authority_of_ones_own_directly_and_through_a_proxy() {
    let dir = tempfile::tempdir().expect("a folder");
    certificates(dir.path());
    let file = |name: &str| dir.path().join(name).to_str().expect("a path").to_owned();
    let s3 = S3::start_with(&["--cert", &file("server.pem"), "--key", &file("server.key")]);
    let url = s3.url().replace("http://127.0.0.1", "https://localhost");
    for (name, variable) in [("tls-aws", "AWS_CA_BUNDLE"), ("tls-system", "SSL_CERT_FILE")] {
        let bucket = s3.bucket(name);
        assert_exported(&export(&url, name, &[], &[(variable, &file("ca.pem"))]), &bucket);
    }
    // Without the authority nothing is sent, and it says what to do.
    s3.bucket("tls-refused");
    let refused = export(&url, "tls-refused", &[], &[("AWS_CA_BUNDLE", &file("stranger.pem"))]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{text}");
    assert!(text.contains("UnknownIssuer") && text.contains("AWS_CA_BUNDLE"), "{text}");
    let absent = export(&url, "tls-refused", &[], &[("AWS_CA_BUNDLE", "/absent.pem")]);
    let text = String::from_utf8_lossy(&absent.stderr).into_owned();
    assert!(!absent.status.success() && text.contains("AWS_CA_BUNDLE: /absent.pem"), "{text}");

    let proxy = Proxy::start();
    let bucket = s3.bucket("tls-proxied");
    let more = [("s3.proxy.url", proxy.url.as_str())];
    let output = export(&url, "tls-proxied", &more, &[("AWS_CA_BUNDLE", &file("ca.pem"))]);
    assert_exported(&output, &bucket);
    let log = proxy.process.log();
    assert!(log.contains("CONNECT localhost:"), "the proxy made no tunnel:\n{log}");
}

#[test]
fn http_through_a_proxy_by_the_connectors_keys() {
    let (s3, proxy) = (s3::shared(), Proxy::start());
    let bucket = s3.bucket("proxied");
    let bare = proxy.url.replace("somebody:pass-word@", "");
    let more = [
        ("s3.proxy.url", bare.as_str()),
        ("s3.proxy.user", "somebody"),
        ("s3.proxy.password", "pass-word"),
    ];
    assert_exported(&export(&s3.url(), "proxied", &more, &[]), &bucket);
    let log = proxy.process.log();
    assert!(log.contains("PUT http://127.0.0.1:"), "the proxy saw no object:\n{log}");
}

#[test]
fn buckets_as_host_names() {
    // A stand-in for the DNS: it takes what comes as for a proxy and hands it to the gateway, so that
    // `BUCKET.s3.example` needs no address.
    let s3 = S3::start_with(&["--virtual-domain", "s3.example"]);
    let bucket = s3.bucket("as-host");
    let target = s3.url().replace("http://", "");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for inward in listener.incoming() {
            let inward = inward.expect("a connection");
            let outward = TcpStream::connect(&target).expect("the gateway");
            for (from, to) in [(&inward, &outward), (&outward, &inward)] {
                let (mut from, mut to) =
                    (from.try_clone().expect("a handle"), to.try_clone().expect("a handle"));
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    let proxy = format!("http://{address}");
    let more = [("s3.proxy.url", proxy.as_str()), ("s3.path.style.access.enabled", "false")];
    assert_exported(&export("http://s3.example", "as-host", &more, &[]), &bucket);
}

/// A stand-in for S3 and STS that records what it is asked and answers as `answer` says.
struct Recorder {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Clone, Debug)]
struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Recorder {
    fn start(answer: fn(&Request) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let record = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, record) = (stream.expect("a connection"), Arc::clone(&record));
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
                    while let Some(request) = read_request(&mut reader, &mut stream) {
                        let body = answer(&request);
                        record.lock().expect("no panic").push(request);
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: {}\r\n\r\n",
                            body.len()
                        );
                        let _ = stream.write_all((head + &body).as_bytes());
                    }
                });
            }
        });
        Self { port, requests }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn seen(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }
}

fn read_request(reader: &mut BufReader<TcpStream>, stream: &mut TcpStream) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers = lines[1..].iter().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let mut request =
        Request { line: lines[0].clone(), headers: headers.collect(), body: String::new() };
    if request.header("expect") == "100-continue" {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Some(request)
}

#[test]
fn encryption_is_asked_for_in_signed_headers() {
    // A recording stand-in: versitygw ignores these headers, AWS would refuse them unsigned.
    let store = Recorder::start(|_| String::new());
    let customer_key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    for (bucket, more, wanted) in [
        (
            "sse-kms",
            &[("s3.ssea.name", "aws:kms"), ("s3.sse.kms.key.id", "key-1")][..],
            &[
                ("x-amz-server-side-encryption", "aws:kms"),
                ("x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
            ][..],
        ),
        ("sse-s3", &[("s3.ssea.name", "AES256")], &[("x-amz-server-side-encryption", "AES256")]),
        (
            "sse-c",
            &[("s3.ssea.name", "AES256"), ("s3.sse.customer.key", customer_key)],
            &[
                ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
                ("x-amz-server-side-encryption-customer-key", customer_key),
                ("x-amz-server-side-encryption-customer-key-md5", ""),
            ],
        ),
    ] {
        let output = export(&store.url(), bucket, more, &[]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(!text.contains(customer_key), "a secret was printed:\n{text}");
        let seen = store.seen();
        let puts: Vec<_> =
            seen.iter().filter(|seen| seen.line.starts_with(&format!("PUT /{bucket}/"))).collect();
        assert_eq!(puts.len(), 1, "{seen:?}");
        let (_, signed) =
            puts[0].header("authorization").split_once("SignedHeaders=").expect("it is");
        let signed: Vec<_> = signed.split(',').next().unwrap_or_default().split(';').collect();
        for (name, value) in wanted {
            let found = puts[0].header(name);
            assert!(
                !found.is_empty() && (value.is_empty() || found == *value),
                "{name}: {:?}",
                puts[0]
            );
            assert!(signed.contains(name), "{name} is not signed: {signed:?}");
        }
    }
    // versitygw takes the objects all the same.
    let bucket = s3::shared().bucket("sse-taken");
    let more = [("s3.ssea.name", "AES256")];
    assert_exported(&export(&s3::shared().url(), "sse-taken", &more, &[]), &bucket);
}

#[test]
fn credentials_by_web_identity() {
    // A stand-in for STS: it gives the gateway's own keys for the right token.
    let sts = Recorder::start(|request| {
        let right = request.body.contains("WebIdentityToken=the%20token")
            && request.body.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr");
        if !right {
            return String::new();
        }
        format!(
            "<R><Credentials><AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET_KEY}\
             </SecretAccessKey><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>"
        )
    });
    let s3 = s3::shared();
    let bucket = s3.bucket("web-identity");
    let dir = tempfile::tempdir().expect("a folder");
    let token = dir.path().join("token");
    std::fs::write(&token, "the token\n").expect("a file");
    let more = [("aws.access.key.id", ""), ("aws.secret.access.key", "")];
    let url = sts.url();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().expect("a path")),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
    ];
    assert_exported(&export(&s3.url(), "web-identity", &more, &variables), &bucket);
    let seen = sts.seen();
    assert_eq!(seen.len(), 1, "asked once, then from memory: {seen:?}");
    assert!(seen[0].line.starts_with("POST / "), "{seen:?}");
}
