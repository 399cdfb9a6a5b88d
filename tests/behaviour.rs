//! Behaviour by capability, against the real systems: one binary, so that they start once.
//!
//! - `export`: the bulk job: everything is delivered, once, and goes on after a crash.
//! - `faults`: wrong configuration, absent peers, full disks, bad records.
//! - `tasks`: several tasks of one connector, paused and resumed.
//! - `readme`: the commands that the README and the examples show.

#[path = "rig/mod.rs"]
#[expect(dead_code, reason = "the measurements use the rest of the rig")]
mod rig;

#[path = "export/mod.rs"]
mod export;
#[path = "faults/mod.rs"]
mod faults;
#[path = "readme/mod.rs"]
mod readme;
#[path = "tasks/mod.rs"]
mod tasks;
