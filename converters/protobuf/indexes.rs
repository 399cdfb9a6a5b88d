//! Which message of its schema a record is: the list of indexes behind the schema's id.
//!
//! Zigzag varints: how many there are, then each; a lone 0 stands for the first message.
use crate::varint::{Fault, Input, unzigzag, write_varint, zigzag};

/// Messages in messages.
const MOST: i64 = 64;

const WRONG: Fault = "the list of message indexes is broken";

/// Reads over the list, which `input` begins with.
#[inline]
pub(super) fn skip(input: &mut Input<'_>) -> Result<(), Fault> {
    if input.bytes.get(input.at) == Some(&0) {
        input.at += 1;
        return Ok(());
    }
    walk(input, |_| {})
}

/// The list itself.
pub(super) fn read(input: &mut Input<'_>) -> Result<Vec<usize>, Fault> {
    let mut indexes = Vec::new();
    walk(input, |index| indexes.push(index))?;
    if indexes.is_empty() {
        indexes.push(0);
    }
    Ok(indexes)
}

fn walk(input: &mut Input<'_>, mut each: impl FnMut(usize)) -> Result<(), Fault> {
    let from = input.at;
    let count = unzigzag(input.varint()?);
    if !(0..=MOST).contains(&count) {
        input.at = from;
        return Err(WRONG);
    }
    for _ in 0..count {
        let from = input.at;
        match usize::try_from(unzigzag(input.varint()?)) {
            Ok(index) => each(index),
            Err(_) => {
                input.at = from;
                return Err(WRONG);
            }
        }
    }
    Ok(())
}

pub(super) fn write(indexes: &[usize], out: &mut Vec<u8>) {
    if *indexes == [0] {
        out.push(0);
        return;
    }
    write_varint(zigzag(indexes.len() as i64), out);
    for index in indexes {
        write_varint(zigzag(*index as i64), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (indexes, bytes) in [
            (vec![0], vec![0]),
            (vec![7], vec![2, 14]),
            (vec![1, 0], vec![4, 2, 0]),
            (vec![100], vec![2, 0xc8, 1]),
        ] {
            let mut out = Vec::new();
            write(&indexes, &mut out);
            assert_eq!(out, bytes);
            let mut input = Input::new(&out);
            assert_eq!(read(&mut input), Ok(indexes));
            let mut input = Input::new(&out);
            assert_eq!(skip(&mut input), Ok(()));
            assert_eq!(input.left(), 0);
        }
        for broken in [&[][..], &[1], &[2], &[2, 1], &[0xff, 0xff, 3]] {
            assert!(read(&mut Input::new(broken)).is_err(), "{broken:?}");
        }
    }
}
