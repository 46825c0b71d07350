//! Owns how everything about one process looks.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::processes::one_line;
use super::requests::requests;
use super::style::{FAINT, HEADING, Palette, WARNING};
use super::text::visible;
use crate::api::{EnvOrigin, EnvVariable, Inspection, TreeProcess};

/// Returns everything about a process.
pub fn inspection(palette: Palette, inspection: &Inspection) -> String {
    let mut shown = format!("{}\n", one_line(palette, &inspection.process));
    if let Some(reason) = &inspection.reason {
        let _ = writeln!(shown, "{}", visible(reason));
    }
    if let Some(warning) = &inspection.warning {
        let _ = writeln!(shown, "{}", palette.paint(WARNING, visible(warning)));
    }
    shown.push('\n');
    let run = inspection.process.run.map_or_else(|| "none yet".to_owned(), |run| format!("#{run}"));
    let port = inspection.process.port.map(|port| port.to_string());
    let rows = [
        ("command", Some(command(&inspection.command))),
        ("folder", Some(inspection.cwd.clone())),
        ("run", Some(run)),
        ("port", port),
        ("shim", inspection.shim_pid.map(|pid| format!("pid {pid}"))),
    ];
    let rows = rows.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
    pairs(&mut shown, palette, "", rows);
    heading(&mut shown, palette, "settings in force");
    let settings = inspection.settings.iter().map(|setting| (setting.key.as_str(), setting.value.as_str()));
    pairs(&mut shown, palette, "  ", settings);
    environment(&mut shown, palette, inspection);
    if !inspection.tree.is_empty() {
        heading(&mut shown, palette, "processes");
        tree(&mut shown, &inspection.tree);
        if inspection.tree_more > 0 {
            let _ = writeln!(shown, "  and {} more", inspection.tree_more);
        }
    }
    if let Some(answered) = &inspection.requests {
        shown.push('\n');
        shown.push_str(&requests(palette, answered));
    }
    heading(&mut shown, palette, "places");
    let path = |path: &Path| path.display().to_string();
    let paths = &inspection.paths;
    let places = [
        ("project", Some(path(&paths.project))),
        ("state", Some(path(&paths.state))),
        ("run", paths.run.as_deref().map(path)),
        ("socket", paths.shim_socket.as_deref().map(path)),
    ];
    pairs(
        &mut shown,
        palette,
        "  ",
        places.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))),
    );
    shown
}

fn heading(shown: &mut String, palette: Palette, text: &str) {
    let _ = writeln!(shown, "\n{}", palette.paint(HEADING, text));
}

/// Names and values, the values below each other.
fn pairs<'p>(
    shown: &mut String,
    palette: Palette,
    indent: &str,
    pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
) {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    for (key, value) in pairs {
        let key = format!("{key:width$}");
        let _ = writeln!(shown, "{indent}{}  {}", palette.paint(FAINT, key), visible(value));
    }
}

/// Quotes words as a shell would, but leaves the mark of a secret as it is.
fn command(words: &[String]) -> String {
    let quoted = words
        .iter()
        .map(|word| if word.contains("****") { word.clone() } else { shell_words::quote(word).into_owned() });
    quoted.collect::<Vec<_>>().join(" ")
}

fn environment(shown: &mut String, palette: Palette, inspection: &Inspection) {
    heading(shown, palette, "environment of the next start");
    if let Some(problem) = &inspection.env_problem {
        let _ = writeln!(shown, "  {}", palette.paint(WARNING, visible(problem)));
    }
    let mut origins: BTreeMap<(EnvOrigin, Option<&Path>), Vec<&EnvVariable>> = BTreeMap::new();
    for variable in &inspection.env {
        origins.entry((variable.origin, variable.file.as_deref())).or_default().push(variable);
    }
    for ((origin, file), variables) in origins {
        let title = match (origin, file) {
            (EnvOrigin::Config, _) => "from `env`".to_owned(),
            (EnvOrigin::File, file) => format!("from {}", file.unwrap_or(Path::new("a file")).display()),
            (EnvOrigin::Ostler, _) => "set by Ostler".to_owned(),
            (EnvOrigin::Inherited, _) => "inherited".to_owned(),
        };
        let _ = writeln!(shown, "  {}", palette.paint(FAINT, visible(&title)));
        for variable in variables {
            let _ = writeln!(shown, "    {}={}", visible(&variable.name), visible(&variable.value));
        }
    }
    if !inspection.env_changed.is_empty() {
        let names = inspection.env_changed.join(", ");
        let text = format!("changed since it was started, a restart takes them up: {}", visible(&names));
        let _ = writeln!(shown, "  {}", palette.paint(WARNING, text));
    }
}

