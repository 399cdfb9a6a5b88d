//! TLS over a core's sockets, by rustls.
//!
//! A [`TlsConfig`] is made once per connector or client (it reads files and the system's roots, which
//! takes milliseconds) and shared; each connection costs a handshake.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};

use crate::rt::TcpStream;

/// An encrypted connection. Implements the `futures` IO traits.
pub type TlsStream = futures_rustls::client::TlsStream<TcpStream>;

/// PEM text: a file's or the text itself.
#[derive(Clone, Debug)]
pub enum Pem {
    File(PathBuf),
    Text(String),
}

impl Pem {
    pub(crate) fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => {
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
            }
            Self::Text(text) => Ok(text.clone().into_bytes()),
        }
    }

    pub(crate) fn origin(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text(_) => "the given PEM text".to_owned(),
        }
    }

    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let bytes = self.read()?;
        let certificates = CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("{}: {error}", self.origin()))?;
        if certificates.is_empty() {
            return Err(format!("{} holds no certificate", self.origin()));
        }
        Ok(certificates)
    }
}

/// What to trust and how to name ourselves.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// Certificates of the authorities to trust; `None` takes the system's.
    pub roots: Option<Pem>,
    /// Our certificate chain and private key (PKCS#8, PKCS#1 or SEC1), where the server asks for one.
    pub client: Option<(Pem, Pem)>,
    /// Whether the server's certificate must bear the name we connect to. Without it (Kafka's empty
    /// `ssl.endpoint.identification.algorithm`) the chain is still verified.
    pub verify_hostname: bool,
    /// Application protocols to offer, the preferred one first.
    pub alpn: Vec<Vec<u8>>,
    /// Protocol versions, as `TLSv1.3`, and cipher suites by their registered names, as
    /// `TLS_AES_256_GCM_SHA384`; empty for what rustls offers by itself.
    pub versions: Vec<String>,
    pub cipher_suites: Vec<String>,
}

impl TlsOptions {
    /// Whether the versions and cipher suites can be used, without reading a file.
    ///
    /// # Errors
    /// None of those named is known; the message names what is.
    pub fn check_choices(&self) -> Result<(), String> {
        versions(&self.versions)?;
        suites(&self.cipher_suites).map(drop)
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            roots: None,
            client: None,
            verify_hostname: true,
            alpn: Vec::new(),
            versions: Vec::new(),
            cipher_suites: Vec::new(),
        }
    }
}

/// A client's TLS settings, read and checked. Cheap to clone; `Send`, so that it can be made off the
/// core ([`TlsConfig::load`]).
#[derive(Clone, Debug)]
pub struct TlsConfig(Arc<ClientConfig>);

impl TlsConfig {
    /// Reads the files and builds the settings; blocks for milliseconds, so do it before a core starts
    /// or use [`Self::load`].
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be, or the system has no roots; the message
    /// names the file.
    pub fn new(options: &TlsOptions) -> Result<Self, String> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites(&options.cipher_suites)?,
            ..ring::default_provider()
        });
        let roots = Arc::new(match &options.roots {
            Some(pem) => given_roots(pem)?,
            None => system_roots()?,
        });
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| error.to_string())?;
        let verifier = Arc::new(Verifier { chain: verifier, hostname: options.verify_hostname });
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(&options.versions)?)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &options.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificate.certificates()?;
                let private = PrivateKeyDer::from_pem_slice(&key.read()?)
                    .map_err(|error| format!("{}: {error}", key.origin()))?;
                builder
                    .with_client_auth_cert(chain, private)
                    .map_err(|error| format!("{}: {error}", certificate.origin()))?
            }
        };
        config.alpn_protocols = options.alpn.clone();
        Ok(Self(Arc::new(config)))
    }

    /// For a connector of another runtime than the cores'.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    /// As [`Self::new`], on a companion thread of the core.
    pub async fn load(options: TlsOptions) -> Result<Self, String> {
        match crate::offload::run(move || Self::new(&options)).await {
            Ok(config) => config,
            Err(error) => Err(error.to_string()),
        }
    }

    /// Shakes hands with `host` (a name, or an address without brackets) over `stream`. Put a time
    /// limit around it.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a host name"))?;
        futures_rustls::TlsConnector::from(self.0.clone()).connect(name, stream).await
    }
}

