//! Java's keystores and encrypted PEM keys, turned into plain PEM text for [`crate::tls`].
//!
//! A store's format shows in its first bytes, as for Java's dual-format stores: JKS ([`jks`]) or
//! PKCS#12 ([`pkcs12`]). Blocks for milliseconds: passwords are hashed thousands of times.

mod ciphers;
mod der;
mod jks;
mod pkcs12;
#[cfg(test)]
mod tests;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Longest file that is taken for a keystore, or PEM text.
const MAX_BYTES: u64 = 16 << 20;

/// Why a store could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The password is wrong or missing.
    Password(String),
    /// The file is not there or is not a keystore.
    File(String),
}

/// An open store.
pub struct Keystore {
    /// The certificates to trust, as PEM.
    pub trusted: String,
    identity: Identity,
}

/// Without the key.
impl std::fmt::Debug for Keystore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keystore").field("trusted", &self.trusted).finish_non_exhaustive()
    }
}

/// The first private key with its chain, the key perhaps still encrypted.
enum Identity {
    None,
    Plain {
        chain: Vec<Vec<u8>>,
        key: Vec<u8>,
    },
    /// JKS encrypts each key by a password of its own.
    Jks {
        chain: Vec<Vec<u8>>,
        encrypted: Vec<u8>,
    },
}

/// Opens a JKS or PKCS#12 file. Without a password a JKS truststore is read unchecked, as Java does.
pub fn open(path: &Path, password: Option<&str>) -> Result<Keystore, Refused> {
    let read = || {
        let length = std::fs::metadata(path)?.len();
        if length > MAX_BYTES {
            return Err(std::io::Error::other("it is too long to be a keystore"));
        }
        std::fs::read(path)
    };
    let bytes = read().map_err(|error| Refused::File(error.to_string()))?;
    match bytes.first() {
        Some(0xfe) => jks::open(&bytes, password),
        Some(0x30) => pkcs12::open(&bytes, password.unwrap_or_default()),
        Some(b'-') => Err(Refused::File("it is PEM: set the store's type to PEM".to_owned())),
        _ => Err(Refused::File("it is neither JKS nor PKCS12".to_owned())),
    }
}

impl Keystore {
    /// Certificate chain and private key of its first key entry, as PEM. The password is the key's
    /// own, which for most stores is the store's.
    pub fn identity(&self, password: Option<&str>) -> Result<(String, String), String> {
        let (chain, key) = match &self.identity {
            Identity::None => return Err("the store holds no private key".to_owned()),
            Identity::Plain { chain, key } => (chain, key.clone()),
            Identity::Jks { chain, encrypted } => {
                let password = password.ok_or("a password is needed for its private key")?;
                (chain, jks::private_key(encrypted, password)?)
            }
        };
        Ok((pem("CERTIFICATE", chain), pem("PRIVATE KEY", [key])))
    }
}

/// The PEM text with its private key decrypted, if it is encrypted (PKCS#8), and each block on lines
/// of its own: in properties files they often stand on one line.
pub fn decrypted(text: &str, password: Option<&str>) -> Result<String, String> {
    let mut found = String::new();
    let mut keys = 0;
    for (label, bytes) in blocks(text)? {
        if label != "ENCRYPTED PRIVATE KEY" {
            keys += usize::from(label.ends_with("PRIVATE KEY"));
            found.push_str(&pem(&label, [bytes]));
            continue;
        }
        let password = password.ok_or("the private key is encrypted: set ssl.key.password")?;
        let key = pkcs12::private_key(&bytes, password)
            .map_err(|_| "the password does not open the private key".to_owned())?;
        keys += 1;
        found.push_str(&pem("PRIVATE KEY", [key]));
    }
    match keys {
        0 => Err("it holds no private key in PEM".to_owned()),
        _ => Ok(found),
    }
}

/// PEM text with each block on lines of its own, whatever stood between its words.
pub fn on_lines(text: &str) -> Result<String, String> {
    let blocks = blocks(text)?;
    Ok(blocks.into_iter().map(|(label, bytes)| pem(&label, [bytes])).collect())
}

/// The blocks of a PEM text: label and bytes.
fn blocks(text: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    const BEGIN: &str = "-----BEGIN ";
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, from)) = rest.split_once(BEGIN) {
        let (label, body) = from.split_once("-----").ok_or("a PEM label has no end")?;
        let end = format!("-----END {label}-----");
        let (body, after) =
            body.split_once(&end).ok_or_else(|| format!("the PEM block lacks its {end}"))?;
        // Headers of the old encrypted form (`Proc-Type`) have colons, Base64 has none.
        if body.contains(':') {
            return Err("keys of the old form (Proc-Type) are not read: convert it with \
                        openssl pkcs8 -topk8"
                .to_owned());
        }
        let body: String = body.split_whitespace().collect();
        let bytes = BASE64.decode(body).map_err(|_| "a PEM block is not Base64".to_owned())?;
        blocks.push((label.to_owned(), bytes));
        rest = after;
    }
    match blocks.is_empty() {
        true => Err("it is not PEM".to_owned()),
        false => Ok(blocks),
    }
}

fn pem<B: AsRef<[u8]>>(label: &str, blocks: impl IntoIterator<Item = B>) -> String {
    let mut text = String::new();
    for block in blocks {
        text.push_str(&format!("-----BEGIN {label}-----\n"));
        let body = BASE64.encode(block);
        for line in body.as_bytes().chunks(64) {
            text.push_str(std::str::from_utf8(line).unwrap_or_default());
            text.push('\n');
        }
        text.push_str(&format!("-----END {label}-----\n"));
    }
    text
}
