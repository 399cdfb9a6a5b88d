//! What Avro's binary encoding and Protobuf's wire format have in common: numbers of seven bits a
//! byte, the least first, and signed ones in zigzag.

/// What is wrong with the bytes; [`Input::at`] says where.
pub(crate) type Fault = &'static str;

pub(crate) const SHORT: Fault = "the bytes end before the value does";
const LONG: Fault = "a number is longer than 64 bits";

/// Some bytes and how far they are read.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    #[inline]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        if count > self.left() {
            return Err(SHORT);
        }
        let from = self.at;
        self.at += count;
        Ok(&self.bytes[from..self.at])
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(SHORT)?;
        self.at += N;
        Ok(*bytes)
    }

    #[inline(always)]
    pub fn varint(&mut self) -> Result<u64, Fault> {
        let first = *self.bytes.get(self.at).ok_or(SHORT)?;
        if first < 0x80 {
            self.at += 1;
            return Ok(first.into());
        }
        let eight = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk);
        let Some((bits, length)) = eight.and_then(|eight| at_once(*eight)) else {
            return self.byte_by_byte();
        };
        self.at += length;
        Ok(bits)
    }

    /// A number that is longer than most, or is one of the last.
    #[inline(never)]
    fn byte_by_byte(&mut self) -> Result<u64, Fault> {
        let mut bits = 0;
        for (index, byte) in self.bytes[self.at..].iter().take(10).enumerate() {
            bits |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at += index + 1;
                return Ok(bits);
            }
        }
        Err(if self.left() < 10 { SHORT } else { LONG })
    }
}

/// A number that ends within eight bytes, and how many it takes.
#[inline]
fn at_once(bytes: [u8; 8]) -> Option<(u64, usize)> {
    let word = u64::from_le_bytes(bytes);
    let last = !word & 0x8080_8080_8080_8080;
    if last == 0 {
        return None;
    }
    // Up to the first byte without its high bit; then sevens of bits move together.
    let word = word & (last ^ (last - 1)) & 0x7f7f_7f7f_7f7f_7f7f;
    let word = word & 0x007f_007f_007f_007f | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = word & 0x0000_3fff_0000_3fff | (word & 0x3fff_0000_3fff_0000) >> 2;
    let word = word & 0x0fff_ffff | (word & 0x0fff_ffff_0000_0000) >> 4;
    Some((word, last.trailing_zeros() as usize / 8 + 1))
}

#[inline]
pub(crate) fn unzigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[inline]
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
pub(crate) fn write_varint(mut bits: u64, out: &mut Vec<u8>) {
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints() {
        let powers =
            (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, 0x5555_5555_5555_5555 >> bit]);
        for value in powers.chain([u64::MAX]) {
            let mut out = Vec::new();
            write_varint(value, &mut out);
            assert_eq!(Input::new(&out).varint(), Ok(value));
            // With bytes behind it, it is read at once where it ends within eight.
            let length = out.len();
            out.extend([0xa5; 8]);
            let mut input = Input::new(&out);
            assert_eq!((input.varint(), input.at), (Ok(value), length));
            out.truncate(length - 1);
            assert!(Input::new(&out).varint().is_err());
        }
        assert_eq!(Input::new(&[0xff; 11]).varint(), Err(LONG));
        assert_eq!(Input::new(&[0xff; 9]).varint(), Err(SHORT));
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
