//! Numbers as Java prints and reads them: `Double.toString`, `BigDecimal`.

use num_bigint::{BigInt, Sign};

use crate::digits::{PAIRS, ROOM, signed};

/// Appends `Double.toString(value)`: `1.0`, `1.0E10`, `NaN`, `-Infinity`.
///
/// Digits are the shortest that read back as the same number, as Java has it since 19; before,
/// Java printed a digit too many for a few numbers.
pub fn write_double(value: f64, out: &mut Vec<u8>) {
    let mut room = [0; ROOM];
    if let Some(text) = few_decimals(value, &mut room).and_then(|length| room.get(..length)) {
        return out.extend_from_slice(text);
    }
    if write_not_finite(value, out) {
        return;
    }
    write_shortest(value, out);
}

/// Writes what [`write_double`] appends to the beginning of `room`, if the number is a common one: the
/// text's length. What stands behind the text is of no meaning.
///
/// Most numbers that people write have three decimals at most. If the thousandths, divided, are the
/// number again, they are its digits: they are fifteen at most, and no two decimals of so few
/// digits are the same double, so that none is shorter.
#[inline]
pub(crate) fn few_decimals(value: f64, room: &mut [u8; ROOM]) -> Option<usize> {
    let size = value.abs();
    if !(1e-3..1e7).contains(&size) {
        return None;
    }
    let thousandths = (size * 1e3 + 0.5) as u64;
    if thousandths as f64 / 1e3 != size {
        return None;
    }
    let point = signed(value < 0.0, thousandths / 1000, room);
    let part = (thousandths % 1000) as usize;
    let [tenth, _] = PAIRS[part / 100 * 10];
    let rest @ [second, third] = PAIRS[part % 100];
    *room.get_mut(point..)?.first_chunk_mut()? = [b'.', tenth, second, third];
    Some(point + 2 + usize::from(rest != *b"00") + usize::from(third != b'0'))
}

fn write_shortest(value: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
    finish(text, plain, out, || {
        let two = format!("{value:.1e}");
        (two.parse() == Ok(value)).then_some(two)
    });
}

/// Appends `Float.toString(value)`.
pub fn write_float(value: f32, out: &mut Vec<u8>) {
    if write_not_finite(f64::from(value), out) {
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
    finish(text, plain, out, || {
        let two = format!("{value:.1e}");
        (two.parse() == Ok(value)).then_some(two)
    });
}

fn write_not_finite(value: f64, out: &mut Vec<u8>) -> bool {
    let text: &[u8] = match value {
        v if v.is_nan() => b"NaN",
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ => return false,
    };
    out.extend_from_slice(text);
    true
}

/// `text` is the shortest form, plain or with an exponent; `two` gives two digits for it if they
/// read back as the same number (Java prefers the nearer `4.9E-324` to `5.0E-324`).
fn finish(text: &str, plain: bool, out: &mut Vec<u8>, two: impl FnOnce() -> Option<String>) {
    if plain && !text.contains(['e', 'E']) {
        out.extend_from_slice(text.as_bytes());
        if !text.contains('.') {
            out.extend_from_slice(b".0");
        }
        return;
    }
    let (mut digits, mut exponent) = digits_of(text);
    if digits.len() == 1
        && !plain
        && let Some(text) = two()
    {
        (digits, exponent) = digits_of(&text);
    }
    if text.starts_with('-') {
        out.push(b'-');
    }
    if plain {
        // The printer chose an exponent where Java does not (0.001 ≤ v < 10^7).
        let point = exponent + 1;
        if point <= 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + point.unsigned_abs() as usize, b'0');
            out.extend_from_slice(&digits);
        } else {
            let whole = point as usize;
            while digits.len() <= whole {
                digits.push(b'0');
            }
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
        return;
    }
    out.push(digits[0]);
    out.push(b'.');
    out.extend_from_slice(if digits.len() > 1 { &digits[1..] } else { b"0" });
    out.push(b'E');
    out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
}

