//! SCRAM (RFC 5802, 7677) with SHA-256 and SHA-512: both sides prove that they know the password, and
//! neither sends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};

use super::Secret;
use crate::error::{ErrorKind, KafkaError};

/// Fewer iterations are refused, as Java's client does: they would give the password away.
const LEAST_ITERATIONS: u32 = 4096;
/// More would hold a thread for seconds.
const MOST_ITERATIONS: u32 = 10_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramHash {
    Sha256,
    Sha512,
}

impl ScramHash {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn key(self, key: &[u8]) -> hmac::Key {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::Key::new(algorithm, key)
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key(key), data)
    }

    fn salted(self, password: &str, salt: &[u8], iterations: std::num::NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = vec![0; self.digest().output_len()];
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        salted
    }
}

/// One exchange: [`Self::first`], then [`Self::next`] with each of the broker's messages.
pub struct Scram {
    hash: ScramHash,
    password: Secret,
    nonce: String,
    /// The client's first message without its channel binding.
    first_bare: String,
    /// What the broker's last message must prove: its key, and what is signed. `None` before the
    /// challenge.
    expected: Option<(hmac::Key, String)>,
    done: bool,
}

impl Scram {
    pub fn new(
        hash: ScramHash,
        username: &str,
        password: Secret,
        delegation_token: bool,
    ) -> Result<Self, KafkaError> {
        let mut random = [0; 24];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| KafkaError::new(ErrorKind::Fatal, "the system gives no random bytes"))?;
        Ok(Self::with_nonce(hash, username, password, delegation_token, BASE64.encode(random)))
    }

    pub(super) fn with_nonce(
        hash: ScramHash,
        username: &str,
        password: Secret,
        delegation_token: bool,
        nonce: String,
    ) -> Self {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let extension = if delegation_token { ",tokenauth=true" } else { "" };
        let first_bare = format!("n={name},r={nonce}{extension}");
        Self { hash, password, nonce, first_bare, expected: None, done: false }
    }

    pub fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.first_bare).into_bytes()
    }

    /// The proof, after the broker's challenge; `None` after the broker's own proof.
    pub async fn next(&mut self, theirs: &[u8]) -> Result<Option<Vec<u8>>, KafkaError> {
        let text = std::str::from_utf8(theirs).map_err(|_| refused("it is not text"))?;
        if let Some(why) = attribute(text, 'e') {
            return Err(KafkaError::from_code(58, "SaslAuthenticate", why));
        }
        let Some((key, signed)) = &self.expected else {
            return self.prove(text).await.map(Some);
        };
        let proof = attribute(text, 'v').and_then(|proof| BASE64.decode(proof).ok());
        let same = proof.is_some_and(|proof| hmac::verify(key, signed.as_bytes(), &proof).is_ok());
        if !same || self.done {
            let why = "the broker does not prove that it knows the password: it may not be yours";
            return Err(KafkaError::new(ErrorKind::Fatal, why).with_api("SaslAuthenticate"));
        }
        self.done = true;
        Ok(None)
    }

    async fn prove(&mut self, challenge: &str) -> Result<Vec<u8>, KafkaError> {
        let nonce = attribute(challenge, 'r').ok_or_else(|| refused("it has no nonce"))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(refused("its nonce does not go on from ours"));
        }
        let salt = attribute(challenge, 's').and_then(|salt| BASE64.decode(salt).ok());
        let salt = salt.ok_or_else(|| refused("it has no salt"))?;
        let iterations = attribute(challenge, 'i').and_then(|text| text.parse::<u32>().ok());
        let iterations = iterations
            .filter(|count| (LEAST_ITERATIONS..=MOST_ITERATIONS).contains(count))
            .and_then(std::num::NonZeroU32::new)
            .ok_or_else(|| refused("its number of iterations is not one to be accepted"))?;
        // Milliseconds to seconds of hashing: not on the core.
        let (hash, password) = (self.hash, self.password.0.clone());
        let salted = move || hash.salted(&password, &salt, iterations);
        let salted = millrace_net::offload::run(salted).await.map_err(|error| {
            KafkaError::new(ErrorKind::Retriable, format!("hashing the password: {error}"))
        })?;
        // `biws` is the channel binding `n,,` of the first message.
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{without_proof}", self.first_bare);
        let client_key = hash.hmac(&salted, b"Client Key");
        let stored_key = digest::digest(hash.digest(), client_key.as_ref());
        let signature = hash.hmac(stored_key.as_ref(), signed.as_bytes());
        let proof: Vec<u8> =
            client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = hash.hmac(&salted, b"Server Key");
        self.expected = Some((hash.key(server_key.as_ref()), signed));
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes())
    }
}

/// The value of `name=` in a message of comma-separated attributes.
fn attribute(message: &str, name: char) -> Option<&str> {
    message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

fn refused(why: &str) -> KafkaError {
    KafkaError::corrupt(format!("the broker's SCRAM message can't be right: {why}"))
        .with_api("SaslAuthenticate")
}
