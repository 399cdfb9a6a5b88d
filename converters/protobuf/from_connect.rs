//! A Connect schema into a `.proto` text, as `ProtobufData` makes it.

use super::config::ProtobufDataConfig;
use super::enums::parameter;
use super::file::{EnumDef, FieldDef, File, Label, MessageDef, Scalar, Syntax, TypeName};
use super::known::{WRAPPERS, WRAPPERS_PATH};
use super::names::*;
use super::print::print;
use crate::data::{DATE_NAME, DECIMAL_NAME, Schema, SchemaType, TIME_NAME, TIMESTAMP_NAME};

/// What a Connect schema is registered as.
#[derive(Debug)]
pub(super) struct Written {
    pub text: String,
    /// Full name of the message that the data is.
    pub message: String,
    /// What the text imports, in its order.
    pub imports: Vec<String>,
}

/// Structs in structs.
const MAX_DEPTH: usize = 50;

/// The text, or why there is none.
pub(super) fn proto_text(schema: &Schema, config: &ProtobufDataConfig) -> Result<Written, String> {
    if schema.type_ != SchemaType::Struct {
        let wrapper = root_wrapper(schema)?;
        return Ok(Written {
            text: WRAPPERS.to_owned(),
            message: wrapper.to_owned(),
            imports: Vec::new(),
        });
    }
    if is_union(schema) {
        return Err("a union by itself cannot be written; it must be a field of a struct".into());
    }
    let mut writer = Writer { config, unnamed: 0, imports: Vec::new(), open: Vec::new() };
    let full = writer.name_or_default(schema.name.as_deref());
    let parts: Vec<String> = full.split('.').map(|part| writer.scrub(part)).collect();
    let Some((name, package)) = parts.split_last() else { return Err("no name".to_owned()) };
    parts.iter().try_for_each(|part| checked(part))?;
    let message = writer.message(name, schema)?;
    let package = package.join(".");
    let full = if package.is_empty() { name.clone() } else { format!("{package}.{name}") };
    let file = File {
        syntax: Syntax::Proto3,
        package,
        imports: writer.imports,
        messages: vec![message],
        ..File::default()
    };
    Ok(Written { text: print(&file), message: full, imports: file.imports })
}

fn root_wrapper(schema: &Schema) -> Result<&'static str, String> {
    if let Some(name) = schema.name.as_deref().filter(|name| logical_type(name).is_some()) {
        return Err(format!(
            "a {name} by itself cannot be written; it must be a field of a struct"
        ));
    }
    Ok(match schema.type_ {
        SchemaType::Int8 | SchemaType::Int16 | SchemaType::Int32 => "google.protobuf.Int32Value",
        SchemaType::Int64 => "google.protobuf.Int64Value",
        SchemaType::Float32 => "google.protobuf.FloatValue",
        SchemaType::Float64 => "google.protobuf.DoubleValue",
        SchemaType::Boolean => "google.protobuf.BoolValue",
        SchemaType::String => "google.protobuf.StringValue",
        SchemaType::Bytes => "google.protobuf.BytesValue",
        other => return Err(format!("Unsupported root schema of type {}", other.name())),
    })
}

/// Whether the struct stands for one of its fields.
pub(super) fn is_union(schema: &Schema) -> bool {
    schema.type_ == SchemaType::Struct
        && (schema.name.as_deref().is_some_and(|name| name.starts_with(UNION))
            || schema.parameter(GENERALIZED_UNION).is_some())
}

/// Whether the schema names the symbols of an enum.
pub(super) fn is_enum(schema: &Schema) -> bool {
    matches!(schema.type_, SchemaType::String | SchemaType::Int32)
        && (schema.parameter(GENERALIZED_ENUM).is_some() || schema.parameter(ENUM).is_some())
}

/// Message and file of a schema of that name.
pub(super) fn logical_type(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        DECIMAL_NAME => (DECIMAL_TYPE, "confluent/type/decimal.proto"),
        DATE_NAME => (DATE_TYPE, "google/type/date.proto"),
        TIME_NAME => (TIME_TYPE, "google/type/timeofday.proto"),
        TIMESTAMP_NAME => (TIMESTAMP_TYPE, "google/protobuf/timestamp.proto"),
        VARIANT => (VARIANT_TYPE, "confluent/type/variant.proto"),
        _ => return None,
    })
}

