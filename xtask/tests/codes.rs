//! What documentation lists is what the code has: every stable error code stands in `docs/errors.md`, every key and
//! variable of the configuration in `docs/configuration.md`, and nothing stands there that is gone.
//!
//! It reads the sources as tokens and knows the few shapes in which the house writes a code. It is not a parser.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Calls that take a code, and at which place.
const CALLS: &[(&str, usize)] = &[
    ("bad", 0),
    ("challenge", 1),
    ("declined", 0),
    ("failed", 0),
    ("impossible", 0),
    ("network", 0),
    ("new", 1),
    ("pending", 0),
    ("later", 1),
    ("plain", 1),
    ("problem", 1),
    ("pin", 1),
    ("refuse", 0),
    ("refused", 1),
    ("reject", 0),
    ("unauthenticated", 0),
    ("unavailable", 0),
    ("unexpected", 0),
    ("usage", 0),
];

/// Methods of `config::read::Section` whose first argument is a key.
const KEY_READERS: &[&str] =
    &["flag", "has", "number", "parse", "require", "section", "sections", "text", "texts"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

impl Token {
    fn is(&self, mark: char) -> bool {
        *self == Self::Mark(mark)
    }

    fn word(&self) -> Option<&str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }

    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// The tokens of a source file, without comments, characters and what `#[cfg(test)] mod` begins: tests stand last.
fn tokens(source: &str) -> Vec<Token> {
    let source = source.split("#[cfg(test)]\nmod ").next().unwrap();
    let chars: Vec<char> = source.chars().collect();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let rest = &chars[at..];
        at += match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['r', '"', ..] | ['r', '#', '"', ..] => raw_text(rest, &mut found),
            ['"', ..] => text(rest, &mut found),
            // A character, but not a lifetime.
            ['\'', '\\', ..] => 3 + rest[3..].iter().position(|c| *c == '\'').unwrap(),
            ['\'', _, '\'', ..] => 3,
            [first, ..] if first.is_alphanumeric() || *first == '_' => {
                let word: String = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                found.push(Token::Word(word.clone()));
                word.chars().count()
            }
            [first, ..] => {
                if !first.is_whitespace() {
                    found.push(Token::Mark(*first));
                }
                1
            }
            [] => break,
        };
    }
    found
}

fn raw_text(rest: &[char], found: &mut Vec<Token>) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    let start = 2 + hashes;
    let ends = |at: &usize| rest[*at] == '"' && rest[at + 1..].iter().take(hashes).all(|c| *c == '#');
    let end = (start..rest.len()).find(ends).unwrap();
    found.push(Token::Text(rest[start..end].iter().collect()));
    end + 1 + hashes
}

fn text(rest: &[char], found: &mut Vec<Token>) -> usize {
    let (mut content, mut at) = (String::new(), 1);
    while rest[at] != '"' {
        at += usize::from(rest[at] == '\\');
        content.push(rest[at]);
        at += 1;
    }
    found.push(Token::Text(content));
    at + 1
}

/// Whether it is written as codes and keys are: `like_this`.
fn is_snake(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A literal that is the beginning of an argument, and where: the call's name (none for a tuple), and its place.
struct Argument<'a> {
    callee: Option<&'a str>,
    place: usize,
    index: usize,
    text: &'a str,
}

fn arguments(tokens: &[Token]) -> Vec<Argument<'_>> {
    let mut found = Vec::new();
    // The calls and brackets around, innermost last.
    let mut around: Vec<(Option<&str>, usize)> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &tokens[before]);
        match token {
            Token::Mark('(') => around.push((before.and_then(Token::word), 0)),
            Token::Mark('[' | '{') => around.push((Some(""), 0)),
            Token::Mark(')' | ']' | '}') => drop(around.pop()),
            Token::Mark(',') => around.iter_mut().next_back().into_iter().for_each(|call| call.1 += 1),
            Token::Text(text) if before.is_some_and(|before| before.is('(') || before.is(',')) => {
                if let Some((callee, place)) = around.last() {
                    found.push(Argument { callee: *callee, place: *place, index, text });
                }
            }
            _ => {}
        }
    }
    found
}

