//! A text without which an expression cannot match, and which is not how the match begins.
//!
//! Engines look for how a match begins, by themselves. Where every line begins so, as with `user=\d+ status=50[0-9]`,
//! that is no help, while ` status=50` may occur nowhere. Pure.

use regex_syntax::hir::{Hir, HirKind};

/// Shorter texts occur everywhere.
const LEAST_BYTES: usize = 3;

/// Returns the longest text that every match of `hir` holds; `None` when it is short, or how each match begins.
/// Recursion is bounded by the parser's nesting limit.
pub(super) fn needed(hir: &Hir) -> Option<Vec<u8>> {
    let mut found = Found::default();
    found.look(hir, true);
    found.text.filter(|text| text.len() >= LEAST_BYTES && !found.is_beginning).map(Vec::from)
}

#[derive(Default)]
struct Found<'h> {
    text: Option<&'h [u8]>,
    is_beginning: bool,
}

impl<'h> Found<'h> {
    /// Looks at a part that every match has; `is_beginning` says that nothing comes before it.
    fn look(&mut self, hir: &'h Hir, is_beginning: bool) {
        match hir.kind() {
            HirKind::Literal(literal) => {
                if self.text.is_none_or(|text| text.len() < literal.0.len()) {
                    self.text = Some(&literal.0);
                    self.is_beginning = is_beginning;
                }
            }
            HirKind::Repetition(repetition) if repetition.min > 0 => self.look(&repetition.sub, is_beginning),
            HirKind::Capture(capture) => self.look(&capture.sub, is_beginning),
            HirKind::Concat(subs) => {
                for (index, sub) in subs.iter().enumerate() {
                    self.look(sub, is_beginning && index == 0);
                }
            }
            HirKind::Empty
            | HirKind::Class(_)
            | HirKind::Look(_)
            | HirKind::Repetition(_)
            | HirKind::Alternation(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expression: &str) -> Option<String> {
        let hir = regex_syntax::parse(expression).unwrap();
        needed(&hir).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn the_longest_text_behind_the_beginning_is_found() {
        assert_eq!(of(r"user=\d+ status=50[0-9]").as_deref(), Some(" status=50"));
        assert_eq!(of(r"^\w+: (timed out)+$").as_deref(), Some("timed out"));
        assert_eq!(of(r"\d+(?:[a-z] refused)").as_deref(), Some(" refused"));
    }

    #[test]
    fn what_may_be_absent_is_not_needed() {
        assert_eq!(of(r"\d+(?: refused)?"), None);
        assert_eq!(of(r"\d(?: refused| denied!)"), None);
        assert_eq!(of(r"(?i)\d+ refused"), None);
        assert_eq!(of(r"\d+(refused){0,3}"), None);
    }

    #[test]
    fn how_a_match_begins_is_left_to_the_engine() {
        assert_eq!(of("connection refused"), None);
        assert_eq!(of(r"refused \d+ at"), None);
        assert_eq!(of(r"\d+ab"), None);
    }
}
