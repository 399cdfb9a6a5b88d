//! What PKCS#12 stores and PKCS#8 keys are encrypted by: PBES2 (PBKDF2 with AES or triple DES), and
//! the older schemes of PKCS#12 itself (RFC 7292, appendix B and C).

use std::num::NonZeroU32;

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use ring::{digest, pbkdf2};

use super::der::{Der, OCTETS, OID, SEQUENCE};

/// More would hold a thread for long; Java writes 10,000.
pub const MOST_ITERATIONS: u32 = 5_000_000;

const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12];
/// `1.2.840.113549.1.12.1`: the last byte says which.
const PKCS12_PBE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1];
/// `1.2.840.113549.2`: HMACs.
const HMAC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2];
/// `2.16.840.1.101.3.4.1`: AES.
const AES: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1];
const DES_EDE3_CBC: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 7];

/// Decrypts by an `AlgorithmIdentifier`'s content. `None` if it is damaged, unknown, or the password
/// is wrong.
pub fn decrypt(algorithm: Der<'_>, data: &[u8], password: &str) -> Option<Vec<u8>> {
    let mut algorithm = algorithm;
    let oid = algorithm.take(OID)?;
    let mut parameters = algorithm.inside(SEQUENCE)?;
    if oid == PBES2 {
        return pbes2(parameters, data, password);
    }
    let scheme = *oid.strip_prefix(PKCS12_PBE)?.first()?;
    let (salt, iterations) = (parameters.take(OCTETS)?, parameters.number()?);
    let derive =
        |id, length| kdf(&digest::SHA1_FOR_LEGACY_USE_ONLY, id, password, salt, iterations, length);
    let iv = derive(2, 8)?;
    match scheme {
        3 => cbc::<des::TdesEde3>(&derive(1, 24)?, &iv, data),
        4 => cbc::<des::TdesEde2>(&derive(1, 16)?, &iv, data),
        5 => cbc::<rc2::Rc2>(&derive(1, 16)?, &iv, data),
        6 => {
            use cbc::cipher::InnerIvInit;
            let cipher = rc2::Rc2::new_with_eff_key_len(&derive(1, 5)?, 40);
            let cbc = cbc::Decryptor::inner_iv_slice_init(cipher, &iv).ok()?;
            cbc.decrypt_padded_vec_mut::<Pkcs7>(data).ok()
        }
        _ => None,
    }
}

fn cbc<C>(key: &[u8], iv: &[u8], data: &[u8]) -> Option<Vec<u8>>
where
    C: cbc::cipher::BlockCipher + cbc::cipher::BlockDecrypt + cbc::cipher::KeyInit,
{
    let cbc = cbc::Decryptor::<C>::new_from_slices(key, iv).ok()?;
    cbc.decrypt_padded_vec_mut::<Pkcs7>(data).ok()
}

fn pbes2(mut parameters: Der<'_>, data: &[u8], password: &str) -> Option<Vec<u8>> {
    let (mut kdf, mut cipher) = (parameters.inside(SEQUENCE)?, parameters.inside(SEQUENCE)?);
    if kdf.take(OID)? != PBKDF2 {
        return None;
    }
    let mut kdf = kdf.inside(SEQUENCE)?;
    let (salt, iterations) = (kdf.take(OCTETS)?, kdf.number()?);
    // The key's length is optional, and known from the cipher.
    if kdf.0.first() == Some(&super::der::INTEGER) {
        kdf.number()?;
    }
    let hash = match kdf.optional(SEQUENCE) {
        None => 7,
        Some(mut prf) => *prf.take(OID)?.strip_prefix(HMAC)?.first()?,
    };
    let hash = match hash {
        7 => pbkdf2::PBKDF2_HMAC_SHA1,
        9 => pbkdf2::PBKDF2_HMAC_SHA256,
        10 => pbkdf2::PBKDF2_HMAC_SHA384,
        11 => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => return None,
    };
    let (oid, iv) = (cipher.take(OID)?, cipher.take(OCTETS)?);
    let iterations = NonZeroU32::new(iterations.min(MOST_ITERATIONS))?;
    let key = |length| {
        let mut key = vec![0; length];
        pbkdf2::derive(hash, iterations, salt, password.as_bytes(), &mut key);
        key
    };
    if oid == DES_EDE3_CBC {
        return cbc::<des::TdesEde3>(&key(24), iv, data);
    }
    match *oid.strip_prefix(AES)?.first()? {
        2 => cbc::<aes::Aes128>(&key(16), iv, data),
        22 => cbc::<aes::Aes192>(&key(24), iv, data),
        42 => cbc::<aes::Aes256>(&key(32), iv, data),
        _ => None,
    }
}

/// PKCS#12's own derivation (RFC 7292, B.2): `id` 1 for keys, 2 for vectors, 3 for MACs.
pub fn kdf(
    hash: &'static digest::Algorithm,
    id: u8,
    password: &str,
    salt: &[u8],
    iterations: u32,
    length: usize,
) -> Option<Vec<u8>> {
    let block = hash.block_len();
    if iterations == 0 || iterations > MOST_ITERATIONS {
        return None;
    }
    let mut text: Vec<u8> = password.encode_utf16().flat_map(u16::to_be_bytes).collect();
    text.extend([0, 0]);
    let filled = |bytes: &[u8]| -> Vec<u8> {
        let wanted = bytes.len().div_ceil(block) * block;
        bytes.iter().copied().cycle().take(wanted).collect()
    };
    let mut input = filled(salt);
    input.extend(filled(&text));
    let mut output = Vec::with_capacity(length + hash.output_len());
    while output.len() < length {
        let mut first = digest::Context::new(hash);
        first.update(&vec![id; block]);
        first.update(&input);
        let mut found = first.finish();
        for _ in 1..iterations {
            found = digest::digest(hash, found.as_ref());
        }
        output.extend_from_slice(found.as_ref());
        // Each block of the input plus this digest plus one, as big-endian numbers.
        let addend: Vec<u8> = found.as_ref().iter().copied().cycle().take(block).collect();
        for part in input.chunks_mut(block) {
            let mut carry = 1;
            for (byte, add) in part.iter_mut().zip(&addend).rev() {
                let sum = u16::from(*byte) + u16::from(*add) + carry;
                *byte = sum as u8;
                carry = sum >> 8;
            }
        }
    }
    output.truncate(length);
    Some(output)
}