/// The codes of one file.
fn codes(tokens: &[Token]) -> BTreeSet<String> {
    let mut codes = code_functions(tokens);
    codes.extend(code_bindings(tokens));
    // `code: "…"`, and the constants that hold one.
    for window in tokens.windows(3) {
        if let [Token::Word(field), Token::Mark(':'), Token::Text(text)] = window
            && field == "code"
        {
            codes.insert(text.clone());
        }
    }
    for (index, token) in tokens.iter().enumerate() {
        if token.word().is_some_and(|word| word == "STDOUT_CLOSED" || word.ends_with("_CODE"))
            && let Some(text) = tokens[index..].iter().take(8).find_map(Token::text)
            && tokens[index - 1].word() == Some("const")
        {
            codes.insert(text.to_owned());
        }
    }
    for argument in arguments(tokens).iter().filter(|argument| is_snake(argument.text)) {
        let named = argument.callee.is_some_and(|callee| CALLS.contains(&(callee, argument.place)));
        if named || (argument.callee.is_none_or(is_keyword) && tuple_has_code(tokens, argument.index)) {
            codes.insert(argument.text.to_owned());
        }
    }
    codes
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "return" | "match" | "in" | "if" | "else")
}

/// Whether the literal stands in a tuple as codes do: after a kind of problem, or before a sentence.
fn tuple_has_code(tokens: &[Token], index: usize) -> bool {
    let Token::Text(text) = &tokens[index] else { return false };
    let after_kind = index >= 5 && tokens[index - 5].word() == Some("ProblemKind");
    let before_sentence = match tokens.get(index + 1..index + 3) {
        Some([comma, Token::Text(sentence)]) => comma.is(',') && sentence.contains(' '),
        Some([comma, Token::Word(word)]) => comma.is(',') && word == "format",
        _ => false,
    };
    text.contains('_') && (after_kind || before_sentence)
}

/// What a `let code = …;` or `let (…, code) = …;` chooses between.
fn code_bindings(tokens: &[Token]) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (index, _) in tokens.iter().enumerate().filter(|(_, token)| token.word() == Some("let")) {
        let Some(equals) = tokens[index..].iter().take(8).position(|token| token.is('=')) else { continue };
        if !tokens[index..index + equals].iter().any(|token| token.word() == Some("code")) {
            continue;
        }
        let mut depth = 0;
        for token in &tokens[index + equals..] {
            depth += i32::from(token.is('{')) - i32::from(token.is('}'));
            if depth < 0 || (depth == 0 && token.is(';')) {
                break;
            }
            codes.extend(token.text().filter(|text| is_snake(text)).map(str::to_owned));
        }
    }
    codes
}

/// What methods named `code` answer.
fn code_functions(tokens: &[Token]) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (index, window) in tokens.windows(3).enumerate() {
        let is_method = window[0].word() == Some("fn")
            && window[1].word() == Some("code")
            && tokens[index + 3..].iter().take(2).any(|token| token.word() == Some("self"));
        if !is_method {
            continue;
        }
        let (mut depth, start) = (0, index + tokens[index..].iter().position(|t| t.is('{')).unwrap());
        for token in &tokens[start..] {
            depth += i32::from(token.is('{')) - i32::from(token.is('}'));
            if depth == 0 {
                break;
            }
            codes.extend(token.text().map(str::to_owned));
        }
    }
    codes
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every source file below `directory` that is no test and no test kit.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(name.as_str(), "tests" | "testkit") {
            sources(&path, found);
        } else if name.ends_with(".rs") && !matches!(name.as_str(), "tests.rs" | "testkit.rs") {
            found.push(path);
        }
    }
}

/// The first cells of a document's tables that are one name in backquotes.
fn rows(document: &str) -> BTreeSet<String> {
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once("` |")?.0.to_owned());
    document.lines().filter_map(cell).collect()
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap_or_default()
}

#[test]
fn every_error_code_is_documented_and_every_documented_code_exists() {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        sources(&entry.unwrap().path().join("src"), &mut files);
    }
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        found.extend(codes(&tokens(&source)).into_iter().map(|code| (code, file.clone())));
    }
    let documented = rows(&document("errors.md"));
    let missing: Vec<String> = found
        .iter()
        .filter(|(code, _)| !documented.contains(*code))
        .map(|(code, file)| format!("{code} ({})", file.strip_prefix(root()).unwrap().display()))
        .collect();
    let gone: Vec<&String> = documented.iter().filter(|code| !found.contains_key(*code)).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/errors.md has no row for these codes:\n{}\nand rows for codes that are gone: {gone:?}",
        missing.join("\n")
    );
}

