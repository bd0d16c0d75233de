//! What people and programs read: results on standard output, everything else on standard error. Colour and progress only
//! on a terminal; `NO_COLOR` is respected. Nothing here decides what is said.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::error::CliError;

/// How results and errors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object.
    Json,
}

/// Styles by meaning. Rendered by `anstream`, which drops them where there is no terminal.
pub mod style {
    use super::{AnsiColor, Style};

    /// Titles.
    pub const TITLE: Style = Style::new().bold();
    /// What is worth less attention.
    pub const DIM: Style = Style::new().dimmed();
    /// What went well.
    pub const GOOD: Style = AnsiColor::Green.on_default();
    /// What went wrong.
    pub const BAD: Style = AnsiColor::Red.on_default().bold();
    /// What needs attention.
    pub const WARN: Style = AnsiColor::Yellow.on_default();
    /// Money.
    pub const MONEY: Style = AnsiColor::Cyan.on_default();
}

/// `text` in `style`.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Whether notes are wanted besides results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Notes {
    /// Notes and progress.
    #[default]
    Show,
    /// Errors and results only (`-s`).
    Hide,
}

/// Where a command writes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Output {
    /// How.
    pub format: Format,
    /// Whether notes are wanted.
    pub notes: Notes,
}

/// How long an operation may take before progress is shown.
const QUIET_FOR: Duration = Duration::from_millis(700);

impl Output {
    /// Writes in `format`.
    pub const fn new(format: Format) -> Self {
        Self { format, notes: Notes::Show }
    }

    /// Whether programs read this.
    pub const fn is_json(self) -> bool {
        matches!(self.format, Format::Json)
    }

    /// One line of a result for people.
    pub fn line(self, text: impl std::fmt::Display) -> Result<(), CliError> {
        writeln!(anstream::stdout().lock(), "{text}").map_err(|e| stdout_failed(&e))
    }

    /// The result for programs: pretty on a terminal, one line elsewhere.
    pub fn json(self, value: &impl Serialize) -> Result<(), CliError> {
        let text = if std::io::stdout().is_terminal() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        let text = text.map_err(|e| CliError::unexpected("output", format!("cannot write the result: {e}")))?;
        writeln!(std::io::stdout().lock(), "{text}").map_err(|e| stdout_failed(&e))
    }

    /// Bytes of a result, as they are.
    pub fn bytes(self, bytes: &[u8]) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| stdout_failed(&e))
    }

    /// A note for people, on standard error; none when notes are not wanted.
    pub fn note(self, text: impl std::fmt::Display) {
        if self.notes == Notes::Show {
            say(text);
        }
    }

    /// A warning, on standard error.
    pub fn warn(self, text: impl std::fmt::Display) {
        self.note(format_args!("{}: {text}", paint(style::WARN, "warning")));
    }

    /// An error, on standard error.
    pub fn error(self, error: &CliError) {
        if error.code == STDOUT_CLOSED {
            return;
        }
        if self.is_json() {
            say(error.to_json());
            return;
        }
        say(format_args!("{}: {}", paint(style::BAD, "error"), error.message));
        if let Some(help) = &error.help {
            say(format_args!("{}: {help}", paint(style::GOOD, "help")));
        }
    }

    /// Runs `work`; shows a spinner with `message` when it takes long, on a terminal.
    pub async fn progress<T>(self, message: impl Into<String>, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(QUIET_FOR) => {}
        }
        let bar = self.spinner(message);
        let done = work.await;
        bar.finish_and_clear();
        done
    }

    /// A spinner on standard error; an invisible one where there is no terminal or no wish for notes.
    pub fn spinner(self, message: impl Into<String>) -> ProgressBar {
        if self.is_json() || self.notes == Notes::Hide || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.set_message(message.into());
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

/// A line on standard error. Nobody is left to tell when that fails.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// The code of an error that nobody reads: whoever read standard output has gone.
const STDOUT_CLOSED: &str = "stdout_closed";

fn stdout_failed(error: &std::io::Error) -> CliError {
    let code = if error.kind() == std::io::ErrorKind::BrokenPipe { STDOUT_CLOSED } else { "stdout" };
    CliError::unexpected(code, format!("cannot write to standard output: {error}"))
}

/// Whether a person sits at standard input and standard error, and can be asked.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// `text` of which a person needs the two ends only: `0x1234…cdef`.
pub fn short(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= 14 {
        return text.to_owned();
    }
    let head: String = chars[..6].iter().collect();
    let tail: String = chars[chars.len() - 4..].iter().collect();
    format!("{head}\u{2026}{tail}")
}

/// A table of columns as wide as their widest cell. Cells may carry styles; widths are counted without them.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug)]
struct Cell {
    text: String,
    style: Style,
    align: Align,
}

/// Which side a cell leans to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

impl Table {
    /// Adds a row of cells.
    pub fn row<const N: usize>(&mut self, cells: [(String, Style, Align); N]) {
        let cell = |(text, style, align)| Cell { text, style, align };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// The lines, each indented by two spaces.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        self.rows.iter().map(|row| render_row(row, &widths)).collect()
    }
}

fn render_row(row: &[Cell], widths: &[usize]) -> String {
    let mut line = String::from(" ");
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width - cell.text.chars().count());
        let painted = paint(cell.style, &cell.text);
        let last = index + 1 == row.len();
        line.push(' ');
        match cell.align {
            Align::Right => line.extend([padding.as_str(), &painted]),
            Align::Left if last => line.push_str(&painted),
            Align::Left => line.extend([painted.as_str(), &padding]),
        }
        if !last {
            line.push(' ');
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{Align, Style, Table, short};

    #[test]
    fn columns_line_up_whatever_their_styles() {
        let mut table = Table::default();
        let plain = Style::new();
        table.row([("a".into(), plain, Align::Left), ("1".into(), super::style::GOOD, Align::Right)]);
        table.row([("bcd".into(), plain, Align::Left), ("100".into(), plain, Align::Right)]);
        let lines: Vec<String> =
            table.lines().iter().map(|l| anstream::adapter::strip_str(l).to_string()).collect();
        assert_eq!(lines, ["  a      1", "  bcd  100"]);
    }

    #[test]
    fn long_identifiers_keep_both_ends() {
        let cases = [("short", "short"), ("0x1234567890abcdef", "0x1234\u{2026}cdef"), ("", "")];
        for (input, expected) in cases {
            assert_eq!(short(input), expected);
        }
    }
}
