//! Agreement with mppx, run beside us: thousands of random challenges, credentials, receipts, ids, canonical JSON and
//! preferences, both ways, and damaged headers. `FARTHING_INTEROP_JS` names the folder with `oracle.mjs` and
//! `node_modules`; `FARTHING_DIFFERENTIAL_SEED` repeats a run.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests; where the oracle is and which run to repeat is told to the test"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use farthing_protocol::{Challenge, accept};
use serde_json::{Map, Value, json};

#[path = "../examples/conformance/answer/mod.rs"]
mod answer;

const ROUNDS: usize = 1500;
const SECRET: &str = "a secret of the differential test, 32 bytes and more";

fn ours(op: &str, input: &Value) -> Value {
    serde_json::from_str(&answer::line(&json!({ "op": op, "input": input }).to_string())).unwrap()
}

/// mppx in a process of its own, which ends when its input does.
struct Oracle {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Option<Self> {
        let Some(folder) = std::env::var_os("FARTHING_INTEROP_JS") else {
            eprintln!("SKIPPED: FARTHING_INTEROP_JS does not name the folder with oracle.mjs");
            return None;
        };
        let mut child = Command::new("node")
            .arg("oracle.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, input, output })
    }

    fn ask(&mut self, op: &str, input: &Value) -> Value {
        let pipe = self.input.as_mut().unwrap();
        writeln!(pipe, "{}", json!({ "schema": 1, "op": op, "input": input })).unwrap();
        pipe.flush().unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&mend(&line))
            .unwrap_or_else(|error| panic!("the oracle answered {line:?}: {error}"))
    }

    /// What it answers to something that it must accept.
    fn must(&mut self, op: &str, input: &Value) -> Value {
        let given = self.ask(op, input);
        assert_eq!(given["ok"], true, "mppx, {op} of {input}: {given}");
        given["value"].clone()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// JavaScript keeps half a UTF-16 pair and writes it as an escape, which Rust's strings cannot hold: U+FFFD, as we read it.
fn mend(line: &str) -> String {
    let mut mended = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let half = escape.get(..6).filter(|unit| unit.starts_with("\\ud") && unit.as_bytes()[3] >= b'8');
        let length = if half.is_some() { 6 } else { 2 };
        mended.push_str(if half.is_some() { "\\ufffd" } else { &escape[..length] });
        rest = &escape[length..];
    }
    mended.push_str(rest);
    mended
}

fn we_must(op: &str, input: &Value) -> Value {
    let given = ours(op, input);
    assert_eq!(given["ok"], true, "ours, {op} of {input}: {given}");
    given["value"].clone()
}

/// SplitMix64: the same seed is the same run.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("FARTHING_DIFFERENTIAL_SEED").ok().and_then(|text| text.parse().ok());
        Self(seed.unwrap_or(402))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    /// 1 to 24 characters: words, what quoted strings escape, Latin-1, the rest of Unicode.
    fn text(&mut self) -> String {
        const SPECIAL: [char; 24] = [
            '"', '\\', ',', '=', ' ', '\t', '/', '|', 'u', '\u{a0}', 'é', 'ÿ', 'Ā', '—', '€', '\u{2028}',
            '\u{ffff}', '😀', '𝒳', '&', '<', ';', '\u{a1}', 'ß',
        ];
        let length = 1 + self.below(24);
        (0..length)
            .map(|_| {
                if self.below(3) == 0 {
                    self.pick(&SPECIAL)
                } else {
                    char::from(b'a' + u8::try_from(self.below(26)).unwrap())
                }
            })
            .collect()
    }

    fn word(&mut self, alphabet: &[u8], most: usize) -> String {
        let length = 1 + self.below(most);
        (0..length).map(|_| char::from(self.pick(alphabet))).collect()
    }