fn checked(name: &str) -> Result<(), String> {
    if is_identifier(name) {
        return Ok(());
    }
    Err(format!(
        "\"{name}\" is not a valid identifier of Protobuf; scrub.invalid.names=true makes one of it"
    ))
}

struct Writer<'c> {
    config: &'c ProtobufDataConfig,
    /// Schemas without a name so far.
    unnamed: usize,
    imports: Vec<String>,
    /// Names of the structs around and of their messages, outermost first.
    open: Vec<(Option<String>, String)>,
}

impl Writer<'_> {
    fn name_or_default(&mut self, name: Option<&str>) -> String {
        match name.filter(|name| !name.is_empty()) {
            Some(name) => name.to_owned(),
            None => {
                self.unnamed += 1;
                format!("{CONNECT_DEFAULT}{}", self.unnamed)
            }
        }
    }

    fn scrub(&self, name: &str) -> String {
        if self.config.scrub_invalid_names { scrubbed(name) } else { name.to_owned() }
    }

    /// The last word of a name.
    fn unqualified(&mut self, name: Option<&str>) -> String {
        let full = self.name_or_default(name);
        self.scrub(full.rsplit('.').next().unwrap_or_default())
    }

    fn message(&mut self, name: &str, schema: &Schema) -> Result<MessageDef, String> {
        checked(name)?;
        if self.open.len() > MAX_DEPTH {
            return Err("the schema nests too deeply".to_owned());
        }
        self.open.push((schema.name.as_deref().map(str::to_owned), name.to_owned()));
        let mut message = MessageDef { name: name.to_owned(), ..MessageDef::default() };
        let mut next = 1;
        for field in &schema.fields {
            let number = match number_of(&field.schema)? {
                Some(number) => number,
                None => {
                    next += 1;
                    next - 1
                }
            };
            if is_union(&field.schema) {
                self.oneof(&mut message, &field.schema)?;
                continue;
            }
            let name = self.scrub(&field.name);
            let field = self.field(&mut message, &field.schema, name, number, None)?;
            message.fields.push(field);
        }
        self.open.pop();
        Ok(message)
    }

    fn oneof(&mut self, message: &mut MessageDef, union: &Schema) -> Result<(), String> {
        // The name is asked for twice where there is none, as Confluent's converter counts.
        self.unqualified(union.name.as_deref());
        let full = union.name.as_deref().unwrap_or_default();
        let generalized = union.parameter(GENERALIZED_UNION);
        let name = match (full.strip_prefix(UNION), generalized) {
            (_, Some(name)) if self.config.generalized_sum_type_support => name.to_owned(),
            (Some(name), _) => self.unqualified(Some(name.trim_start_matches('.'))),
            (None, Some(name)) => self.unqualified(Some(name)),
            (None, None) => self.unqualified(Some(full)),
        };
        checked(&name)?;
        let at = message.oneofs.len();
        message.oneofs.push(name.clone());
        for member in &union.fields {
            let number = number_of(&member.schema)?.ok_or_else(|| {
                format!("the field {} of the union {name} lacks the parameter {TAG}", member.name)
            })?;
            let member_name = self.scrub(&member.name);
            let field = self.field(message, &member.schema, member_name, number, Some(at))?;
            message.fields.push(field);
        }
        Ok(())
    }

    fn field(
        &mut self,
        message: &mut MessageDef,
        schema: &Schema,
        name: String,
        number: u32,
        oneof: Option<usize>,
    ) -> Result<FieldDef, String> {
        checked(&name)?;
        let label = match schema.type_ {
            SchemaType::Array | SchemaType::Map if oneof.is_some() => {
                return Err(format!("{name}: a union has no lists and maps in Protobuf"));
            }
            SchemaType::Array | SchemaType::Map => Label::Repeated,
            _ if oneof.is_some() => Label::None,
            _ if self.config.optional_for_nullables && schema.optional => Label::Optional,
            _ => Label::None,
        };
        let item = match (schema.type_, schema.value_schema.as_deref()) {
            (SchemaType::Array, Some(items)) => items,
            _ => schema,
        };
        if schema.type_ == SchemaType::Array
            && (matches!(item.type_, SchemaType::Array | SchemaType::Map) || is_union(item))
        {
            let what = if is_union(item) { "UNION" } else { item.type_.name() };
            return Err(format!("{name}: a list of type {what} cannot be written in Protobuf"));
        }
        let mut params = Vec::new();
        let type_ = self
            .type_(message, item, &name, oneof.is_some(), &mut params)
            .map_err(|why| format!("{name}: {why}"))?;
        Ok(FieldDef {
            name,
            number,
            label,
            type_,
            oneof,
            default: None,
            packed: None,
            params,
            encoding: None,
        })
    }

    /// The field's type; what it needs is declared in the message or imported.
    fn type_(
        &mut self,
        message: &mut MessageDef,
        schema: &Schema,
        field: &str,
        member: bool,
        params: &mut Vec<(String, String)>,
    ) -> Result<TypeName, String> {
        if let Some((type_, path)) = schema.name.as_deref().and_then(logical_type) {
            let parameter = |name| schema.parameter(name).map(str::to_owned);
            if type_ == DECIMAL_TYPE {
                params.extend(parameter(CONNECT_PRECISION).map(|one| (PRECISION.into(), one)));
                params.extend(parameter(SCALE).map(|one| (SCALE.into(), one)));
            }
            self.import(path);
            return Ok(TypeName::Named(type_.to_owned()));
        }
        if is_enum(schema) {
            return self.enumeration(message, schema);
        }
        match schema.type_ {
            SchemaType::Map => self.map(message, schema),
            SchemaType::Struct => self.nested(message, schema, field),
            _ => self.scalar(schema, member, params),
        }
    }

    fn import(&mut self, path: &str) {
        if !self.imports.iter().any(|known| known == path) {
            self.imports.push(path.to_owned());
        }
    }

    fn nested(
        &mut self,
        message: &mut MessageDef,
        schema: &Schema,
        field: &str,
    ) -> Result<TypeName, String> {
        // Inside of itself: the message further out.
        if schema.fields.is_empty() && schema.name.is_some() {
            let name = schema.name.as_deref();
            let around = self.open.iter().rev().find(|(open, _)| open.as_deref() == name);
            if let Some((_, message)) = around {
                return Ok(TypeName::Named(message.clone()));
            }
        }
        let mut name = self.unqualified(schema.name.as_deref());
        if name == field {
            name += "Message";
        }
        let known = message.name == name || message.messages.iter().any(|one| one.name == name);
        if !known {
            let nested = self.message(&name, schema)?;
            message.messages.push(nested);
        }
        Ok(TypeName::Named(name))
    }

    /// A message of key and value.
    fn map(&mut self, message: &mut MessageDef, schema: &Schema) -> Result<TypeName, String> {
        let (Some(keys), Some(values)) = (&schema.key_schema, &schema.value_schema) else {
            return Err("a map's schema has no keys or values".to_owned());
        };
        if is_union(keys) || is_union(values) {
            return Err("a map of type UNION cannot be written in Protobuf".to_owned());
        }
        let name = map_entry(&self.unqualified(schema.name.as_deref()));
        checked(&name)?;
        if self.open.len() > MAX_DEPTH {
            return Err("the schema nests too deeply".to_owned());
        }
        let mut entry = MessageDef { name: name.clone(), ..MessageDef::default() };
        self.open.push((None, name.clone()));
        for (field, number, schema) in [(KEY_FIELD, 1, keys), (VALUE_FIELD, 2, values)] {
            let made = self.field(&mut entry, schema, field.to_owned(), number, None)?;
            // Confluent's converter says `optional` of no entry's field.
            let label = if made.label == Label::Optional { Label::None } else { made.label };
            entry.fields.push(FieldDef { label, ..made });
        }
        self.open.pop();
        message.messages.push(entry);
        Ok(TypeName::Named(name))
    }

    fn enumeration(
        &mut self,
        message: &mut MessageDef,
        schema: &Schema,
    ) -> Result<TypeName, String> {
        let name = self.unqualified(schema.name.as_deref());
        if message.enums.iter().any(|known| known.name == name) {
            return Ok(TypeName::Named(name));
        }
        checked(&name)?;
        let prefix = format!("{}.", parameter(self.config));
        let mut values = Vec::new();
        for (key, number) in &schema.parameters {
            let Some(symbol) = key.strip_prefix(&prefix) else { continue };
            checked(symbol)?;
            let wrong = || format!("the parameter {key} is no number: {number}");
            values.push((symbol.to_owned(), number.parse().map_err(|_| wrong())?));
        }
        if values.is_empty() {
            return Err(format!("the enum {name} has no parameter {prefix}SYMBOL"));
        }
        message.enums.push(EnumDef { name: name.clone(), values });
        Ok(TypeName::Named(name))
    }

    fn scalar(
        &mut self,
        schema: &Schema,
        member: bool,
        params: &mut Vec<(String, String)>,
    ) -> Result<TypeName, String> {
        match schema.type_ {
            SchemaType::Int8 => params.push((CONNECT_TYPE.into(), INT8.into())),
            SchemaType::Int16 => params.push((CONNECT_TYPE.into(), INT16.into())),
            _ => {}
        }
        let scalar = scalar_of(schema)?;
        let marked = schema.parameter(WRAPPER) == Some("true");
        if !self.config.wrapper_for_nullables || !schema.optional || (member && !marked) {
            return Ok(TypeName::Scalar(scalar));
        }
        self.import(WRAPPERS_PATH);
        let wrapper = match (schema.type_, scalar) {
            (SchemaType::Int64, Scalar::Uint32 | Scalar::Fixed32) => "UInt32Value",
            (SchemaType::Int64, Scalar::Uint64 | Scalar::Fixed64) => "UInt64Value",
            (SchemaType::Int64, _) => "Int64Value",
            (SchemaType::Float32, _) => "FloatValue",
            (SchemaType::Float64, _) => "DoubleValue",
            (SchemaType::Boolean, _) => "BoolValue",
            (SchemaType::String, _) => "StringValue",
            (SchemaType::Bytes, _) => "BytesValue",
            _ => "Int32Value",
        };
        Ok(TypeName::Named(format!("google.protobuf.{wrapper}")))
    }
}

