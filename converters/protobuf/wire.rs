//! Protobuf's wire format: varints, tags, lengths; read from a slice, appended to a vector.

/// What is wrong with the bytes; [`Input::at`] says where.
pub(super) type Fault = &'static str;

pub(super) const SHORT: Fault = "the bytes end before the value does";
pub(super) const NO_TAG: Fault = "a field has the number 0";
const LONG: Fault = "a number is longer than ten bytes";

pub(super) const VARINT: u32 = 0;
pub(super) const I64: u32 = 1;
pub(super) const LEN: u32 = 2;
pub(super) const START: u32 = 3;
pub(super) const END: u32 = 4;
pub(super) const I32: u32 = 5;

/// Groups in groups that are read over.
const GROUPS: usize = 100;

/// Some bytes and how far they are read.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
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
    pub fn varint(&mut self) -> Result<u64, Fault> {
        let first = *self.bytes.get(self.at).ok_or(SHORT)?;
        if first < 0x80 {
            self.at += 1;
            return Ok(first.into());
        }
        self.long_varint(first)
    }

    fn long_varint(&mut self, first: u8) -> Result<u64, Fault> {
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

    /// A field's number and wire type in one; as Java does, only 32 bits count.
    #[inline]
    pub fn tag(&mut self) -> Result<u32, Fault> {
        let from = self.at;
        let tag = self.varint()? as u32;
        if tag >> 3 == 0 {
            self.at = from;
            return Err(NO_TAG);
        }
        Ok(tag)
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

    /// A length, then as many bytes.
    #[inline]
    pub fn counted(&mut self) -> Result<&'a [u8], Fault> {
        let from = self.at;
        let length = self.varint()?;
        match usize::try_from(length) {
            Ok(length) if length <= self.left() => self.take(length),
            _ => {
                self.at = from;
                Err("a length goes beyond the end of the bytes")
            }
        }
    }

    /// Reads over the field of that tag.
    pub fn skip(&mut self, tag: u32) -> Result<(), Fault> {
        let mut open = Vec::new();
        let mut tag = tag;
        loop {
            match tag & 7 {
                VARINT => drop(self.varint()?),
                I64 => drop(self.take(8)?),
                LEN => drop(self.counted()?),
                I32 => drop(self.take(4)?),
                START if open.len() < GROUPS => open.push(tag >> 3),
                START => return Err("groups nest too deeply"),
                END => match open.pop() {
                    Some(number) if number == tag >> 3 => {}
                    _ => return Err("a group ends that has not begun"),
                },
                _ => return Err("there is no wire type 6 or 7"),
            }
            if open.is_empty() {
                return Ok(());
            }
            tag = self.tag()?;
        }
    }
}

#[inline]
pub(super) fn unzigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[inline]
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
pub(super) fn write_varint(mut bits: u64, out: &mut Vec<u8>) {
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// A length, then the bytes.
#[inline]
pub(super) fn write_counted(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Writes what `body` appends behind its length. The length's place is guessed as one byte; a longer
/// body is moved.
#[inline]
pub(super) fn write_nested<E>(
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    out.push(0);
    let from = out.len();
    body(out)?;
    let length = out.len() - from;
    if length < 0x80 {
        out[from - 1] = length as u8;
        return Ok(());
    }
    let (mut bytes, mut count) = ([0u8; 10], 0);
    let mut bits = length as u64;
    while bits >= 0x80 {
        bytes[count] = bits as u8 | 0x80;
        bits >>= 7;
        count += 1;
    }
    bytes[count] = bits as u8;
    out.resize(out.len() + count, 0);
    out.copy_within(from..from + length, from + count);
    out[from - 1..from + count].copy_from_slice(&bytes[..=count]);
    Ok(())
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

    #[test]
    fn lengths_of_all_sizes() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let body: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut out = vec![9];
            write_nested::<()>(&mut out, |out| {
                out.extend_from_slice(&body);
                Ok(())
            })
            .unwrap();
            let mut input = Input { bytes: &out, at: 1 };
            assert_eq!(input.counted(), Ok(&body[..]));
            assert_eq!(input.left(), 0);
        }
    }

    #[test]
    fn unknown_fields() {
        // A group in a group, with a number in it, then a field behind.
        let bytes = [0x0b, 0x13, 0x18, 5, 0x14, 0x0c, 0x20];
        let mut input = Input::new(&bytes);
        let tag = input.tag().unwrap();
        assert_eq!(input.skip(tag), Ok(()));
        assert_eq!(input.tag(), Ok(0x20));
        for broken in [&[0x0b, 0x14][..], &[0x0c], &[0x0e], &[0x0b], &[0x0a, 5], &[0x0d, 1]] {
            let mut input = Input::new(broken);
            let tag = input.tag().unwrap();
            assert!(input.skip(tag).is_err(), "{broken:?}");
        }
        assert_eq!(Input::new(&[0x02]).tag(), Err(NO_TAG));
        let deep = vec![0x0b; 200];
        let mut input = Input::new(&deep);
        let tag = input.tag().unwrap();
        assert!(input.skip(tag).is_err());
    }
}
