//! Owns "did you mean": the nearest known word to one that is not known.

/// Names other tools give to our keys; nobody should have to look these up.
const ALIASES: [(&str, &str); 41] = [
    ("cmd", "command"),
    ("run", "command"),
    ("exec", "command"),
    ("entrypoint", "command"),
    ("dir", "cwd"),
    ("directory", "cwd"),
    ("workdir", "cwd"),
    ("working_dir", "cwd"),
    ("environment", "env"),
    ("dotenv", "env_file"),
    ("needs", "depends_on"),
    ("auto_start", "autostart"),
    ("readiness", "ready"),
    ("processes", "process"),
    ("healthcheck", "health"),
    ("liveness", "health"),
    ("interval", "every"),
    ("period", "every"),
    ("retries", "failures"),
    ("threshold", "failures"),
    ("start_period", "delay"),
    ("initial_delay", "delay"),
    ("url", "http"),
    ("port", "tcp"),
    ("sd_notify", "notify"),
    ("cron", "schedule"),
    ("every", "schedule"),
    ("tty", "pty"),
    ("terminal", "pty"),
    ("instances", "replicas"),
    ("scale", "replicas"),
    ("numprocs", "replicas"),
    ("resources", "limits"),
    ("ulimits", "limits"),
    ("mem", "memory"),
    ("files", "paths"),
    ("exclude", "ignore"),
    ("members", "processes"),
    ("regex", "pattern"),
    ("cooldown", "window"),
    ("alerts", "alert"),
];

/// Returns the known word that was probably meant, or none when nothing is near.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let plain = normal(word);
    let alias = ALIASES.iter().find(|(alias, _)| normal(alias) == plain).map(|(_, key)| *key);
    known
        .into_iter()
        .filter_map(|candidate| {
            if Some(candidate) == alias {
                return Some((0, candidate));
            }
            let distance = strsim::damerau_levenshtein(&plain, &normal(candidate));
            let longer = plain.chars().count().max(candidate.chars().count());
            (distance <= (longer / 3).max(1) && distance < longer).then_some((distance + 1, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Returns `did you mean …?` for the nearest known word.
pub(super) fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    nearest(word, known).map(|meant| format!("did you mean `{meant}`?"))
}

/// Returns the words as `` `a`, `b` and `c` ``.
pub(super) fn listed<'k>(words: impl IntoIterator<Item = &'k str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Case, `-` and `_` are not what people mistype on purpose. Bounded, because distance costs the product of lengths.
fn normal(word: &str) -> String {
    word.chars().take(80).filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["command", "cwd", "env", "env_file", "depends_on"];

    #[test]
    fn slips_and_habits_find_the_key() {
        for (typed, meant) in [
            ("comand", "command"),
            ("Command", "command"),
            ("dependsOn", "depends_on"),
            ("depends-on", "depends_on"),
            ("envfile", "env_file"),
            ("cmd", "command"),
            ("workdir", "cwd"),
        ] {
            assert_eq!(nearest(typed, KEYS), Some(meant), "{typed}");
        }
    }

    #[test]
    fn far_words_get_no_suggestion() {
        for typed in ["colour", "x", "", "volumes"] {
            assert_eq!(nearest(typed, KEYS), None, "{typed}");
        }
    }
}
