//! `java.text.SimpleDateFormat` in UTC and English: parsing, as leniently as Java does it.
//!
//! Fields may lie outside their ranges, text behind the last field is not looked at, and what the
//! pattern does not say is 1970-01-01T00:00. Weeks (`w`, `W`, `F`, `Y`) and days of the week are
//! read and do not move the date.

use crate::date_format::{DAYS, DateFormat, MONTHS, Token, days_of};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What was read so far.
struct Fields {
    year: i64,
    before_christ: bool,
    month: i64,
    day: i64,
    /// Set after the day of the month, it wins.
    day_of_year: Option<i64>,
    hour: i64,
    /// 1 in the afternoon of a twelve-hour clock.
    half: i64,
    twelve: bool,
    minute: i64,
    second: i64,
    milli: i64,
    /// To be taken off for UTC.
    offset: i64,
}

impl DateFormat {
    /// Milliseconds since the epoch of the time that `text` begins with; `None` if it does not fit
    /// the pattern.
    pub fn parse(&self, text: &str) -> Option<i64> {
        let mut fields = Fields {
            year: 1970,
            before_christ: false,
            month: 1,
            day: 1,
            day_of_year: None,
            hour: 0,
            half: 0,
            twelve: false,
            minute: 0,
            second: 0,
            milli: 0,
            offset: 0,
        };
        let mut rest = text;
        for (index, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Text(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Token::Field(letter, count) => {
                    // A number that another one follows at once ends by its count.
                    let most = match self.tokens.get(index + 1) {
                        Some(Token::Field(b'M' | b'L', next)) if *next > 2 => usize::MAX,
                        Some(Token::Field(b'G' | b'E' | b'a' | b'z' | b'Z' | b'X', _)) => {
                            usize::MAX
                        }
                        Some(Token::Field(..)) => *count,
                        _ => usize::MAX,
                    };
                    rest = rest.trim_start_matches([' ', '\t']);
                    if rest.is_empty() {
                        return None;
                    }
                    rest = fields.read(*letter, *count, most, rest, self.century)?;
                }
            }
        }
        Some(fields.millis())
    }
}

impl Fields {
    /// Reads one field; what is left of the text.
    fn read<'t>(
        &mut self,
        letter: u8,
        count: usize,
        most: usize,
        text: &'t str,
        century: i64,
    ) -> Option<&'t str> {
        match letter {
            b'G' => {
                let (index, rest) = name(text, &[&["BC", "AD"]])?;
                self.before_christ = index == 0;
                return Some(rest);
            }
            b'E' => return name(text, &[&DAYS, &DAYS.map(|day| &day[..3])]).map(|(_, rest)| rest),
            b'a' => {
                let (index, rest) = name(text, &[&["AM", "PM"]])?;
                (self.half, self.twelve) = (index as i64, true);
                return Some(rest);
            }
            b'M' | b'L' if count > 2 => {
                let (index, rest) = name(text, &[&MONTHS, &MONTHS.map(|month| &month[..3])])?;
                self.month = index as i64 + 1;
                return Some(rest);
            }
            b'z' | b'Z' | b'X' => {
                let (offset, rest) = zone(text, letter, count)?;
                self.offset = offset;
                return Some(rest);
            }
            _ => {}
        }
        let (number, digits, rest) = integer(text, most)?;
        match letter {
            b'y' | b'Y' => {
                // Two digits for `yy` are a year of the eighty before now or the twenty after.
                let two = count <= 2 && digits == 2 && number >= 0;
                let base = century.div_euclid(100) * 100 + number;
                self.year = match two {
                    true if base < century => base + 100,
                    true => base,
                    false => number,
                };
            }
            b'M' | b'L' => self.month = number,
            b'd' => (self.day, self.day_of_year) = (number, None),
            b'D' => self.day_of_year = Some(number),
            b'H' => (self.hour, self.twelve) = (number, false),
            b'k' => (self.hour, self.twelve) = (if number == 24 { 0 } else { number }, false),
            b'K' => (self.hour, self.twelve) = (number, true),
            b'h' => (self.hour, self.twelve) = (if number == 12 { 0 } else { number }, true),
            b'm' => self.minute = number,
            b's' => self.second = number,
            b'S' => self.milli = number,
            _ => {}
        }
        Some(rest)
    }

    fn millis(&self) -> i64 {
        let year = if self.before_christ { 1_i64.wrapping_sub(self.year) } else { self.year };
        let days = match self.day_of_year {
            Some(day) => days_of(year, 1, 1).wrapping_add(day - 1),
            None => days_of(year, self.month, 1).wrapping_add(self.day.wrapping_sub(1)),
        };
        let hour = if self.twelve { self.hour.wrapping_add(12 * self.half) } else { self.hour };
        [(days, DAY), (hour, HOUR), (self.minute, MINUTE), (self.second, 1000), (self.milli, 1)]
            .into_iter()
            .fold(0_i64, |sum, (number, unit)| sum.wrapping_add(number.wrapping_mul(unit)))
            .wrapping_sub(self.offset)
    }
}

