//! The text format that Prometheus reads (version 0.0.4): families of series as lines. It decides nothing about what is counted.

use std::fmt::Write;

use super::metrics::{BOUNDS, Counter, Family, Gauge, Sum, Times, Value};

/// The media type of this text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a page of metrics is written to.
#[derive(Debug, Default)]
pub struct Page(String);

/// A value that can be written as the lines of one series.
pub trait Lines: Value {
    fn lines(&self, page: &mut Page, name: &str, labels: &Labels<'_>);
}

/// The labels of one series.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    pub names: &'a [&'static str],
    pub values: &'a [Box<str>],
}

impl Page {
    /// Writes a family. One without series says only what it would be.
    pub fn family<V: Lines, const N: usize>(&mut self, family: &Family<V, N>) {
        let Family { name, help, labels, .. } = family;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {}", V::TYPE));
        for (values, value) in family.snapshot() {
            value.lines(self, name, &Labels { names: labels, values: &values });
        }
    }

    pub fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A string takes everything.
        let _ = writeln!(self.0, "{line}");
    }

    fn sample(&mut self, name: &str, labels: &Labels<'_>, value: impl std::fmt::Display) {
        self.line(format_args!("{name}{} {value}", labels.text(None)));
    }
}

impl Labels<'_> {
    fn text(&self, le: Option<&str>) -> String {
        let own = self.names.iter().copied().zip(self.values.iter().map(AsRef::as_ref));
        let pairs: Vec<String> = own
            .chain(le.map(|le| ("le", le)))
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
    }
}

/// A label's value between its quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Lines for Counter {
    fn lines(&self, page: &mut Page, name: &str, labels: &Labels<'_>) {
        page.sample(name, labels, self.get());
    }
}

impl Lines for Sum {
    fn lines(&self, page: &mut Page, name: &str, labels: &Labels<'_>) {
        page.sample(name, labels, self.get());
    }
}

impl Lines for Gauge {
    fn lines(&self, page: &mut Page, name: &str, labels: &Labels<'_>) {
        page.sample(name, labels, self.get());
    }
}

impl Lines for Times {
    fn lines(&self, page: &mut Page, name: &str, labels: &Labels<'_>) {
        let (buckets, sum_ns) = self.read();
        let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        let mut so_far = 0;
        for (bound, count) in bounds.zip(buckets) {
            so_far += count;
            page.line(format_args!("{name}_bucket{} {so_far}", labels.text(Some(bound))));
        }
        page.line(format_args!("{name}_sum{} {}", labels.text(None), seconds(sum_ns)));
        page.line(format_args!("{name}_count{} {so_far}", labels.text(None)));
    }
}

/// Nanoseconds as seconds, without rounding.
pub fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn families_are_written_as_the_format_has_it() {
        let money: Family<Sum, 2> = Family::new("farthing_x_total", "Money.", ["route", "asset"]);
        money.with(["GET /a\"b\\c\nd", "USD"]).add(u128::from(u64::MAX) + 2);
        let empty: Family<Counter, 0> = Family::new("farthing_none_total", "Nothing.", []);
        empty.with([]).add(3);
        let mut page = Page::default();
        page.family(&money);
        page.family(&empty);
        let expected = "# HELP farthing_x_total Money.\n# TYPE farthing_x_total counter\n\
            farthing_x_total{route=\"GET /a\\\"b\\\\c\\nd\",asset=\"USD\"} 18446744073709551617\n\
            # HELP farthing_none_total Nothing.\n# TYPE farthing_none_total counter\nfarthing_none_total 3\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_the_count() {
        let times: Family<Times, 0> = Family::new("t_seconds", "T.", []);
        let series = times.with([]);
        series.record(Duration::from_millis(2));
        series.record(Duration::from_micros(2_500));
        series.record(Duration::from_secs(31));
        let mut page = Page::default();
        page.family(&times);
        let text = page.into_text();
        for line in [
            "t_seconds_bucket{le=\"0.001\"} 0",
            "t_seconds_bucket{le=\"0.0025\"} 2",
            "t_seconds_bucket{le=\"30\"} 2",
            "t_seconds_bucket{le=\"+Inf\"} 3",
            "t_seconds_sum 31.004500000",
            "t_seconds_count 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }
}
