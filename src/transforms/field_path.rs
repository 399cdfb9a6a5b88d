//! `SingleFieldPath` and `FieldSyntaxVersion`: how a nested field is named (KIP-821).

use millrace_api::config_def::{ConfigKey, DefaultValue, Importance, Type, Validator};
use millrace_converters::{Arena, DataError, Field, Schema, SchemaType, Struct, Value};

use crate::requirements::{entry, field_value, require_map, require_struct};

const NESTED: &str = "nested field access";

/// The key `field.syntax.version`.
pub const FIELD_SYNTAX_VERSION: &str = "field.syntax.version";

pub fn field_syntax_version_key() -> ConfigKey {
    ConfigKey::new(
        FIELD_SYNTAX_VERSION,
        Type::String,
        DefaultValue::Of("V1"),
        Importance::High,
        "Defines the version of the syntax to access fields. If set to `V1`, then the field paths \
         are limited to access the elements at the root level of the struct or map. If set to \
         `V2`, the syntax will support accessing nested elements. To access nested elements, \
         dotted notation is used. If dots are already included in the field name, then backtick \
         pairs can be used to wrap field names containing dots. E.g. to access the subfield `baz` \
         from a field named \"foo.bar\" in a struct/map the following format can be used to access \
         its elements: \"`foo.bar`.baz\".",
    )
    .check(Validator::OneOfIgnoreCase(&["V1", "V2"]))
}

/// The steps from a record's top to a field; empty only for an empty path in V2.
#[derive(Debug, PartialEq, Eq)]
pub struct SingleFieldPath {
    steps: Vec<String>,
}

impl SingleFieldPath {
    /// # Errors
    /// Java's words for a backtick without its end.
    pub fn new(path: &str, version: &str) -> Result<Self, String> {
        if version.eq_ignore_ascii_case("V2") {
            return Ok(Self { steps: split(path)? });
        }
        Ok(Self { steps: vec![path.to_owned()] })
    }

    /// The only step, if there is but one.
    pub fn single(&self) -> Option<&str> {
        if let [step] = &self.steps[..] { Some(step) } else { None }
    }

    fn last(&self) -> Result<(&str, &[String]), DataError> {
        let (last, before) = self.steps.split_last().ok_or_else(|| {
            DataError::with_class(
                "java.lang.IllegalArgumentException",
                "fromIndex(0) > toIndex(-1)",
            )
        })?;
        Ok((last, before))
    }

    /// The field in a schema; `None` if there is no such field.
    pub fn field_from<'s>(&self, schema: &'s Schema) -> Result<Option<&'s Field>, DataError> {
        let (last, before) = self.last()?;
        let mut current = schema;
        for step in before {
            match look_up(current, step)? {
                Some(field) => current = &field.schema,
                None => return Ok(None),
            }
        }
        look_up(current, last)
    }

    /// The value in a struct; null if a step on the way is null or missing.
    pub fn value_from_struct<'a>(
        &self,
        data: &'a Struct<'a>,
        replace_null: bool,
        arena: &'a Arena,
    ) -> Result<Value<'a>, DataError> {
        let (last, before) = self.last()?;
        let mut current = data;
        for step in before {
            let Some((index, _)) = current.schema.field(step) else { return Ok(Value::Null) };
            match field_value(current, index, replace_null, arena) {
                Value::Null => return Ok(Value::Null),
                value => current = require_struct(value, NESTED)?,
            }
        }
        Ok(match current.schema.field(last) {
            Some((index, _)) => field_value(current, index, replace_null, arena),
            None => Value::Null,
        })
    }

    /// The value in a map; null if a step on the way is null or missing.
    pub fn value_from_map<'a>(
        &self,
        map: &'a [(Value<'a>, Value<'a>)],
        arena: &'a Arena,
    ) -> Result<Value<'a>, DataError> {
        let (last, before) = self.last()?;
        let mut current = map;
        for step in before {
            match entry(current, step) {
                Value::Null => return Ok(Value::Null),
                value => current = require_map(value, NESTED, arena)?,
            }
        }
        Ok(entry(current, last))
    }
}