/// A whole number of at most `most` characters, its sign among them; how many digits it has.
fn integer(text: &str, most: usize) -> Option<(i64, usize, &str)> {
    let limit = text.len().min(most);
    // Java's number must have all of its characters there.
    if most != usize::MAX && text.len() < most {
        return None;
    }
    let head = &text.as_bytes()[..limit];
    let negative = head.first() == Some(&b'-');
    let digits = head[usize::from(negative)..].iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let end = usize::from(negative) + digits;
    // What passes a long is at its end, as DecimalFormat's doubles become.
    let number = text[usize::from(negative)..end].parse::<i64>().unwrap_or(i64::MAX);
    // Calendar's fields are ints.
    let number = i64::from(number as i32);
    Some((if negative { -number } else { number }, digits, &text[end..]))
}

/// The longest of the names that the text begins with, in any case; its index in its list.
fn name<'t>(text: &'t str, lists: &[&[&str]]) -> Option<(usize, &'t str)> {
    let mut best: Option<(usize, usize)> = None;
    for list in lists {
        for (index, name) in list.iter().enumerate() {
            let fits = text.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
            if fits && best.is_none_or(|(_, length)| name.len() > length) {
                best = Some((index, name.len()));
            }
        }
    }
    best.map(|(index, length)| (index, &text[length..]))
}

/// An offset from UTC in milliseconds: `Z`, `+hh`, `+hhmm`, `+hh:mm`, `UTC`, `GMT+h:mm`.
fn zone(text: &str, letter: u8, count: usize) -> Option<(i64, &str)> {
    if letter == b'X' {
        if let Some(rest) = text.strip_prefix('Z') {
            return Some((0, rest));
        }
        let (sign, rest) = sign(text)?;
        let (hours, rest) = two(rest)?;
        let (minutes, rest) = match count {
            1 => (0, rest),
            2 => two(rest)?,
            _ => two(rest.strip_prefix(':')?)?,
        };
        return Some((sign * (hours * HOUR + minutes * MINUTE), rest));
    }
    for known in ["UTC", "GMT", "Coordinated Universal Time", "UT"] {
        let Some(head) = text.get(..known.len()) else { continue };
        if !head.eq_ignore_ascii_case(known) {
            continue;
        }
        let rest = &text[known.len()..];
        if known != "GMT" {
            return Some((0, rest));
        }
        let Some((sign, after)) = sign(rest) else { return Some((0, rest)) };
        let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let hours: i64 = after.get(..digits)?.parse().ok()?;
        let (minutes, after) = two(after[digits..].strip_prefix(':')?)?;
        return Some((sign * (hours * HOUR + minutes * MINUTE), after));
    }
    let (sign, rest) = sign(text)?;
    let (hours, rest) = two(rest)?;
    let (minutes, rest) = two(rest)?;
    Some((sign * (hours * HOUR + minutes * MINUTE), rest))
}

fn sign(text: &str) -> Option<(i64, &str)> {
    match text.as_bytes().first()? {
        b'+' => Some((1, &text[1..])),
        b'-' => Some((-1, &text[1..])),
        _ => None,
    }
}

fn two(text: &str) -> Option<(i64, &str)> {
    let digits = text.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    Some((digits.parse().ok()?, &text[2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pattern: &str, text: &str) -> Option<i64> {
        DateFormat::new(pattern).expect("a pattern").parse(text)
    }

    #[test]
    fn reads_as_java_does() {
        for (pattern, text, expected) in [
            ("yyyy-MM-dd", "2024-05-06", Some(1_714_953_600_000)),
            ("yyyy-MM-dd", "2024-5-6 and more", Some(1_714_953_600_000)),
            ("yyyy-MM-dd", "2024-14-06", Some(1_738_800_000_000)),
            ("yyyy-MM-dd", "24/05/06", None),
            ("yyyy-MM-dd", "", None),
            ("yyyyMMdd", "20240506", Some(1_714_953_600_000)),
            ("yyyyMMddHHmm", "202405060708", Some(1_714_979_280_000)),
            ("d MMM yyyy", "6 may 2024", Some(1_714_953_600_000)),
            (
                "EEE, d MMMM yyyy HH:mm:ss Z",
                "Mon, 6 May 2024 07:08:09 +0200",
                Some(1_714_972_089_000),
            ),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSX", "2024-05-06T07:08:09.5Z", Some(1_714_979_289_005)),
            ("yyyy-MM-dd'T'HH:mm:ssXXX", "2024-05-06T07:08:09+02:00", Some(1_714_972_089_000)),
            ("hh:mm a", "12:30 PM", Some(45_000_000)),
            ("HH:mm", "25:61", Some(93_660_000)),
            ("DDD yyyy", "060 2024", Some(1_709_164_800_000)),
            ("yyyy-MM-dd", "1500-03-01", Some(-14_825_808_000_000)),
        ] {
            assert_eq!(parse(pattern, text), expected, "{pattern} of {text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_ends_well(
            pattern in "[GyMdkHmsSEDFwWahKzZYuXL' ]{0,8}",
            text in "[0-9A-Za-z+: -]{0,20}",
        ) {
            if let Ok(format) = DateFormat::new(&pattern) {
                let _ = format.parse(&text);
            }
        }

        #[test]
        fn what_is_printed_is_read_back(millis in -9_000_000_000_000_i64..9_000_000_000_000) {
            let format = DateFormat::new("yyyy-MM-dd'T'HH:mm:ss.SSS").expect("a pattern");
            let mut text = String::new();
            format.format(millis, &mut text);
            proptest::prop_assert_eq!(format.parse(&text), Some(millis));
        }
    }
}
