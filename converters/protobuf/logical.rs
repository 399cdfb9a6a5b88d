//! Days, times, moments and decimals: Connect's logical types as the messages of Google and
//! Confluent have them.

use num_bigint::BigInt;

use crate::java_text::Calendar;
use crate::varint::Fault;

pub(super) const DAY_MILLIS: i64 = 86_400_000;

const NO_DATE: Fault = "a google.type.Date is no day of the calendar";
const NO_TIME: Fault = "a google.type.TimeOfDay is no time of a day";
const NO_MOMENT: Fault = "a google.protobuf.Timestamp is out of range";

/// What `Timestamp` may say: from year 1 to year 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Days since the epoch, proleptic Gregorian.
pub(super) fn days_of(year: i32, month: i32, day: i32) -> Result<i32, Fault> {
    const LENGTHS: [i32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if year < 1 || !(1..=12).contains(&month) {
        return Err(NO_DATE);
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = LENGTHS[month as usize - 1] + i32::from(leap && month == 2);
    if !(1..=length).contains(&day) {
        return Err(NO_DATE);
    }
    // Howard Hinnant's `days_from_civil`.
    let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    i32::try_from(days).map_err(|_| NO_DATE)
}

/// Year, month and day; `None`: before year 1.
pub(super) fn date_of(days: i32) -> Option<(i32, i32, i32)> {
    let date = Calendar::of(i64::from(days) * DAY_MILLIS);
    let year = i32::try_from(date.year).ok().filter(|year| *year >= 1)?;
    Some((year, date.month as i32, date.day as i32))
}

/// Milliseconds of the day; what is finer is cut off.
pub(super) fn millis_of(hours: i32, minutes: i32, seconds: i32, nanos: i32) -> Result<i32, Fault> {
    let fits = (0..24).contains(&hours)
        && (0..60).contains(&minutes)
        && (0..60).contains(&seconds)
        && (0..1_000_000_000).contains(&nanos);
    if !fits {
        return Err(NO_TIME);
    }
    Ok(((hours * 60 + minutes) * 60 + seconds) * 1000 + nanos / 1_000_000)
}

/// Milliseconds since the epoch; what is finer is cut off.
pub(super) fn moment_of(seconds: i64, nanos: i32) -> Result<i64, Fault> {
    if !SECONDS.contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(NO_MOMENT);
    }
    Ok(seconds * 1000 + i64::from(nanos) / 1_000_000)
}

/// Seconds and nanoseconds; `None`: outside of what a `Timestamp` may say.
pub(super) fn seconds_of(millis: i64) -> Option<(i64, i32)> {
    let seconds = millis.div_euclid(1000);
    SECONDS.contains(&seconds).then(|| (seconds, millis.rem_euclid(1000) as i32 * 1_000_000))
}

/// Digits of the number of those bytes, two's complement, as `BigDecimal.precision()` counts them.
pub(super) fn digits(unscaled: &[u8]) -> u32 {
    if unscaled.len() > 16 {
        let text = BigInt::from_signed_bytes_be(unscaled).magnitude().to_string();
        return u32::try_from(text.len()).unwrap_or(u32::MAX);
    }
    let negative = unscaled.first().is_some_and(|first| first & 0x80 != 0);
    let mut bytes = if negative { [0xff; 16] } else { [0; 16] };
    bytes[16 - unscaled.len()..].copy_from_slice(unscaled);
    let number = i128::from_be_bytes(bytes).unsigned_abs();
    number.checked_ilog10().map_or(1, |log| log + 1)
}

/// Two's complement without sign bytes that say nothing; zero has one byte.
pub(super) fn minimal(mut bytes: &[u8]) -> &[u8] {
    while let [0x00, next, ..] | [0xff, next, ..] = bytes
        && (bytes[0] ^ next) & 0x80 == 0
    {
        bytes = &bytes[1..];
    }
    if bytes.is_empty() { &[0] } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_there_and_back() {
        for days in (-719_162..3_000_000).step_by(97).chain([0, 59, 60, 11_016, 11_017]) {
            let (year, month, day) = date_of(days).unwrap();
            assert_eq!(days_of(year, month, day), Ok(days));
        }
        assert_eq!(days_of(1970, 1, 1), Ok(0));
        assert_eq!(date_of(-719_163), None);
        for (year, month, day) in
            [(0, 1, 1), (2023, 2, 29), (2023, 13, 1), (2023, 0, 1), (1900, 2, 29), (i32::MAX, 1, 1)]
        {
            assert!(days_of(year, month, day).is_err(), "{year}-{month}-{day}");
        }
        assert!(days_of(2000, 2, 29).is_ok());
    }

    #[test]
    fn times_and_moments() {
        assert_eq!(millis_of(23, 59, 59, 999_999_999), Ok(86_399_999));
        assert!(millis_of(24, 0, 0, 0).is_err());
        assert_eq!(moment_of(-1, 999_000_000), Ok(-1));
        assert_eq!(seconds_of(-1), Some((-1, 999_000_000)));
        assert!(moment_of(0, -1).is_err() && moment_of(i64::MAX, 0).is_err());
        assert_eq!(seconds_of(i64::MAX), None);
    }

    #[test]
    fn digits_of_numbers() {
        for (bytes, count) in [
            (&[0][..], 1),
            (&[9], 1),
            (&[10], 2),
            (&[0xff], 1),
            (&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 39),
            (&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 39),
        ] {
            assert_eq!(digits(bytes), count, "{bytes:?}");
        }
        assert_eq!(minimal(&[0, 0, 0x7f]), &[0x7f]);
        assert_eq!(minimal(&[0xff, 0xff, 0x80]), &[0x80]);
        assert_eq!(minimal(&[0, 0]), &[0]);
        assert_eq!(minimal(&[]), &[0]);
    }
}
