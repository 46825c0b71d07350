//! Alerts and rules for secrets: what is read, and every wrong value with the words about it, a row for each.

use std::time::Duration;

use super::{error, read};
use crate::config::{Alert, Rate, SecretPattern};
use crate::model::{Level, ProcessName};

/// Checks rows of lines, which start at line 4, and the problems they have as `LINE:COLUMN: message | hint`.
fn check(rows: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (lines, expected) in rows {
        let text = format!("[process.api]\ncommand = \"x\"\ngroups = [\"web\"]\n{lines}\n");
        let problems = read(&text).expect_err(&text).problems().to_vec();
        let said: Vec<String> = problems
            .iter()
            .map(|problem| {
                let hint = problem.hint.as_ref().map(|hint| format!(" | {hint}")).unwrap_or_default();
                format!("{}:{}: {}{hint}", problem.line, problem.column, problem.message)
            })
            .collect();
        let said = said.join("\n");
        if said != *expected {
            wrong.push_str(&format!("{lines}\n   said: {said}\n   not:  {expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn alerts_are_read_with_their_defaults() {
    let text = "[process.api]\ncommand = \"x\"\ngroups = [\"web\"]\n[process.ui]\ncommand = \"x\"\ngroups = [\"web\"]\n[process.db]\ncommand = \"x\"\n\
        [alert.errors]\nlevel = \"error\"\n\
        [alert.slow]\nprocess = [\"web\", \"db\", \"api\"]\npattern = 'slow'\nrate = \"10/1m\"\nwindow = \"30s\"\nmessage = \"look at it\"\n";
    let project = read(text).unwrap();
    let name = |text| ProcessName::new(text).unwrap();
    let errors = Alert {
        name: "errors".into(),
        processes: None,
        level: Some(Level::Error),
        pattern: None,
        rate: None,
        window: Duration::from_secs(300),
        message: None,
    };
    let slow = Alert {
        name: "slow".into(),
        processes: Some(vec![name("api"), name("db"), name("ui")]),
        level: None,
        pattern: Some("slow".into()),
        rate: Some(Rate { count: 10, within: Duration::from_secs(60) }),
        window: Duration::from_secs(30),
        message: Some("look at it".into()),
    };
    assert_eq!(project.alerts, [errors, slow]);
    assert!(read("[process.api]\ncommand = \"x\"\n").unwrap().alerts.is_empty());
}

#[test]
fn what_is_wrong_with_an_alert_is_told() {
    check(&[
        (
            "[alert.a]",
            "4:8: nothing says what raises this alert | add `level = \"error\"`, `pattern = \"…\"`, or `rate = \"1000/10s\"` for any line",
        ),
        ("[alert.a]\nlevel = \"eror\"", "5:9: `eror` is not a level of an alert | did you mean `error`?"),
        (
            "[alert.a]\nlevel = \"info\"",
            "5:9: `info` is not a level of an alert | it is one of `warn`, `error` and `fatal`",
        ),
        ("[alert.a]\npatern = \"x\"", "5:1: unknown key `patern` in [alert.a] | did you mean `pattern`?"),
        ("[alert.a]\nregex = \"x\"", "5:1: unknown key `regex` in [alert.a] | did you mean `pattern`?"),
        ("[alert.a]\npattern = \"(\"", "5:11: not a valid regular expression: unclosed group"),
        (
            "[alert.a]\npattern = '\\w{9999}{9999}'",
            "5:11: not a valid regular expression: it needs more than 1 MiB when compiled; repeat less",
        ),
        (
            "[alert.a]\nlevel = \"warn\"\nprocess = \"apo\"",
            "6:11: `a` is about `apo`, which is no process and no group | did you mean `api`?",
        ),
        (
            "[alert.a]\nlevel = \"warn\"\nprocess = [\"web\", \"zzz\"]",
            "6:19: `a` is about `zzz`, which is no process and no group | there is `api` and `web`",
        ),
        (
            "[alert.a]\nlevel = \"warn\"\nprocess = []",
            "6:11: the alert is about no process | leave `process` out for all of them",
        ),
        (
            "[alert.a]\nrate = \"10\"",
            "5:8: `10` is not a rate | write it like `10/1m`: so many, within that time",
        ),
        (
            "[alert.a]\nrate = \"5000/1m\"",
            "5:8: `5000/1m` is not a rate: it counts from 1 to 1000 | a shorter time makes up for a smaller number",
        ),
        (
            "[alert.a]\nrate = \"5/1\"",
            "5:8: `5/1` is not a rate: a unit is missing after `1` | write it like `10/1m`: so many, within that time",
        ),
        (
            "[alert.a]\nrate = \"5/2d\"",
            "5:8: `5/2d` is not a rate: its time is from 100ms to 24h | write it like `10/1m`: so many, within that time",
        ),
        (
            "[alert.a]\nlevel = \"warn\"\nwindow = \"0s\"",
            "6:10: `window` must be at least 1s | it keeps one trouble from raising the same alert again and again",
        ),
        (
            "[alert.a]\nlevel = \"warn\"\nmessage = \"a\\nb\"",
            "6:11: `message` must be one line of at most 200 characters",
        ),
        (
            "[alert.\"a b\"]\nlevel = \"warn\"",
            "4:8: `a b` is not a name | use letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most 64",
        ),
        // What could not be read may have been what is missing.
        ("[alert.a]\nlevel = 3", "5:9: `level` must be a string, found an integer | put the value in quotes"),
    ]);
    let many: String = (0..65).map(|number| format!("[alert.a{number}]\nlevel = \"warn\"\n")).collect();
    let said = error(&format!("[process.api]\ncommand = \"x\"\n{many}"));
    assert!(said.contains("one too many: at most 64") && said.contains("131"), "{said}");
}

#[test]
fn rules_for_secrets_are_read() {
    let text = "[process.api]\ncommand = \"x\"\n[secrets]\nenv = [\"CUSTOMER\"]\nnot_env = [\"DEMO_TOKEN\"]\n\
        patterns = [{ name = \"acme\", regex = 'acme_\\w+' }, { name = \"pin\", regex = 'pin (\\d+)', group = 1 }, { name = \"id\", regex = '(?P<id>x+)', group = \"id\" }]\n";
    let secrets = read(text).unwrap().secrets;
    let pattern = |name: &str, regex: &str, group: Option<&str>| SecretPattern {
        name: name.into(),
        regex: regex.into(),
        group: group.map(str::to_owned),
    };
    let expected = [
        pattern("acme", r"acme_\w+", None),
        pattern("pin", r"pin (\d+)", Some("1")),
        pattern("id", "(?P<id>x+)", Some("id")),
    ];
    assert_eq!(secrets.patterns, expected);
    assert_eq!((secrets.env, secrets.not_env), (vec!["CUSTOMER".to_owned()], vec!["DEMO_TOKEN".to_owned()]));
}

#[test]
fn what_is_wrong_with_rules_for_secrets_is_told() {
    check(&[
        ("[secrets]\npattern = []", "5:1: unknown key `pattern` in [secrets] | did you mean `patterns`?"),
        (
            "[secrets]\npatterns = [{ name = \"a\" }]",
            "5:13: the pattern has no `regex` | such as `{ name = \"acme\", regex = \"acme_[0-9a-f]{32}\" }`",
        ),
        (
            "[secrets]\npatterns = [{ name = \"a b\", regex = \"x\" }]",
            "5:22: `a b` cannot be shown in place of a secret | use letters, digits, `-`, `_` and `.`, at most 64",
        ),
        (
            "[secrets]\npatterns = [{ name = \"a\", regex = \"(\" }]",
            "5:35: not a valid regular expression: unclosed group",
        ),
        (
            "[secrets]\npatterns = [{ name = \"a\", regex = \"(x)\", group = 2 }]",
            "5:50: the regular expression has no group `2` | its groups are numbered from 1 to 1",
        ),
        (
            "[secrets]\npatterns = [{ name = \"a\", regex = \"x\", group = \"b\" }]",
            "5:48: the regular expression has no group `b` | it has none: put `( )` around the secret, or remove `group`",
        ),
        (
            "[secrets]\nenv = [\"A\", \"\"]\nnot_env = [\"A\"]",
            "5:13: the name of a variable may not be empty or hold `=`\n6:12: `A` stands in `env` and in `not_env` | keep one",
        ),
    ]);
    let many = vec!["{ name = \"a\", regex = \"x\" }"; 65].join(", ");
    let said = error(&format!("[process.api]\ncommand = \"x\"\n[secrets]\npatterns = [{many}]\n"));
    assert!(said.contains("one too many: at most 64"), "{said}");
}
