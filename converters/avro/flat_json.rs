//! Runs a [`FlatProgram`] over a record's bytes straight to JSON text.
//!
//! What a step reads lies in one window of the record, what it writes in one room: that both are
//! there is asked once, and within them everything is copied in pieces of a fixed length and counted
//! with its own. Whatever is wrong with the record, and a text that has no room, is `None`: the walk
//! of the tree says what it is.

use std::ops::{Range, RangeInclusive};

use super::flat::{Flat, FlatProgram, LEAD, NEVER};
use super::program::{Op, Program};
use super::to_json;
use crate::digits::integer;
use crate::json::isa::dispatch;
use crate::json::text::write_utf8;
use crate::json::{BASELINE, Baseline, Isa, Level};
use crate::number_text::{few_decimals, write_double};
use crate::varint::Input;

/// A string's length in one byte, and the 63 bytes that it may have; one more to make it even.
const WINDOW: usize = 1 + 64;

/// Places in a room where a step or an item may begin.
const ROOM: usize = 32 * 1024;

/// What is written behind such a place without asking: a lead and a string's window, or a number.
const SPARE: usize = 512;

/// Where a text is written.
pub(super) type Room = [u8; ROOM + SPARE];

/// Writes the value that is all of `bytes[place]` to the beginning of `room`: the text's length.
/// `scratch` is for texts that are made elsewhere. A record that has less than a window behind it is
/// left to the walk.
pub(super) fn write(
    level: Level,
    (program, flat): (&Program, &FlatProgram),
    (bytes, place): (&[u8], Range<usize>),
    room: &mut Room,
    scratch: &mut Vec<u8>,
) -> Option<usize> {
    if place.len() > ROOM {
        // Its text will hardly be shorter.
        return None;
    }
    let mut machine = Machine { program, flat, bytes, text: room, scratch };
    let machine = &mut machine;
    dispatch!(level, run, (machine: &mut Machine<'_>, place: Range<usize>) -> Option<usize>)
}

/// All steps. Where a record ends is asked once they are done: until then whatever stands behind it is
/// read like its own.
#[inline(always)]
fn run<I: Isa>(isa: I, machine: &mut Machine<'_>, place: Range<usize>) -> Option<usize> {
    let (mut from, mut to, mut next) = (place.start, 0, 0);
    // Items of an array that are still to come in this block of them.
    let mut left = 0;
    while let Some(step) = machine.flat.steps.get(next) {
        next += 1;
        if to >= ROOM {
            return None;
        }
        *machine.text[to..].first_chunk_mut::<LEAD>()? = step.lead;
        to += usize::from(step.lead_len);
        if step.null != NEVER {
            // A place of one byte in zigzag: 0 or 2.
            let branch = *machine.bytes.get(from)?;
            if branch & !2 != 0 {
                return None;
            }
            from += 1;
            if branch >> 1 == step.null {
                // In place of a string's quote.
                to -= usize::from(matches!(step.value, Flat::String));
                *machine.text[to..].first_chunk_mut()? = *b"null";
                to += 4;
                next = step.jump as usize;
                continue;
            }
        }
        let places = Places { from, to };
        Places { from, to } = match step.value {
            Flat::Nothing => places,
            Flat::String => machine.string(isa, places)?,
            Flat::Int64 => machine.integer(i64::MIN..=i64::MAX, places)?,
            Flat::Int32 => machine.integer(i32::MIN.into()..=i32::MAX.into(), places)?,
            Flat::Double => machine.double(places)?,
            Flat::Boolean => machine.boolean(places)?,
            Flat::Enum { first, count } => machine.symbol(first, count, places)?,
            Flat::Other(op) => machine.other(op, places)?,
            Flat::Array => {
                let (count, from) = machine.block(from)?;
                left = count;
                *machine.text[to..].first_chunk_mut()? = *b"[]";
                if left == 0 {
                    next = step.jump as usize;
                }
                Places { from, to: to + if left == 0 { 2 } else { 1 } }
            }
            Flat::More => {
                let mut from = from;
                left -= 1;
                if left == 0 {
                    (left, from) = machine.block(from)?;
                }
                machine.text[to] = if left == 0 { b']' } else { b',' };
                if left > 0 {
                    next = step.jump as usize;
                }
                Places { from, to: to + 1 }
            }
        };
    }
    (from == place.end).then_some(to)
}

/// Where the next byte is read, and where the next one is written.
#[derive(Clone, Copy)]
struct Places {
    from: usize,
    to: usize,
}

struct Machine<'m> {
    program: &'m Program,
    flat: &'m FlatProgram,
    bytes: &'m [u8],
    text: &'m mut Room,
    scratch: &'m mut Vec<u8>,
}

impl<'m> Machine<'m> {
    /// How many items the next block of an array has, and where they are; none at its end.
    #[inline(always)]
    fn block(&self, at: usize) -> Option<(usize, usize)> {
        let mut input = Input { bytes: self.bytes, at };
        // Every item has bytes: a program with others has no flat form.
        let count = input.block(&mut 0).ok()?;
        Some((count, input.at))
    }

    #[inline(always)]
    fn double(&mut self, Places { from, to }: Places) -> Option<Places> {
        let number = f64::from_le_bytes(*self.bytes.get(from..)?.first_chunk()?);
        let room = self.text[to..].first_chunk_mut()?;
        if let Some(length) = few_decimals(number, room) {
            return Some(Places { from: from + 8, to: to + length });
        }
        if !number.is_finite() {
            return None;
        }
        self.scratch.clear();
        write_double(number, self.scratch);
        Some(Places { from: from + 8, to: self.scratched(to)? })
    }

    #[inline(always)]
    fn symbol(&mut self, first: u16, count: u16, Places { from, to }: Places) -> Option<Places> {
        let (symbol, from) = self.long(from)?;
        let symbol = usize::try_from(symbol).ok().filter(|at| *at < count.into())?;
        let text = &**self.flat.symbols.get(usize::from(first) + symbol)?;
        self.text.get_mut(to..to + text.len())?.copy_from_slice(text);
        Some(Places { from, to: to + text.len() })
    }

    /// A number, and where the next byte is.
    #[inline(always)]
    fn long(&self, at: usize) -> Option<(i64, usize)> {
        let mut input = Input { bytes: self.bytes, at };
        let number = input.long().ok()?;
        Some((number, input.at))
    }

    #[inline(always)]
    fn integer(&mut self, range: RangeInclusive<i64>, at: Places) -> Option<Places> {
        let (number, from) = self.long(at.from)?;
        let number = Some(number).filter(|number| range.contains(number))?;
        let length = integer(number, self.text[at.to..].first_chunk_mut()?);
        Some(Places { from, to: at.to + length })
    }

    #[inline(always)]
    fn boolean(&mut self, Places { from, to }: Places) -> Option<Places> {
        let truth = *self.bytes.get(from)? == 1;
        let text = if truth { *b"true\0" } else { *b"false" };
        *self.text[to..].first_chunk_mut()? = text;
        Some(Places { from: from + 1, to: to + if truth { 4 } else { 5 } })
    }

    /// A string, whose opening quote is there.
    #[inline(always)]
    fn string<I: Isa>(&mut self, isa: I, places: Places) -> Option<Places> {
        let Places { from, to } = places;
        let (size, window) = self.bytes.get(from..)?.first_chunk::<WINDOW>()?.split_first()?;
        // In zigzag, a number from 0 to 63 is an even byte below 128.
        if size & 0x81 != 0 {
            return self.long_string(places);
        }
        let length = usize::from(size >> 1);
        let mut unusual = 0;
        for at in (0..WINDOW - 1).step_by(I::WIDTH) {
            if at > 0 && at >= length {
                break;
            }
            let bits = isa.string_bits(window, at)?;
            unusual |= u64::from(bits.special | bits.high) << at;
            self.text[to + at..][..I::WIDTH].copy_from_slice(&window[at..at + I::WIDTH]);
        }
        let end = from + 1 + length;
        if unusual & ((1 << length) - 1) != 0 {
            return self.unusual(from + 1, end, to);
        }
        self.text[to + length] = b'"';
        Some(Places { from: end, to: to + length + 1 })
    }

    /// A string of 64 bytes or more.
    #[inline(never)]
    fn long_string(&mut self, places: Places) -> Option<Places> {
        let (length, from) = self.long(places.from)?;
        let length = usize::try_from(length).ok()?;
        let end = from.checked_add(length)?;
        let text = self.bytes.get(from..end)?;
        let room = self.text.get_mut(places.to..)?.get_mut(..length + 1)?;
        // The last block looks at some bytes once more.
        let blocks = (0..length.checked_sub(Baseline::WIDTH)?).step_by(Baseline::WIDTH);
        for at in blocks.chain([length - Baseline::WIDTH]) {
            let bits = BASELINE.string_bits(text, at)?;
            if bits.special | bits.high != 0 {
                return self.unusual(from, end, places.to);
            }
        }
        let (closing, within) = room.split_last_mut()?;
        within.copy_from_slice(text);
        *closing = b'"';
        Some(Places { from: end, to: places.to + length + 1 })
    }

    /// A string with escapes, or with more than ASCII.
    #[inline(never)]
    fn unusual(&mut self, from: usize, end: usize, to: usize) -> Option<Places> {
        self.scratch.clear();
        write_utf8(self.bytes, from, end, self.scratch);
        // Its opening quote is there.
        Some(Places { from: end, to: self.scratched(to - 1)? })
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
