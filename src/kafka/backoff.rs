//! Waits that grow from trial to trial, with chance in them so that clients don't march in step.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Doubles from `first` to `most`, each wait 20 % up or down by chance, as Java's clients do.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
    chance: u64,
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Self {
        // Any seed does that differs between clients; the address of a local and the clock do.
        let seed = std::ptr::from_ref(&first) as u64 ^ u64::from(std::process::id());
        let clock = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.subsec_nanos());
        Self { first, most: most.max(first), failures: 0, chance: (seed ^ u64::from(clock)) | 1 }
    }

    /// The wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.first.saturating_mul(1 << self.failures.min(20)).min(self.most);
        self.failures = self.failures.saturating_add(1);
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        wait.mul_f64(0.8 + 0.4 * (self.chance % 1024) as f64 / 1024.0)
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// When something that comes again each interval comes for the first time: after half of it to all of
/// it, by the hash of who it is, so that those that start together do not all come at once, again and
/// again.
pub fn spread(who: &impl Hash, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    who.hash(&mut hasher);
    interval / 2 + (interval / 2).mul_f64((hasher.finish() >> 32) as f64 / (1_u64 << 32) as f64)
}

/// A time from which on something may be tried again.
#[derive(Clone, Debug)]
pub struct RetryAt {
    backoff: Backoff,
    at: Option<Instant>,
}

impl RetryAt {
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { backoff: Backoff::new(first, most), at: None }
    }

    pub fn failed(&mut self) {
        self.at = Some(Instant::now() + self.backoff.next_wait());
    }

    pub fn succeeded(&mut self) {
        self.backoff.reset();
        self.at = None;
    }

    /// How long to wait yet; zero if it may be tried.
    pub fn remaining(&self) -> Duration {
        self.at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    //! Growth and bounds.
    use super::*;

    #[test]
    fn those_that_start_together_come_at_their_own_moments() {
        let interval = Duration::from_secs(60);
        let mut tenths = [0; 10];
        for task in 0..1000 {
            let who = ("c", task);
            let first = spread(&who, interval);
            assert_eq!(first, spread(&who, interval));
            let late = first.checked_sub(interval / 2).expect("half of it");
            tenths[late.as_secs() as usize / 3] += 1;
        }
        assert!(tenths.iter().all(|tasks| (60..140).contains(tasks)), "{tenths:?}");
    }

    #[test]
    fn waits_double_within_bounds() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(1000));
        for expected in [100u64, 200, 400, 800, 1000, 1000] {
            let wait = backoff.next_wait().as_millis() as u64;
            assert!((expected * 8 / 10..=expected * 12 / 10).contains(&wait), "{wait}");
        }
        for _ in 0..100 {
            backoff.next_wait();
        }
        assert!(backoff.next_wait() <= Duration::from_millis(1200));
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(120));
    }
}
