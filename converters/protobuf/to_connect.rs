//! A Protobuf message into a Connect schema and a [`Program`], as `ProtobufData` maps it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::config::ProtobufDataConfig;
use super::enums::{EnumSchema, enumeration};
use super::file::{Label, Scalar, Syntax};
use super::names::*;
use super::program::{Entry, EnumPlan, Growing, Late, MessagePlan, Op, Place, Program, Union};
use super::scalar::{scalar_default, type_of, wire_type, wrapper};
use super::schema::{Field, Id, Kind, Message, ProtoSchema};
use super::wire::{LEN, START, VARINT};
use crate::data::{Field as ConnectField, Schema, SchemaType, Value};

/// Fields that a schema may have with all that its messages hold, each counted where it stands.
const MOST_FIELDS: usize = 100_000;

/// Messages in messages; no value may nest more deeply.
const MAX_DEPTH: usize = 100;

/// Fields and oneofs of one message.
const MOST_SLOTS: usize = 30_000;

/// Compiles the message; `version` is what its subject knows the schema by.
pub(super) fn compile(
    proto: &ProtoSchema,
    root: Id,
    config: &ProtobufDataConfig,
    version: Option<i32>,
) -> Result<Program, String> {
    let mut compiler = Compiler {
        proto,
        config,
        messages: Vec::new(),
        plans: HashMap::new(),
        enums: Vec::new(),
        enum_plans: HashMap::new(),
        whole: HashMap::new(),
        open: Vec::new(),
        fields: 0,
    };
    let raw = config.wrapper_for_raw_primitives.then(|| wrapper(&proto.message(root).full));
    let made = match raw.flatten() {
        Some(scalar) => Made::new(Schema::new(type_of(scalar)), Op::Wrapper(scalar)),
        None => compiler.message(root)?,
    };
    let schema = Schema { version: version.or(made.schema.version), ..made.schema };
    Ok(Program {
        schema: Arc::new(schema),
        root: made.op,
        messages: compiler.messages,
        enums: compiler.enums,
        structs_for_nulls: config.generate_struct_for_nulls,
    })
}

/// A schema and how its values are read.
struct Made {
    schema: Schema,
    /// Of a list, its items'; of a map, its values'.
    op: Op,
    /// Of a map, its keys'.
    key: Option<Op>,
    /// The outermost message around that is referred to.
    needs: usize,
}

impl Made {
    fn new(schema: Schema, op: Op) -> Self {
        Self { schema, op, key: None, needs: FREE }
    }
}

/// Nothing around is referred to.
const FREE: usize = usize::MAX;

struct Compiler<'s> {
    proto: &'s ProtoSchema,
    config: &'s ProtobufDataConfig,
    messages: Vec<MessagePlan>,
    plans: HashMap<Id, u32>,
    enums: Vec<EnumPlan>,
    enum_plans: HashMap<Id, u16>,
    /// Schemas of messages that mean the same wherever they stand.
    whole: HashMap<Id, Schema>,
    /// The messages around, outermost first.
    open: Vec<Id>,
    fields: usize,
}

impl<'s> Compiler<'s> {
    fn name(&self, message: &Message) -> String {
        let full = self.config.enhanced_protobuf_schema_support;
        if full { message.full.clone() } else { message.name().to_owned() }
    }

    fn plan(&mut self, id: Id) -> u32 {
        *self.plans.entry(id).or_insert_with(|| {
            self.messages.push(MessagePlan::default());
            self.messages.len() as u32 - 1
        })
    }

    /// A message's struct. Inside of itself it is a reference by name.
    fn message(&mut self, id: Id) -> Result<Made, String> {
        let proto = self.proto;
        let message = proto.message(id);
        let op = Op::Message(self.plan(id));
        if let Some(at) = self.open.iter().position(|open| *open == id) {
            let schema = Schema::reference(&self.name(message));
            return Ok(Made { needs: at, ..Made::new(schema, op) });
        }
        if let Some(schema) = self.whole.get(&id) {
            return Ok(Made::new(schema.clone(), op));
        }
        self.fields += message.fields.len() + message.oneofs.len();
        if self.fields > MOST_FIELDS || message.fields.len() + message.oneofs.len() > MOST_SLOTS {
            return Err(format!("{} has too many fields", message.full));
        }
        if self.open.len() == MAX_DEPTH {
            return Err(format!("messages nest too deeply at {}", message.full));
        }
        self.open.push(id);
        let (fields, needs) = self.fields(message, self.plan_of(op))?;
        self.open.pop();
        let schema = if message.full == VARIANT_TYPE {
            Schema { fields, ..Schema::new(SchemaType::Struct).named(VARIANT) }
        } else {
            Schema::struct_of(fields).named(&self.name(message))
        };
        let needs = if needs >= self.open.len() { FREE } else { needs };
        if needs == FREE {
            self.whole.insert(id, schema.clone());
        }
        Ok(Made { needs, ..Made::new(schema, op) })
    }

