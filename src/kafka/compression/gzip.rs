//! gzip: bare deflate by the library, the member's header and trailer (RFC 1952) by hand, because
//! that keeps the library's state reusable.

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Bad, Sink};

pub(super) const DEFAULT_LEVEL: i32 = -1;
const LIBRARY_LEVEL: u32 = 6;

/// As Java's `GZIPOutputStream`: deflate, no flags, no time, unknown system.
const MEMBER_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

const CUT_OFF: &str = "the stream is cut off";

#[derive(Default)]
pub(super) struct Reader(Option<Decompress>);

impl Reader {
    /// Reads one member after the other. The trailer's CRC-32 is not verified, the batch's own has
    /// covered these bytes; its length is.
    pub(super) fn decompress(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Bad> {
        let mut at = 0;
        loop {
            at += member_header_len(&input[at..]).map_err(|reason| Bad::Data(at, reason))?;
            let before = sink.len();
            at += self.member(&input[at..], at, sink)?;
            let trailer = input.get(at..at + 8).ok_or(Bad::Data(at, CUT_OFF))?;
            let length = u32::from_le_bytes([trailer[4], trailer[5], trailer[6], trailer[7]]);
            if length != (sink.len() - before) as u32 {
                return Err(Bad::Data(at, "the declared length differs"));
            }
            at += 8;
            if !input[at..].starts_with(&MEMBER_HEADER[..2]) {
                return Ok(());
            }
        }
    }

    /// Inflates and returns how many bytes of `input` that took.
    fn member(&mut self, input: &[u8], at: usize, sink: &mut Sink<'_>) -> Result<usize, Bad> {
        let inflate = self.0.get_or_insert_with(|| Decompress::new(false));
        inflate.reset(false);
        // The first room is by what text compresses to, the next as much again.
        let mut least = input.len().saturating_mul(4).clamp(4 << 10, 1 << 20);
        loop {
            let read = inflate.total_in() as usize;
            let left = sink.left();
            let room = sink.room(least.min(left), at + read)?;
            let written = inflate.total_out();
            let status = inflate
                .decompress(&input[read..], room, FlushDecompress::None)
                .map_err(|_| Bad::Data(at + read, "the stream is corrupt"))?;
            let written = (inflate.total_out() - written) as usize;
            sink.advance(written);
            let now_read = inflate.total_in() as usize;
            match status {
                Status::StreamEnd => return Ok(now_read),
                _ if left == written => return Err(Bad::TooLarge(at + now_read)),
                _ if written == 0 && now_read == read => {
                    return Err(Bad::Data(at + read, CUT_OFF));
                }
                _ => least = least.saturating_mul(2).min(16 << 20),
            }
        }
    }
}

fn member_header_len(input: &[u8]) -> Result<usize, &'static str> {
    if input.len() < MEMBER_HEADER.len() {
        return Err(CUT_OFF);
    }
    if input[..3] != MEMBER_HEADER[..3] {
        return Err("not a gzip stream");
    }
    let flags = input[3];
    if flags & FLAGS_RESERVED != 0 {
        return Err("unknown flags");
    }
    let mut at = MEMBER_HEADER.len();
    if flags & FLAG_EXTRA != 0 {
        let length = input.get(at..at + 2).ok_or(CUT_OFF)?;
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            let rest = input.get(at..).ok_or(CUT_OFF)?;
            at += rest.iter().position(|byte| *byte == 0).ok_or(CUT_OFF)? + 1;
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        at += 2;
    }
    if at > input.len() { Err(CUT_OFF) } else { Ok(at) }
}

/// A deflate state and the level that it was made for.
#[derive(Default)]
pub(super) struct Writer(Option<(u32, Compress)>);

impl Writer {
    pub(super) fn compress(
        &mut self,
        level: i32,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let level = if level == DEFAULT_LEVEL { LIBRARY_LEVEL } else { level.clamp(1, 9) as u32 };
        if self.0.as_ref().is_none_or(|(made_for, _)| *made_for != level) {
            self.0 = Some((level, Compress::new(flate2::Compression::new(level), false)));
        }
        let Some((_, deflate)) = &mut self.0 else { return Err("no state") };
        deflate.reset();
        out.extend_from_slice(&MEMBER_HEADER);
        loop {
            let read = deflate.total_in() as usize;
            let (read_before, len_before) = (read, out.len());
            out.reserve((input.len() - read) / 4 + 512);
            let status = deflate
                .compress_vec(&input[read..], out, FlushCompress::Finish)
                .map_err(|_| "the library failed")?;
            if status == Status::StreamEnd {
                break;
            }
            if deflate.total_in() as usize == read_before && out.len() == len_before {
                return Err("the library made no progress");
            }
        }
        out.extend_from_slice(&crc_fast::crc32_iso_hdlc(input).to_le_bytes());
        out.extend_from_slice(&(input.len() as u32).to_le_bytes());
        Ok(())
    }
}
