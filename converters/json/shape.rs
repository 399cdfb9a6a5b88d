//! A learned shape: what records of one layout have in common, and where their values stand.
//!
//! A document is cut into *literals*, the text between values (`{"id":`, `,"user":{"name":`), and
//! *slots*, the values. A document whose literals are the same and whose slots hold whole values of
//! the same kinds has the same grammar, the same members in the same order and the same edits; only
//! the places differ, by the lengths of the values. So what the patch decided for one document is
//! kept as a [`Template`], with places counted from the end of a slot.

use std::sync::Arc;

use super::blocks::{BLOCK, is_special};
use super::patch_compile::Literal;
use super::scan::Kind;
use super::sought::Sights;

/// More values than that are not learned: comparing would pay, but shapes would grow large.
pub(super) const MAX_SLOTS: usize = 192;

/// Nor is more text between values than that: bounds the shapes' memory.
const MAX_LITERALS: usize = 8 * 1024;

/// What a slot takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// There is none: the document ends here.
    End,
    /// A string. Its quotes are compared with the literals around it.
    Text,
    /// Any number.
    Number,
    /// A number without fraction and exponent.
    Integer,
    /// Any other number.
    Double,
    /// `true`, `false` or `null`.
    Word,
    Boolean,
    Null,
    /// A whole array, whatever is in it.
    Array,
    /// A whole object, whatever is in it: one that is nested too deep to be cut up.
    Object,
    /// Anything but arrays and objects.
    Scalar,
}

impl Slot {
    /// For a value of that kind; `strict`: the plan treats other kinds otherwise.
    pub fn of(kind: Kind, strict: bool) -> Self {
        match (kind, strict) {
            (Kind::String, _) => Self::Text,
            (Kind::Integer, true) => Self::Integer,
            (Kind::Double, true) => Self::Double,
            (Kind::Integer | Kind::Double, false) => Self::Number,
            (Kind::Boolean, true) => Self::Boolean,
            (Kind::Null, true) => Self::Null,
            (Kind::Boolean | Kind::Null, false) => Self::Word,
            (Kind::Array, _) => Self::Array,
            (Kind::Object, _) => Self::Object,
            (Kind::Empty, _) => Self::End,
        }
    }

    /// Of bare values, which have neither quotes nor brackets around them, those that it takes.
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Number => &[Kind::Integer, Kind::Double],
            Self::Integer => &[Kind::Integer],
            Self::Double => &[Kind::Double],
            Self::Word => &[Kind::Boolean, Kind::Null],
            Self::Boolean => &[Kind::Boolean],
            Self::Null => &[Kind::Null],
            Self::Scalar => &[Kind::Integer, Kind::Double, Kind::Boolean, Kind::Null],
            Self::End | Self::Text | Self::Array | Self::Object => &[],
        }
    }

    fn is_scalar(self) -> bool {
        !matches!(self, Self::End | Self::Array | Self::Object)
    }

    /// The slot that takes what both take, if the plan does not care.
    fn united(self, other: Self, strict: bool) -> Option<Self> {
        match (self == other, strict) {
            (true, _) => Some(self),
            (false, false) if self.is_scalar() && other.is_scalar() => Some(Self::Scalar),
            _ => None,
        }
    }
}

/// A value of the document that a shape is learned from, quotes included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub start: usize,
    pub end: usize,
    pub slot: Slot,
    /// The plan treats values of other kinds otherwise.
    pub strict: bool,
    /// Arrays and objects around it.
    pub depth: u16,
}

/// A literal and the slot behind it, ready to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The literal's first bytes, and zeros where it is shorter.
    pub head: [u8; BLOCK],
    /// The literal in the shape's text.
    pub at: u32,
    pub len: u32,
    pub slot: Slot,
    /// The kinds that a bare slot takes, a bit each.
    pub kinds: u8,
    /// 1 if the slot is a string: its closing quote belongs to the next literal.
    pub quote: u8,
    pub depth: u16,
    /// Quotes, backslashes and control characters in the literal.
    pub specials: u16,
}

/// A place in a document of the shape: `delta` bytes behind the end of a slot (0: the start).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub slot: u16,
    pub delta: u32,
}

/// What an edit puts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Literal),
    Topic,
    Partition,
    Timestamp,
    Offset,
    /// What the plan's call of that index makes of what stands there.
    Call(u16),
}

/// An edit at places that depend on the lengths of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub start: Place,
    pub end: Place,
    pub with: Piece,
}

/// The edits of every document of the shape.
pub(super) type Template = Vec<Step>;

