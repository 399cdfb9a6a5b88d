//! How long a sink task may wait when nothing comes.
//!
//! A task that has nothing to do is woken by what comes, by its group and by its core; no timer looks
//! whether there is something. While the sink holds what is not durable, or while there is trouble, it
//! is looked at now and then, more and more seldom.

use std::time::Duration;

use crate::control::{HEARING, RESTING};

/// The longest wait between two looks at a sink that holds what is not durable: so much later than
/// told a file may be rotated when nothing comes.
const SELDOM: Duration = Duration::from_secs(1);

/// What a task knows of its being idle.
#[derive(Debug)]
pub(crate) struct Rest {
    /// All that was put is durable, committed and reported: nothing is to be looked at.
    resting: bool,
    /// Something happened since the last report.
    unreported: bool,
    /// Polls in a row that brought nothing.
    empty_polls: u32,
}

impl Rest {
    pub(crate) fn new() -> Self {
        Self { resting: false, unreported: true, empty_polls: 0 }
    }

    /// Something came, or has changed.
    pub(crate) fn stir(&mut self) {
        *self = Self::new();
    }

    /// Offsets were committed: that is to be reported, by and by.
    pub(crate) fn committed(&mut self) {
        self.unreported = true;
    }

    pub(crate) fn reported(&mut self) {
        self.unreported = false;
    }

    /// A poll brought nothing; `looked_at`: something other than what comes is waited for.
    pub(crate) fn nothing_came(&mut self, looked_at: bool) {
        self.resting = !looked_at && !self.unreported;
        self.empty_polls = self.empty_polls.saturating_add(1);
    }

    /// The longest that the next poll may wait.
    pub(crate) fn longest_wait(&self) -> Duration {
        match self.resting {
            true => RESTING,
            false => (HEARING * (1 << self.empty_polls.min(4))).min(SELDOM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_grow_seldom_and_end_when_all_is_done_and_told() {
        let mut rest = Rest::new();
        let mut waits = Vec::new();
        for _ in 0..6 {
            waits.push(rest.longest_wait().as_millis());
            rest.nothing_came(true);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        rest.nothing_came(false);
        assert_eq!(rest.longest_wait(), SELDOM, "it is not reported yet");
        rest.reported();
        rest.nothing_came(false);
        assert_eq!(rest.longest_wait(), RESTING);
        rest.committed();
        rest.nothing_came(false);
        assert_eq!(rest.longest_wait(), SELDOM);
        rest.stir();
        assert_eq!(rest.longest_wait(), HEARING);
    }
}
