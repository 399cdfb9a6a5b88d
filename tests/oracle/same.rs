//! When two answers are the same: as JSON values, numbers by their value.

use serde_json::Value;

pub fn same(ours: &Value, jvm: &Value) -> bool {
    match (ours, jvm) {
        (Value::Number(ours), Value::Number(jvm)) => {
            let (ours, jvm) = (ours.to_string(), jvm.to_string());
            decimal(&ours) == decimal(&jvm) || same_float(&ours, &jvm)
        }
        (Value::Array(ours), Value::Array(jvm)) => {
            ours.len() == jvm.len() && ours.iter().zip(jvm).all(|(ours, jvm)| same(ours, jvm))
        }
        (Value::Object(ours), Value::Object(jvm)) => {
            let there = |(name, ours)| jvm.get(name).is_some_and(|jvm| same(ours, jvm));
            ours.len() == jvm.len() && ours.iter().all(there)
        }
        (Value::String(ours), Value::String(jvm)) => ours == jvm || same_digits(ours, jvm),
        _ => ours == jvm,
    }
}

/// Texts that floating numbers have become, one of Java's with a digit too many.
fn same_digits(ours: &str, jvm: &str) -> bool {
    jvm.len() == ours.len() + 1
        && jvm.contains('.')
        && !jvm.ends_with('0')
        && ours
            .bytes()
            .chain(jvm.bytes())
            .all(|byte| byte.is_ascii_digit() || b".E-".contains(&byte))
        && same_float(ours, jvm)
}

/// Before Java 19, `Float.toString` and `Double.toString` sometimes wrote a digit more than needed,
/// and another one; the number they stand for is the same.
fn same_float(ours: &str, jvm: &str) -> bool {
    let floating = |text: &str| text.contains(['.', 'e', 'E']);
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    if !floating(ours) || !floating(jvm) {
        return false;
    }
    let double = |text: &str| text.parse::<f64>().ok();
    let single = |text: &str| text.parse::<f32>().ok();
    double(ours) == double(jvm) || (digits(jvm) <= 11 && single(ours) == single(jvm))
}

/// One way to write each number: `-12.50e3` is `-125e2`. A negative zero keeps its sign.
fn decimal(text: &str) -> String {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let mut exponent: i64 = exponent.parse().expect("an exponent");
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent -= part.len() as i64;
    let digits = format!("{whole}{part}");
    let short = digits.trim_end_matches('0');
    exponent += (digits.len() - short.len()) as i64;
    let short = short.trim_start_matches('0');
    if short.is_empty() { format!("{sign}0") } else { format!("{sign}{short}e{exponent}") }
}

#[test]
fn numbers_are_compared_by_value() {
    assert_eq!(decimal("12.50"), decimal("1.25E1"));
    assert_eq!(decimal("1.0E10"), decimal("10000000000"));
    assert_ne!(decimal("-0.0"), decimal("0"));
    assert_ne!(decimal("1e400"), decimal("1e401"));
    assert!(same_float("2.1474836E9", "2.14748365E9"));
    assert!(!same_float("0.1", "0.100000001490116"));
    assert!(!same_float("2147483647", "2147483648"));
    assert!(same_digits("1.2345679E8", "1.23456792E8"));
    assert!(!same_digits("1.5", "1.50"), "a zero is no other digit");
    assert!(!same_digits("1.2345679E8", "1.23456892E8"));
    assert_ne!(decimal("9007199254740993"), decimal("9007199254740992"));
}
