//! Rows from files and from records of a topic.
//!
//! A row is kept as the text that a record gets: its fields as members of a JSON object, without
//! the braces. Its key is text, too, so that a number and a string that read alike are one key.

use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, Read};
use std::time::SystemTime;

use millrace_api::table::RowError;
use millrace_converters::json::text::write_string;
use millrace_converters::json::{DecimalFormat, WriteOptions, parse, write_value};
use millrace_converters::{Arena, SchemaType, Value};

use super::compact::{CompactTable, Full};
use super::spec::{Format, TableSpec};

/// Between the columns of a key of several.
pub const SEPARATOR: u8 = 0x1f;
/// Longest line of a file, or row of a CSV file.
const MOST_LINE: usize = 1 << 20;

const PLAIN: WriteOptions =
    WriteOptions { decimal_format: DecimalFormat::Numeric, replace_null_with_default: true };

/// What says whether a file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let inode = metadata.ino();
        Self { modified: metadata.modified().ok(), length: metadata.len(), inode }
    }
}

/// The rows of a file that is not as `seen`; `None` if it is.
///
/// # Errors
/// The file's name, and the line that is wrong.
pub fn read_file(
    spec: &TableSpec,
    path: &str,
    seen: Option<Stamp>,
) -> Result<Option<(CompactTable, Stamp)>, String> {
    let failed = |why: String| format!("{}: {why}", spec.name());
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
    let stamp = Stamp::of(&metadata);
    if seen == Some(stamp) {
        return Ok(None);
    }
    let mut writer = Writer::new(spec);
    let mut lines = Lines { input: BufReader::with_capacity(1 << 16, file), number: 0 };
    match spec.format {
        Format::Csv => csv(&mut writer, &mut lines),
        Format::Json => json(&mut writer, &mut lines),
    }
    .map_err(|why| match lines.number {
        0 => failed(why),
        number => failed(format!("line {number}: {why}")),
    })?;
    Ok(Some((writer.table, stamp)))
}

/// Says that the bound is reached.
pub fn full(spec: &TableSpec, table: &CompactTable) -> String {
    format!(
        "max.memory.bytes={} is too little: {} rows take {} bytes",
        spec.memory,
        table.rows(),
        table.bytes()
    )
}

/// Lines of bounded length.
struct Lines {
    input: BufReader<File>,
    number: usize,
}

impl Lines {
    /// Appends the next line with its end; `false` at the end of the file.
    fn next(&mut self, line: &mut Vec<u8>) -> Result<bool, String> {
        self.number += 1;
        let before = line.len();
        let mut limited = (&mut self.input).take((MOST_LINE + 1 - before) as u64);
        limited.read_until(b'\n', line).map_err(|error| error.to_string())?;
        match line.len() {
            length if length == before => Ok(false),
            length if length > MOST_LINE => Err(format!("longer than {MOST_LINE} bytes")),
            _ => Ok(true),
        }
    }
}

/// Writes rows into a table.
struct Writer<'s> {
    spec: &'s TableSpec,
    table: CompactTable,
    key: Vec<u8>,
    row: Vec<u8>,
}

impl<'s> Writer<'s> {
    fn new(spec: &'s TableSpec) -> Self {
        let table = CompactTable::new(spec.memory);
        Self { spec, table, key: Vec::new(), row: Vec::new() }
    }

    fn insert(&mut self) -> Result<(), String> {
        self.table.insert(&self.key, &self.row).map_err(|Full| full(self.spec, &self.table))
    }
}

/// The cells of a row, one behind the other: no row of a table has an allocation of its own.
#[derive(Default)]
struct Cells {
    text: String,
    ends: Vec<usize>,
}

impl Cells {
    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Ends the cell that was written last.
    fn end(&mut self) {
        self.ends.push(self.text.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }
}

/// CSV as in RFC 4180, the first line the names of the columns.
fn csv(writer: &mut Writer<'_>, lines: &mut Lines) -> Result<(), String> {
    let spec = writer.spec;
    let mut cells = Cells::default();
    let mut line = Vec::new();
    if !row_of_cells(lines, &mut line, spec.delimiter, &mut cells)? {
        return Err("the file is empty: the first line names the columns".to_owned());
    }
    let mut names: Vec<String> = (0..cells.len()).map(|at| cells.get(at).to_owned()).collect();
    if let Some(first) = names.first_mut()
        && let Some(rest) = first.strip_prefix('\u{feff}')
    {
        *first = rest.to_owned();
    }
    let place = |name: &String| {
        let known = names.iter().position(|known| known == name);
        known.ok_or_else(|| format!("there is no column {name}; there are {}", names.join(", ")))
    };
    let key = spec.key.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let chosen = spec
        .columns
        .iter()
        .map(|column| &column.name)
        .chain(spec.types.iter().map(|(name, _)| name));
    for name in chosen {
        place(name)?;
    }
    let mut fields = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if let Some(field) = spec.field_of(name) {
            fields.push((at, member_name(&field), spec.type_of(name)));
        }
    }
    while row_of_cells(lines, &mut line, spec.delimiter, &mut cells)? {
        if cells.len() != names.len() {
            return Err(format!(
                "{} columns where the first line has {}",
                cells.len(),
                names.len()
            ));
        }
        writer.key.clear();
        for (index, at) in key.iter().enumerate() {
            if index > 0 {
                writer.key.push(SEPARATOR);
            }
            writer.key.extend_from_slice(cells.get(*at).as_bytes());
        }
        writer.row.clear();
        for (at, name, type_) in &fields {
            if !writer.row.is_empty() {
                writer.row.push(b',');
            }
            writer.row.extend_from_slice(name);
            write_cell(cells.get(*at), type_.unwrap_or(SchemaType::String), &mut writer.row)
                .map_err(|why| format!("column {}: {why}", names[*at]))?;
        }
        writer.insert()?;
    }
    Ok(())
}

