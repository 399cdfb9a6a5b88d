//! Snappy, in the framing of the xerial library that Kafka's Java client uses, or bare.

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{Bad, Sink};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version 1, least compatible version 1.
const FRAME_HEADER: [u8; 16] =
    [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// Uncompressed bytes a block, as xerial's default.
const BLOCK: usize = 32 << 10;
/// Three bytes copy 64 at most, so no data grows by more than this.
const MOST_GROWTH: usize = 22;

#[derive(Default)]
pub(super) struct Reader(Decoder);

impl Reader {
    pub(super) fn decompress(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Bad> {
        if !input.starts_with(&MAGIC) {
            return self.block(input, 0, sink);
        }
        let mut at = FRAME_HEADER.len();
        if input.len() < at {
            return Err(Bad::Data(input.len(), "the frame's header is cut off"));
        }
        while at < input.len() {
            let word = input.get(at..at + 4).ok_or(Bad::Data(at, "a block's length is cut off"))?;
            let length = u32::from_be_bytes([word[0], word[1], word[2], word[3]]) as usize;
            at += 4;
            let block = input[at..].get(..length).ok_or(Bad::Data(at, "a block is cut off"))?;
            self.block(block, at, sink)?;
            at += length;
        }
        Ok(())
    }

    fn block(&mut self, block: &[u8], at: usize, sink: &mut Sink<'_>) -> Result<(), Bad> {
        let length = decompress_len(block).map_err(|_| Bad::Data(at, "a block has no length"))?;
        if length > block.len().saturating_mul(MOST_GROWTH) {
            return Err(Bad::Data(at, "a block declares more than it can hold"));
        }
        let room = sink.room(length, at)?;
        let written = self
            .0
            .decompress(block, &mut room[..length])
            .map_err(|_| Bad::Data(at, "a block is corrupt"))?;
        sink.advance(written);
        Ok(())
    }
}

pub(super) struct Writer(Encoder);

impl Default for Writer {
    fn default() -> Self {
        Self(Encoder::new())
    }
}

impl Writer {
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.extend_from_slice(&FRAME_HEADER);
        for block in input.chunks(BLOCK) {
            let start = out.len();
            out.resize(start + 4 + max_compress_len(block.len()), 0);
            let written = self
                .0
                .compress(block, &mut out[start + 4..])
                .map_err(|_| "a block does not fit the format")?;
            out[start..start + 4].copy_from_slice(&(written as u32).to_be_bytes());
            out.truncate(start + 4 + written);
        }
        Ok(())
    }
}
