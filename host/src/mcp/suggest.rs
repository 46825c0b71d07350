//! "Did you mean": the known word closest to an unknown one.

/// Longest word that is compared, in bytes; nobody mistypes a longer one.
const WORD_BYTES: usize = 64;

/// Returns the candidate that `word` was most likely meant to be, or nothing when none is near.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (candidate, strsim::jaro_winkler(word, candidate)))
        .filter(|(_, likeness)| *likeness >= 0.8)
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(candidate, _)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["start_process", "stop_process", "get_logs"];
        assert_eq!(closest("strat_process", words), Some("start_process"));
        assert_eq!(closest("get_log", words), Some("get_logs"));
        assert_eq!(closest("zzz", words), None);
        assert_eq!(closest(&"get_logs".repeat(100), words), None);
    }
}