/// `Schema.field`.
fn look_up<'s>(schema: &'s Schema, name: &str) -> Result<Option<&'s Field>, DataError> {
    if schema.type_ != SchemaType::Struct {
        return Err(DataError::new("Cannot look up fields on non-struct type"));
    }
    Ok(schema.field(name).map(|(_, field)| field))
}

fn split(path: &str) -> Result<Vec<String>, String> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if rest.starts_with('`') {
            let at = path.len() - rest.len();
            let (step, after) = quoted_step(&rest[1..]).ok_or_else(|| {
                format!(
                    "Incomplete backtick pair in path: [{path}], consider adding a backslash \
                     before backtick at position {} to escape it",
                    path[..at].encode_utf16().count()
                )
            })?;
            steps.push(step);
            rest = after;
        } else if let Some((step, after)) = rest.split_once('.') {
            steps.push(step.to_owned());
            rest = after;
        } else {
            steps.push(rest.to_owned());
            break;
        }
    }
    if path.ends_with('.') {
        steps.push(String::new());
    }
    Ok(steps)
}

/// A step after its opening backtick, and what follows it. It ends at a backtick that a dot or the
/// end follows and no backslash precedes; `None`: there is none.
fn quoted_step(text: &str) -> Option<(String, &str)> {
    let mut step = String::new();
    let mut start = 0;
    let mut from = 0;
    loop {
        let at = from + text[from..].find('`')?;
        let escaped = text[..at].ends_with('\\');
        let after = &text[at + 1..];
        if after.is_empty() {
            if escaped {
                return None;
            }
            step.push_str(&text[start..at]);
            return Some((step, after));
        }
        from = at + 1;
        if !after.starts_with('.') {
            continue;
        }
        if escaped {
            step.push_str(&text[start..at - 1]);
            step.push('`');
            start = from;
            continue;
        }
        step.push_str(&text[start..at]);
        return Some((step, &after[1..]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(path: &str) -> Vec<String> {
        SingleFieldPath::new(path, "v2").unwrap().steps
    }

    #[test]
    fn v1_takes_the_path_as_a_name() {
        for path in ["a.b", "`a", ""] {
            assert_eq!(SingleFieldPath::new(path, "V1").unwrap().steps, [path]);
        }
    }

    #[test]
    fn v2_splits_as_java_does() {
        for (path, expected) in [
            ("", &[][..]),
            ("foo", &["foo"]),
            ("foo.bar", &["foo", "bar"]),
            ("`foo.bar`", &["foo.bar"]),
            ("`foo`bar`", &["foo`bar"]),
            ("`foo\\`.bar`", &["foo`.bar"]),
            ("`foo.`bar.baz`", &["foo.`bar.baz"]),
            ("`foo.bar`.baz", &["foo.bar", "baz"]),
            ("foo.", &["foo", ""]),
            ("`foo`.", &["foo", ""]),
            ("..", &["", "", ""]),
            ("`a``.b", &["a`", "b"]),
            ("foo`.b", &["foo`", "b"]),
            ("``", &[""]),
        ] {
            assert_eq!(steps(path), expected, "{path}");
        }
    }

    #[test]
    fn an_open_backtick_is_refused_in_javas_words() {
        assert_eq!(
            SingleFieldPath::new("`a\\`", "V2").unwrap_err(),
            "Incomplete backtick pair in path: [`a\\`], consider adding a backslash before \
             backtick at position 0 to escape it"
        );
        assert!(SingleFieldPath::new("é.`a", "V2").unwrap_err().contains("at position 2 "));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_split_or_refused(path in "[a`.\\\\é]{0,12}") {
            let _ = SingleFieldPath::new(&path, "V2");
        }
    }
}
