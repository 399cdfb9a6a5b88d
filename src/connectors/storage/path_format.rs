//! `path.format`: the date patterns of Joda-Time's `DateTimeFormat`, compiled once, written often.

use std::fmt::Write;

use jiff::civil::{DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};

/// One run of a pattern letter, or text between runs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Text(String),
    Field { letter: char, width: usize },
}

/// A compiled pattern such as `'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH`.
///
/// Letters are Joda's: `Y`/`y` year, `x` week year, `w` week, `e` weekday, `E` weekday's name, `D` day
/// of year, `M` month (its name from three letters on), `d` day, `a` half of day, `H k K h` hour, `m`,
/// `s`, `S` fraction, `C` century, `G` era, `Z` offset (`ZZ` with a colon, `ZZZ` the zone's id), `z` the
/// zone's abbreviation. Names are English. Anything else that is no letter stands for itself, quoted
/// text too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathFormat {
    items: Vec<Item>,
}

const LETTERS: &str = "GCYxwedEyDMdaKhHkmsSzZ";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

impl PathFormat {
    /// Compiles; the error says which part is not a pattern.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        let mut items: Vec<Item> = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '\'' {
                let quoted = quoted(&mut chars)?;
                push_text(&mut items, &quoted);
            } else if c.is_ascii_alphabetic() {
                if !LETTERS.contains(c) {
                    return Err(format!(
                        "Illegal pattern component: {c} (put text in quotes: '{c}')"
                    ));
                }
                let mut width = 1;
                while chars.next_if_eq(&c).is_some() {
                    width += 1;
                }
                if width > 20 {
                    return Err(format!("{width} times {c} is too wide"));
                }
                items.push(Item::Field { letter: c, width });
            } else {
                push_text(&mut items, c.encode_utf8(&mut [0; 4]));
            }
        }
        Ok(Self { items })
    }

    /// Whether a name of a month or a weekday is printed, which a locale would change.
    pub fn prints_names(&self) -> bool {
        self.items.iter().any(|item| match item {
            Item::Field { letter: 'M', width } => *width > 2,
            Item::Field { letter, .. } => matches!(letter, 'E' | 'a'),
            Item::Text(_) => false,
        })
    }

    /// Appends the local time `at` of `zone`, where `offset` holds.
    pub fn write(&self, at: DateTime, offset: Offset, zone: &TimeZone, out: &mut String) {
        for item in &self.items {
            match item {
                Item::Text(text) => out.push_str(text),
                Item::Field { letter: 'z' | 'Z', width } => {
                    write_zone(item, *width, at, offset, zone, out);
                }
                Item::Field { letter, width } => write_field(*letter, *width, at, out),
            }
        }
    }
}

fn push_text(items: &mut Vec<Item>, text: &str) {
    if let Some(Item::Text(last)) = items.last_mut() {
        last.push_str(text);
    } else {
        items.push(Item::Text(text.to_owned()));
    }
}

/// What stands between quotes; two quotes are one quote, also by themselves.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    if chars.next_if_eq(&'\'').is_some() {
        return Ok("'".to_owned());
    }
    let mut text = String::new();
    loop {
        match chars.next() {
            Some('\'') if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            Some('\'') => return Ok(text),
            Some(c) => text.push(c),
            None => return Err("a quote is not closed".to_owned()),
        }
    }
}

fn number(value: i64, width: usize, out: &mut String) {
    let _ = write!(out, "{value:0width$}");
}

fn write_field(letter: char, width: usize, at: DateTime, out: &mut String) {
    let date = at.date();
    let hour = i64::from(at.hour());
    match letter {
        'Y' | 'y' if width == 2 => number(i64::from(at.year()).rem_euclid(100), 2, out),
        'Y' | 'y' => number(i64::from(at.year()), width, out),
        'x' if width == 2 => number(i64::from(date.iso_week_date().year()).rem_euclid(100), 2, out),
        'x' => number(i64::from(date.iso_week_date().year()), width, out),
        'w' => number(i64::from(date.iso_week_date().week()), width, out),
        'e' => number(i64::from(date.weekday().to_monday_one_offset()), width, out),
        'D' => number(i64::from(date.day_of_year()), width, out),
        'M' if width > 2 => {
            let name = MONTHS[(at.month() as usize - 1) % 12];
            out.push_str(if width == 3 { &name[..3] } else { name });
        }
        'M' => number(i64::from(at.month()), width, out),
        'd' => number(i64::from(at.day()), width, out),
        'E' => {
            let name = weekday_name(date.weekday());
            out.push_str(if width < 4 { &name[..3] } else { name });
        }
        'a' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
        'H' => number(hour, width, out),
        'k' => number(if hour == 0 { 24 } else { hour }, width, out),
        'K' => number(hour % 12, width, out),
        'h' => number(if hour % 12 == 0 { 12 } else { hour % 12 }, width, out),
        'm' => number(i64::from(at.minute()), width, out),
        's' => number(i64::from(at.second()), width, out),
        'S' => fraction(at.subsec_nanosecond(), width, out),
        'C' => number(i64::from(at.year()) / 100, width, out),
        // 'G', the only letter left: years before ours cannot come from a record's time.
        _ => out.push_str("AD"),
    }
}

