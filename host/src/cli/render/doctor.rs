//! Owns how the checks of `ostler doctor` look.

use std::fmt::Write;

use super::style::{BAD, FAINT, GOOD, HEADING, Palette, WARNING};
use super::text::visible;
use crate::api::doctor::{Check, Health};

/// Returns a line for each check, below it what to do where there is something to do, and a sentence at the end.
pub fn doctor(palette: Palette, checks: &[Check]) -> String {
    let mut shown = String::new();
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    for check in checks {
        let (word, style) = match check.health {
            Health::Ok => ("ok  ", GOOD),
            Health::Warn => ("warn", WARNING),
            Health::Fail => ("fail", BAD),
        };
        let name = visible(&check.name);
        let (word, name) = (palette.paint(style, word), palette.paint(HEADING, format!("{name:width$}")));
        let _ = writeln!(shown, "{word}  {name}  {}", visible(&check.text));
        if let Some(remedy) = &check.remedy {
            let arrow = palette.paint(FAINT, "→");
            let _ = writeln!(shown, "      {:width$}  {arrow} {}", "", visible(remedy));
        }
    }
    let count = |health| checks.iter().filter(|check| check.health == health).count();
    let _ = match (count(Health::Fail), count(Health::Warn)) {
        (0, 0) => writeln!(shown, "\nall is well"),
        (0, warn) => writeln!(shown, "\nnothing fails; {warn} could be better"),
        (fail, warn) => writeln!(shown, "\n{fail} failed, {warn} could be better"),
    };
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_a_line_and_remedies_stand_below() {
        let checks = [
            Check::new("pidfd", Health::Ok, "is there"),
            Check::new("cgroups", Health::Warn, "are\x1b[2J not there").remedy("ask for them"),
        ];
        insta::assert_snapshot!(doctor(Palette::PLAIN, &checks), @r"
        ok    pidfd    is there
        warn  cgroups  are␛[2J not there
                       → ask for them

        nothing fails; 1 could be better
        ");
        let failed = [Check::new("state", Health::Fail, "is full").remedy("free space")];
        assert!(doctor(Palette::PLAIN, &failed).ends_with("\n1 failed, 0 could be better\n"));
        assert!(doctor(Palette::PLAIN, &checks[..1]).ends_with("\nall is well\n"));
    }
}