    fn plan_of(&self, op: Op) -> usize {
        if let Op::Message(plan) = op { plan as usize } else { 0 }
    }

    /// The struct's fields, oneofs first, and the plan of the message.
    fn fields(
        &mut self,
        message: &'s Message,
        plan: usize,
    ) -> Result<(Vec<ConnectField>, usize), String> {
        let mut draft = Draft { needs: FREE, ..Draft::default() };
        for (index, name) in message.oneofs.iter().enumerate() {
            let members = message.fields.iter().filter(|field| field.oneof == Some(index));
            self.oneof(index, name, message, members.collect(), &mut draft)?;
        }
        for field in message.fields.iter().filter(|field| field.oneof.is_none()) {
            let made = self.field(field, false)?;
            draft.needs = draft.needs.min(made.needs);
            self.place(field, &made, &mut draft)?;
            let schema = match &*message.full {
                VARIANT_TYPE => Schema::new(SchemaType::Bytes),
                _ => made.schema,
            };
            draft.add(&field.name, schema)?;
        }
        let (fields, needs) = (std::mem::take(&mut draft.fields), draft.needs);
        self.messages[plan] = draft.plan();
        Ok((fields, needs))
    }

    fn oneof(
        &mut self,
        index: usize,
        name: &str,
        message: &'s Message,
        members: Vec<&'s Field>,
        draft: &mut Draft,
    ) -> Result<(), String> {
        let group = draft.unions.len() as u16;
        let flat = self.config.flatten_unions;
        let (mut fields, mut slots) = (Vec::new(), Vec::new());
        let slot = draft.fields.len() as u16;
        for (at, member) in members.into_iter().enumerate() {
            let made = self.field(member, true)?;
            draft.needs = draft.needs.min(made.needs);
            let tag = tag_of(member);
            let place = Place::Member(group, at as u16);
            draft.entries.push(Entry { tag, op: made.op, place });
            if flat {
                slots.push(draft.fields.len() as u16);
                draft.template.push(Value::Null);
                draft.add(&member.name, made.schema)?;
            } else {
                let (name, schema) = (member.name.as_str().into(), Arc::new(made.schema));
                fields.push(ConnectField { name, schema });
            }
        }
        if flat {
            draft.unions.push(Union::Flat(slots.into()));
            return Ok(());
        }
        draft.unions.push(Union::Nested { slot, members: fields.len() as u16 });
        draft.template.push(Value::Null);
        let mut schema = Schema::struct_of(fields).optional();
        if self.config.generalized_sum_type_support {
            schema = schema.named(name);
            schema.parameters.push((GENERALIZED_UNION.into(), name.into()));
        } else if self.config.enhanced_protobuf_schema_support {
            schema = schema.named(&format!("{UNION}.{}.{name}", message.full));
        } else {
            schema = schema.named(&format!("{UNION}.{name}"));
        }
        match self.config.generate_index_for_unions {
            true => draft.add(&format!("{name}_{index}"), schema),
            false => draft.add(name, schema),
        }
    }

    /// Where the field's values go, and what stands there before.
    fn place(&mut self, field: &Field, made: &Made, draft: &mut Draft) -> Result<(), String> {
        let slot = draft.fields.len() as u16;
        if field.repeated() {
            let growing = draft.growing.len() as u16;
            let map = made.key.is_some();
            let entry = made.key.map(|key| (key, made.op));
            let group_values = map && self.group_values(field);
            draft.growing.push(Growing { slot, entry, group_values });
            draft.template.push(if map { Value::Map(&[]) } else { Value::Array(&[]) });
            let place = if map { Place::Map(growing) } else { Place::List(growing) };
            let tag = if field.packed { field.number << 3 | LEN } else { tag_of(field) };
            draft.entries.push(Entry { tag, op: made.op, place });
            return Ok(());
        }
        draft.entries.push(Entry { tag: tag_of(field), op: made.op, place: Place::Slot(slot) });
        if made.op.composite() {
            draft.single.push((slot, made.op));
        }
        if field.label == Label::Required {
            draft.required.push(slot);
        }
        let proto2 = self.syntax() == Syntax::Proto2;
        let nullable = field.optional && (!proto2 || self.config.optional_for_proto2);
        let null = nullable && !self.config.generate_struct_for_nulls;
        let absent = null || made.op.composite() || field.label == Label::Required;
        let value = if absent { Value::Null } else { self.default(field, made.op, slot, draft)? };
        draft.template.push(value);
        Ok(())
    }

