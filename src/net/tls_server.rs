//! The server's side of TLS: a certificate to show, and what is asked of clients.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;

use crate::tls::{Pem, TlsOptions, given_roots, suites, system_roots, versions};

/// What is asked of clients: Kafka's `ssl.client.auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    /// A certificate is asked for; one that is shown must be good.
    Requested,
    Required,
}

/// A server's certificate chain and key, read and checked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<rustls::ServerConfig>);

impl ServerTls {
    /// Reads the files and builds the settings; blocks for milliseconds.
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be; the message names it.
    pub fn new(certificate: &Pem, key: &Pem) -> Result<Self, String> {
        let own = (certificate.clone(), key.clone());
        let options = TlsOptions { client: Some(own), ..TlsOptions::default() };
        Self::with_clients(&options, ClientAuth::None)
    }

    /// `options.client` is the server's own certificate and key, `options.roots` the authorities whose
    /// clients are let in (the system's where there are none).
    ///
    /// # Errors
    /// As [`Self::new`]; also where there is no certificate to show.
    pub fn with_clients(options: &TlsOptions, auth: ClientAuth) -> Result<Self, String> {
        let (certificate, key) = options.client.as_ref().ok_or("a server needs a certificate")?;
        let chain = certificate.certificates()?;
        let private = PrivateKeyDer::from_pem_slice(&key.read()?)
            .map_err(|error| format!("{}: {error}", key.origin()))?;
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites(&options.cipher_suites)?,
            ..ring::default_provider()
        });
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions(&options.versions)?)
            .map_err(|error| error.to_string())?;
        let builder = match auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Requested | ClientAuth::Required => {
                let roots = match &options.roots {
                    Some(pem) => given_roots(pem)?,
                    None => system_roots()?,
                };
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match auth {
                    ClientAuth::Required => verifier,
                    _ => verifier.allow_unauthenticated(),
                };
                builder
                    .with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
            }
        };
        let config = builder
            .with_single_cert(chain, private)
            .map_err(|error| format!("{}: {error}", certificate.origin()))?;
        Ok(Self(Arc::new(config)))
    }

    /// For an acceptor of whatever runtime the connection lives on.
    pub fn config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.0)
    }
}
