//! JKS, Java's own store format.
//!
//! ```text
//! magic u32 | version u32 | count u32 | entry … | SHA-1 of password, "Mighty Aphrodite" and all that
//! entry: 1 | alias | date i64 | length u32, encrypted key | count u32 | certificate …
//!        2 | alias | date i64 | certificate
//! certificate: type (version 2) | length u32, DER      texts: length u16, bytes
//! ```
//!
//! A key is encrypted by a stream of SHA-1 digests (Sun's own, 1.3.6.1.4.1.42.2.17.1.1).

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::der::{Der, OCTETS, SEQUENCE};
use super::{Identity, Keystore, Refused, pem};

const MAGIC: u32 = 0xfeed_feed;
const DIGEST: usize = 20;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u32> {
        self.bytes(4).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)))
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let count = self.number()?;
        self.bytes(usize::try_from(count).ok()?)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.bytes(2)?;
        self.bytes(usize::from(length[0]) << 8 | usize::from(length[1]))
    }

    fn certificate(&mut self, version: u32) -> Option<Vec<u8>> {
        if version == 2 {
            self.text()?;
        }
        self.counted().map(<[u8]>::to_vec)
    }
}

pub fn open(bytes: &[u8], password: Option<&str>) -> Result<Keystore, Refused> {
    let broken = || Refused::File("the JKS file is damaged".to_owned());
    let end = bytes.len().checked_sub(DIGEST).ok_or_else(broken)?;
    let (content, digest) = bytes.split_at(end);
    if let Some(password) = password {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(&utf16(password));
        context.update(b"Mighty Aphrodite");
        context.update(content);
        if context.finish().as_ref() != digest {
            let why = "the password does not open the store, or the store was tampered with";
            return Err(Refused::Password(why.to_owned()));
        }
    }
    read(content).ok_or_else(broken)
}

fn read(content: &[u8]) -> Option<Keystore> {
    let mut reader = Reader(content);
    let (magic, version) = (reader.number()?, reader.number()?);
    if magic != MAGIC || !(1..=2).contains(&version) {
        return None;
    }
    let mut trusted = Vec::new();
    let mut identity = Identity::None;
    for _ in 0..reader.number()? {
        let tag = reader.number()?;
        reader.text()?;
        reader.bytes(8)?;
        if tag == 2 {
            trusted.push(reader.certificate(version)?);
            continue;
        }
        let encrypted = reader.counted()?.to_vec();
        let mut chain = Vec::new();
        for _ in 0..reader.number()? {
            chain.push(reader.certificate(version)?);
        }
        // As Java does: a key's own certificate is trusted.
        trusted.extend(chain.first().cloned());
        if matches!(identity, Identity::None) {
            identity = Identity::Jks { chain, encrypted };
        }
    }
    Some(Keystore { trusted: pem("CERTIFICATE", trusted), identity })
}

/// A password as Java hashes it here.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// The key in PKCS#8.
pub fn private_key(encrypted: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let protected = || {
        let mut info = Der(encrypted).inside(SEQUENCE)?;
        info.inside(SEQUENCE)?;
        let octets = info.take(OCTETS)?;
        (octets.len() > 2 * DIGEST).then_some(octets)
    };
    let octets = protected().ok_or("the private key's entry is damaged")?;
    let (salt, rest) = octets.split_at(DIGEST);
    let (hidden, check) = rest.split_at(rest.len() - DIGEST);
    let password = utf16(password);
    let digest = |last: &[u8]| {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(&password);
        context.update(last);
        context.finish()
    };
    let mut key = Vec::with_capacity(hidden.len());
    let mut stream = digest(salt);
    for block in hidden.chunks(DIGEST) {
        key.extend(block.iter().zip(stream.as_ref()).map(|(a, b)| a ^ b));
        stream = digest(stream.as_ref());
    }
    match digest(&key).as_ref() == check {
        true => Ok(key),
        false => Err("the password does not open the private key: set ssl.key.password".to_owned()),
    }
}
