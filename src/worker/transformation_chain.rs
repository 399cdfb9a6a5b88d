//! Converters and transforms of a sink task, compiled at the task's start.
//!
//! What nobody looks into is not parsed: each side of a record takes the shortest [`Lane`] that the
//! converter, the transforms and the sink allow. Transforms that only edit schemaless JSON become passes
//! over its text ([`crate::text_plan`]).

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use millrace_api::error::Stage;
use millrace_api::record::{Header, Origin, Record, TimestampType};
use millrace_api::sink::{Need, Needs};
use millrace_converters::converter::{Detail, Shortcut};
use millrace_converters::json::patch::RecordMeta;
use millrace_converters::json::patches::Patches;
use millrace_converters::json::sought::Sought;
use millrace_converters::json::{Checker, ShapeCounts};
use millrace_converters::{Arena, Converter, DataError, SchemaAndValue, Value};
use millrace_kafka::record_batch::RawRecord;

use crate::error_policy::Failure;
use crate::plan::{Converters, Step};
use crate::schema_registry::Desks;
use crate::text_plan::{LaterPatch, Look, TextPlan};

/// How one side of a record becomes a datum.
enum Lane {
    /// Any bytes will do and nobody reads them.
    Skip,
    /// One JSON document, checked: as a whole only where it has no learned shape.
    Json(Box<Checker>),
    /// One JSON object, checked and edited in the same pass, likewise, or in a few.
    Patch(Box<Patches>),
    /// Through the converter.
    Convert(Detail),
}

impl Lane {
    fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Skip => "raw bytes, not looked at".into(),
            Self::Json(_) => "JSON text, checked with learned shapes, not parsed".into(),
            Self::Patch(patches) => match patches.passes() {
                1 => "JSON text, checked and patched in one pass, with learned shapes".into(),
                passes => format!(
                    "JSON text, checked and patched in {passes} passes, with learned shapes"
                )
                .into(),
            },
            Self::Convert(Detail::Json) => "converter, straight to JSON text".into(),
            Self::Convert(Detail::Text) => "converter, JSON text allowed".into(),
            Self::Convert(Detail::Full) => "converter, typed values".into(),
        }
    }

    /// How often this side's documents had a learned shape; `None`: the lane learns none.
    fn shape_counts(&self) -> Option<ShapeCounts> {
        match self {
            Self::Json(checker) => Some(checker.shape_counts()),
            Self::Patch(patches) => Some(patches.shape_counts()),
            Self::Skip | Self::Convert(_) => None,
        }
    }
}

pub(crate) struct Chain {
    converters: Converters,
    key: Lane,
    value: Lane,
    headers: bool,
    steps: Vec<Step>,
    /// The transforms that the patch stands for. A record that the patch refuses goes through all
    /// of them one by one: they know which of them fails and what it says.
    patched: Vec<bool>,
    /// Runs of steps that are passes over what text they find.
    later: Vec<LaterPatch>,
    /// The first step that fetches what records will need; their number if none does.
    fetching: usize,
}

/// What the records of one fetched batch share.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub timestamp_type: TimestampType,
    /// The buffer that the batch's keys and values are slices of, spare bytes at its end included.
    pub buffer: &'a [u8],
}

impl Chain {
    pub(crate) fn compile(mut converters: Converters, steps: Vec<Step>, needs: Needs) -> Self {
        converters.desks.attach_tables(&steps);
        let patchable = |converter: &dyn Converter, need: Need| {
            converter.shortcut() == Shortcut::SchemalessJson && need != Need::Full
        };
        let possible =
            [patchable(&*converters.key, needs.key), patchable(&*converters.value, needs.value)];
        let TextPlan { patched, later, rest, patches, sought } = TextPlan::of(&steps, possible);
        let ([key_plan, value_plan], [in_key, in_value]) = (patches, sought);
        let key = lane(&*converters.key, needs.key, rest.key, key_plan, in_key);
        let value = lane(&*converters.value, needs.value, rest.value, value_plan, in_value);
        let headers = needs.headers || rest.headers;
        let fetching = steps.iter().position(|step| step.transformation.prefetches());
        let fetching = fetching.unwrap_or(steps.len());
        Self { converters, key, value, headers, steps, patched, later, fetching }
    }

