//! Whether data is good under a JSON schema: `json.fail.invalid.schema`.
//!
//! The words of draft 7 but `format`, by everit's reading of them: 1.0 is no integer, lengths count
//! characters, what a word is not about is good. Nothing is allocated for data that is good.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::references::{Document, resolve};
use super::rules::{ARRAY, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, Rules, STRING, regex};
use crate::data::Value;

/// Place of rules in [`Validator::rules`].
pub(super) type At = usize;

/// A schema, compiled to be checked against.
#[derive(Debug)]
pub(super) struct Validator {
    rules: Vec<Rules>,
    root: At,
}

/// Most schemas that one may hold or refer to.
const MAX_RULES: usize = 65_536;
/// Schemas inside of schemas.
const MAX_DEPTH: usize = 100;
/// Schemas that are looked at inside of each other, for one value and those in it.
const RECURSION: usize = 500;

/// The word that is not kept, and where; the place is told only where somebody asks.
type Broken = Option<String>;

impl Validator {
    /// Reads `text`, which may refer to `references` by their names.
    pub fn parse(text: &str, references: &[(&str, &str)]) -> Result<Self, String> {
        let mut documents = vec![Document::parse("", text)?];
        for (name, text) in references {
            documents.push(Document::parse(name, text)?);
        }
        let mut compiler =
            Compiler { documents: &documents, rules: Vec::new(), known: HashMap::new(), depth: 0 };
        let root = compiler.schema(&documents[0].json, 0)?;
        Ok(Self { rules: compiler.rules, root })
    }

    /// What is wrong with the data, if anything is.
    pub fn wrong(&self, value: Value<'_>) -> Option<String> {
        match self.check(self.root, value, 0, false) {
            Ok(()) => None,
            Err(_) => {
                Some(self.check(self.root, value, 0, true).err().flatten().unwrap_or_default())
            }
        }
    }

    fn good(&self, at: At, value: Value<'_>, depth: usize) -> bool {
        self.check(at, value, depth, false).is_ok()
    }

    fn check(&self, at: At, value: Value<'_>, depth: usize, tell: bool) -> Result<(), Broken> {
        let broken = |word: &str| Err(tell.then(|| word.to_owned()));
        if depth > RECURSION {
            return broken("nests too deeply");
        }
        let rules = &self.rules[at];
        if let Some(target) = rules.reference {
            return self.check(target, value, depth + 1, tell);
        }
        if rules.never {
            return broken("nothing is allowed");
        }
        if rules.types != 0 && rules.types & kinds(value) == 0 {
            return broken("type");
        }
        if let Some(values) = &rules.enumeration
            && !values.iter().any(|one| same(value, one))
        {
            return broken("enum");
        }
        if let Some(constant) = &rules.constant
            && !same(value, constant)
        {
            return broken("const");
        }
        let kept = match value {
            Value::Int64(number) => rules.number(number as f64, Some(number)),
            Value::Float64(number) => rules.number(number, None),
            Value::Str(text) => rules.text(text),
            _ => Ok(()),
        };
        kept.or_else(broken)?;
        match value {
            Value::Array(items) => self.items(rules, items, depth, tell)?,
            Value::Map(members) => self.members(rules, members, depth, tell)?,
            _ => {}
        }
        self.combined(rules, value, depth, tell)
    }

    fn combined(
        &self,
        rules: &Rules,
        value: Value<'_>,
        depth: usize,
        tell: bool,
    ) -> Result<(), Broken> {
        let broken = |word: &str| Err(tell.then(|| word.to_owned()));
        for all in &rules.all_of {
            self.check(*all, value, depth + 1, tell)?;
        }
        if !rules.any_of.is_empty()
            && !rules.any_of.iter().any(|at| self.good(*at, value, depth + 1))
        {
            return broken("anyOf");
        }
        if !rules.one_of.is_empty() {
            let good = rules.one_of.iter().filter(|at| self.good(**at, value, depth + 1));
            if good.take(2).count() != 1 {
                return broken("oneOf");
            }
        }
        if rules.not.is_some_and(|not| self.good(not, value, depth + 1)) {
            return broken("not");
        }
        if let Some((condition, then, otherwise)) = rules.condition {
            let holds = condition.is_none_or(|at| self.good(at, value, depth + 1));
            let next = if holds { then } else { otherwise };
            if let (Some(next), Some(_)) = (next, condition) {
                return self.check(next, value, depth + 1, tell);
            }
        }
        Ok(())
    }

