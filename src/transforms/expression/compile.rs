//! CEL text into a [`Node`]: parsed by the `cel` crate, checked and resolved here.
//!
//! Both go on in a thread of their own, once, at configuration: the parser calls itself for each
//! level of the text, and a core's stack is not for that. Text and depth are bounded, and with them
//! the depth of evaluation.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators,
};
use cel::parser::{ParseErrors, Parser};
use fancy_regex::RegexBuilder;
use millrace_api::transformation::Side;

use super::node::{Comparison, FUNCTIONS, Loop, LoopKind, Name, Node, Operation, Root, Style};

/// Longest expression, bytes.
const MAX_TEXT: usize = 4096;
/// Deepest nesting of what is evaluated.
const MAX_DEPTH: usize = 64;
/// Nesting that the parser takes before it refuses the text.
const MAX_PARSE_DEPTH: u16 = 32;
/// The compiling thread's; only what is used of it is ever memory.
const STACK: usize = 64 << 20;
/// How often a pattern's look-around may start over before a match is given up.
const BACKTRACKS: usize = 10_000;
/// Bytes of a compiled pattern.
const PATTERN_SIZE: usize = 1 << 20;

/// What a transform's expressions look at, all together.
#[derive(Default)]
pub struct Uses {
    pub key: Members,
    pub value: Members,
    pub headers: bool,
}

/// Which top-level members of a side are looked at.
#[derive(Default)]
pub struct Members {
    pub names: Vec<String>,
    /// Somebody wants the side as a whole.
    pub whole: bool,
}

impl Members {
    fn slot(&mut self, name: &str) -> usize {
        let known = self.names.iter().position(|one| one == name);
        known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        })
    }

    pub fn any(&self) -> bool {
        self.whole || !self.names.is_empty()
    }
}

impl Uses {
    pub fn side(&self, side: Side) -> &Members {
        match side {
            Side::Key => &self.key,
            Side::Value => &self.value,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Members {
        match side {
            Side::Key => &mut self.key,
            Side::Value => &mut self.value,
        }
    }
}

/// Compiles `text`; what it looks at is added to `uses`.
///
/// # Errors
/// What is wrong and at which column, for "Invalid value V for configuration K: …".
pub fn compile(text: &str, uses: &mut Uses) -> Result<Node, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("an expression has {MAX_TEXT} bytes at most"));
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("expression".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, || parse(text, uses))
            .map_err(|error| format!("no thread to compile it: {error}"))?
            .join()
            .unwrap_or_else(|_| Err("the expression cannot be parsed".to_owned()))
    })
}

fn parse(text: &str, uses: &mut Uses) -> Result<Node, String> {
    let parser = Parser::new()
        .max_recursion_depth(MAX_PARSE_DEPTH)
        .enable_ident_escape_syntax(true)
        .parse_with_source_info(text);
    let (expression, source) = parser.map_err(|errors| first_error(&errors))?;
    let mut compiler = Compiler { uses, source, locals: Vec::new(), depth: 0 };
    compiler.node(&expression)
}

/// The parser goes on after an error; what it says then is mostly about the first.
fn first_error(errors: &ParseErrors) -> String {
    let Some(error) = errors.errors.first() else { return "cannot be parsed".to_owned() };
    let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
    let (line, column) = error.pos;
    match line {
        0 | 1 => format!("column {}: {message}", column.max(1)),
        line => format!("line {line}, column {column}: {message}"),
    }
}

struct Compiler<'u> {
    uses: &'u mut Uses,
    source: SourceInfo,
    /// Variables of the loops around, outermost first.
    locals: Vec<String>,
    depth: usize,
}

type Compiled = Result<Node, String>;

