//! What a task may cost its core and the worker: `millrace.task.max.block.ms` and
//! `millrace.task.memory.bytes`. 0 takes a bound away.

/// Shorter holds are everybody's: a large batch, a busy machine.
const LEAST_BLOCK: i64 = 100;

/// Less than a task's fetched batch and its first buffers is no use to anybody.
const LEAST_MEMORY: i64 = 16 << 20;

fn check(text: &str, least: i64) -> Result<(), String> {
    match text.parse::<i64>() {
        Ok(number) if number == 0 || number >= least => Ok(()),
        // What is no number has been refused as such.
        Err(_) => Ok(()),
        Ok(_) => Err(format!("must be 0 (no bound) or at least {least}")),
    }
}

/// A [`millrace_api::config_def::Validator::Custom`] check.
pub(crate) fn check_block(text: &str) -> Result<(), String> {
    check(text, LEAST_BLOCK)
}

/// As [`check_block`].
pub(crate) fn check_memory(text: &str) -> Result<(), String> {
    check(text, LEAST_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_or_a_bound_that_can_be_kept() {
        for good in ["0", "100", "30000"] {
            assert!(check_block(good).is_ok(), "{good}");
        }
        for bad in ["-1", "1", "99"] {
            assert!(check_block(bad).unwrap_err().contains("at least 100"), "{bad}");
        }
        assert!(check_memory("16777216").is_ok() && check_memory("0").is_ok());
        assert!(check_memory("16777215").is_err() && check_memory("-1").is_err());
    }
}
