//! Reads TOML key by key and remembers where each key stands, so that every mistake can be told at once, with its line.
//! It is not serde: a derive stops at the first mistake, and a person who fixes a file wants all of them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{ConfigError, Fault};

type Entry<'a> = &'a Spanned<DeValue<'a>>;

/// The faults found so far, and the text that their lines are counted in.
pub struct Reader<'a> {
    text: &'a str,
    faults: RefCell<Vec<Fault>>,
}

/// A value and where it stands.
#[derive(Clone)]
pub struct Field<'a, T> {
    /// The value.
    pub value: T,
    reader: &'a Reader<'a>,
    key: String,
    line: usize,
}

impl<T> Field<'_, T> {
    /// Notes what is wrong with the value.
    pub fn fault(&self, message: impl Into<String>) {
        self.reader.fault(self.line, self.key.clone(), message.into());
    }
}

/// One table of the file. Keys that are never asked for are faults (`deny_unknown_fields`).
pub struct Section<'a> {
    reader: &'a Reader<'a>,
    table: &'a DeTable<'a>,
    path: String,
    line: usize,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Reader<'a> {
    /// Reads `text` with `read`, which is handed the root table. What it returns counts only if nothing is wrong.
    pub fn run<T>(
        file: &str,
        text: &'a str,
        read: impl FnOnce(&Section<'_>) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let reader = Reader { text, faults: RefCell::default() };
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            reader.fault(
                reader.line(error.span().unwrap_or_default()),
                String::new(),
                first_line(error.message()),
            );
        }
        // A table that did not parse would only add confusion.
        let value = if errors.is_empty() {
            let section = Section::new(&reader, root.get_ref(), String::new(), 1);
            let value = read(&section);
            section.refuse_unknown();
            value
        } else {
            None
        };
        let mut faults = reader.faults.into_inner();
        faults.sort_by_key(|fault| fault.line);
        faults.dedup();
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            _ => Err(ConfigError { file: file.to_owned(), faults }),
        }
    }

    fn line(&self, span: Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        1 + before.bytes().filter(|byte| *byte == b'\n').count()
    }

    fn fault(&self, line: usize, key: String, message: String) {
        self.faults.borrow_mut().push(Fault { line, key, message });
    }
}

fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

impl<'a> Section<'a> {
    fn new(reader: &'a Reader<'a>, table: &'a DeTable<'a>, path: String, line: usize) -> Self {
        Self { reader, table, path, line, asked: RefCell::default() }
    }

    /// Notes what is wrong with the section as a whole.
    pub fn fault(&self, message: impl Into<String>) {
        self.reader.fault(self.line, self.path.clone(), message.into());
    }

    /// Notes that `key` is missing; `message` says what it is for.
    pub fn missing(&self, key: &str, message: &str) {
        self.reader.fault(self.line, self.key(key), format!("is missing: {message}"));
    }

