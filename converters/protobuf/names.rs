//! The words that `ProtobufData` writes into schemas, and how names change on the way.

use crate::charset::Charset;

/// Where an enum's name and, behind a dot, its symbols stand among a schema's parameters.
pub(super) const ENUM: &str = "io.confluent.connect.protobuf.Enum";
pub(super) const UNION: &str = "io.confluent.connect.protobuf.Union";
/// The number of a field.
pub(super) const TAG: &str = "io.confluent.connect.protobuf.Tag";
/// The scalar type, where Connect's type does not tell it.
pub(super) const TYPE: &str = "io.confluent.connect.protobuf.Type";
/// A member of a oneof that was a wrapper.
pub(super) const WRAPPER: &str = "io.confluent.connect.protobuf.Wrapper";
pub(super) const GENERALIZED_UNION: &str = "org.apache.kafka.connect.data.Union";
pub(super) const GENERALIZED_ENUM: &str = "org.apache.kafka.connect.data.Enum";
pub(super) const VARIANT: &str = "org.apache.kafka.connect.data.Variant";
/// The name of what has none, with a number behind it.
pub(super) const CONNECT_DEFAULT: &str = "ConnectDefault";

/// A decimal's parameters in Connect and in `(confluent.field_meta)`.
pub(super) const CONNECT_PRECISION: &str = "connect.decimal.precision";
pub(super) const PRECISION: &str = "precision";
pub(super) const SCALE: &str = "scale";
/// Where `(confluent.field_meta)` says that an `int32` is an INT8 or INT16.
pub(super) const CONNECT_TYPE: &str = "connect.type";
pub(super) const INT8: &str = "int8";
pub(super) const INT16: &str = "int16";

pub(super) const DECIMAL_TYPE: &str = "confluent.type.Decimal";
pub(super) const VARIANT_TYPE: &str = "confluent.type.Variant";
pub(super) const DATE_TYPE: &str = "google.type.Date";
pub(super) const TIME_TYPE: &str = "google.type.TimeOfDay";
pub(super) const TIMESTAMP_TYPE: &str = "google.protobuf.Timestamp";

/// What a map's entries are called behind the map's own name.
pub(super) const ENTRY: &str = "Entry";
pub(super) const KEY_FIELD: &str = "key";
pub(super) const VALUE_FIELD: &str = "value";

/// The message of a map's entries: `my_tags` becomes `MyTagsEntry`, and `tags` `tagsEntry`.
pub(super) fn map_entry(field: &str) -> String {
    if !field.contains('_') {
        return format!("{field}{ENTRY}");
    }
    let mut name = String::new();
    for word in field.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.extend(letters.map(|letter| letter.to_ascii_lowercase()));
    }
    name + ENTRY
}

/// The name of a map's schema, of the name of its entries' message: `a.MyTagsEntry` becomes
/// `a.my_tags`.
pub(super) fn map_field(message: &str) -> String {
    let (path, last) = match message.rfind('.') {
        Some(dot) => message.split_at(dot + 1),
        None => ("", message),
    };
    let Some(last) = last.strip_suffix(ENTRY) else { return message.to_owned() };
    let mut name = path.to_owned();
    for (at, letter) in last.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// Whether `name` may be written as the name of a message, an enum, a field or a symbol.
pub(super) fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `scrub.invalid.names`: each byte that may not stand in a name becomes `_` or, as in a URL's
/// query, `_` and two digits; `x` goes before a first digit or `_`.
pub(super) fn scrubbed(name: &str) -> String {
    if is_identifier(name) && !name.starts_with('_') || name.is_empty() {
        return name.to_owned();
    }
    let mut text = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(byte.into()),
            b' ' | b'.' | b'*' | b'_' | b'-' => text.push('_'),
            other => text.push_str(&format!("_{other:02X}")),
        }
    }
    if name.starts_with(|first: char| first.is_ascii_digit() || first == '_') {
        text.insert(0, 'x');
    }
    text
}

/// A text as Java reads bytes that may be no UTF-8: proto2 does not check.
pub(super) fn loose<'a>(bytes: &'a [u8], arena: &'a crate::Arena) -> &'a str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => Charset::Utf8.decode(bytes, arena),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_and_their_entries() {
        for (field, entry, back) in [
            ("tags", "tagsEntry", "tags"),
            ("my_tags", "MyTagsEntry", "my_tags"),
            ("myTags", "myTagsEntry", "my_tags"),
            ("a_BC_d", "ABcDEntry", "a_bc_d"),
            ("ConnectDefault2", "ConnectDefault2Entry", "connect_default2"),
        ] {
            assert_eq!(map_entry(field), entry);
            assert_eq!(map_field(entry), back);
        }
        assert_eq!(map_field("a.B.MyTagsEntry"), "a.B.my_tags");
        assert_eq!(map_field("a.Other"), "a.Other");
        assert_eq!(map_field("Entry"), "");
    }

    #[test]
    fn scrubbing() {
        for (name, clean) in [
            ("plain_1", "plain_1"),
            ("", ""),
            ("1a", "x1a"),
            ("_a", "x_a"),
            ("a-b.c d", "a_b_c_d"),
            ("-a", "_a"),
            ("ä", "_C3_A4"),
            ("a$", "a_24"),
        ] {
            assert_eq!(scrubbed(name), clean);
        }
        assert!(is_identifier("a_1") && !is_identifier("1") && !is_identifier("é"));
    }
}
