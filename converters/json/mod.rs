//! JSON: checking, parsing, patching and writing, and `JsonConverter`.

pub mod patch;
