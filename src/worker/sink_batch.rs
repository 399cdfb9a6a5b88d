//! One polled batch on its way to the sink: converted, transformed, failed records dealt with.

use std::time::{Duration, Instant};

use millrace_api::error::{ConnectError, Stage};
use millrace_api::record::{Origin, Record, TimestampType};
use millrace_api::sink::ErrantRecord;
use millrace_converters::Arena;
use millrace_kafka::consumer::{self, Fetched};
use millrace_kafka::record_batch::{self, BatchError, BatchHeader, RawRecord, Records};

use crate::command::Progress;
use crate::control::Control;
use crate::dead_letters::DeadLetters;
use crate::error_policy::{Consumed, ErrorPolicy, Failure};
use crate::metrics::Span as Times;
use crate::reporter::Reporter;
use crate::schema_registry::Patience;
use crate::transformation_chain::{Chain, Segment};

/// The error policy and where it sends what it does not drop.
pub(crate) struct Errors {
    pub policy: ErrorPolicy,
    pub dead_letters: Option<DeadLetters>,
}

/// What conversion needs of its task, borrowed for one batch.
pub(crate) struct Conversion<'t> {
    pub chain: &'t mut Chain,
    pub errors: &'t mut Errors,
    pub progress: &'t mut Progress,
    pub control: &'t Control,
    pub reporter: &'t Reporter,
}

/// The offsets to deliver: `from` on, below `end`.
#[derive(Clone, Copy)]
struct Span {
    from: i64,
    end: i64,
}

/// A record that did not get through the chain.
struct Stuck<'a> {
    raw: RawRecord<'a>,
    failure: Failure,
}

