//! An enum as Connect shows it: a string (or number) whose schema's parameters are the symbols.

use super::config::ProtobufDataConfig;
use super::names::{ENUM, GENERALIZED_ENUM};
use super::program::EnumPlan;
use super::schema::Enum;
use crate::data::{Schema, SchemaType};

pub(super) struct EnumSchema {
    pub schema: Schema,
    pub plan: EnumPlan,
}

/// Where an enum's parameters stand.
pub(super) fn parameter(config: &ProtobufDataConfig) -> &'static str {
    if config.generalized_sum_type_support { GENERALIZED_ENUM } else { ENUM }
}

pub(super) fn enumeration(of: &Enum, config: &ProtobufDataConfig) -> Result<EnumSchema, String> {
    let type_ = if config.int_for_enums { SchemaType::Int32 } else { SchemaType::String };
    let full = config.enhanced_protobuf_schema_support;
    let mut schema = Schema::new(type_).named(if full { &of.full } else { of.name() }).optional();
    let parameter = parameter(config);
    schema.parameters.push((parameter.into(), of.name().into()));
    let mut symbols: Vec<(i32, u16)> = Vec::new();
    for (symbol, number) in &of.values {
        let place = u16::try_from(schema.parameters.len())
            .map_err(|_| format!("the enum {} has too many symbols", of.full))?;
        let key = format!("{parameter}.{symbol}");
        schema.parameters.push((key.into(), number.to_string().into()));
        symbols.push((*number, place));
    }
    // Of two symbols for one number the first is the number's name.
    symbols.sort_by_key(|(number, _)| *number);
    symbols.dedup_by_key(|(number, _)| *number);
    let plan = EnumPlan {
        name: of.name().into(),
        symbols: symbols.into(),
        cut: parameter.len() as u16 + 1,
        first: of.values.first().map_or(0, |(_, number)| *number),
        closed: of.closed,
    };
    Ok(EnumSchema { schema, plan })
}
