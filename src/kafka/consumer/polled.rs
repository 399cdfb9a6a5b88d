//! What a poll lends out: opened batches, their records borrowed from the ring or the scratch.

use std::ops::Range;
use std::rc::Rc;

use crate::compression::Scratch;
use crate::fetch::ring::Ring;
use crate::partitions::TopicPartition;
use crate::record_batch::{BatchError, BatchHeader, OpenBatch, RawRecord, Records};

/// The outcome of a poll.
pub enum Polled<'a> {
    /// Records to work on, until the next poll.
    Records(Fetched<'a>),
    /// Of the group; nothing else happens before the next poll.
    News(News),
    /// Nothing came within the time given.
    Empty,
}

/// What the group has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// All partitions, which these are, are shared out anew. Still the caller's: commit now; the
    /// next poll lets the group go on. Until then nothing is lent; what others get comes as
    /// [`News::Lost`], and then [`News::Assigned`] ends it. What stays goes on where it was.
    Rebalancing(Vec<TopicPartition>),
    /// These partitions go to other members. Still the caller's: flush and commit now; the next
    /// poll gives them up and lets the group go on. Others are read meanwhile.
    Revoking(Vec<TopicPartition>),
    /// These partitions are other members' already; committing for them fails.
    Lost(Vec<TopicPartition>),
    /// These partitions are new here (possibly none); reading begins where the group left off,
    /// unless the caller seeks first.
    Assigned(Vec<TopicPartition>),
}

/// A batch that passed its checks.
pub(super) struct Opened {
    pub batch: OpenBatch,
    /// Where its bytes begin in the ring.
    pub start: u64,
    /// Records before this offset were handed out already.
    pub from: i64,
}

/// Batches in a row of one partition.
pub(super) struct Run {
    pub name: TopicPartition,
    pub high_watermark: i64,
    pub batches: Range<usize>,
}

/// Everything of one poll, from one broker.
pub struct Fetched<'a> {
    pub(super) ring: &'a Ring,
    pub(super) scratch: &'a Scratch,
    pub(super) batches: &'a [Opened],
    pub(super) runs: &'a [Run],
}

impl<'a> Fetched<'a> {
    /// Partition by partition; one may come more than once, its offsets rise.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> + use<'a> {
        let (ring, scratch, batches) = (self.ring, self.scratch, self.batches);
        self.runs.iter().map(move |run| Segment {
            ring,
            scratch,
            batches: &batches[run.batches.clone()],
            name: &run.name,
            high_watermark: run.high_watermark,
        })
    }

    /// Bytes of all records, decompressed.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(|opened| opened.batch.records_len()).sum()
    }
}

/// Everything of one poll, owned; the memory goes back to its core when it is dropped. See
/// [`super::Consumer::take_loan`].
pub struct Loan {
    ring: Ring,
    scratch: Scratch,
    batches: Vec<Opened>,
    runs: Vec<Run>,
}

impl Loan {
    /// All batches must lie in the scratch.
    pub(super) fn new(scratch: Scratch, batches: Vec<Opened>, runs: Vec<Run>) -> Self {
        Self { ring: Ring::new(0), scratch, batches, runs }
    }

    /// The same batches as if they were just lent.
    pub fn fetched(&self) -> Fetched<'_> {
        let Self { ring, scratch, batches, runs } = self;
        Fetched { ring, scratch, batches, runs }
    }
}

/// Batches in a row of one partition.
pub struct Segment<'a> {
    ring: &'a Ring,
    scratch: &'a Scratch,
    batches: &'a [Opened],
    name: &'a TopicPartition,
    high_watermark: i64,
}

impl<'a> Segment<'a> {
    pub fn topic(&self) -> &'a str {
        &self.name.topic
    }

    pub fn topic_rc(&self) -> &'a Rc<str> {
        &self.name.topic
    }

    pub fn partition(&self) -> i32 {
        self.name.partition
    }

    pub fn name(&self) -> &'a TopicPartition {
        self.name
    }

    /// The first offset that is not yet replicated to all, as the broker told with these batches.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// The offset after the last of these batches.
    pub fn next_offset(&self) -> i64 {
        self.batches.last().map_or(-1, |opened| opened.batch.header.next_offset())
    }

    pub fn batches(&self) -> impl Iterator<Item = Batch<'a>> + use<'a> {
        let (ring, scratch) = (self.ring, self.scratch);
        self.batches.iter().map(move |opened| Batch { ring, scratch, opened })
    }

    /// All records, batch after batch, those handed out before left out. Ends with the first error.
    pub fn records(&self) -> SegmentRecords<'a> {
        let Self { ring, scratch, batches, .. } = *self;
        SegmentRecords { ring, scratch, rest: batches.iter(), records: None, from: i64::MIN }
    }
}

/// One batch.
pub struct Batch<'a> {
    ring: &'a Ring,
    scratch: &'a Scratch,
    opened: &'a Opened,
}

impl<'a> Batch<'a> {
    pub fn header(&self) -> &'a BatchHeader {
        &self.opened.batch.header
    }

    /// Records before this offset were handed out already and must be passed over.
    pub fn from(&self) -> i64 {
        self.opened.from
    }

    /// The batch's records, all of them, with access to the buffer that they lie in.
    pub fn raw_records(&self) -> Records<'a> {
        let bytes = match self.opened.batch.in_scratch() {
            true => &[],
            false => self.ring.padded_from(self.opened.start),
        };
        self.opened.batch.records(bytes, self.scratch)
    }
}

/// See [`Segment::records`].
pub struct SegmentRecords<'a> {
    ring: &'a Ring,
    scratch: &'a Scratch,
    rest: std::slice::Iter<'a, Opened>,
    records: Option<Records<'a>>,
    from: i64,
}

impl<'a> Iterator for SegmentRecords<'a> {
    type Item = Result<RawRecord<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(records) = &mut self.records {
                match records.next() {
                    Some(Ok(record)) if record.offset < self.from => continue,
                    Some(Err(error)) => {
                        self.records = None;
                        self.rest = [].iter();
                        return Some(Err(error));
                    }
                    Some(record) => return Some(record),
                    None => self.records = None,
                }
            }
            let opened = self.rest.next()?;
            self.from = opened.from;
            let batch = Batch { ring: self.ring, scratch: self.scratch, opened };
            self.records = Some(batch.raw_records());
        }
    }
}