/// The scalar of a primitive schema.
fn scalar_of(schema: &Schema) -> Result<Scalar, String> {
    let given = || match schema.parameter(TYPE) {
        None => Ok(None),
        Some(name) => match Scalar::by_name(name) {
            Some(scalar) if is_integer(scalar) => Ok(Some(scalar)),
            _ => Err(format!("the parameter {TYPE} is no integer type: {name}")),
        },
    };
    Ok(match schema.type_ {
        SchemaType::Int8 | SchemaType::Int16 => Scalar::Int32,
        SchemaType::Int32 => given()?.unwrap_or(Scalar::Int32),
        SchemaType::Int64 => given()?.unwrap_or(Scalar::Int64),
        SchemaType::Float32 => Scalar::Float,
        SchemaType::Float64 => Scalar::Double,
        SchemaType::Boolean => Scalar::Bool,
        SchemaType::String => Scalar::String,
        SchemaType::Bytes => Scalar::Bytes,
        other => return Err(format!("Unknown schema type: {}", other.name())),
    })
}

pub(super) fn is_integer(scalar: Scalar) -> bool {
    !matches!(
        scalar,
        Scalar::Double | Scalar::Float | Scalar::Bool | Scalar::String | Scalar::Bytes
    )
}

/// The field's number, if its schema says one.
fn number_of(schema: &Schema) -> Result<Option<u32>, String> {
    let Some(text) = schema.parameter(TAG) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (1..1 << 29).contains(number));
    number.map(Some).ok_or_else(|| format!("the parameter {TAG} is no number of a field: {text}"))
}
