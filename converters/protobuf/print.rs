//! A `.proto` file's text, letter for letter as Confluent's converter registers it, so that the same
//! Connect schema finds the same id whoever writes it.

use std::fmt::Write;

use super::file::{EnumDef, FieldDef, File, Label, MessageDef, TypeName};
use super::names::{PRECISION, SCALE};

/// The text of a proto3 file.
pub(super) fn print(file: &File) -> String {
    let mut text = "syntax = \"proto3\";\n".to_owned();
    if !file.package.is_empty() {
        let _ = writeln!(text, "package {};", file.package);
    }
    if !file.imports.is_empty() {
        text.push('\n');
    }
    for import in &file.imports {
        let _ = writeln!(text, "import \"{import}\";");
    }
    text.push('\n');
    file.messages.iter().for_each(|one| text.push_str(&message(one)));
    file.enums.iter().for_each(|one| text.push_str(&enumeration(one)));
    text
}

/// Each line of `value`, also an empty one, two spaces further in.
fn indent(text: &mut String, value: &str) {
    for line in value.trim_end_matches('\n').split('\n') {
        let _ = writeln!(text, "  {line}");
    }
}

fn message(of: &MessageDef) -> String {
    let mut text = format!("message {} {{", of.name);
    let mut outside = of.fields.iter().filter(|field| field.oneof.is_none()).peekable();
    if outside.peek().is_some() {
        text.push('\n');
    }
    outside.for_each(|one| indent(&mut text, &field(one)));
    if !of.oneofs.is_empty() {
        text.push('\n');
    }
    for (at, name) in of.oneofs.iter().enumerate() {
        let mut oneof = format!("oneof {name} {{");
        let mut members = of.fields.iter().filter(|field| field.oneof == Some(at)).peekable();
        if members.peek().is_some() {
            oneof.push('\n');
        }
        members.for_each(|one| indent(&mut oneof, &field(one)));
        oneof.push_str("}\n");
        indent(&mut text, &oneof);
    }
    if !of.messages.is_empty() || !of.enums.is_empty() {
        text.push('\n');
    }
    of.messages.iter().for_each(|one| indent(&mut text, &message(one)));
    of.enums.iter().for_each(|one| indent(&mut text, &enumeration(one)));
    text + "}\n"
}

fn enumeration(of: &EnumDef) -> String {
    let mut text = format!("enum {} {{", of.name);
    if !of.values.is_empty() {
        text.push('\n');
    }
    for (symbol, number) in &of.values {
        indent(&mut text, &format!("{symbol} = {number};"));
    }
    text + "}\n"
}

fn field(of: &FieldDef) -> String {
    let label = match of.label {
        Label::Repeated => "repeated ",
        Label::Optional => "optional ",
        Label::Required | Label::None => "",
    };
    let type_ = match &of.type_ {
        TypeName::Scalar(scalar) => scalar.name(),
        TypeName::Named(name) => name,
        // Connect's maps are written as repeated entries.
        TypeName::Map(..) => "",
    };
    let mut text = format!("{label}{type_} {} = {}", of.name, of.number);
    if !of.params.is_empty() {
        let _ = write!(text, " [(confluent.field_meta) = {}]", meta(&of.params));
    }
    text + ";\n"
}

fn meta(params: &[(String, String)]) -> String {
    let mut list = "params: [\n".to_owned();
    for (at, (key, value)) in params.iter().enumerate() {
        let (key_line, value_line) = (quoted("key", key), quoted("value", value));
        // Confluent's order, which is one of history.
        let (first, second) = match key.as_str() {
            PRECISION | SCALE => (value_line, key_line),
            _ => (key_line, value_line),
        };
        let comma = if at + 1 < params.len() { "," } else { "" };
        let mut entry = "{\n".to_owned();
        indent(&mut entry, &format!("{first},"));
        indent(&mut entry, &second);
        indent(&mut list, &format!("{entry}}}{comma}"));
    }
    let mut text = "{\n".to_owned();
    indent(&mut text, &format!("{list}]"));
    text + "}"
}

fn quoted(name: &str, value: &str) -> String {
    let mut text = format!("{name}: \"");
    for letter in value.chars() {
        match letter {
            '\u{7}' => text.push_str("\\a"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{b}' => text.push_str("\\v"),
            '\\' | '\'' | '"' => {
                text.push('\\');
                text.push(letter);
            }
            letter => text.push(letter),
        }
    }
    text + "\""
}
