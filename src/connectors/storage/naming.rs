//! The names of objects.

use std::fmt::Write;

/// How an object's key is put together.
#[derive(Clone, Debug)]
pub struct Naming {
    /// `topics.dir`; empty for none.
    pub topics_dir: String,
    /// `directory.delim`.
    pub directory_delim: String,
    /// `file.delim`.
    pub file_delim: String,
    /// `filename.offset.zero.pad.width`.
    pub zero_pad_width: usize,
    /// With the dot and the compression's: `.json.gz`.
    pub extension: String,
    /// Aiven's `file.name.template` in place of the rest.
    pub template: Option<Template>,
}

impl Naming {
    /// `<topics.dir>/<topic>/<encoded partition>/<topic>+<partition>+<start offset><extension>`, or what
    /// the template makes of it. A pure function of where the file begins: a file that is written again
    /// has the same name.
    pub fn key(&self, topic: &str, encoded: &str, partition: i32, start: i64) -> String {
        if let Some(template) = &self.template {
            return template.key(topic, partition, start) + &self.extension;
        }
        let (dir, file) = (&self.directory_delim, &self.file_delim);
        let width = self.zero_pad_width;
        let mut key = String::with_capacity(64 + self.topics_dir.len() + 2 * topic.len());
        if !self.topics_dir.trim().is_empty() {
            key.push_str(&self.topics_dir);
            key.push_str(dir);
        }
        let _ = write!(
            key,
            "{topic}{dir}{encoded}{dir}{topic}{file}{partition}{file}{start:0width$}{}",
            self.extension
        );
        key
    }
}

/// Aiven's template: text with `{{topic}}`, `{{partition}}` and `{{start_offset}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    prefix: String,
    items: Vec<TemplateItem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplateItem {
    Text(String),
    Topic,
    Partition { padding: bool },
    StartOffset { padding: bool },
}

impl Template {
    /// `prefix` is `file.name.prefix`. The template must tell any two files of a topic apart.
    pub fn parse(prefix: &str, template: &str) -> Result<Self, String> {
        let mut items = Vec::new();
        let mut rest = template;
        while let Some((text, after)) = rest.split_once("{{") {
            if !text.is_empty() {
                items.push(TemplateItem::Text(text.to_owned()));
            }
            let (variable, after) =
                after.split_once("}}").ok_or_else(|| "a {{ has no }}".to_owned())?;
            items.push(variable_item(variable)?);
            rest = after;
        }
        if !rest.is_empty() {
            items.push(TemplateItem::Text(rest.to_owned()));
        }
        let has = |wanted: fn(&TemplateItem) -> bool| items.iter().any(wanted);
        if !has(|item| matches!(item, TemplateItem::Topic))
            || !has(|item| matches!(item, TemplateItem::Partition { .. }))
            || !has(|item| matches!(item, TemplateItem::StartOffset { .. }))
        {
            return Err("unsupported set of template variables, supported sets are: \
                        topic,partition,start_offset"
                .to_owned());
        }
        Ok(Self { prefix: prefix.to_owned(), items })
    }

    fn key(&self, topic: &str, partition: i32, start: i64) -> String {
        let mut key = self.prefix.clone();
        for item in &self.items {
            let _ = match item {
                TemplateItem::Text(text) => write!(key, "{text}"),
                TemplateItem::Topic => write!(key, "{topic}"),
                TemplateItem::Partition { padding: true } => write!(key, "{partition:010}"),
                TemplateItem::Partition { padding: false } => write!(key, "{partition}"),
                TemplateItem::StartOffset { padding: true } => write!(key, "{start:020}"),
                TemplateItem::StartOffset { padding: false } => write!(key, "{start}"),
            };
        }
        key
    }
}

fn variable_item(variable: &str) -> Result<TemplateItem, String> {
    let (name, parameter) = match variable.split_once(':') {
        Some((name, parameter)) => (name.trim(), Some(parameter.trim())),
        None => (variable.trim(), None),
    };
    let padding = match parameter {
        None | Some("padding=false") => false,
        Some("padding=true") => true,
        Some(other) => return Err(format!("'{other}' of {name} is not padding=true|false")),
    };
    match name {
        "topic" => Ok(TemplateItem::Topic),
        "partition" => Ok(TemplateItem::Partition { padding }),
        "start_offset" => Ok(TemplateItem::StartOffset { padding }),
        _ => Err(format!("variable {name} is not one of topic, partition, start_offset")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming() -> Naming {
        Naming {
            topics_dir: "topics".to_owned(),
            directory_delim: "/".to_owned(),
            file_delim: "+".to_owned(),
            zero_pad_width: 10,
            extension: ".json.gz".to_owned(),
            template: None,
        }
    }

    #[test]
    fn confluents_layout() {
        assert_eq!(
            naming().key("orders", "partition=3", 3, 42),
            "topics/orders/partition=3/orders+3+0000000042.json.gz"
        );
        let bare = Naming { topics_dir: String::new(), zero_pad_width: 1, ..naming() };
        assert_eq!(bare.key("t", "a=b", 0, 12_345), "t/a=b/t+0+12345.json.gz");
        let odd =
            Naming { directory_delim: "|".to_owned(), file_delim: "-".to_owned(), ..naming() };
        assert_eq!(odd.key("t", "p", 0, 12_345_678_901), "topics|t|p|t-0-12345678901.json.gz");
    }

    #[test]
    fn aivens_template() {
        let template = |text| {
            Template::parse("pre/", text)
                .map(|template| Naming { template: Some(template), ..naming() })
        };
        let plain = template("{{topic}}-{{partition}}-{{start_offset}}").unwrap();
        assert_eq!(plain.key("t", "ignored", 2, 7), "pre/t-2-7.json.gz");
        let padded =
            template("{{ topic }}/{{partition:padding=true}}/{{start_offset:padding=true}}");
        assert_eq!(
            padded.unwrap().key("t", "", 2, 7),
            "pre/t/0000000002/00000000000000000007.json.gz"
        );
        assert!(template("{{topic}}").is_err());
        assert!(template("{{topic}}{{partition}}{{start_offset}}{{key}}").is_err());
        assert!(template("{{topic").is_err());
    }
}
