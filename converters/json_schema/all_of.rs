//! `allOf`, written or implied: what all parts of a schema say about one value.

use super::schema::{Criterion, Id, Kind};
use super::to_connect::{Compiler, Typed};
use crate::data::Schema;

/// The properties that parts of an `allOf` add up to.
#[derive(Default)]
struct Properties {
    /// Name, schema, whether it is required: of two of one name the later one counts, at the place
    /// of the first.
    all: Vec<(String, Id, bool)>,
    seen: Vec<Id>,
}

impl Compiler<'_> {
    /// One struct of all properties, if there are any; else the part that tells most about a type.
    pub fn all_of(
        &mut self,
        id: Id,
        members: &[Id],
        version: Option<i32>,
        optional: bool,
    ) -> Result<Typed, String> {
        let json = self.json;
        let mut properties = Properties::default();
        members.iter().for_each(|member| self.collect(*member, &mut properties));
        if !properties.all.is_empty() {
            let number = self.begin(id);
            let mut fields = Vec::with_capacity(properties.all.len());
            for (name, id, required) in properties.all {
                fields.push(self.field(&name, id, required)?);
            }
            let op = self.record(number, &fields, false);
            let mut schema =
                Schema::struct_of(fields.into_iter().map(|(field, _)| field).collect());
            schema.optional = optional;
            return Ok(self.finished(id, (schema, op)));
        }
        let last = |is: fn(&Kind) -> bool| {
            members.iter().rev().copied().find(|member| is(json.kind(*member)))
        };
        let combined = last(|kind| matches!(kind, Kind::Combined(..)));
        let number = last(|kind| matches!(kind, Kind::Number | Kind::Integer));
        let string = last(|kind| *kind == Kind::String);
        let constant = last(|kind| matches!(kind, Kind::Const(_)));
        let enumeration = last(|kind| matches!(kind, Kind::Enum(_)));
        let chosen = match (combined, constant, enumeration) {
            (Some(combined), ..) => Some(combined),
            (None, Some(_), _) => string.or(number),
            (None, None, Some(enumeration)) => match string {
                Some(_) => Some(enumeration),
                None => number,
            },
            // A number with a format, or a string with one.
            (None, None, None) => string.and(number.or(string)),
        };
        if let Some(chosen) = chosen {
            return self.schema(chosen, version, optional);
        }
        let reference = members.iter().rev().find_map(|member| match json.kind(*member) {
            Kind::Reference(target) => Some(*target),
            _ => None,
        });
        let plain = combined.is_none() && constant.is_none() && enumeration.is_none();
        match reference.filter(|_| plain && string.is_none()) {
            Some(target) => self.reference(target, version, optional),
            None => {
                let parts: Vec<&str> =
                    members.iter().map(|member| json.kind(*member).name()).collect();
                Err(format!("Unsupported criterion allOf for {}", parts.join(", ")))
            }
        }
    }

    fn collect(&self, id: Id, into: &mut Properties) {
        if into.seen.contains(&id) {
            return;
        }
        into.seen.push(id);
        match self.json.kind(id) {
            Kind::Combined(Criterion::All, members) => {
                members.iter().for_each(|member| self.collect(*member, into));
            }
            Kind::Reference(target) => self.collect(*target, into),
            Kind::Object(object) => {
                for (name, id) in &object.properties {
                    let required = object.required.contains(name);
                    match into.all.iter_mut().find(|(known, ..)| known == name) {
                        Some(known) => (known.1, known.2) = (*id, required),
                        None => into.all.push((name.clone(), *id, required)),
                    }
                }
            }
            _ => {}
        }
    }
}