    /// Whether `key` is there.
    pub fn has(&self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn entry(&self, key: &'static str) -> Option<Entry<'a>> {
        self.asked.borrow_mut().insert(key);
        self.table.get(key)
    }

    fn field<T>(&self, key: &str, entry: Entry<'a>, value: T) -> Field<'a, T> {
        Field { value, reader: self.reader, key: self.key(key), line: self.reader.line(entry.span()) }
    }

    fn typed<T>(
        &self,
        key: &'static str,
        wanted: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<Field<'a, T>> {
        let entry = self.entry(key)?;
        let value = read(entry.get_ref());
        let field = self.field(key, entry, ());
        if value.is_none() {
            field.fault(format!("is {}; write {wanted}", with_article(entry.get_ref().type_str())));
        }
        Some(Field { value: value?, reader: field.reader, key: field.key, line: field.line })
    }

    /// A string.
    pub fn text(&self, key: &'static str) -> Option<Field<'a, &'a str>> {
        self.typed(key, "a string in quotes", |value| value.as_str())
    }

    /// A string, read by `parse`, which says what is wrong with it.
    pub fn parse<T>(&self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let field = self.text(key)?;
        parse(field.value).map_err(|message| field.fault(message)).ok()
    }

    /// The same, of a key that must be there. `purpose` says what it is for, with an example.
    pub fn require<T>(
        &self,
        key: &'static str,
        purpose: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing(key, purpose);
        }
        self.parse(key, parse)
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &'static str) -> Option<Field<'a, bool>> {
        self.typed(key, "true or false, without quotes", DeValue::as_bool)
    }

    /// A whole number.
    pub fn number(&self, key: &'static str) -> Option<Field<'a, u64>> {
        self.typed(key, "a whole number, without quotes", |value| {
            let integer = value.as_integer()?;
            u64::from_str_radix(integer.as_str(), integer.radix()).ok()
        })
    }

    /// A list of strings.
    pub fn texts(&self, key: &'static str) -> Option<Vec<Field<'a, &'a str>>> {
        let list = self.typed(key, "a list of strings, such as [\"a\", \"b\"]", DeValue::as_array)?;
        let mut texts = Vec::new();
        for (index, entry) in list.value.iter().enumerate() {
            let field = self.field(&format!("{key}[{index}]"), entry, ());
            match entry.get_ref().as_str() {
                Some(value) => {
                    texts.push(Field { value, reader: field.reader, key: field.key, line: field.line })
                }
                None => field.fault("is not a string; write it in quotes"),
            }
        }
        Some(texts)
    }

    /// A table within.
    pub fn section(&self, key: &'static str) -> Option<Section<'a>> {
        let table = self.typed(key, &format!("a table: [{}]", self.key(key)), DeValue::as_table)?;
        Some(Section::new(self.reader, table.value, self.key(key), table.line))
    }

    /// A list of tables.
    pub fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let wanted = format!("a list of tables: [[{}]]", self.key(key));
        let Some(list) = self.typed(key, &wanted, DeValue::as_array) else { return Vec::new() };
        let mut sections = Vec::new();
        for (index, entry) in list.value.iter().enumerate() {
            let name = format!("{key}[{index}]");
            let field = self.field(&name, entry, ());
            match entry.get_ref().as_table() {
                Some(table) => sections.push(Section::new(self.reader, table, self.key(&name), field.line)),
                None => {
                    field.fault("is not a table; write { recipient = \"0x\u{2026}\", amount = \"0.01\" }")
                }
            }
        }
        sections
    }

    /// Every key with a string value: for tables whose keys the user chooses, such as headers.
    pub fn pairs(&self) -> Vec<(String, Field<'a, &'a str>)> {
        let mut pairs = Vec::new();
        for (key, entry) in self.table {
            let field = self.field(key.get_ref(), entry, ());
            match entry.get_ref().as_str() {
                Some(value) => pairs.push((
                    key.get_ref().to_string(),
                    Field { value, reader: field.reader, key: field.key, line: field.line },
                )),
                None => field.fault("is not a string; write it in quotes"),
            }
        }
        pairs
    }

    /// Notes every key that was never asked for, with the one that was probably meant.
    pub fn refuse_unknown(&self) {
        let asked = self.asked.borrow();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if asked.contains(name) {
                continue;
            }
            let message = match nearest(name, asked.iter().copied()) {
                Some(meant) => format!("is not a key here; did you mean `{meant}`?"),
                None => {
                    let known: Vec<&str> = asked.iter().copied().collect();
                    format!("is not a key here; there are: {}", known.join(", "))
                }
            };
            self.reader.fault(self.reader.line(key.span()), self.key(name), message);
        }
    }
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

/// The candidate that `given` is probably a misspelling of.
pub fn nearest<'c>(given: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let most = (given.chars().count() / 3).clamp(1, 3);
    candidates
        .map(|candidate| (distance(given, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance. Keys are short: the square of their lengths does not matter.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitution = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn misspelled_keys_find_the_one_that_was_meant() {
        let keys = ["listen", "realm", "upstream", "challenge_ttl"];
        let cases = [
            ("lisen", Some("listen")),
            ("relm", Some("realm")),
            ("challenge-ttl", Some("challenge_ttl")),
            ("colour", None),
            ("", None),
        ];
        for (given, expected) in cases {
            assert_eq!(nearest(given, keys.into_iter()), expected, "{given}");
        }
    }
}
