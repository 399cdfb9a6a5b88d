//! `java.text.SimpleDateFormat` in UTC and English: formatting.
//!
//! Weeks begin on Sunday and the first may have one day, as in the United States' locale. The
//! calendar is the Julian one before 15 October 1582, as Java's.

use std::cell::RefCell;
use std::fmt::{self, Write};

pub(crate) const MONTHS: [&str; 12] = [
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

/// From Sunday.
pub(crate) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A compiled pattern.
#[derive(Debug)]
pub struct DateFormat {
    pub(crate) tokens: Vec<Token>,
    resolution: i64,
    /// The year from which two digits count: eighty before the format was made.
    pub(crate) century: i64,
    /// Tokens before the first that is finer than a minute: times of a topic mostly share theirs.
    coarse: usize,
    /// The same for a second, from there on.
    seconds: usize,
    /// Whether a token behind those wants the date.
    fine_dated: bool,
    /// Whether no text of it has anything that JSON escapes, or that is not ASCII.
    plain: bool,
    recent: RefCell<Recent>,
}

/// The texts that were made last.
#[derive(Debug)]
struct Recent {
    /// Of the coarse tokens, and its minute since the epoch.
    minute: Option<i64>,
    text: String,
    /// The same of those down to seconds.
    second: Option<i64>,
    down_to_second: String,
    /// Of all of them, where they have nothing finer than a second, and when that begins.
    whole: String,
    since: Option<i64>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Token {
    Text(String),
    /// The pattern letter and how often it stands there.
    Field(u8, usize),
}

impl DateFormat {
    /// # Errors
    /// The message of Java's `IllegalArgumentException`.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let tokens = tokens(pattern)?;
        let resolution = tokens.iter().map(|token| match token {
            Token::Field(b'S', _) => 1,
            Token::Field(b's', _) => SECOND,
            Token::Field(b'm', _) => MINUTE,
            Token::Field(b'H' | b'h' | b'k' | b'K' | b'a', _) => HOUR,
            _ => DAY,
        });
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let days = now.map_or(0, |now| (now.as_secs() / 86_400) as i64);
        let century = civil(days).0 - 80;
        let fine = |token: &Token| matches!(token, Token::Field(b's' | b'S', _));
        let coarse = tokens.iter().position(fine).unwrap_or(tokens.len());
        let finest = |token: &Token| matches!(token, Token::Field(b'S', _));
        let seconds = tokens[coarse..].iter().position(finest).unwrap_or(tokens.len() - coarse);
        let undated = |token: &Token| match token {
            Token::Text(_) => true,
            Token::Field(letter, _) => b"sSmHkKhazZX".contains(letter),
        };
        let plain = tokens.iter().all(|token| match token {
            Token::Text(text) => {
                text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte))
            }
            Token::Field(..) => true,
        });
        Ok(Self {
            resolution: resolution.min().unwrap_or(DAY),
            plain,
            coarse,
            seconds,
            fine_dated: !tokens[coarse..].iter().all(undated),
            tokens,
            century,
            recent: RefCell::new(Recent {
                minute: None,
                text: String::new(),
                second: None,
                down_to_second: String::new(),
                whole: String::new(),
                since: None,
            }),
        })
    }

    /// Milliseconds within which the text stays the same, counted from the epoch.
    pub fn resolution(&self) -> i64 {
        self.resolution
    }

    /// Whether a JSON string has each text of it as it stands.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Appends the text of a time in milliseconds since the epoch. `out` is a string on the heap or
    /// in an arena: neither refuses what is written.
    #[inline]
    pub fn format(&self, millis: i64, out: &mut impl Write) {
        let recent = &mut *self.recent.borrow_mut();
        if let Some(since) = recent.since
            && millis >= since
            && (millis.wrapping_sub(since) as u64) < self.resolution as u64
        {
            let _ = out.write_str(&recent.whole);
            return;
        }
        self.format_anew(millis, recent, out);
    }

    fn format_anew(&self, millis: i64, recent: &mut Recent, out: &mut impl Write) {
        if self.resolution < SECOND {
            return self.write(millis, recent, out);
        }
        let mut whole = std::mem::take(&mut recent.whole);
        whole.clear();
        self.write(millis, recent, &mut whole);
        let _ = out.write_str(&whole);
        recent.whole = whole;
        recent.since = millis.checked_sub(millis.rem_euclid(self.resolution));
    }

    fn write(&self, millis: i64, recent: &mut Recent, out: &mut impl Write) {
        let (coarse, fine) = self.tokens.split_at(self.coarse);
        let minute = millis.div_euclid(MINUTE);
        if recent.minute != Some(minute) {
            recent.minute = Some(minute);
            recent.text.clear();
            write_all(coarse, &Moment::of(millis), &mut recent.text);
        }
        let (seconds, rest) = fine.split_at(self.seconds);
        let at = |millis| match self.fine_dated {
            true => Moment::of(millis),
            false => Moment::time_of(millis),
        };
        let second = millis.div_euclid(SECOND);
        if recent.second != Some(second) {
            recent.second = Some(second);
            recent.down_to_second.clear();
            recent.down_to_second.push_str(&recent.text);
            write_all(seconds, &at(millis), &mut recent.down_to_second);
        }
        let _ = out.write_str(&recent.down_to_second);
        if !rest.is_empty() {
            write_all(rest, &at(millis), out);
        }
    }
}

