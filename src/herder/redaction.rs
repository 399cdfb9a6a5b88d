//! What config providers gave stays out of the answers of `/config/validate`: as Kafka Connect 4.5 has
//! it, where earlier releases show it.

use millrace_api::Config;

use crate::config_infos::ConfigInfo;

/// Shorter values are as likely part of a word.
const LEAST: usize = 3;

/// A key whose value a provider gave shows its placeholder, nothing to choose from, and one error that
/// does not repeat the value. Errors of other keys that repeat it are cut as well.
pub(crate) fn redact(raw: &Config, resolved: &Config, configs: &mut [ConfigInfo]) {
    let given = |(key, value): (&String, &String)| {
        let secret = resolved.get(key).filter(|resolved| *resolved != value)?;
        Some((key.clone(), secret.trim().to_owned()))
    };
    let given: Vec<(String, String)> = raw.iter().filter_map(given).collect();
    if given.is_empty() {
        return;
    }
    for info in configs {
        let value = &mut info.value;
        if given.iter().any(|(key, _)| *key == value.name) {
            if value.value.is_some() {
                value.value = raw.get(&value.name).cloned();
            }
            value.recommended_values.clear();
            if !value.errors.is_empty() {
                value.errors = vec![format!(
                    "Invalid value for configuration '{}': the value resolved from the config \
                     provider reference failed validation",
                    value.name
                )];
            }
        }
        for error in &mut value.errors {
            for (_, secret) in given.iter().filter(|(_, secret)| secret.len() >= LEAST) {
                if error.contains(secret.as_str()) {
                    *error = error.replace(secret.as_str(), "[hidden]");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_infos::ConfigValueInfo;

    #[test]
    fn what_providers_gave_is_not_shown() {
        let config = |pairs: &[(&str, &str)]| -> Config {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let info = |name: &str, value: &str, error: &str| ConfigInfo {
            definition: None,
            value: ConfigValueInfo {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                recommended_values: vec!["x".to_owned()],
                errors: vec![error.to_owned()],
                visible: true,
            },
        };
        let raw = config(&[("a", "${v:p:a}"), ("b", "plain")]);
        let resolved = config(&[("a", "s3cret"), ("b", "plain")]);
        let mut configs = [
            info("a", "s3cret", "Invalid value s3cret for configuration a"),
            info("b", "plain", "plain clashes with s3cret"),
        ];
        redact(&raw, &resolved, &mut configs);
        let [a, b] = configs.map(|info| info.value);
        assert_eq!(a.value.as_deref(), Some("${v:p:a}"));
        assert!(a.recommended_values.is_empty());
        assert!(a.errors[0].ends_with("provider reference failed validation"), "{:?}", a.errors);
        assert_eq!(
            (b.value.as_deref(), b.errors[0].as_str()),
            (Some("plain"), "plain clashes with [hidden]")
        );
        assert_eq!(b.recommended_values, ["x"]);
    }
}