/// Children below their parents, a step further in.
fn tree(shown: &mut String, processes: &[TreeProcess]) {
    let mut depths: BTreeMap<u32, usize> = BTreeMap::new();
    for process in processes {
        let depth = process.parent.and_then(|parent| depths.get(&parent)).map_or(0, |depth| depth + 1);
        depths.insert(process.pid, depth);
        let ports = match process.ports.as_slice() {
            [] => String::new(),
            ports => {
                format!("  listens on {}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "))
            }
        };
        let indent = "  ".repeat(depth.min(20) + 1);
        let _ = writeln!(shown, "{indent}{}  {}{ports}", process.pid, visible(&process.command));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_has_its_place() {
        let inspection: Inspection = serde_json::from_value(json!({
            "process": {
                "name": "api", "state": "ready", "pid": 41, "run": 3, "ready": true, "uptime_ms": 12_900,
                "restarts": 0, "exit": null, "ports": [20117], "port": 20117,
            },
            "reason": null,
            "warning": "port 5432, where its readiness is looked for, is taken by pid 9 (postgres); stop it",
            "command": ["python", "manage.py", "runserver", "with blank", "--token=****"],
            "cwd": "/srv/shop/backend",
            "settings": [{"key": "restart", "value": "never"}, {"key": "inherit_env", "value": "true"}],
            "env": [
                {"name": "DEBUG", "value": "1\u{1b}[2J", "masked": false, "origin": "file", "file": "/srv/shop/.env"},
                {"name": "HOME", "value": "/home/u", "masked": false, "origin": "inherited"},
                {"name": "PORT", "value": "20117", "masked": false, "origin": "ostler"},
                {"name": "TOKEN", "value": "****", "masked": true, "origin": "config"},
            ],
            "env_problem": null,
            "env_changed": ["DEBUG"],
            "tree": [
                {"pid": 41, "parent": 40, "command": "python manage.py", "ports": []},
                {"pid": 42, "parent": 41, "command": "python worker", "ports": [20117]},
                {"pid": 43, "parent": 40, "command": "daemonized", "ports": []},
            ],
            "tree_more": 2,
            "shim_pid": 40,
            "paths": {"project": "/srv/shop", "state": "/state/shop-1f", "run": "/state/shop-1f/runs/3", "shim_socket": null},
        }))
        .unwrap();
        insta::assert_snapshot!(super::inspection(Palette::PLAIN, &inspection), @r"
        api  ready  pid 41, port 20117
        port 5432, where its readiness is looked for, is taken by pid 9 (postgres); stop it

        command  python manage.py runserver 'with blank' --token=****
        folder   /srv/shop/backend
        run      #3
        port     20117
        shim     pid 40

        settings in force
          restart      never
          inherit_env  true

        environment of the next start
          from `env`
            TOKEN=****
          from /srv/shop/.env
            DEBUG=1␛[2J
          set by Ostler
            PORT=20117
          inherited
            HOME=/home/u
          changed since it was started, a restart takes them up: DEBUG

        processes
          41  python manage.py
            42  python worker  listens on 20117
          43  daemonized
          and 2 more

        places
          project  /srv/shop
          state    /state/shop-1f
          run      /state/shop-1f/runs/3
        ");
    }
}
