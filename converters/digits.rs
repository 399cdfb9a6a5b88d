//! Integers as text, written where they stay.
//!
//! A formatter that fills a buffer from behind has it copied then, and the copy waits for the
//! buffer's small stores. Here the count of digits comes first, by comparisons that a processor
//! foretells, so that what is written behind the number waits for none of its digits.

/// Bytes that a number's text is written into; none is longer than 24, with sign and decimals.
pub(crate) const ROOM: usize = 32;

/// The texts of 0 to 99, in two digits.
pub(crate) const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < pairs.len() {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Writes the integer to the beginning of `room`: its length. What stands behind it is of no meaning.
#[inline(always)]
pub(crate) fn integer(number: i64, room: &mut [u8; ROOM]) -> usize {
    signed(number < 0, number.unsigned_abs(), room)
}

/// The same of a sign and a size.
#[inline(always)]
pub(crate) fn signed(negative: bool, size: u64, room: &mut [u8; ROOM]) -> usize {
    room[0] = b'-';
    let start = usize::from(negative);
    start + digits(size, &mut room[start..])
}

/// Writes the digits to the beginning of `room`, which has 20 bytes.
#[inline(always)]
fn digits(size: u64, room: &mut [u8]) -> usize {
    match size {
        0..=9 => exactly::<1>(size, room),
        10..=99 => exactly::<2>(size, room),
        100..=999 => exactly::<3>(size, room),
        1_000..=9_999 => exactly::<4>(size, room),
        10_000..=99_999 => exactly::<5>(size, room),
        100_000..=999_999 => exactly::<6>(size, room),
        1_000_000..=9_999_999 => exactly::<7>(size, room),
        10_000_000..=99_999_999 => exactly::<8>(size, room),
        100_000_000..=999_999_999 => exactly::<9>(size, room),
        1_000_000_000..=9_999_999_999 => exactly::<10>(size, room),
        10_000_000_000..=99_999_999_999 => exactly::<11>(size, room),
        100_000_000_000..=999_999_999_999 => exactly::<12>(size, room),
        1_000_000_000_000..=9_999_999_999_999 => exactly::<13>(size, room),
        10_000_000_000_000..=99_999_999_999_999 => exactly::<14>(size, room),
        _ => longer(size, room),
    }
}

/// Fifteen digits to twenty: numbers of no clock that counts milliseconds.
#[cold]
fn longer(size: u64, room: &mut [u8]) -> usize {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(size).as_bytes();
    room[..text.len()].copy_from_slice(text);
    text.len()
}

/// A number of exactly that many digits, from behind, four by four.
#[inline]
fn exactly<const COUNT: usize>(size: u64, room: &mut [u8]) -> usize {
    let room = &mut room[..COUNT];
    let mut rest = size;
    let mut at = COUNT;
    while at >= 4 {
        let four = (rest % 10_000) as usize;
        rest /= 10_000;
        room[at - 4..at - 2].copy_from_slice(&PAIRS[four / 100]);
        room[at - 2..at].copy_from_slice(&PAIRS[four % 100]);
        at -= 4;
    }
    if at >= 2 {
        room[at - 2..at].copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
        at -= 2;
    }
    if at == 1 {
        room[0] = b'0' + rest as u8;
    }
    COUNT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_rig::Random;

    #[test]
    fn integers_of_all_lengths() {
        let powers = (0..19).map(|power| 10_i64.pow(power));
        let near = powers.flat_map(|power| [power - 1, power, power + 1, power * 9]);
        let mut random = Random(7);
        let any = (0..20_000).map(|round| (random.next() >> (round % 64)) as i64);
        for number in near.chain(any).chain([0, i64::MIN, i64::MAX]) {
            for number in [number, number.wrapping_neg()] {
                let mut room = [b'?'; ROOM];
                let length = integer(number, &mut room);
                assert_eq!(room[..length], *number.to_string().as_bytes());
            }
        }
    }
}
