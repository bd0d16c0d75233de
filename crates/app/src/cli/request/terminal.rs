//! An answer on a terminal: its text as it arrives, without what would command the terminal. A pipe or a file gets the bytes.

use farthing_client::text::is_plain;

/// Makes text of the bytes that arrive.
#[derive(Debug, Default)]
pub struct PlainText {
    /// The beginning of a character whose end has not arrived.
    begun: Vec<u8>,
}

impl PlainText {
    /// What can be shown of `chunk`, and of what was held back before.
    pub fn next(&mut self, chunk: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(chunk);
        self.begun = bytes.split_off(bytes.len() - unfinished(&bytes));
        shown(&bytes)
    }

    /// What was held back and has no end.
    pub fn end(self) -> String {
        shown(&self.begun)
    }
}

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let begins = |count: &usize| {
        let end = std::str::from_utf8(&bytes[bytes.len() - count..]);
        end.is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=bytes.len().min(3)).find(begins).unwrap_or(0)
}

fn shown(bytes: &[u8]) -> String {
    let shown = |character| match character {
        // A carriage return goes back and writes over the line.
        '\r' => None,
        // Joiners make letters and emoji of several scripts, and hide nothing.
        '\n' | '\t' | '\u{200c}' | '\u{200d}' => Some(character),
        character if is_plain(character) => Some(character),
        _ => Some(char::REPLACEMENT_CHARACTER),
    };
    String::from_utf8_lossy(bytes).chars().filter_map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::PlainText;

    fn all(chunks: &[&[u8]]) -> String {
        let mut text = PlainText::default();
        let mut shown: String = chunks.iter().map(|chunk| text.next(chunk)).collect();
        shown.push_str(&text.end());
        shown
    }

    #[test]
    fn a_body_cannot_command_the_terminal() {
        let cases: [(&str, &str); 5] = [
            ("plain\ttext\r\nand more\n", "plain\ttext\nand more\n"),
            ("paid\r0.00", "paid0.00"),
            ("a\u{1b}[2Jb\u{7}", "a\u{fffd}[2Jb\u{fffd}"),
            ("a\u{9b}31m\u{202e}b", "a\u{fffd}31m\u{fffd}b"),
            ("\u{1f469}\u{200d}\u{1f33e} \u{20ac}", "\u{1f469}\u{200d}\u{1f33e} \u{20ac}"),
        ];
        for (text, expected) in cases {
            assert_eq!(all(&[text.as_bytes()]), expected, "{text:?}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(all(&bytes), expected, "byte by byte: {text:?}");
        }
    }

    #[test]
    fn what_is_not_utf_8_is_replaced_and_ends() {
        let cases: [(&[&[u8]], &str); 3] =
            [(&[b"a\x9bb"], "a\u{fffd}b"), (&[b"a\xe2\x82"], "a\u{fffd}"), (&[b"a\xe2", b"b"], "a\u{fffd}b")];
        for (chunks, expected) in cases {
            assert_eq!(all(chunks), expected, "{chunks:?}");
        }
    }
}