impl Conversion<'_> {
    /// Converts the records of one segment below `end` and appends them to `out`. Gives the times
    /// that they were produced at.
    pub(crate) async fn run<'a>(
        &mut self,
        fetched: &consumer::Segment<'a>,
        end: i64,
        arena: &'a Arena,
        out: &mut Vec<Record<'a>>,
    ) -> Result<Times, ConnectError> {
        let mut times = Times::EMPTY;
        for batch in fetched.batches() {
            let before = out.len();
            let mut records = batch.raw_records();
            let span = Span { from: batch.from(), end };
            let segment = Segment {
                topic: fetched.topic(),
                partition: fetched.partition(),
                timestamp_type: timestamp_type(batch.header()),
                buffer: records.buffer(),
            };
            loop {
                let stuck = if self.chain.prefetches() {
                    self.pump_groups(&segment, &mut records, span, arena, out)?
                } else {
                    self.pump(&segment, &mut records, span, arena, out)?
                };
                let Some(stuck) = stuck else { break };
                let rest = (records.clone(), span);
                self.unstick(&segment, stuck, rest, arena, out).await?;
            }
            let produced = produced(batch.header(), out.len() - before);
            self.reporter.metrics().latency().converted(produced);
            times.join(&produced);
        }
        Ok(times)
    }

    /// The inner loop: no await, no allocation. Stops at the first record that fails.
    fn pump<'a>(
        &mut self,
        segment: &Segment<'a>,
        records: &mut Records<'a>,
        span: Span,
        arena: &'a Arena,
        out: &mut Vec<Record<'a>>,
    ) -> Result<Option<Stuck<'a>>, ConnectError> {
        let mut bytes = 0;
        let mut count = 0;
        let mut stuck = None;
        loop {
            // Looked at where it was put: it is large, too.
            let next = records.next();
            let raw = match &next {
                Some(Ok(raw)) => raw,
                Some(Err(error)) => return Err(corrupt(segment, error)),
                None => break,
            };
            if raw.offset < span.from || raw.offset >= span.end {
                continue;
            }
            count += 1;
            bytes += bytes_of(raw);
            match self.chain.run(segment, raw, arena, out) {
                Ok(true) => {}
                Ok(false) => self.progress.records_dropped += 1,
                Err(failure) => {
                    stuck = Some(Stuck { raw: *raw, failure });
                    break;
                }
            }
        }
        self.progress.records_in += count;
        self.progress.bytes_in += bytes;
        Ok(stuck)
    }

    /// [`Self::pump`] for a chain that fetches what records will need: for those of a group at once.
    fn pump_groups<'a>(
        &mut self,
        segment: &Segment<'a>,
        records: &mut Records<'a>,
        span: Span,
        arena: &'a Arena,
        out: &mut Vec<Record<'a>>,
    ) -> Result<Option<Stuck<'a>>, ConnectError> {
        // Each record of the group and whether it was begun, or dropped. Those begun are the last of
        // `out`; the ones that the other steps let through close ranks.
        let mut seen = arena.vec();
        loop {
            let before = records.clone();
            seen.clear();
            let mut kept = out.len();
            let mut stuck = None;
            while seen.len() < GROUP
                && let Some(raw) = records.next()
            {
                let raw = raw.map_err(|error| corrupt(segment, &error))?;
                if raw.offset < span.from || raw.offset >= span.end {
                    continue;
                }
                match self.chain.begin(segment, &raw, arena, out) {
                    Ok(begun) => seen.push((raw, begun)),
                    Err(failure) => {
                        stuck = Some(Stuck { raw, failure });
                        break;
                    }
                }
            }
            self.chain.prefetch(&mut out[kept..], arena);
            let mut next = kept;
            for (raw, begun) in &seen {
                self.count(raw);
                let finished = match begun {
                    true => self.chain.finish(&mut out[next], arena),
                    false => Ok(false),
                };
                match finished {
                    Ok(true) => {
                        if kept != next {
                            out[kept] = out[next];
                        }
                        kept += 1;
                    }
                    Ok(false) => self.progress.records_dropped += 1,
                    Err(failure) => {
                        // Those behind it come again.
                        out.truncate(kept);
                        *records = before;
                        let _ = records.find(|again| {
                            again.as_ref().map_or(true, |again| again.offset == raw.offset)
                        });
                        return Ok(Some(Stuck { raw: *raw, failure }));
                    }
                }
                next += usize::from(*begun);
            }
            out.truncate(kept);
            if let Some(stuck) = stuck {
                self.count(&stuck.raw);
                return Ok(Some(stuck));
            }
            if seen.len() < GROUP {
                return Ok(None);
            }
        }
    }

    fn count(&mut self, raw: &RawRecord<'_>) {
        self.progress.records_in += 1;
        self.progress.bytes_in += bytes_of(raw);
    }

    /// Retries what may be retried, and appends the record; or reports, and drops it or fails the
    /// task.
    #[cold]
    async fn unstick<'a>(
        &mut self,
        segment: &Segment<'a>,
        stuck: Stuck<'a>,
        (rest, span): (Records<'a>, Span),
        arena: &'a Arena,
        out: &mut Vec<Record<'a>>,
    ) -> Result<(), ConnectError> {
        let Stuck { raw, mut failure } = stuck;
        // A schema's first record comes by here: its schema is asked for, and it goes on.
        while self.chain.desks().want() {
            if self.chain.desks().want_rows() {
                self.look_ahead(segment, rest.clone(), span, arena);
            }
            self.ask_registry().await?;
            match self.chain.run(segment, &raw, arena, out) {
                Ok(_) => return Ok(()),
                Err(again) => failure = again,
            }
        }
        let started = Instant::now();
        let mut attempts = 1;
        while failure.error.retriable {
            let Some(delay) = self.errors.policy.retry_delay(attempts, started) else { break };
            if !self.control.sleep(delay).await {
                break;
            }
            attempts += 1;
            self.errors.policy.tried_again();
            match self.chain.run(segment, &raw, arena, out) {
                Ok(_) => return Ok(()),
                Err(again) => failure = again,
            }
        }
        self.errors.report(&failure, segment, &raw).await?;
        self.errors.policy.settle(&failure, &consumed(segment, &raw))?;
        self.progress.records_dropped += 1;
        Ok(())
    }
}

/// Records that go to a step that fetches at once: enough for their memory to come side by side, few
/// enough that what they brought is still in the first cache.
const GROUP: usize = 16;

/// Records that are looked at for further rows when one is wanted.
const AHEAD: usize = 255;

impl Conversion<'_> {
    /// Shows the chain the records behind one that wants a row, so that theirs are asked for at the
    /// same time. Whatever comes of them is forgotten: they come again.
    fn look_ahead<'a>(
        &mut self,
        segment: &Segment<'a>,
        rest: Records<'a>,
        span: Span,
        arena: &'a Arena,
    ) {
        let counted = self.chain.desks().lookups();
        let within = |raw: &RawRecord<'_>| raw.offset >= span.from && raw.offset < span.end;
        let mut forgotten = Vec::with_capacity(1);
        for raw in rest.map_while(Result::ok).filter(within).take(AHEAD) {
            let _ = self.chain.run(segment, &raw, arena, &mut forgotten);
            forgotten.clear();
        }
        self.chain.desks().forget_lookups(&counted);
    }

    /// Has the converters' questions answered, however long the registry is away. It is never a
    /// record's fault that it is: no tolerance drops one over it.
    async fn ask_registry(&mut self) -> Result<(), ConnectError> {
        let policy = &self.errors.policy;
        let patience = Patience { policy, control: self.control, reporter: self.reporter };
        patience.settle(self.chain.desks()).await
    }
}

