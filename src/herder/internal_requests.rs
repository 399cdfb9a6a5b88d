//! Requests from worker to worker: how they are signed, and who carries them.
//!
//! The leader keeps a session key in the config topic; every worker reads it there. A request's body
//! is signed with it, byte for byte. Signing is here; REST checks incoming signatures with
//! [`SessionKey::mac`] and [`matches()`], and carries outgoing requests as [`InternalClient`].

use std::fmt;

use ring::{hmac, rand};

/// Header of the MAC, in standard Base64.
pub const SIGNATURE_HEADER: &str = "X-Connect-Authorization";
/// Header of the MAC's algorithm, such as `HmacSHA256`.
pub const ALGORITHM_HEADER: &str = "X-Connect-Request-Signature-Algorithm";

/// MAC and key algorithms by Java's names.
pub const ALGORITHMS: &[&str] = &["HmacSHA1", "HmacSHA256", "HmacSHA384", "HmacSHA512"];

fn algorithm(name: &str) -> Option<hmac::Algorithm> {
    let known = |known: &&&str| known.eq_ignore_ascii_case(name);
    Some(match *ALGORITHMS.iter().find(known)? {
        "HmacSHA1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "HmacSHA256" => hmac::HMAC_SHA256,
        "HmacSHA384" => hmac::HMAC_SHA384,
        _ => hmac::HMAC_SHA512,
    })
}

/// The cluster's key of now.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey {
    pub bytes: Vec<u8>,
    /// What it was generated for, as `HmacSHA256`.
    pub algorithm: String,
    /// Milliseconds since the epoch.
    pub created: i64,
}

impl fmt::Debug for SessionKey {
    /// Without the key itself: it may get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({}, {}, [hidden])", self.algorithm, self.created)
    }
}

impl SessionKey {
    /// A new key, of `size` bytes or as long as Java makes them for the algorithm: 64 for SHA-1,
    /// else as long as the digest. `None` for unknown algorithms, or without randomness.
    pub fn generate(name: &str, size: Option<usize>, now: i64) -> Option<Self> {
        let size = size.unwrap_or(match algorithm(name)? {
            known if known == hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY => 64,
            known => known.digest_algorithm().output_len(),
        });
        let mut bytes = vec![0; size];
        rand::SecureRandom::fill(&rand::SystemRandom::new(), &mut bytes).ok()?;
        Some(Self { bytes, algorithm: name.to_owned(), created: now })
    }

    /// The MAC of a body; `None` for an unknown algorithm.
    pub fn mac(&self, name: &str, body: &[u8]) -> Option<Vec<u8>> {
        let key = hmac::Key::new(algorithm(name)?, &self.bytes);
        Some(hmac::sign(&key, body).as_ref().to_vec())
    }

    /// Whether `mac` is the body's, in a time that says nothing about where they differ.
    pub fn matches(&self, name: &str, body: &[u8], mac: &[u8]) -> bool {
        let Some(algorithm) = algorithm(name) else { return false };
        hmac::verify(&hmac::Key::new(algorithm, &self.bytes), body, mac).is_ok()
    }
}

/// A request of the herder to another worker.
pub struct InternalRequest {
    /// `POST` or `PUT`.
    pub method: &'static str,
    /// Absolute, percent-encoded; the other worker's advertised URL and a path.
    pub url: String,
    /// JSON, or empty.
    pub body: Vec<u8>,
    /// Values of [`SIGNATURE_HEADER`] and [`ALGORITHM_HEADER`].
    pub signature: Option<(String, String)>,
}

/// Why another worker did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalFailure {
    /// Its answer; `None` if it could not be reached, or did not answer in time.
    pub status: Option<u16>,
    pub message: String,
}

/// Called once, from any thread, with what came of the request; must not block.
pub type InternalDone = Box<dyn FnOnce(Result<(), InternalFailure>) + Send>;

/// Carries requests to other workers: REST, with its settings for TLS.
pub trait InternalClient: Send + Sync {
    /// Sends without blocking; `done` is called in any case, within 90 s.
    fn send(&self, request: InternalRequest, done: InternalDone);
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD as STANDARD, Engine as _};

    #[test]
    fn macs_are_javas() {
        let key =
            SessionKey { bytes: vec![b'0'; 32], algorithm: "HmacSHA256".to_owned(), created: 0 };
        let header = |body: &[u8]| STANDARD.encode(key.mac("HmacSHA256", body).unwrap());
        assert_eq!(header(b"[]"), "WTAi7BOJBFKqsKdNuoiTScQ66K4VLzFT+AuHXpERl1M=");
        assert_eq!(header(b""), "vhwRQys0GZozEzsl9+bjquUnCkjSE7r1YPgl9S0CY1E=");
        let mac = key.mac("HmacSHA256", b"[]").unwrap();
        assert!(key.matches("HmacSHA256", b"[]", &mac));
        assert!(!key.matches("HmacSHA256", b"[ ]", &mac));
        assert!(!key.matches("HmacMD5", b"[]", &mac));
    }

    #[test]
    fn keys_have_javas_lengths() {
        for (name, length) in [("HmacSHA1", 64), ("HmacSHA256", 32), ("HmacSHA512", 64)] {
            assert_eq!(SessionKey::generate(name, None, 1).unwrap().bytes.len(), length, "{name}");
        }
        assert_eq!(SessionKey::generate("HmacSHA256", Some(16), 1).unwrap().bytes.len(), 16);
        assert!(SessionKey::generate("DES", None, 1).is_none());
        let one = SessionKey::generate("HmacSHA256", None, 1).unwrap();
        assert!(!format!("{one:?}").contains(&format!("{:?}", one.bytes)));
    }
}
