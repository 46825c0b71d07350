//! Owns making foreign text harmless on a terminal, visibly: nothing is removed, everything that acts is replaced.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns one line of text with everything a terminal would act on replaced by something to see.
///
/// C0 controls except tab, and DEL, become their pictures (U+2400 ff., such as `␛`); C1 controls, line separators
/// and the marks that change the direction of writing become `<U+202E>`.
pub fn visible(text: &str) -> Cow<'_, str> {
    replace(text, false)
}

/// Does what [`visible`] does for text of several lines: line feeds stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    replace(text, true)
}

fn replace(text: &str, keep_line_feeds: bool) -> Cow<'_, str> {
    let acts = |c: char| acts(c) && !(keep_line_feeds && c == '\n');
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !acts(c) => shown.push(c),
            '\u{7f}' => shown.push('␡'),
            c if u32::from(c) < 0x20 => shown.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('?')),
            c => {
                let _ = write!(shown, "<U+{:04X}>", u32::from(c));
            }
        }
    }
    Cow::Owned(shown)
}

/// Returns whether a terminal may do something else than show the character.
///
/// The bidirectional controls are those of Unicode Standard Annex #9, section 2.
fn acts(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_acts_is_shown_instead() {
        assert_eq!(visible("\x1b[2J\x07bell\rover"), "␛[2J␇bell␍over");
        assert_eq!(visible("a\u{9b}31m\u{202e}txt.exe\u{7f}"), "a<U+009B>31m<U+202E>txt.exe␡");
        assert_eq!(visible("two\nlines"), "two␊lines");
        assert_eq!(visible_lines("two\nlines\r"), "two\nlines␍");
    }

    #[test]
    fn ordinary_text_is_not_copied() {
        let text = "\tGrüße ✓ 日本 \"GET /\" 200";
        assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
    }

    proptest! {
        #[test]
        fn nothing_that_acts_is_left(text in "\\PC*|(?s).{0,60}") {
            prop_assert!(!visible(&text).contains(acts));
        }
    }
}
