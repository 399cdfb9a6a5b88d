//! The schema of an expression's value, told from the schemas of what it reads: every record of one
//! input schema gets one output schema, whatever its values are.

use std::sync::Arc;

use millrace_api::transformation::Side;
use millrace_converters::{Field, Schema, SchemaType, Value};

use super::fault::{float, int, type_name};
use super::node::{Function, Loop, LoopKind, Node, Operation, Root};

/// What is known of an expression's value.
#[derive(Clone)]
pub enum Kind {
    /// Always null, or never a value at all.
    Null,
    Of(Arc<Schema>),
    /// Only the record knows.
    Unknown,
}

/// Infers over the schema of one side; what comes from the other is not known.
pub struct Inference<'s> {
    pub side: Side,
    pub schema: &'s Schema,
    locals: Vec<Kind>,
}

fn optional(type_: SchemaType) -> Kind {
    Kind::Of(Arc::new(Schema::new(type_).optional()))
}

fn made_optional(schema: &Arc<Schema>) -> Arc<Schema> {
    if schema.optional {
        return Arc::clone(schema);
    }
    Arc::new(Schema { optional: true, ..(**schema).clone() })
}

fn is_int(schema: &Schema) -> bool {
    use SchemaType::{Int8, Int16, Int32, Int64};
    schema.name.is_none() && matches!(schema.type_, Int8 | Int16 | Int32 | Int64)
}

fn is_float(schema: &Schema) -> bool {
    schema.name.is_none() && matches!(schema.type_, SchemaType::Float32 | SchemaType::Float64)
}

/// The kind of a value that is one or the other.
fn either(one: Kind, other: Kind) -> Kind {
    match (one, other) {
        (Kind::Unknown, _) | (_, Kind::Unknown) => Kind::Unknown,
        (Kind::Null, Kind::Of(schema)) | (Kind::Of(schema), Kind::Null) => {
            Kind::Of(made_optional(&schema))
        }
        (Kind::Null, Kind::Null) => Kind::Null,
        (Kind::Of(one), Kind::Of(other)) => {
            let (one, other) = (made_optional(&one), made_optional(&other));
            let numeric = |schema: &Schema| is_int(schema) || is_float(schema);
            if one == other {
                Kind::Of(one)
            } else if is_int(&one) && is_int(&other) {
                optional(SchemaType::Int64)
            } else if numeric(&one) && numeric(&other) {
                optional(SchemaType::Float64)
            } else if one.type_ == other.type_ && one.type_ == SchemaType::String {
                optional(SchemaType::String)
            } else {
                Kind::Unknown
            }
        }
    }
}

impl<'s> Inference<'s> {
    pub fn new(side: Side, schema: &'s Schema) -> Self {
        Self { side, schema, locals: Vec::new() }
    }

    /// The schema of the field that `node` is set into, always optional; `None`: it cannot be told.
    pub fn schema_of(&mut self, node: &Node) -> Option<Arc<Schema>> {
        match self.kind(node) {
            Kind::Of(schema) => Some(made_optional(&schema)),
            Kind::Null => Some(Arc::new(Schema::new(SchemaType::String).optional())),
            Kind::Unknown => None,
        }
    }

