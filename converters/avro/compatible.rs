//! Whether one Avro schema can read what another one writes, by Avro's rules of resolution.
//!
//! Asked once for each pair, before data goes out under a schema that is not its own
//! (`latest.compatibility.strict`, `id.compatibility.strict`).

use super::schema::{AvroSchema, Id, Kind, simple_name};

/// What stands in the way of reading `writer`'s data by `reader`; `None`: nothing.
pub(super) fn obstacle(reader: &AvroSchema, writer: &AvroSchema) -> Option<String> {
    let mut seen = Vec::new();
    Match { reader, writer, seen: &mut seen }.types(reader.root, writer.root).err()
}

struct Match<'s> {
    reader: &'s AvroSchema,
    writer: &'s AvroSchema,
    /// Pairs that are looked at further out: they hold if nothing else speaks against them.
    seen: &'s mut Vec<(Id, Id)>,
}

impl Match<'_> {
    fn types(&mut self, reader: Id, writer: Id) -> Result<(), String> {
        if self.seen.contains(&(reader, writer)) {
            return Ok(());
        }
        let (read, written) = (self.reader.kind(reader), self.writer.kind(writer));
        let no = || Err(format!("{} does not read {}", read.name(), written.name()));
        match (read, written) {
            (_, Kind::Union(members)) => {
                members.iter().try_for_each(|member| self.types(reader, *member))
            }
            (Kind::Union(members), _) => {
                let mut why = no();
                for member in members {
                    why = self.types(*member, writer);
                    if why.is_ok() {
                        break;
                    }
                }
                why
            }
            (Kind::Array(read), Kind::Array(written)) | (Kind::Map(read), Kind::Map(written)) => {
                self.types(*read, *written)
            }
            (Kind::Record(read_name, fields), Kind::Record(name, written)) => {
                if simple_name(read_name) != simple_name(name) {
                    return no();
                }
                self.seen.push((reader, writer));
                for field in fields {
                    match written.iter().find(|other| other.name == field.name) {
                        Some(other) => self
                            .types(field.type_, other.type_)
                            .map_err(|why| format!("{read_name}.{}: {why}", field.name))?,
                        None if field.default.is_some() => {}
                        None => {
                            return Err(format!(
                                "{read_name}.{} is not written and has no default",
                                field.name
                            ));
                        }
                    }
                }
                Ok(())
            }
            (Kind::Enum(read_name, symbols, default), Kind::Enum(name, written, _)) => {
                let all = default.is_some() || written.iter().all(|one| symbols.contains(one));
                if simple_name(read_name) == simple_name(name) && all { Ok(()) } else { no() }
            }
            (Kind::Fixed(read_name, size), Kind::Fixed(name, written))
                if simple_name(read_name) == simple_name(name) && size == written =>
            {
                Ok(())
            }
            (Kind::Long, Kind::Int)
            | (Kind::Float, Kind::Int | Kind::Long)
            | (Kind::Double, Kind::Int | Kind::Long | Kind::Float)
            | (Kind::String, Kind::Bytes)
            | (Kind::Bytes, Kind::String) => Ok(()),
            (read, written)
                if read == written && !matches!(read, Kind::Fixed(..) | Kind::Enum(..)) =>
            {
                Ok(())
            }
            _ => no(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(reader: &str, writer: &str) -> Option<String> {
        let parse = |text: &str| AvroSchema::parse(text, &[] as &[&str]).unwrap();
        obstacle(&parse(reader), &parse(writer))
    }

    #[test]
    fn fields_come_and_go() {
        let record =
            |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        let (a, b) = (r#"{"name":"a","type":"int"}"#, r#"{"name":"b","type":"long","default":1}"#);
        let both = record(&format!("{a},{b}"));
        assert_eq!(verdict(&both, &record(a)), None);
        assert_eq!(verdict(&record(a), &both), None);
        assert!(verdict(&both, &record(b)).unwrap().contains("R.a is not written"));
        let wide = record(r#"{"name":"a","type":["null","long"]}"#);
        assert_eq!(verdict(&wide, &record(a)), None);
        assert!(verdict(&record(a), &wide).is_some());
        let list = r#"{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]}]}"#;
        assert_eq!(verdict(list, list), None);
    }
}
