//! Zstandard with contexts that are kept.

use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective};

use super::{Bad, Sink};

pub(super) const DEFAULT_LEVEL: i32 = 3;
const MIN_LEVEL: i32 = -131_072;
const MAX_LEVEL: i32 = 22;

#[derive(Default)]
pub(super) struct Reader(Option<DCtx<'static>>);

impl Reader {
    /// Reads one frame after the other.
    pub(super) fn decompress(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Bad> {
        if self.0.is_none() {
            self.0 = DCtx::try_create();
        }
        let context = self.0.as_mut().ok_or(Bad::Data(0, "no memory for a context"))?;
        let _ = context.reset(ResetDirective::SessionOnly);
        // A declared size is believed as far as ordinary data goes: what has room for a whole
        // frame is decompressed straight to its place.
        let declared = zstd_safe::get_frame_content_size(input).ok().flatten().unwrap_or(0);
        let ordinary = input.len().saturating_mul(8).clamp(4 << 10, 1 << 20);
        let believed = (input.len() as u64).saturating_mul(64).max(4 << 10);
        let mut least = ordinary.max(declared.min(believed) as usize);
        let mut source = InBuffer::around(input);
        loop {
            let (read, left) = (source.pos(), sink.left());
            let room = sink.room(least.min(left), read)?;
            let mut target = OutBuffer::around(room);
            let hint = context
                .decompress_stream(&mut target, &mut source)
                .map_err(|code| Bad::Data(read, zstd_safe::get_error_name(code)))?;
            let written = target.pos();
            sink.advance(written);
            if hint == 0 && source.pos() == input.len() {
                return Ok(());
            }
            if written == 0 && source.pos() == read {
                return Err(Bad::Data(read, "the stream is cut off"));
            }
            if hint != 0 && written == left {
                return Err(Bad::TooLarge(source.pos()));
            }
            least = least.saturating_mul(2).min(16 << 20);
        }
    }
}

#[derive(Default)]
pub(super) struct Writer(Option<CCtx<'static>>);

impl Writer {
    pub(super) fn compress(
        &mut self,
        level: i32,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        if self.0.is_none() {
            self.0 = CCtx::try_create();
        }
        let context = self.0.as_mut().ok_or("no memory for a context")?;
        let name = zstd_safe::get_error_name;
        context.reset(ResetDirective::SessionOnly).map_err(name)?;
        let level = level.clamp(MIN_LEVEL, MAX_LEVEL);
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(name)?;
        context.set_pledged_src_size(Some(input.len() as u64)).map_err(name)?;
        out.reserve(zstd_safe::compress_bound(input.len()));
        let start = out.len();
        let mut target = OutBuffer::around_pos(out, start);
        let mut source = InBuffer::around(input);
        let end = ZSTD_EndDirective::ZSTD_e_end;
        match context.compress_stream2(&mut target, &mut source, end).map_err(name)? {
            0 => Ok(()),
            _ => Err("the room was too small"),
        }
    }
}
