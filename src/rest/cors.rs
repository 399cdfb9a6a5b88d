//! Headers that answers get on top: cross-origin rules and `response.http.headers.config`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use millrace_herder::listeners::{HeaderAction, ResponseHeader};
use millrace_herder::worker_config::WorkerConfig;

/// Methods that a foreign page may use when `access.control.allow.methods` is not set.
const DEFAULT_METHODS: &str = "GET,POST,HEAD";

/// `access.control.*` of the worker.
pub(crate) struct Cors {
    origins: Vec<String>,
    methods: String,
}

impl Cors {
    /// `None`: no rules, pages of other origins get nothing.
    pub fn new(config: &WorkerConfig) -> Option<Self> {
        let origins = config.parsed().list("access.control.allow.origin");
        let methods = config.parsed().string("access.control.allow.methods");
        let methods = if methods.is_empty() { DEFAULT_METHODS } else { methods };
        (!origins.is_empty()).then(|| Self { origins, methods: methods.to_owned() })
    }

    /// Adds what a page of the request's origin must see.
    pub fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        response.append(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = request.get(header::ORIGIN) else { return };
        let given = origin.to_str().unwrap_or_default();
        if !self.origins.iter().any(|allowed| matches(allowed, given)) {
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

/// `*` stands for any characters.
fn matches(pattern: &str, origin: &str) -> bool {
    let mut rest = origin;
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    let mut last = None;
    for part in parts {
        if let Some(previous) = last.replace(part) {
            let previous: &str = previous;
            let Some(at) = rest.find(previous) else { return false };
            rest = &rest[at + previous.len()..];
        }
    }
    last.map_or(rest.is_empty(), |part| rest.ends_with(part))
}

/// Carries out the rules of `response.http.headers.config`.
pub(crate) fn extra_headers(rules: &[ResponseHeader], response: &mut HeaderMap) {
    for rule in rules {
        let date = matches!(rule.action, HeaderAction::SetDate | HeaderAction::AddDate);
        let value = if date { http_date(&rule.value) } else { rule.value.clone() };
        let name = HeaderName::from_bytes(rule.name.as_bytes());
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) else { continue };
        match rule.action {
            HeaderAction::Set | HeaderAction::SetDate => drop(response.insert(name, value)),
            HeaderAction::Add | HeaderAction::AddDate => drop(response.append(name, value)),
        }
    }
}

/// The value is a point in time in milliseconds since the epoch.
fn http_date(millis: &str) -> String {
    let millis = millis.parse::<i64>().unwrap_or(0).max(0) as u64;
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(millis);
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
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
        assert!(matches("*", "http://a"));
        assert!(matches("http://a", "http://a"));
        assert!(matches("http://*.a.org", "http://x.a.org"));
        assert!(!matches("http://a", "http://ab"));
        assert!(!matches("http://*.a.org", "http://a.org.evil"));
        assert_eq!(http_date("784111777000"), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date("1709164800000"), "Thu, 29 Feb 2024 00:00:00 GMT");
    }
}
