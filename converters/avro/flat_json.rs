//! Runs a [`FlatProgram`] over a record's bytes straight to JSON text.
//!
//! Everything is copied in pieces of a fixed length, as far as the buffers have room, and counted
//! with its own. Whatever is wrong with the record, and a text that has no room, is `None`: the walk
//! of the tree says what it is.

use super::flat::{Flat, FlatProgram, LEAD, NEVER, Scalar};
use super::program::{Op, Program};
use super::to_json;
use crate::json::text::write_utf8;
use crate::json::{BASELINE, Baseline, Isa};
use crate::number_text::write_double;
use crate::varint::Input;

const WIDTH: usize = Baseline::WIDTH;

/// Room that is asked for behind each value: no piece that is copied is longer.
const SPARE: usize = 32;

/// Writes the value that is all of `bytes[start..]` to the beginning of `text`: the text's length.
/// `scratch` is for texts that are made elsewhere.
pub(super) fn write(
    program: &Program,
    flat: &FlatProgram,
    bytes: &[u8],
    start: usize,
    text: &mut [u8],
    scratch: &mut Vec<u8>,
) -> Option<usize> {
    let mut machine = Machine { program, flat, bytes, text, scratch };
    let mut places = Places { from: start, to: 0 };
    let mut next = 0;
    while let Some(step) = flat.steps.get(next) {
        next += 1;
        *machine.text.get_mut(places.to..)?.first_chunk_mut::<LEAD>()? = step.lead;
        places.to += usize::from(step.lead_len);
        if step.null != NEVER {
            // A place of one byte in zigzag: 0 or 2.
            let branch = *bytes.get(places.from)?;
            if branch & !2 != 0 {
                return None;
            }
            places.from += 1;
            if branch >> 1 == step.null {
                *machine.text.get_mut(places.to..)?.first_chunk_mut()? = *b"null";
                places.to += 4;
                next = step.skip as usize;
                continue;
            }
        }
        places = match step.value {
            Flat::Nothing => places,
            Flat::One(scalar) => machine.scalar(scalar, places)?,
            Flat::Array(items) => machine.array(items, places)?,
        };
    }
    (places.from == bytes.len()).then_some(places.to)
}

/// Where the next byte is read, and where the next one is written.
#[derive(Clone, Copy)]
struct Places {
    from: usize,
    to: usize,
}

struct Machine<'p, 'b, 't> {
    program: &'p Program,
    flat: &'p FlatProgram,
    bytes: &'b [u8],
    text: &'t mut [u8],
    scratch: &'t mut Vec<u8>,
}

