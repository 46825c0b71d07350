//! Makes text that a process printed fit to be read by an agent: no codes, nothing invisible, bounded.
//!
//! Owns what is taken out and how a long text is shortened. Never decides which lines are shown.

use super::budget;

/// Bytes of a text that are looked at beyond what can be shown, at each end, so that what is taken out of it leaves
/// enough; what lies between is elided before any other work.
const WINDOW_BYTES: usize = 4 << 10;

/// Returns `text` as one who watched the terminal would have read it in the end, without ANSI codes, control
/// characters (but newline and tab) and characters that show nothing or turn the direction of writing; and shortened
/// in its middle, so that it takes at most `limit` estimated tokens as a JSON string. A limit too small for the remark
/// that something is missing gives an empty text.
pub fn clean_within(text: &str, limit: usize) -> String {
    // No estimate is below a token for each four bytes.
    let window = WINDOW_BYTES + 4 * limit;
    let (head, unseen, tail) = split_middle(last_state(text), window, window);
    let (head, tail) = (clean(head), clean(tail));
    let whole = budget::json_string_tokens(&head) + budget::json_string_tokens(&tail);
    if unseen == 0 && budget::json_string_tokens(&head) <= limit {
        return head;
    }
    // Tokens are spread unevenly over a text, so the first guess may be too long still.
    let mut keep = (head.len() + tail.len()).saturating_mul(limit) / whole.max(1);
    while keep > 0 {
        let short = shortened(&head, unseen, &tail, keep);
        if budget::json_string_tokens(&short) <= limit {
            return short;
        }
        keep = keep * 3 / 4;
    }
    String::new()
}

/// Returns about `keep` bytes of a text that is already cut in two, or is whole in `head`, around the remark of how
/// much is missing.
fn shortened(head: &str, unseen: usize, tail: &str, keep: usize) -> String {
    let (head, between, tail) = if unseen == 0 {
        split_middle(head, keep * 2 / 3, keep / 3)
    } else {
        let start = head.floor_char_boundary(keep * 2 / 3);
        let end = tail.ceil_char_boundary(tail.len().saturating_sub(keep / 3));
        (&head[..start], head.len() - start + end, &tail[end..])
    };
    match unseen + between {
        0 => head.to_owned(),
        missing => format!("{head} … {} bytes … {tail}", grouped(missing)),
    }
}

/// Returns what a carriage return left standing: the text after the last one, or before it when it was followed by
/// nothing visible, as progress bars print it.
fn last_state(text: &str) -> &str {
    // Each `\r\n` ends a line and overwrites nothing; a text that holds one is no progress bar.
    if text.contains("\r\n") {
        return text;
    }
    text.rsplit('\r').find(|state| !state.trim().is_empty()).unwrap_or("")
}

/// Returns whether `text` overwrites what was printed before it on its line.
pub fn returns(text: &str) -> bool {
    !text.contains("\r\n") && text.contains('\r') && !last_state(text).is_empty()
}

/// Returns whether what is printed after `text` on its line overwrites it.
pub fn ends_with_return(text: &str) -> bool {
    text.trim_end_matches([' ', '\t']).ends_with('\r')
}

fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(after) = skip_escape(rest) {
            rest = after;
            continue;
        }
        rest = &rest[character.len_utf8()..];
        match character {
            '\n' | '\t' => clean.push(character),
            // A line's own end within a longer text.
            '\r' if rest.starts_with('\n') => {}
            // One mark stands for a whole run of bytes that mean nothing as text, such as printed binary data.
            _ if character.is_control() || character == char::REPLACEMENT_CHARACTER => {
                if !clean.ends_with(char::REPLACEMENT_CHARACTER) {
                    clean.push(char::REPLACEMENT_CHARACTER);
                }
            }
            '\u{2028}' | '\u{2029}' => clean.push('\n'),
            _ if is_invisible(character) => {}
            _ => clean.push(character),
        }
    }
    clean
}

/// Returns what follows the escape sequence that `text` begins with (ECMA-48, 5.3 to 5.6), or nothing when it does
/// not begin with one. Of a sequence that never ends only the introducer is skipped.
fn skip_escape(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    let kind = match characters.next()? {
        '\u{1b}' => match characters.clone().next() {
            Some(kind) => {
                characters.next();
                kind
            }
            None => return Some(""),
        },
        // The 8-bit introducers.
        '\u{9b}' => '[',
        '\u{9d}' => ']',
        '\u{90}' => 'P',
        '\u{98}' | '\u{9e}' | '\u{9f}' => '_',
        _ => return None,
    };
    let body = characters.as_str();
    Some(match kind {
        '[' => body
            .strip_prefix(|c: char| c == '[')
            .unwrap_or(body)
            .trim_start_matches(|c: char| matches!(c, '\u{20}'..='\u{3f}'))
            .strip_prefix(|c: char| matches!(c, '\u{40}'..='\u{7e}'))
            .unwrap_or(body),
        ']' | 'P' | 'X' | '^' | '_' => skip_string(body).unwrap_or(body),
        '\u{20}'..='\u{2f}' => body
            .trim_start_matches(|c: char| matches!(c, '\u{20}'..='\u{2f}'))
            .strip_prefix(|c: char| matches!(c, '\u{30}'..='\u{7e}'))
            .unwrap_or(body),
        '\u{30}'..='\u{7e}' => body,
        // Not a sequence at all: the escape alone goes, what follows is judged by itself.
        _ => &text[1..],
    })
}

