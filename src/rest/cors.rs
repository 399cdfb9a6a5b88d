//! Headers that answers get on top: cross-origin rules and `response.http.headers.config`.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use fancy_regex::Regex;
use millrace_herder::listeners::{HeaderAction, ResponseHeader};
use millrace_herder::worker_config::WorkerConfig;

/// Methods that a foreign page may use when `access.control.allow.methods` is not set.
const DEFAULT_METHODS: &str = "GET,POST,HEAD";

/// `access.control.*` of the worker.
pub(crate) struct Cors {
    origins: Vec<Origin>,
    methods: String,
}

/// An item of `access.control.allow.origin`: `*`, or a regular expression of the whole origin, as in
/// Kafka Connect 4 (in 3 an asterisk within it stood for any characters).
struct Origin {
    text: String,
    /// `None` if it is no expression: then the text itself counts.
    expression: Option<Regex>,
}

impl Origin {
    fn new(text: String) -> Self {
        let expression = Regex::new(&format!("^(?:{text})$")).ok();
        Self { text, expression }
    }

    fn allows(&self, origin: &str) -> bool {
        let matches = |regex: &Regex| regex.is_match(origin).unwrap_or(false);
        self.text == "*" || self.text == origin || self.expression.as_ref().is_some_and(matches)
    }
}

impl Cors {
    /// `None`: no rules, pages of other origins get nothing.
    pub fn new(config: &WorkerConfig) -> Option<Self> {
        let origins = config.parsed().list("access.control.allow.origin");
        let origins: Vec<Origin> = origins.into_iter().map(Origin::new).collect();
        let methods = config.parsed().string("access.control.allow.methods");
        let methods = if methods.is_empty() { DEFAULT_METHODS } else { methods };
        (!origins.is_empty()).then(|| Self { origins, methods: methods.to_owned() })
    }

    /// Adds what a page of the request's origin must see.
    pub fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        response.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = request.get(header::ORIGIN) else { return };
        let given = origin.to_str().unwrap_or_default();
        if !self.origins.iter().any(|allowed| allowed.allows(given)) {
            return;
        }
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            if let Ok(methods) = HeaderValue::from_str(&self.methods) {
                response.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            }
            let allowed = HeaderValue::from_static("Content-Type");
            response.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
            response.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("60"));
        }
    }
}

/// Carries out the rules of `response.http.headers.config`.
pub(crate) fn extra_headers(rules: &[ResponseHeader], response: &mut HeaderMap) {
    for rule in rules {
        let date = matches!(rule.action, HeaderAction::SetDate | HeaderAction::AddDate);
        let value = if date { later(&rule.value) } else { rule.value.clone() };
        let name = HeaderName::from_bytes(rule.name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) else { continue };
        match rule.action {
            HeaderAction::Set | HeaderAction::SetDate => drop(response.insert(name, value)),
            HeaderAction::Add | HeaderAction::AddDate => drop(response.append(name, value)),
        }
    }
}

/// So many milliseconds from now.
fn later(millis: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    // Up to the year 9999, which is as far as the form goes.
    let then = now.saturating_add(millis.parse().unwrap_or(0)).clamp(0, 253_402_300_799_999);
    http_date(then as u64 / 1000)
}

/// Of seconds since the epoch.
fn http_date(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days, Howard Hinnant's algorithm.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
    let names = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let at = (month as usize - 1) * 3;
    format!(
        "{weekday}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        &names[at..at + 3],
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_dates() {
        let allows = |allowed: &str, origin| Origin::new(allowed.to_owned()).allows(origin);
        assert!(allows("*", "http://a"));
        assert!(allows("http://a", "http://a"));
        assert!(allows("http://.*\\.a\\.org", "http://x.a.org"));
        assert!(!allows("http://.*\\.a\\.org", "http://x.a.org.evil"));
        assert!(!allows("http://a", "http://ab"));
        assert!(allows("http://(", "http://("), "no expression");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
        assert_eq!(later(&i64::MAX.to_string()), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(later(&i64::MIN.to_string()), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