/// The versions named, of those that are safe; all of these if none is named.
pub(crate) fn versions(names: &[String]) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let known = [("TLSv1.3", &rustls::version::TLS13), ("TLSv1.2", &rustls::version::TLS12)];
    let chosen =
        known.iter().filter(|(name, _)| names.is_empty() || names.iter().any(|n| n == name));
    let chosen: Vec<_> = chosen.map(|(_, version)| *version).collect();
    match chosen.is_empty() {
        true => Err("none of them is TLSv1.2 or TLSv1.3, the versions that are spoken".to_owned()),
        false => Ok(chosen),
    }
}

/// The suites named, in our order of preference; all of ours if none is named.
pub(crate) fn suites(names: &[String]) -> Result<Vec<SupportedCipherSuite>, String> {
    let registered =
        |suite: &SupportedCipherSuite| format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1);
    let ours = ring::default_provider().cipher_suites;
    let all: Vec<String> = ours.iter().map(registered).collect();
    let wanted = |suite: &SupportedCipherSuite| {
        names.is_empty() || names.iter().any(|name| *name == registered(suite))
    };
    let chosen: Vec<_> = ours.into_iter().filter(wanted).collect();
    match chosen.is_empty() {
        true => Err(format!("none of them is one of {}", all.join(", "))),
        false => Ok(chosen),
    }
}

/// Why a handshake failed, as far as the one who runs the client can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFault {
    /// No trusted authority signed the server's certificate.
    UnknownIssuer,
    /// The server's certificate is past its time, or before it.
    Expired,
    /// The server's certificate bears another name than the one connected to.
    WrongName,
    /// The server's certificate cannot be used for another reason.
    Certificate,
    /// The server refuses our certificate, or that we have none.
    ClientRefused,
    /// No version or cipher suite that both sides speak.
    NothingShared,
    /// What answered does not speak TLS.
    NotTls,
    /// The connection broke; it may work later.
    Broken,
}

impl HandshakeFault {
    /// What lies behind an IO error of a [`TlsStream`].
    pub fn of(error: &io::Error) -> Self {
        use CertificateError as Cert;
        use rustls::AlertDescription as Alert;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(inner) = inner else { return Self::Broken };
        match inner {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                Cert::UnknownIssuer => Self::UnknownIssuer,
                Cert::Expired
                | Cert::ExpiredContext { .. }
                | Cert::NotValidYet
                | Cert::NotValidYetContext { .. } => Self::Expired,
                Cert::NotValidForName | Cert::NotValidForNameContext { .. } => Self::WrongName,
                _ => Self::Certificate,
            },
            rustls::Error::AlertReceived(alert) => match alert {
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::CertificateRequired => Self::ClientRefused,
                Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity => {
                    Self::NothingShared
                }
                _ => Self::Broken,
            },
            rustls::Error::PeerIncompatible(_) => Self::NothingShared,
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Broken,
        }
    }
}

pub(crate) fn given_roots(pem: &Pem) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in pem.certificates()? {
        store.add(certificate).map_err(|error| format!("{}: {error}", pem.origin()))?;
    }
    Ok(store)
}

pub(crate) fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(found.certs);
    if store.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "the system has no root certificates{why}; install ca-certificates or name a PEM file"
        ));
    }
    Ok(store)
}

/// The chain verifier, with the check of the name made optional.
#[derive(Debug)]
struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    hostname: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verdict {
            // The name is looked at after the chain, so that this verdict says the chain is good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.hostname => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

const _: () = {
    const fn sendable<T: Send + Sync>() {}
    sendable::<TlsConfig>();
};

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
