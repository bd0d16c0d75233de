//! [`NormalPath`]: the one spelling of a request's path that routes are matched on and that is forwarded, so that no other
//! spelling of a paid route is free.
//!
//! Spellings that every server reads alike (`%70` for `p`, `//`, `/./`) are rewritten; those that servers read differently
//! (`%2F`, `\`, `%252e`, `..;`) are refused. It does not look at the query.

use std::borrow::Cow;

/// A path in normal form: absolute, no dot segments, no empty segments but a last one, unreserved characters decoded,
/// percent-triplets in upper case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalPath<'a> {
    path: Cow<'a, str>,
}

/// Why a path has no normal form that every server would agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Not an absolute path.
    #[error("the path does not start with `/`")]
    NotAbsolute,
    /// Longer than is read.
    #[error("the path is longer than {max} bytes")]
    TooLong {
        /// The most bytes there may be.
        max: usize,
    },
    /// A character that has to be percent-encoded.
    #[error("the path contains a character that has to be percent-encoded")]
    RawCharacter,
    /// `%` without two hexadecimal digits.
    #[error("the path contains a `%` that is not followed by two hexadecimal digits")]
    BadPercent,
    /// An encoded slash, backslash, control character or percent triplet, or a look-alike of a slash or dot.
    #[error("the path contains an encoded character that servers read differently")]
    Ambiguous,
    /// Encoded bytes that are not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// `..` above the root.
    #[error("the path leads above the root")]
    AboveRoot,
}

impl PathError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::TooLong { .. } => "path_too_long",
            Self::RawCharacter => "path_raw_character",
            Self::BadPercent => "path_bad_percent",
            Self::Ambiguous => "path_ambiguous",
            Self::NotUtf8 => "path_not_utf8",
            Self::AboveRoot => "path_above_root",
        }
    }
}

impl<'a> NormalPath<'a> {
    /// The longest path that is read, in bytes.
    pub const MAX_BYTES: usize = 8 * 1024;

    /// The normal form of `raw`.
    ///
    /// # Errors
    /// [`PathError`] for a path without one.
    pub fn of(raw: &'a str) -> Result<Self, PathError> {
        if raw.len() > Self::MAX_BYTES {
            return Err(PathError::TooLong { max: Self::MAX_BYTES });
        }
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if is_plain(raw) {
            return Ok(Self { path: Cow::Borrowed(raw) });
        }
        let mut segments: Vec<String> = Vec::new();
        let mut ends_in_slash = false;
        for raw_segment in raw[1..].split('/') {
            let segment = normal_segment(raw_segment)?;
            ends_in_slash = matches!(segment.as_str(), "" | "." | "..");
            match segment.as_str() {
                "" | "." => {}
                ".." => drop(segments.pop().ok_or(PathError::AboveRoot)?),
                _ => segments.push(segment),
            }
        }
        let mut path = String::with_capacity(raw.len());
        for segment in &segments {
            path.push('/');
            path.push_str(segment);
        }
        if ends_in_slash || path.is_empty() {
            path.push('/');
        }
        Ok(Self { path: if path == raw { Cow::Borrowed(raw) } else { Cow::Owned(path) } })
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The path, when it is not what was received.
    #[must_use]
    pub fn rewritten(&self) -> Option<&str> {
        match &self.path {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path),
        }
    }

    /// The segments, decoded: what routes are compared with. A final slash adds none, so `/a/` is the route `/a`.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.pieces().map(decoded)
    }

    /// The segments as they are written.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &str> + Clone {
        self.path.split('/').filter(|segment| !segment.is_empty())
    }

    /// Whether the segments are written in another way than they are compared.
    pub(crate) fn is_encoded(&self) -> bool {
        self.path.contains('%')
    }

    /// Whether every segment is its own [`fold`] at a glance, and none has a format's name behind a dot.
    pub(crate) fn is_folded(&self) -> bool {
        let folded =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'~' | b'/');
        self.path.bytes().all(folded)
    }
}

