//! TLS against OpenSSL's server and against a rustls server on a thread; certificates by the `openssl`
//! command, which these tests need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::http::{
    Body, Client, ClientOptions, ErrorKind, HttpError, Method, Request, Response, Url,
};
use crate::rt::on_core;

/// An authority, a certificate for `localhost` (no address in it) and one for a client.
struct Certificates(tempfile::TempDir);

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("the openssl command");
    assert!(output.status.success(), "openssl {arguments}: {output:?}");
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(path, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"));
        for (name, extension) in
            [("localhost", "subjectAltName=DNS:localhost"), ("client", "subjectAltName=DNS:me")]
        {
            openssl(
                path,
                &format!(
                    "req -x509 {key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name} \
                 -addext {extension} -addext basicConstraints=critical,CA:FALSE -CA ca.pem -CAkey ca.key"
                ),
            );
        }
        Self(folder)
    }

    fn pem(&self, name: &str) -> Pem {
        Pem::File(self.0.path().join(name))
    }

    fn options(&self) -> TlsOptions {
        TlsOptions { roots: Some(self.pem("ca.pem")), ..TlsOptions::default() }
    }

    /// `openssl s_server`, answering each request with a page about its connection.
    fn openssl_server(&self, more: &[&str]) -> Server {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
            .args(["-cert", "localhost.pem", "-key", "localhost.key"])
            .args(more)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the openssl command");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("ACCEPT ")?.parse().ok())
            .expect("an address");
        // Keeps its pipe open, and empty.
        std::thread::spawn(move || lines.count());
        Server { child, address }
    }

    /// A rustls server on a thread that takes one connection and gives it to `serve`.
    fn thread_server(
        &self,
        serve: impl FnOnce(StreamOwned<ServerConnection, std::net::TcpStream>) + Send + 'static,
    ) -> SocketAddr {
        let chain = self.pem("localhost.pem").certificates().unwrap();
        let key =
            PrivateKeyDer::from_pem_slice(&self.pem("localhost.key").read().unwrap()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let session = ServerConnection::new(Arc::new(config)).unwrap();
            serve(StreamOwned::new(session, stream));
        });
        address
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One GET over a client with these TLS options.
fn get(host: &str, address: SocketAddr, options: TlsOptions) -> Result<Response, HttpError> {
    let url = Url::parse(&format!("https://{host}:{}/", address.port())).unwrap();
    on_core(move || async move {
        let tls = TlsConfig::load(options).await.unwrap();
        let client =
            Client::new(ClientOptions { tls: Some(Rc::new(tls)), ..ClientOptions::default() });
        let request = Request { method: Method::Get, url: &url, headers: &[], body: Body::Empty };
        client.send(request).await
    })
}

#[test]
fn names_and_chains_are_verified() {
    let certificates = Certificates::new();
    let server = certificates.openssl_server(&[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let server = certificates.openssl_server(&[version]);
        let response = get("localhost", server.address, certificates.options()).unwrap();
        assert_eq!(response.status, 200);
        assert!(String::from_utf8_lossy(&response.body).contains("s_server"));
    }
    // The certificate bears no address.
    let error = get("127.0.0.1", server.address, certificates.options()).unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Tls, false), "{error}");
    let lenient = TlsOptions { verify_hostname: false, ..certificates.options() };
    assert_eq!(get("127.0.0.1", server.address, lenient).unwrap().status, 200);
    // Without a look at the name the chain still counts.
    let others = Certificates::new();
    for verify_hostname in [true, false] {
        let strangers = TlsOptions { verify_hostname, ..others.options() };
        let error = get("localhost", server.address, strangers).unwrap_err();
        assert_eq!((error.kind, error.sent), (ErrorKind::Tls, false), "{error}");
    }
}

#[test]
fn a_client_certificate_is_shown() {
    let certificates = Certificates::new();
    let server =
        certificates.openssl_server(&["-Verify", "1", "-CAfile", "ca.pem", "-verify_return_error"]);
    let client = Some((certificates.pem("client.pem"), certificates.pem("client.key")));
    let named = TlsOptions { client, ..certificates.options() };
    assert_eq!(get("localhost", server.address, named).unwrap().status, 200);
    // TLS 1.3 tells a client without a certificate only after the handshake.
    let error = get("localhost", server.address, certificates.options()).unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Tls | ErrorKind::Closed), "{error}");
}

#[test]
fn large_bodies_both_ways() {
    let certificates = Certificates::new();
    let lines = 50_000;
    let address = certificates.thread_server(move |stream| {
        let mut stream = BufReader::new(stream);
        for _ in 0..2 {
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                stream.read_line(&mut head).unwrap();
            }
            for line in head.lines() {
                if let Some(value) = line.strip_prefix("Content-Length: ") {
                    length = value.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream.get_mut().write_all(head.as_bytes()).unwrap();
            stream.get_mut().write_all(&body).unwrap();
        }
    });
    let options = certificates.options();
    on_core(move || async move {
        let tls = Some(Rc::new(TlsConfig::load(options).await.unwrap()));
        let client = Client::new(ClientOptions { tls, ..ClientOptions::default() });
        let url = Url::parse(&format!("https://localhost:{}/", address.port())).unwrap();
        let lines: Vec<String> = (0..lines).map(|n| format!("{{\"line\":{n}}}\n")).collect();
        let slices: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        for body in [Body::Slices(&slices), Body::Bytes(&[9; 100_000])] {
            let request = Request { method: Method::Post, url: &url, headers: &[], body };
            let response = client.send(request).await.unwrap();
            let expected = match body {
                Body::Slices(slices) => slices.concat(),
                _ => vec![9; 100_000],
            };
            assert!(response.body == expected);
        }
        // The same connection served both.
        assert_eq!(client.idle_connections(), 1);
    });
}

#[test]
fn an_end_without_farewell_is_no_end_of_a_body() {
    let certificates = Certificates::new();
    let address = certificates.thread_server(|mut stream| {
        let _ = stream.read(&mut [0; 1000]);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\npart of it").unwrap();
        stream.flush().unwrap();
        // Dropped here: TCP ends, TLS does not.
    });
    let error = get("localhost", address, certificates.options()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Closed, "{error}");
}

#[test]
fn what_is_no_tls_is_refused() {
    let certificates = Certificates::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let error = get("localhost", address, certificates.options()).unwrap_err();
    assert_eq!((error.kind, error.sent), (ErrorKind::Tls, false), "{error}");
}

#[test]
fn bad_files_are_named() {
    let certificates = Certificates::new();
    let options = |roots: Pem| TlsOptions { roots: Some(roots), ..TlsOptions::default() };
    let error = TlsConfig::new(&options(certificates.pem("none.pem"))).unwrap_err();
    assert!(error.contains("none.pem"), "{error}");
    let error = TlsConfig::new(&options(certificates.pem("ca.key"))).unwrap_err();
    assert!(error.contains("ca.key holds no certificate"), "{error}");
    let error = TlsConfig::new(&options(Pem::Text("garbage".to_owned()))).unwrap_err();
    assert_eq!(error, "the given PEM text holds no certificate");
    let swapped = TlsOptions {
        client: Some((certificates.pem("client.pem"), certificates.pem("client.pem"))),
        ..certificates.options()
    };
    let error = TlsConfig::new(&swapped).unwrap_err();
    assert!(error.contains("client.pem"), "{error}");
    let strangers = TlsOptions {
        client: Some((certificates.pem("client.pem"), certificates.pem("localhost.key"))),
        ..certificates.options()
    };
    assert!(TlsConfig::new(&strangers).is_err());
    assert!(TlsConfig::new(&certificates.options()).is_ok());
}
