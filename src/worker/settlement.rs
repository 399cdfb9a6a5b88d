//! What becomes of records that are on their way to Kafka: acknowledged, in order, or lost; what of
//! it may be stored as source offsets, and what the task is told.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use millrace_api::error::{ConnectError, Stage};
use millrace_api::source::{Outcome, SourceRecord, SourceTaskContext};
use millrace_kafka::producer::{Failure, Placement, Producer};

use crate::command::Progress;
use crate::error_policy::ErrorPolicy;
use crate::exactly_once;
use crate::metrics::{LatencyStage, Span};
use crate::reporter::Reporter;
use crate::source_offsets::{SourceOffsets, offset_json};
use crate::topic_creation::TopicCounts;

/// The producer and the books over what it was given.
pub(crate) struct Settlement {
    pub producer: Producer,
    pub policy: ErrorPolicy,
    pub reporter: Reporter,
    pub progress: Progress,
    pub topics: TopicCounts,
    pub offsets: SourceOffsets,
    pub context: Rc<SourceTaskContext>,
    /// For a task that listens.
    acknowledgements: Option<Acknowledgements>,
    /// Of a task with transactions: below this ticket all is committed.
    committed: Option<u64>,
    /// Records of the producer's that are none of the task's: offsets in transactions.
    offset_records: u64,
    /// The first ticket of a failure that ends the task: no offset beyond it is stored any more,
    /// whatever is acknowledged while the task ends.
    lost_from: Option<u64>,
}

/// Where a polled batch began.
pub(crate) struct Begun {
    returned: Instant,
    first_ticket: u64,
}

/// How far a polled batch came.
pub(crate) struct Sent {
    /// When its records came to be, as their connector says.
    pub times: Span,
    /// Records that were appended, or dropped by a transform or a tolerated error.
    pub count: usize,
    /// Their places that have no ticket; kept for tasks that listen.
    pub dropped: Vec<u32>,
    /// Those of them that were no good.
    pub refused: Vec<u32>,
}

impl Default for Sent {
    fn default() -> Self {
        Self { times: Span::EMPTY, count: 0, dropped: Vec::new(), refused: Vec::new() }
    }
}

impl Settlement {
    pub(crate) fn new(
        producer: Producer,
        policy: ErrorPolicy,
        reporter: Reporter,
        context: Rc<SourceTaskContext>,
        transactional: bool,
    ) -> Self {
        Self {
            committed: transactional.then(|| producer.next_ticket()),
            offset_records: 0,
            acknowledgements: context.has_listener().then(|| {
                let offsets_wanted = context.wants_offsets();
                if offsets_wanted {
                    producer.tell_placements();
                }
                Acknowledgements { offsets_wanted, ..Acknowledgements::default() }
            }),
            producer,
            policy,
            reporter,
            progress: Progress::default(),
            topics: TopicCounts::default(),
            offsets: SourceOffsets::default(),
            context,
            lost_from: None,
        }
    }

    /// Whether the task wants to hear of its records.
    pub(crate) fn is_listened_to(&self) -> bool {
        self.acknowledgements.is_some()
    }

