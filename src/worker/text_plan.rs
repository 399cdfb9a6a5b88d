//! What of a chain is done to JSON text, without parsing it: the plan, made at the task's start.
//!
//! At the head of a chain, edits of a side are part of the pass that checks the document. Behind a step
//! that is none, edits that follow one another are a pass of their own over the text that it left.

use std::ops::Range;
use std::rc::Rc;

use millrace_api::record::Record;
use millrace_api::transformation::{Side, Sought};
use millrace_converters::json::patch::{JsonOp, RecordMeta};
use millrace_converters::json::patches::Patches;
use millrace_converters::{Arena, Value};

use crate::plan::Step;

/// See the module's doc.
pub(crate) struct TextPlan {
    /// The steps that the head's patch stands for.
    pub patched: Vec<bool>,
    pub later: Vec<LaterPatch>,
    /// What all other steps look at.
    pub rest: Looks,
    /// Of key and value, as the next.
    pub patches: [Option<Patches>; 2],
    pub sought: [Option<Rc<Sought>>; 2],
}

/// Steps behind the head that are passes over one side's text.
pub(crate) struct LaterPatch {
    pub steps: Range<usize>,
    side: Side,
    patches: Patches,
}

impl LaterPatch {
    /// Does what the steps do, if the record has JSON text there and nothing is wrong with it.
    pub fn stands_in<'a>(&mut self, record: &mut Record<'a>, arena: &'a Arena) -> bool {
        let (Some(partition), Some(offset)) = (record.partition, record.offset()) else {
            return false;
        };
        let (topic, timestamp) = (record.topic, record.timestamp);
        let meta = RecordMeta { topic, partition, timestamp, offset };
        let datum = match self.side {
            Side::Key => &mut record.key,
            Side::Value => &mut record.value,
        };
        let (None, Value::Json(text)) = (datum.schema, datum.value) else { return false };
        match self.patches.apply_to(text, &meta, arena) {
            Ok(text) if text.src != b"null" => datum.value = Value::Json(text),
            _ => return false,
        }
        true
    }
}

impl TextPlan {
    /// `possible`: key and value are schemaless JSON that may stay text.
    pub fn of(steps: &[Step], possible: [bool; 2]) -> Self {
        let Region { mut patched, beside } = within_the_patch(steps, possible);
        // Operations that cannot follow one another, or that somebody follows who would have to
        // parse the result anyway: fewer may do.
        let (later, rest, patches) = loop {
            let mut later = later(steps, &patched, possible);
            let is_later = |at: usize| later.iter().any(|later| later.steps.contains(&at));
            let others = steps.iter().enumerate().filter(|(at, _)| !patched[*at] && !is_later(*at));
            let rest = Looks::of(others.map(|(_, step)| step));
            let compiled = |side: Side, look: Look| {
                let ops = ops_of(steps, &patched, side);
                compile_ops(&ops, look.parsed, || sought_by(steps, &beside[side as usize], side))
            };
            let (key, value) = (compiled(Side::Key, rest.key), compiled(Side::Value, rest.value));
            if let (Some(key), Some(value)) = (key, value) {
                later.retain(|later| !rest.side(later.side).parsed);
                break (later, rest, [key, value]);
            }
            match patched.iter().rposition(|patched| *patched) {
                Some(last) => patched[last] = false,
                None => break (Vec::new(), Looks::of(steps.iter()), [None, None]),
            }
        };
        let all = vec![true; steps.len()];
        let sought = |side: Side| match &patches[side as usize] {
            None => sought_by(steps, &all, side),
            Some(_) => None,
        };
        let sought = [sought(Side::Key), sought(Side::Value)];
        let rest = rest.with(&later);
        Self { patched, later, rest, patches, sought }
    }
}

/// Runs of steps that only edit one side, without a condition, and that the head's patch does not stand
/// for.
fn later(steps: &[Step], patched: &[bool], possible: [bool; 2]) -> Vec<LaterPatch> {
    let edit = |at: usize| {
        let step = steps.get(at).filter(|step| step.condition.is_none() && !patched[at])?;
        step.transformation.json_ops().filter(|edit| possible[edit.side as usize])
    };
    let mut found = Vec::new();
    let mut at = 0;
    while at < steps.len() {
        let Some(first) = edit(at) else {
            at += 1;
            continue;
        };
        let (start, side, mut ops) = (at, first.side, first.ops);
        at += 1;
        while let Some(next) = edit(at).filter(|next| next.side == side) {
            ops.extend(next.ops);
            at += 1;
        }
        if let Some(patches) = Patches::compile(&ops, None) {
            found.push(LaterPatch { steps: start..at, side, patches });
        }
    }
    found
}