impl Errors {
    /// Reports a failed record to the log and the dead-letter queue, as configured.
    async fn report(
        &mut self,
        failure: &Failure,
        segment: &Segment<'_>,
        raw: &RawRecord<'_>,
    ) -> Result<(), ConnectError> {
        let record = consumed(segment, raw);
        self.policy.log(failure, &record);
        if let Some(dead_letters) = &mut self.dead_letters {
            dead_letters.send(failure, &record, raw).await?;
        }
        Ok(())
    }

    /// Ends the dead-letter queue's producer; what it holds was settled before.
    pub(crate) async fn close(self) {
        if let Some(dead_letters) = self.dead_letters {
            dead_letters.close().await;
        }
    }

    /// Reports a record that the sink gave up, its bytes looked up again; then says whether the task
    /// lives on without it.
    pub(crate) async fn give_up_errant(
        &mut self,
        errant: ErrantRecord,
        record: &Record<'_>,
        fetched: &Fetched<'_>,
    ) -> Result<(), ConnectError> {
        let Origin::Sink { topic, partition, offset, timestamp_type } = record.origin else {
            return Ok(());
        };
        let failure = Failure {
            stage: Stage::TaskPut,
            class: "org.apache.kafka.connect.sink.SinkTask",
            error: errant.error,
        };
        let segments = fetched
            .segments()
            .filter(|segment| segment.topic() == topic && segment.partition() == partition);
        for raw in segments.flat_map(|segment| segment.records()).flatten() {
            if raw.offset == offset {
                let segment = Segment { topic, partition, timestamp_type, buffer: &[] };
                self.report(&failure, &segment, &raw).await?;
                return self.policy.settle_errant(&failure, &consumed(&segment, &raw));
            }
        }
        Ok(())
    }

    /// Waits until Kafka has every dead letter: offsets may be committed only then. `false` when it
    /// has not in that time.
    pub(crate) async fn settle(&mut self, patience: Duration) -> Result<bool, ConnectError> {
        match &mut self.dead_letters {
            Some(dead_letters) => dead_letters.flush(patience).await,
            None => Ok(true),
        }
    }
}

fn consumed<'a>(segment: &Segment<'a>, raw: &RawRecord<'_>) -> Consumed<'a> {
    Consumed {
        topic: segment.topic,
        partition: segment.partition,
        offset: raw.offset,
        timestamp: raw.timestamp,
    }
}

fn bytes_of(raw: &RawRecord<'_>) -> u64 {
    (raw.key.map_or(0, <[u8]>::len) + raw.value.map_or(0, <[u8]>::len)) as u64
}

fn timestamp_type(header: &BatchHeader) -> TimestampType {
    match header.timestamp_type() {
        record_batch::TimestampType::CreateTime => TimestampType::CreateTime,
        record_batch::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
    }
}

/// The times at which `count` records of a batch were produced, as its header tells. The base
/// timestamp is the first record's, which may not be the least, but nearly always is.
fn produced(header: &BatchHeader, count: usize) -> Times {
    let most = header.max_timestamp;
    if count == 0 || most < 0 {
        return Times::EMPTY;
    }
    let base = header.base_timestamp;
    let stamped = header.timestamp_type() == record_batch::TimestampType::LogAppendTime;
    let known = base >= 0 && !stamped && !header.has_delete_horizon();
    Times { least: if known { base.min(most) } else { most }, most, count: count as u64 }
}

#[cold]
fn corrupt(segment: &Segment<'_>, error: &BatchError) -> ConnectError {
    ConnectError::fatal(format!(
        "a record batch of {}-{} is corrupt: {error}; the broker's copy of the topic is damaged, or \
         the connection altered it",
        segment.topic, segment.partition
    ))
    .at(Stage::KafkaConsume)
}

/// The same vector with its memory and none of its records, for records of another lifetime.
pub(crate) fn recycle<'b>(mut records: Vec<Record<'_>>) -> Vec<Record<'b>> {
    records.clear();
    // Collected in place: source and target items have one layout, so the allocation is kept.
    records.into_iter().map(|_| -> Record<'b> { unreachable!("the vector is empty") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_vector_keeps_its_memory() {
        let records: Vec<Record<'_>> = Vec::with_capacity(100);
        let at = records.as_ptr() as usize;
        let again: Vec<Record<'static>> = recycle(records);
        assert_eq!(again.capacity(), 100);
        assert_eq!(again.as_ptr() as usize, at);
    }
}
