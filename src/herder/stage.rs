//! What a herder is doing, for those who wait for it: which step, since when.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The herder's present or last step. Cheap to set; read seldom.
#[derive(Default)]
pub struct Stage(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    ready: bool,
    what: Option<(String, SystemTime, Option<SystemTime>)>,
}

impl Stage {
    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A step begins, and ends the one before.
    pub fn begin(&self, what: impl Into<String>) {
        let what = what.into();
        self.with(|inner| inner.what = Some((what, SystemTime::now(), None)));
    }

    /// The present step has ended and nothing follows it yet.
    pub fn end(&self) {
        self.with(|inner| {
            if let Some((_, _, ended @ None)) = &mut inner.what {
                *ended = Some(SystemTime::now());
            }
        });
    }

    /// The worker's start is complete.
    pub fn ready(&self) {
        self.with(|inner| inner.ready = true);
    }

    /// Until then `/health` answers 503, "starting".
    pub fn is_ready(&self) -> bool {
        self.with(|inner| inner.ready)
    }

    /// The JVM's sentence about it; `None` before the first step.
    pub fn summary(&self) -> Option<String> {
        self.with(|inner| {
            let (what, began, ended) = inner.what.as_ref()?;
            let began = instant(*began);
            Some(match ended {
                None => format!("The worker is currently {what}, which began at {began}."),
                Some(ended) => format!(
                    "The last operation the worker completed was {what}, which began at {began} and \
                     completed at {}.",
                    instant(*ended)
                ),
            })
        })
    }
}

/// Java's `Instant.toString`, to the millisecond.
fn instant(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: eras of 400 years that begin
/// in March, so that the leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn instants_are_javas() {
        let at = |millis| instant(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_868_800_007), "2000-03-01T00:00:00.007Z");
        assert_eq!(at(1_700_000_000_000), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn the_sentence_tells_the_step_and_whether_it_is_over() {
        let stage = Stage::default();
        assert_eq!(stage.summary(), None);
        stage.begin("reading to the end of the config topic");
        let now = stage.summary().unwrap();
        assert!(now.starts_with("The worker is currently reading to the end of the config topic,"));
        stage.end();
        assert!(stage.summary().unwrap().contains(" and completed at "));
        assert!(!stage.is_ready());
    }
}
