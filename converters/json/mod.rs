//! JSON: checking, parsing, patching and writing, and `JsonConverter`.

mod blocks;
mod checker;
mod converter;
mod flatten;
pub(crate) mod isa;
pub mod members;
mod parse;
pub mod patch;
mod patch_compile;
mod patch_emit;
mod patch_pass;
mod patch_shapes;
pub mod patches;
mod scalars;
mod scan;
mod schema;
mod shape;
mod shape_book;
mod shape_layout;
mod shape_learn;
mod shape_match;
mod shape_window;
pub mod sought;
pub mod text;
mod typed;
mod typed_plan;
mod typed_quick;
pub mod write;

pub use checker::Checker;
pub use converter::{JsonConverter, JsonConverterConfig};
pub use isa::Level;
pub(crate) use isa::{BASELINE, Baseline, Isa, ascii_text, plain_text};
pub(crate) use parse::{Reader, last_wins};
pub use parse::{find_path, parse, parse_checked, parse_text};
pub(crate) use scalars::node_type;
pub use scan::{Checked, JsonError, Kind, MAX_DEPTH, check, check_at};
pub use shape_book::ShapeCounts;
pub(crate) use typed_plan::Literal;
pub(crate) use typed_quick::integer;
pub(crate) use write::write_decimal;
pub use write::{DecimalFormat, WriteOptions, write_value};

use crate::converter::DataError;
use crate::json_text::JsonText;

/// The document that stands for Connect's null.
pub(crate) fn empty_text<'a>() -> JsonText<'a> {
    JsonText::verbatim(b"null")
}

/// What `JsonConverter` says of bytes that are not JSON, and where they are not.
#[cold]
pub(crate) fn serialization_error(error: JsonError) -> DataError {
    DataError::new(format!(
        "Converting byte[] to Kafka Connect data failed due to serialization error: {error}"
    ))
}

#[cfg(test)]
pub(crate) mod jvm_text;
#[cfg(test)]
mod scan_tests;
#[cfg(test)]
mod shape_tests;
#[cfg(test)]
mod typed_tests;