/// Significant digits and the exponent of the first.
fn digits_of(text: &str) -> (Vec<u8>, i32) {
    let text = text.trim_start_matches('-');
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zeros = all.iter().take_while(|&&b| b == b'0').count();
    let mut digits = all[zeros..].to_vec();
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    if digits.is_empty() {
        digits.push(b'0');
    }
    let exponent: i32 = exponent.trim_start_matches('+').parse().unwrap_or(0);
    (digits, exponent + whole.len() as i32 - 1 - zeros as i32)
}

/// `java.math.BigDecimal`: `unscaled * 10^-scale`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BigDecimal {
    /// The digits, with their sign.
    pub unscaled: BigInt,
    /// Digits behind the point; negative: zeros before it.
    pub scale: i32,
}

impl BigDecimal {
    /// `new BigDecimal(text)`; `None` is its `NumberFormatException`. No white space is allowed.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            None => (text, 0i64),
            Some(at) => {
                let digits = &text[at + 1..];
                let bare = digits.strip_prefix(['+', '-']).unwrap_or(digits);
                if bare.is_empty() || bare.len() > 10 || !bare.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                (&text[..at], i64::from(digits.parse::<i32>().ok()?))
            }
        };
        let bare = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
        let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
        let digits: String = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let unscaled: BigInt = digits.parse().ok()?;
        let unscaled = if mantissa.starts_with('-') { -unscaled } else { unscaled };
        let scale = i32::try_from(fraction.len() as i64 - exponent).ok()?;
        Some(Self { unscaled, scale })
    }

    /// From the two's complement form of Connect's Decimal.
    pub fn from_bytes(unscaled: &[u8], scale: i32) -> Self {
        Self { unscaled: BigInt::from_signed_bytes_be(unscaled), scale }
    }

    /// `longValue()`: the fraction is dropped, then all but the low 64 bits.
    pub fn long_value(&self) -> i64 {
        let digits = self.unscaled.magnitude().to_string().len() as i64;
        let scale = i64::from(self.scale);
        // 10^64 is a multiple of 2^64, and a fraction longer than the number leaves nothing.
        if scale <= -64 || scale >= digits {
            return 0;
        }
        let ten = BigInt::from(10);
        let whole = if scale >= 0 {
            &self.unscaled / ten.pow(scale as u32)
        } else {
            &self.unscaled * ten.pow(scale.unsigned_abs() as u32)
        };
        low_64(&whole)
    }

    /// `doubleValue()`.
    pub fn double_value(&self) -> f64 {
        format!("{}e{}", self.unscaled, -i64::from(self.scale)).parse().unwrap_or(f64::NAN)
    }

    /// `floatValue()`.
    pub fn float_value(&self) -> f32 {
        format!("{}e{}", self.unscaled, -i64::from(self.scale)).parse().unwrap_or(f32::NAN)
    }

    /// The number as an integer of 64 bits, if it is one.
    pub fn exact_long(&self) -> Option<i64> {
        if self.is_zero() {
            return Some(0);
        }
        let digits = self.unscaled.magnitude().to_string();
        let zeros = digits.len() - digits.trim_end_matches('0').len();
        let scale = i64::from(self.scale);
        // A fraction is left, or it is too wide anyway: no power of ten is raised in vain.
        if scale > zeros as i64 || digits.len() as i64 - scale > 19 {
            return None;
        }
        let whole = match u32::try_from(scale) {
            Ok(scale) => &self.unscaled / BigInt::from(10).pow(scale),
            Err(_) => &self.unscaled * BigInt::from(10).pow(scale.unsigned_abs() as u32),
        };
        i64::try_from(whole).ok()
    }

    /// `compareTo`. No power of ten is raised that the digits at hand do not ask for.
    pub fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let order = self.unscaled.sign().cmp(&other.unscaled.sign());
        if order.is_ne() || self.is_zero() {
            return order;
        }
        let digits = |number: &Self| number.unscaled.magnitude().to_string();
        let (own, others) = (digits(self), digits(other));
        let places = |digits: &str, number: &Self| digits.len() as i64 - i64::from(number.scale);
        let width = own.len().max(others.len());
        let order = places(&own, self)
            .cmp(&places(&others, other))
            .then_with(|| format!("{own:0<width$}").cmp(&format!("{others:0<width$}")));
        if self.unscaled.sign() == Sign::Minus { order.reverse() } else { order }
    }

    /// `signum() == 0`.
    pub fn is_zero(&self) -> bool {
        self.unscaled.sign() == Sign::NoSign
    }
}

