//! Whether one schema can read what another one writes, by the rules of Confluent's registry.
//!
//! Asked once for each pair, before data goes out under a schema that is not its own
//! (`latest.compatibility.strict`, `id.compatibility.strict`). Fields are compared by number.

use super::file::{Label, Scalar};
use super::schema::{Field, Id, Kind, Message, ProtoSchema};

/// What stands in the way of reading `writer`'s message by `reader`'s; `None`: nothing.
pub(super) fn obstacle(
    (reader, read): (&ProtoSchema, Id),
    (writer, written): (&ProtoSchema, Id),
) -> Option<String> {
    Match { reader, writer, seen: Vec::new() }.messages(read, written).err()
}

struct Match<'s> {
    reader: &'s ProtoSchema,
    writer: &'s ProtoSchema,
    /// Pairs that are looked at further out: they hold if nothing else speaks against them.
    seen: Vec<(Id, Id)>,
}

impl Match<'_> {
    fn messages(&mut self, read: Id, written: Id) -> Result<(), String> {
        if self.seen.contains(&(read, written)) {
            return Ok(());
        }
        self.seen.push((read, written));
        let (reader, writer) = (self.reader, self.writer);
        let (read, written) = (reader.message(read), writer.message(written));
        for field in &written.fields {
            match read.fields.iter().find(|other| other.number == field.number) {
                Some(other) => self
                    .fields(other, field)
                    .map_err(|why| format!("{}.{}: {why}", read.full, other.name))?,
                None if field.label == Label::Required => {
                    return Err(format!("{} lacks the required {}", read.full, field.name));
                }
                None => oneof_lost(read, written, field)?,
            }
        }
        let new = |field: &&Field| {
            field.label == Label::Required
                && !written.fields.iter().any(|other| other.number == field.number)
        };
        match read.fields.iter().find(new) {
            Some(field) => Err(format!("{}.{} is required and new", read.full, field.name)),
            None => oneofs_joined(read, written),
        }
    }

    fn fields(&mut self, read: &Field, written: &Field) -> Result<(), String> {
        match (read.kind, written.kind) {
            (Kind::Message(read_id), Kind::Message(written_id)) => {
                let (one, other) = (self.reader.message(read_id), self.writer.message(written_id));
                let maps = one.entry().is_some() && other.entry().is_some();
                if one.name() != other.name() && !maps {
                    return Err(format!("{} does not read {}", one.full, other.full));
                }
                self.messages(read_id, written_id)
            }
            (Kind::Message(_), _) | (_, Kind::Message(_)) => {
                Err("a message and a scalar do not read one another".to_owned())
            }
            (one, other) => {
                let (one, other) = (group(one), group(other));
                if one != other {
                    return Err(format!("{one} does not read {other}"));
                }
                let differ = read.repeated() != written.repeated()
                    && read.label != Label::None
                    && written.label != Label::None;
                if differ && one != "string or bytes" {
                    return Err("one is repeated, the other is not".to_owned());
                }
                Ok(())
            }
        }
    }
}

/// A member of a oneof that is gone while others of it stay.
fn oneof_lost(read: &Message, written: &Message, field: &Field) -> Result<(), String> {
    let Some(oneof) = field.oneof else { return Ok(()) };
    let has = |number: u32| read.fields.iter().any(|other| other.number == number);
    let name = &written.oneofs[oneof];
    let stays = written.fields.iter().any(|one| one.oneof == Some(oneof) && has(one.number));
    if stays || read.oneofs.contains(name) {
        return Err(format!("{} lacks {} of the oneof {name}", read.full, field.name));
    }
    Ok(())
}

/// Fields that could be set together and now exclude one another.
fn oneofs_joined(read: &Message, written: &Message) -> Result<(), String> {
    for (index, name) in read.oneofs.iter().enumerate() {
        let members = read.fields.iter().filter(|field| field.oneof == Some(index));
        let mut groups: Vec<(Option<usize>, u32)> = Vec::new();
        for member in members {
            let Some(other) = written.fields.iter().find(|one| one.number == member.number) else {
                continue;
            };
            let group = match other.oneof {
                Some(oneof) => (Some(oneof), 0),
                None => (None, other.number),
            };
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        if groups.len() > 1 {
            return Err(format!("{}: the oneof {name} joins fields", read.full));
        }
    }
    Ok(())
}

/// Scalars of one group read one another.
fn group(kind: Kind) -> &'static str {
    match kind {
        Kind::Scalar(scalar) => match scalar {
            Scalar::Sint32 | Scalar::Sint64 => "signed number",
            Scalar::String | Scalar::Bytes => "string or bytes",
            Scalar::Fixed32 | Scalar::Sfixed32 => "fixed32",
            Scalar::Fixed64 | Scalar::Sfixed64 => "fixed64",
            Scalar::Float => "float",
            Scalar::Double => "double",
            _ => "number",
        },
        Kind::Enum(_) => "number",
        Kind::Message(_) => "message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(reader: &str, writer: &str) -> Option<String> {
        let parse = |text: &str| {
            let text = format!("syntax = \"proto3\"; message M {{ {text} }}");
            ProtoSchema::parse(&text, &[] as &[(String, &str)]).unwrap()
        };
        obstacle((&parse(reader), 0), (&parse(writer), 0))
    }

    #[test]
    fn changes_that_are_and_are_not() {
        for (reader, writer) in [
            ("int32 a = 1; string b = 2;", "int64 a = 1;"),
            ("int32 a = 1;", "uint64 other = 1; string b = 2;"),
            ("string a = 1;", "bytes a = 1;"),
            ("In a = 1; message In { M m = 1; }", "In a = 1; message In { M m = 1; int32 b = 2; }"),
            ("int32 a = 1; int32 b = 2;", "oneof x { int32 a = 1; int32 b = 2; }"),
            (
                "map<string, int32> m = 1;",
                "repeated mEntry m = 1; \
                message mEntry { string key = 1; int32 value = 2; }",
            ),
        ] {
            assert_eq!(verdict(reader, writer), None, "{reader} | {writer}");
        }
        for (reader, writer) in [
            ("int32 a = 1;", "string a = 1;"),
            ("int32 a = 1;", "sint32 a = 1;"),
            ("In a = 1; message In { int32 x = 1; }", "In a = 1; message In { string x = 1; }"),
            ("In a = 1; message In {}", "Out a = 1; message Out {}"),
            ("In a = 1; message In {}", "int32 a = 1;"),
            ("oneof x { int32 a = 1; int32 b = 2; }", "int32 a = 1; int32 b = 2;"),
            ("oneof x { int32 a = 1; }", "oneof x { int32 a = 1; int32 b = 2; }"),
        ] {
            assert!(verdict(reader, writer).is_some(), "{reader} | {writer}");
        }
    }
}
