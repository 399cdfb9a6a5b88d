//! How a list of [`JsonOp`]s becomes a table: what becomes of a member, by its name.
//!
//! The transforms are carried out once, on symbols: every name that an operation mentions stands
//! for a member that may be there, every InsertField and MaskField may create one. What comes out
//! for each is a fate by the kind of its value; members that nobody mentions share one fate.

use super::patch::{Inserted, JsonOp};
use super::scan::Kind;
use super::text::write_string;
use crate::number_text::{BigDecimal, write_double};

/// Kinds of a member's value, in the order of [`Kind`].
pub(super) const KINDS: usize = 7;

/// A range of the plan's constant text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    pub at: u32,
    pub len: u32,
}

/// What a value becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Keep,
    Literal(Literal),
    Topic,
    Partition,
    Timestamp,
    Offset,
    /// What the call of that index makes of it.
    Call(u16),
    /// The message with that index.
    Fail(u32),
}

/// A member of the source whose name an operation mentions.
#[derive(Debug)]
pub(super) struct SourceFate {
    /// The new name, quoted.
    pub rename: Option<Literal>,
    pub dropped: bool,
    pub outcomes: [Outcome; KINDS],
    /// Sources that end under the same name: of those present the last in the document stays.
    pub rivals: u64,
    /// Created members of the same name: they stay.
    pub created_rivals: u64,
}

/// A member that an operation adds if none of its name is there.
#[derive(Debug)]
pub(super) struct CreatedFate {
    pub blocking_sources: u64,
    pub blocking_created: u64,
    /// Later ones of the same name: they stay.
    pub rivals: u64,
    pub dropped: bool,
    /// `,"name":`, and the value behind it if it is constant.
    pub text: Literal,
    pub outcome: Outcome,
}

/// The fates of all members.
#[derive(Debug)]
pub(super) struct Fates {
    pub sources: Vec<SourceFate>,
    pub created: Vec<CreatedFate>,
    /// Members that nobody mentions stay.
    pub keep_others: bool,
}

/// Constant text and messages that the fates refer to.
#[derive(Default)]
pub(super) struct Constants {
    pub text: Vec<u8>,
    /// With the step that says it, to find which of several comes first.
    pub messages: Vec<(u32, String)>,
}

impl Constants {
    fn literal(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Literal {
        let at = self.text.len();
        write(&mut self.text);
        Literal { at: at as u32, len: (self.text.len() - at) as u32 }
    }

    fn message(&mut self, message: (u32, String)) -> u32 {
        let known = self.messages.iter().position(|other| *other == message);
        known.unwrap_or_else(|| {
            self.messages.push(message);
            self.messages.len() - 1
        }) as u32
    }

    fn outcome(&mut self, symbol: &Symbol) -> Outcome {
        match symbol {
            Symbol::Keep => Outcome::Keep,
            Symbol::Fail(step, message) => Outcome::Fail(self.message((*step, message.clone()))),
            Symbol::Call(index) => Outcome::Call(*index),
            Symbol::Known(Known::Topic) => Outcome::Topic,
            Symbol::Known(Known::Partition) => Outcome::Partition,
            Symbol::Known(Known::Timestamp) => Outcome::Timestamp,
            Symbol::Known(Known::Offset) => Outcome::Offset,
            Symbol::Known(known) => Outcome::Literal(self.literal(|out| known.write(out))),
        }
    }
}

/// A value that is known without the record, or known to come from its metadata.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    Null,
    Text(String),
    Integer(i32),
    Long(i64),
    Double(f64),
    False,
    EmptyList,
    EmptyMap,
    Topic,
    Partition,
    Timestamp,
    Offset,
}

