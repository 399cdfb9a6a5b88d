//! Records due at fixed times, whether or not the side measured keeps up.
//!
//! A closed loop waits for a slow side and so leaves out the records that would have met the stall
//! ("coordinated omission"). Here each record has a due time that is fixed before the run; it is
//! the record's timestamp, and latency counts from it, even when the record could leave only later.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millrace_kafka::KafkaError;
use millrace_kafka::producer::Producer;
use millrace_net::rt;

use super::clients::{Filled, Filling, append, now_ms};

/// The time between the decision to begin and the first record, in ms.
const LEAD: i64 = 50;

/// Which record is due when. Kafka's timestamps are in ms, so due times are too: at more than 1,000
/// records a second several are due in the same one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// Of the first record, ms since 1970.
    pub begin: i64,
    /// Records a second.
    pub rate: f64,
}

impl Schedule {
    /// When record `number` is due, ms since 1970.
    pub(super) fn due(self, number: u64) -> i64 {
        self.begin + (number as f64 * 1000.0 / self.rate) as i64
    }
}

/// Produces at fixed times. What is late leaves at once, with the time at which it was due.
pub(super) async fn at_rate(
    producer: &Producer,
    filling: &Filling,
    rate: f64,
    done: &AtomicU64,
    stop: &AtomicBool,
) -> Result<Filled, KafkaError> {
    let schedule = Schedule { begin: now_ms() + LEAD, rate };
    let mut filled = Filled { begun: schedule.begin, ..Filled::default() };
    let mut value = Vec::new();
    for at in 0..filling.records {
        let due = schedule.due(at);
        if now_ms() < due {
            wait_until(due).await;
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        value.clear();
        filling.maker.write(filling.first + at, due, &mut value);
        append(producer, filling, at, due, &value).await?;
        filled.late = filled.late.max(now_ms() - due);
        filled.records += 1;
        filled.bytes += value.len() as u64;
        done.store(filled.records, Ordering::Relaxed);
    }
    Ok(filled)
}

/// Waits for a time of the wall clock, in ms since 1970.
async fn wait_until(due: i64) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let left = Duration::from_millis(due.max(0) as u64).saturating_sub(now.unwrap_or_default());
    rt::sleep(left).await;
}

#[cfg(test)]
mod tests {
    use super::super::latency::{Delivery, Latency};
    use super::*;

    #[test]
    fn due_times_are_fixed_by_the_rate_alone() {
        let due = |rate: f64, number| Schedule { begin: 1_000, rate }.due(number);
        assert_eq!((due(1000.0, 0), due(1000.0, 1), due(1000.0, 2_500)), (1_000, 1_001, 3_500));
        assert_eq!((due(300.0, 1), due(300.0, 3), due(300.0, 300)), (1_003, 1_010, 2_000));
        assert_eq!((due(5000.0, 4), due(5000.0, 5)), (1_000, 1_001));
        assert_eq!(due(0.5, 2), 5_000);
    }

    /// A consumer that takes 100 µs a record and stands still once for a second, in simulated time:
    /// what it delivers when, given when each record reached it. All in µs.
    fn delivered(arrivals: impl Iterator<Item = i64>) -> Vec<i64> {
        let (took, stall_from, stall) = (100, 5_000_000, 1_000_000);
        let mut free = 0;
        arrivals
            .map(|arrival| {
                let mut start = arrival.max(free);
                if (stall_from..stall_from + stall).contains(&start) {
                    start = stall_from + stall;
                }
                free = start + took;
                free
            })
            .collect()
    }

    /// The same stalled consumer behind a closed loop, which sends the next record only when the one
    /// before was delivered, and behind the schedule.
    #[test]
    fn a_stall_shows_in_the_open_loop_and_hides_in_a_closed_one() {
        let schedule = Schedule { begin: 0, rate: 1000.0 };
        let count = 10_000;
        let open: Vec<i64> = (0..count).map(|number| schedule.due(number) * 1000).collect();
        let corrected: Vec<Delivery> = open
            .iter()
            .zip(delivered(open.iter().copied()))
            .map(|(due, at)| Delivery { due: *due, at })
            .collect();
        let corrected = Latency::of(&corrected, 0).unwrap().whole;

        // A closed loop at the same pace: the next leaves a ms later, or when the last is back.
        let mut closed = Vec::new();
        let mut sent = 0;
        for _ in 0..count {
            let at = *closed_end(sent).last().unwrap();
            closed.push(Delivery { due: sent, at });
            sent = at.max(sent + 1000);
        }
        let hidden = Latency::of(&closed, 0).unwrap().whole;

        // The stall met a tenth of what was due: a thousand records waited half a second on average.
        assert_eq!(hidden.max(), corrected.max());
        assert!(hidden.value_at_quantile(0.999) <= 101, "the closed loop saw more than one stall");
        let p95 = corrected.value_at_quantile(0.95);
        assert!((400_000..700_000).contains(&p95), "{p95}");
        let waited = corrected.count_between(1_000, 2_000_000);
        assert!((1_000..1_200).contains(&waited), "{waited}");
    }

    fn closed_end(sent: i64) -> Vec<i64> {
        delivered(std::iter::once(sent))
    }
}
