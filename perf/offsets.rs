//! How far a topic is: one small request on a connection that stays open, so that asking often costs
//! the machine next to nothing while others are measured.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Kafka's `ListOffsets`, in the oldest version that 4.x still answers.
const LIST_OFFSETS: [i16; 2] = [2, 1];
/// A time that stands for the end of a partition.
const LATEST: i64 = -1;

/// Asks the only broker for the end of a topic's only partition.
pub struct EndOffset {
    stream: TcpStream,
    request: Vec<u8>,
}

impl EndOffset {
    pub fn of(bootstrap: &str, topic: &str) -> Self {
        let stream = TcpStream::connect(bootstrap).expect("the broker");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, request: request(topic) }
    }

    /// Records that the partition has, if nothing was ever deleted.
    pub fn get(&mut self) -> u64 {
        self.stream.write_all(&self.request).expect("the broker reads");
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer).expect("a whole answer");
        offset(&answer)
    }
}

/// The header with no client's name, then one topic, one partition, one time.
fn request(topic: &str) -> Vec<u8> {
    let mut body = Vec::new();
    LIST_OFFSETS.iter().for_each(|number| body.extend(number.to_be_bytes()));
    body.extend(0_i32.to_be_bytes()); // the correlation
    body.extend((-1_i16).to_be_bytes()); // no client id
    body.extend((-1_i32).to_be_bytes()); // asked by a client, not by a replica
    body.extend(1_i32.to_be_bytes());
    body.extend((topic.len() as i16).to_be_bytes());
    body.extend(topic.as_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(0_i32.to_be_bytes()); // the partition
    body.extend(LATEST.to_be_bytes());
    [&(body.len() as i32).to_be_bytes()[..], &body].concat()
}

/// An answer ends with the only partition's error, time and offset.
fn offset(answer: &[u8]) -> u64 {
    let last = answer.last_chunk::<18>().expect("an answer about a partition");
    assert_eq!(last[..2], [0, 0], "the broker's error about the topic");
    u64::from_be_bytes(*last.last_chunk().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_request_and_an_answer_are_as_the_protocol_has_them() {
        let expected = b"\0\0\0\x25\0\x02\0\x01\0\0\0\0\xff\xff\xff\xff\xff\xff\0\0\0\x01\0\x01t\
            \0\0\0\x01\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(super::request("t"), expected);
        let answer = b"\0\0\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\0\0\
            \xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\x01\x02";
        assert_eq!(super::offset(answer), 258);
    }

    #[test]
    #[should_panic(expected = "the broker's error")]
    fn a_topic_that_is_not_there_is_no_topic_without_records() {
        super::offset(
            b"\0\0\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\0\0\x03\
            \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        );
    }
}
