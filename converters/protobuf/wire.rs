//! Protobuf's wire format: varints, tags, lengths; read from a slice, appended to a vector.

use crate::varint::{Fault, Input, write_varint};

pub(super) const NO_TAG: Fault = "a field has the number 0";

pub(super) const VARINT: u32 = 0;
pub(super) const I64: u32 = 1;
pub(super) const LEN: u32 = 2;
pub(super) const START: u32 = 3;
pub(super) const END: u32 = 4;
pub(super) const I32: u32 = 5;

/// Groups in groups.
const GROUPS: usize = 100;

impl<'a> Input<'a> {
    /// A field's number and wire type in one; as Java does, only 32 bits count.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<u32, Fault> {
        let from = self.at;
        let tag = self.varint()? as u32;
        if tag >> 3 == 0 {
            self.at = from;
            return Err(NO_TAG);
        }
        Ok(tag)
    }

    /// A length, then as many bytes.
    #[inline]
    pub(super) fn delimited(&mut self) -> Result<&'a [u8], Fault> {
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

    /// The bytes of a message: behind a length, or up to the end of the group that the tag begins.
    #[inline]
    pub(super) fn message(&mut self, tag: u32) -> Result<&'a [u8], Fault> {
        if tag & 7 == START { self.group(tag >> 3, 0) } else { self.delimited() }
    }

    /// Reads over the field of that tag.
    #[inline]
    pub(super) fn skip(&mut self, tag: u32) -> Result<(), Fault> {
        self.skip_within(tag, 0)
    }

    fn skip_within(&mut self, tag: u32, depth: usize) -> Result<(), Fault> {
        match tag & 7 {
            VARINT => drop(self.varint()?),
            I64 => drop(self.take(8)?),
            LEN => drop(self.delimited()?),
            I32 => drop(self.take(4)?),
            START => drop(self.group(tag >> 3, depth)?),
            END => return Err("a group ends that has not begun"),
            _ => return Err("there is no wire type 6 or 7"),
        }
        Ok(())
    }

    /// The fields of a group that has begun; its end is read, too. A group inside of a group is read
    /// over once for each that is around it, which [`GROUPS`] bounds.
    fn group(&mut self, number: u32, depth: usize) -> Result<&'a [u8], Fault> {
        if depth == GROUPS {
            return Err("groups nest too deeply");
        }
        let from = self.at;
        loop {
            let end = self.at;
            let tag = self.tag()?;
            if tag == number << 3 | END {
                return Ok(&self.bytes[from..end]);
            }
            self.skip_within(tag, depth + 1)?;
        }
    }
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
            assert_eq!(input.delimited(), Ok(&body[..]));
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
