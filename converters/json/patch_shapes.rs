//! The patch with learned shapes: what it decided for one document, kept for all of its layout.

use super::flatten;
use super::patch::{PatchPlan, no_answer};
use super::patch_compile::{Fates, Literal, SourceFate};
use super::patch_emit::{Emitter, Output, Pieces};
use super::patch_pass::Found;
use super::shape::{Piece, Shape, Step, Template};
use super::shape_learn::learn;
use super::sought::Noted;
use crate::arena::Arena;
use crate::converter::DataError;
use crate::json_text::{Edit, JsonText};

/// The edits of a document that has the shape `at`; the book's workspace tells where its values end.
#[inline(always)]
pub(super) fn edits_of_shape<'a>(
    plan: &PatchPlan,
    at: usize,
    document: &'a [u8],
    stamped: bool,
    pieces: Pieces<'_, 'a>,
) -> Result<&'a JsonText<'a>, DataError> {
    let shape = plan.book.shape(at);
    let ends = &plan.book.workspace.ends;
    let lead = shape.lead as u32;
    let src = &document[shape.lead..document.len() - shape.trail];
    let template = &shape.templates[usize::from(!stamped)];
    let place = |place: super::shape::Place| ends[usize::from(place.slot)] + place.delta - lead;
    let mut failed = None;
    let edits = pieces.arena.bump().alloc_slice_fill_with(template.len(), |at| {
        let step = &template[at];
        let (start, end) = (place(step.start), place(step.end));
        let old = &src[start as usize..end as usize];
        let with = pieces.bytes(step.with, old).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            old
        });
        Edit { start, end, with }
    });
    let noted = noted(plan, shape, src, pieces.arena)?;
    match failed {
        None => Ok(pieces.arena.alloc_with(|| JsonText { src, edits, noted })),
        Some(error) => Err(error),
    }
}

/// Where that stands in `src`, a document of the shape, which is sought.
#[inline(always)]
fn noted<'a>(
    plan: &PatchPlan,
    shape: &Shape,
    src: &'a [u8],
    arena: &'a Arena,
) -> Result<Option<&'a Noted<'a>>, DataError> {
    let Some(sought) = &plan.sought else { return Ok(None) };
    let ends = plan.book.workspace.ends.as_slice();
    let told = shape.sights.as_ref().and_then(|sights| sights.of(src, shape.lead, ends, arena));
    match told.or_else(|| sought.looked_for(src, arena)) {
        Some(noted) => Ok(Some(arena.alloc(noted.beneath()))),
        None => Err(no_answer()),
    }
}

/// The value that is extracted from a document that has the shape `at`.
#[inline(always)]
pub(super) fn part_of_shape<'a>(
    plan: &PatchPlan,
    at: usize,
    document: &'a [u8],
    arena: &'a Arena,
) -> Result<&'a JsonText<'a>, DataError> {
    let shape = plan.book.shape(at);
    let ends = &plan.book.workspace.ends;
    let place = |place: super::shape::Place| (ends[usize::from(place.slot)] + place.delta) as usize;
    let part = match shape.templates[0].first() {
        Some(step) => &document[place(step.start)..place(step.end)],
        None => document,
    };
    let src = &document[shape.lead..document.len() - shape.trail];
    let noted = noted(plan, shape, src, arena)?;
    Ok(arena.alloc(JsonText { noted, ..JsonText::verbatim(part) }))
}

/// Learns the shape of a document that the pass has just been over; its hits are in the scratch.
#[cold]
pub(super) fn learn_shape(plan: &mut PatchPlan, document: &[u8], found: Found) {
    let strict = |at: usize| {
        let hit = plan.scratch.hits.iter();
        hit.filter(|hit| hit.value_start as usize + leading(document) == at).any(|hit| {
            // Null is not extracted.
            if plan.extract == Some(hit.source) {
                return true;
            }
            let fates = [Some(&plan.with_timestamp), plan.without_timestamp.as_ref()];
            fates
                .into_iter()
                .flatten()
                .any(|fates| asks_for_kind(&fates.sources[usize::from(hit.source)]))
        })
    };
    let Some(mut shape) = learn(document, strict) else { return };
    shape.sights = plan.sought.as_ref().and_then(|sought| sought.learn(document, &shape));
    if let Some(delimiter) = &plan.flatten {
        let Some((text, template)) = flat(delimiter, document, &shape) else { return };
        shape.edits = Some(text.into());
        shape.templates[0] = template;
        plan.book.learn(shape);
        return;
    }
    let Ok(stamped) = template(plan, &plan.with_timestamp, &shape, found) else { return };
    let unstamped = match &plan.without_timestamp {
        Some(fates) => template(plan, fates, &shape, found),
        None => Ok(Template::new()),
    };
    let Ok(unstamped) = unstamped else { return };
    shape.templates = [stamped, unstamped];
    plan.book.learn(shape);
}

/// More text than that is not kept with a shape: joined names may be many times the document's.
const MAX_TEXT: usize = 32 * 1024;

/// The edits that flatten documents of the shape, and their text.
fn flat(delimiter: &[u8], document: &[u8], shape: &Shape) -> Option<(Vec<u8>, Template)> {
    let arena = Arena::new();
    let src = &document[shape.lead..document.len() - shape.trail];
    let mut text = Vec::new();
    let place = |at: u32| shape.outside(at as usize + shape.lead);
    let steps = flatten::edits(src, delimiter, &arena)?.iter().map(|edit| {
        let literal = Literal { at: text.len() as u32, len: edit.with.len() as u32 };
        text.extend_from_slice(edit.with);
        Some(Step {
            start: place(edit.start)?,
            end: place(edit.end)?,
            with: Piece::Literal(literal),
        })
    });
    let template = steps.collect::<Option<Template>>()?;
    (text.len() <= MAX_TEXT).then_some((text, template))
}

fn leading(document: &[u8]) -> usize {
    document.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Does what becomes of the member depend on the kind of its value?
fn asks_for_kind(fate: &SourceFate) -> bool {
    fate.outcomes.iter().any(|outcome| *outcome != fate.outcomes[0])
}

/// The edits of the document at hand as places of its shape.
fn template(
    plan: &PatchPlan,
    fates: &Fates,
    shape: &Shape,
    found: Found,
) -> Result<Template, DataError> {
    let place = |at: u32| shape.place(at as usize + shape.lead);
    if let Some(source) = plan.extract {
        let hit = plan.scratch.found(source).ok_or_else(no_answer)?;
        let (start, end) = (place(hit.value_start), place(hit.value_end));
        return Ok(vec![Step { start, end, with: NOTHING }]);
    }
    let draft = Emitter::new(plan, fates, Draft::default()).run(found)?;
    let steps = draft.edits.into_iter().map(|(start, end, with)| Step {
        start: place(start),
        end: place(end),
        with,
    });
    Ok(steps.collect())
}

/// What a removed range is replaced by: a literal of no length.
const NOTHING: Piece = Piece::Literal(Literal { at: 0, len: 0 });

/// Edits with places of the learned document, as a record's edits would be.
#[derive(Default)]
struct Draft {
    edits: Vec<(u32, u32, Piece)>,
}

impl Output for Draft {
    fn put(&mut self, start: u32, end: u32, with: Piece) {
        self.edits.push((start, end, with));
    }

    fn remove(&mut self, start: u32, end: u32) {
        if let Some((_, last_end, NOTHING)) = self.edits.last_mut()
            && *last_end == start
        {
            *last_end = end;
            return;
        }
        self.edits.push((start, end, NOTHING));
    }
}
