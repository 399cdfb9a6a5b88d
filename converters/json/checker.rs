//! Checks the documents of a topic, which mostly share their layout.

use super::isa::Level;
use super::scan::{Checked, JsonError, Kind, check_at};
use super::shape_book::{ShapeBook, ShapeCounts};
use super::shape_learn::learn;

/// [`check_at`] with learned shapes before it: the same answer, sooner. One instance a task and side
/// of a record; bounded memory (a few shapes of some KiB).
pub struct Checker {
    level: Level,
    book: ShapeBook,
}

impl Checker {
    /// For the best set of instructions that this machine has.
    pub fn new() -> Self {
        Self::at(Level::detect())
    }

    /// For a given set of instructions.
    pub fn at(level: Level) -> Self {
        Self { level, book: ShapeBook::new(level, true) }
    }

    /// How often documents had a learned shape.
    pub fn shape_counts(&self) -> ShapeCounts {
        self.book.counts()
    }

    /// Checks that `buf[start..end]` is exactly one JSON document.
    ///
    /// # Errors
    /// Where and why it is not.
    ///
    /// # Panics
    /// If `start..end` is not a range of `buf`.
    #[inline]
    pub fn check(&mut self, buf: &[u8], start: usize, end: usize) -> Result<Checked, JsonError> {
        if let Some(at) = self.book.find(buf, start, end) {
            let shape = self.book.shape(at);
            let (start, end) = (start + shape.lead, end - shape.trail);
            return Ok(Checked { start, end, kind: Kind::Object });
        }
        self.check_all(buf, start, end)
    }

    #[inline(never)]
    fn check_all(&mut self, buf: &[u8], start: usize, end: usize) -> Result<Checked, JsonError> {
        let checked = check_at(self.level, buf, start, end)?;
        if checked.kind == Kind::Object
            && self.book.wants(end - start)
            && let Some(shape) = learn(&buf[start..end], |_| false)
        {
            self.book.learn(shape);
        }
        Ok(checked)
    }
}

impl Default for Checker {
    fn default() -> Self {
        Self::new()
    }
}