    fn json(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(self.next() >> 11),
            3 => json!(-i64::try_from(self.next() >> 40).unwrap()),
            4 => {
                let double = f64::from_bits(self.next());
                if double.is_finite() { json!(double) } else { json!(0.1) }
            }
            5 => json!(self.text()),
            6 => (0..self.below(4)).map(|_| self.json(depth - 1)).collect(),
            _ => self.object(depth - 1),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        Value::Object((0..self.below(5)).map(|_| (self.text(), self.json(depth))).collect::<Map<_, _>>())
    }

    fn timestamp(&mut self) -> String {
        let seconds = 1_500_000_000_000 + self.next() % 2_000_000_000_000;
        let whole = farthing_protocol::UnixMs::from_ms(seconds).to_string();
        let digits = self.pick(&["", ".5", ".123", ".123456", ".123456789"]);
        format!("{}{digits}Z", &whole[..19])
    }

    fn challenge(&mut self) -> Value {
        let mut challenge = json!({
            "id": self.text(),
            "realm": self.text(),
            "method": format!("{}{}", self.word(b"abcxyz", 1), self.word(b"az09:_-", 8)),
            "intent": self.word(b"azAZ09_-", 8),
            "request": self.object(3),
        });
        let digest = |random: &mut Self| {
            let bytes: Vec<u8> = (0..32).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
            farthing_protocol::digest::Sha256Digest::of(&bytes).to_header_value()
        };
        let opaque = |random: &mut Self| {
            let map: BTreeMap<String, String> =
                (0..random.below(4)).map(|_| (random.text(), random.text())).collect();
            farthing_protocol::EncodedJson::encode(&map).unwrap().as_str().to_owned()
        };
        let fields = [
            ("description", self.maybe(Self::text)),
            ("digest", self.maybe(digest)),
            ("expires", self.maybe(Self::timestamp)),
            ("header", self.maybe(|_| "Payment-Authorization".to_owned())),
            ("opaque", self.maybe(opaque)),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                challenge[name] = value.into();
            }
        }
        challenge
    }

    fn credential(&mut self) -> Value {
        let mut credential = json!({ "challenge": self.challenge(), "payload": self.object(2) });
        if let Some(source) = self.maybe(Self::text) {
            credential["source"] = source.into();
        }
        credential
    }

    fn receipt(&mut self) -> Value {
        let mut receipt = json!({
            "status": "success",
            "method": self.text(),
            "timestamp": self.timestamp(),
            "reference": self.text(),
        });
        if let Some(id) = self.maybe(Self::text) {
            receipt["externalId"] = id.into();
        }
        if let Some(extra) = self.maybe(|random| random.json(2)) {
            receipt["extra"] = extra;
        }
        receipt
    }
}

/// What one side writes, both read alike; the other way round, too.
fn both_ways(oracle: &mut Oracle, noun: &str, made: &Value) {
    let (format, parse) = (format!("{noun}.format"), format!("{noun}.parse"));
    let theirs = oracle.must(&format, made);
    let written = we_must(&format, made);
    for header in [&theirs, &written] {
        // As numbers are doubles to mppx, one is compared as the double that it is.
        assert!(alike(&we_must(&parse, header), made), "ours reads {header} as other than {made}");
        assert!(alike(&oracle.must(&parse, header), made), "mppx reads {header} as other than {made}");
    }
}

fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
        }
        (a, b) => a == b,
    }
}

#[test]
fn challenges_credentials_and_receipts_agree() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = Random::new();
    for _ in 0..ROUNDS {
        let challenge = random.challenge();
        both_ways(&mut oracle, "challenge", &challenge);
        both_ways(&mut oracle, "credential", &random.credential());
        both_ways(&mut oracle, "receipt", &random.receipt());
        let mut bound = challenge.clone();
        bound["secretKey"] = SECRET.into();
        let id = we_must("challenge.id", &bound);
        assert_eq!(id, oracle.must("challenge.id", &bound), "{bound}");
        // What travels is bytes: Latin-1 where mppx writes it raw.
        let header = oracle.must("challenge.format", &challenge)["header"].as_str().unwrap().to_owned();
        let bytes: Vec<u8> = header.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let read = Challenge::parse_all([bytes.as_slice()]).remove(0).unwrap();
        assert_eq!(read, Challenge::parse(&header).unwrap());
    }
}