/// A learned shape.
#[derive(Debug)]
pub(super) struct Shape {
    /// The literals without the quotes of the strings around them, one after the other.
    bare: Vec<u8>,
    /// Where each of them ends.
    cuts: Vec<usize>,
    values: Vec<Value>,
    pub segments: Vec<Segment>,
    /// The literals as they are compared.
    text: Vec<u8>,
    /// White space before and behind the document.
    pub lead: usize,
    pub trail: usize,
    /// For records with a timestamp, and for those without where that makes a difference.
    pub templates: [Template; 2],
    /// The literals of the templates, where they are not the plan's.
    pub edits: Option<Arc<[u8]>>,
    /// Where stands what somebody looks for.
    pub sights: Option<Sights>,
}

impl Shape {
    /// Cuts `doc` at `values`; `lead` and `trail` bytes of white space are around it.
    pub fn new(doc: &[u8], values: Vec<Value>, lead: usize, trail: usize) -> Self {
        let mut bare = Vec::new();
        let mut cuts = Vec::with_capacity(values.len() + 1);
        let mut at = 0;
        for value in &values {
            bare.extend_from_slice(&doc[at..value.start]);
            cuts.push(bare.len());
            at = value.end;
        }
        bare.extend_from_slice(&doc[at..]);
        cuts.push(bare.len());
        let templates = [Template::new(), Template::new()];
        let mut shape = Self {
            bare,
            cuts,
            values,
            segments: Vec::new(),
            text: Vec::new(),
            lead,
            trail,
            templates,
            edits: None,
            sights: None,
        };
        shape.cut_segments();
        shape
    }

    /// Small enough to be kept.
    pub fn fits(&self) -> bool {
        self.bare.len() <= MAX_LITERALS
    }

    /// Where that place of the learned document is in any document of the shape.
    pub fn place(&self, at: usize) -> Place {
        let slot = self.values.partition_point(|value| value.end <= at);
        let from = if slot == 0 { 0 } else { self.values[slot - 1].end };
        Place { slot: slot as u16, delta: (at - from) as u32 }
    }

    /// The same; `None` if it is within a value, where documents of the shape differ.
    pub fn outside(&self, at: usize) -> Option<Place> {
        let within = |value: &Value| value.start < at && at < value.end;
        (!self.values.iter().any(within)).then(|| self.place(at))
    }

    /// Where the values begin and end in the learned document, in order.
    pub fn values(&self) -> impl Iterator<Item = (usize, usize)> {
        self.values.iter().map(|value| (value.start, value.end))
    }

    fn cut_segments(&mut self) {
        self.segments.clear();
        self.text.clear();
        let mut from = 0;
        let mut after_text = false;
        for (at, &to) in self.cuts.iter().enumerate() {
            let start = self.text.len();
            let value = self.values.get(at);
            let slot = value.map_or(Slot::End, |value| value.slot);
            let before_text = slot == Slot::Text;
            self.text.extend(after_text.then_some(b'"'));
            self.text.extend_from_slice(&self.bare[from..to]);
            self.text.extend(before_text.then_some(b'"'));
            let specials = self.text[start..].iter().map(|byte| is_special(*byte));
            let mut head = [0; BLOCK];
            head.iter_mut().zip(&self.text[start..]).for_each(|(head, byte)| *head = *byte);
            self.segments.push(Segment {
                head,
                at: start as u32,
                len: (self.text.len() - start) as u32,
                slot,
                kinds: slot.kinds().iter().fold(0, |kinds, kind| kinds | 1 << *kind as u8),
                quote: u8::from(before_text),
                depth: value.map_or(0, |value| value.depth),
                specials: specials.filter(|special| *special).count() as u16,
            });
            from = to;
            after_text = before_text;
        }
    }

    pub fn literal(&self, segment: &Segment) -> &[u8] {
        &self.text[segment.at as usize..][..segment.len as usize]
    }

    /// Segments at the head that are the same in both.
    pub fn shared(&self, other: &Self) -> usize {
        let pairs = self.segments.iter().zip(&other.segments);
        pairs
            .take_while(|(a, b)| {
                let same = a.slot == b.slot && a.depth == b.depth;
                same && self.literal(a) == other.literal(b)
            })
            .count()
    }

    /// Widens the slots to take what `other` has too, where literals are the same and the plan does
    /// not care; the templates of both are the same then. False if that cannot be.
    pub fn widen(&mut self, other: &Self) -> bool {
        let layout = (&self.bare, &self.cuts, self.lead, self.trail);
        if layout != (&other.bare, &other.cuts, other.lead, other.trail) {
            return false;
        }
        let united = |(own, other): (&Value, &Value)| {
            let strict = own.strict || other.strict;
            own.slot.united(other.slot, strict)
        };
        let slots: Option<Vec<Slot>> = self.values.iter().zip(&other.values).map(united).collect();
        let Some(slots) = slots else { return false };
        for (value, slot) in self.values.iter_mut().zip(slots) {
            value.slot = slot;
        }
        self.cut_segments();
        true
    }
}
