//! Avro's binary encoding, read from the bytes of a record.

use crate::varint::{Fault, Input, unzigzag};

impl<'a> Input<'a> {
    /// A `long`: zigzag, seven bits a byte.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, Fault> {
        self.varint().map(unzigzag)
    }

    #[inline]
    pub(super) fn int(&mut self) -> Result<i32, Fault> {
        let from = self.at;
        let value = self.long()?;
        i32::try_from(value).map_err(|_| {
            self.at = from;
            "an int is longer than 32 bits"
        })
    }

    pub(super) fn float(&mut self) -> Result<f32, Fault> {
        self.array().map(f32::from_le_bytes)
    }

    pub(super) fn double(&mut self) -> Result<f64, Fault> {
        self.array().map(f64::from_le_bytes)
    }

    /// Any byte but 1 is false, as Avro's Java decoder has it.
    pub(super) fn boolean(&mut self) -> Result<bool, Fault> {
        self.array::<1>().map(|byte| byte == [1])
    }

    /// `bytes` or `string`: a length, then as many bytes.
    #[inline]
    pub(super) fn counted(&mut self) -> Result<&'a [u8], Fault> {
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
    pub(super) fn index(&mut self, count: usize, wrong: Fault) -> Result<usize, Fault> {
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
    #[inline(always)]
    pub(super) fn block(&mut self, free: &mut usize) -> Result<usize, Fault> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::varint::SHORT;

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
            let read = Input::new(bytes).long();
            if bytes.len() == 9 {
                assert_eq!(read, Err(SHORT));
            } else {
                assert_eq!(read, Ok(value));
            }
        }
        assert!(Input::new(&[0xff; 11]).long().is_err());
        assert!(Input::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).int().is_err());
        assert_eq!(Input::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).int(), Ok(i32::MIN));
    }

    #[test]
    fn forged_lengths() {
        let mut bytes = Input::new(&[0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 2]);
        assert!(bytes.counted().is_err());
        assert_eq!(bytes.at, 0);
        assert!(Input::new(&[1]).counted().is_err());
        let mut free = FREE_ITEMS;
        assert!(Input::new(&[0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 2]).block(&mut free).is_err());
        assert_eq!(Input::new(&[4, 1, 2]).block(&mut free), Ok(2));
        assert_eq!(Input::new(&[3, 4, 1, 2]).block(&mut free), Ok(2));
        let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0];
        assert!(Input::new(&least).block(&mut free).is_err());
    }
}