/// Which steps may be one pass over the text, and which of the others, of each side, stand before one
/// of them.
struct Region {
    patched: Vec<bool>,
    beside: [Vec<bool>; 2],
}

/// The steps at the head of the chain that only edit a side's text, without a condition. Steps that
/// leave the side as it is may stand between them, as long as the document has what they take of it.
fn within_the_patch(steps: &[Step], possible: [bool; 2]) -> Region {
    let none = || vec![false; steps.len()];
    let mut region = Region { patched: none(), beside: [none(), none()] };
    for side in [Side::Key, Side::Value] {
        let mut moved = false;
        let mut before: Vec<JsonOp> = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            let transformation = &step.transformation;
            let edit = transformation.json_ops().filter(|edit| edit.side == side);
            if let Some(edit) = edit {
                // Behind a router the record is elsewhere than where the pass finds it.
                if step.condition.is_some()
                    || !possible[side as usize]
                    || (moved && edit.ops.iter().any(JsonOp::asks_for_place))
                {
                    break;
                }
                before.extend(edit.ops);
                region.patched[at] = true;
                continue;
            }
            let reads = step.condition.as_ref().map(|condition| condition.predicate.reads());
            let looked_at = match side {
                Side::Key => reads.is_some_and(|reads| reads.key),
                Side::Value => reads.is_some_and(|reads| reads.value),
            };
            let sought = transformation.sought(side);
            if looked_at
                || !transformation.stands_beside(side)
                || sought.is_some_and(|sought| !sought.is_spared_by(&before))
            {
                break;
            }
            moved |= transformation.spares_sides();
            region.beside[side as usize][at] = true;
        }
    }
    region
}

/// What those steps look for in that side.
fn sought_by(steps: &[Step], which: &[bool], side: Side) -> Option<Rc<Sought>> {
    let which = steps.iter().zip(which).filter(|(_, which)| **which);
    Sought::of_all(which.filter_map(|(step, _)| step.transformation.sought(side)).collect())
}

/// The operations of the patch on that side.
fn ops_of(steps: &[Step], patched: &[bool], side: Side) -> Vec<JsonOp> {
    let steps = steps.iter().zip(patched).filter(|(_, patched)| **patched);
    let edits = steps.filter_map(|(step, _)| step.transformation.json_ops());
    edits.filter(|edit| edit.side == side).flat_map(|edit| edit.ops).collect()
}

/// What the steps read, all together.
pub(crate) struct Looks {
    pub key: Look,
    pub value: Look,
    pub headers: bool,
}

/// How a side is looked at.
#[derive(Clone, Copy, Default)]
pub(crate) struct Look {
    /// Somebody looks at it at all.
    pub any: bool,
    /// Somebody wants typed values; JSON text does not do.
    pub parsed: bool,
}

impl Look {
    fn add(&mut self, reads: bool, takes_text: bool) {
        self.any |= reads;
        self.parsed |= reads && !takes_text;
    }
}

impl Looks {
    fn side(&self, side: Side) -> &Look {
        match side {
            Side::Key => &self.key,
            Side::Value => &self.value,
        }
    }

    /// These look at their side, too, for which text does.
    fn with(mut self, later: &[LaterPatch]) -> Self {
        for later in later {
            match later.side {
                Side::Key => self.key.any = true,
                Side::Value => self.value.any = true,
            }
        }
        self
    }

    fn of<'s>(steps: impl Iterator<Item = &'s Step>) -> Self {
        let mut looks = Self { key: Look::default(), value: Look::default(), headers: false };
        for step in steps {
            let takes_text = step.transformation.takes_text();
            let condition = step.condition.as_ref().map(|condition| condition.predicate.reads());
            let reads = step.transformation.reads();
            let all = [Some((reads, takes_text)), condition.map(|reads| (reads, false))];
            for (reads, takes_text) in all.into_iter().flatten() {
                looks.key.add(reads.key, takes_text);
                looks.value.add(reads.value, takes_text);
                looks.headers |= reads.headers;
            }
        }
        looks
    }
}

/// `None`: these operations cannot be one pass. `Some(None)`: there are none.
fn compile_ops(
    ops: &[JsonOp],
    parsed: bool,
    sought: impl FnOnce() -> Option<Rc<Sought>>,
) -> Option<Option<Patches>> {
    if ops.is_empty() {
        return Some(None);
    }
    if parsed { None } else { Patches::compile(ops, sought()).map(Some) }
}