/// Returns what follows a control string: after BEL or the string terminator.
fn skip_string(body: &str) -> Option<&str> {
    let end = body.find(['\u{7}', '\u{1b}', '\u{9c}'])?;
    let rest = &body[end..];
    rest.strip_prefix(['\u{7}', '\u{9c}']).or_else(|| rest.strip_prefix("\u{1b}\\"))
}

/// Returns whether a character shows nothing, or turns the direction of what follows: with these a text can carry
/// words to a model that no person sees, or show other words than it holds.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'
        | '\u{f0000}'..='\u{10ffff}')
}

/// Splits `text` into at most `head` bytes from its start, a number of bytes between, and at most `tail` bytes from
/// its end, at boundaries of characters.
fn split_middle(text: &str, head: usize, tail: usize) -> (&str, usize, &str) {
    if text.len() <= head.saturating_add(tail) {
        return (text, 0, "");
    }
    let head = text.floor_char_boundary(head);
    let tail = text.ceil_char_boundary(text.len() - tail);
    (&text[..head], tail - head, &text[tail..])
}

/// Returns a number with its thousands set apart: `12,345`.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str) -> String {
        clean_within(text, 100_000)
    }

    #[test]
    fn escape_sequences_leave_their_text() {
        for (dirty, expected) in [
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]8;;http://x/\u{1b}\\link\u{1b}]8;;\u{7}", "link"),
            ("\u{1b}]0;title never ends", "0;title never ends"),
            ("\u{9b}2Jcleared", "cleared"),
            ("\u{1b}(Bplain\u{1b}7", "plain"),
            ("\u{1b}Pq#0\u{1b}\\after", "after"),
            ("cut\u{1b}", "cut"),
            ("cut\u{1b}[", "cut"),
            ("\u{1b}é", "é"),
            ("a\u{1b}\u{1b}[31mb", "ab"),
        ] {
            assert_eq!(clean(dirty), expected, "{dirty:?}");
        }
    }

    #[test]
    fn a_progress_bar_shows_its_last_state() {
        assert_eq!(clean("10%\r20%\r100% done"), "100% done");
        assert_eq!(clean("10%\r20%\r"), "20%");
        assert_eq!(clean("10%\r20%\r   \r"), "20%");
        assert_eq!(clean("\r\r"), "");
        assert_eq!(clean("one\r\ntwo"), "one\ntwo");
    }

    #[test]
    fn binary_bytes_become_one_mark() {
        assert_eq!(clean("a\u{0}\u{1}\u{fffd}\u{fffd}b\u{7f}\u{85}"), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn what_nobody_sees_is_taken_out() {
        assert_eq!(clean("a\u{202e}b\u{2066}c\u{200b}d\u{e0041}e\u{feff}"), "abcde");
    }

    #[test]
    fn a_long_text_keeps_both_ends_and_says_what_is_missing() {
        let long = format!("begin{}end", "x".repeat(100_000));
        let short = clean_within(&long, 100);
        assert!(short.starts_with("beginx") && short.ends_with("xend"), "{short}");
        let (head, rest) = short.split_once(" … ").expect("a remark");
        let (missing, tail) = rest.split_once(" bytes … ").expect("a remark");
        let missing: usize = missing.replace(',', "").parse().expect("a number");
        assert_eq!(head.len() + missing + tail.len(), long.len());
        assert!((100..400).contains(&short.len()), "{short}");
        assert!(budget::json_string_tokens(&short) <= 100);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1000, 12_345, 1_234_567].map(grouped),
            ["0", "999", "1,000", "12,345", "1,234,567"]
        );
    }

    proptest! {
        #[test]
        fn nothing_harmful_survives(text in "(\\PC|\\p{C}|\u{1b}[\\[\\]P(]?|\r|\u{9b}){0,200}") {
            for character in clean(&text).chars() {
                prop_assert!(!character.is_control() || matches!(character, '\n' | '\t'), "{character:?}");
                prop_assert!(!is_invisible(character), "{character:?}");
            }
        }

        #[test]
        fn a_limit_is_kept(text in "\\PC{0,2000}", limit in 0usize..300) {
            prop_assert!(clean_within(&text, limit).is_empty()
                || budget::json_string_tokens(&clean_within(&text, limit)) <= limit);
        }
    }
}
