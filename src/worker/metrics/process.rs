//! What the kernel counts of this process and of its threads. Read by whoever answers for the
//! worker, never by a core.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Figures of `/proc/self`; what cannot be read is zero or absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    pub cpu: Duration,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub open_files: u64,
    /// Seconds since 1970.
    pub started: f64,
    /// CPU time by the thread's name; threads of one name together. Cores are `core-<CPU>`.
    pub threads: BTreeMap<String, Duration>,
}

/// The kernel's clock tick for `/proc`, the same on every Linux that this runs on.
const TICKS: u64 = 100;

impl ProcessFigures {
    /// Some dozen small reads, a fraction of a millisecond.
    pub fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let system = fs::read_to_string("/proc/stat").unwrap_or_default();
        let files = fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64);
        Self { open_files: files, threads: threads(), ..Self::parse(&stat, &system) }
    }

    fn parse(stat: &str, system: &str) -> Self {
        // The command's name may hold anything, so that fields count from its closing bracket.
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(|field| field.parse().unwrap_or(0))
            .collect();
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
        let boot = system.lines().find_map(|line| line.strip_prefix("btime "));
        let boot: f64 = boot.and_then(|text| text.trim().parse().ok()).unwrap_or(0.0);
        Self {
            cpu: Duration::from_millis((field(14) + field(15)) * 1000 / TICKS),
            virtual_bytes: field(23),
            resident_bytes: field(24) * 4096,
            started: boot + field(22) as f64 / TICKS as f64,
            ..Self::default()
        }
    }
}

fn threads() -> BTreeMap<String, Duration> {
    let mut all: BTreeMap<String, Duration> = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
        // Nanoseconds on a CPU, then what is waited for.
        let used = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        let used = used.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
        *all.entry(name.trim().to_owned()).or_default() += Duration::from_nanos(used);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read_behind_the_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 10 0 0 0 150 50 0 0 20 0 5 0 300 8192 2 99";
        let figures = ProcessFigures::parse(stat, "cpu 1\nbtime 1700000000\n");
        assert_eq!(figures.cpu, Duration::from_secs(2));
        assert_eq!((figures.virtual_bytes, figures.resident_bytes), (8192, 8192));
        assert_eq!(figures.started, 1_700_000_003.0);
        assert_eq!(ProcessFigures::parse("", ""), ProcessFigures::default());
    }

    #[test]
    fn this_process_has_figures() {
        let figures = ProcessFigures::read();
        assert!(figures.resident_bytes > 100_000 && figures.open_files > 0, "{figures:?}");
        assert!(!figures.threads.is_empty());
    }
}