fn write_all(tokens: &[Token], at: &Moment, out: &mut impl Write) {
    for token in tokens {
        let _ = match token {
            Token::Text(text) => out.write_str(text),
            Token::Field(letter, count) => at.write(*letter, *count, out),
        };
    }
}

fn tokens(pattern: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut quoted = false;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            if chars.next_if_eq(&'\'').is_some() {
                push_text(&mut tokens, '\'');
            } else {
                quoted = !quoted;
            }
        } else if quoted || !c.is_ascii_alphabetic() {
            push_text(&mut tokens, c);
        } else if !"GyMdkHmsSEDFwWahKzZYuXL".contains(c) {
            return Err(format!("Illegal pattern character '{c}'"));
        } else {
            let mut count = 1;
            while chars.next_if_eq(&c).is_some() {
                count += 1;
            }
            if c == 'X' && count > 3 {
                return Err(format!("invalid ISO 8601 format: length={count}"));
            }
            tokens.push(Token::Field(c as u8, count));
        }
    }
    if quoted { Err("Unterminated quote".to_owned()) } else { Ok(tokens) }
}

fn push_text(tokens: &mut Vec<Token>, c: char) {
    if let Some(Token::Text(text)) = tokens.last_mut() {
        return text.push(c);
    }
    tokens.push(Token::Text(c.to_string()));
}

/// A time, taken apart.
#[derive(Default)]
struct Moment {
    year: i64,
    /// From 1.
    month: i64,
    day: i64,
    /// From 1.
    day_of_year: i64,
    /// From 0, Sunday.
    weekday: i64,
    millis_of_day: i64,
}

impl Moment {
    fn of(millis: i64) -> Self {
        let days = millis.div_euclid(DAY);
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            day_of_year: days - days_of(year, 1, 1) + 1,
            weekday: (days + 4).rem_euclid(7),
            millis_of_day: millis.rem_euclid(DAY),
        }
    }

    /// Without the date.
    fn time_of(millis: i64) -> Self {
        Self { millis_of_day: millis.rem_euclid(DAY), ..Self::default() }
    }

    fn write(&self, letter: u8, count: usize, out: &mut impl Write) -> fmt::Result {
        let time = self.millis_of_day;
        let hour = time / HOUR;
        let number = match letter {
            b'G' => return out.write_str(if self.year > 0 { "AD" } else { "BC" }),
            b'y' => return write_year(self.year, count, out),
            b'Y' => return write_year(self.week_year(), count, out),
            b'M' | b'L' if count >= 3 => {
                let name = MONTHS[(self.month - 1) as usize];
                return out.write_str(if count == 3 { &name[..3] } else { name });
            }
            b'E' => {
                let name = DAYS[self.weekday as usize];
                return out.write_str(if count < 4 { &name[..3] } else { name });
            }
            b'a' => return out.write_str(if hour < 12 { "AM" } else { "PM" }),
            b'z' => {
                return out.write_str(if count < 4 { "UTC" } else { "Coordinated Universal Time" });
            }
            b'Z' => return out.write_str("+0000"),
            b'X' => return out.write_str("Z"),
            b'M' | b'L' => self.month,
            b'd' => self.day,
            b'D' => self.day_of_year,
            b'F' => (self.day - 1) / 7 + 1,
            b'u' => (self.weekday + 6) % 7 + 1,
            b'w' => self.week_of_year(),
            b'W' => (self.day - 1 + (self.weekday - self.day + 1).rem_euclid(7)) / 7 + 1,
            b'H' => hour,
            b'k' => {
                if hour == 0 {
                    24
                } else {
                    hour
                }
            }
            b'K' => hour % 12,
            b'h' => (hour + 11) % 12 + 1,
            b'm' => time % HOUR / MINUTE,
            b's' => time % MINUTE / SECOND,
            _ => time % SECOND,
        };
        write_number(number, count, out)
    }

    /// Whether this day's week is the first of the next year.
    fn in_next_year(&self) -> bool {
        let days_of_year = 365 + i64::from(is_leap(self.year));
        self.day_of_year + (6 - self.weekday) > days_of_year
    }

    fn week_year(&self) -> i64 {
        self.year + i64::from(self.in_next_year())
    }

    fn week_of_year(&self) -> i64 {
        if self.in_next_year() {
            return 1;
        }
        (self.day_of_year - 1 + (self.weekday - self.day_of_year + 1).rem_euclid(7)) / 7 + 1
    }
}

