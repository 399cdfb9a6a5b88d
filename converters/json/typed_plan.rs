//! What a schema asks of payloads, worked out once: which values have a short way, and how members
//! are written by those who keep the schema's order and put no white space between.
//!
//! A plan mirrors its schema and is read beside it. It holds no answers of its own: whatever is not
//! as it expects goes the way that asks the schema alone ([`Plan::BySchema`]).

use super::text::write_string;
use crate::data::{DATE_NAME, DECIMAL_NAME, Schema, SchemaType, TIME_NAME, TIMESTAMP_NAME};

/// The likely text of one value.
pub(crate) enum Plan {
    Integer(Width),
    Float64,
    Boolean,
    String,
    /// Of the items.
    Array(Box<Plan>),
    /// Of keys and values.
    Map(Box<(Plan, Plan)>),
    /// One for each field, in order.
    Struct(Box<[Member]>),
    /// No short way: logical types, bytes, floats; or nobody has made a plan.
    BySchema,
}

/// What an integer is narrowed to.
#[derive(Clone, Copy)]
pub(crate) enum Width {
    Int8,
    Int16,
    Int32,
    Int64,
}

/// A struct's field in an object.
pub(crate) struct Member {
    /// From behind the value before, or from the opening brace, to the value.
    pub lead: Literal,
    pub plan: Plan,
}

impl Plan {
    /// The plan of that schema.
    pub fn new(schema: &Schema) -> Self {
        let logical = [DECIMAL_NAME, DATE_NAME, TIME_NAME, TIMESTAMP_NAME];
        if schema.name.as_deref().is_some_and(|name| logical.contains(&name)) {
            return Self::BySchema;
        }
        let part = |part: &Option<_>| {
            part.as_deref().map_or(Self::BySchema, |part: &Schema| Self::new(part))
        };
        use SchemaType as T;
        match schema.type_ {
            T::Int8 => Self::Integer(Width::Int8),
            T::Int16 => Self::Integer(Width::Int16),
            T::Int32 => Self::Integer(Width::Int32),
            T::Int64 => Self::Integer(Width::Int64),
            T::Float64 => Self::Float64,
            T::Boolean => Self::Boolean,
            T::String => Self::String,
            T::Array => Self::Array(Box::new(part(&schema.value_schema))),
            T::Map => Self::Map(Box::new((part(&schema.key_schema), part(&schema.value_schema)))),
            T::Struct => {
                let fields = schema.fields.iter().enumerate();
                let members = fields.map(|(at, field)| Member {
                    lead: Literal::lead(if at == 0 { b'{' } else { b',' }, &field.name),
                    plan: Self::new(&field.schema),
                });
                Self::Struct(members.collect())
            }
            T::Float32 | T::Bytes => Self::BySchema,
        }
    }

    /// The members of a struct; none where there is no plan.
    #[inline]
    pub fn members(&self) -> &[Member] {
        if let Self::Struct(members) = self { members } else { &[] }
    }

    /// The plan of an array's items.
    #[inline]
    pub fn items(&self) -> &Self {
        if let Self::Array(items) = self { items } else { &Self::BySchema }
    }

    /// The plans of a map's keys and values.
    #[inline]
    pub fn entries(&self) -> (&Self, &Self) {
        match self {
            Self::Map(entries) => (&entries.0, &entries.1),
            _ => (&Self::BySchema, &Self::BySchema),
        }
    }
}

/// As many bytes as one comparison takes.
const BLOCK: usize = 16;

/// Text that is compared with what stands at a place, the first block of it at once.
#[derive(Debug)]
pub(crate) struct Literal {
    text: Box<[u8]>,
    head: u128,
    mask: u128,
}

impl Literal {
    /// `before`, the name as a string, a colon. A name may be written in other ways too.
    pub fn lead(before: u8, name: &str) -> Self {
        let mut text = vec![before];
        write_string(name, &mut text);
        text.push(b':');
        let mut head = [0; BLOCK];
        let first = text.len().min(BLOCK);
        head[..first].copy_from_slice(&text[..first]);
        let mask = u128::MAX >> (8 * (BLOCK - first));
        Self { text: text.into(), head: u128::from_le_bytes(head), mask }
    }

    /// The byte before the name, and the name with its quotes.
    pub fn parts(&self) -> (u8, &[u8]) {
        match &*self.text {
            [before, name @ .., _] => (*before, name),
            _ => (0, &[]),
        }
    }

    /// Where it ends if it stands at `at`.
    #[inline(always)]
    pub fn behind(&self, document: &[u8], at: usize) -> Option<usize> {
        let rest = document.get(at..)?;
        match rest.first_chunk::<BLOCK>() {
            Some(block) if (u128::from_le_bytes(*block) ^ self.head) & self.mask != 0 => {
                return None;
            }
            Some(_) if self.text.len() <= BLOCK => {}
            _ if rest.starts_with(&self.text) => {}
            _ => return None,
        }
        Some(at + self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_found_where_they_stand_and_nowhere_else() {
        for name in
            ["", "a", "b\"\\\n", "é😀", "twelve_bytes", "13_bytes_long", "x".repeat(70).as_str()]
        {
            let literal = Literal::lead(b',', name);
            let text = [b",\"".as_slice(), b"\":"];
            let mut written = vec![b','];
            write_string(name, &mut written);
            written.push(b':');
            assert!(written.starts_with(text[0]) && written.ends_with(text[1]));
            for behind in ["", "1", "1,\"more\":\"than a block of bytes\""] {
                let document = [b"[[", written.as_slice(), behind.as_bytes()].concat();
                let end = 2 + written.len();
                for at in 0..=document.len() + 1 {
                    let expected = (at == 2).then_some(end);
                    assert_eq!(literal.behind(&document, at), expected, "{name} {at}");
                }
                for changed in 2..end {
                    let mut document = document.clone();
                    document[changed] ^= 1;
                    assert_eq!(literal.behind(&document, 2), None, "{name} {changed}");
                }
                for cut in 2..end {
                    assert_eq!(literal.behind(&document[..cut], 2), None, "{name} {cut}");
                }
            }
        }
    }
}
