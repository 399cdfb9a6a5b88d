//! The answer of `/config/validate` and of `/connector-plugins/{p}/config`: keys and values as the
//! REST API shows them.

use millrace_api::config_def::{ConfigKey, DefaultValue, Type, split_list};
use serde::Serialize;

/// `ConfigInfos`: the answer of `/config/validate`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigInfos {
    /// `connector.class` as given.
    pub name: String,
    pub error_count: usize,
    pub groups: Vec<String>,
    pub configs: Vec<ConfigInfo>,
}

/// One key and what stands there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigInfo {
    pub definition: Option<ConfigKeyInfo>,
    pub value: ConfigValueInfo,
}

/// `ConfigKeyInfo`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigKeyInfo {
    pub name: String,
    #[serde(rename = "type")]
    pub type_: &'static str,
    pub required: bool,
    pub default_value: Option<String>,
    pub importance: &'static str,
    pub documentation: &'static str,
    pub group: Option<String>,
    pub width: &'static str,
    pub display_name: String,
    pub dependents: Vec<String>,
    pub order: i32,
}

/// `ConfigValueInfo`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigValueInfo {
    pub name: String,
    pub value: Option<String>,
    pub recommended_values: Vec<String>,
    pub errors: Vec<String>,
    pub visible: bool,
}

impl ConfigKeyInfo {
    pub fn new(key: &ConfigKey) -> Self {
        let default = match key.default {
            DefaultValue::Of(text) => Some(shown(key.type_, text)),
            DefaultValue::Null | DefaultValue::Required => None,
        };
        let display = key.display_name.map(|display| match key.name.split('.').nth(1) {
            // "Transformation type for <alias>".
            Some(alias) if key.order_in_group < 2 && is_aliased(&key.name) => {
                format!("{display} for {alias}")
            }
            _ => display.to_owned(),
        });
        let own_name = match is_aliased(&key.name) {
            true => key.name.splitn(3, '.').nth(2).unwrap_or(&key.name),
            false => &key.name,
        };
        Self {
            name: key.name.clone(),
            type_: key.type_.name(),
            required: key.default == DefaultValue::Required,
            default_value: default,
            importance: key.importance.name(),
            documentation: key.documentation,
            group: key.group.clone(),
            width: key.width.name(),
            display_name: display.unwrap_or_else(|| own_name.to_owned()),
            dependents: Vec::new(),
            order: key.order_in_group,
        }
    }
}

fn is_aliased(name: &str) -> bool {
    name.starts_with("transforms.") || name.starts_with("predicates.")
}

/// As Java renders a parsed value.
pub(crate) fn shown(type_: Type, text: &str) -> String {
    match type_ {
        Type::Password => "[hidden]".to_owned(),
        Type::List => split_list(text).join(","),
        Type::Boolean => text.to_ascii_lowercase(),
        _ => text.to_owned(),
    }
}
