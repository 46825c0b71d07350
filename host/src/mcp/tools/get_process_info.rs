//! `get_process_info`: how a process is set up and what it consists of just now.

use serde_json::{Value, json};

use crate::api::{Api, Caller, EnvOrigin, EnvVariable, Inspection, TreeProcess};

use super::super::arguments::{Argument, Arguments};
use super::super::reply::{Failure, Reply, bounded};
use super::super::text::clean_within;
use super::super::{budget, requests, view};
use super::{Effect, Id, Spec, Toolset};

/// Tokens of one entry of a list.
const ENTRY_TOKENS: usize = 80;
/// Routes that are shown.
const ROUTES: usize = 5;

pub const SPEC: Spec = Spec {
    id: Id::GetProcessInfo,
    name: "get_process_info",
    title: "Get a process's set-up",
    description: "Show how a process is set up: settings in force, environment with where each variable comes from \
                  (secrets as ****), given port, its tree of processes and their ports, files, requests. Inherited \
                  variables by name only.",
    toolset: Toolset::Processes,
    effect: Effect::Reads,
    arguments: &[Argument::NAME],
    output: || {
        view::object(
            [
                ("process", view::process_brief()),
                ("command", view::string()),
                ("cwd", view::string()),
                ("settings", view::strings()),
                ("env", view::strings()),
            ],
            [
                ("reason", view::string()),
                ("warning", view::string()),
                ("env_problem", view::string()),
                ("env_changed", view::string()),
                ("inherited", view::string()),
                ("tree", view::strings()),
                ("run_dir", view::string()),
                ("requests", json!({"type": "object"})),
                ("hint", view::string()),
            ],
        )
    },
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    Ok(render(&api.inspect(caller, arguments.required("name"), false).await?))
}

fn render(inspection: &Inspection) -> Reply {
    let text = |text: &Option<String>| text.as_deref().map(bounded);
    let changed = (!inspection.env_changed.is_empty())
        .then(|| bounded(&format!("{}; restart it to take them up", inspection.env_changed.join(", "))));
    let run_dir = inspection.paths.run.as_ref().map(|dir| bounded(&dir.display().to_string()));
    let reply = Reply::default()
        .with("process", view::process(&inspection.process))
        .with("command", bounded(&inspection.command.join(" ")))
        .with("cwd", bounded(&inspection.cwd))
        .with_some("reason", text(&inspection.reason))
        .with_some("warning", text(&inspection.warning))
        .with_some("env_problem", text(&inspection.env_problem))
        .with_some("env_changed", changed)
        .with_some("run_dir", run_dir)
        .with_some("requests", inspection.requests.as_ref().map(|stats| requests::requests(stats, ROUTES)));
    let mut missing = 0;
    let settings = inspection.settings.iter().map(|setting| format!("{} = {}", setting.key, setting.value));
    let reply = with_list(reply, "settings", settings, &mut missing, 3);
    let (own, inherited): (Vec<&EnvVariable>, Vec<_>) =
        inspection.env.iter().partition(|variable| variable.origin != EnvOrigin::Inherited);
    let reply = with_list(reply, "env", own.into_iter().map(variable), &mut missing, 2);
    let tree = inspection.tree.iter().map(tree_process);
    let reply = with_list(reply, "tree", tree, &mut missing, 2);
    missing += inspection.tree_more;
    let names: Vec<&str> = inherited.iter().map(|variable| variable.name.as_str()).collect();
    let limit = (reply.left(60) / 2).min(600);
    let reply =
        reply.with_some("inherited", (!names.is_empty()).then(|| clean_within(&names.join(" "), limit)));
    reply.with_some(
        "hint",
        (missing > 0)
            .then(|| format!("{missing} entries are not shown; `ostler inspect` at a terminal shows all")),
    )
}

/// Adds as many entries as fit into one part of `parts` of what is left.
fn with_list(
    reply: Reply,
    name: &str,
    entries: impl Iterator<Item = String>,
    missing: &mut usize,
    parts: usize,
) -> Reply {
    const HINT_TOKENS: usize = 60;
    let mut left = reply.left(HINT_TOKENS) / parts;
    let mut shown: Vec<Value> = Vec::new();
    let mut entries = entries.peekable();
    while let Some(entry) = entries.next_if(|_| left > 0) {
        let entry = clean_within(&entry, ENTRY_TOKENS);
        let cost = budget::json_string_tokens(&entry);
        if cost > left {
            *missing += 1;
            break;
        }
        left -= cost;
        shown.push(entry.into());
    }
    *missing += entries.count();
    reply.with(name, shown)
}