    /// Whether the values of a message that has the look of a map's entry are groups.
    fn group_values(&self, field: &Field) -> bool {
        let Kind::Message(id) = field.kind else { return false };
        self.proto.message(id).entry().is_some_and(|(_, value)| value.group)
    }

    /// Of the innermost message around, whose field is at hand.
    fn syntax(&self) -> Syntax {
        self.open.last().map_or(Syntax::Proto3, |id| self.proto.message(*id).syntax)
    }

    /// What a field without presence has where it is not there.
    fn default(
        &self,
        field: &Field,
        op: Op,
        slot: u16,
        draft: &mut Draft,
    ) -> Result<Value<'static>, String> {
        let given = field.default.as_deref();
        if let (Op::Enum(plan) | Op::EnumNumber(plan), Kind::Enum(id)) = (op, field.kind) {
            let all = &self.proto.enumeration(id).values;
            let named = given.and_then(|given| all.iter().find(|(name, _)| name == given));
            let number = named.or(all.first()).map_or(0, |(_, number)| *number);
            if op == Op::EnumNumber(plan) {
                return Ok(Value::Int32(number));
            }
            draft.late.push((slot, Late::Symbol(plan, number)));
            return Ok(Value::Null);
        }
        let Kind::Scalar(scalar) = field.kind else { return Ok(Value::Null) };
        match (scalar, given) {
            (Scalar::String, Some(text)) => {
                draft.late.push((slot, Late::Text(text.into())));
                Ok(Value::Null)
            }
            (Scalar::Bytes, Some(text)) => {
                draft.late.push((slot, Late::Bytes(text.as_bytes().into())));
                Ok(Value::Null)
            }
            (scalar, given) => scalar_default(scalar, op, given)
                .ok_or_else(|| format!("the default of {} does not fit its type", field.name)),
        }
    }

    /// A field's schema: its type's, and what its place adds.
    fn field(&mut self, field: &Field, member: bool) -> Result<Made, String> {
        let config = self.config;
        let mut made = match field.kind {
            Kind::Scalar(scalar) => self.scalar(field, scalar),
            Kind::Enum(id) => self.enumeration(id)?,
            Kind::Message(id) => {
                let made = self.message_field(field, id)?;
                Made { schema: made.schema.optional(), ..made }
            }
        };
        if field.repeated() && made.key.is_none() {
            made.schema = Schema::array(Arc::new(made.schema.optional())).optional();
        }
        if member {
            made.schema.optional = true;
            let wrapped = matches!(made.op, Op::Wrapper(_)) && config.wrapper_for_nullables;
            if wrapped {
                made.schema.parameters.push((WRAPPER.into(), "true".into()));
            }
        } else if config.optional_for_nullables {
            made.schema.optional |= field.optional;
        } else if !config.wrapper_for_nullables {
            made.schema.optional = true;
        }
        made.schema.parameters.push((TAG.into(), field.number.to_string().into()));
        Ok(made)
    }

    fn scalar(&self, field: &Field, scalar: Scalar) -> Made {
        let mut op = Op::Scalar(scalar);
        let mut schema = Schema::new(type_of(scalar));
        let narrow =
            if schema.type_ == SchemaType::Int32 { field.param(CONNECT_TYPE) } else { None };
        match (narrow, scalar) {
            (Some(INT8), _) => {
                (op, schema) = (Op::Int8(scalar), Schema::new(SchemaType::Int8));
            }
            (Some(INT16), _) => {
                (op, schema) = (Op::Int16(scalar), Schema::new(SchemaType::Int16));
            }
            (_, Scalar::String) if self.syntax() == Syntax::Proto2 => op = Op::LooseString,
            (_, Scalar::Int32 | Scalar::Int64) => {}
            _ if matches!(schema.type_, SchemaType::Int32 | SchemaType::Int64) => {
                schema.parameters.push((TYPE.into(), scalar.name().into()));
            }
            _ => {}
        }
        Made::new(schema, op)
    }

    fn enumeration(&mut self, id: Id) -> Result<Made, String> {
        let EnumSchema { schema, plan } = enumeration(self.proto.enumeration(id), self.config)?;
        let next = u16::try_from(self.enums.len()).map_err(|_| "too many enums".to_owned())?;
        let at = *self.enum_plans.entry(id).or_insert(next);
        if at == next {
            self.enums.push(plan);
        }
        let op = if self.config.int_for_enums { Op::EnumNumber(at) } else { Op::Enum(at) };
        Ok(Made::new(schema, op))
    }

    fn message_field(&mut self, field: &Field, id: Id) -> Result<Made, String> {
        let proto = self.proto;
        let message = proto.message(id);
        let logical = |schema, op| Ok(Made::new(schema, op));
        match &*message.full {
            DECIMAL_TYPE => return logical(decimal_schema(field), Op::Decimal),
            DATE_TYPE => return logical(Schema::date(), Op::Date),
            TIME_TYPE => return logical(Schema::time(), Op::Time),
            TIMESTAMP_TYPE => return logical(Schema::timestamp(), Op::Timestamp),
            _ => {}
        }
        if self.config.wrapper_for_nullables
            && let Some(scalar) = wrapper(&message.full)
        {
            return logical(Schema::new(type_of(scalar)), Op::Wrapper(scalar));
        }
        let Some((key, value)) = message.entry().filter(|_| field.repeated()) else {
            return self.message(id);
        };
        let (key, value) = (self.field(key, false)?, self.field(value, false)?);
        let schema = Schema::map(Arc::new(key.schema), Arc::new(value.schema));
        let schema = schema.named(&map_field(&self.name(message)));
        Ok(Made { needs: value.needs, key: Some(key.op), ..Made::new(schema, value.op) })
    }
}