/// Decimal digits of a second, cut, not rounded.
fn fraction(nanoseconds: i32, width: usize, out: &mut String) {
    let digits = format!("{nanoseconds:09}");
    out.extend(digits.chars().chain(std::iter::repeat('0')).take(width));
}

fn write_zone(
    item: &Item,
    width: usize,
    at: DateTime,
    offset: Offset,
    zone: &TimeZone,
    out: &mut String,
) {
    if matches!(item, Item::Field { letter: 'z', .. }) {
        let abbreviation = zone
            .to_ambiguous_zoned(at)
            .compatible()
            .map(|zoned| zoned.strftime("%Z").to_string())
            .unwrap_or_default();
        out.push_str(&abbreviation);
    } else if width > 2 {
        match zone.iana_name() {
            Some(name) => out.push_str(name),
            None => write_offset(offset, ":", out),
        }
    } else {
        write_offset(offset, if width == 2 { ":" } else { "" }, out);
    }
}

fn write_offset(offset: Offset, colon: &str, out: &mut String) {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    let _ = write!(out, "{sign}{:02}{colon}{:02}", minutes / 60, minutes % 60);
}

/// A zone by its id (`Europe/Berlin`, `UTC`) or as a fixed offset (`+02:00`).
pub fn parse_zone(id: &str) -> Result<TimeZone, String> {
    if let Some(offset) = parse_offset(id) {
        return Ok(TimeZone::fixed(offset));
    }
    if id == "Z" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(id).map_err(|_| {
        format!("The datetime zone id '{id}' is not recognised (such as Europe/Paris, UTC, +02:00)")
    })
}

fn parse_offset(id: &str) -> Option<Offset> {
    let (sign, rest) = match id.as_bytes().first()? {
        b'+' => (1, &id[1..]),
        b'-' => (-1, &id[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let hours: i32 = hours.parse().ok().filter(|hours| (0..=23).contains(hours))?;
    let minutes: i32 = minutes.parse().ok().filter(|minutes| (0..=59).contains(minutes))?;
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn format(pattern: &str, zone: &str, at: &str) -> String {
        let zone = parse_zone(zone).unwrap();
        let zoned = at.parse::<Timestamp>().unwrap().to_zoned(zone.clone());
        let mut out = String::new();
        PathFormat::parse(pattern).unwrap().write(
            zoned.datetime(),
            zoned.offset(),
            &zone,
            &mut out,
        );
        out
    }

    #[test]
    fn what_users_write() {
        let at = "2024-03-09T07:05:04.123456Z";
        for (pattern, zone, expected) in [
            (
                "'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH",
                "UTC",
                "year=2024/month=03/day=09/hour=07",
            ),
            ("YYYY/MM/dd/HH", "America/Los_Angeles", "2024/03/08/23"),
            ("'dt'=yyyy-MM-dd", "Asia/Seoul", "dt=2024-03-09"),
            ("yy/M/d/H/m/s/SSS", "UTC", "24/3/9/7/5/4/123"),
            ("xxxx-'W'ww-e", "UTC", "2024-W10-6"),
            ("DDD", "UTC", "069"),
            ("EEE, EEEE, MMM MMMM", "UTC", "Sat, Saturday, Mar March"),
            ("hh a", "Asia/Tokyo", "04 PM"),
            ("kk:KK", "UTC", "07:07"),
            ("HHZ HHZZ", "+05:30", "12+0530 12+05:30"),
            ("ZZZ z", "Europe/Berlin", "Europe/Berlin CET"),
            ("'it''s' ''", "UTC", "it's '"),
            ("'a/b'=dd_HH", "UTC", "a/b=09_07"),
            ("CC", "UTC", "20"),
        ] {
            assert_eq!(format(pattern, zone, at), expected, "{pattern} in {zone}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        assert!(PathFormat::parse("year=YYYY").unwrap_err().contains("Illegal pattern component"));
        assert!(PathFormat::parse("'year").unwrap_err().contains("not closed"));
        for zone in ["Mars/Olympus", "+25:00", "+1:99", ""] {
            assert!(parse_zone(zone).is_err(), "{zone}");
        }
    }

    #[test]
    fn only_names_need_a_locale() {
        assert!(PathFormat::parse("MMM").unwrap().prints_names());
        assert!(!PathFormat::parse("'MMM'=MM").unwrap().prints_names());
    }

    proptest! {
        #[test]
        fn never_panics(pattern in "[GCYxwedEyDMdaKhHkmsSzZ'/=_-]{0,16}", at in 0i64..4_000_000_000_000) {
            if let Ok(format) = PathFormat::parse(&pattern) {
                let zone = parse_zone("Europe/Berlin").unwrap();
                let zoned = Timestamp::from_millisecond(at).unwrap().to_zoned(zone.clone());
                let mut out = String::new();
                format.write(zoned.datetime(), zoned.offset(), &zone, &mut out);
            }
        }
    }
}
