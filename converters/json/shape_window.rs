//! How well learned things do: a window of documents, and the sleep after one that did badly.

/// Documents between two looks back.
pub(super) const WINDOW: u64 = 256;

/// Documents that a sleep lets pass, at first and at most.
pub(super) const FIRST_SLEEP: u64 = 16 * WINDOW;
const LONGEST_SLEEP: u64 = 4096 * WINDOW;

/// Counts hits and misses, and sleeps when told to: longer each time, until a window did well.
#[derive(Debug)]
pub(super) struct Window {
    hits: u64,
    misses: u64,
    /// Documents to let pass before the next try.
    sleep: u64,
    next_sleep: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { hits: 0, misses: 0, sleep: 0, next_sleep: FIRST_SLEEP }
    }
}

impl Window {
    #[inline(always)]
    pub fn hit(&mut self) {
        self.hits += 1;
    }

    #[inline(always)]
    pub fn miss(&mut self) {
        self.misses += 1;
    }

    pub fn hits(&self) -> u64 {
        self.hits
    }

    pub fn misses(&self) -> u64 {
        self.misses
    }

    #[inline(always)]
    pub fn is_over(&self) -> bool {
        self.hits + self.misses >= WINDOW
    }

    #[inline(always)]
    pub fn is_asleep(&self) -> bool {
        self.sleep > 0
    }

    /// A document comes by: true if it is slept through.
    #[inline(always)]
    pub fn passes(&mut self) -> bool {
        let asleep = self.is_asleep();
        self.sleep -= u64::from(asleep);
        asleep
    }

    /// Begins anew: hits and misses of the window that is over.
    pub fn turn(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.hits), std::mem::take(&mut self.misses))
    }

    /// The window did badly.
    pub fn fall_asleep(&mut self) {
        self.sleep = self.next_sleep;
        self.next_sleep = (self.next_sleep * 2).min(LONGEST_SLEEP);
    }

    /// It did well: the next sleep is a short one.
    pub fn stay_awake(&mut self) {
        self.next_sleep = FIRST_SLEEP;
    }

    /// Sleeps for good.
    #[cfg(test)]
    pub fn never_wake(&mut self) {
        self.sleep = u64::MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents that are slept through until the next try.
    fn slept(window: &mut Window) -> u64 {
        std::iter::from_fn(|| window.passes().then_some(())).count() as u64
    }

    #[test]
    fn sleeps_grow_to_a_limit_until_a_window_did_well() {
        let mut window = Window::default();
        assert_eq!(slept(&mut window), 0);
        let mut sleeps = (0..12).map(|_| {
            window.fall_asleep();
            slept(&mut window)
        });
        let doubled = (0..9).map(|times| FIRST_SLEEP << times);
        assert!(sleeps.by_ref().take(9).eq(doubled.clone()));
        assert!(sleeps.all(|sleep| sleep == LONGEST_SLEEP) && doubled.max() == Some(LONGEST_SLEEP));
        window.stay_awake();
        window.fall_asleep();
        assert_eq!(slept(&mut window), FIRST_SLEEP);
    }

    #[test]
    fn a_window_is_over_after_its_documents() {
        let mut window = Window::default();
        for at in 0..WINDOW {
            assert!(!window.is_over());
            if at % 4 == 0 { window.hit() } else { window.miss() }
        }
        assert!(window.is_over());
        assert_eq!(window.turn(), (WINDOW / 4, WINDOW / 4 * 3));
        assert!(!window.is_over() && window.turn() == (0, 0));
    }
}