/// The next row that is not an empty line; one may span lines. `false` at the end.
fn row_of_cells(
    lines: &mut Lines,
    line: &mut Vec<u8>,
    delimiter: u8,
    cells: &mut Cells,
) -> Result<bool, String> {
    loop {
        line.clear();
        if !lines.next(line)? {
            return Ok(false);
        }
        // Doubled quotes do not change whether their number is even.
        while line.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
            if !lines.next(line)? {
                return Err("a quote is not closed".to_owned());
            }
        }
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        if !line.is_empty() {
            let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
            split(text, delimiter, cells)?;
            return Ok(true);
        }
    }
}

fn split(line: &str, delimiter: u8, cells: &mut Cells) -> Result<(), String> {
    cells.clear();
    let delimiter = char::from(delimiter);
    let mut rest = line;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (cell, after) = match rest.split_once(delimiter) {
                Some((cell, after)) => (cell, Some(after)),
                None => (rest, None),
            };
            if cell.contains('"') {
                return Err("a quote within a cell that does not begin with one".to_owned());
            }
            cells.text.push_str(cell);
            cells.end();
            match after {
                Some(after) => rest = after,
                None => return Ok(()),
            }
            continue;
        };
        let mut inside = quoted;
        loop {
            let (part, after) = inside.split_once('"').ok_or("a quote is not closed")?;
            cells.text.push_str(part);
            match after.strip_prefix('"') {
                Some(after) => {
                    cells.text.push('"');
                    inside = after;
                }
                None => {
                    inside = after;
                    break;
                }
            }
        }
        cells.end();
        match inside.strip_prefix(delimiter) {
            Some(after) => rest = after,
            None if inside.is_empty() => return Ok(()),
            None => return Err("text after a closing quote".to_owned()),
        }
    }
}

