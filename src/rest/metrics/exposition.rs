//! Prometheus' two text formats: 0.0.4 and OpenMetrics 1.0.
//!
//! Samples of one family must stand together under one HELP and TYPE, whatever order they come in;
//! so they are gathered by family first.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Which text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `text/plain; version=0.0.4`
    Text,
    OpenMetrics,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The one that the client likes better; 0.0.4 for clients that name neither.
    pub fn accepted<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let (mut open, mut text) = (0.0_f64, 0.0_f64);
        for media in accept.flat_map(|list| list.split(',')) {
            let mut parts = media.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            let quality = quality.map_or(1.0, |text| text.parse().unwrap_or(0.0));
            match name.as_str() {
                "application/openmetrics-text" => open = open.max(quality),
                "text/plain" => text = text.max(quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }
}

/// What kind of thing a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its name ends with `_total`.
    Counter,
    Gauge,
    /// A total under a name that does not say so, as some of the JVM's.
    Unknown,
    Histogram,
}

struct Family {
    kind: Kind,
    help: &'static str,
    lines: String,
}

/// Families by name, with the lines of their samples.
pub(crate) struct Exposition {
    format: Format,
    families: BTreeMap<String, Family>,
}

/// Names and values.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Exposition {
    pub fn new(format: Format) -> Self {
        Self { format, families: BTreeMap::new() }
    }

    pub fn add(
        &mut self,
        name: &str,
        kind: Kind,
        help: &'static str,
        labels: Labels<'_>,
        value: f64,
    ) {
        let lines = self.family(name, kind, help);
        line(lines, name, labels, None, value);
    }

    /// `counts` are cumulative, one for each of `bounds`; `sum` in the bounds' unit.
    pub fn histogram(
        &mut self,
        (name, help): (&str, &'static str),
        labels: Labels<'_>,
        bounds: &[f64],
        counts: &[u64],
        (sum, count): (f64, u64),
    ) {
        let lines = self.family(name, Kind::Histogram, help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in bounds.iter().zip(counts) {
            // OpenMetrics wants bounds as floats, 0.0.4 takes them.
            line(lines, &bucket, labels, Some(&format!("{bound:?}")), *count as f64);
        }
        line(lines, &bucket, labels, Some("+Inf"), count as f64);
        line(lines, &format!("{name}_sum"), labels, None, sum);
        line(lines, &format!("{name}_count"), labels, None, count as f64);
    }

    fn family(&mut self, name: &str, kind: Kind, help: &'static str) -> &mut String {
        let new = || Family { kind, help, lines: String::new() };
        &mut self.families.entry(name.to_owned()).or_insert_with(new).lines
    }

    pub fn text(self) -> String {
        let mut out = String::new();
        let open = self.format == Format::OpenMetrics;
        for (name, family) in &self.families {
            // OpenMetrics' counters are families without the suffix that their samples have.
            let family_name = match family.kind {
                Kind::Counter if open => name.strip_suffix("_total").unwrap_or(name),
                _ => name,
            };
            let kind = match family.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
                Kind::Unknown if open => "unknown",
                Kind::Unknown => "untyped",
            };
            let _ = writeln!(out, "# HELP {family_name} {}", family.help);
            let _ = writeln!(out, "# TYPE {family_name} {kind}");
            out.push_str(&family.lines);
        }
        if open {
            out.push_str("# EOF\n");
        }
        out
    }
}

fn line(out: &mut String, name: &str, labels: Labels<'_>, le: Option<&str>, value: f64) {
    out.push_str(name);
    let le = le.map(|bound| ("le", bound));
    for (at, (label, text)) in labels.iter().copied().chain(le).enumerate() {
        out.push(if at == 0 { '{' } else { ',' });
        out.push_str(label);
        out.push_str("=\"");
        for c in text.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    if !labels.is_empty() || le.is_some() {
        out.push('}');
    }
    let _ = match value {
        value if value.is_nan() => writeln!(out, " NaN"),
        f64::INFINITY => writeln!(out, " +Inf"),
        f64::NEG_INFINITY => writeln!(out, " -Inf"),
        value => writeln!(out, " {value}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(format: Format) -> String {
        let mut all = Exposition::new(format);
        all.add("b_total", Kind::Counter, "How many.", &[("c", "x\"\\\ny")], 3.0);
        all.add("a", Kind::Gauge, "Now.", &[], f64::NAN);
        all.add("b_total", Kind::Counter, "How many.", &[("c", "z")], 4.5);
        all.add("errors", Kind::Unknown, "Wrong.", &[], 0.0);
        all.histogram(("t_seconds", "Times."), &[("s", "put")], &[0.5, 1.0], &[1, 2], (7.25, 3));
        all.text()
    }

    #[test]
    fn text_groups_families_and_escapes_labels() {
        let expected = r#"# HELP a Now.
# TYPE a gauge
a NaN
# HELP b_total How many.
# TYPE b_total counter
b_total{c="x\"\\\ny"} 3
b_total{c="z"} 4.5
# HELP errors Wrong.
# TYPE errors untyped
errors 0
# HELP t_seconds Times.
# TYPE t_seconds histogram
t_seconds_bucket{s="put",le="0.5"} 1
t_seconds_bucket{s="put",le="1.0"} 2
t_seconds_bucket{s="put",le="+Inf"} 3
t_seconds_sum{s="put"} 7.25
t_seconds_count{s="put"} 3
"#;
        assert_eq!(example(Format::Text), expected);
    }

    #[test]
    fn openmetrics_names_counters_without_their_suffix_and_ends() {
        let text = example(Format::OpenMetrics);
        assert!(text.contains("# TYPE b counter\nb_total{"), "{text}");
        assert!(text.contains("# TYPE errors unknown\n") && text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn the_format_is_negotiated() {
        let accepted = |text: &str| Format::accepted([text].into_iter());
        assert_eq!(accepted(""), Format::Text);
        assert_eq!(accepted("*/*"), Format::Text);
        assert_eq!(accepted("application/json"), Format::Text);
        assert_eq!(accepted("application/openmetrics-text; version=1.0.0"), Format::OpenMetrics);
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(accepted(prometheus), Format::OpenMetrics);
        assert_eq!(accepted("application/openmetrics-text;q=0.2, text/plain"), Format::Text);
    }
}
