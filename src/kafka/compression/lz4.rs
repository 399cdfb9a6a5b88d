//! LZ4 frames over the C library's block functions.
//!
//! Written as Kafka's Java client writes them: independent blocks of 64 KiB, no checksums but the
//! header's (the batch has its CRC-32C). Read: everything that the frame format allows but
//! dictionaries. Checksums over content are not verified, as Java's reader does not either: the
//! batch's CRC has covered the same bytes.

use std::ffi::c_int;

use lz4_sys::c_char;

use super::{Bad, Scratch, Sink};

/// Kafka's name for the fast compressor.
pub(super) const DEFAULT_LEVEL: i32 = 9;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Magic, version 1 with independent blocks, 64 KiB blocks, and the checksum of those two bytes.
const FRAME_HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK: usize = 64 << 10;
const UNCOMPRESSED: u32 = 1 << 31;

const FLAG_INDEPENDENT: u8 = 1 << 5;
const FLAG_BLOCK_CHECKSUM: u8 = 1 << 4;
const FLAG_CONTENT_SIZE: u8 = 1 << 3;
const FLAG_DICTIONARY: u8 = 1;

unsafe extern "C" {
    /// Part of the library that `lz4-sys` builds, without a declaration there (lz4.h).
    fn LZ4_decompress_safe_usingDict(
        source: *const c_char,
        dest: *mut c_char,
        source_len: c_int,
        dest_capacity: c_int,
        dictionary: *const c_char,
        dictionary_len: c_int,
    ) -> c_int;
    /// As above: compresses with the caller's working memory, so that none is cleared on the stack.
    fn LZ4_compress_fast_extState(
        state: *mut std::ffi::c_void,
        source: *const c_char,
        dest: *mut c_char,
        source_len: c_int,
        dest_capacity: c_int,
        acceleration: c_int,
    ) -> c_int;
    /// As above, for the high compression levels (lz4hc.h).
    fn LZ4_compress_HC_extStateHC(
        state: *mut std::ffi::c_void,
        source: *const c_char,
        dest: *mut c_char,
        source_len: c_int,
        dest_capacity: c_int,
        level: c_int,
    ) -> c_int;
    fn LZ4_sizeofState() -> c_int;
    fn LZ4_sizeofStateHC() -> c_int;
}

struct Frame {
    independent: bool,
    block_checksum: bool,
    block_max: usize,
    /// Where the first block begins.
    body: usize,
}

pub(super) fn decompress(input: &[u8], sink: &mut Sink<'_>) -> Result<(), Bad> {
    let frame = parse_header(input)?;
    let mut at = frame.body;
    loop {
        let word = input.get(at..at + 4).ok_or(Bad::Data(at, "a block's length is cut off"))?;
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        at += 4;
        if word == 0 {
            return Ok(());
        }
        let length = (word & !UNCOMPRESSED) as usize;
        if length > frame.block_max {
            return Err(Bad::Data(at, "a block is longer than the frame allows"));
        }
        let block = input.get(at..at + length).ok_or(Bad::Data(at, "a block is cut off"))?;
        if word & UNCOMPRESSED != 0 {
            sink.copy(block, at)?;
        } else {
            decompress_block(block, at, &frame, sink)?;
        }
        at += length + if frame.block_checksum { 4 } else { 0 };
    }
}

fn parse_header(input: &[u8]) -> Result<Frame, Bad> {
    if input.len() < 7 {
        return Err(Bad::Data(input.len(), "the frame's header is cut off"));
    }
    if input[..4] != MAGIC {
        return Err(Bad::Data(0, "not a frame"));
    }
    let (flags, descriptor) = (input[4], input[5]);
    if flags >> 6 != 1 {
        return Err(Bad::Data(4, "unknown version of the frame format"));
    }
    if flags & FLAG_DICTIONARY != 0 {
        return Err(Bad::Data(4, "the frame needs a dictionary"));
    }
    let block_max = match descriptor >> 4 & 7 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        _ => return Err(Bad::Data(5, "unknown block size")),
    };
    let checksum_at = if flags & FLAG_CONTENT_SIZE == 0 { 6 } else { 14 };
    let checksum =
        input.get(checksum_at).ok_or(Bad::Data(input.len(), "the frame's header is cut off"))?;
    if (xxh32(&input[4..checksum_at]) >> 8) as u8 != *checksum {
        return Err(Bad::Data(checksum_at, "the frame header's checksum differs"));
    }
    Ok(Frame {
        independent: flags & FLAG_INDEPENDENT != 0,
        block_checksum: flags & FLAG_BLOCK_CHECKSUM != 0,
        block_max,
        body: checksum_at + 1,
    })
}