    /// The plan in words, one line a step.
    pub(crate) fn explain(&self) -> Vec<String> {
        let mut lines = vec![
            format!("key: {} ({})", self.key.name(), self.converters.key.class_name()),
            format!("value: {} ({})", self.value.name(), self.converters.value.class_name()),
            format!("headers: {}", if self.headers { "decoded" } else { "not looked at" }),
        ];
        let later = |at| self.later.iter().any(|later| later.steps.contains(&at));
        lines.extend(self.steps.iter().zip(&self.patched).enumerate().map(
            |(at, (step, patched))| {
                let condition = step.condition.as_ref().map_or(String::new(), |condition| {
                    let not = if condition.negate { "not " } else { "" };
                    format!(" if {not}{}", condition.predicate.class_name())
                });
                let how = match (patched, later(at)) {
                    (true, _) => "within the patch:",
                    (false, true) => "then, as a patch of text:",
                    (false, false) => "then",
                };
                format!("{how} {}, {}{condition}", step.alias, step.transformation.class_name())
            },
        ));
        lines
    }

    /// Where the converters ask a schema registry.
    pub(crate) fn desks(&self) -> &Desks {
        &self.converters.desks
    }

    /// How often keys and values had a learned shape, since the task's start.
    pub(crate) fn shape_counts(&self) -> ShapeCounts {
        let sides = [&self.key, &self.value].into_iter();
        sides.filter_map(Lane::shape_counts).fold(ShapeCounts::default(), std::ops::Add::add)
    }

    pub(crate) fn begin_batch(&mut self) {
        self.converters.key.begin_batch();
        self.converters.value.begin_batch();
    }

