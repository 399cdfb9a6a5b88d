//! What a sink task needs while it works on a batch, and only then: lent by its core, so that a
//! thousand tasks that wait hold none of it.

use std::cell::RefCell;

use millrace_api::record::Record;
use millrace_converters::Arena;

use crate::sink_batch::recycle;

/// Kept for the next batches; a task that holds its batch because the sink is away keeps its own.
const KEPT: usize = 4;

thread_local! {
    static KEPT_HERE: RefCell<Vec<Workspace>> = const { RefCell::new(Vec::new()) };
}

/// An arena and a list of records, both empty, with the memory that earlier batches needed.
#[derive(Default)]
pub(crate) struct Workspace {
    pub arena: Arena,
    pub records: Vec<Record<'static>>,
}

impl Workspace {
    pub fn take() -> Self {
        KEPT_HERE.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    /// Empties it and keeps it for the next batch of any task of this core.
    pub fn give_back(mut self) {
        self.arena.reset();
        self.records = recycle(self.records);
        KEPT_HERE.with_borrow_mut(|kept| {
            if kept.len() < KEPT {
                kept.push(self);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_one_batch_is_the_next_ones() {
        let mut workspace = Workspace::take();
        workspace.records.reserve(100);
        workspace.arena.alloc_bytes(&[7; 10_000]);
        let (records, arena) = (workspace.records.capacity(), workspace.arena.allocated_bytes());
        workspace.give_back();
        let workspace = Workspace::take();
        assert_eq!(workspace.records.capacity(), records);
        assert_eq!(workspace.arena.allocated_bytes(), arena);
        assert_eq!(Workspace::take().arena.allocated_bytes(), 0, "it was taken");
    }
}