fn decompress_block(
    block: &[u8],
    at: usize,
    frame: &Frame,
    sink: &mut Sink<'_>,
) -> Result<(), Bad> {
    // No block grows by more than 255; and more room than the block needs is no harm.
    let most = frame.block_max.min(block.len().saturating_mul(255));
    let limited = most > sink.left();
    let history = if frame.independent { 0 } else { sink.len().min(64 << 10) };
    let capacity = sink.room(most.min(sink.left()), at)?.len().min(frame.block_max);
    let Scratch { bytes, used, .. } = &mut *sink.out;
    // SAFETY: `used` is within `bytes`, by the scratch's invariant.
    let dest = unsafe { bytes.as_mut_ptr().add(*used) }.cast::<c_char>();
    // SAFETY: `block` is a live slice, `dest` has `capacity` bytes of room behind it, and both
    // lengths fit a `c_int` because they are at most 4 MiB. The `history` bytes before `dest` are
    // this batch's content in the same allocation. The function reads and writes within these
    // bounds whatever `block` holds.
    let written = unsafe {
        LZ4_decompress_safe_usingDict(
            block.as_ptr().cast(),
            dest,
            block.len() as c_int,
            capacity as c_int,
            dest.sub(history),
            history as c_int,
        )
    };
    if written < 0 {
        return Err(if limited { Bad::TooLarge(at) } else { Bad::Data(at, "a block is corrupt") });
    }
    sink.advance(written as usize);
    Ok(())
}

/// The hash tables of the compressors, kept between blocks.
#[derive(Default)]
pub(super) struct Writer {
    /// `u64` for the alignment that the library asks for.
    fast: Vec<u64>,
    high: Vec<u64>,
}

impl Writer {
    pub(super) fn compress(
        &mut self,
        level: i32,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        out.reserve(FRAME_HEADER.len() + input.len() + input.len().div_ceil(BLOCK) * 4 + 4);
        out.extend_from_slice(&FRAME_HEADER);
        for block in input.chunks(BLOCK) {
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            out.reserve(block.len());
            let written = self.compress_block(level, block, out.spare_capacity_mut());
            let word = if written == 0 {
                // It did not become smaller.
                out.extend_from_slice(block);
                block.len() as u32 | UNCOMPRESSED
            } else {
                // SAFETY: the block's compressor initialised this many bytes of the spare capacity.
                unsafe { out.set_len(start + 4 + written) };
                written as u32
            };
            out[start..start + 4].copy_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&[0; 4]);
        Ok(())
    }

    /// Compresses into `room` and returns the size, or 0 unless that is below the block's own.
    fn compress_block(
        &mut self,
        level: i32,
        block: &[u8],
        room: &mut [std::mem::MaybeUninit<u8>],
    ) -> usize {
        let capacity = room.len().min(block.len() - 1) as c_int;
        let (source, dest) = (block.as_ptr().cast(), room.as_mut_ptr().cast());
        let length = block.len() as c_int;
        let written = if level == DEFAULT_LEVEL {
            // SAFETY: a plain query without arguments.
            let size = unsafe { LZ4_sizeofState() };
            let state = memory(&mut self.fast, size);
            // SAFETY: `state` has the size and alignment asked for, the function clears it itself;
            // source and destination are live for `length` and `capacity` bytes.
            unsafe { LZ4_compress_fast_extState(state, source, dest, length, capacity, 1) }
        } else {
            // SAFETY: as above.
            let size = unsafe { LZ4_sizeofStateHC() };
            let state = memory(&mut self.high, size);
            let level = level.clamp(1, 17);
            // SAFETY: as above.
            unsafe { LZ4_compress_HC_extStateHC(state, source, dest, length, capacity, level) }
        };
        written.max(0) as usize
    }
}

fn memory(state: &mut Vec<u64>, size: c_int) -> *mut std::ffi::c_void {
    state.resize((size.max(0) as usize).div_ceil(8), 0);
    state.as_mut_ptr().cast()
}

/// xxHash-32 with seed 0, for inputs below 16 bytes: a frame header has at most 10.
fn xxh32(bytes: &[u8]) -> u32 {
    const PRIME_1: u32 = 0x9e37_79b1;
    const PRIME_2: u32 = 0x85eb_ca77;
    const PRIME_3: u32 = 0xc2b2_ae3d;
    const PRIME_4: u32 = 0x27d4_eb2f;
    const PRIME_5: u32 = 0x1656_67b1;
    debug_assert!(bytes.len() < 16);
    let mut hash = PRIME_5.wrapping_add(bytes.len() as u32);
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    for word in words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        hash = hash.wrapping_add(word.wrapping_mul(PRIME_3)).rotate_left(17).wrapping_mul(PRIME_4);
    }
    for byte in rest {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIME_5));
        hash = hash.rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(PRIME_2);
    hash = (hash ^ hash >> 13).wrapping_mul(PRIME_3);
    hash ^ hash >> 16
}
