//! The progress bar of a bulk job, and numbers as people read them.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::job::Tally;

/// Shows records, rate, bytes and the estimate; silent where standard error is no terminal.
pub(crate) struct Bar {
    bar: ProgressBar,
    started: Instant,
    known: bool,
}

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        let template = "{wide_bar} {human_pos}/{human_len} records  {msg}  ETA {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), known: false }
    }

    pub(crate) fn show(&mut self, tally: &Tally) {
        let Some((topic, partition, most)) = &tally.furthest else { return };
        if !self.known {
            self.known = true;
            self.started = Instant::now();
            self.bar.reset_eta();
        }
        self.bar.set_length(tally.records_in + tally.lag);
        self.bar.set_position(tally.records_in);
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let lag = grouped(*most);
        let trouble = tally.trouble.as_ref().map_or(String::new(), |text| format!("  [{text}]"));
        self.bar.set_message(format!(
            "{}/s  {} ({}/s)  lag {topic}-{partition}: {lag}{trouble}",
            grouped((tally.records_in as f64 / seconds) as u64),
            bytes(tally.bytes_in),
            bytes((tally.bytes_in as f64 / seconds) as u64),
        ));
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// With a unit of 1024s.
pub(crate) fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1_572_864), "1.5 MiB");
    }
}