    fn items(
        &self,
        rules: &Rules,
        items: &[Value<'_>],
        depth: usize,
        tell: bool,
    ) -> Result<(), Broken> {
        let broken = |word: &str| Err(tell.then(|| word.to_owned()));
        rules.items_of(items.len()).or_else(broken)?;
        if rules.unique && !all_differ(items) {
            return broken("uniqueItems");
        }
        for (nth, item) in items.iter().enumerate() {
            let of = match &rules.tuple {
                Some(tuple) => tuple.get(nth).copied().or(rules.additional_items),
                None => rules.items,
            };
            if let Some(of) = of {
                self.check(of, *item, depth + 1, tell)
                    .map_err(|why| why.map(|why| format!("/{nth}{}", spaced(&why))))?;
            }
        }
        match rules.contains {
            Some(at) if !items.iter().any(|item| self.good(at, *item, depth + 1)) => {
                broken("contains")
            }
            _ => Ok(()),
        }
    }

    fn members(
        &self,
        rules: &Rules,
        members: &[(Value<'_>, Value<'_>)],
        depth: usize,
        tell: bool,
    ) -> Result<(), Broken> {
        let broken = |word: &str| Err(tell.then(|| word.to_owned()));
        let has = |name: &str| members.iter().any(|(key, _)| key.as_str() == Some(name));
        rules.members_of(members.len()).or_else(broken)?;
        if let Some(missing) = rules.required.iter().find(|name| !has(name)) {
            return Err(tell.then(|| format!("required key [{missing}] not found")));
        }
        for (key, value) in members {
            let Some(name) = key.as_str() else { continue };
            let there = |why: Broken| why.map(|why| format!("/{name}{}", spaced(&why)));
            if let Some(at) = rules.property_names {
                self.check(at, *key, depth + 1, tell).map_err(there)?;
            }
            let mut known = false;
            if let Some((_, at)) = rules.properties.iter().find(|(known, _)| known == name) {
                known = true;
                self.check(*at, *value, depth + 1, tell).map_err(there)?;
            }
            for (pattern, at) in &rules.patterns {
                if pattern.is_match(name).unwrap_or(false) {
                    known = true;
                    self.check(*at, *value, depth + 1, tell).map_err(there)?;
                }
            }
            if !known && let Some(at) = rules.additional {
                self.check(at, *value, depth + 1, tell).map_err(there)?;
            }
        }
        for (name, names, schema) in &rules.dependencies {
            if !has(name) {
                continue;
            }
            if !names.iter().all(|name| has(name)) {
                return broken("dependencies");
            }
            if let Some(at) = schema {
                self.check(*at, Value::Map(members), depth + 1, tell)?;
            }
        }
        Ok(())
    }
}

/// A word behind a path; a path behind a path stands without a space.
fn spaced(why: &str) -> String {
    if why.starts_with('/') { why.to_owned() } else { format!(": {why}") }
}

fn kinds(value: Value<'_>) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Boolean(_) => BOOLEAN,
        Value::Int64(_) => INTEGER | NUMBER,
        Value::Float64(_) => NUMBER,
        Value::Str(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Map(_) => OBJECT,
        _ => 0,
    }
}

fn same(value: Value<'_>, json: &Json) -> bool {
    match (value, json) {
        (Value::Null, Json::Null) => true,
        (Value::Boolean(one), Json::Bool(other)) => one == *other,
        (Value::Str(one), Json::String(other)) => one == other,
        (Value::Int64(one), Json::Number(other)) => {
            other.as_i64() == Some(one)
                || (other.as_i64().is_none() && other.as_f64() == Some(one as f64))
        }
        (Value::Float64(one), Json::Number(other)) => other.as_f64() == Some(one),
        (Value::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, json)| same(*one, json))
        }
        (Value::Map(one), Json::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| {
                    let found = key.as_str().and_then(|key| other.get(key));
                    found.is_some_and(|json| same(*value, json))
                })
        }
        _ => false,
    }
}

fn equal(one: Value<'_>, other: Value<'_>) -> bool {
    match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Boolean(one), Value::Boolean(other)) => one == other,
        (Value::Str(one), Value::Str(other)) => one == other,
        (Value::Int64(one), Value::Int64(other)) => one == other,
        (Value::Float64(one), Value::Float64(other)) => one == other,
        (Value::Int64(one), Value::Float64(other)) | (Value::Float64(other), Value::Int64(one)) => {
            one as f64 == other
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| equal(*one, *other))
        }
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| {
                    let found = other.iter().find(|(known, _)| known.as_str() == key.as_str());
                    found.is_some_and(|(_, other)| equal(*value, *other))
                })
        }
        _ => false,
    }
}

fn all_differ(items: &[Value<'_>]) -> bool {
    // Pairs grow with the square of the count; beyond that, what is printed alike is the same.
    if items.len() > MOST_COMPARED {
        let mut texts = std::collections::HashSet::with_capacity(items.len());
        return items.iter().all(|item| texts.insert(format!("{item:?}")));
    }
    items.iter().enumerate().all(|(at, item)| !items[..at].iter().any(|one| equal(*one, *item)))
}

/// Items that are compared pair by pair.
const MOST_COMPARED: usize = 256;

struct Compiler<'d> {
    documents: &'d [Document],
    rules: Vec<Rules>,
    /// By where the schema's text stands in memory.
    known: HashMap<*const Json, At>,
    depth: usize,
}