    /// One record through converters and transforms, appended to `out`; `false`: a transform dropped
    /// it. Records are large: they are made where they stay.
    #[inline]
    pub(crate) fn run<'a>(
        &mut self,
        segment: &Segment<'a>,
        raw: &RawRecord<'a>,
        arena: &'a Arena,
        out: &mut Vec<Record<'a>>,
    ) -> Result<bool, Failure> {
        if !self.begin(segment, raw, arena, out)? {
            return Ok(false);
        }
        if !self.prefetches() {
            return Ok(true);
        }
        through(out, |record| self.finish(record, arena))
    }

    /// Whether records should come in groups: [`Self::begin`] with each, [`Self::prefetch`] with all,
    /// [`Self::finish`] with each.
    pub(crate) fn prefetches(&self) -> bool {
        self.fetching < self.steps.len()
    }

    /// Shows records to the step that [`Self::finish`] begins with.
    pub(crate) fn prefetch<'a>(&mut self, records: &mut [Record<'a>], arena: &'a Arena) {
        if let Some(step) = self.steps.get_mut(self.fetching) {
            step.transformation.prefetch(records, arena);
        }
    }

    /// A record's way from the first step that fetches; `false`: it is dropped.
    #[inline]
    pub(crate) fn finish<'a>(
        &mut self,
        record: &mut Record<'a>,
        arena: &'a Arena,
    ) -> Result<bool, Failure> {
        self.walk(self.fetching..self.steps.len(), record, arena)
    }

    /// Carries a record through those steps that the patch does not stand for.
    #[inline]
    fn walk<'a>(
        &mut self,
        range: Range<usize>,
        record: &mut Record<'a>,
        arena: &'a Arena,
    ) -> Result<bool, Failure> {
        if self.later.is_empty() {
            let steps = self.steps[range.clone()].iter_mut().zip(&self.patched[range]);
            return apply(
                steps.filter(|(_, patched)| !**patched).map(|(step, _)| step),
                record,
                arena,
            );
        }
        let mut at = range.start;
        while at < range.end {
            if let Some(later) = self.later.iter_mut().find(|later| later.steps.start == at)
                && later.stands_in(record, arena)
            {
                at = later.steps.end;
                continue;
            }
            if !self.patched[at] && !apply([&mut self.steps[at]], record, arena)? {
                return Ok(false);
            }
            at += 1;
        }
        Ok(true)
    }

    /// A record's way to the first step that fetches, or to the end: appended to `out`, unless it is
    /// dropped.
    #[inline(always)]
    pub(crate) fn begin<'a>(
        &mut self,
        segment: &Segment<'a>,
        raw: &RawRecord<'a>,
        arena: &'a Arena,
        out: &mut Vec<Record<'a>>,
    ) -> Result<bool, Failure> {
        out.push(Record {
            topic: segment.topic,
            partition: Some(segment.partition),
            timestamp: None,
            key: SchemaAndValue::default(),
            value: SchemaAndValue::default(),
            headers: &[],
            origin: Origin::Sink {
                topic: segment.topic,
                partition: segment.partition,
                offset: raw.offset,
                timestamp_type: segment.timestamp_type,
            },
        });
        through(out, |record| self.fill(segment, raw, arena, record))
    }

    /// Puts into the record what the converters say, and carries it through steps.
    #[inline(always)]
    fn fill<'a>(
        &mut self,
        segment: &Segment<'a>,
        raw: &RawRecord<'a>,
        arena: &'a Arena,
        record: &mut Record<'a>,
    ) -> Result<bool, Failure> {
        let (key, value) = (&mut *self.converters.key, &mut *self.converters.value);
        if let Err(error) = datum(&mut self.key, key, segment, raw, raw.key, arena, &mut record.key)
        {
            return self.refused(segment, raw, arena, record, (Stage::KeyConverter, error));
        }
        if let Err(error) =
            datum(&mut self.value, value, segment, raw, raw.value, arena, &mut record.value)
        {
            return self.refused(segment, raw, arena, record, (Stage::ValueConverter, error));
        }
        self.describe(segment, raw, arena, record)?;
        if self.fetching == 0 {
            return Ok(true);
        }
        self.walk(0..self.fetching, record, arena)
    }

    /// What is neither key nor value.
    #[inline]
    fn describe<'a>(
        &mut self,
        segment: &Segment<'a>,
        raw: &RawRecord<'a>,
        arena: &'a Arena,
        record: &mut Record<'a>,
    ) -> Result<(), Failure> {
        if self.headers {
            record.headers = self.headers(segment.topic, raw, arena)?;
        }
        record.timestamp = timestamp(raw)?;
        Ok(())
    }

    /// A side of the record failed. Without a patch, that is the converter's error; with one, the
    /// record takes the long way, which names the step that fails.
    #[cold]
    fn refused<'a>(
        &mut self,
        segment: &Segment<'a>,
        raw: &RawRecord<'a>,
        arena: &'a Arena,
        record: &mut Record<'a>,
        (stage, error): (Stage, DataError),
    ) -> Result<bool, Failure> {
        let Converters { key, value, .. } = &mut self.converters;
        if !self.patched.contains(&true) {
            let class =
                if stage == Stage::KeyConverter { key.class_name() } else { value.class_name() };
            return Err(Failure { stage, class, error });
        }
        let failed = |stage, class| move |error| Failure { stage, class, error };
        record.key = key
            .to_connect_data(segment.topic, raw.key, Detail::Full, arena)
            .map_err(failed(Stage::KeyConverter, key.class_name()))?;
        record.value = value
            .to_connect_data(segment.topic, raw.value, Detail::Full, arena)
            .map_err(failed(Stage::ValueConverter, value.class_name()))?;
        self.describe(segment, raw, arena, record)?;
        apply(&mut self.steps[..self.fetching], record, arena)
    }

    fn headers<'a>(
        &mut self,
        topic: &str,
        raw: &RawRecord<'a>,
        arena: &'a Arena,
    ) -> Result<&'a [Header<'a>], Failure> {
        let class = self.converters.header.class_name();
        let failed = |error| Failure { stage: Stage::HeaderConverter, class, error };
        let mut headers = arena.vec();
        for header in raw.headers {
            let header = header.map_err(|error| failed(DataError::new(error.to_string())))?;
            let datum = self
                .converters
                .header
                .to_connect_header(topic, header.name, header.value, arena)
                .map_err(failed)?;
            headers.push(Header { name: header.name, datum });
        }
        Ok(headers.into_bump_slice())
    }
}

/// The last record goes through steps: it stays if they let it.
#[inline(always)]
fn through<'a>(
    out: &mut Vec<Record<'a>>,
    steps: impl FnOnce(&mut Record<'a>) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let Some(record) = out.last_mut() else { return Ok(false) };
    let kept = steps(record);
    if !matches!(kept, Ok(true)) {
        out.pop();
    }
    kept
}

