//! Decoding messages of a peer that may lie about lengths.
//!
//! The messages' decoder makes room for as many items as an array's count claims, before it reads
//! one. A forged count of two thousand millions asks the allocator for more than there is, which
//! ends the process. So each message is decoded twice: first from [`Doubted`], which makes counts
//! beyond the bytes that are left fail, and then as it is. The hot paths, fetching and the records
//! themselves, have parsers of their own.

use std::ops::Range;

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

/// Decodes a message at the front of `frame`, which keeps what follows it. Memory is bounded by
/// the frame's length times the size of the message's items. The error says what is wrong in words.
pub fn decode<M: Decodable>(frame: &mut Bytes, version: i16) -> Result<M, String> {
    let mut doubted = Doubted(frame.clone());
    M::decode(&mut doubted, version).map_err(|error| error.to_string())?;
    M::decode(frame, version).map_err(|error| error.to_string())
}

/// Bytes in which no number that may be a count exceeds what could follow it.
///
/// An item takes a byte at least, so an array of more items than bytes are left cannot be read. Old
/// versions count in 32-bit integers: one that is larger is cut to one more than the bytes left,
/// which a count cannot survive and which any other integer may, as its value decides nothing about
/// the layout. New versions count in variable-length integers; they are nothing but lengths, counts
/// and small tags, so one that is larger is an error.
struct Doubted(Bytes);

impl Doubted {
    /// The variable-length integer whose rest is next, after its first byte.
    fn claimed(&self, first: u8) -> u64 {
        let mut value = u64::from(first & 0x7f);
        for (place, byte) in self.0.iter().take(4).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * (place + 1));
            if *byte < 0x80 {
                break;
            }
        }
        value
    }
}

impl Buf for Doubted {
    fn remaining(&self) -> usize {
        self.0.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.0.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.0.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.0.try_get_u8()?;
        // Counts are one more than the items; a single byte asks for too little to matter.
        if byte >= 0x80 {
            let (claimed, left) = (self.claimed(byte), self.0.len());
            if claimed > left as u64 + 1 {
                return Err(TryGetError { requested: claimed as usize, available: left });
            }
        }
        Ok(byte)
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let value = self.0.try_get_i32()?;
        let most = i32::try_from(self.0.len() + 1).unwrap_or(i32::MAX);
        Ok(value.min(most))
    }
}

impl ByteBuf for Doubted {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.0.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.0.split_to(size)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
    use kafka_protocol::messages::{
        BrokerId, JoinGroupRequest, MetadataRequest, MetadataResponse, TopicName,
    };
    use kafka_protocol::protocol::{Encodable, StrBytes};

    use super::*;

    fn encoded(message: &impl Encodable, version: i16) -> Bytes {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes, version).expect("it encodes");
        bytes.freeze()
    }

    #[test]
    fn an_honest_message_is_read_and_what_follows_is_left() {
        let topic = |name: &'static str| {
            let name = Some(TopicName(StrBytes::from_static_str(name)));
            MetadataRequestTopic::default().with_name(name)
        };
        let request = MetadataRequest::default().with_topics(Some(vec![topic("a"), topic("b")]));
        for version in 1..=12 {
            let mut bytes = BytesMut::from(&encoded(&request, version)[..]);
            bytes.extend_from_slice(b"rest");
            let mut bytes = bytes.freeze();
            assert_eq!(decode::<MetadataRequest>(&mut bytes, version), Ok(request.clone()));
            assert_eq!(bytes, b"rest"[..]);
        }
    }

    #[test]
    fn large_numbers_that_count_nothing_are_kept() {
        let join = JoinGroupRequest::default()
            .with_session_timeout_ms(i32::MAX)
            .with_rebalance_timeout_ms(i32::MAX - 1);
        let response = MetadataResponse::default()
            .with_controller_id(BrokerId(i32::MAX))
            .with_throttle_time_ms(1 << 30);
        for version in [2, 5, 6, 9] {
            let mut bytes = encoded(&join, version);
            assert_eq!(decode::<JoinGroupRequest>(&mut bytes, version), Ok(join.clone()));
        }
        for version in [3, 9] {
            let mut bytes = encoded(&response, version);
            assert_eq!(decode::<MetadataResponse>(&mut bytes, version), Ok(response.clone()));
        }
    }

    #[test]
    fn a_forged_count_is_an_error_and_no_allocation() {
        // Version 1 counts its topics in four bytes, version 9 in a variable-length integer.
        for count in [1_u32, 1000, 0x7fff_ffff] {
            let mut bytes = Bytes::copy_from_slice(&count.to_be_bytes());
            assert!(decode::<MetadataRequest>(&mut bytes, 1).is_err(), "{count}");
        }
        for count in [&[2][..], &[0xff, 0x7f], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0xff; 9]] {
            let mut bytes = Bytes::copy_from_slice(count);
            assert!(decode::<MetadataRequest>(&mut bytes, 9).is_err(), "{count:?}");
            assert!(decode::<MetadataResponse>(&mut bytes, 9).is_err(), "{count:?}");
        }
    }
}
