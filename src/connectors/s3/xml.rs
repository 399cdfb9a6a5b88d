//! The service's answers, single elements looked up by name, and the documents that it is sent.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::config::Tagging;
use crate::storage::store::Stamp;

/// The text of the first element of that name, whatever its namespace and place; `None` if it is not
/// there or the answer is not XML.
pub fn text(body: &[u8], name: &str) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(body);
    let mut found: Option<String> = None;
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if start.local_name().as_ref() == name.as_bytes() => {
                found = Some(String::new());
            }
            Event::Empty(start) if start.local_name().as_ref() == name.as_bytes() => {
                return Some(String::new());
            }
            Event::Text(text) => {
                if let Some(found) = &mut found {
                    found.push_str(&text.decode().ok()?);
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(found) = &mut found {
                    found.push(resolve(&reference)?);
                }
            }
            Event::CData(data) => {
                if let Some(found) = &mut found {
                    found.push_str(&data.decode().ok()?);
                }
            }
            Event::End(end) if end.local_name().as_ref() == name.as_bytes() => return found,
            Event::Eof => return None,
            _ => {}
        }
    }
}

fn resolve(reference: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return Some(c);
    }
    match reference.decode().ok()?.as_ref() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

/// Appends `text` with what XML reserves escaped.
pub fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
}

/// The tags of an object: where its records begin and end, how many they are, and the configured ones.
pub fn tag_set(tagging: &Tagging, stamp: &Stamp) -> String {
    let own = [
        ("startOffset", stamp.start_offset.to_string()),
        ("endOffset", stamp.end_offset.to_string()),
        ("recordCount", stamp.records.to_string()),
    ];
    let own = own.iter().map(|(key, value)| (*key, value.as_str()));
    let extra = tagging.extra.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let mut body = "<Tagging><TagSet>".to_owned();
    for (key, value) in own.chain(extra) {
        body.push_str("<Tag><Key>");
        escape(key, &mut body);
        body.push_str("</Key><Value>");
        escape(value, &mut body);
        body.push_str("</Value></Tag>");
    }
    body.push_str("</TagSet></Tagging>");
    body
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements() {
        let body =
            b"<?xml version=\"1.0\"?><Error xmlns=\"http://s3\"><Code>No&amp;Such&#65;</Code>\
                     <x:Message xmlns:x=\"y\"><![CDATA[a<b]]></x:Message><Empty/></Error>";
        assert_eq!(text(body, "Code").as_deref(), Some("No&SuchA"));
        assert_eq!(text(body, "Message").as_deref(), Some("a<b"));
        assert_eq!(text(body, "Empty").as_deref(), Some(""));
        assert_eq!(text(body, "Region"), None);
        assert_eq!(text(b"<a>", "a"), None);
        assert_eq!(text(b"\xff", "a"), None);
    }

    proptest! {
        #[test]
        fn never_panics(body in "(<a>|</a>|&amp;|&#x;|<!\\[CDATA\\[|\\PC){0,12}") {
            let _ = text(body.as_bytes(), "a");
        }

        #[test]
        fn escaped_text_comes_back(value in "[a-z&<>\"]{0,12}") {
            let mut body = "<a>".to_owned();
            escape(&value, &mut body);
            body.push_str("</a>");
            prop_assert_eq!(text(body.as_bytes(), "a"), Some(value));
        }
    }
}