/// Keys, and the names of environment variables, that the configuration reads.
fn keys(tokens: &[Token]) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for argument in arguments(tokens).iter().filter(|argument| is_snake(argument.text)) {
        // `("key", &mut setting)`: keys that are read in a loop.
        let looped = tokens.get(argument.index + 2).is_some_and(|token| token.is('&'));
        if argument.place == 0
            && (looped || argument.callee.is_some_and(|callee| KEY_READERS.contains(&callee)))
        {
            keys.insert(argument.text.to_owned());
        }
    }
    for window in tokens.windows(3) {
        // `SecretKeys { inline: Some("…"), file: "…", env: "…" }`.
        if let [Token::Word(field), Token::Mark(':' | '('), Token::Text(text)] = window
            && matches!(field.as_str(), "file" | "env" | "Some")
            && is_snake(text)
        {
            keys.insert(text.clone());
        }
    }
    keys.extend(
        tokens.iter().filter_map(Token::text).filter(|t| t.starts_with("FARTHING_")).map(str::to_owned),
    );
    keys
}

#[test]
fn every_key_and_variable_is_documented_and_every_documented_one_exists() {
    let mut files = Vec::new();
    sources(&root().join("crates/app/src/config"), &mut files);
    let all: Vec<Vec<Token>> =
        files.iter().map(|file| tokens(&std::fs::read_to_string(file).unwrap())).collect();
    let read: BTreeSet<String> = all.iter().flat_map(|tokens| keys(tokens)).collect();
    let written: BTreeSet<&str> = all.iter().flatten().filter_map(Token::text).collect();
    let document = document("configuration.md");
    let rows = rows(&document);
    // A table of the file has a heading of its own instead of a row.
    let has_heading = |key: &str| {
        let tables = [format!("`[{key}]`"), format!("`[[{key}]]`"), format!(".{key}]`")];
        document.lines().any(|line| line.starts_with('#') && tables.iter().any(|table| line.contains(table)))
    };
    let missing: Vec<&String> = read.iter().filter(|key| !rows.contains(*key) && !has_heading(key)).collect();
    let gone: Vec<&String> = rows.iter().filter(|key| !written.contains(key.as_str())).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/configuration.md does not list {missing:?}, and lists {gone:?}, which nothing reads"
    );
}

#[test]
fn the_shapes_of_codes_are_recognised() {
    let cases = [
        (r#"fn code(&self) -> &'static str { match self { Self::A { .. } => "a", B(e) => e.code() } }"#, "a"),
        (r#"Err(Declined { code: "over_cap", why })"#, "over_cap"),
        (r#"Problem::new(ProblemKind::BadRequest, "several", d)"#, "several"),
        (r#"self.challenge(K::A, "digest_mismatch", "The body.")"#, "digest_mismatch"),
        (r#"CliError::usage("file", format!("cannot {doing}"))"#, "file"),
        (r#"let (k, c) = (ProblemKind::Expired, "gone_by");"#, "gone_by"),
        (r#"[(a <= b, "sponsor_gas", "the gas limit")]"#, "sponsor_gas"),
        (r#"let code = if kind == Broken { CLOSED } else { "stdout" };"#, "stdout"),
        (r#"let code = all.first().map_or("no_offer", |first| first.code);"#, "no_offer"),
        (r#"const STDOUT_CLOSED: &str = "stdout_closed";"#, "stdout_closed"),
        ("// Problem::new(K::A, \"comment\", d)\nlet c = '\"'; plain(S, \"bad_target\", d)", "bad_target"),
    ];
    for (source, expected) in cases {
        assert_eq!(codes(&tokens(source)).into_iter().collect::<Vec<_>>(), [expected], "{source}");
    }
    let none = [
        r##"json!({"kind": "a_b"}); r#"code: "x""#; row.get("a_b")"##,
        "#[cfg(test)]\nmod t { plain(S, \"x_y\", d) }",
    ];
    for source in none {
        assert_eq!(codes(&tokens(source)), BTreeSet::new(), "{source}");
    }
}
