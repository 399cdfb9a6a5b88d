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

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Fault> {
        let first = *self.bytes.get(self.at).ok_or(SHORT)?;
        if first < 0x80 {
            self.at += 1;
            return Ok(first.into());
        }
        let mut bits = u64::from(first & 0x7f);
        for (index, byte) in self.bytes[self.at + 1..].iter().take(9).enumerate() {
            bits |= u64::from(byte & 0x7f) << (7 * (index + 1));
            if *byte < 0x80 {
                self.at += index + 2;
                return Ok(bits);
            }
        }
        Err(if self.left() < 10 { SHORT } else { LONG })
    }
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
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            write_varint(value, &mut out);
            assert_eq!(Input::new(&out).varint(), Ok(value));
            out.pop();
            assert!(Input::new(&out).varint().is_err());
        }
        assert_eq!(Input::new(&[0xff; 11]).varint(), Err(LONG));
        assert_eq!(Input::new(&[0xff; 9]).varint(), Err(SHORT));
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }
}
