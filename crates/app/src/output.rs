//! What people and programs read: results on standard output, everything else on standard error. Colour and progress only
//! on a terminal; `NO_COLOR` is respected. Nothing here decides what is said.
//!
//! What is said may hold words of a stranger: a seller's, a chain's. No character of theirs may command a terminal, so every
//! line that leaves here is plain but for the styles of [`style`]; what a stranger says goes through [`plain`] or [`one_line`]
//! before it is put beside them. JSON keeps such characters, escaped. Only [`Output::bytes`] writes what it is given.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use farthing_client::text::is_plain;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::error::CliError;

/// How results and errors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    // Plain comments: with doc comments every command's help would spend six lines on this.
    #[default]
    Text,
    Json,
}

/// When output has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    // Plain comments, as above. Automatically: on a terminal that has colours, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// From now on, for everything that is written.
    pub fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Whether what is written to standard error has colours.
pub fn stderr_has_colors() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
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

    /// Every one.
    pub const ALL: [Style; 6] = [TITLE, DIM, GOOD, BAD, WARN, MONEY];
}

/// `text` in `style`. The text is made plain first, styles that it has included.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{}{style:#}", plain(&text.to_string()))
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
        writeln!(anstream::stdout().lock(), "{}", tame(&text.to_string())).map_err(|e| stdout_failed(&e))
    }

    /// The result for programs: pretty on a terminal, one line elsewhere.
    pub fn json(self, value: &impl Serialize) -> Result<(), CliError> {
        let text = if std::io::stdout().is_terminal() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        let text =
            text.map_err(|e| CliError::unexpected("output", format!("cannot write the result: {e}")))?;
        writeln!(std::io::stdout().lock(), "{}", escape_json(&text)).map_err(|e| stdout_failed(&e))
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

    /// A note for programs, on standard error: one JSON object in a line.
    pub fn note_json(self, value: &serde_json::Value) {
        if self.notes == Notes::Show {
            say(escape_json(&value.to_string()));
        }
    }

    /// A warning, on standard error; for programs it is an object too.
    pub fn warn(self, text: impl std::fmt::Display) {
        if self.is_json() {
            return self.note_json(&serde_json::json!({ "warning": text.to_string() }));
        }
        self.note(format_args!("{}: {text}", paint(style::WARN, "warning")));
    }

    /// An error, on standard error.
    pub fn error(self, error: &CliError) {
        if error.code == STDOUT_CLOSED {
            return;
        }
        if self.is_json() {
            say(escape_json(&error.to_json().to_string()));
            return;
        }
        say(format_args!("{}: {}", paint(style::BAD, "error"), plain(&error.message)));
        if let Some(help) = &error.help {
            say(format_args!("{}: {}", paint(style::GOOD, "help"), plain(help)));
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

    /// A spinner on standard error; an invisible one where there is no terminal, no colour or no wish for notes.
    pub fn spinner(self, message: impl Into<String>) -> ProgressBar {
        // A terminal without colours is one that a spinner would fill with lines.
        let is_seen = std::io::stderr().is_terminal() && stderr_has_colors();
        if self.is_json() || self.notes == Notes::Hide || !is_seen {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.set_message(one_line(&message.into()));
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

/// `text` without what would command a terminal or hide the text beside it: it may be a stranger's. Line breaks stay.
pub fn plain(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(one_line).collect();
    lines.join("\n")
}

/// The same in one line: where a stranger's line break could pass for the end of their words.
pub fn one_line(text: &str) -> String {
    farthing_client::text::plain(text)
}

/// A line of ours, with the styles of this program and no other command to a terminal.
fn tame(text: &str) -> String {
    // Almost no line has any.
    let ours = if text.contains('\u{1b}') { sequences() } else { Vec::new() };
    let mut tamed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        tamed.push_str(&plain(&rest[..at]));
        rest = &rest[at..];
        let sequence = ours.iter().find(|sequence| rest.starts_with(sequence.as_str()));
        tamed.push_str(sequence.map_or("\u{fffd}", String::as_str));
        rest = &rest[sequence.map_or(1, String::len)..];
    }
    tamed.push_str(&plain(rest));
    tamed
}

/// The commands to a terminal that this program gives.
fn sequences() -> Vec<String> {
    let commands = |style: Style| format!("{style}{style:#}");
    // A style of two kinds, such as bold and red, is two commands. All end with `m`.
    style::ALL
        .into_iter()
        .flat_map(|style| commands(style).split_inclusive('m').map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// JSON, with every character that is not plain as `\uXXXX`: the same value, and harmless on a terminal.
fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || is_plain(character) {
            escaped.push(character);
        } else {
            // Within strings only: JSON's own characters are plain.
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

/// A line on standard error. Nobody is left to tell when that fails.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{}", tame(&text.to_string()));
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

/// `text` of which a person needs the two ends only: `0x1234…cdef`. In one line, and plain.
pub fn short(text: &str) -> String {
    let text = one_line(text);
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= 14 {
        return text;
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
        let cell = |(text, style, align): (String, Style, Align)| Cell {
            text: one_line(&text.replace('\n', " ")),
            style,
            align,
        };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// The lines, each indented by two spaces.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|c| c.text.chars().count())
                .max()
                .unwrap_or(0)
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
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::style::GOOD;
    use super::{Align, Style, Table, one_line, paint, plain, short, tame};

    #[test]
    fn columns_line_up_whatever_their_styles() {
        let mut table = Table::default();
        let plain = Style::new();
        table.row([("a".into(), plain, Align::Left), ("1".into(), GOOD, Align::Right)]);
        table.row([("bcd".into(), plain, Align::Left), ("100".into(), plain, Align::Right)]);
        let lines: Vec<String> =
            table.lines().iter().map(|l| anstream::adapter::strip_str(l).to_string()).collect();
        assert_eq!(lines, ["  a      1", "  bcd  100"]);
    }

    /// ESC, BEL, a C1 control and a character that turns text round: in every way in which text comes out.
    const HOSTILE: &str = "a\u{1b}[2J\u{1b}[1mb\u{7}\u{9b}31mc\u{202e}d";
    const HARMLESS: &str = "a\u{fffd}[2J\u{fffd}[1mb\u{fffd}\u{fffd}31mc\u{fffd}d";

    #[test]
    fn a_strangers_words_cannot_command_the_terminal() {
        assert_eq!(plain(HOSTILE), HARMLESS);
        assert_eq!(plain("a\nb\r\tc"), "a\nb\u{fffd} c", "line breaks stay");
        assert_eq!(one_line("caf\u{e9}\nb"), "caf\u{e9}\u{fffd}b");
        assert_eq!(short("a\u{1b}b"), "a\u{fffd}b");
        assert_eq!(short(&format!("{HOSTILE}{HOSTILE}")), "a\u{fffd}[2J\u{fffd}\u{2026}mc\u{fffd}d");
        let styled = paint(GOOD, HOSTILE);
        assert_eq!(styled, format!("{GOOD}{HARMLESS}{GOOD:#}"));
        let mut table = Table::default();
        table.row([(HOSTILE.into(), Style::new(), Align::Left)]);
        assert_eq!(table.lines(), [format!("  {HARMLESS}")]);
    }

    #[test]
    fn a_line_keeps_our_styles_and_no_other_command() {
        for style in super::style::ALL {
            let line = format!("{} \u{1b}]0;title\u{7} \u{1b}[8mx", paint(style, "word"));
            let expected = format!("{style}word{style:#} \u{fffd}]0;title\u{fffd} \u{fffd}[8mx");
            assert_eq!(tame(&line), expected);
        }
        assert_eq!(tame("a\u{1b}"), "a\u{fffd}");
    }

    #[test]
    fn json_says_the_same_and_is_harmless() {
        let text = format!("{HOSTILE}\u{7f}\u{e0041}\u{1f600}\"\n");
        let json = super::escape_json(&serde_json::to_string_pretty(&[&text]).unwrap());
        assert!(json.chars().all(|c| c == '\n' || super::is_plain(c)), "{json}");
        assert!(json.contains("\\u009b31mc\\u202ed\\u007f\\udb40\\udc41\u{1f600}"), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }

    #[test]
    fn long_identifiers_keep_both_ends() {
        let cases = [("short", "short"), ("0x1234567890abcdef", "0x1234\u{2026}cdef"), ("", "")];
        for (input, expected) in cases {
            assert_eq!(short(input), expected);
        }
    }
}
