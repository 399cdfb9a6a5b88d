//! PKCS#12 (RFC 7292): what `keytool` writes by itself and `openssl pkcs12` on demand.

use ring::{digest, hmac};

use super::ciphers::{decrypt, kdf};
use super::der::{CONTEXT_0, CONTEXT_0_OCTETS, Der, OCTETS, OID, SEQUENCE, SET};
use super::{Identity, Keystore, Refused, pem};

const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 6];
/// `1.2.840.113549.1.12.10.1`: the last byte says what a bag holds.
const BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1];
const LOCAL_KEY_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 21];
const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
/// `2.16.840.1.101.3.4.2`: SHA-2.
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2];

/// What the bags hold.
#[derive(Default)]
struct Content {
    /// With the `localKeyId` that ties them together, where there is one.
    certificates: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    keys: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// What went wrong on the way in.
enum Trouble {
    Damaged,
    Password,
}

pub fn open(bytes: &[u8], password: &str) -> Result<Keystore, Refused> {
    let mut content = Content::default();
    match read(bytes, password, &mut content) {
        Ok(()) => {}
        Err(Trouble::Damaged) => {
            let why = "the PKCS12 file is damaged, or protected in a way that is not known here";
            return Err(Refused::File(why.to_owned()));
        }
        Err(Trouble::Password) => {
            return Err(Refused::Password("the password does not open the store".to_owned()));
        }
    }
    let trusted = pem("CERTIFICATE", content.certificates.iter().map(|(bytes, _)| bytes));
    let identity = match content.keys.first() {
        None => Identity::None,
        Some((key, id)) => {
            Identity::Plain { chain: chain(&content.certificates, id), key: key.clone() }
        }
    };
    Ok(Keystore { trusted, identity })
}

/// A PKCS#8 key out of its `EncryptedPrivateKeyInfo`.
pub fn private_key(encrypted: &[u8], password: &str) -> Result<Vec<u8>, ()> {
    let open = || {
        let mut info = Der(encrypted).inside(SEQUENCE)?;
        let algorithm = info.inside(SEQUENCE)?;
        decrypt(algorithm, info.take(OCTETS)?, password)
    };
    // A wrong password mostly shows in the padding; what is left shows here.
    open().filter(|key| Der(key).inside(SEQUENCE).is_some()).ok_or(())
}

fn read(bytes: &[u8], password: &str, content: &mut Content) -> Result<(), Trouble> {
    let parts = || {
        let mut pfx = Der(bytes).inside(SEQUENCE)?;
        pfx.number()?;
        let mut info = pfx.inside(SEQUENCE)?;
        if info.take(OID)? != DATA {
            return None;
        }
        let safe = info.inside(CONTEXT_0)?.take(OCTETS)?;
        Some((safe, pfx.optional(SEQUENCE)))
    };
    let (safe, mac) = parts().ok_or(Trouble::Damaged)?;
    if let Some(mac) = mac {
        match is_authentic(mac, safe, password) {
            Some(true) => {}
            Some(false) => return Err(Trouble::Password),
            None => return Err(Trouble::Damaged),
        }
    }
    for (_, info, _) in Der(safe).inside(SEQUENCE).ok_or(Trouble::Damaged)?.each() {
        let mut info = Der(info);
        match info.take(OID) {
            Some(kind) if kind == DATA => {
                let bags = info.inside(CONTEXT_0).and_then(|mut inner| inner.take(OCTETS));
                read_bags(bags.ok_or(Trouble::Damaged)?, password, content)?;
            }
            Some(kind) if kind == ENCRYPTED_DATA => {
                let bags = encrypted_bags(info, password).ok_or(Trouble::Password)?;
                read_bags(&bags, password, content)?;
            }
            _ => return Err(Trouble::Damaged),
        }
    }
    Ok(())
}

/// Whether the MAC is right; `None` if it is of an unknown kind.
fn is_authentic(mut mac: Der<'_>, safe: &[u8], password: &str) -> Option<bool> {
    let mut info = mac.inside(SEQUENCE)?;
    let oid = info.inside(SEQUENCE)?.take(OID)?;
    let expected = info.take(OCTETS)?;
    let salt = mac.take(OCTETS)?;
    let iterations = if mac.0.is_empty() { 1 } else { mac.number()? };
    let (hash, algorithm) = match oid {
        SHA1 => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        _ => match oid.strip_prefix(SHA2)? {
            [1] => (&digest::SHA256, hmac::HMAC_SHA256),
            [2] => (&digest::SHA384, hmac::HMAC_SHA384),
            [3] => (&digest::SHA512, hmac::HMAC_SHA512),
            _ => return None,
        },
    };
    let key = kdf(hash, 3, password, salt, iterations, hash.output_len())?;
    Some(hmac::verify(&hmac::Key::new(algorithm, &key), safe, expected).is_ok())
}

fn encrypted_bags(mut info: Der<'_>, password: &str) -> Option<Vec<u8>> {
    let mut data = info.inside(CONTEXT_0)?.inside(SEQUENCE)?;
    data.number()?;
    let mut content = data.inside(SEQUENCE)?;
    content.take(OID)?;
    let algorithm = content.inside(SEQUENCE)?;
    decrypt(algorithm, content.take(CONTEXT_0_OCTETS)?, password)
}

fn read_bags(bags: &[u8], password: &str, content: &mut Content) -> Result<(), Trouble> {
    for (_, bag, _) in Der(bags).inside(SEQUENCE).ok_or(Trouble::Damaged)?.each() {
        let mut bag = Der(bag);
        let parts = || Some((bag.take(OID)?, bag.inside(CONTEXT_0)?, bag.optional(SET)));
        let (oid, mut value, attributes) = { parts }().ok_or(Trouble::Damaged)?;
        let id = attributes.and_then(local_key_id);
        match oid.strip_prefix(BAG) {
            Some([1]) => {
                let (_, _, key) = value.any().ok_or(Trouble::Damaged)?;
                content.keys.push((key.to_vec(), id));
            }
            Some([2]) => {
                let (_, _, key) = value.any().ok_or(Trouble::Damaged)?;
                let key = private_key(key, password).map_err(|()| Trouble::Password)?;
                content.keys.push((key, id));
            }
            Some([3]) => {
                let certificate = || {
                    let mut bag = value.inside(SEQUENCE)?;
                    bag.take(OID)?;
                    bag.inside(CONTEXT_0)?.take(OCTETS)
                };
                let certificate = { certificate }().ok_or(Trouble::Damaged)?;
                content.certificates.push((certificate.to_vec(), id));
            }
            // Revocation lists, secrets and nested bags are of no use here.
            _ => {}
        }
    }
    Ok(())
}

fn local_key_id(attributes: Der<'_>) -> Option<Vec<u8>> {
    attributes.each().find_map(|(_, attribute, _)| {
        let mut attribute = Der(attribute);
        let is_id = attribute.take(OID)? == LOCAL_KEY_ID;
        is_id.then(|| attribute.inside(SET)?.take(OCTETS).map(<[u8]>::to_vec))?
    })
}

/// The key's certificate first, then whoever signed the one before.
fn chain(all: &[(Vec<u8>, Option<Vec<u8>>)], id: &Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let own = all.iter().position(|(_, other)| id.is_some() && other == id).unwrap_or(0);
    let mut chain: Vec<Vec<u8>> =
        all.get(own).map(|(bytes, _)| bytes.clone()).into_iter().collect();
    while let Some(last) = chain.last().and_then(|last| names(last)) {
        let (issuer, subject) = last;
        let signer = all
            .iter()
            .map(|(bytes, _)| bytes)
            .find(|bytes| names(bytes).is_some_and(|(_, name)| name == issuer));
        match signer {
            Some(signer) if issuer != subject && !chain.contains(signer) => {
                chain.push(signer.clone());
            }
            _ => break,
        }
    }
    chain
}

/// A certificate's issuer and subject, as they are encoded.
fn names(certificate: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut inner = Der(certificate).inside(SEQUENCE)?.inside(SEQUENCE)?;
    // The version stands in a [0], if at all; then serial number, algorithm.
    inner.optional(CONTEXT_0);
    inner.any()?;
    inner.any()?;
    let issuer = inner.take(SEQUENCE)?.to_vec();
    inner.any()?;
    Some((issuer, inner.take(SEQUENCE)?.to_vec()))
}
