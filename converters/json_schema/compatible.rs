//! Whether data of one JSON schema is good under another one.
//!
//! Asked once for each pair, before data goes out under a schema that is not its own
//! (`latest.compatibility.strict`, `id.compatibility.strict`). What Confluent's comparison calls an
//! incompatible change from the data's own schema to the registered one stands in the way here.

use super::schema::{Criterion, Id, JsonSchema, Kind, Object};

/// What stands in the way; `None`: nothing.
pub(super) fn obstacle(registered: &JsonSchema, own: &JsonSchema) -> Option<String> {
    let mut seen = Vec::new();
    Match { registered, own, seen: &mut seen }.schemas(registered.root, own.root).err()
}

struct Match<'s> {
    registered: &'s JsonSchema,
    own: &'s JsonSchema,
    /// Pairs that are looked at further out: they hold if nothing else speaks against them.
    seen: &'s mut Vec<(Id, Id)>,
}

impl Match<'_> {
    fn schemas(&mut self, registered: Id, own: Id) -> Result<(), String> {
        let (registered, own) = (self.followed(registered), self.followed_own(own));
        if self.seen.contains(&(registered, own)) {
            return Ok(());
        }
        self.seen.push((registered, own));
        let (wants, has) = (self.registered.kind(registered), self.own.kind(own));
        let no = || Err(format!("{} does not allow {}", wants.name(), has.name()));
        let verdict = match (wants, has) {
            (Kind::Empty, _) | (_, Kind::Never) => Ok(()),
            (Kind::Combined(Criterion::All, members), _) => {
                members.iter().try_for_each(|member| self.schemas(*member, own))
            }
            (_, Kind::Combined(Criterion::All, members)) => {
                self.any(members, |own_, member| own_.schemas(registered, member))
            }
            (_, Kind::Combined(_, members)) => {
                members.iter().try_for_each(|member| self.schemas(registered, *member))
            }
            (Kind::Combined(_, members), _) => {
                self.any(members, |own_, member| own_.schemas(member, own))
            }
            (Kind::Object(wants), Kind::Object(has)) => self.objects(wants, has),
            (Kind::Array(Some(wants)), Kind::Array(Some(has))) => self.schemas(*wants, *has),
            (Kind::Array(None), Kind::Array(_)) | (Kind::Number, Kind::Integer) => Ok(()),
            (Kind::Enum(wants), Kind::Enum(has)) if has.iter().all(|one| wants.contains(one)) => {
                Ok(())
            }
            (Kind::String, Kind::Enum(has)) if has.iter().all(|one| one.is_string()) => Ok(()),
            (Kind::Null, Kind::Null)
            | (Kind::Boolean, Kind::Boolean)
            | (Kind::Integer, Kind::Integer)
            | (Kind::Number, Kind::Number)
            | (Kind::String, Kind::String) => Ok(()),
            (Kind::Const(wants), Kind::Const(has)) if wants == has => Ok(()),
            _ => no(),
        };
        let verdict = verdict.and_then(|()| self.limits(registered, own));
        if verdict.is_err() {
            self.seen.pop();
        }
        verdict
    }

    /// The first member that is good, else what the last one said.
    fn any(
        &mut self,
        members: &[Id],
        mut good: impl FnMut(&mut Self, Id) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut why = Err("there is no schema to choose".to_owned());
        for member in members {
            let length = self.seen.len();
            why = good(self, *member);
            if why.is_ok() {
                break;
            }
            self.seen.truncate(length);
        }
        why
    }

    fn objects(&mut self, wants: &Object, has: &Object) -> Result<(), String> {
        for (name, id) in &wants.properties {
            match has.properties.iter().find(|(known, _)| known == name) {
                Some((_, own)) => {
                    self.schemas(*id, *own).map_err(|why| format!("{name}: {why}"))?;
                }
                None if has.open && has.additional.is_none() => {
                    return Err(format!(
                        "{name} is not among the data's fields, whose schema lets it be anything \
                         (object.additional.properties)"
                    ));
                }
                None => {}
            }
        }
        for name in &wants.required {
            if !has.required.contains(name) {
                return Err(format!("{name} is required, and the data's schema does not say so"));
            }
        }
        let unknown = |name: &String| !wants.properties.iter().any(|(known, _)| known == name);
        let extra = has.properties.iter().find(|(name, _)| unknown(name));
        match (extra, wants.additional) {
            (Some((name, _)), _) if !wants.open => Err(format!("{name} is not allowed")),
            (Some((name, own)), Some(id)) => {
                self.schemas(id, *own).map_err(|why| format!("{name}: {why}"))
            }
            _ if !wants.open && has.open && has.additional.is_none() => {
                Err("members that are not named are not allowed".to_owned())
            }
            _ => match (wants.additional, has.additional) {
                (Some(wants), Some(has)) => self.schemas(wants, has),
                (Some(_), None) if has.open => {
                    Err("members that are not named are not of any type".to_owned())
                }
                _ => Ok(()),
            },
        }
    }

    fn limits(&self, registered: Id, own: Id) -> Result<(), String> {
        let own = &self.own.node(own).limits;
        for (word, value) in &self.registered.node(registered).limits {
            if !own.iter().any(|(known, other)| known == word && other == value) {
                return Err(format!("{word} is {value}, and the data's schema does not say so"));
            }
        }
        Ok(())
    }

    fn followed(&self, id: Id) -> Id {
        target(self.registered, id)
    }

    fn followed_own(&self, id: Id) -> Id {
        target(self.own, id)
    }
}

