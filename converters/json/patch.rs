//! A chain of simple transforms over schemaless JSON as one validating pass.

/// One operation on the top-level members of a JSON object, in the words of Kafka Connect's
/// transforms; a list of them is carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonOp {
    /// InsertField: set the member, in place if it is there, else at the end.
    Insert { name: String, what: Inserted },
    /// MaskField: each named member is replaced by its type's empty value or by the replacement;
    /// null stays null; a member that is absent is added as null.
    Mask { names: Vec<String>, replacement: Option<String> },
    /// ReplaceField: drop what is excluded or not included (`include` empty: all), then rename.
    Replace { include: Vec<String>, exclude: Vec<String>, renames: Vec<(String, String)> },
}

/// What InsertField puts in.
#[derive(Clone, Debug, PartialEq)]
pub enum Inserted {
    /// A string.
    Static(String),
    Topic,
    Partition,
    /// Milliseconds; skipped when the record has none.
    Timestamp,
    Offset,
}
