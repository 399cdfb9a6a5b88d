//! Rows of text on disk: fields between tabs, one row a line, for the broker's small state.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

fn escape(field: &str, out: &mut String) {
    for character in field.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
}

fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, true) => match characters.next() {
                Some('t') => out.push('\t'),
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
            (other, false) => out.push(other),
        }
    }
    out
}

/// Appends one row to `out`.
pub(crate) fn push<'a>(out: &mut String, fields: impl IntoIterator<Item = &'a str>) {
    for (number, field) in fields.into_iter().enumerate() {
        if number > 0 {
            out.push('\t');
        }
        escape(field, out);
    }
    out.push('\n');
}

/// All whole rows of a file; none if it is not there. A torn last line is left out.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Vec<String>>> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let rows = whole.lines().filter(|line| !line.is_empty());
    Ok(rows.map(|line| line.split('\t').map(unescape).collect()).collect())
}

/// Puts `text` in the place of the file, whole or not at all.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rows");
        assert!(read(&path).expect("no file").is_empty());
        let mut text = String::new();
        push(&mut text, ["a\tb", "", "c\\n\nd", "ü\r"]);
        push(&mut text, ["x"]);
        replace(&path, &(text + "torn")).expect("written");
        let rows = read(&path).expect("read");
        assert_eq!(rows, [vec!["a\tb", "", "c\\n\nd", "ü\r"], vec!["x"]]);
    }
}