/// What a reference leads to in the end; one that leads to itself stays.
fn target(schema: &JsonSchema, mut id: Id) -> Id {
    for _ in 0..schema.nodes.len() {
        match schema.kind(id) {
            Kind::Reference(next) => id = *next,
            _ => break,
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(registered: &str, own: &str) -> Option<String> {
        let parse = |text: &str| JsonSchema::parse(text, &[]).unwrap();
        obstacle(&parse(registered), &parse(own))
    }

    #[test]
    fn what_data_is_good_for() {
        let object = |rest: &str, properties: &str| {
            format!(r#"{{"type":"object",{rest}"properties":{{{properties}}}}}"#)
        };
        let closed = r#""additionalProperties":false,"#;
        let (a, b) = (r#""a":{"type":"integer"}"#, r#""b":{"type":"string"}"#);
        let both = format!("{a},{b}");
        assert_eq!(verdict(&object("", a), &object("", a)), None);
        assert_eq!(verdict(&object("", r#""a":{"type":"number"}"#), &object("", a)), None);
        assert!(verdict(&object("", a), &object("", r#""a":{"type":"number"}"#)).is_some());
        // A new field: only where the data could not have had it before.
        assert!(verdict(&object("", &both), &object("", a)).unwrap().starts_with("b is not"));
        assert_eq!(verdict(&object("", &both), &object(closed, a)), None);
        assert_eq!(verdict(&object("", a), &object("", &both)), None);
        assert!(verdict(&object(closed, a), &object(closed, &both)).unwrap().starts_with("b is"));
        assert!(verdict(&object(r#""required":["a"],"#, a), &object("", a)).is_some());
        let or_null = r#"{"oneOf":[{"type":"null"},{"type":"integer"}]}"#;
        assert_eq!(verdict(or_null, r#"{"type":"integer"}"#), None);
        assert_eq!(verdict(or_null, or_null), None);
        assert!(verdict(r#"{"type":"integer"}"#, or_null).is_some());
        assert!(verdict(r#"{"type":"integer","minimum":1}"#, r#"{"type":"integer"}"#).is_some());
        let list = r##"{"type":"object","properties":{"n":{"$ref":"#"}}}"##;
        assert_eq!(verdict(list, list), None);
    }
}
