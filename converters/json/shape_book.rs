//! The shapes that a plan has learned, and when it learns, replaces and gives them up.
//!
//! Every document that is compared and has none of the shapes is a miss; while there is room its
//! shape is learned. After each [`WINDOW`] of documents the book looks back: shapes that nothing had
//! make room for others; where more missed than matched the book is emptied and sleeps, so that
//! records without a common layout pay for a try now and then only. It sleeps longer each time.

use std::fmt;

use super::isa::{Level, dispatch};
use super::shape::Shape;
use super::shape_match::{Candidates, MAX_LENGTH, Workspace, find};
use super::shape_window::{WINDOW, Window};

/// Shapes of a plan at a time: six members that may be there or not make as many.
pub(super) const MAX_SHAPES: usize = 64;

/// What learning shapes came to; counts since the plan was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShapeCounts {
    /// Documents that had a learned shape.
    pub hits: u64,
    /// Documents that were compared with the shapes, and had none or were not JSON.
    pub misses: u64,
    /// Documents that were not compared, because shapes had been given up.
    pub passed: u64,
    /// Shapes learned.
    pub learned: u64,
    /// Times that all shapes were given up for a while.
    pub given_up: u64,
}

impl fmt::Display for ShapeCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hits, misses, passed, learned, given_up } = self;
        write!(
            f,
            "{learned} learned, {hits} documents matched, {misses} did not, {passed} passed by \
             after shapes were given up {given_up} times"
        )
    }
}

impl std::ops::Add for ShapeCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            passed: self.passed + other.passed,
            learned: self.learned + other.learned,
            given_up: self.given_up + other.given_up,
        }
    }
}

/// See the module's doc.
#[derive(Debug)]
pub(super) struct ShapeBook {
    level: Level,
    shapes: Vec<Shape>,
    /// See [`Candidates::shared`].
    shared: Vec<u16>,
    /// The shape that came last, and what came last behind each: layouts often take turns.
    last: usize,
    follower: [u8; MAX_SHAPES],
    pub workspace: Workspace,
    /// Documents of each shape in this window.
    used: [u32; MAX_SHAPES],
    window: Window,
    /// Never compares anything.
    off: bool,
    counts: ShapeCounts,
}

impl ShapeBook {
    pub fn new(level: Level, on: bool) -> Self {
        Self {
            level,
            shapes: Vec::new(),
            shared: Vec::new(),
            last: 0,
            follower: [0; MAX_SHAPES],
            workspace: Workspace::default(),
            used: [0; MAX_SHAPES],
            window: Window::default(),
            off: !on,
            counts: ShapeCounts::default(),
        }
    }

    pub fn counts(&self) -> ShapeCounts {
        let mut counts = self.counts;
        counts.hits += self.window.hits();
        counts.misses += self.window.misses();
        counts
    }

    /// The shape that `buf[start..end]` has, the ends of its values in the workspace.
    #[inline]
    pub fn find(&mut self, buf: &[u8], start: usize, end: usize) -> Option<usize> {
        if self.window.is_over() {
            self.look_back();
        }
        if self.off {
            return None;
        }
        if self.window.passes() {
            self.counts.passed += 1;
            return None;
        }
        let candidates = Candidates {
            shapes: &self.shapes,
            shared: &self.shared,
            first: usize::from(self.follower[self.last]),
        };
        let workspace = &mut self.workspace;
        let found = dispatch!(
            self.level,
            find,
            (
                candidates: Candidates<'_>,
                workspace: &mut Workspace,
                buf: &[u8],
                start: usize,
                end: usize,
            ) -> Option<usize>
        );
        let Some(found) = found else {
            self.window.miss();
            return None;
        };
        self.follower[self.last] = found as u8;
        self.last = found;
        self.used[found] += 1;
        self.window.hit();
        Some(found)
    }

    /// The shape with that number; what [`Self::find`] gave holds until the next call of it or of
    /// [`Self::learn`].
    #[inline(always)]
    pub fn shape(&self, at: usize) -> &Shape {
        &self.shapes[at]
    }

    /// A document that had no shape: would the book learn its?
    #[inline]
    pub fn wants(&self, length: usize) -> bool {
        !self.window.is_asleep()
            && !self.off
            && self.shapes.len() < MAX_SHAPES
            && length <= MAX_LENGTH
    }

    /// Takes the shape of a document that missed; the documents of its layout will have it.
    #[cold]
    pub fn learn(&mut self, shape: Shape) {
        if !self.wants(0) {
            return;
        }
        self.counts.learned += 1;
        // The same but for the kinds of values that the plan does not ask for?
        match self.shapes.iter_mut().position(|known| known.widen(&shape)) {
            Some(at) => self.compare(at),
            None => {
                self.shapes.push(shape);
                self.compare(self.shapes.len() - 1);
            }
        }
    }

    /// Notes how much of a new or changed shape's head each other one has.
    fn compare(&mut self, at: usize) {
        self.shared.resize(MAX_SHAPES * MAX_SHAPES, 0);
        for (other, shape) in self.shapes.iter().enumerate() {
            let shared = self.shapes[at].shared(shape) as u16;
            self.shared[at * MAX_SHAPES + other] = shared;
            self.shared[other * MAX_SHAPES + at] = shared;
        }
    }

    /// At a window's end: goes on, makes room, or gives up.
    #[cold]
    fn look_back(&mut self) {
        let (hits, misses) = self.window.turn();
        self.counts.hits += hits;
        self.counts.misses += misses;
        let used = std::mem::replace(&mut self.used, [0; MAX_SHAPES]);
        if misses > hits {
            self.counts.given_up += 1;
            self.shapes.clear();
            self.workspace.layouts.clear();
            (self.last, self.follower) = (0, [0; MAX_SHAPES]);
            self.window.fall_asleep();
            return;
        }
        self.window.stay_awake();
        if misses > WINDOW / 16 && self.shapes.len() == MAX_SHAPES {
            let mut used = used.iter();
            self.shapes.retain(|_| used.next().is_some_and(|used| *used > 0));
            self.workspace.layouts.clear();
            (0..self.shapes.len()).for_each(|at| self.compare(at));
            (self.last, self.follower) = (0, [0; MAX_SHAPES]);
        }
    }
}
