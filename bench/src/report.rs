//! Tables in Markdown, as they go into `docs/benchmarks.md`.

use std::fmt::Write as _;

/// A heading, sentences, a table.
#[derive(Debug, Default)]
pub(crate) struct Report(String);

impl Report {
    pub(crate) fn heading(&mut self, text: &str) {
        let _ = write!(self.0, "\n### {text}\n\n");
    }

    pub(crate) fn sentence(&mut self, text: &str) {
        let _ = writeln!(self.0, "{text}");
    }

    pub(crate) fn table<const COLUMNS: usize>(&mut self, head: [&str; COLUMNS], rows: &[[String; COLUMNS]]) {
        let _ = writeln!(self.0, "| {} |", head.join(" | "));
        let _ = writeln!(self.0, "|{}", "---|".repeat(COLUMNS));
        for row in rows {
            let _ = writeln!(self.0, "| {} |", row.join(" | "));
        }
        self.0.push('\n');
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// A number with thousands apart: `36,000`.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut apart = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && digit.is_ascii_digit() {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}