    /// Takes note of a batch that a poll, `asked` for then, has given.
    pub(crate) fn polled(&mut self, records: &[SourceRecord<'_>], asked: Instant) -> Begun {
        let returned = Instant::now();
        if !records.is_empty() {
            let metrics = self.reporter.metrics();
            metrics.latency().took(LatencyStage::Poll, returned - asked);
            metrics.counts().batch(returned, records.len(), returned - asked);
        }
        self.progress.records_in += records.len() as u64;
        Begun { returned, first_ticket: self.producer.next_ticket() }
    }

    /// Takes note of what was sent of a batch before its end, a stop or an error: that is not polled
    /// again once it is acknowledged.
    pub(crate) fn submit(&mut self, records: &[SourceRecord<'_>], begun: &Begun, sent: Sent) {
        if records.is_empty() {
            return;
        }
        let until = self.producer.next_ticket();
        self.offsets.submit(until, last_offsets(&records[..sent.count]));
        let mut latency = self.reporter.metrics().latency();
        latency.took(LatencyStage::Convert, begun.returned.elapsed());
        latency.sent(until, begun.returned, sent.times);
        if let Some(acknowledgements) = &mut self.acknowledgements {
            acknowledgements.submit(begun.first_ticket..until, records.len(), sent);
        }
    }

    /// Takes note of what Kafka has acknowledged; a failed send ends the task here.
    pub(crate) fn acknowledged(&mut self) -> Result<(), ConnectError> {
        let mut outcome = Ok(());
        for failure in self.producer.take_failures() {
            if let Some(acknowledgements) = &mut self.acknowledgements {
                acknowledgements.lose(&failure.tickets);
            }
            outcome = outcome.and(self.lost(failure));
        }
        while let Some((ticket, at)) = self.producer.next_acknowledgement() {
            self.reporter.metrics().latency().acknowledged(ticket, at);
        }
        let acked = self.producer.acked_up_to();
        self.offsets.acknowledge(self.lost_from.map_or(acked, |lost| acked.min(lost)));
        if let Some(acknowledgements) = &mut self.acknowledgements {
            for placement in self.producer.take_placements() {
                acknowledgements.place(&placement);
            }
            let visible = self.committed.map_or(acked, |committed| acked.min(committed));
            acknowledgements.acknowledge(visible, &self.context);
        }
        let acknowledged = self.producer.stats().acknowledged;
        self.progress.records_out = acknowledged.saturating_sub(self.offset_records);
        outcome
    }

    /// The records of the open transaction, before its offsets are among them.
    pub(crate) fn uncommitted(&self) -> u64 {
        self.producer.next_ticket() - self.committed.unwrap_or_default()
    }

    /// Takes note that a transaction was committed, so many offsets with it.
    pub(crate) fn committed(&mut self, offsets: u64) -> Result<(), ConnectError> {
        self.committed = Some(self.producer.next_ticket());
        self.offset_records += offsets;
        self.acknowledged()
    }

    fn lost(&mut self, failure: Failure) -> Result<(), ConnectError> {
        let lost: u64 = failure.tickets.iter().map(|tickets| tickets.end - tickets.start).sum();
        let place = format!("{lost} records for {}-{}", failure.topic, failure.partition);
        // A transaction without the lost records can't be committed, whatever is tolerated.
        if self.policy.tolerates() && self.committed.is_none() {
            let task = self.reporter.id();
            tracing::error!(%task, error = %failure.error, "{place} are lost");
            self.progress.records_dropped += lost;
            self.reporter.metrics().counts().failed(lost);
            return Ok(());
        }
        if self.committed.is_some() && exactly_once::is_expired(&failure.error) {
            return Err(exactly_once::refused(self.reporter.id(), failure.error));
        }
        let first = failure.tickets.first().map_or(0, |tickets| tickets.start);
        self.lost_from = Some(self.lost_from.map_or(first, |lost| lost.min(first)));
        Err(ConnectError::fatal(format!(
            "Unrecoverable exception from producer send callback: {place}"
        ))
        .at(Stage::KafkaProduce)
        .caused_by(failure.error))
    }
}

/// The last offset of each source partition in a polled batch. Few partitions: a list will do.
fn last_offsets(records: &[SourceRecord<'_>]) -> Vec<(u32, Vec<u8>)> {
    let mut found: Vec<(u32, Vec<u8>)> = Vec::new();
    for record in records.iter().rev() {
        if !found.iter().any(|(partition, _)| *partition == record.source_partition) {
            found.push((record.source_partition, offset_json(record.source_offset)));
        }
    }
    found
}

/// The polls of a task that listens, until it has heard of them.
#[derive(Default)]
struct Acknowledgements {
    polls: VecDeque<Poll>,
    next: u64,
    /// The listener wants to know where the records are.
    offsets_wanted: bool,
}

struct Poll {
    tickets: Range<u64>,
    sent: Sent,
    lost: Vec<u32>,
    /// By place; empty unless wanted.
    offsets: Vec<i64>,
}

impl Poll {
    /// The place, among the poll's records, of the one with that ticket: those before it that have
    /// none are counted in.
    fn place(&self, ticket: u64) -> u32 {
        let mut place = (ticket - self.tickets.start) as u32;
        for dropped in &self.sent.dropped {
            if *dropped > place {
                break;
            }
            place += 1;
        }
        place
    }
}

impl Acknowledgements {
    fn submit(&mut self, tickets: Range<u64>, records: usize, sent: Sent) {
        // What was not sent is lost to this life of the task.
        let lost = (sent.count as u32..records as u32).collect();
        let offsets = if self.offsets_wanted { vec![-1; records] } else { Vec::new() };
        self.polls.push_back(Poll { tickets, sent, lost, offsets });
    }

    fn lose(&mut self, tickets: &[Range<u64>]) {
        for poll in &mut self.polls {
            for range in tickets {
                let from = range.start.max(poll.tickets.start);
                for ticket in from..range.end.min(poll.tickets.end) {
                    poll.lost.push(poll.place(ticket));
                }
            }
        }
    }

    /// Takes note of where a batch's records are. Offsets in transactions have none here.
    fn place(&mut self, placement: &Placement) {
        let mut offset = placement.base_offset;
        if offset < 0 {
            return;
        }
        for range in &placement.tickets {
            for poll in &mut self.polls {
                let from = range.start.max(poll.tickets.start);
                for ticket in from..range.end.min(poll.tickets.end) {
                    let place = poll.place(ticket) as usize;
                    if let Some(known) = poll.offsets.get_mut(place) {
                        *known = offset + (ticket - range.start) as i64;
                    }
                }
            }
            offset += (range.end - range.start) as i64;
        }
    }

    fn acknowledge(&mut self, acked: u64, context: &SourceTaskContext) {
        while let Some(mut poll) = self.polls.pop_front_if(|first| first.tickets.end <= acked) {
            poll.lost.sort_unstable();
            let (refused, lost, offsets) = (&poll.sent.refused, &poll.lost, &poll.offsets);
            context.tell(Outcome { poll: self.next, refused, lost, offsets });
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_listener_that_wants_offsets_hears_them_by_place() {
        let context = SourceTaskContext::new("t-0", |_| None);
        let heard = Rc::new(RefCell::new(Vec::new()));
        let there = Rc::clone(&heard);
        context.listen(move |outcome| there.borrow_mut().push(outcome.offsets.to_vec()));
        let mut polls = Acknowledgements { offsets_wanted: true, ..Acknowledgements::default() };
        // Of four records the second has no ticket; the batch of the first and last goes on in the
        // next poll.
        polls.submit(5..8, 4, Sent { count: 4, dropped: vec![1], ..Sent::default() });
        polls.submit(8..10, 2, Sent { count: 2, ..Sent::default() });
        let placed = |tickets: &[Range<u64>], base_offset| Placement {
            tickets: tickets.to_vec(),
            base_offset,
        };
        polls.place(&placed(&[5..6, 7..9], 100));
        polls.place(&placed(std::slice::from_ref(&(6..7)), 7));
        polls.place(&placed(std::slice::from_ref(&(9..10)), -1));
        polls.acknowledge(10, &context);
        assert_eq!(*heard.borrow(), [vec![100, -1, 7, 101], vec![102, -1]]);
    }

    #[test]
    fn outcomes_come_in_order_and_name_the_places_of_records_without_tickets() {
        let context = SourceTaskContext::new("t-0", |_| None);
        let heard = Rc::new(RefCell::new(Vec::new()));
        let there = Rc::clone(&heard);
        context.listen(move |outcome| {
            let (refused, lost) = (outcome.refused.to_vec(), outcome.lost.to_vec());
            there.borrow_mut().push((outcome.poll, refused, lost));
        });
        let mut polls = Acknowledgements::default();
        // Five records: 0 and 3 have no ticket (3 was no good), 1, 2, 4 have 10, 11, 12.
        let sent = Sent { count: 5, dropped: vec![0, 3], refused: vec![3], ..Sent::default() };
        polls.submit(10..13, 5, sent);
        // Three records, of which the last was not sent.
        polls.submit(13..15, 3, Sent { count: 2, ..Sent::default() });
        polls.acknowledge(12, &context);
        assert!(heard.borrow().is_empty());
        polls.lose(std::slice::from_ref(&(12..14)));
        polls.acknowledge(15, &context);
        let expected = [(0, vec![3], vec![4]), (1, vec![], vec![0, 2])];
        assert_eq!(*heard.borrow(), expected);
    }
}
