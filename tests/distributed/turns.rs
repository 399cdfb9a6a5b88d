//! The JVM's workers and ours over the same topics: one after the other, and side by side.

use super::worker::{
    append, ask, create, files, sink, source, start, wait_for_lines, wait_for_state,
};
use crate::rig::distributed::Kind;

/// FileStream source and sink on a JVM worker; ours joins, both share; the JVM's stops, ours has all;
/// a JVM's comes back, ours stops. Each line arrives once: all go in an orderly way.
#[test]
fn a_jvm_clusters_connectors_go_on_here_and_there_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (input, output) = files(dir.path());
    let (topic, group) = ("turns-lines", "turns");
    let jvm = || start(Kind::Jvm, dir.path(), group);
    let first = jvm();
    append(&input, 0..5);
    create(first.port, "src", source(&input, topic));
    create(first.port, "snk", sink(&output, topic));
    wait_for_lines(&output, 5);

    // Beside it: the JVM leads, ours asks it.
    let ours = start(Kind::Ours, dir.path(), group);
    let both = [ours.id(), first.id()];
    let changed = sink(&output, topic).to_string();
    ask(ours.port, "PUT", "/connectors/snk/config", &changed, 200);
    for name in ["src", "snk"] {
        wait_for_state(ours.port, name, 1, "RUNNING", &both);
    }
    append(&input, 5..8);
    wait_for_lines(&output, 8);

    // Alone, as the leader.
    first.stop();
    for name in ["src", "snk"] {
        wait_for_state(ours.port, name, 1, "RUNNING", &[ours.id()]);
    }
    append(&input, 8..12);
    wait_for_lines(&output, 12);

    // The other way: the JVM's joins ours, and goes on alone.
    let second = jvm();
    let both = [ours.id(), second.id()];
    ask(second.port, "PUT", "/connectors/snk/config", &changed, 200);
    for name in ["src", "snk"] {
        wait_for_state(second.port, name, 1, "RUNNING", &both);
    }
    append(&input, 12..15);
    wait_for_lines(&output, 15);
    ours.stop();
    for name in ["src", "snk"] {
        wait_for_state(second.port, name, 1, "RUNNING", &[second.id()]);
    }
    append(&input, 15..18);
    wait_for_lines(&output, 18);
}