impl Compiler<'_> {
    /// `what`, with the column where `expression` stands.
    fn wrong(&self, expression: &IdedExpr, what: impl std::fmt::Display) -> String {
        match self.source.offset_for(expression.id) {
            Some((start, _)) => format!("column {}: {what}", start + 1),
            None => what.to_string(),
        }
    }

    fn node(&mut self, expression: &IdedExpr) -> Compiled {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong(expression, "nested too deep"));
        }
        self.depth += 1;
        let node = self.node_within(expression);
        self.depth -= 1;
        node
    }

    fn boxed(&mut self, expression: &IdedExpr) -> Result<Box<Node>, String> {
        self.node(expression).map(Box::new)
    }

    fn node_within(&mut self, expression: &IdedExpr) -> Compiled {
        match &expression.expr {
            Expr::Unspecified => Err(self.wrong(expression, "nothing stands here")),
            Expr::Literal(literal) => self.literal(expression, literal),
            Expr::Ident(name) => self.variable(expression, name),
            Expr::Select(select) => {
                let field = self.field(&select.operand, &select.field)?;
                Ok(if select.test { Node::Has(Box::new(field)) } else { field })
            }
            Expr::List(list) => {
                let items = list.elements.iter().map(|item| self.node(item));
                items.collect::<Result<_, _>>().map(Node::List)
            }
            Expr::Map(map) => {
                let mut entries = Vec::new();
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
                    entries.push((self.node(&entry.key)?, self.node(&entry.value)?));
                }
                Ok(Node::Map(entries.into()))
            }
            Expr::Struct(_) => Err(self.wrong(expression, "messages cannot be made; use a map")),
            Expr::Call(call) => self.call(expression, call),
            Expr::Comprehension(comprehension) => self.comprehension(expression, comprehension),
        }
    }

    fn literal(&self, expression: &IdedExpr, literal: &LiteralValue) -> Compiled {
        Ok(match literal {
            LiteralValue::Null => Node::Null,
            LiteralValue::Boolean(value) => Node::Bool(**value),
            LiteralValue::Int(value) => Node::Int(**value),
            LiteralValue::Double(value) => Node::Double(**value),
            LiteralValue::String(text) => Node::Text(text.inner().into()),
            LiteralValue::Bytes(bytes) => Node::Bytes(bytes.inner().into()),
            LiteralValue::UInt(_) => {
                let what = "there are no unsigned integers; leave the u away";
                return Err(self.wrong(expression, what));
            }
        })
    }

    fn variable(&mut self, expression: &IdedExpr, name: &str) -> Compiled {
        if let Some(node) = self.local(name) {
            return Ok(node);
        }
        let root = match name {
            "key" => Root::Side(Side::Key),
            "value" => Root::Side(Side::Value),
            "topic" => Root::Topic,
            "partition" => Root::Partition,
            "offset" => Root::Offset,
            "timestamp" => Root::Timestamp,
            "headers" => Root::Headers,
            _ => {
                let what = format!(
                    "no variable {name}; there are key, value, topic, partition, offset, timestamp \
                     and headers"
                );
                return Err(self.wrong(expression, what));
            }
        };
        match root {
            Root::Side(side) => self.uses.side_mut(side).whole = true,
            Root::Headers => self.uses.headers = true,
            _ => {}
        }
        Ok(Node::Root(root))
    }

    fn local(&self, name: &str) -> Option<Node> {
        let out = self.locals.iter().rev().position(|local| local == name)?;
        Some(Node::Local(out))
    }

    /// `operand.name`; of a side, its member; of the headers, the header.
    fn field(&mut self, operand: &IdedExpr, name: &str) -> Compiled {
        if let Expr::Ident(root) = &operand.expr
            && self.local(root).is_none()
        {
            let side = match root.as_str() {
                "key" => Some(Side::Key),
                "value" => Some(Side::Value),
                "headers" => {
                    self.uses.headers = true;
                    return Ok(Node::Header(name.into()));
                }
                _ => None,
            };
            if let Some(side) = side {
                let slot = self.uses.side_mut(side).slot(name);
                return Ok(Node::Member(side, slot, Name::new(name)));
            }
        }
        Ok(Node::Field(self.boxed(operand)?, Name::new(name)))
    }

    fn call(&mut self, expression: &IdedExpr, call: &CallExpr) -> Compiled {
        let arguments: Vec<&IdedExpr> =
            call.target.as_deref().into_iter().chain(&call.args).collect();
        let pair = |compiler: &mut Self| -> Result<Box<[Node; 2]>, String> {
            let [left, right] = arguments[..] else {
                return Err(compiler.wrong(expression, "two operands are wanted"));
            };
            Ok(Box::new([compiler.node(left)?, compiler.node(right)?]))
        };
        Ok(match (call.func_name.as_str(), &arguments[..]) {
            (operators::LOGICAL_AND, _) => Node::And(pair(self)?),
            (operators::LOGICAL_OR, _) => Node::Or(pair(self)?),
            (operators::LOGICAL_NOT, [operand]) => Node::Not(self.boxed(operand)?),
            (operators::NEGATE, [operand]) => Node::Negate(self.boxed(operand)?),
            (operators::CONDITIONAL, [test, yes, no]) => {
                Node::If(Box::new([self.node(test)?, self.node(yes)?, self.node(no)?]))
            }
            (operators::IN, _) => Node::In(pair(self)?),
            // A literal name is as good as a dot.
            (operators::INDEX, [operand, index]) => match &index.expr {
                Expr::Literal(LiteralValue::String(name)) => self.field(operand, name.inner())?,
                _ => Node::Index(pair(self)?),
            },
            (name, _) if comparison(name).is_some() => {
                let comparison = comparison(name).unwrap_or(Comparison::Equal);
                match self.side_against_null(comparison, &arguments) {
                    Some(node) => node,
                    None => Node::Compare(comparison, pair(self)?),
                }
            }
            (name, _) => match operation(name) {
                Some(operation) => Node::Arithmetic(operation, pair(self)?),
                None => self.function(expression, call, &arguments)?,
            },
        })
    }

    fn side_against_null(&self, comparison: Comparison, operands: &[&IdedExpr]) -> Option<Node> {
        let negate = match comparison {
            Comparison::Equal => false,
            Comparison::NotEqual => true,
            _ => return None,
        };
        let side = match operands {
            [IdedExpr { expr: Expr::Ident(name), .. }, other]
            | [other, IdedExpr { expr: Expr::Ident(name), .. }]
                if other.expr == Expr::Literal(LiteralValue::Null)
                    && self.local(name).is_none() =>
            {
                name
            }
            _ => return None,
        };
        match side.as_str() {
            "key" => Some(Node::IsNull(Side::Key, negate)),
            "value" => Some(Node::IsNull(Side::Value, negate)),
            _ => None,
        }
    }

    fn function(
        &mut self,
        expression: &IdedExpr,
        call: &CallExpr,
        arguments: &[&IdedExpr],
    ) -> Compiled {
        let name = call.func_name.as_str();
        if name == "matches" {
            return self.matches(expression, arguments);
        }
        let known = FUNCTIONS.iter().find(|(known, ..)| *known == name);
        let Some((_, function, style, [least, most])) = known else {
            let list: Vec<_> = FUNCTIONS.iter().map(|(name, ..)| *name).collect();
            let what = format!(
                "no function {name}; there are {}, matches and the macros",
                list.join(", ")
            );
            return Err(self.wrong(expression, what));
        };
        match (style, &call.target) {
            (Style::Global, Some(_)) => {
                return Err(self.wrong(expression, format!("write {name}(…), without a dot")));
            }
            (Style::Member, None) => {
                return Err(self.wrong(expression, format!("write text.{name}(…), with a dot")));
            }
            _ => {}
        }
        if !(*least..=*most).contains(&arguments.len()) {
            let what = format!("{name} has another number of arguments");
            return Err(self.wrong(expression, what));
        }
        let operands = arguments.iter().map(|operand| self.node(operand));
        Ok(Node::Call(*function, operands.collect::<Result<_, _>>()?))
    }

    fn matches(&mut self, expression: &IdedExpr, arguments: &[&IdedExpr]) -> Compiled {
        let [text, pattern] = arguments else {
            return Err(self.wrong(expression, "matches wants a text and a pattern"));
        };
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return Err(self.wrong(pattern, "the pattern of matches must be a literal"));
        };
        let regex = RegexBuilder::new(literal.inner())
            .backtrack_limit(BACKTRACKS)
            .delegate_size_limit(PATTERN_SIZE)
            .build()
            .map_err(|error| self.wrong(pattern, format!("invalid pattern: {error}")))?;
        Ok(Node::Matches(self.boxed(text)?, Box::new(regex)))
    }

    /// A macro, known again by the shape that the parser gives each of them.
    fn comprehension(&mut self, at: &IdedExpr, macro_: &ComprehensionExpr) -> Compiled {
        let step = match &macro_.loop_step.expr {
            Expr::Call(step) => step,
            _ => return Err(self.wrong(at, "this macro is not supported")),
        };
        let (kind, test, give) = match (&macro_.accu_init.expr, &step.args[..]) {
            (Expr::Literal(LiteralValue::Boolean(start)), [_, test]) => {
                (if **start { LoopKind::All } else { LoopKind::Exists }, Some(test), None)
            }
            (Expr::Literal(LiteralValue::Int(_)), [test, ..]) => {
                (LoopKind::ExistsOne, Some(test), None)
            }
            (Expr::List(_), [_, given]) => (LoopKind::Map, None, only_item(given)),
            (Expr::List(_), [test, IdedExpr { expr: Expr::Call(add), .. }, _]) => {
                (LoopKind::Map, Some(test), add.args.get(1).and_then(only_item))
            }
            _ => return Err(self.wrong(at, "this macro is not supported")),
        };
        if macro_.iter_var2.is_some() || (kind == LoopKind::Map) != give.is_some() {
            return Err(self.wrong(at, "this macro is not supported"));
        }
        let range = self.node(&macro_.iter_range)?;
        self.locals.push(macro_.iter_var.clone());
        let test = test.map(|test| self.node(test)).transpose();
        let give = give.map(|give| self.node(give)).transpose();
        self.locals.pop();
        Ok(Node::Loop(Box::new(Loop { kind, range, test: test?, give: give? })))
    }
}

/// The item of a list of one.
fn only_item(expression: &IdedExpr) -> Option<&IdedExpr> {
    match &expression.expr {
        Expr::List(list) => list.elements.first(),
        _ => None,
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        operators::ADD => Operation::Add,
        operators::SUBSTRACT => Operation::Subtract,
        operators::MULTIPLY => Operation::Multiply,
        operators::DIVIDE => Operation::Divide,
        operators::MODULO => Operation::Modulo,
        _ => return None,
    })
}