/// A segment as the laxest server reads it: case, width, what cannot be seen, what follows a `;`, `?` or `#`, and outer spaces
/// and final dots ignored. Two segments that fold alike may be one resource to an upstream.
pub(crate) fn fold(segment: &str) -> String {
    let narrow: Cow<'_, str> = if segment.is_ascii() {
        Cow::Borrowed(segment)
    } else {
        Cow::Owned(segment.chars().filter(|c| !is_invisible(*c)).map(narrow).collect())
    };
    let end = narrow.find([';', '?', '#']).unwrap_or(narrow.len());
    let cut = narrow[..end].trim_matches(' ').trim_end_matches(['.', ' ']);
    // Through upper case, because letters such as the long s have no lower case of their own.
    cut.to_uppercase().to_lowercase()
}

/// The ASCII character that a full-width one is mapped to by servers that normalise to NFKC, or to their code page.
fn narrow(c: char) -> char {
    match u32::from(c) {
        wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Characters without a width, which some servers drop: soft hyphen, zero-width spaces and joiners, byte order mark.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Whether a path is its own normal form at a glance: the usual case.
fn is_plain(raw: &str) -> bool {
    let bytes = raw.as_bytes();
    let plain =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~' | b'/' | b'.' | b':' | b'@');
    let mut after_slash = false;
    bytes.iter().all(|byte| {
        let begins = std::mem::replace(&mut after_slash, *byte == b'/');
        plain(byte) && !(begins && matches!(byte, b'/' | b'.'))
    })
}

/// One segment with unreserved characters decoded and triplets in upper case.
fn normal_segment(raw: &str) -> Result<String, PathError> {
    let mut normal = String::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            if !is_pchar(*byte) {
                return Err(PathError::RawCharacter);
            }
            normal.push(char::from(*byte));
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Err(PathError::BadPercent) };
        let (Some(high), Some(low)) = (hex(*high), hex(*low)) else { return Err(PathError::BadPercent) };
        let byte = high << 4 | low;
        rest = tail;
        match byte {
            // An encoded slash or backslash is a slash to some servers; a control character ends the path for some.
            b'/' | b'\\' | 0..=0x1f | 0x7f => return Err(PathError::Ambiguous),
            // `%25` and two digits is another triplet to a server that decodes twice.
            b'%' if is_triplet_tail(rest) => return Err(PathError::Ambiguous),
            _ if is_unreserved(byte) => normal.push(char::from(byte)),
            _ => {
                normal.push('%');
                normal.push(char::from(b"0123456789ABCDEF"[usize::from(byte >> 4)]));
                normal.push(char::from(b"0123456789ABCDEF"[usize::from(byte & 15)]));
            }
        }
    }
    check_meaning(&normal)?;
    Ok(normal)
}

/// Refuses segments whose decoded form servers disagree on.
fn check_meaning(normal: &str) -> Result<(), PathError> {
    let decoded =
        percent_encoding::percent_decode_str(normal).decode_utf8().map_err(|_| PathError::NotUtf8)?;
    // Look-alikes of slash, backslash and dot that some servers map to the real ones.
    let looks_alike = |c: char| {
        matches!(
            c,
            '\u{2044}'
                | '\u{2215}'
                | '\u{29f8}'
                | '\u{ff0f}'
                | '\u{ff3c}'
                | '\u{2024}'
                | '\u{ff0e}'
                | '\u{ff05}'
        )
    };
    if decoded.contains(looks_alike) {
        return Err(PathError::Ambiguous);
    }
    // `..;x` and `. ` are dot segments to some servers.
    let end = decoded.find([';', '?', '#']).unwrap_or(decoded.len());
    let core = decoded[..end].trim_matches(' ');
    if matches!(core, "." | "..") && core.len() != decoded.len() || core.is_empty() && !decoded.is_empty() {
        return Err(PathError::Ambiguous);
    }
    Ok(())
}

/// A segment of a normal path with every triplet decoded.
fn decoded(segment: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy()
}

fn is_triplet_tail(rest: &[u8]) -> bool {
    matches!(rest, [a, b, ..] if hex(*a).is_some() && hex(*b).is_some())
        // `%25%32%66` is `%2f` to a server that decodes twice.
        || rest.first() == Some(&b'%')
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986, section 3.3, without the percent sign.
const fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
