//! How many tokens a part of a reply takes, and which lines of a log fit when not all do. Pure arithmetic.
//!
//! Owns the choice; the estimate of a text is that of `tokens.rs`. Never sees what a line says, only what it costs and how serious it is.

use crate::bounds;

pub use super::tokens::tokens;

/// Estimated tokens of a remark between two lines that something was left out.
pub const GAP_TOKENS: usize = 14;

/// Returns the estimated tokens of `text` as a JSON string among others: with quotes, escapes and a comma.
pub fn json_string_tokens(text: &str) -> usize {
    // Nothing of the kind fails for a text.
    tokens(&serde_json::to_string(text).unwrap_or_default()) + 1
}

/// Returns the estimated tokens of a JSON value as it is sent.
pub fn json_tokens(value: &serde_json::Value) -> usize {
    tokens(&value.to_string())
}

/// Returns what is left of a reply's bound when `fixed` is already in it.
pub fn left(fixed: &serde_json::Value) -> usize {
    bounds::REPLY_TOKENS.saturating_sub(json_tokens(fixed))
}

/// How much a line matters beside its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    Usual,
    Warning,
    Error,
}

/// One line that wants a place in a reply.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// Estimated tokens.
    pub cost: usize,
    pub weight: Weight,
}

/// What goes when not everything fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The last lines: the reader continues after the last one kept, so nothing may be missing before it.
    End,
    /// The oldest and least serious ones.
    OldestAndMildest,
}

/// Returns for each candidate, given in order of time, whether it is kept within `budget` tokens.
pub fn choose(candidates: &[Candidate], budget: usize, cut: Cut) -> Vec<bool> {
    let mut kept = vec![false; candidates.len()];
    if candidates.iter().map(|candidate| candidate.cost).sum::<usize>() <= budget {
        kept.fill(true);
        return kept;
    }
    match cut {
        Cut::End => {
            take(candidates, &mut kept, 0..candidates.len(), budget);
        }
        Cut::OldestAndMildest => choose_newest_and_worst(candidates, &mut kept, budget),
    }
    kept
}

/// Three fifths for the newest lines, the rest for errors and then warnings before them, and what is left over for
/// more of the newest.
fn choose_newest_and_worst(candidates: &[Candidate], kept: &mut [bool], budget: usize) {
    let newest_first = || (0..candidates.len()).rev();
    let mut left = budget.saturating_sub(GAP_TOKENS);
    left -= take(candidates, kept, newest_first(), left * 3 / 5);
    for weight in [Weight::Error, Weight::Warning] {
        for index in newest_first() {
            let price = candidates[index].cost + GAP_TOKENS;
            if !kept[index] && candidates[index].weight == weight && price <= left {
                kept[index] = true;
                left -= price;
            }
        }
    }
    take(candidates, kept, newest_first(), left);
}

/// Keeps candidates in the given order until one does not fit; returns what they cost.
fn take(
    candidates: &[Candidate],
    kept: &mut [bool],
    order: impl Iterator<Item = usize>,
    budget: usize,
) -> usize {
    let mut spent = 0;
    for index in order {
        if kept[index] {
            continue;
        }
        if spent + candidates[index].cost > budget {
            break;
        }
        kept[index] = true;
        spent += candidates[index].cost;
    }
    spent
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(cost: usize, weight: Weight) -> Candidate {
        Candidate { cost, weight }
    }

    #[test]
    fn dense_text_costs_more_than_prose() {
        let prose = "the server is listening and waits for the first request to come";
        let dense = "0x7f3a:{9c-4e}/../[17:31:02.554]=<&%$#@!>;(0.0.0.0:8000)?a=1&b=2";
        assert!(prose.len().abs_diff(dense.len()) < 4);
        assert!(tokens(dense) > 2 * tokens(prose), "{} {}", tokens(dense), tokens(prose));
    }

    #[test]
    fn the_estimate_of_prose_lies_between_words_and_half_their_letters() {
        let prose = "Watching for file changes with the reloader. Performing system checks";
        let words = prose.split(' ').count();
        assert!((words..prose.len() / 2).contains(&tokens(prose)), "{}", tokens(prose));
    }

    #[test]
    fn repeated_marks_pack() {
        assert!(tokens(&"=".repeat(80)) <= 25);
        assert!(tokens(&" ".repeat(80)) <= 25);
    }

    #[test]
    fn everything_is_kept_when_it_fits() {
        let lines = [line(5, Weight::Usual), line(5, Weight::Error)];
        assert_eq!(choose(&lines, 10, Cut::End), [true, true]);
        assert_eq!(choose(&lines, 10, Cut::OldestAndMildest), [true, true]);
    }

    #[test]
    fn an_old_error_outlives_newer_chatter() {
        let mut lines = vec![line(10, Weight::Usual); 100];
        lines[3].weight = Weight::Error;
        let kept = choose(&lines, 200, Cut::OldestAndMildest);
        assert!(kept[3], "the error was dropped");
        assert!(kept[99] && kept[98], "the newest were dropped");
        assert!(!kept[0] && !kept[4]);
    }

    #[test]
    fn a_cut_at_the_end_leaves_no_hole() {
        let lines = [line(10, Weight::Usual), line(50, Weight::Error), line(1, Weight::Error)];
        assert_eq!(choose(&lines, 30, Cut::End), [true, false, false]);
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let weight = prop_oneof![Just(Weight::Usual), Just(Weight::Warning), Just(Weight::Error)];
        prop::collection::vec((0usize..200, weight).prop_map(|(cost, weight)| line(cost, weight)), 0..80)
    }

    proptest! {
        #[test]
        fn the_budget_is_never_exceeded(lines in candidates(), budget in 0usize..3000) {
            for cut in [Cut::End, Cut::OldestAndMildest] {
                let kept = choose(&lines, budget, cut);
                let spent: usize = lines.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(line, _)| line.cost).sum();
                prop_assert!(spent <= budget, "{spent} > {budget}");
            }
        }

        #[test]
        fn joining_strings_never_costs_more_than_their_sum(texts in prop::collection::vec("[ -~\\n\u{e4}\u{4e00}]{0,60}", 0..20)) {
            let sum: usize = texts.iter().map(|text| json_string_tokens(text)).sum();
            let joined = json_tokens(&serde_json::json!(texts));
            prop_assert!(joined <= sum + 2, "{joined} > {sum} + 2");
        }
    }
}