/// A decision: mppx carries C1 controls in a header, where a terminal would obey them; we neither write nor read them. In
/// JSON, where they are data, both agree.
#[test]
fn c1_controls_are_for_json_only() {
    let Some(mut oracle) = Oracle::start() else { return };
    let challenge = json!({
        "id": "a\u{9b}", "realm": "b", "method": "tempo", "intent": "charge", "request": { "a": "1" },
    });
    let theirs = oracle.must("challenge.format", &challenge);
    assert_eq!(ours("challenge.format", &challenge)["error"]["type"], "format_error");
    assert_eq!(ours("challenge.parse", &theirs)["error"]["type"], "parse_error");
    let value = json!("\u{85}\u{9b}");
    let text = oracle.must("json.canonicalize", &json!({ "value": value }))["text"].clone();
    assert_eq!(farthing_protocol::encoding::canonical_json(&value).unwrap(), text);
}

#[test]
fn canonical_json_and_base64url_agree() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = Random::new();
    for _ in 0..ROUNDS {
        let value = random.json(4);
        let text = oracle.must("json.canonicalize", &json!({ "value": value }))["text"].clone();
        assert_eq!(farthing_protocol::encoding::canonical_json(&value).unwrap(), text, "{value}");
        let text = json!({ "text": random.text() });
        let encoded = we_must("base64url.encode", &text);
        assert_eq!(encoded, oracle.must("base64url.encode", &text));
        assert_eq!(oracle.must("base64url.decode", &encoded), text);
        let body = random.text();
        let digest = farthing_protocol::digest::Sha256Digest::of(body.as_bytes());
        let theirs = oracle.must("digest.compute", &json!({ "body": body }))["digest"].clone();
        assert_eq!(digest.to_header_value(), theirs);
        assert!(digest.matches(theirs.as_str().unwrap()));
    }
}

#[test]
fn preferences_agree() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = Random::new();
    let offers = [("tempo", "charge"), ("tempo", "session"), ("stripe", "charge"), ("solana", "charge")];
    let keys: Vec<String> = offers.iter().map(|(method, intent)| format!("{method}/{intent}")).collect();
    for _ in 0..ROUNDS {
        let ranges: Vec<String> = (0..random.below(5))
            .map(|_| {
                let method =
                    random.pick(&["tempo", "stripe", "solana", "lightning", "*", "Tempo", "te mpo", ""]);
                let intent = random.pick(&["charge", "session", "*", "charge", "x/y"]);
                let q = random.pick(&[
                    "",
                    "",
                    ";q=0",
                    ";q=0.5",
                    "; q = 0.25",
                    ";q=1.000",
                    ";q=0.1234",
                    ";q=2",
                    ";v=1;q=0.3",
                    ";q",
                ]);
                format!("{method}/{intent}{q}")
            })
            .collect();
        let header = ranges.join(random.pick(&[",", ", ", " ,, "]));
        let order = oracle.ask("accept.rank", &json!({ "header": header, "offers": keys }));
        let theirs: Vec<usize> = serde_json::from_value(order["value"]["order"].clone()).unwrap_or_default();
        // Nothing that matches, and nothing that can be read: every offer, as mppx's server then answers.
        let expected = if theirs.is_empty() { (0..offers.len()).collect() } else { theirs };
        assert_eq!(accept::rank(Some(&header), &offers), expected, "{header}");
    }
}

/// Where we refuse what mppx takes: our code, and why.
const STRICTER: [(&str, &str); 10] = [
    (
        "bad_syntax",
        "control characters, values that are no token, names without a value, unknown names twice",
    ),
    ("missing_parameter", "an empty realm, or an empty value where mppx takes the parameter for absent"),
    ("bad_method", "an empty method, which mppx does not look at"),
    ("bad_intent", "mppx takes any text for an intent"),
    ("bad_base64", "mppx's base64 passes over foreign characters, stray bits and a lone last character"),
    ("bad_json", "opaque data that is no flat object of strings (C8); requests that are no object"),
    (
        "bad_timestamp",
        "mppx checks the form of a date and not that there is one; an empty one is absent to it",
    ),
    ("bad_digest", "an empty digest is absent to mppx"),
    ("bad_header_name", "mppx takes any header's name (WIRE: only Payment-Authorization)"),
    ("not_payment_scheme", "mppx looks for the scheme anywhere in the value"),
];