impl<'d> Compiler<'d> {
    fn schema(&mut self, json: &'d Json, document: usize) -> Result<At, String> {
        if let Some(at) = self.known.get(&std::ptr::from_ref(json)) {
            return Ok(*at);
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH || self.rules.len() >= MAX_RULES {
            return Err("the JSON schema nests too deeply".into());
        }
        let at = self.rules.len();
        self.rules.push(Rules::default());
        self.known.insert(std::ptr::from_ref(json), at);
        self.rules[at] = match json {
            Json::Bool(allowed) => Rules { never: !allowed, ..Rules::default() },
            Json::Object(object) => self.object(object, document)?,
            other => return Err(format!("{other} is no JSON schema")),
        };
        self.depth -= 1;
        Ok(at)
    }

    fn object(&mut self, object: &'d Map<String, Json>, document: usize) -> Result<Rules, String> {
        if let Some(reference) = object.get("$ref") {
            let reference = reference.as_str().ok_or("a $ref is no text")?;
            let (document, json) = resolve(self.documents, document, reference)?;
            let reference = Some(self.schema(json, document)?);
            return Ok(Rules { reference, ..Rules::default() });
        }
        let mut rules = Rules::plain(object)?;
        let one = |own: &mut Self, word: &str| {
            object.get(word).map(|json| own.schema(json, document)).transpose()
        };
        let many = |own: &mut Self, word: &str| -> Result<Vec<At>, String> {
            let all = object.get(word).and_then(Json::as_array);
            all.into_iter().flatten().map(|json| own.schema(json, document)).collect()
        };
        rules.all_of = many(self, "allOf")?;
        rules.any_of = many(self, "anyOf")?;
        rules.one_of = many(self, "oneOf")?;
        rules.not = one(self, "not")?;
        let condition = (one(self, "if")?, one(self, "then")?, one(self, "else")?);
        rules.condition = condition.0.is_some().then_some(condition);
        rules.contains = one(self, "contains")?;
        rules.property_names = one(self, "propertyNames")?;
        rules.additional = one(self, "additionalProperties")?;
        rules.additional_items = one(self, "additionalItems")?;
        match object.get("items") {
            Some(Json::Array(_)) => rules.tuple = Some(many(self, "items")?),
            Some(items) => rules.items = Some(self.schema(items, document)?),
            None => {}
        }
        let members = |word: &str| object.get(word).and_then(Json::as_object).into_iter().flatten();
        for (name, json) in members("properties") {
            rules.properties.push((name.clone(), self.schema(json, document)?));
        }
        for (pattern, json) in members("patternProperties") {
            rules.patterns.push((regex(pattern)?, self.schema(json, document)?));
        }
        for (name, json) in members("dependencies") {
            let (names, schema) = match json.as_array() {
                Some(names) => {
                    let names = names.iter().filter_map(Json::as_str).map(str::to_owned);
                    (names.collect(), None)
                }
                None => (Vec::new(), Some(self.schema(json, document)?)),
            };
            rules.dependencies.push((name.clone(), names, schema));
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::json::parse;

    fn wrong(schema: &str, data: &str) -> Option<String> {
        let validator = Validator::parse(schema, &[]).unwrap();
        let arena = Arena::new();
        validator.wrong(parse(data.as_bytes(), &arena).unwrap())
    }

    #[test]
    fn as_the_jvm_has_it() {
        let mut schema = None;
        let mut count = 0;
        for line in include_str!("jvm_validated.txt").lines().skip(3) {
            match line.split_at_checked(2) {
                None => schema = None,
                Some(("+ ", data)) => {
                    assert_eq!(wrong(schema.unwrap(), data), None, "{schema:?} {data}");
                    count += 1;
                }
                Some(("- ", data)) => {
                    assert!(wrong(schema.unwrap(), data).is_some(), "{schema:?} {data}");
                    count += 1;
                }
                Some(_) => schema = Some(line),
            }
        }
        assert_eq!(count, 81);
    }

    #[test]
    fn says_where() {
        let schema = r#"{"properties":{"a":{"type":"array","items":{"properties":{
            "b":{"type":"string","pattern":"^x"}},"required":["b"]}}}}"#;
        let data = r#"{"a":[{"b":"x"},{"b":"y"}]}"#;
        assert_eq!(wrong(schema, data).as_deref(), Some("/a/1/b: pattern"));
        let data = r#"{"a":[{}]}"#;
        assert_eq!(wrong(schema, data).as_deref(), Some("/a/0: required key [b] not found"));
        assert!(wrong(r##"{"$ref":"#"}"##, "1").unwrap().contains("too deeply"));
        assert!(Validator::parse(r#"{"pattern":"("}"#, &[]).is_err());
    }
}