impl Machine<'_, '_, '_> {
    #[inline(always)]
    fn scalar(&mut self, scalar: Scalar, places: Places) -> Option<Places> {
        let Places { from, to } = places;
        match scalar {
            Scalar::String => self.string(places),
            Scalar::Int64 => {
                let (number, from) = long(self.bytes, from)?;
                Some(Places { from, to: self.integer(number, to)? })
            }
            Scalar::Int32 => {
                let (number, from) = long(self.bytes, from)?;
                let number = i32::try_from(number).ok()?;
                Some(Places { from, to: self.integer(number.into(), to)? })
            }
            Scalar::Boolean => {
                let room = self.text.get_mut(to..)?.first_chunk_mut()?;
                let truth = *self.bytes.get(from)? == 1;
                *room = if truth { *b"true\0" } else { *b"false" };
                Some(Places { from: from + 1, to: to + if truth { 4 } else { 5 } })
            }
            Scalar::Double => {
                let number = f64::from_le_bytes(*self.bytes.get(from..)?.first_chunk()?);
                if !number.is_finite() {
                    return None;
                }
                self.scratch.clear();
                write_double(number, self.scratch);
                Some(Places { from: from + 8, to: self.scratched(to)? })
            }
            Scalar::Enum { first, count } => {
                let (symbol, from) = long(self.bytes, from)?;
                let symbol = usize::try_from(symbol).ok().filter(|at| *at < count.into())?;
                let text = &**self.flat.symbols.get(usize::from(first) + symbol)?;
                self.text.get_mut(to..to + text.len())?.copy_from_slice(text);
                Some(Places { from, to: to + text.len() })
            }
            Scalar::Other(op) => self.other(op, places),
        }
    }

    #[inline(always)]
    fn array(&mut self, items: Scalar, mut places: Places) -> Option<Places> {
        *self.text.get_mut(places.to)? = b'[';
        let open = places.to + 1;
        places.to = open;
        loop {
            let (mut count, from) = long(self.bytes, places.from)?;
            places.from = from;
            if count < 0 {
                // The block's size in bytes follows.
                count = count.checked_neg()?;
                (_, places.from) = long(self.bytes, from)?;
            }
            if count == 0 {
                break;
            }
            for _ in 0..count {
                *self.text.get_mut(places.to)? = b',';
                places.to += usize::from(places.to > open);
                let before = places.from;
                places = self.scalar(items, places)?;
                // Items without bytes are counted by the walk.
                if places.from == before {
                    return None;
                }
            }
        }
        *self.text.get_mut(places.to)? = b']';
        places.to += 1;
        Some(places)
    }

    #[inline(always)]
    fn integer(&mut self, number: i64, to: usize) -> Option<usize> {
        let mut buffer = itoa::Buffer::new();
        copy_short(buffer.format(number).as_bytes(), self.text.get_mut(to..)?).map(|len| to + len)
    }

    #[inline(always)]
    fn string(&mut self, places: Places) -> Option<Places> {
        let (length, from) = long(self.bytes, places.from)?;
        let length = usize::try_from(length).ok()?;
        let end = from.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let room = self.text.get_mut(places.to..)?;
        if room.len() < length + SPARE {
            return None;
        }
        room[0] = b'"';
        let mut done = 0;
        while done < length {
            // The last block of the record's last bytes looks at some of them once more.
            let short = self.bytes.len() - (from + done) < WIDTH;
            let at = if short && length >= WIDTH { length - WIDTH } else { done };
            let Some(block) = self.bytes.get(from + at..).and_then(<[u8]>::first_chunk::<WIDTH>)
            else {
                return self.last(from, end, places.to);
            };
            let bits = BASELINE.string_bits(block, 0)?;
            let within = (length - at).min(WIDTH);
            let mask = u32::MAX >> (32 - within);
            if (bits.special | bits.high) & mask != 0 {
                return self.unusual(from, end, places.to);
            }
            *room.get_mut(1 + at..)?.first_chunk_mut()? = *block;
            done = at + WIDTH;
        }
        *room.get_mut(1 + length)? = b'"';
        Some(Places { from: end, to: places.to + length + 2 })
    }

    /// A string shorter than a block at the very end of the record: the block that ends with it.
    #[inline(always)]
    fn last(&mut self, from: usize, end: usize, to: usize) -> Option<Places> {
        let length = end - from;
        let Some(block) = self.bytes.get(..end)?.last_chunk::<WIDTH>() else {
            return self.unusual(from, end, to);
        };
        let bits = BASELINE.string_bits(block, 0)?;
        if (bits.special | bits.high) >> (WIDTH - length) != 0 {
            return self.unusual(from, end, to);
        }
        let room = self.text.get_mut(to..to + length + 2)?;
        *room.first_mut()? = b'"';
        copy_short(self.bytes.get(from..end)?, room.get_mut(1..)?)?;
        *room.last_mut()? = b'"';
        Some(Places { from: end, to: to + length + 2 })
    }

    /// A string with escapes, or with more than ASCII.
    #[inline(never)]
    fn unusual(&mut self, from: usize, end: usize, to: usize) -> Option<Places> {
        self.scratch.clear();
        write_utf8(self.bytes, from, end, self.scratch);
        Some(Places { from: end, to: self.scratched(to)? })
    }

    /// A scalar of the rarer kinds.
    #[inline(never)]
    fn other(&mut self, op: Op, places: Places) -> Option<Places> {
        self.scratch.clear();
        let mut input = Input { bytes: self.bytes, at: places.from };
        to_json::write_scalar(self.program, op, &mut input, self.scratch).ok()?;
        Some(Places { from: input.at, to: self.scratched(places.to)? })
    }

    /// What the scratch holds, to the text.
    #[inline(always)]
    fn scratched(&mut self, to: usize) -> Option<usize> {
        copy_short(self.scratch, self.text.get_mut(to..)?).map(|len| to + len)
    }
}

/// A number, and where the next byte is.
#[inline(always)]
fn long(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut input = Input { bytes, at };
    let number = input.long().ok()?;
    Some((number, input.at))
}

/// Copies a text that is mostly short to the beginning of `to`, by halves that overlap: the copies
/// have fixed lengths and need no call.
#[inline(always)]
fn copy_short(text: &[u8], to: &mut [u8]) -> Option<usize> {
    let length = text.len();
    let to = to.get_mut(..length)?;
    if let (Some(head), Some(tail)) = (text.first_chunk::<8>(), text.last_chunk::<8>())
        && length <= 16
    {
        *to.first_chunk_mut()? = *head;
        *to.last_chunk_mut()? = *tail;
    } else if let (Some(head), Some(tail)) = (text.first_chunk::<4>(), text.last_chunk::<4>())
        && length <= 8
    {
        *to.first_chunk_mut()? = *head;
        *to.last_chunk_mut()? = *tail;
    } else if length < 4 {
        to.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte);
    } else {
        to.copy_from_slice(text);
    }
    Some(length)
}
