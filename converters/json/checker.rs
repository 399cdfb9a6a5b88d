//! Checks the documents of a topic, which mostly share their layout.

use std::rc::Rc;

use super::isa::Level;
use super::scan::{Checked, JsonError, Kind, check_at};
use super::shape_book::{ShapeBook, ShapeCounts};
use super::shape_learn::learn;
use super::sought::Sought;
use crate::arena::Arena;
use crate::json_text::JsonText;

/// [`check_at`] with learned shapes before it: the same answer, sooner. One instance a task and side
/// of a record; bounded memory (a few shapes of some KiB).
pub struct Checker {
    level: Level,
    book: ShapeBook,
    sought: Option<Rc<Sought>>,
}

impl Checker {
    /// For the best set of instructions that this machine has.
    pub fn new() -> Self {
        Self::at(Level::detect())
    }

    /// For a given set of instructions.
    pub fn at(level: Level) -> Self {
        Self { level, book: ShapeBook::new(level, true), sought: None }
    }

    /// Texts of documents with a learned shape will tell where that stands which is sought.
    pub fn seeking(mut self, sought: Option<Rc<Sought>>) -> Self {
        self.sought = sought;
        self
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

    /// The document's text, checked; `None` for null and for nothing but white space.
    ///
    /// # Errors
    /// As [`Checker::check`], and so are its panics.
    #[inline]
    pub fn text<'a>(
        &mut self,
        buf: &'a [u8],
        start: usize,
        end: usize,
        arena: &'a Arena,
    ) -> Result<Option<&'a JsonText<'a>>, JsonError> {
        if let Some(at) = self.book.find(buf, start, end) {
            let shape = self.book.shape(at);
            let src = &buf[start + shape.lead..end - shape.trail];
            let sights = shape.sights.as_ref();
            let ends = self.book.workspace.ends.as_slice();
            let noted = sights.and_then(|sights| sights.of(src, shape.lead, ends, arena));
            let noted = noted.map(|noted| arena.alloc(noted));
            return Ok(Some(arena.alloc_with(|| JsonText { src, edits: &[], noted })));
        }
        let checked = self.check_all(buf, start, end)?;
        Ok(match checked.kind {
            Kind::Null | Kind::Empty => None,
            _ => Some(arena.alloc(JsonText::verbatim(&buf[checked.start..checked.end]))),
        })
    }

    #[inline(never)]
    fn check_all(&mut self, buf: &[u8], start: usize, end: usize) -> Result<Checked, JsonError> {
        let checked = check_at(self.level, buf, start, end)?;
        if checked.kind == Kind::Object
            && self.book.wants(end - start)
            && let Some(mut shape) = learn(&buf[start..end], |_| false)
        {
            let sought = self.sought.as_ref();
            shape.sights = sought.and_then(|sought| sought.learn(&buf[start..end], &shape));
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
