//! What a group that can't be joined says to the one who runs the worker: the JVM's words, and what
//! to do.

use millrace_kafka::KafkaError;

/// The message of an error after which the membership ends.
pub(super) fn fatal(group: &str, error: &KafkaError) -> String {
    match error.name() {
        "INCONSISTENT_GROUP_PROTOCOL" => format!(
            "The group member's supported protocols are incompatible with those of existing members \
             or first group member tried to join with empty protocol type or empty protocol list. \
             The members of group '{group}' are no Connect workers, or share no connect.protocol \
             with this one: choose another group.id or another connect.protocol"
        ),
        "GROUP_AUTHORIZATION_FAILED" => format!(
            "Not authorized to access group: {group}. Grant this worker's principal READ on the group"
        ),
        "GROUP_MAX_SIZE_REACHED" => format!(
            "Consumer group {group} already has the configured maximum number of members. Raise the \
             broker's group.max.size or stop a worker"
        ),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_what_to_change() {
        let text = |code| fatal("g", &KafkaError::from_code(code, "JoinGroup", "group 'g'"));
        assert!(text(23).contains("choose another group.id"), "{}", text(23));
        assert!(text(30).starts_with("Not authorized to access group: g."), "{}", text(30));
        assert!(text(26).contains("group.min.session.timeout.ms"), "{}", text(26));
    }
}
