//! The user data of sticky members: the assignment they had, as Java's `StickyAssignor` writes it.
//!
//! `StickyAssignor`: topics \[name, partitions \[index\]\], generation. `CooperativeStickyAssignor`:
//! generation alone, as what is owned stands in the subscription itself.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::partitions::TopicPartition;

pub fn encode_cooperative(generation: i32) -> Bytes {
    Bytes::copy_from_slice(&generation.to_be_bytes())
}

pub fn encode_eager(partitions: &[TopicPartition], generation: i32) -> Bytes {
    let mut topics: BTreeMap<&Rc<str>, Vec<i32>> = BTreeMap::new();
    for name in partitions {
        topics.entry(&name.topic).or_default().push(name.partition);
    }
    let mut bytes = BytesMut::new();
    bytes.put_i32(topics.len() as i32);
    for (topic, partitions) in topics {
        bytes.put_i16(topic.len() as i16);
        bytes.put_slice(topic.as_bytes());
        bytes.put_i32(partitions.len() as i32);
        partitions.iter().for_each(|index| bytes.put_i32(*index));
    }
    bytes.put_i32(generation);
    bytes.freeze()
}

/// Partitions and generation (−1 where the member is too old to tell); `None` if it is not readable.
pub fn decode(data: &Bytes) -> Option<(Vec<TopicPartition>, i32)> {
    let mut data = data.clone();
    if data.len() == 4 {
        return Some((Vec::new(), data.get_i32()));
    }
    let mut partitions = Vec::new();
    for _ in 0..data.try_get_i32().ok()? {
        let length = usize::try_from(data.try_get_i16().ok()?).ok()?;
        if data.len() < length {
            return None;
        }
        let name: Rc<str> = std::str::from_utf8(&data.split_to(length)).ok()?.into();
        for _ in 0..data.try_get_i32().ok()? {
            partitions.push(TopicPartition::new(name.clone(), data.try_get_i32().ok()?));
        }
    }
    Some((partitions, data.try_get_i32().unwrap_or(-1)))
}
