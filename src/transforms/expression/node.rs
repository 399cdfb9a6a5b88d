//! An expression as it is evaluated: names resolved, macros taken back from what the parser made of
//! them, patterns compiled.

use std::cell::Cell;

use fancy_regex::Regex;
use millrace_api::transformation::Side;

/// A variable of the record itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    Side(Side),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Headers,
}

/// A field's name, and at which place of a map or struct it was found last: records of one topic
/// mostly have one order.
pub struct Name {
    pub text: Box<str>,
    pub hint: Cell<usize>,
}

impl Name {
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), hint: Cell::new(0) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operation {
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

/// A function of CEL's standard library or of its strings extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Size,
    ToString,
    ToInt,
    ToDouble,
    ToBool,
    ToBytes,
    Dyn,
    Contains,
    StartsWith,
    EndsWith,
    LowerAscii,
    UpperAscii,
    Trim,
    IndexOf,
    Substring,
    Replace,
    Split,
    Join,
}

/// Name, function, whether it may be called on a target (`a.f()`) or not (`f(a)`), and how many
/// operands it takes, the target among them.
pub const FUNCTIONS: &[(&str, Function, Style, [usize; 2])] = &[
    ("size", Function::Size, Style::Both, [1, 1]),
    ("string", Function::ToString, Style::Global, [1, 1]),
    ("int", Function::ToInt, Style::Global, [1, 1]),
    ("double", Function::ToDouble, Style::Global, [1, 1]),
    ("bool", Function::ToBool, Style::Global, [1, 1]),
    ("bytes", Function::ToBytes, Style::Global, [1, 1]),
    ("dyn", Function::Dyn, Style::Global, [1, 1]),
    ("contains", Function::Contains, Style::Member, [2, 2]),
    ("startsWith", Function::StartsWith, Style::Member, [2, 2]),
    ("endsWith", Function::EndsWith, Style::Member, [2, 2]),
    ("lowerAscii", Function::LowerAscii, Style::Member, [1, 1]),
    ("upperAscii", Function::UpperAscii, Style::Member, [1, 1]),
    ("trim", Function::Trim, Style::Member, [1, 1]),
    ("indexOf", Function::IndexOf, Style::Member, [2, 2]),
    ("substring", Function::Substring, Style::Member, [2, 3]),
    ("replace", Function::Replace, Style::Member, [3, 3]),
    ("split", Function::Split, Style::Member, [2, 2]),
    ("join", Function::Join, Style::Member, [1, 2]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Global,
    Member,
    Both,
}

impl Function {
    pub fn name(self) -> &'static str {
        let known = FUNCTIONS.iter().find(|(_, function, ..)| *function == self);
        known.map_or("?", |(name, ..)| name)
    }
}

/// `all`, `exists`, `exists_one`, `map` and `filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopKind {
    All,
    Exists,
    ExistsOne,
    /// With or without a condition; `filter` gives the item itself.
    Map,
}

pub struct Loop {
    pub kind: LoopKind,
    pub range: Node,
    /// Always there but for a map without a condition.
    pub test: Option<Node>,
    /// Of a map.
    pub give: Option<Node>,
}

pub enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Root(Root),
    /// `key.name`, `value.name`: the slot is the name's place in [`super::compile::Uses`].
    Member(Side, usize, Name),
    /// The last header of that name.
    Header(Box<str>),
    /// The variable of the loop so many loops further out.
    Local(usize),
    Field(Box<Node>, Name),
    /// `has()` of a member, header or field.
    Has(Box<Node>),
    Index(Box<[Node; 2]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    If(Box<[Node; 3]>),
    /// A side against null, which needs no look into it.
    IsNull(Side, bool),
    Compare(Comparison, Box<[Node; 2]>),
    Arithmetic(Operation, Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    List(Box<[Node]>),
    Map(Box<[(Node, Node)]>),
    Call(Function, Box<[Node]>),
    Matches(Box<Node>, Box<Regex>),
    Loop(Box<Loop>),
}

impl Node {
    /// The path of names, and the side that it begins at, of a member and nothing more.
    pub fn path(&self) -> Option<(Side, Vec<String>)> {
        match self {
            Self::Member(side, _, name) => Some((*side, vec![name.text.to_string()])),
            Self::Field(operand, name) => {
                let (side, mut path) = operand.path()?;
                path.push(name.text.to_string());
                Some((side, path))
            }
            _ => None,
        }
    }
}