fn write_year(year: i64, count: usize, out: &mut impl Write) -> fmt::Result {
    // Before the year 1 comes the year 1 before it.
    let year = if year > 0 { year } else { 1 - year };
    write_number(if count == 2 { year % 100 } else { year }, count, out)
}

/// A number, zeros before it where it has fewer than `count` digits. `write!` takes ten times as long,
/// and a time has seven of them.
fn write_number(number: i64, count: usize, out: &mut impl Write) -> fmt::Result {
    if count == 2 && (0..100).contains(&number) {
        let digits = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        return out.write_str(std::str::from_utf8(&digits).unwrap_or_default());
    }
    if count == 3 && (0..1000).contains(&number) {
        let digit = |unit: i64| b'0' + (number / unit % 10) as u8;
        let digits = [digit(100), digit(10), digit(1)];
        return out.write_str(std::str::from_utf8(&digits).unwrap_or_default());
    }
    const MOST: usize = 20;
    let mut digits = [b'0'; MOST];
    let (mut at, mut left) = (MOST, number.unsigned_abs());
    while left > 0 || at == MOST {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    (MOST..count).try_for_each(|_| out.write_char('0'))?;
    let digits = &digits[at.min(MOST - count.min(MOST))..];
    out.write_str(std::str::from_utf8(digits).unwrap_or_default())
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// 15 October 1582, the first day of the Gregorian calendar, in days since the epoch.
const GREGORIAN: i64 = -141_427;

/// Year, month and day of a day since the epoch; years from March, in eras of 400, or of 4 in the
/// Julian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let (era_years, shifted, era_days) = match days >= GREGORIAN {
        true => (400, days + 719_468, 146_097),
        false => (4, days + 719_470, 1_461),
    };
    let era = shifted.div_euclid(era_days);
    let day_of_era = shifted.rem_euclid(era_days);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * era_years + year_of_era + i64::from(month <= 2), month, day)
}

