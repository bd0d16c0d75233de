//! Text of strangers, made fit for a terminal: what a seller or a chain says may try to move the cursor, colour, hide or turn
//! round the text beside it. It knows nothing of what the text means.

/// Whether a character shows itself and nothing else: no control character (C0, DEL, C1), none that turns the direction of
/// text, none that cannot be seen, and no separator of lines.
#[must_use]
pub fn is_plain(character: char) -> bool {
    let unseen = matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            // Tags: letters that nobody sees.
            | '\u{e0000}'..='\u{e007f}'
    );
    !character.is_control() && !unseen
}

/// The text in one line: a space for each tab, and U+FFFD for each character that is not plain.
#[must_use]
pub fn plain(text: &str) -> String {
    let shown = |character| match character {
        '\t' => ' ',
        character if is_plain(character) => character,
        _ => char::REPLACEMENT_CHARACTER,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::{is_plain, plain};

    #[test]
    fn what_commands_a_terminal_or_hides_is_replaced() {
        let cases = [
            (
                "caf\u{e9} \u{20ac}5 \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{1f600}",
                "caf\u{e9} \u{20ac}5 \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{1f600}",
            ),
            ("a\u{1b}[2Jb", "a\u{fffd}[2Jb"),
            ("a\u{7}\u{7f}b", "a\u{fffd}\u{fffd}b"),
            ("a\u{9b}31mb", "a\u{fffd}31mb"),
            ("a\u{202e}b\u{2066}", "a\u{fffd}b\u{fffd}"),
            ("a\nb\r\u{2028}\u{85}c", "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}c"),
            ("a\tb", "a b"),
        ];
        for (text, expected) in cases {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_range_is_whole() {
        let ranges = [
            ('\0', '\u{1f}'),
            ('\u{7f}', '\u{9f}'),
            ('\u{200b}', '\u{200f}'),
            ('\u{2028}', '\u{202e}'),
            ('\u{2060}', '\u{206f}'),
            ('\u{61c}', '\u{61c}'),
            ('\u{feff}', '\u{feff}'),
            ('\u{e0000}', '\u{e007f}'),
        ];
        for (first, last) in ranges {
            assert!((first..=last).all(|character| !is_plain(character)), "{first:?} to {last:?}");
        }
    }
}
