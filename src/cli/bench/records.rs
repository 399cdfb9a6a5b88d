//! The records that a sink is measured with: sample events of a chosen size, a template, or the
//! lines of a file.

use std::io::Write as _;
use std::ops::Range;
use std::path::Path;

/// The smallest JSON document that carries a number and a time.
pub(super) const SMALLEST: usize = 48;
/// From this size on an event has all its fields; its last one fills it up.
const WHOLE: usize = 254;
/// What is kept of an input file in memory.
const INPUT_MOST: u64 = 1 << 30;

/// Makes values; the same number and time give the same bytes.
#[derive(Debug)]
pub(super) enum Maker {
    /// JSON events of this many bytes.
    Event(usize),
    Template(Vec<Part>),
    /// The lines of a file, again and again.
    Lines {
        bytes: Vec<u8>,
        lines: Vec<Range<usize>>,
    },
}

/// A piece of a template.
#[derive(Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    /// `${n}`: the record's number, from 0.
    Number,
    /// `${due}`: when the record is due (without `--rate`: made), in ms since 1970.
    Due,
    /// `${random}`: sixteen hexadecimal digits.
    Random,
}

impl Maker {
    /// `Err` says why the size is too small.
    pub(super) fn of_size(size: usize) -> Result<Self, String> {
        if size < SMALLEST {
            return Err(format!("--record-size {size}: at least {SMALLEST} bytes"));
        }
        Ok(Self::Event(size))
    }

    /// `Err` names the placeholder that is not known.
    pub(super) fn of_template(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after
                .split_once('}')
                .ok_or_else(|| format!("--template {text}: ${{ without its }}"))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match name {
                "n" => Part::Number,
                "due" => Part::Due,
                "random" => Part::Random,
                _ => {
                    return Err(format!(
                        "--template: ${{{name}}} is none of ${{n}}, ${{due}}, ${{random}}"
                    ));
                }
            });
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self::Template(parts))
    }

    /// Reads a file whose lines are values.
    pub(super) fn of_file(path: &Path) -> Result<Self, String> {
        let failed = |why: String| format!("--input {}: {why}", path.display());
        let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if size > INPUT_MOST {
            return Err(failed(format!("{size} bytes; at most {INPUT_MOST}")));
        }
        let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let mut lines = Vec::new();
        let mut start = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' {
                lines.push(start..at);
                start = at + 1;
            }
        }
        if start < bytes.len() {
            lines.push(start..bytes.len());
        }
        if lines.is_empty() {
            return Err(failed("it has no lines".to_owned()));
        }
        Ok(Self::Lines { bytes, lines })
    }

    /// Appends the value of record `number`, due at `due` (ms since 1970), to `out`.
    pub(super) fn write(&self, number: u64, due: i64, out: &mut Vec<u8>) {
        match self {
            Self::Event(size) => event(*size, number, due, out),
            Self::Template(parts) => {
                for part in parts {
                    // Writing to memory cannot fail.
                    let _ = match part {
                        Part::Text(text) => out.write_all(text.as_bytes()),
                        Part::Number => write!(out, "{number}"),
                        Part::Due => write!(out, "{due}"),
                        Part::Random => write!(out, "{:016x}", mixed(number)),
                    };
                }
            }
            Self::Lines { bytes, lines } => {
                let line = lines[(number % lines.len() as u64) as usize].clone();
                out.extend_from_slice(&bytes[line]);
            }
        }
    }
}

/// A number that looks random, of the record's.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// One JSON event of exactly `size` bytes.
fn event(size: usize, number: u64, due: i64, out: &mut Vec<u8>) {
    let start = out.len();
    let random = mixed(number);
    let number = number % 10_000_000_000;
    let _ = write!(out, "{{\"id\":{:010},\"ts\":{due:013}", 1_000_000_000 + number);
    if size >= WHOLE {
        let _ = write!(
            out,
            ",\"user\":{{\"name\":\"user-{:06}\",\"country\":\"DE\"}},\"ip\":\"10.{}.{}.{}\",\
             \"ua\":\"Mozilla/5.0 (X11; Linux x86_64)\",\"amount\":{}.{:02},\"active\":{},\
             \"tags\":[\"alpha\",\"beta\"],\"ref\":\"https://example.org/{:016x}\"",
            random % 1_000_000,
            100 + random % 100,
            100 + (random >> 8) % 100,
            100 + (random >> 16) % 100,
            100 + random % 900,
            (random >> 24) % 100,
            random.is_multiple_of(2),
            random,
        );
    }
    out.extend_from_slice(b",\"p\":\"");
    let fill = size.saturating_sub(out.len() - start + 2);
    // Not one letter only: codecs would make nothing of it.
    let letter = |at: usize| b"abcdefghijklmnop"[(random >> (at * 4 % 64)) as usize & 15];
    out.extend((0..fill).map(letter));
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(maker: &Maker, number: u64, due: i64) -> String {
        let mut out = b"before".to_vec();
        maker.write(number, due, &mut out);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn events_are_json_of_exactly_the_size_asked_for() {
        for size in [SMALLEST, 100, 253, 254, 255, 1000, 10_000] {
            for number in [0, 1, 999, 123_456_789, 12_345_678_901] {
                let text = made(&Maker::of_size(size).unwrap(), number, 1_700_000_000_000);
                assert_eq!(text.len(), size, "{text}");
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["ts"], 1_700_000_000_000_i64);
            }
        }
        assert!(Maker::of_size(SMALLEST - 1).unwrap_err().contains("at least 48"));
    }

    #[test]
    fn templates_are_filled_in_and_wrong_ones_are_refused() {
        let maker = Maker::of_template("{\"a\":${n},\"t\":${due},\"r\":\"${random}\"}").unwrap();
        let text = made(&maker, 7, 42);
        assert!(text.starts_with("{\"a\":7,\"t\":42,\"r\":\""), "{text}");
        assert_eq!(text, made(&maker, 7, 42));
        assert!(Maker::of_template("${who}").unwrap_err().contains("${who}"));
        assert!(Maker::of_template("${n").unwrap_err().contains("without its }"));
    }

    #[test]
    fn a_files_lines_come_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        std::fs::write(&path, "one\n\nthree").unwrap();
        let maker = Maker::of_file(&path).unwrap();
        let all: Vec<String> = (0..4).map(|number| made(&maker, number, 0)).collect();
        assert_eq!(all, ["one", "", "three", "one"]);
        std::fs::write(&path, "").unwrap();
        assert!(Maker::of_file(&path).unwrap_err().contains("no lines"));
        assert!(Maker::of_file(&dir.path().join("none")).unwrap_err().contains("none"));
    }
}