impl Known {
    fn of(what: &Inserted) -> Self {
        match what {
            Inserted::Static(text) => Self::Text(text.clone()),
            Inserted::Topic => Self::Topic,
            Inserted::Partition => Self::Partition,
            Inserted::Timestamp => Self::Timestamp,
            Inserted::Offset => Self::Offset,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => write_string(text, out),
            Self::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Long(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Double(number) if !number.is_finite() => {
                out.push(b'"');
                write_double(*number, out);
                out.push(b'"');
            }
            Self::Double(number) => write_double(*number, out),
            Self::False => out.extend_from_slice(b"false"),
            Self::EmptyList => out.extend_from_slice(b"[]"),
            Self::EmptyMap => out.extend_from_slice(b"{}"),
            // The rest are not constant, or null.
            _ => out.extend_from_slice(b"null"),
        }
    }

    /// A value of the type that MaskField would find; only the type matters.
    fn of_kind(kind: usize) -> Self {
        const EXAMPLES: [Kind; KINDS] = [
            Kind::String,
            Kind::Integer,
            Kind::Double,
            Kind::Boolean,
            Kind::Array,
            Kind::Object,
            Kind::Null,
        ];
        match EXAMPLES[kind] {
            Kind::String => Self::Text(String::new()),
            Kind::Integer => Self::Long(0),
            Kind::Double => Self::Double(0.0),
            Kind::Boolean => Self::False,
            Kind::Array => Self::EmptyList,
            Kind::Object => Self::EmptyMap,
            Kind::Null | Kind::Empty => Self::Null,
        }
    }

    /// MaskField on a value of this type, with Java's words where it refuses.
    fn masked(&self, replacement: Option<&str>) -> Result<Self, String> {
        let number = |text: &str| {
            BigDecimal::parse(text).ok_or_else(|| {
                format!("Unable to convert {text} (class java.lang.String) to a number")
            })
        };
        let refuse = |class: &str| {
            Err(format!("Cannot mask value of type class {class} with custom replacement."))
        };
        Ok(match (self, replacement) {
            (Self::Null, _) => Self::Null,
            (Self::Text(_) | Self::Topic, text) => Self::Text(text.unwrap_or_default().to_owned()),
            (Self::Integer(_) | Self::Partition, None) => Self::Integer(0),
            (Self::Integer(_) | Self::Partition, Some(text)) => {
                Self::Integer(number(text)?.long_value() as i32)
            }
            (Self::Long(_) | Self::Timestamp | Self::Offset, None) => Self::Long(0),
            (Self::Long(_) | Self::Timestamp | Self::Offset, Some(text)) => {
                Self::Long(number(text)?.long_value())
            }
            (Self::Double(_), None) => Self::Double(0.0),
            (Self::Double(_), Some(text)) => Self::Double(number(text)?.double_value()),
            (Self::False, None) => Self::False,
            (Self::EmptyList, None) => Self::EmptyList,
            (Self::EmptyMap, None) => Self::EmptyMap,
            (Self::False, Some(_)) => return refuse("java.lang.Boolean"),
            (Self::EmptyList, Some(_)) => return refuse("java.util.ArrayList"),
            (Self::EmptyMap, Some(_)) => return refuse("java.util.HashMap"),
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Symbol {
    Keep,
    Known(Known),
    /// What the call of that index makes of it.
    Call(u16),
    /// The step and its message.
    Fail(u32, String),
}

impl Symbol {
    fn mask(&mut self, kind: usize, step: u32, replacement: Option<&str>) {
        let known = match self {
            Self::Fail(..) | Self::Call(_) => return,
            Self::Keep => Known::of_kind(kind),
            Self::Known(known) => known.clone(),
        };
        if known == Known::Null {
            return;
        }
        *self = match known.masked(replacement) {
            Ok(masked) => Self::Known(masked),
            Err(message) => Self::Fail(step, message),
        };
    }
}

/// A member that may be there, on its way through the operations.
struct Entity {
    /// The name in the document; `None`: created.
    source: Option<String>,
    /// The name by now; `None`: dropped.
    name: Option<String>,
    symbols: [Symbol; KINDS],
    blocking_sources: u64,
    blocking_created: u64,
}

/// Every name that the operations mention, each once.
pub(super) fn names(ops: &[JsonOp]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut mention = |name: &String| {
        if !names.contains(name) {
            names.push(name.clone());
        }
    };
    for op in ops {
        match op {
            JsonOp::Insert { name, .. }
            | JsonOp::Convert { name, .. }
            | JsonOp::Extract { name } => mention(name),
            JsonOp::Hoist { .. } | JsonOp::Flatten { .. } => {}
            JsonOp::Mask { names, .. } => names.iter().for_each(&mut mention),
            JsonOp::Replace { include, exclude, renames } => {
                include.iter().chain(exclude).for_each(&mut mention);
                renames.iter().for_each(|(old, new)| {
                    mention(old);
                    mention(new);
                });
            }
        }
    }
    names
}

/// Carries the operations out; `None` if there is more than the tables can hold. `timestamp`: the
/// record has one.
pub(super) fn compile(
    ops: &[JsonOp],
    names: &[String],
    timestamp: bool,
    constants: &mut Constants,
) -> Option<Fates> {
    let mut machine = Machine {
        entities: names.iter().map(|name| Entity::source(name)).collect(),
        sources: names.len(),
        keep_others: true,
    };
    let mut step = 0;
    let mut calls = 0;
    for op in ops {
        match op {
            JsonOp::Insert { name, .. } if machine.calls(name) => return None,
            JsonOp::Mask { names, .. } if names.iter().any(|name| machine.calls(name)) => {
                return None;
            }
            JsonOp::Insert { what: Inserted::Timestamp, .. } if !timestamp => {}
            JsonOp::Insert { name, what } => {
                machine.set(name, Known::of(what), |symbol, _| {
                    if !matches!(symbol, Symbol::Fail(..)) {
                        *symbol = Symbol::Known(Known::of(what));
                    }
                });
            }
            JsonOp::Mask { names, replacement } => {
                for name in names {
                    step += 1;
                    machine.set(name, Known::Null, |symbol, kind| {
                        symbol.mask(kind, step, replacement.as_deref());
                    });
                }
            }
            JsonOp::Replace { include, exclude, renames } => {
                machine.replace(include, exclude, renames);
                // A value that is dropped may be one that the call refuses.
                if machine.entities.iter().any(|entity| entity.name.is_none() && entity.calls()) {
                    return None;
                }
            }
            JsonOp::Convert { name, .. } => {
                if !machine.untouched(name) {
                    return None;
                }
                machine.set(name, Known::Null, |symbol, kind| {
                    if kind != Kind::Null as usize {
                        *symbol = Symbol::Call(calls);
                    }
                });
                calls += 1;
            }
            // They stand around the others.
            JsonOp::Hoist { .. } | JsonOp::Extract { .. } | JsonOp::Flatten { .. } => return None,
        }
    }
    machine.fates(constants)
}

/// What stands around the other operations, behind all of which it comes.
#[derive(Default)]
pub(super) struct Around {
    pub hoist: Option<(Literal, Literal)>,
    pub extract: Option<u8>,
    /// Alone.
    pub flatten: Option<Vec<u8>>,
}

impl Around {
    /// Parted from the others; `None` if one of those would have to come behind it, or if they
    /// touch what is extracted or may refuse a record.
    pub fn of<'o>(
        ops: &'o [JsonOp],
        names: &[String],
        constants: &mut Constants,
    ) -> Option<(Self, &'o [JsonOp])> {
        match ops.split_last() {
            Some((JsonOp::Hoist { .. }, _)) => {
                let is_hoist = |op: &&JsonOp| matches!(op, JsonOp::Hoist { .. });
                let count = ops.iter().rev().take_while(is_hoist).count();
                let (before, hoists) = ops.split_at(ops.len() - count);
                let prefix = constants.literal(|out| {
                    // The last one is the outermost.
                    for op in hoists.iter().rev() {
                        let JsonOp::Hoist { name } = op else { continue };
                        out.push(b'{');
                        write_string(name, out);
                        out.push(b':');
                    }
                });
                let suffix = constants.literal(|out| out.resize(out.len() + count, b'}'));
                Some((Self { hoist: Some((prefix, suffix)), ..Self::default() }, before))
            }
            Some((JsonOp::Extract { name }, before)) => {
                // A replacement may be refused, an include drops others, a call may fail.
                let sure = |op: &JsonOp| match op {
                    JsonOp::Mask { replacement, .. } => replacement.is_none(),
                    JsonOp::Replace { include, .. } => include.is_empty(),
                    JsonOp::Convert { .. } => false,
                    _ => true,
                };
                let spared = before.iter().all(|op| sure(op) && op.spares(name));
                let source = names.iter().position(|known| known == name)?;
                let extract = Some(u8::try_from(source).ok()?);
                spared.then_some((Self { extract, ..Self::default() }, before))
            }
            Some((JsonOp::Flatten { delimiter }, [])) => {
                let mut quoted = Vec::new();
                write_string(delimiter, &mut quoted);
                let within = quoted.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
                Some((Self { flatten: within.map(<[u8]>::to_vec), ..Self::default() }, &[]))
            }
            _ => Some((Self::default(), ops)),
        }
    }
}

impl Entity {
    fn calls(&self) -> bool {
        self.symbols.iter().any(|symbol| matches!(symbol, Symbol::Call(_)))
    }

    fn source(name: &str) -> Self {
        Self {
            source: Some(name.to_owned()),
            name: Some(name.to_owned()),
            symbols: std::array::from_fn(|_| Symbol::Keep),
            blocking_sources: 0,
            blocking_created: 0,
        }
    }
}

struct Machine {
    /// The sources first, then what was created, in order.
    entities: Vec<Entity>,
    sources: usize,
    keep_others: bool,
}

impl Machine {
    /// Is a member of that name converted?
    fn calls(&self, name: &str) -> bool {
        let mut named = self.entities.iter().filter(|one| one.name.as_deref() == Some(name));
        named.any(Entity::calls)
    }

    /// Is a member of that name as the document has it?
    fn untouched(&self, name: &str) -> bool {
        let mut named = self.entities.iter().filter(|one| one.name.as_deref() == Some(name));
        named.all(|one| one.symbols.iter().all(|symbol| *symbol == Symbol::Keep))
    }

    /// Changes the members of that name, and creates one with `value` for when there is none.
    fn set(&mut self, name: &str, value: Known, change: impl Fn(&mut Symbol, usize)) {
        let (mut blocking_sources, mut blocking_created) = (0, 0);
        for (at, entity) in self.entities.iter_mut().enumerate() {
            if entity.name.as_deref() != Some(name) {
                continue;
            }
            for (kind, symbol) in entity.symbols.iter_mut().enumerate() {
                change(symbol, kind);
            }
            // Bits past the tables' size are caught in `fates`.
            if at < self.sources {
                blocking_sources |= 1u64.checked_shl(at as u32).unwrap_or(0);
            } else {
                blocking_created |= 1u64.checked_shl((at - self.sources) as u32).unwrap_or(0);
            }
        }
        self.entities.push(Entity {
            source: None,
            name: Some(name.to_owned()),
            symbols: std::array::from_fn(|_| Symbol::Known(value.clone())),
            blocking_sources,
            blocking_created,
        });
    }

    fn replace(&mut self, include: &[String], exclude: &[String], renames: &[(String, String)]) {
        self.keep_others &= include.is_empty();
        for entity in &mut self.entities {
            let Some(name) = &entity.name else { continue };
            if exclude.contains(name) || !(include.is_empty() || include.contains(name)) {
                entity.name = None;
            } else if let Some((_, new)) = renames.iter().rev().find(|(old, _)| old == name) {
                entity.name = Some(new.clone());
            }
        }
    }

    /// Bits of the entities in `range` that end under the name of `entity`.
    fn same_name(&self, entity: &Entity, range: std::ops::Range<usize>) -> u64 {
        let base = range.start;
        let mut bits = 0;
        for at in range {
            let other = &self.entities[at];
            if entity.name.is_some() && entity.name == other.name && !std::ptr::eq(entity, other) {
                bits |= 1 << (at - base);
            }
        }
        bits
    }

    fn fates(&self, constants: &mut Constants) -> Option<Fates> {
        let all = self.entities.len();
        if self.sources > 64 || all - self.sources > 64 {
            return None;
        }
        let sources = self.entities[..self.sources].iter().map(|entity| {
            let new_name = entity.name.as_ref().filter(|_| entity.name != entity.source);
            SourceFate {
                rename: new_name.map(|name| constants.literal(|out| write_string(name, out))),
                dropped: entity.name.is_none(),
                outcomes: std::array::from_fn(|kind| constants.outcome(&entity.symbols[kind])),
                rivals: self.same_name(entity, 0..self.sources),
                created_rivals: self.same_name(entity, self.sources..all),
            }
        });
        let sources = sources.collect();
        let mut created = Vec::new();
        for (at, entity) in self.entities[self.sources..].iter().enumerate() {
            let name = entity.name.as_deref().unwrap_or_default();
            let mut outcome = constants.outcome(&entity.symbols[0]);
            let text = constants.literal(|out| {
                out.push(b',');
                write_string(name, out);
                out.push(b':');
                if let (Outcome::Literal(_), Symbol::Known(known)) = (outcome, &entity.symbols[0]) {
                    known.write(out);
                    outcome = Outcome::Keep;
                }
            });
            created.push(CreatedFate {
                blocking_sources: entity.blocking_sources,
                blocking_created: entity.blocking_created,
                // Shifted twice: the last of 64 has no later one.
                rivals: self.same_name(entity, self.sources..all) >> at >> 1 << at << 1,
                dropped: entity.name.is_none(),
                text,
                outcome,
            });
        }
        Some(Fates { sources, created, keep_others: self.keep_others })
    }
}
