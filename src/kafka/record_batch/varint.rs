//! Zigzag variable-length integers, as in Protocol Buffers: seven bits a byte, low ones first.

/// Reads at `*at` and moves it on. `None` if the bytes end first or the number has more than five
/// bytes (as Java's reader, bits above the 32nd are dropped).
#[inline(always)]
pub(crate) fn read_i32(bytes: &[u8], at: &mut usize) -> Option<i32> {
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(unzigzag_32(u32::from(first)));
    }
    let second = *bytes.get(*at + 1)?;
    if second < 0x80 {
        *at += 2;
        return Some(unzigzag_32(u32::from(first & 0x7f) | u32::from(second) << 7));
    }
    read_long_i32(bytes, at)
}

#[cold]
fn read_long_i32(bytes: &[u8], at: &mut usize) -> Option<i32> {
    let mut value = 0_u32;
    for index in 0..5 {
        let byte = *bytes.get(*at + index)?;
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *at += index + 1;
            return Some(unzigzag_32(value));
        }
    }
    None
}

/// As [`read_i32`], for up to ten bytes.
#[inline(always)]
pub(crate) fn read_i64(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(unzigzag_64(u64::from(first)));
    }
    read_long_i64(bytes, at)
}

fn read_long_i64(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut value = 0_u64;
    for index in 0..10 {
        let byte = *bytes.get(*at + index)?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *at += index + 1;
            return Some(unzigzag_64(value));
        }
    }
    None
}

#[inline(always)]
fn unzigzag_32(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

#[inline(always)]
fn unzigzag_64(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[inline(always)]
pub(crate) fn zigzag_64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Bytes that `value` takes. The encoding of an `i32` and of the same `i64` are equal.
#[inline(always)]
pub(crate) fn len(value: i64) -> usize {
    let bits = 64 - (zigzag_64(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends `value`.
#[inline(always)]
pub(crate) fn write(value: i64, out: &mut Vec<u8>) {
    let mut rest = zigzag_64(value);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_lengths_return() {
        let mut numbers = vec![0, -1, i64::MAX, i64::MIN, i64::from(i32::MAX), i64::from(i32::MIN)];
        numbers.extend((0..63).flat_map(|bit| [1 << bit, -(1 << bit), (1 << bit) - 1]));
        for number in numbers {
            let mut bytes = Vec::new();
            write(number, &mut bytes);
            assert_eq!(bytes.len(), len(number), "{number}");
            let mut at = 0;
            assert_eq!(read_i64(&bytes, &mut at), Some(number));
            assert_eq!(at, bytes.len());
            if let Ok(small) = i32::try_from(number) {
                at = 0;
                assert_eq!(read_i32(&bytes, &mut at), Some(small));
            }
            at = 0;
            assert_eq!(read_i64(&bytes[..bytes.len() - 1], &mut at), None);
        }
    }

    #[test]
    fn the_protocol_guides_vectors() {
        for (number, expected) in [(0, &[0][..]), (-1, &[1]), (63, &[0x7e]), (-64, &[0x7f])] {
            let mut bytes = Vec::new();
            write(number, &mut bytes);
            assert_eq!(bytes, expected);
        }
        let mut bytes = Vec::new();
        write(64, &mut bytes);
        assert_eq!(bytes, [0x80, 0x01]);
    }

    #[test]
    fn endless_numbers_end() {
        assert_eq!(read_i32(&[0x80; 6], &mut 0), None);
        assert_eq!(read_i64(&[0x80; 11], &mut 0), None);
        assert_eq!(read_i32(&[], &mut 0), None);
    }
}
