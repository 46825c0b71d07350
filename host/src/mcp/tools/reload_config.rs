//! `reload_config`: takes up what has changed in `ostler.toml`, and tells what became of it.

use crate::api::{Api, Caller, ReloadConfigReply};

use super::super::reply::{Failure, Reply, bounded};
use super::super::view;
use super::{Effect, Id, Spec, Toolset, outcome};

pub const SPEC: Spec = Spec {
    id: Id::ReloadConfig,
    name: "reload_config",
    title: "Reload the configuration",
    description: "Take up changes of ostler.toml now, which otherwise happens by itself a moment after it was written, and \
                  tell what became of them: which processes are new, gone, restarted, updated, started. A broken file \
                  changes nothing and is told with place and remedy.",
    toolset: Toolset::Processes,
    effect: Effect::Ensures { destructive: true },
    arguments: &[],
    output: || {
        view::object(
            [("changed", view::boolean())],
            [
                ("added", view::strings()),
                ("removed", view::strings()),
                ("restarted", view::strings()),
                ("updated", view::strings()),
                ("started", view::strings()),
                ("failed", view::strings()),
                ("settings", view::strings()),
                ("hint", view::string()),
            ],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller) -> Result<Reply, Failure> {
    Ok(render(&api.reload_config(caller).await?))
}

fn render(reloaded: &ReloadConfigReply) -> Reply {
    let lists = [
        ("removed", &reloaded.removed),
        ("restarted", &reloaded.restarted),
        ("started", &reloaded.started),
        ("added", &reloaded.added),
        ("updated", &reloaded.updated),
    ];
    let changed = lists.iter().any(|(_, names)| !names.is_empty())
        || !reloaded.failed.is_empty()
        || !reloaded.settings.is_empty();
    let reply = Reply::default()
        .with("changed", changed)
        .with_some("failed", outcome::failures(&reloaded.failed))
        .with_some("settings", (!reloaded.settings.is_empty()).then(|| reloaded.settings.clone()))
        .with_some("hint", reloaded.warning.as_deref().map(bounded));
    let parts = (1..=lists.len()).rev();
    lists
        .into_iter()
        .zip(parts)
        .fold(reply, |reply, ((field, names), parts)| outcome::with_names(reply, field, names, parts))
}

#[cfg(test)]
mod tests {
    use super::super::super::budget;
    use super::*;
    use crate::bounds;
    use crate::model::ProcessName;

    #[test]
    fn what_became_of_a_change_is_told_and_what_did_not_happen_is_not() {
        let names = |names: &[&str]| names.iter().map(|name| ProcessName::parse(name).unwrap()).collect();
        insta::assert_snapshot!(render(&ReloadConfigReply::default()).into_value(), @r#"{"changed":false}"#);
        let settings = vec!["how much log is kept".to_owned()];
        let kept = ReloadConfigReply { settings, ..ReloadConfigReply::default() };
        insta::assert_snapshot!(render(&kept).into_value(), @r#"{"changed":true,"settings":["how much log is kept"]}"#);
        let reloaded = ReloadConfigReply {
            restarted: names(&["api"]),
            added: names(&["worker", "worker#2"]),
            warning: Some("log patterns have changed".to_owned()),
            ..ReloadConfigReply::default()
        };
        insta::assert_snapshot!(render(&reloaded).into_value(), @r#"{"added":["worker","worker#2"],"changed":true,"hint":"log patterns have changed","restarted":["api"]}"#);
    }

    #[test]
    fn a_change_of_everything_stays_within_the_budget_and_counts_what_is_not_shown() {
        let names: Vec<ProcessName> = (0..500)
            .map(|index| ProcessName::new(format!("{}-{index}", "w".repeat(50)).as_str()).unwrap())
            .collect();
        let reloaded = ReloadConfigReply {
            added: names.clone(),
            removed: names.clone(),
            restarted: names.clone(),
            updated: names.clone(),
            started: names,
            ..ReloadConfigReply::default()
        };
        let value = render(&reloaded).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
        for field in ["added", "removed", "restarted", "updated", "started"] {
            let shown = value[field].as_array().unwrap();
            let others = format!("and {} more", 501 - shown.len());
            assert!(shown.len() > 5 && shown.last().unwrap() == others.as_str(), "{field}: {shown:?}");
        }
    }
}
