//! Formats in which other writers' data comes, and levels.

use proptest::prelude::*;

use super::*;

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|n| b"the quick brown fox "[n % 20] ^ (n / 977 % 5) as u8).collect()
}

fn decompress(codec: Codec, input: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut scratch = Scratch::new();
    Decompressor::with_limit(32 << 20).decompress(codec, input, &mut scratch)?;
    Ok(scratch.content().to_vec())
}

#[test]
fn all_sizes_and_levels_return() {
    let mut compressor = Compressor::new();
    for length in [0, 1, 5, 32 << 10, (32 << 10) + 1, 64 << 10, (64 << 10) + 1, 1 << 20] {
        let input = text(length);
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            for level in [-1, 1, 6, 9, 12] {
                let mut out = b"before".to_vec();
                let compression = Compression::with_level(codec, level);
                compressor.compress(compression, &input, &mut out).unwrap();
                assert_eq!(out[..6], *b"before");
                assert!(decompress(codec, &out[6..]).unwrap() == input, "{codec} {length}");
            }
        }
    }
}

#[test]
fn lz4_frames_are_those_of_the_java_client() {
    let mut out = Vec::new();
    Compressor::new().compress(Compression::new(Codec::Lz4), b"ab", &mut out).unwrap();
    let expected = [4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 2, 0, 0, 0x80, b'a', b'b', 0, 0, 0, 0];
    assert_eq!(out, expected);
}

/// A frame by the C library's own frame writer, with every option that a client may choose.
fn lz4_frame(input: &[u8], linked: bool, checksums: bool, size: lz4_sys::BlockSize) -> Vec<u8> {
    use lz4_sys::*;
    let preferences = LZ4FPreferences {
        frame_info: LZ4FFrameInfo {
            block_size_id: size,
            block_mode: if linked { BlockMode::Linked } else { BlockMode::Independent },
            content_checksum_flag: if checksums {
                ContentChecksum::ChecksumEnabled
            } else {
                ContentChecksum::NoChecksum
            },
            frame_type: FrameType::Frame,
            content_size: if checksums { input.len() as u64 } else { 0 },
            dict_id: 0,
            block_checksum_flag: if checksums {
                BlockChecksum::BlockChecksumEnabled
            } else {
                BlockChecksum::NoBlockChecksum
            },
        },
        compression_level: 0,
        auto_flush: 0,
        favor_dec_speed: 0,
        reserved: [0; 3],
    };
    let mut context = LZ4FCompressionContext(std::ptr::null_mut());
    let mut out = vec![0_u8; input.len() + 65536];
    // SAFETY: the calls follow the library's order, with live buffers of the lengths given.
    unsafe {
        assert_eq!(LZ4F_isError(LZ4F_createCompressionContext(&mut context, 100)), 0);
        let mut at = LZ4F_compressBegin(context, out.as_mut_ptr(), out.len(), &preferences);
        at += LZ4F_compressUpdate(
            context,
            out.as_mut_ptr().add(at),
            out.len() - at,
            input.as_ptr(),
            input.len(),
            std::ptr::null(),
        );
        let rest = out.len() - at;
        at += LZ4F_compressEnd(context, out.as_mut_ptr().add(at), rest, std::ptr::null());
        LZ4F_freeCompressionContext(context);
        assert!(at <= out.len());
        out.truncate(at);
    }
    out
}

#[test]
fn lz4_frames_of_other_writers_are_read() {
    let input = text(700_000);
    for linked in [false, true] {
        for checksums in [false, true] {
            for size in [lz4_sys::BlockSize::Max64KB, lz4_sys::BlockSize::Max4MB] {
                let frame = lz4_frame(&input, linked, checksums, size);
                assert!(decompress(Codec::Lz4, &frame).unwrap() == input);
            }
        }
    }
}

#[test]
fn bare_snappy_is_read() {
    let input = text(100_000);
    let bare = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    assert!(decompress(Codec::Snappy, &bare).unwrap() == input);
}

#[test]
fn gzip_members_with_names_and_in_rows_are_read() {
    let mut two = Vec::new();
    for part in ["one ", "two"] {
        use std::io::Write;
        let mut writer = flate2::GzBuilder::new()
            .filename("name")
            .comment("comment")
            .extra(vec![1, 2, 3])
            .write(&mut two, flate2::Compression::fast());
        writer.write_all(part.as_bytes()).unwrap();
        writer.finish().unwrap();
    }
    assert_eq!(decompress(Codec::Gzip, &two).unwrap(), b"one two");
}

#[test]
fn zstd_frames_without_a_size_and_in_rows_are_read() {
    let mut frames = Vec::new();
    for part in [&text(300_000)[..], b"end"] {
        use std::io::Write;
        let mut writer = ::zstd::stream::write::Encoder::new(&mut frames, 3).unwrap();
        writer.write_all(part).unwrap();
        writer.finish().unwrap();
    }
    let read = decompress(Codec::Zstd, &frames).unwrap();
    assert!(read == [&text(300_000)[..], b"end"].concat());
}

#[test]
fn an_error_leaves_the_scratch_as_it_was() {
    let mut scratch = Scratch::new();
    let mut decompressor = Decompressor::new();
    decompressor.decompress(Codec::None, b"kept", &mut scratch).unwrap();
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut data = Vec::new();
        Compressor::new().compress(Compression::new(codec), &text(200_000), &mut data).unwrap();
        data.truncate(data.len() - 9);
        assert!(decompressor.decompress(codec, &data, &mut scratch).is_err(), "{codec}");
        assert_eq!(scratch.content(), b"kept");
        let padding = &scratch.bytes()[scratch.used()..];
        assert!(padding.len() >= PADDING);
    }
}

proptest! {
    #[test]
    fn noise_never_panics(
        noise in proptest::collection::vec(any::<u8>(), 0..400),
        codec in 1..5_u8,
        begins in any::<bool>(),
    ) {
        let codec = Codec::from_id(codec).unwrap();
        let mut data = Vec::new();
        if begins {
            Compressor::new().compress(Compression::new(codec), &noise, &mut data).unwrap();
            let half = data.len() / 2;
            data.truncate(half);
        }
        data.extend_from_slice(&noise);
        let _ = decompress(codec, &data);
    }
}