    fn kind(&mut self, node: &Node) -> Kind {
        match node {
            Node::Null => Kind::Null,
            Node::Int(_) => optional(SchemaType::Int64),
            Node::Double(_) => optional(SchemaType::Float64),
            Node::Text(_) => optional(SchemaType::String),
            Node::Bytes(_) => optional(SchemaType::Bytes),
            Node::Bool(_)
            | Node::Has(_)
            | Node::Not(_)
            | Node::And(_)
            | Node::Or(_)
            | Node::IsNull(..)
            | Node::Compare(..)
            | Node::In(_)
            | Node::Matches(..) => optional(SchemaType::Boolean),
            Node::Root(root) => self.root(*root),
            Node::Member(side, _, name) if *side == self.side => field(self.schema, &name.text),
            Node::Member(..) | Node::Header(_) => Kind::Unknown,
            Node::Local(out) => {
                let at = self.locals.len().checked_sub(out + 1);
                at.and_then(|at| self.locals.get(at).cloned()).unwrap_or(Kind::Unknown)
            }
            Node::Field(operand, name) => match self.kind(operand) {
                Kind::Of(schema) => field(&schema, &name.text),
                _ => Kind::Unknown,
            },
            Node::Index(pair) => match self.kind(&pair[0]) {
                Kind::Of(schema) => items(&schema),
                _ => Kind::Unknown,
            },
            Node::Negate(operand) => {
                let kind = self.kind(operand);
                self.number(kind.clone(), kind)
            }
            Node::If(parts) => {
                let (yes, no) = (self.kind(&parts[1]), self.kind(&parts[2]));
                either(yes, no)
            }
            Node::Arithmetic(operation, pair) => {
                let (left, right) = (self.kind(&pair[0]), self.kind(&pair[1]));
                self.arithmetic(*operation, left, right)
            }
            Node::List(list) => {
                let items = list.iter().map(|item| self.kind(item)).reduce(either);
                array(items.unwrap_or(Kind::Null))
            }
            Node::Map(entries) => {
                let keys = entries.iter().map(|(key, _)| self.kind(key)).reduce(either);
                let values = entries.iter().map(|(_, value)| self.kind(value)).reduce(either);
                match (keys, values) {
                    (Some(Kind::Of(keys)), Some(Kind::Of(values))) => {
                        Kind::Of(Arc::new(Schema::map(keys, made_optional(&values)).optional()))
                    }
                    _ => Kind::Unknown,
                }
            }
            Node::Call(function, operands) => self.call(*function, operands),
            Node::Loop(looped) => self.looped(looped),
        }
    }

    fn root(&self, root: Root) -> Kind {
        match root {
            Root::Side(side) if side == self.side => Kind::Of(Arc::new(self.schema.clone())),
            Root::Side(_) | Root::Headers => Kind::Unknown,
            Root::Topic => optional(SchemaType::String),
            Root::Partition | Root::Offset | Root::Timestamp => optional(SchemaType::Int64),
        }
    }

    fn looped(&mut self, looped: &Loop) -> Kind {
        if looped.kind != LoopKind::Map {
            return optional(SchemaType::Boolean);
        }
        let item = match self.kind(&looped.range) {
            Kind::Of(schema) if schema.type_ == SchemaType::Map => {
                schema.key_schema.clone().map_or(Kind::Unknown, Kind::Of)
            }
            Kind::Of(schema) if schema.type_ == SchemaType::Struct => optional(SchemaType::String),
            Kind::Of(schema) => items(&schema),
            _ => Kind::Unknown,
        };
        self.locals.push(item);
        let given = looped.give.as_ref().map_or(Kind::Unknown, |give| self.kind(give));
        self.locals.pop();
        array(given)
    }

    fn number(&self, left: Kind, right: Kind) -> Kind {
        match (left, right) {
            (Kind::Of(left), Kind::Of(right)) if is_int(&left) && is_int(&right) => {
                optional(SchemaType::Int64)
            }
            (Kind::Of(left), Kind::Of(right))
                if (is_int(&left) || is_float(&left)) && (is_int(&right) || is_float(&right)) =>
            {
                optional(SchemaType::Float64)
            }
            _ => Kind::Unknown,
        }
    }

    fn arithmetic(&self, operation: Operation, left: Kind, right: Kind) -> Kind {
        if operation == Operation::Add {
            let is = |kind: &Kind, type_| matches!(kind, Kind::Of(schema) if schema.type_ == type_);
            // One text makes the other one, or there is no value.
            for type_ in [SchemaType::String, SchemaType::Bytes] {
                if is(&left, type_) || is(&right, type_) {
                    return optional(type_);
                }
            }
            if is(&left, SchemaType::Array) || is(&right, SchemaType::Array) {
                return either(left, right);
            }
        }
        self.number(left, right)
    }

