//! A `.proto` text linked with the files that it imports: messages and enums by number.

use std::collections::{HashMap, HashSet};

use super::file::{Encoding, EnumDef, FieldDef, File, Label, MessageDef, Scalar, Syntax, TypeName};
use super::known;
use super::names::{ENTRY, KEY_FIELD, VALUE_FIELD, map_entry};
use super::parse::parse;

/// Place of a message or an enum in [`ProtoSchema`].
pub(super) type Id = u32;

/// Files that one schema may need, all in all.
const MOST_FILES: usize = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Scalar),
    Enum(Id),
    Message(Id),
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    pub number: u32,
    pub label: Label,
    pub kind: Kind,
    /// Place in the message's oneofs; the one of a lone `optional` is not among them.
    pub oneof: Option<usize>,
    /// Of a repeated number, whether it is written packed.
    pub packed: bool,
    /// A message that is written as a group.
    pub group: bool,
    pub default: Option<String>,
    pub params: Vec<(String, String)>,
    /// Whether it says `optional` by itself: proto3's `optional`, or proto2's outside of oneofs.
    pub optional: bool,
}

impl Field {
    pub fn repeated(&self) -> bool {
        self.label == Label::Repeated
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub(super) struct Message {
    /// With the package and the messages around it.
    pub full: String,
    pub syntax: Syntax,
    pub fields: Vec<Field>,
    pub oneofs: Vec<String>,
    /// Those that are declared in it, in order.
    pub nested: Vec<Id>,
    /// It says `map_entry`, or stands for a `map<…>`.
    pub map_entry: bool,
}

impl Message {
    /// The last word of the full name.
    pub fn name(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or_default()
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Key and value, where the message has the look of a map's entry.
    pub fn entry(&self) -> Option<(&Field, &Field)> {
        match &self.fields[..] {
            [key, value]
                if key.name == KEY_FIELD
                    && value.name == VALUE_FIELD
                    && !key.repeated()
                    && !value.repeated()
                    && self.name().ends_with(ENTRY) =>
            {
                Some((key, value))
            }
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Enum {
    pub full: String,
    pub values: Vec<(String, i32)>,
    /// A number without a symbol is as if it were not there (proto2).
    pub closed: bool,
}

impl Enum {
    pub fn name(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or_default()
    }
}

/// Everything that a schema names.
#[derive(Debug, Default)]
pub(super) struct ProtoSchema {
    messages: Vec<Message>,
    enums: Vec<Enum>,
    /// The messages of the file itself, in order.
    pub roots: Vec<Id>,
}

#[derive(Clone, Copy)]
enum Symbol {
    Message(Id),
    Enum(Id),
}

impl ProtoSchema {
    /// Reads and links `text`; `references` are the texts that imports may name.
    pub fn parse<S: AsRef<str>>(text: &str, references: &[(String, S)]) -> Result<Self, String> {
        let main = parse(text)?;
        let files = imported(&main, references)?;
        let mut linker = Linker::default();
        let roots = linker.declare(&main)?;
        let mut by_path = HashMap::new();
        for (path, file) in &files {
            by_path.insert(path.as_str(), linker.declare(file)?);
        }
        linker.schema.roots = match forwarded(&main) {
            Some(path) => by_path.remove(path).unwrap_or(roots),
            None => roots,
        };
        linker.link(&main)?;
        files.iter().try_for_each(|(_, file)| linker.link(file))?;
        Ok(linker.schema)
    }

    pub fn message(&self, id: Id) -> &Message {
        &self.messages[id as usize]
    }

    pub fn enumeration(&self, id: Id) -> &Enum {
        &self.enums[id as usize]
    }

    /// The message that a record's list of indexes names.
    pub fn message_at(&self, indexes: &[usize]) -> Option<Id> {
        let (last, path) = indexes.split_last()?;
        let mut level = &self.roots;
        for index in path {
            level = &self.message(*level.get(*index)?).nested;
        }
        level.get(*last).copied()
    }

    /// The message of that full name among those of the file itself, with its indexes; the package
    /// may be another one. `normalize`: entries of maps are not counted. Without such a message:
    /// the first one.
    pub fn message_named(&self, full: &str, normalize: bool) -> Option<(Id, Vec<usize>)> {
        let mut level = &self.roots;
        let (mut found, mut indexes) = (None, Vec::new());
        for part in full.split('.') {
            let counted =
                level.iter().filter(|id| !(normalize && self.message(**id).map_entry)).enumerate();
            let mut here = counted.filter(|(_, id)| self.message(**id).name() == part);
            if let Some((index, id)) = here.next() {
                (found, level) = (Some(*id), &self.message(*id).nested);
                indexes.push(index);
            }
        }
        match found {
            Some(id) => Some((id, indexes)),
            None => self.roots.first().map(|id| (*id, vec![0])),
        }
    }
}

/// The files that `main` needs: references before known ones. A file that nobody has is left out;
/// what it declares is then missing.
fn imported<S: AsRef<str>>(
    main: &File,
    references: &[(String, S)],
) -> Result<Vec<(String, File)>, String> {
    let mut files: Vec<(String, File)> = Vec::new();
    let imports = |file: &File| [file.imports.clone(), file.public_imports.clone()].concat();
    let mut open = imports(main);
    while let Some(path) = open.pop() {
        if files.iter().any(|(known, _)| *known == path) {
            continue;
        }
        let given = references.iter().find(|(name, _)| *name == path);
        let text = given.map(|(_, text)| text.as_ref()).or_else(|| known::text(&path));
        let Some(text) = text else { continue };
        if files.len() == MOST_FILES {
            return Err(format!("more than {MOST_FILES} files are imported"));
        }
        let file = parse(text).map_err(|why| format!("{path}: {why}"))?;
        open.extend(imports(&file));
        files.push((path, file));
    }
    Ok(files)
}

/// A file that declares nothing and publicly imports one other stands for that one.
fn forwarded(file: &File) -> Option<&str> {
    let empty = file.messages.is_empty() && file.enums.is_empty() && !file.has_others;
    match &file.public_imports[..] {
        [path] if empty && file.imports.is_empty() => Some(path),
        _ => None,
    }
}

#[derive(Default)]
struct Linker {
    schema: ProtoSchema,
    symbols: HashMap<String, Symbol>,
}

/// What fields have from the messages and the file around.
#[derive(Clone, Copy)]
struct Inherited {
    syntax: Syntax,
    encoding: Encoding,
    /// The message says that it is a map's entry.
    map_entry: bool,
}

fn joined(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

impl Linker {
    /// Gives everything that the file declares its number.
    fn declare(&mut self, file: &File) -> Result<Vec<Id>, String> {
        for all in &file.enums {
            self.declare_enum(all, &file.package, file.syntax)?;
        }
        let declared =
            file.messages.iter().map(|message| self.declare_message(message, &file.package, file));
        declared.collect()
    }

    fn declare_message(
        &mut self,
        message: &MessageDef,
        scope: &str,
        file: &File,
    ) -> Result<Id, String> {
        let full = joined(scope, &message.name);
        let id = self.add(Message {
            full: full.clone(),
            syntax: file.syntax,
            fields: Vec::new(),
            oneofs: message.oneofs.clone(),
            nested: Vec::new(),
            map_entry: message.map_entry,
        })?;
        for all in &message.enums {
            self.declare_enum(all, &full, file.syntax)?;
        }
        let nested = message.messages.iter().map(|one| self.declare_message(one, &full, file));
        let nested: Result<_, _> = nested.collect();
        self.schema.messages[id as usize].nested = nested?;
        for field in &message.fields {
            if matches!(field.type_, TypeName::Map(..)) {
                self.add(Message {
                    full: joined(&full, &map_entry(&field.name)),
                    syntax: file.syntax,
                    fields: Vec::new(),
                    oneofs: Vec::new(),
                    nested: Vec::new(),
                    map_entry: true,
                })?;
            }
        }
        Ok(id)
    }

    fn add(&mut self, message: Message) -> Result<Id, String> {
        let id = self.schema.messages.len() as Id;
        self.name(&message.full, Symbol::Message(id))?;
        self.schema.messages.push(message);
        Ok(id)
    }

    fn declare_enum(&mut self, all: &EnumDef, scope: &str, syntax: Syntax) -> Result<(), String> {
        let full = joined(scope, &all.name);
        let id = self.schema.enums.len() as Id;
        self.name(&full, Symbol::Enum(id))?;
        if all.values.is_empty() {
            return Err(format!("the enum {full} has no symbol"));
        }
        let closed = syntax == Syntax::Proto2;
        self.schema.enums.push(Enum { full, values: all.values.clone(), closed });
        Ok(())
    }

    fn name(&mut self, full: &str, symbol: Symbol) -> Result<(), String> {
        match self.symbols.insert(full.to_owned(), symbol) {
            Some(_) => Err(format!("{full} is declared twice")),
            None => Ok(()),
        }
    }

    /// Finds what the fields' types are.
    fn link(&mut self, file: &File) -> Result<(), String> {
        let from = Inherited {
            syntax: file.syntax,
            encoding: file.encoding.unwrap_or_default(),
            map_entry: false,
        };
        file.messages.iter().try_for_each(|message| self.link_message(message, &file.package, from))
    }

    fn link_message(
        &mut self,
        message: &MessageDef,
        scope: &str,
        from: Inherited,
    ) -> Result<(), String> {
        let full = joined(scope, &message.name);
        let from = Inherited {
            encoding: message.encoding.unwrap_or(from.encoding),
            map_entry: message.map_entry,
            ..from
        };
        for nested in &message.messages {
            self.link_message(nested, &full, from)?;
        }
        let (mut fields, mut numbers, mut names) = (Vec::new(), HashSet::new(), HashSet::new());
        for field in &message.fields {
            if !numbers.insert(field.number) | !names.insert(field.name.as_str()) {
                return Err(format!("two fields of {full} are {} = {}", field.name, field.number));
            }
            fields.push(self.field(field, &full, from)?);
        }
        if let Some(Symbol::Message(id)) = self.symbols.get(&full) {
            self.schema.messages[*id as usize].fields = fields;
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldDef, scope: &str, from: Inherited) -> Result<Field, String> {
        let syntax = from.syntax;
        let (mut label, mut packable) = (field.label, false);
        let kind = match &field.type_ {
            TypeName::Map(key, value) => {
                label = Label::Repeated;
                self.map(field, *key, value, scope, syntax)?
            }
            other => self.kind(other, scope)?,
        };
        if let Kind::Scalar(scalar) = kind {
            packable = !matches!(scalar, Scalar::String | Scalar::Bytes);
        }
        packable |= matches!(kind, Kind::Enum(_));
        let encoding = field.encoding.unwrap_or(from.encoding);
        // Maps are as they are in every file, and what is in them.
        let group = encoding == Encoding::Delimited
            && !from.map_entry
            && matches!(kind, Kind::Message(id) if !self.schema.messages[id as usize].map_entry);
        Ok(Field {
            name: field.name.clone(),
            number: field.number,
            label,
            kind,
            oneof: field.oneof,
            packed: packable
                && label == Label::Repeated
                && field.packed.unwrap_or(syntax != Syntax::Proto2),
            group,
            default: field.default.clone(),
            params: field.params.clone(),
            optional: label == Label::Optional
                && field.oneof.is_none()
                && syntax != Syntax::Edition,
        })
    }

    /// Fills the message that stands for the entries of `map<key, value>`.
    fn map(
        &mut self,
        field: &FieldDef,
        key: Scalar,
        value: &TypeName,
        scope: &str,
        syntax: Syntax,
    ) -> Result<Kind, String> {
        if matches!(key, Scalar::Double | Scalar::Float | Scalar::Bytes) {
            return Err(format!("{scope}.{}: {} is no key of a map", field.name, key.name()));
        }
        let full = joined(scope, &map_entry(&field.name));
        let Some(Symbol::Message(id)) = self.symbols.get(&full).copied() else {
            return Err(format!("{full} is no message"));
        };
        let part = |name: &str, number, kind| Field {
            name: name.to_owned(),
            number,
            label: if syntax == Syntax::Proto2 { Label::Optional } else { Label::None },
            kind,
            oneof: None,
            packed: false,
            group: false,
            default: None,
            params: Vec::new(),
            optional: syntax == Syntax::Proto2,
        };
        let value = self.kind(value, scope)?;
        self.schema.messages[id as usize].fields =
            vec![part(KEY_FIELD, 1, Kind::Scalar(key)), part(VALUE_FIELD, 2, value)];
        Ok(Kind::Message(id))
    }

    /// Looks for a name from the innermost scope outwards.
    fn kind(&self, type_: &TypeName, scope: &str) -> Result<Kind, String> {
        let name = match type_ {
            TypeName::Scalar(scalar) => return Ok(Kind::Scalar(*scalar)),
            TypeName::Named(name) => name,
            TypeName::Map(..) => return Err(format!("a map in a map in {scope}")),
        };
        let kind = |symbol: &Symbol| match symbol {
            Symbol::Message(id) => Kind::Message(*id),
            Symbol::Enum(id) => Kind::Enum(*id),
        };
        let unknown = || format!("the type {name} in {scope} is not known");
        if let Some(absolute) = name.strip_prefix('.') {
            return self.symbols.get(absolute).map(kind).ok_or_else(unknown);
        }
        let mut scope_left = scope;
        loop {
            if let Some(symbol) = self.symbols.get(&joined(scope_left, name)) {
                return Ok(kind(symbol));
            }
            if scope_left.is_empty() {
                return Err(unknown());
            }
            scope_left = scope_left.rfind('.').map_or("", |dot| &scope_left[..dot]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &[(String, &str)] = &[];

    #[test]
    fn known_files_are_whole() {
        for (path, _) in known::FILES {
            let text = format!("syntax = \"proto3\"; import \"{path}\"; message M {{}}");
            ProtoSchema::parse(&text, NONE).expect(path);
        }
    }

    #[test]
    fn names_are_found_from_the_inside_out() {
        let other = "syntax = \"proto3\"; package a.c; message X { a.b.Top.In back = 1; }";
        let text = r#"
            syntax = "proto3"; package a.b; import "o.proto"; import "nobody.proto";
            message X { int32 a = 1; }
            message Top {
              X near = 1; c.X far = 2; .a.b.X absolute = 3; In in = 4; map<int32, In> my_map = 5;
              message In { X mine = 1; message X {} }
            }"#;
        let references = [("o.proto".to_owned(), other)];
        let schema = ProtoSchema::parse(text, &references).unwrap();
        let (top, indexes) = schema.message_named("a.b.Top", false).unwrap();
        assert_eq!(indexes, [1]);
        let full =
            |message: Id, field: &str| match schema.message(message).field(field).unwrap().kind {
                Kind::Message(id) => schema.message(id).full.clone(),
                other => panic!("{other:?}"),
            };
        assert_eq!(full(top, "near"), "a.b.X");
        assert_eq!(full(top, "far"), "a.c.X");
        assert_eq!(full(top, "absolute"), "a.b.X");
        assert_eq!(full(top, "my_map"), "a.b.Top.MyMapEntry");
        let (inner, indexes) = schema.message_named("a.b.Top.In.X", false).unwrap();
        assert_eq!((schema.message(inner).full.as_str(), indexes), ("a.b.Top.In.X", vec![1, 0, 0]));
        assert_eq!(schema.message_at(&[1, 0, 0]), Some(inner));
        assert_eq!(schema.message_at(&[1, 1]), None);
        assert_eq!(full(schema.message_at(&[1, 0]).unwrap(), "mine"), "a.b.Top.In.X");
        assert_eq!(schema.message_named("Nowhere", false).unwrap().1, [0]);
    }

    #[test]
    fn a_file_that_only_forwards() {
        let text = "syntax = \"proto3\"; import public \"google/protobuf/timestamp.proto\";";
        let schema = ProtoSchema::parse(text, NONE).unwrap();
        assert_eq!(schema.message(schema.message_at(&[0]).unwrap()).name(), "Timestamp");
    }

    #[test]
    fn what_cannot_be_linked() {
        for (text, why) in [
            ("message A { B b = 1; }", "the type B in A is not known"),
            ("message A { int32 a = 1; int32 b = 1; }", "two fields of A"),
            ("message A {} message A {}", "A is declared twice"),
            ("message A { map<double, int32> m = 1; }", "double is no key"),
            ("enum E {}", "has no symbol"),
            ("message A { map<string, int32> a = 1; message aEntry {} }", "declared twice"),
        ] {
            let error = ProtoSchema::parse(text, NONE).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
