//! Streaming compression straight into the buffer that is uploaded.

use flate2::{Compress, FlushCompress, Status};
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

/// `s3.compression.type` and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    /// Level 1 to 9.
    Gzip(u32),
    /// Level 1 to 22.
    Zstd(i32),
}

impl Compression {
    /// What the object's name gets.
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip(_) => ".gz",
            Self::Zstd(_) => ".zst",
        }
    }

    /// What one compressor takes, roughly; counted against the budget.
    pub fn state_bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::Gzip(_) => 300 << 10,
            Self::Zstd(level) if level <= 3 => 1300 << 10,
            Self::Zstd(_) => 8 << 20,
        }
    }

    /// `None` for no compression. Errors only if the memory is not to be had.
    pub fn compressor(self) -> Result<Option<Compressor>, String> {
        match self {
            Self::None => Ok(None),
            Self::Gzip(level) => {
                let compress = Compress::new_gzip(flate2::Compression::new(level), 15);
                Ok(Some(Compressor::Gzip(compress)))
            }
            Self::Zstd(level) => {
                let mut context = CCtx::try_create().ok_or("zstd has no memory")?;
                for parameter in
                    [CParameter::CompressionLevel(level), CParameter::ChecksumFlag(true)]
                {
                    context.set_parameter(parameter).map_err(zstd_error)?;
                }
                Ok(Some(Compressor::Zstd(context)))
            }
        }
    }
}

fn zstd_error(code: usize) -> String {
    format!("zstd: {}", zstd_safe::get_error_name(code))
}

/// A compressor in the middle of a stream, or ready for the next.
pub enum Compressor {
    Gzip(Compress),
    Zstd(CCtx<'static>),
}

/// Room that the output is given before each step.
const STEP: usize = 32 << 10;

impl Compressor {
    /// Takes all of `input`; what comes out is appended to `out`. The output is a function of the
    /// stream's bytes and of how they were split into calls.
    pub fn write(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Gzip(compress) => {
                let mut rest = input;
                while !rest.is_empty() {
                    let before = compress.total_in();
                    deflate(compress, rest, out, FlushCompress::None)?;
                    rest = &rest[(compress.total_in() - before) as usize..];
                }
                Ok(())
            }
            Self::Zstd(context) => {
                let mut input = InBuffer::around(input);
                while input.pos < input.src.len() {
                    out.reserve(STEP);
                    let end = out.len();
                    let mut output = OutBuffer::around_pos(out, end);
                    context.compress_stream(&mut output, &mut input).map_err(zstd_error)?;
                }
                Ok(())
            }
        }
    }

    /// Ends the stream; the compressor is then ready for another.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Gzip(compress) => {
                while deflate(compress, &[], out, FlushCompress::Finish)? != Status::StreamEnd {}
                compress.reset();
                Ok(())
            }
            Self::Zstd(context) => {
                loop {
                    out.reserve(STEP);
                    let end = out.len();
                    let mut output = OutBuffer::around_pos(out, end);
                    if context.end_stream(&mut output).map_err(zstd_error)? == 0 {
                        break;
                    }
                }
                context.reset(ResetDirective::SessionOnly).map_err(zstd_error).map(|_| ())
            }
        }
    }

    /// Gives up a stream in the middle.
    pub fn reset(&mut self) {
        match self {
            Self::Gzip(compress) => compress.reset(),
            Self::Zstd(context) => {
                // Resetting the session cannot fail; were it to, the next write would tell.
                let _ = context.reset(ResetDirective::SessionOnly);
            }
        }
    }
}

/// One step, into at most [`STEP`] bytes: the library zeroes all the room that it is given, and the
/// buffer of a part has megabytes of it.
fn deflate(
    compress: &mut Compress,
    input: &[u8],
    out: &mut Vec<u8>,
    flush: FlushCompress,
) -> Result<Status, String> {
    out.reserve(STEP);
    let before = compress.total_out();
    let room = &mut out.spare_capacity_mut()[..STEP];
    let status =
        compress.compress_uninit(input, room, flush).map_err(|error| format!("gzip: {error}"))?;
    let written = (compress.total_out() - before) as usize;
    // SAFETY: the compressor wrote this many bytes to the beginning of the spare capacity, of which
    // it was given `STEP`.
    unsafe { out.set_len(out.len() + written.min(STEP)) };
    Ok(status)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn data() -> Vec<u8> {
        (0..20_000u32)
            .flat_map(|i| format!("{{\"n\":{}}}\n", i * 7919 % 10_007).into_bytes())
            .collect()
    }

    fn decompress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match compression {
            Compression::None => out.extend_from_slice(bytes),
            Compression::Gzip(_) => {
                flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
            }
            Compression::Zstd(_) => {
                out.resize(8 << 20, 0);
                let written = zstd_safe::decompress(&mut out[..], bytes).unwrap();
                out.truncate(written);
            }
        }
        out
    }

    #[test]
    fn streams_round_trip_and_repeat_exactly() {
        let data = data();
        for compression in [Compression::Gzip(1), Compression::Gzip(6), Compression::Zstd(1)] {
            let mut compressor = compression.compressor().unwrap().unwrap();
            let mut outputs = Vec::new();
            for round in 0..3 {
                let mut out = Vec::new();
                if round == 1 {
                    compressor.write(b"given up", &mut Vec::new()).unwrap();
                    compressor.reset();
                }
                for chunk in data.chunks(10_000) {
                    compressor.write(chunk, &mut out).unwrap();
                }
                compressor.finish(&mut out).unwrap();
                assert_eq!(decompress(compression, &out), data, "{compression:?}");
                assert!(out.len() < data.len() / 2);
                outputs.push(out);
            }
            assert_eq!(outputs[0], outputs[2], "{compression:?}");
        }
    }

    #[test]
    fn an_empty_stream_is_a_valid_one() {
        for compression in [Compression::Gzip(1), Compression::Zstd(1)] {
            let mut out = Vec::new();
            compression.compressor().unwrap().unwrap().finish(&mut out).unwrap();
            assert_eq!(decompress(compression, &out), b"");
        }
    }
}
