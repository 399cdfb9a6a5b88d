//! What the tests of the converters with a registry share: a registry in memory, and numbers and texts
//! of a seed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::DataError;
use crate::registry::{Answer, Question, SchemaKind, SchemaSource, SchemaText, frame};

/// The version of its subject that each schema is.
pub(crate) const VERSION: i32 = 7;

/// A registry in memory: schema texts by id, and what was asked of it.
pub(crate) struct Shelf {
    pub kind: SchemaKind,
    pub schemas: RefCell<Vec<String>>,
    /// What each schema refers to: name and text.
    pub references: Vec<(String, Arc<str>)>,
    pub asked: RefCell<Vec<Question>>,
    /// Nothing is known yet.
    pub closed: Cell<bool>,
}

impl Shelf {
    /// One with these schemas, whose ids count from 1.
    pub fn new(kind: SchemaKind, schemas: &[&str]) -> Self {
        Self {
            kind,
            schemas: RefCell::new(schemas.iter().map(|text| (*text).to_owned()).collect()),
            references: Vec::new(),
            asked: RefCell::default(),
            closed: Cell::default(),
        }
    }

    pub fn of(kind: SchemaKind, schemas: &[&str]) -> Rc<Self> {
        Rc::new(Self::new(kind, schemas))
    }

    fn answer(&self, id: usize, text: Option<&String>) -> Arc<Answer> {
        Arc::new(Answer {
            id: id as u32,
            schema: text.map(|text| SchemaText::new(self.kind, text.as_str())),
            references: self.references.clone(),
            versions: vec![("t-value".to_owned(), VERSION)],
        })
    }
}

impl SchemaSource for Shelf {
    fn ask(&self, question: &Question) -> Option<Result<Arc<Answer>, DataError>> {
        self.asked.borrow_mut().push(question.clone());
        if self.closed.get() {
            return None;
        }
        let mut schemas = self.schemas.borrow_mut();
        let at = |id: u32| (id as usize).checked_sub(1);
        Some(match question {
            Question::Schema { id } => match at(*id).and_then(|at| schemas.get(at)) {
                Some(text) => Ok(self.answer(*id as usize, Some(text))),
                None => Err(DataError::new(format!("Schema {id} not found; error code: 40403"))),
            },
            Question::Register { schema, .. } | Question::Lookup { schema, .. } => {
                assert_eq!(schema.type_, self.kind);
                let at = schemas.iter().position(|text| **text == *schema.text);
                let at = at.unwrap_or_else(|| {
                    schemas.push(schema.text.to_string());
                    schemas.len() - 1
                });
                Ok(self.answer(at + 1, None))
            }
            Question::Latest { .. } => Ok(self.answer(schemas.len(), schemas.last())),
        })
    }
}

/// A message of that schema: the magic byte, the id, the payload's parts.
pub(crate) fn framed(id: u32, payload: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame(id, &mut bytes);
    bytes.extend(payload.concat());
    bytes
}

/// SplitMix64: the same seed gives the same numbers.
pub(crate) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }

    /// Of any size: most numbers are small.
    pub fn long(&mut self) -> i64 {
        let bits = self.below(64);
        self.next() as i64 >> bits
    }

    /// Fewer than `most` characters, those that are written with an escape among them.
    pub fn text(&mut self, most: usize) -> String {
        const LETTERS: [&str; 12] =
            ["a", "Z", "0", " ", "\"", "\\", "\n", "\u{1}", "é", "€", "😀", "/"];
        let length = self.below(most);
        (0..length).map(|_| LETTERS[self.below(LETTERS.len())]).collect()
    }
}
