//! The lexer of `WWW-Authenticate` and `Authorization` values (RFC 9110, section 11): schemes, parameters, and the rest.
//! Knows no parameter. Linear in its input; whitespace may be looked at twice.

use std::borrow::Cow;

use crate::ParseError;

/// A piece of a header value.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece<'a> {
    /// The first word of a list element, with a space behind it and nothing that makes it a parameter.
    Scheme(&'a str),
    /// A parameter with its value, quotes and escapes removed.
    Param {
        /// The name as written.
        name: &'a str,
        /// The value.
        value: Cow<'a, str>,
        /// Where the name begins.
        at: usize,
    },
    /// Anything else, such as the word of a token68. Ends the parameters of the scheme before it.
    Other,
}

/// Splits a header value into pieces.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    pos: usize,
    /// Whether a comma, or nothing, was before the next word: only there may a scheme stand.
    element_start: bool,
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `tchar` of RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of `text`.
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, pos: 0, element_start: true }
    }

    /// How far the text has been read, in bytes.
    pub(crate) const fn pos(&self) -> usize {
        self.pos
    }

    /// The next piece, or `None` at the end.
    ///
    /// # Errors
    /// [`ParseError::BadSyntax`]; the lexer has then read the whole text when no quote closes, else it can go on.
    pub(crate) fn next(&mut self) -> Result<Option<Piece<'a>>, ParseError> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.pos)
            && (is_space(*byte) || *byte == b',')
        {
            self.element_start |= *byte == b',';
            self.pos += 1;
        }
        let at = self.pos;
        let Some(first) = bytes.get(at) else { return Ok(None) };
        let starts_element = std::mem::replace(&mut self.element_start, false);
        if *first == b'"' {
            // A quoted string where a name should be: passed over whole, so that nothing in it is taken for a scheme.
            self.quoted()?;
            return Ok(Some(Piece::Other));
        }
        self.pos = self.seek(at, |byte| is_space(byte) || matches!(byte, b'=' | b',' | b'"'));
        let word = &self.text[at..self.pos];
        let equals = self.seek(self.pos, |byte| !is_space(byte));
        if bytes.get(equals) == Some(&b'=') {
            return self.param(word, at, equals + 1).map(Some);
        }
        // A scheme that nothing follows is no challenge of ours, and what comes after its comma is not its parameter.
        if starts_element && bytes.get(self.pos).copied().is_some_and(is_space) {
            return Ok(Some(Piece::Scheme(word)));
        }
        Ok(Some(Piece::Other))
    }

    fn param(&mut self, name: &'a str, at: usize, value_from: usize) -> Result<Piece<'a>, ParseError> {
        let bytes = self.text.as_bytes();
        self.pos = self.seek(value_from, |byte| !is_space(byte));
        let value = if bytes.get(self.pos) == Some(&b'"') {
            self.quoted()?
        } else {
            let start = self.pos;
            self.pos = self.seek(start, |byte| is_space(byte) || byte == b',');
            let value = &self.text[start..self.pos];
            // Wider than a token: base64 padding and slashes occur. A quote or a control character never does.
            if let Some(n) = value.find(|character: char| character == '"' || character.is_control()) {
                return Err(ParseError::BadSyntax { at: start + n, expected: "a token or a quoted string" });
            }
            Cow::Borrowed(value)
        };
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(ParseError::BadSyntax { at, expected: "a parameter name" });
        }
        Ok(Piece::Param { name, value, at })
    }

    /// Reads the quoted string that begins at `pos`.
    fn quoted(&mut self) -> Result<Cow<'a, str>, ParseError> {
        let bytes = self.text.as_bytes();
        let start = self.pos + 1;
        let mut kept = start;
        let mut unescaped: Option<String> = None;
        let mut control = None;
        let mut pos = start;
        loop {
            match bytes.get(pos) {
                None => {
                    self.pos = bytes.len();
                    return Err(ParseError::BadSyntax { at: start - 1, expected: "a closing quote" });
                }
                Some(b'"') => break,
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(&self.text[kept..pos]);
                    let (character, next) = unescape(self.text, pos + 1);
                    if let Some(character) = character {
                        if is_control(character) {
                            control = control.or(Some(pos));
                        }
                        text.push(character);
                    }
                    pos = next;
                    kept = next;
                }
                Some(byte) => {
                    // U+0080 to U+009F in UTF-8: an old terminal takes them for ESC and a letter.
                    let c1 = *byte == 0xc2 && matches!(bytes.get(pos + 1), Some(0x80..=0x9f));
                    if c1 || (byte.is_ascii_control() && *byte != b'\t') {
                        control = control.or(Some(pos));
                    }
                    pos += 1;
                }
            }
        }
        self.pos = pos + 1;
        if let Some(at) = control {
            return Err(ParseError::BadSyntax { at, expected: "no control character" });
        }
        let tail = &self.text[kept..pos];
        Ok(match unescaped {
            None => Cow::Borrowed(tail),
            Some(mut text) => {
                text.push_str(tail);
                Cow::Owned(text)
            }
        })
    }

    fn seek(&self, from: usize, stop: impl Fn(u8) -> bool) -> usize {
        self.text.as_bytes()[from..].iter().position(|byte| stop(*byte)).map_or(self.text.len(), |n| from + n)
    }
}

/// C0, DEL and C1, and not the tab, which a quoted string may hold (RFC 9110, section 5.6.4).
fn is_control(character: char) -> bool {
    character.is_control() && character != '\t'
}

/// Reads what follows a backslash at `at`: the character, if there is one, and where to go on. `\uXXXX` is a UTF-16 unit, a
/// pair of them one character, and half a pair U+FFFD; any other character stands for itself.
fn unescape(text: &str, at: usize) -> (Option<char>, usize) {
    let Some(unit) = escaped_unit(text, at) else {
        let character = text[at..].chars().next();
        return (character, at + character.map_or(0, char::len_utf8));
    };
    let next = at + 5;
    if let Some(character) = char::from_u32(unit) {
        return (Some(character), next);
    }
    if (0xd800..0xdc00).contains(&unit)
        && text.as_bytes().get(next) == Some(&b'\\')
        && let Some(low @ 0xdc00..=0xdfff) = escaped_unit(text, next + 1)
        && let Some(character) = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
    {
        return (Some(character), next + 6);
    }
    (Some(char::REPLACEMENT_CHARACTER), next)
}

/// The UTF-16 unit of `uXXXX` at `at`.
fn escaped_unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..)?.strip_prefix('u')?.get(..4)?;
    let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// Writes `name="value"`, non-ASCII as `\uXXXX`. False when the value has a control character.
pub(crate) fn write_param(name: &str, value: &str, out: &mut String) -> bool {
    use std::fmt::Write as _;
    out.push_str(name);
    out.push_str("=\"");
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    if value.bytes().all(plain) {
        out.push_str(value);
        out.push('"');
        return true;
    }
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' | ' '..='~' => out.push(character),
            _ if character.is_control() => return false,
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a String does not fail");
                }
            }
        }
    }
    out.push('"');
    true
}

/// A header value's bytes as text: ASCII, or else Latin-1, which is what HTTP fields carry (RFC 9110, section 5.5).
pub(crate) fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}

#[cfg(test)]
mod tests;