/// A cell as JSON of that type; an empty one that is no string is null.
fn write_cell(cell: &str, type_: SchemaType, out: &mut Vec<u8>) -> Result<(), String> {
    use SchemaType::{Boolean, Float32, Float64, Int8, Int16, Int32, Int64};
    if type_ == SchemaType::String {
        write_string(cell, out);
        return Ok(());
    }
    let text = cell.trim();
    if text.is_empty() {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    let value = match type_ {
        Boolean => text.to_ascii_lowercase().parse().ok().map(Value::Boolean),
        Int8 => text.parse().ok().map(Value::Int8),
        Int16 => text.parse().ok().map(Value::Int16),
        Int32 => text.parse().ok().map(Value::Int32),
        Int64 => text.parse().ok().map(Value::Int64),
        Float32 => text.parse().ok().filter(|one: &f32| one.is_finite()).map(Value::Float32),
        Float64 => text.parse().ok().filter(|one: &f64| one.is_finite()).map(Value::Float64),
        _ => None,
    };
    let value = value.ok_or_else(|| format!("{text:?} is no {}", type_.name().to_lowercase()))?;
    write_value(None, value, out, &PLAIN).map_err(|error| error.message)
}

/// `"name":`.
fn member_name(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_string(name, &mut out);
    out.push(b':');
    out
}

/// JSON objects, one a line, or all in one array.
fn json(writer: &mut Writer<'_>, lines: &mut Lines) -> Result<(), String> {
    let mut arena = Arena::new();
    let mut line = Vec::new();
    while lines.next(&mut line)? {
        let text = line.trim_ascii();
        if lines.number == 1 && text.starts_with(b"[") {
            return array(writer, lines, line);
        }
        if !text.is_empty() {
            let object = parse(text, &arena).map_err(|error| error.message)?;
            insert_object(writer, object)?;
        }
        arena.reset();
        line.clear();
    }
    Ok(())
}

/// A document as a whole, which is in memory as text and as values while it is read.
fn array(writer: &mut Writer<'_>, lines: &mut Lines, mut document: Vec<u8>) -> Result<(), String> {
    let limit = writer.spec.memory as u64;
    lines.number = 0;
    let rest = (&mut lines.input).take(limit + 1).read_to_end(&mut document);
    rest.map_err(|error| error.to_string())?;
    if document.len() as u64 > limit {
        let what = "an array larger than max.memory.bytes; write one object a line";
        return Err(what.to_owned());
    }
    let arena = Arena::new();
    let Value::Array(items) = parse(&document, &arena).map_err(|error| error.message)? else {
        return Err("no array".to_owned());
    };
    for (at, item) in items.iter().enumerate() {
        insert_object(writer, *item).map_err(|why| format!("item {}: {why}", at + 1))?;
    }
    Ok(())
}

fn insert_object(writer: &mut Writer<'_>, object: Value<'_>) -> Result<(), String> {
    let Value::Map(entries) = object else { return Err("no JSON object".to_owned()) };
    writer.key.clear();
    key_of_columns(&writer.spec.key, entries, &mut writer.key)?;
    writer.row.clear();
    write_row(writer.spec, entries, &mut writer.row)?;
    writer.insert()
}

fn key_of_columns(
    columns: &[String],
    entries: &[(Value<'_>, Value<'_>)],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    for (at, column) in columns.iter().enumerate() {
        if at > 0 {
            out.push(SEPARATOR);
        }
        match write_key(crate::requirements::entry(entries, column), out) {
            Ok(true) => {}
            Ok(false) => return Err(format!("the key's {column} is missing or null")),
            Err(type_) => return Err(format!("the key's {column} is a {type_}")),
        }
    }
    Ok(())
}

/// A key as text; `false`: null. The error is the type of what is no key.
pub fn write_key(value: Value<'_>, out: &mut Vec<u8>) -> Result<bool, &'static str> {
    use std::io::Write;
    // Writing into memory does not fail.
    let _ = match (value, crate::expression::fault::int(&value)) {
        (_, Some(number)) => write!(out, "{number}"),
        (Value::Str(text), _) => out.write_all(text.as_bytes()),
        (Value::Boolean(value), _) => write!(out, "{value}"),
        (Value::Float32(number), _) => write!(out, "{number}"),
        (Value::Float64(number), _) => write!(out, "{number}"),
        (Value::Bytes(bytes), _) => out.write_all(bytes),
        (Value::Null, _) => return Ok(false),
        (Value::Array(parts), _) => {
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    out.push(SEPARATOR);
                }
                if matches!(part, Value::Array(_)) {
                    return Err("list of lists");
                }
                if !write_key(*part, out)? {
                    return Ok(false);
                }
            }
            Ok(())
        }
        (other, _) => return Err(crate::expression::fault::type_name(&other)),
    };
    Ok(true)
}

/// The chosen members, in the order of the columns chosen, or all of them as they come.
pub fn write_row(
    spec: &TableSpec,
    entries: &[(Value<'_>, Value<'_>)],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let mut write = |field: &str, value: Value<'_>| {
        if !out.is_empty() {
            out.push(b',');
        }
        write_string(field, out);
        out.push(b':');
        write_value(None, value, out, &PLAIN).map_err(|error| error.message)
    };
    if spec.columns.is_empty() {
        for (name, value) in entries {
            let Some(name) = name.as_str() else { continue };
            if let Some(field) = spec.field_of(name) {
                write(&field, *value)?;
            }
        }
        return Ok(());
    }
    for column in &spec.columns {
        let found = entries.iter().find(|(name, _)| name.as_str() == Some(&column.name));
        if let Some((_, value)) = found {
            write(&column.field, *value)?;
        }
    }
    Ok(())
}

/// Puts a topic's record into the table, or takes its row away.
pub fn record(
    spec: &TableSpec,
    table: &mut CompactTable,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    arena: &Arena,
) -> Result<(), RowError> {
    let refused = RowError::Refused;
    let key = key.ok_or_else(|| refused("no key".to_owned()))?;
    let mut name = Vec::new();
    if spec.key.is_empty() {
        let text = match key {
            [b'"', .., b'"'] => parse(key, arena).ok(),
            _ => None,
        };
        match text {
            Some(Value::Str(text)) => name.extend_from_slice(text.as_bytes()),
            _ => name.extend_from_slice(key),
        }
    } else {
        let Value::Map(entries) = parse(key, arena).map_err(|error| refused(error.message))? else {
            return Err(refused("the key is no JSON object".to_owned()));
        };
        key_of_columns(&spec.key, entries, &mut name).map_err(refused)?;
    }
    let Some(value) = value else {
        table.remove(&name);
        return Ok(());
    };
    let mut row = Vec::new();
    match parse(value, arena).map_err(|error| refused(error.message))? {
        Value::Null => {
            table.remove(&name);
            return Ok(());
        }
        Value::Map(entries) => write_row(spec, entries, &mut row).map_err(refused)?,
        _ => return Err(refused("the value is no JSON object".to_owned())),
    }
    table.insert(&name, &row).map_err(|Full| RowError::Full(full(spec, table)))
}