/// One variable: `DEBUG=1 (.env)`.
fn variable(variable: &EnvVariable) -> String {
    let origin = match (variable.origin, &variable.file) {
        (EnvOrigin::File, Some(file)) => {
            file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
        }
        (EnvOrigin::File, None) => "file".to_owned(),
        (EnvOrigin::Config, _) => "env".to_owned(),
        (EnvOrigin::Ostler, _) => "ostler".to_owned(),
        (EnvOrigin::Inherited, _) => "inherited".to_owned(),
    };
    format!("{}={} ({origin})", variable.name, variable.value)
}

/// One process: `42 of 41: python worker [8000]`.
fn tree_process(process: &TreeProcess) -> String {
    let parent = process.parent.map(|parent| format!(" of {parent}")).unwrap_or_default();
    let ports = if process.ports.is_empty() { String::new() } else { format!(" {:?}", process.ports) };
    format!("{}{parent}: {}{ports}", process.pid, process.command)
}

#[cfg(test)]
mod tests {
    use super::super::super::view::tests::view;
    use super::*;
    use crate::api::{RunPaths, Setting};
    use crate::bounds;

    fn variable(name: &str, value: &str, origin: EnvOrigin) -> EnvVariable {
        let file = (origin == EnvOrigin::File).then(|| "/srv/shop/.env".into());
        EnvVariable { name: name.to_owned(), value: value.to_owned(), masked: false, origin, file }
    }

    fn inspection() -> Inspection {
        Inspection {
            process: view("api", "ready"),
            reason: None,
            warning: None,
            command: vec!["python".to_owned(), "manage.py".to_owned()],
            cwd: "/srv/shop".to_owned(),
            settings: vec![Setting { key: "port".to_owned(), value: "auto".to_owned() }],
            env: vec![
                variable("DEBUG", "1", EnvOrigin::File),
                variable("HOME", "/home/u", EnvOrigin::Inherited),
                variable("PORT", "20117", EnvOrigin::Ostler),
                variable("TOKEN", "****", EnvOrigin::Config),
            ],
            env_problem: None,
            env_changed: vec!["DEBUG".to_owned()],
            tree: vec![
                TreeProcess {
                    pid: 41,
                    parent: Some(40),
                    command: "python manage.py".to_owned(),
                    ports: vec![],
                },
                TreeProcess {
                    pid: 42,
                    parent: Some(41),
                    command: "python worker".to_owned(),
                    ports: vec![8000],
                },
            ],
            tree_more: 0,
            shim_pid: Some(40),
            requests: None,
            paths: RunPaths {
                project: "/srv/shop".into(),
                state: "/state/shop".into(),
                run: Some("/state/shop/runs/3".into()),
                shim_socket: None,
            },
        }
    }

    #[test]
    fn an_agent_reads_what_matters_and_no_inherited_value() {
        let value = serde_json::to_string_pretty(&render(&inspection()).into_value()).unwrap();
        insta::assert_snapshot!(value, @r#"
        {
          "command": "python manage.py",
          "cwd": "/srv/shop",
          "env": [
            "DEBUG=1 (.env)",
            "PORT=20117 (ostler)",
            "TOKEN=**** (env)"
          ],
          "env_changed": "DEBUG; restart it to take them up",
          "inherited": "HOME",
          "process": {
            "name": "api",
            "ready": true,
            "state": "ready"
          },
          "run_dir": "/state/shop/runs/3",
          "settings": [
            "port = auto"
          ],
          "tree": [
            "41 of 40: python manage.py",
            "42 of 41: python worker [8000]"
          ]
        }
        "#);
    }

    #[test]
    fn the_reply_is_bounded_whatever_it_holds() {
        let long = "{\"k\": [1, 2]}\u{1b}[2J ".repeat(10_000);
        let mut big = inspection();
        big.settings = (0..500).map(|_| Setting { key: "port".to_owned(), value: long.clone() }).collect();
        big.env = (0..500)
            .flat_map(|_| {
                [EnvOrigin::Config, EnvOrigin::Inherited].map(|origin| variable(&long[..2000], &long, origin))
            })
            .collect();
        big.tree = (0..200)
            .map(|pid| TreeProcess { pid, parent: None, command: long.clone(), ports: vec![1; 500] })
            .collect();
        (big.cwd, big.command, big.env_problem) = (long.clone(), vec![long.clone(); 9], Some(long.clone()));
        big.env_changed = vec![long; 9];
        let value = render(&big).into_value();
        assert!(budget::json_tokens(&value) <= bounds::REPLY_TOKENS, "{}", budget::json_tokens(&value));
        assert!(value["hint"].as_str().unwrap().contains("not shown"));
        assert!(value["tree"].as_array().is_some_and(|tree| !tree.is_empty()));
    }
}
