//! A `.proto` file as it is written: what [`super::parse`] reads and [`super::print`] writes.

/// `syntax` or `edition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Syntax {
    /// Also where the file says nothing.
    #[default]
    Proto2,
    Proto3,
    Edition,
}

/// `features.message_encoding`, of editions: how a message in a message is written. What says
/// nothing has it from what is around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Encoding {
    #[default]
    LengthPrefixed,
    /// As a group.
    Delimited,
}

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub syntax: Syntax,
    pub package: String,
    pub imports: Vec<String>,
    pub public_imports: Vec<String>,
    pub messages: Vec<MessageDef>,
    pub enums: Vec<EnumDef>,
    /// Services or extensions are declared, too.
    pub has_others: bool,
    pub encoding: Option<Encoding>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct MessageDef {
    pub name: String,
    /// In the order in which they are declared, members of oneofs among them.
    pub fields: Vec<FieldDef>,
    pub oneofs: Vec<String>,
    pub messages: Vec<MessageDef>,
    pub enums: Vec<EnumDef>,
    /// `option map_entry = true`.
    pub map_entry: bool,
    pub encoding: Option<Encoding>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct EnumDef {
    pub name: String,
    pub values: Vec<(String, i32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Label {
    #[default]
    None,
    Optional,
    Required,
    Repeated,
}

#[derive(Clone, Debug)]
pub(super) struct FieldDef {
    pub name: String,
    pub number: u32,
    pub label: Label,
    pub type_: TypeName,
    /// Place in the message's oneofs.
    pub oneof: Option<usize>,
    /// `default`, as it is written.
    pub default: Option<String>,
    pub packed: Option<bool>,
    /// `params` of `(confluent.field_meta)`.
    pub params: Vec<(String, String)>,
    /// Its own, or that of its oneof.
    pub encoding: Option<Encoding>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TypeName {
    Scalar(Scalar),
    /// A message or an enum, as it is written.
    Named(String),
    Map(Scalar, Box<TypeName>),
}

/// The types that are no message and no enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
}

impl Scalar {
    const ALL: [(Self, &'static str); 15] = [
        (Self::Double, "double"),
        (Self::Float, "float"),
        (Self::Int32, "int32"),
        (Self::Int64, "int64"),
        (Self::Uint32, "uint32"),
        (Self::Uint64, "uint64"),
        (Self::Sint32, "sint32"),
        (Self::Sint64, "sint64"),
        (Self::Fixed32, "fixed32"),
        (Self::Fixed64, "fixed64"),
        (Self::Sfixed32, "sfixed32"),
        (Self::Sfixed64, "sfixed64"),
        (Self::Bool, "bool"),
        (Self::String, "string"),
        (Self::Bytes, "bytes"),
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(one, _)| *one == self).map_or("", |(_, name)| name)
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(one, _)| *one)
    }
}
