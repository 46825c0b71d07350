//! `diagnose_system`: what of this machine and this set-up is not as Ostler would have it.

use crate::api::doctor::{Check, Health};
use crate::api::{Api, Caller};

use super::super::budget;
use super::super::reply::{Failure, Reply, bounded};
use super::super::text::clean_within;
use super::super::view;
use super::{Effect, Id, Spec, Toolset};

/// Estimated tokens of the names of what is in order.
const NAMES_TOKENS: usize = 200;
/// Estimated tokens that are kept for the count of what is not told, and for what the problems cost together beyond
/// what each costs by itself.
const MORE_TOKENS: usize = 120;

pub const SPEC: Spec = Spec {
    id: Id::DiagnoseSystem,
    name: "diagnose_system",
    title: "Diagnose the set-up",
    description: "Check what Ostler relies on: ostler.toml, cgroups and the limits they keep, open files, file watches, \
                  disk, sockets, plugins. Returns problems with remedies, and what is in order. For when limits, watch \
                  or starts do not work as they should.",
    toolset: Toolset::Processes,
    effect: Effect::Reads,
    arguments: &[],
    output: || {
        view::object(
            [("problems", view::strings()), ("in_order", view::string())],
            [("more", view::integer())],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller) -> Result<Reply, Failure> {
    Ok(render(&api.doctor(caller).await?))
}

fn render(checks: &[Check]) -> Reply {
    let (fine, mut others): (Vec<&Check>, Vec<&Check>) =
        checks.iter().partition(|check| check.health == Health::Ok);
    // What does not work comes before what could be better.
    others.sort_by_key(|check| std::cmp::Reverse(check.health));
    let names: Vec<&str> = fine.iter().map(|check| check.name.as_str()).collect();
    let reply = Reply::default().with("in_order", clean_within(&names.join(", "), NAMES_TOKENS));
    let mut left = reply.left(MORE_TOKENS);
    let mut problems: Vec<String> = Vec::new();
    for check in &others {
        let problem = problem(check);
        let cost = budget::json_string_tokens(&problem);
        if cost > left {
            break;
        }
        left -= cost;
        problems.push(problem);
    }
    let more = others.len() - problems.len();
    reply.with("problems", problems).with_some("more", (more > 0).then_some(more))
}

/// One problem: `warn inotify: a user may watch … – remedy: sysctl …`.
fn problem(check: &Check) -> String {
    let health = if check.health == Health::Fail { "fail" } else { "warn" };
    let remedy = check.remedy.as_deref().map(|remedy| format!(" – remedy: {}", bounded(remedy)));
    format!("{health} {}: {}{}", check.name, bounded(&check.text), remedy.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds;

    #[test]
    fn problems_come_first_and_worst_first() {
        let checks = [
            Check::new("config", Health::Ok, "is sound"),
            Check::new("inotify", Health::Warn, "few watches").remedy("raise them"),
            Check::new("pidfd", Health::Ok, "there"),
            Check::new("state", Health::Fail, "not writable").remedy("make it writable"),
        ];
        insta::assert_snapshot!(render(&checks).into_value(), @r#"{"in_order":"config, pidfd","problems":["fail state: not writable – remedy: make it writable","warn inotify: few watches – remedy: raise them"]}"#);
    }

    #[test]
    fn the_reply_is_bounded_whatever_is_found() {
        let long = "{\"x\": [1]}\u{1b}[2J".repeat(10_000);
        let checks: Vec<Check> =
            (0..100).map(|_| Check::new(&long[..40], Health::Warn, &*long).remedy(&*long)).collect();
        let value = render(&checks).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
        assert!(value["more"].as_u64().unwrap() > 50 && !value["problems"].as_array().unwrap().is_empty());
    }
}