/// Carries a record through the steps; `false`: one of them dropped it. Shared with the source task.
#[inline]
pub(crate) fn apply<'a, 's>(
    steps: impl IntoIterator<Item = &'s mut Step>,
    record: &mut Record<'a>,
    arena: &'a Arena,
) -> Result<bool, Failure> {
    for step in steps {
        if let Some(condition) = &step.condition {
            let holds = condition.predicate.test(record).map_err(|error| Failure {
                stage: Stage::Transformation,
                class: condition.predicate.class_name(),
                error,
            })?;
            if holds == condition.negate {
                continue;
            }
        }
        let class = step.transformation.class_name();
        let kept = step.transformation.apply_in_place(record, arena).map_err(|error| Failure {
            stage: Stage::Transformation,
            class,
            error,
        })?;
        if !kept {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lane(
    converter: &dyn Converter,
    need: Need,
    look: Look,
    plan: Option<Patches>,
    sought: Option<Rc<Sought>>,
) -> Lane {
    if let Some(plan) = plan {
        return Lane::Patch(Box::new(plan));
    }
    let unread = need == Need::Nothing && !look.any;
    match converter.shortcut() {
        Shortcut::Bytes | Shortcut::Utf8 if unread => Lane::Skip,
        Shortcut::SchemalessJson if !look.parsed && need != Need::Full => {
            Lane::Json(Box::new(Checker::new().seeking(sought)))
        }
        _ if look.any => Lane::Convert(Detail::Full),
        _ => Lane::Convert(need.detail()),
    }
}

/// Connect takes -1 as no timestamp and refuses other negative ones.
fn timestamp(raw: &RawRecord<'_>) -> Result<Option<i64>, Failure> {
    match raw.timestamp {
        -1 => Ok(None),
        timestamp if timestamp < 0 => Err(Failure {
            stage: Stage::ValueConverter,
            class: "org.apache.kafka.connect.runtime.WorkerSinkTask",
            error: DataError::with_class(
                "org.apache.kafka.connect.errors.ConnectException",
                format!("Invalid record timestamp {timestamp}"),
            ),
        }),
        timestamp => Ok(Some(timestamp)),
    }
}

/// One side of a record, which is null so far. It is put where it stays: what is handed on in a
/// `Result` is written in parts and copied as a whole, for which a processor waits. What nobody
/// looks at, and no key, is settled without a call.
#[inline(always)]
fn datum<'a>(
    lane: &mut Lane,
    converter: &mut dyn Converter,
    segment: &Segment<'a>,
    raw: &RawRecord<'a>,
    bytes: Option<&'a [u8]>,
    arena: &'a Arena,
    into: &mut SchemaAndValue<'a>,
) -> Result<(), DataError> {
    match (lane, bytes) {
        (Lane::Skip | Lane::Json(_), None) => Ok(()),
        (Lane::Skip, Some(bytes)) => {
            into.value = Value::Bytes(bytes);
            Ok(())
        }
        (Lane::Convert(Detail::Json), Some(bytes)) => {
            let start = place(segment.buffer, bytes);
            let place = start..start + bytes.len();
            converter.to_json_at(segment.topic, segment.buffer, place, arena, into)
        }
        (Lane::Convert(detail), bytes) => {
            converter.to_connect_data_at(segment.topic, bytes, *detail, arena, into)
        }
        (Lane::Json(checker), Some(bytes)) => {
            checked(checker, converter, segment, bytes, arena, into)
        }
        // What a transform makes of null, it says itself.
        (Lane::Patch(_), None) => Err(DataError::new(String::new())),
        (Lane::Patch(plan), Some(bytes)) => patched(plan, segment, raw, bytes, arena, into),
    }
}

/// A document as text, or what the converter says against it.
#[inline]
fn checked<'a>(
    checker: &mut Checker,
    converter: &mut dyn Converter,
    segment: &Segment<'a>,
    bytes: &'a [u8],
    arena: &'a Arena,
    into: &mut SchemaAndValue<'a>,
) -> Result<(), DataError> {
    let start = place(segment.buffer, bytes);
    match checker.text(segment.buffer, start, start + bytes.len(), arena) {
        Ok(None) => {}
        Ok(Some(text)) => into.value = Value::Json(text),
        Err(_) => {
            let (topic, detail) = (segment.topic, Detail::Text);
            converter.to_connect_data_at(topic, Some(bytes), detail, arena, into)?;
        }
    }
    Ok(())
}

/// A document as text, with the patch's edits. Any error sends the record the long way.
#[inline]
fn patched<'a>(
    plan: &mut Patches,
    segment: &Segment<'a>,
    raw: &RawRecord<'a>,
    bytes: &'a [u8],
    arena: &'a Arena,
    into: &mut SchemaAndValue<'a>,
) -> Result<(), DataError> {
    let start = place(segment.buffer, bytes);
    let meta = RecordMeta {
        topic: segment.topic,
        partition: segment.partition,
        timestamp: (raw.timestamp >= 0).then_some(raw.timestamp),
        offset: raw.offset,
    };
    let text = plan.apply(segment.buffer, start, start + bytes.len(), &meta, arena)?;
    if text.src == b"null" {
        return Err(DataError::new(String::new()));
    }
    into.value = Value::Json(text);
    Ok(())
}

/// Where `part`, a slice of `whole`, begins in it.
#[inline]
fn place(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}
