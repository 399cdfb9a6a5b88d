//! `SchemaNameAdjuster`: names that Avro accepts.

use millrace_api::config_def::{ConfigKey, DefaultValue, Importance, Type, Validator};

/// `schema.name.adjustment.mode` and `field.name.adjustment.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    None,
    /// `_` in place of what Avro does not allow.
    Underscore,
    /// `_uXXXX`, also for `_` itself.
    Unicode,
}

/// The key of that name.
pub fn adjustment_key(name: &'static str, documentation: &'static str) -> ConfigKey {
    ConfigKey::new(name, Type::String, DefaultValue::Of("none"), Importance::Low, documentation)
        .check(Validator::OneOfIgnoreCase(&["none", "avro", "avro_unicode"]))
}

impl Adjustment {
    pub fn of(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "avro" => Self::Underscore,
            "avro_unicode" => Self::Unicode,
            _ => Self::None,
        }
    }

    /// A schema's full name, in which dots separate.
    pub fn schema_name(self, name: &str) -> String {
        self.adjust(name, |unit| unit == '.')
    }

    /// A field's name.
    pub fn field_name(self, name: &str) -> String {
        self.adjust(name, |_| false)
    }

    fn adjust(self, name: &str, also: fn(char) -> bool) -> String {
        if self == Self::None {
            return name.to_owned();
        }
        let mut out = String::with_capacity(name.len());
        // By UTF-16 units, as Java goes through a string.
        for (at, unit) in name.encode_utf16().enumerate() {
            let character = char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
            let first =
                character.is_ascii_alphabetic() || (character == '_' && self == Self::Underscore);
            let later = at > 0 && (character.is_ascii_digit() || also(character));
            if first || later {
                out.push(character);
                continue;
            }
            match self {
                Self::Unicode => {
                    let hex = format!("{unit:x}");
                    let zeros = if hex.len() <= 2 { "00" } else { "" };
                    out.push_str("_u");
                    out.push_str(zeros);
                    out.push_str(&hex);
                }
                _ => {
                    out.push('_');
                    // So that names which differ in a leading digit stay different.
                    if at == 0 && character.is_ascii_digit() {
                        out.push(character);
                    }
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_debezium_adjusts_them() {
        for (name, schema, field, unicode) in [
            ("db.a-b.Key", "db.a_b.Key", "db_a_b_Key", "db.a_u002db.Key"),
            ("1st.é", "_1st._", "_1st__", "_u0031st._u00e9"),
            ("_x", "_x", "_x", "_u005fx"),
            ("日😀", "___", "___", "_u65e5_ud83d_ude00"),
            ("", "", "", ""),
        ] {
            assert_eq!(Adjustment::Underscore.schema_name(name), schema);
            assert_eq!(Adjustment::Underscore.field_name(name), field);
            assert_eq!(Adjustment::Unicode.schema_name(name), unicode);
            assert_eq!(Adjustment::None.schema_name(name), name);
        }
    }
}