/// `BigInteger.longValue()`.
pub fn low_64(number: &BigInt) -> i64 {
    let low = number.magnitude().iter_u64_digits().next().unwrap_or(0) as i64;
    if number.sign() == Sign::Minus { low.wrapping_neg() } else { low }
}

/// `toString()`: plain where the scale is not negative and the number not tiny, else `1E+3`.
impl std::fmt::Display for BigDecimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.unscaled.magnitude().to_string();
        if self.unscaled.sign() == Sign::Minus {
            f.write_str("-")?;
        }
        let scale = i64::from(self.scale);
        let adjusted = digits.len() as i64 - 1 - scale;
        if scale == 0 {
            return f.write_str(&digits);
        }
        if scale > 0 && adjusted >= -6 {
            let scale = scale as usize;
            return if digits.len() > scale {
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                write!(f, "{whole}.{fraction}")
            } else {
                write!(f, "0.{digits:0>scale$}")
            };
        }
        f.write_str(&digits[..1])?;
        if digits.len() > 1 {
            write!(f, ".{}", &digits[1..])?;
        }
        if adjusted != 0 { write!(f, "E{adjusted:+}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_rig::Random;

    fn double(value: f64) -> String {
        let mut out = Vec::new();
        write_double(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn float(value: f32) -> String {
        let mut out = Vec::new();
        write_float(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn few_decimals_are_the_shortest() {
        let mut random = Random(88_172_645_463_325_252);
        for round in 0..200_000_u64 {
            let bits = random.next();
            let near = (bits % 10_000_000_000) as f64 / 10_f64.powi((round % 12) as i32);
            for value in [near, -near, near.next_up(), near.next_down(), f64::from_bits(bits)] {
                let mut shortest = Vec::new();
                write_shortest(value, &mut shortest);
                let known = value.is_finite().then(|| String::from_utf8(shortest).unwrap());
                assert_eq!(known.unwrap_or_else(|| double(value)), double(value));
            }
        }
    }

    /// What `Double.toString` and `Float.toString` print on a JVM.
    #[test]
    fn prints_as_java() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.34, "-12.34"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.00099, "9.9E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (1e10, "1.0E10"),
            (1e21, "1.0E21"),
            (1.5e300, "1.5E300"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::from_bits(1), "4.9E-324"),
            (f64::from_bits(2), "9.9E-324"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(value), text);
        }
        for (value, text) in [
            (1.0f32, "1.0"),
            (3.3, "3.3"),
            (1e10, "1.0E10"),
            (f32::MAX, "3.4028235E38"),
            (f32::from_bits(1), "1.4E-45"),
            (0.001, "0.001"),
            (16_777_216.0, "1.6777216E7"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn big_decimals_as_java() {
        for (text, printed, long) in [
            ("5", "5", 5i64),
            ("+7", "7", 7),
            ("5.90", "5.90", 5),
            ("-1e2", "-1E+2", -100),
            ("1.5E-7", "1.5E-7", 0),
            ("0.000001", "0.000001", 0),
            ("0.0000001", "1E-7", 0),
            ("1e400", "1E+400", 0),
            (".5", "0.5", 0),
            ("5.", "5", 5),
            ("0e0", "0", 0),
            ("9223372036854775808", "9223372036854775808", i64::MIN),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
                -4362896299872285998,
            ),
        ] {
            let number = BigDecimal::parse(text).unwrap();
            assert_eq!(number.to_string(), printed);
            assert_eq!(number.long_value(), long, "{text}");
        }
        for text in [
            "",
            ".",
            "x",
            "5d",
            " 5",
            "0x10",
            "NaN",
            "1e",
            "1e+",
            "1e99999999999",
            "1e2147483648",
            "+-1",
        ] {
            assert_eq!(BigDecimal::parse(text), None, "{text}");
        }
    }
}