    fn call(&mut self, function: Function, operands: &[Node]) -> Kind {
        match function {
            Function::Size | Function::ToInt | Function::IndexOf => optional(SchemaType::Int64),
            Function::ToDouble => optional(SchemaType::Float64),
            Function::ToBool | Function::Contains | Function::StartsWith | Function::EndsWith => {
                optional(SchemaType::Boolean)
            }
            Function::ToBytes => optional(SchemaType::Bytes),
            Function::Split => array(optional(SchemaType::String)),
            Function::Dyn => operands.first().map_or(Kind::Unknown, |operand| self.kind(operand)),
            Function::ToString
            | Function::LowerAscii
            | Function::UpperAscii
            | Function::Trim
            | Function::Substring
            | Function::Replace
            | Function::Join => optional(SchemaType::String),
        }
    }
}

fn array(of: Kind) -> Kind {
    match of {
        Kind::Of(schema) => Kind::Of(Arc::new(Schema::array(made_optional(&schema)).optional())),
        // An empty list is a list of anything.
        Kind::Null | Kind::Unknown => Kind::Unknown,
    }
}

fn field(schema: &Schema, name: &str) -> Kind {
    match schema.type_ {
        SchemaType::Struct => match schema.field(name) {
            Some((_, Field { schema, .. })) => Kind::Of(Arc::clone(schema)),
            None => Kind::Null,
        },
        SchemaType::Map => items(schema),
        _ => Kind::Unknown,
    }
}

/// Of what a list or map holds.
fn items(schema: &Schema) -> Kind {
    schema.value_schema.clone().map_or(Kind::Unknown, Kind::Of)
}

/// The value as its schema wants it: numbers widened, also in lists and maps.
///
/// # Errors
/// CEL's name of the type that it has instead.
pub fn fitted<'a>(
    schema: &Schema,
    value: Value<'a>,
    arena: &'a millrace_converters::Arena,
) -> Result<Value<'a>, &'static str> {
    use SchemaType as T;
    Ok(match (schema.type_, value) {
        (_, Value::Null) => Value::Null,
        (T::Int64, value) if schema.name.is_none() => {
            Value::Int64(int(&value).ok_or(type_name(&value))?)
        }
        (T::Float64, value) if schema.name.is_none() => {
            let number = float(&value).or_else(|| int(&value).map(|number| number as f64));
            Value::Float64(number.ok_or(type_name(&value))?)
        }
        (T::Array, Value::Array(items)) => {
            let Some(of) = &schema.value_schema else { return Ok(value) };
            let mut list = crate::requirements::room_for(items.len(), arena);
            for item in items {
                list.push(fitted(of, *item, arena)?);
            }
            Value::Array(list.into_bump_slice())
        }
        (T::Map, Value::Map(entries)) => {
            let Some(of) = &schema.value_schema else { return Ok(value) };
            let mut map = crate::requirements::room_for(entries.len(), arena);
            for (key, value) in entries {
                map.push((*key, fitted(of, *value, arena)?));
            }
            Value::Map(map.into_bump_slice())
        }
        (T::Int8, Value::Int8(_))
        | (T::Int16, Value::Int16(_))
        | (T::Int32, Value::Int32(_) | Value::Date(_) | Value::Time(_))
        | (T::Int64, Value::Timestamp(_))
        | (T::Float32, Value::Float32(_))
        | (T::Boolean, Value::Boolean(_))
        | (T::String, Value::Str(_))
        | (T::Bytes, Value::Bytes(_) | Value::Decimal(_))
        | (T::Struct, Value::Struct(_)) => value,
        (_, other) => return Err(type_name(&other)),
    })
}