/// Damaged headers: both refuse, or both read the same, or the difference is one of [`STRICTER`].
#[test]
fn damaged_challenges_agree_or_differ_by_decision() {
    let Some(mut oracle) = Oracle::start() else { return };
    let mut random = Random::new();
    let mut differences: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut lenient_ones = 0;
    for _ in 0..2 * ROUNDS {
        let header = we_must("challenge.format", &random.challenge())["header"].as_str().unwrap().to_owned();
        let mut characters: Vec<char> = header.chars().collect();
        for _ in 0..=random.below(3) {
            let at = random.below(characters.len());
            match random.below(4) {
                0 => drop(characters.remove(at)),
                1 => characters.insert(at, random.pick(&['"', '\\', ',', ' ', '=', 'x', '/', 'é'])),
                2 => characters[at] = random.pick(&['"', '\\', ',', ' ', '=', 'Z', '0', '.', ';']),
                _ => characters.truncate(at.max(20)),
            }
        }
        let header: String = characters.into_iter().collect();
        let theirs = oracle.ask("challenge.parse", &json!({ "header": header }));
        match Challenge::parse(&header) {
            Err(error) if theirs["ok"] == true => {
                assert!(STRICTER.iter().any(|(code, _)| *code == error.code()), "{error}: {header}");
                *differences.entry(error.code()).or_default() += 1;
            }
            Err(_) => {}
            Ok(_) => {
                let read = ours("challenge.parse", &json!({ "header": header }))["value"].clone();
                if theirs["ok"] == true && alike(&read, &theirs["value"]) {
                    continue;
                }
                let why = lenient(&header, &read, &theirs);
                let why = why.unwrap_or_else(|| panic!("{header}\nours {read}\nmppx {theirs}"));
                *differences.entry(why).or_default() += 1;
                lenient_ones += 1;
            }
        }
    }
    // They are rare; if they were not, one of the reasons would cover for something else.
    assert!(lenient_ones < ROUNDS / 25, "{lenient_ones} differences: {differences:?}");
    eprintln!("differences by decision: {differences:?}");
}

/// Why we read what mppx refuses, or read it otherwise; `None` when there is no decision that says so.
fn lenient(header: &str, read: &Value, theirs: &Value) -> Option<&'static str> {
    let message = theirs["error"]["message"].as_str().unwrap_or_default();
    if message.contains("Malformed auth-param") {
        // Text that is no parameter ends the list: what was read before it stands, as in the public vectors.
        return Some("text after the parameters");
    }
    if read.is_null() {
        // The request reads as JSON, but not as values: infinite to mppx.
        return Some("a number beyond doubles");
    }
    if unquoted(header).split(',').any(|word| word.split('=').next().is_some_and(|name| name.contains('.'))) {
        // RFC 9110 allows more characters in a name than mppx, which ends the list there.
        return Some("a name with a dot");
    }
    let bare = |parameter: &str| parameter.split_once('=').is_some_and(|(_, value)| !value.trim().is_empty());
    if unquoted(header).split(',').any(bare) {
        // A value without quotes is a token, which ends at white space; to mppx it ends at the comma.
        return Some("a token with a space");
    }
    let (mut a, mut b) = (read.clone(), theirs["value"].clone());
    let empty = a.as_object_mut()?.remove("description")? == "";
    let _ = b.as_object_mut()?.remove("description");
    (empty && alike(&a, &b)).then_some("an empty description, which is none to mppx")
}

/// A header value without its quoted strings.
fn unquoted(header: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    header
        .chars()
        .filter(|character| {
            let inside = quoted;
            match character {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ => {}
            }
            !inside && !quoted
        })
        .collect()
}
