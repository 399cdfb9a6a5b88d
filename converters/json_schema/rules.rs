//! What a JSON schema asks of one value by itself: types, bounds, patterns.

use fancy_regex::Regex;
use serde_json::{Map, Value as Json};

use super::validate::At;

pub(super) const NULL: u8 = 1;
pub(super) const BOOLEAN: u8 = 2;
pub(super) const INTEGER: u8 = 4;
pub(super) const NUMBER: u8 = 8;
pub(super) const STRING: u8 = 16;
pub(super) const ARRAY: u8 = 32;
pub(super) const OBJECT: u8 = 64;

/// One schema's words.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Alone: all else beside a reference does not count.
    pub reference: Option<At>,
    pub never: bool,
    /// Of the constants above; 0: any.
    pub types: u8,
    pub enumeration: Option<Vec<Json>>,
    pub constant: Option<Json>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub multiple_of: Option<f64>,
    pub lengths: Sizes,
    pub pattern: Option<Regex>,
    pub item_counts: Sizes,
    pub unique: bool,
    pub items: Option<At>,
    pub tuple: Option<Vec<At>>,
    pub additional_items: Option<At>,
    pub contains: Option<At>,
    pub member_counts: Sizes,
    pub required: Vec<String>,
    pub properties: Vec<(String, At)>,
    pub patterns: Vec<(Regex, At)>,
    pub additional: Option<At>,
    pub property_names: Option<At>,
    /// With that member come those, and that schema holds for the whole.
    pub dependencies: Vec<(String, Vec<String>, Option<At>)>,
    pub all_of: Vec<At>,
    pub any_of: Vec<At>,
    pub one_of: Vec<At>,
    pub not: Option<At>,
    /// `if`, `then`, `else`.
    pub condition: Option<(Option<At>, Option<At>, Option<At>)>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    least: Option<u64>,
    most: Option<u64>,
}

impl Sizes {
    fn read(object: &Map<String, Json>, least: &str, most: &str) -> Self {
        let size = |word: &str| object.get(word).and_then(Json::as_u64);
        Self { least: size(least), most: size(most) }
    }

    fn check(
        self,
        size: impl FnOnce() -> usize,
        least: &'static str,
        most: &'static str,
    ) -> Result<(), &'static str> {
        if self.least.is_none() && self.most.is_none() {
            return Ok(());
        }
        let size = size() as u64;
        if self.least.is_some_and(|least| size < least) {
            return Err(least);
        }
        if self.most.is_some_and(|most| size > most) { Err(most) } else { Ok(()) }
    }
}

/// A pattern as Java's `find` takes it.
pub(super) fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("the pattern {pattern}: {error}"))
}

impl Rules {
    /// The words that hold no schemas.
    pub fn plain(object: &Map<String, Json>) -> Result<Self, String> {
        let number = |word: &str| object.get(word).and_then(Json::as_f64);
        // Draft 4 has a flag beside the bound.
        let strict = |word: &str| object.get(word) == Some(&Json::Bool(true));
        let (mut minimum, mut above) = (number("minimum"), number("exclusiveMinimum"));
        let (mut maximum, mut below) = (number("maximum"), number("exclusiveMaximum"));
        if strict("exclusiveMinimum") {
            above = minimum.take();
        }
        if strict("exclusiveMaximum") {
            below = maximum.take();
        }
        let pattern = object.get("pattern").and_then(Json::as_str);
        let required = object.get("required").and_then(Json::as_array);
        let names = required.into_iter().flatten().filter_map(Json::as_str);
        Ok(Self {
            types: types(object.get("type"))?,
            enumeration: object.get("enum").and_then(Json::as_array).cloned(),
            constant: object.get("const").cloned(),
            minimum,
            maximum,
            above,
            below,
            multiple_of: number("multipleOf").filter(|step| *step > 0.0),
            lengths: Sizes::read(object, "minLength", "maxLength"),
            pattern: pattern.map(regex).transpose()?,
            item_counts: Sizes::read(object, "minItems", "maxItems"),
            unique: object.get("uniqueItems") == Some(&Json::Bool(true)),
            member_counts: Sizes::read(object, "minProperties", "maxProperties"),
            required: names.map(str::to_owned).collect(),
            ..Self::default()
        })
    }

    /// A number; `integer` if it is one.
    pub fn number(&self, value: f64, integer: Option<i64>) -> Result<(), &'static str> {
        if self.minimum.is_some_and(|least| value < least) {
            return Err("minimum");
        }
        if self.maximum.is_some_and(|most| value > most) {
            return Err("maximum");
        }
        if self.above.is_some_and(|above| value <= above) {
            return Err("exclusiveMinimum");
        }
        if self.below.is_some_and(|below| value >= below) {
            return Err("exclusiveMaximum");
        }
        let multiple = self.multiple_of.is_none_or(|step| match integer {
            Some(value) if step.fract() == 0.0 && step < 9e15 => value % (step as i64) == 0,
            _ => {
                // Decimal steps have no exact binary form.
                let times = value / step;
                (times - times.round()).abs() <= 1e-9 * times.abs().max(1.0)
            }
        });
        if multiple { Ok(()) } else { Err("multipleOf") }
    }

    pub fn text(&self, text: &str) -> Result<(), &'static str> {
        self.lengths.check(|| text.chars().count(), "minLength", "maxLength")?;
        match &self.pattern {
            Some(pattern) if !pattern.is_match(text).unwrap_or(false) => Err("pattern"),
            _ => Ok(()),
        }
    }

    pub fn items_of(&self, count: usize) -> Result<(), &'static str> {
        self.item_counts.check(|| count, "minItems", "maxItems")
    }

    pub fn members_of(&self, count: usize) -> Result<(), &'static str> {
        self.member_counts.check(|| count, "minProperties", "maxProperties")
    }
}

fn types(json: Option<&Json>) -> Result<u8, String> {
    let one = |name: &Json| {
        Ok(match name.as_str().unwrap_or_default() {
            "null" => NULL,
            "boolean" => BOOLEAN,
            "integer" => INTEGER,
            "number" => NUMBER,
            "string" => STRING,
            "array" => ARRAY,
            "object" => OBJECT,
            _ => return Err(format!("{name} is no type of a JSON schema")),
        })
    };
    match json {
        None => Ok(0),
        Some(Json::Array(names)) => names.iter().try_fold(0, |all, name| Ok(all | one(name)?)),
        Some(name) => one(name),
    }
}
