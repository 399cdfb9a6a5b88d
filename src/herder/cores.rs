//! `millrace.cores`: which CPUs the data plane takes.
//!
//! A single number is a count (`4`); a list or range names CPUs (`0,2-5`; `3,` is CPU 3 alone).
//! Without the key: all CPUs that the process may use but one, which is left to the control plane; at
//! least one.

/// A [`millrace_api::config_def::Validator::Custom`] check.
pub fn check(text: &str) -> Result<(), String> {
    let wanted = if text.contains([',', '-']) {
        list(text).map(|cpus| cpus.len())
    } else {
        text.parse().ok()
    };
    match wanted {
        Some(count) if count > 0 => Ok(()),
        _ => Err("must be a count such as 4, or CPUs such as 0,2-5".to_owned()),
    }
}

/// The CPUs for a checked value; CPUs that the process may not use are left out.
pub fn choose(text: Option<&str>) -> Vec<usize> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let allowed = allowed.and_then(|cpus| list(cpus.trim())).unwrap_or_default();
    let quota = std::thread::available_parallelism().map_or(1, usize::from);
    pick(text, &allowed, quota)
}

fn pick(text: Option<&str>, allowed: &[usize], quota: usize) -> Vec<usize> {
    let all = if allowed.is_empty() { (0..quota).collect() } else { allowed.to_vec() };
    let chosen: Vec<usize> = match text {
        Some(text) if text.contains([',', '-']) => {
            list(text).unwrap_or_default().into_iter().filter(|cpu| all.contains(cpu)).collect()
        }
        Some(count) => all.iter().copied().take(count.parse().unwrap_or(1)).collect(),
        None => {
            let count = quota.min(all.len()).saturating_sub(1);
            // The first CPU takes most interrupts: it is the one to leave out.
            all.iter().copied().skip(1).take(count).collect()
        }
    };
    if chosen.is_empty() { all.into_iter().take(1).collect() } else { chosen }
}

fn list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
        if from > to || to > 4095 {
            return None;
        }
        cpus.extend(from..=to);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lists_and_the_default() {
        let eight: Vec<usize> = (0..8).collect();
        assert_eq!(pick(None, &eight, 8), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(pick(None, &eight, 3), [1, 2]);
        assert_eq!(pick(None, &[5], 1), [5]);
        assert_eq!(pick(Some("2"), &eight, 8), [0, 1]);
        assert_eq!(pick(Some("0,2-3"), &eight, 8), [0, 2, 3]);
        assert_eq!(pick(Some("3,"), &eight, 8), [3]);
        assert_eq!(pick(Some("90,"), &eight, 8), [0]);
        for wrong in ["", "0", "x", "3-1", "1,x", "0-99999999999"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        assert!(check("1").is_ok() && check("3,").is_ok() && check("0-3").is_ok());
    }
}
