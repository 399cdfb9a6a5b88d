//! Avro's binary encoding, read from the bytes of a record.

/// What is wrong with the bytes; [`Input::at`] says where.
pub(super) type Fault = &'static str;

pub(super) const SHORT: Fault = "the bytes end before the value does";

/// The bytes of a record and how far they are read.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Input<'a> {
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
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(SHORT)?;
        self.at += N;
        Ok(*bytes)
    }

    /// A `long`: zigzag, seven bits a byte.
    #[inline]
    pub fn long(&mut self) -> Result<i64, Fault> {
        let first = *self.bytes.get(self.at).ok_or(SHORT)?;
        if first < 0x80 {
            self.at += 1;
            return Ok(zigzag(u64::from(first)));
        }
        let mut bits = u64::from(first & 0x7f);
        for (index, byte) in self.bytes[self.at + 1..].iter().take(9).enumerate() {
            bits |= u64::from(byte & 0x7f) << (7 * (index + 1));
            if *byte < 0x80 {
                self.at += index + 2;
                return Ok(zigzag(bits));
            }
        }
        Err(if self.left() < 10 { SHORT } else { "a number is longer than 64 bits" })
    }

    #[inline]
    pub fn int(&mut self) -> Result<i32, Fault> {
        let from = self.at;
        let value = self.long()?;
        i32::try_from(value).map_err(|_| {
            self.at = from;
            "an int is longer than 32 bits"
        })
    }

    pub fn float(&mut self) -> Result<f32, Fault> {
        self.array().map(f32::from_le_bytes)
    }

    pub fn double(&mut self) -> Result<f64, Fault> {
        self.array().map(f64::from_le_bytes)
    }

    /// Any byte but 1 is false, as Avro's Java decoder has it.
    pub fn boolean(&mut self) -> Result<bool, Fault> {
        self.array::<1>().map(|byte| byte == [1])
    }

    /// `bytes` or `string`: a length, then as many bytes.
    #[inline]
    pub fn counted(&mut self) -> Result<&'a [u8], Fault> {
        let from = self.at;
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) if length <= self.left() => self.take(length),
            Ok(_) => {
                self.at = from;
                Err("a length goes beyond the end of the bytes")
            }
            Err(_) => {
                self.at = from;
                Err("a length is negative")
            }
        }
    }

    /// A branch of a union or a symbol of an enum, below `count`.
    #[inline]
    pub fn index(&mut self, count: usize, wrong: Fault) -> Result<usize, Fault> {
        let from = self.at;
        let index = self.long()?;
        match usize::try_from(index) {
            Ok(index) if index < count => Ok(index),
            _ => {
                self.at = from;
                Err(wrong)
            }
        }
    }

    /// The number of items in the next block of an array or a map; 0 ends it. An item that takes
    /// no byte at all lets a forged count claim any number: `free` is what is left for such ones.
    #[inline]
    pub fn block(&mut self, free: &mut usize) -> Result<usize, Fault> {
        let from = self.at;
        let mut count = self.long()?;
        if count < 0 {
            // The block's size in bytes follows, for readers that skip it.
            count = count.checked_neg().unwrap_or(i64::MAX);
            self.long()?;
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > self.left() {
            if count - self.left() > *free {
                self.at = from;
                return Err("a block claims more items than there are bytes");
            }
            *free -= count - self.left();
        }
        Ok(count)
    }
}

/// Items without bytes that one record may have.
pub(super) const FREE_ITEMS: usize = 4096;

#[inline]
fn zigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(bytes: &[u8]) -> Input<'_> {
        Input { bytes, at: 0 }
    }

    #[test]
    fn numbers() {
        for (bytes, value) in [
            (&[0][..], 0),
            (&[1], -1),
            (&[2], 1),
            (&[0x80, 1], 64),
            (&[0xff; 9][..], 0),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], i64::MIN),
        ] {
            let read = input(bytes).long();
            if bytes.len() == 9 {
                assert_eq!(read, Err(SHORT));
            } else {
                assert_eq!(read, Ok(value));
            }
        }
        assert!(input(&[0xff; 11]).long().is_err());
        assert!(input(&[0xff, 0xff, 0xff, 0xff, 0x1f]).int().is_err());
        assert_eq!(input(&[0xff, 0xff, 0xff, 0xff, 0x0f]).int(), Ok(i32::MIN));
    }

    #[test]
    fn forged_lengths() {
        let mut bytes = input(&[0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 2]);
        assert!(bytes.counted().is_err());
        assert_eq!(bytes.at, 0);
        assert!(input(&[1]).counted().is_err());
        let mut free = FREE_ITEMS;
        assert!(input(&[0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 2]).block(&mut free).is_err());
        assert_eq!(input(&[4, 1, 2]).block(&mut free), Ok(2));
        assert_eq!(input(&[3, 4, 1, 2]).block(&mut free), Ok(2));
        let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0];
        assert!(input(&least).block(&mut free).is_err());
    }
}