/// A message's plan under way.
#[derive(Default)]
struct Draft {
    fields: Vec<ConnectField>,
    names: HashSet<Box<str>>,
    template: Vec<Value<'static>>,
    entries: Vec<Entry>,
    growing: Vec<Growing>,
    unions: Vec<Union>,
    single: Vec<(u16, Op)>,
    late: Vec<(u16, Late)>,
    required: Vec<u16>,
    needs: usize,
}

impl Draft {
    fn add(&mut self, name: &str, schema: Schema) -> Result<(), String> {
        if !self.names.insert(name.into()) {
            return Err(format!("two fields of a struct would be called {name}"));
        }
        self.fields.push(ConnectField { name: name.into(), schema: Arc::new(schema) });
        Ok(())
    }

    fn plan(mut self) -> MessagePlan {
        self.entries.sort_by_key(|entry| entry.tag);
        // As long a table as is mostly full.
        let most = 64 + 4 * self.entries.len();
        let last = self.entries.iter().map(|entry| (entry.tag >> 3) as usize);
        let last = last.filter(|number| *number <= most).max().unwrap_or(0);
        let mut dense = vec![0; last + 1];
        for (at, entry) in self.entries.iter().enumerate() {
            if let Some(place) = dense.get_mut((entry.tag >> 3) as usize) {
                *place = at as u16 + 1;
            }
        }
        MessagePlan {
            template: self.template.into(),
            entries: self.entries.into(),
            dense: dense.into(),
            growing: self.growing.into(),
            unions: self.unions.into(),
            single: self.single.into(),
            late: self.late.into(),
            required: self.required.into(),
        }
    }
}

fn tag_of(field: &Field) -> u32 {
    let wire = match field.kind {
        Kind::Message(_) if field.group => START,
        Kind::Message(_) => LEN,
        Kind::Enum(_) => VARINT,
        Kind::Scalar(scalar) => wire_type(scalar),
    };
    field.number << 3 | wire
}

fn decimal_schema(field: &Field) -> Schema {
    let number = |name: &str| field.param(name).and_then(|text| text.parse::<i32>().ok());
    let mut schema = Schema::decimal(number(SCALE).unwrap_or(0));
    if let Some(precision) = number(PRECISION) {
        schema.parameters.push((CONNECT_PRECISION.into(), precision.to_string().into()));
    }
    schema
}