/// Days since the epoch; month and day may lie outside their ranges.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year.wrapping_add((month - 1).div_euclid(12));
    let month = (month - 1).rem_euclid(12) + 1;
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    if days >= GREGORIAN {
        return days;
    }
    year * 365 + year.div_euclid(4) + day_of_year - 719_470
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pattern, then what Java's `TimestampRouter` prints for 2017-01-03T06:30:01.864Z,
    /// 2024-06-10T15:00:07.005Z, the epoch and the millisecond before it.
    const FROM_JAVA: &[(&str, [&str; 4])] = &[
        ("yyyyMMdd", ["20170103", "20240610", "19700101", "19691231"]),
        (
            "yyyy-MM-dd'T'HH:mm:ss.SSSX",
            [
                "2017-01-03T06:30:01.864Z",
                "2024-06-10T15:00:07.005Z",
                "1970-01-01T00:00:00.000Z",
                "1969-12-31T23:59:59.999Z",
            ],
        ),
        (
            "yyyy-MM-dd'T'HH:mm:ssXXX",
            [
                "2017-01-03T06:30:01Z",
                "2024-06-10T15:00:07Z",
                "1970-01-01T00:00:00Z",
                "1969-12-31T23:59:59Z",
            ],
        ),
        (
            "EEE, d MMM yyyy HH:mm:ss Z",
            [
                "Tue, 3 Jan 2017 06:30:01 +0000",
                "Mon, 10 Jun 2024 15:00:07 +0000",
                "Thu, 1 Jan 1970 00:00:00 +0000",
                "Wed, 31 Dec 1969 23:59:59 +0000",
            ],
        ),
        ("ss mm dd E", ["01 30 03 Tue", "07 00 10 Mon", "00 00 01 Thu", "59 59 31 Wed"]),
        ("EEEE MMMM", ["Tuesday January", "Monday June", "Thursday January", "Wednesday December"]),
        (
            "yy M d H m s S",
            ["17 1 3 6 30 1 864", "24 6 10 15 0 7 5", "70 1 1 0 0 0 0", "69 12 31 23 59 59 999"],
        ),
        (
            "y yyy yyyyy",
            ["2017 2017 02017", "2024 2024 02024", "1970 1970 01970", "1969 1969 01969"],
        ),
        ("MMMMM", ["January", "June", "January", "December"]),
        ("hh:mm a", ["06:30 AM", "03:00 PM", "12:00 AM", "11:59 PM"]),
        ("KK kk", ["06 06", "03 15", "00 24", "11 23"]),
        (
            "z zzzz",
            [
                "UTC Coordinated Universal Time",
                "UTC Coordinated Universal Time",
                "UTC Coordinated Universal Time",
                "UTC Coordinated Universal Time",
            ],
        ),
        ("''yyyy''", ["'2017'", "'2024'", "'1970'", "'1969'"]),
        ("'week' w W", ["week 1 1", "week 24 3", "week 1 1", "week 1 5"]),
        ("D F u", ["3 1 2", "162 2 1", "1 1 4", "365 5 3"]),
        ("G", ["AD", "AD", "AD", "AD"]),
        ("YYYY", ["2017", "2024", "1970", "1970"]),
        ("L LLL LLLL", ["1 Jan January", "6 Jun June", "1 Jan January", "12 Dec December"]),
        ("SSSSSS", ["000864", "000005", "000000", "000999"]),
        ("SS", ["864", "05", "00", "999"]),
        ("XX", ["Z", "Z", "Z", "Z"]),
        ("hh 'o''clock' a", ["06 o'clock AM", "03 o'clock PM", "12 o'clock AM", "11 o'clock PM"]),
        ("yyyyMMddHH", ["2017010306", "2024061015", "1970010100", "1969123123"]),
        ("aa", ["AM", "PM", "AM", "PM"]),
        ("EE", ["Tue", "Mon", "Thu", "Wed"]),
        ("uuu", ["002", "001", "004", "003"]),
        ("k h", ["6 6", "15 3", "24 12", "23 11"]),
    ];

    #[test]
    fn prints_as_java_does() {
        for (pattern, expected) in FROM_JAVA {
            let format = DateFormat::new(pattern).unwrap();
            for (millis, expected) in
                [1_483_425_001_864, 1_718_031_607_005, 0, -1].into_iter().zip(expected)
            {
                let mut text = String::new();
                format.format(millis, &mut text);
                assert_eq!(text, *expected, "{pattern} of {millis}");
            }
        }
    }

    #[test]
    fn refuses_in_javas_words() {
        for (pattern, message) in [
            ("b", "Illegal pattern character 'b'"),
            ("yyyy'", "Unterminated quote"),
            ("yyyyT", "Illegal pattern character 'T'"),
            ("XXXX", "invalid ISO 8601 format: length=4"),
        ] {
            assert_eq!(DateFormat::new(pattern).unwrap_err(), message);
        }
    }

    proptest::proptest! {
        #[test]
        fn days_and_dates_are_each_others_inverse(days in -4_000_000i64..4_000_000) {
            let (year, month, day) = civil(days);
            proptest::prop_assert_eq!(days_of(year, month, day), days);
            proptest::prop_assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        }

        #[test]
        fn any_pattern_and_time_end_well(pattern in "[GyMdkHmsSEDFwWahKzZYuXL' ]{0,8}", at: i64) {
            if let Ok(format) = DateFormat::new(&pattern) {
                format.format(at, &mut String::new());
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_used_format_is_as_a_new_one(
            pattern in "[GyMdkHmsSEDFwWahKzZYuXL' ]{1,6}",
            first in proptest::num::i64::ANY,
            steps in proptest::collection::vec(-100_000i64..100_000, 1..8),
        ) {
            if let Ok(format) = DateFormat::new(&pattern) {
                let mut at = first;
                for step in steps {
                    let (mut used, mut new) = (String::new(), String::new());
                    format.format(at, &mut used);
                    DateFormat::new(&pattern).unwrap().format(at, &mut new);
                    proptest::prop_assert_eq!(used, new, "{} {}", pattern, at);
                    at = at.wrapping_add(step);
                }
            }
        }
    }

    /// What was made for one time does not show in the text of another.
    #[test]
    fn one_format_for_many_times() {
        let times = [1_483_425_001_864, 1_483_425_001_865, 1_483_425_059_999, 1_483_425_060_000];
        let times = times.into_iter().chain([0, -1, -60_000, -60_001, i64::MAX, i64::MIN]);
        for (pattern, _) in FROM_JAVA {
            let format = DateFormat::new(pattern).unwrap();
            for millis in times.clone().chain(times.clone().rev()) {
                let (mut used, mut new) = (String::new(), String::new());
                format.format(millis, &mut used);
                DateFormat::new(pattern).unwrap().format(millis, &mut new);
                assert_eq!(used, new, "{pattern} {millis}");
            }
        }
    }
}
