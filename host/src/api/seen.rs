//! What classifiers saw in the output of a run that is worth telling whoever asks how it is: a port that is taken, a
//! build that failed, a database that waits for migrations, requests that end with errors.
//!
//! Facts are of the moment they were seen. What is told is what still holds: a reload begins anew, and says again what
//! is still so.

use super::Api;
use super::requests::{self, RequestStats};
use crate::config::Command;
use crate::pipeline::Fact;
use crate::supervisor::{Handle, Snapshot, procfs};

/// Longest command named in an advice, in characters.
const COMMAND_CHARS: usize = 120;

/// The facts of a run that still hold.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Standing<'f> {
    /// Nothing was said of being ready since.
    port_in_use: Option<&'f Fact>,
    /// The last build that came to an end failed.
    failed_build: Option<&'f Fact>,
    migration: Option<&'f Fact>,
}

impl<'f> Standing<'f> {
    /// Goes through the facts of a run, the oldest first.
    fn of(facts: &'f [Fact]) -> Self {
        let mut standing = Self::default();
        for fact in facts {
            match (fact.kind.as_str(), fact.field("state")) {
                ("reload", _) => standing = Self::default(),
                ("ready" | "listening", _) => standing.port_in_use = None,
                ("port-in-use", _) => standing.port_in_use = Some(fact),
                ("migration-pending", _) => standing.migration = Some(fact),
                ("build", Some("failed")) => standing.failed_build = Some(fact),
                ("build", Some("ok")) => standing.failed_build = None,
                _ => {}
            }
        }
        standing
    }
}

impl Api {
    /// Returns what requests a process has answered lately.
    pub(super) fn requests(&self, snapshot: &Snapshot) -> Option<RequestStats> {
        self.parts.pipeline.requests(&snapshot.name).map(RequestStats::from)
    }

    /// Returns what a run has printed that speaks against it although its socket may answer, a sentence each.
    pub(super) fn doubts(&self, snapshot: &Snapshot) -> Vec<String> {
        let name = snapshot.name.as_str();
        let facts = snapshot.run.map(|run| self.parts.pipeline.facts(run)).unwrap_or_default();
        let build = Standing::of(&facts).failed_build.map(|fact| build_hint(name, fact));
        let requests = self.requests(snapshot).zip(snapshot.run);
        let requests = requests.and_then(|(requests, run)| requests::hint(name, run, &requests));
        build.into_iter().chain(requests).collect()
    }

    /// Returns what to do about what a run has printed, most helpful first.
    pub(super) async fn seen_hints(&self, handle: &Handle, snapshot: &Snapshot) -> Vec<String> {
        let facts = snapshot.run.map(|run| self.parts.pipeline.facts(run)).unwrap_or_default();
        let standing = Standing::of(&facts);
        let mut hints = Vec::new();
        if let Some(fact) = standing.port_in_use.filter(|_| !snapshot.ready) {
            hints.push(self.port_hint(fact.field("port"), handle, snapshot).await);
        }
        if let Some(fact) = standing.migration {
            let config = handle.config();
            let run = match &config.command {
                Command::Words(words) => migration_command(words.iter().map(String::as_str)),
                Command::Shell(script) => migration_command(script.split_whitespace()),
            };
            hints.push(migration_hint(snapshot.name.as_str(), fact.field("count"), run));
        }
        hints.extend(self.doubts(snapshot));
        hints
    }

    /// Says who holds the port that a process could not have.
    async fn port_hint(&self, port: Option<&str>, handle: &Handle, snapshot: &Snapshot) -> String {
        let config = handle.config();
        let from_command = || match &config.command {
            Command::Words(words) => port_in(words.iter().map(String::as_str)),
            Command::Shell(script) => port_in(script.split_whitespace()),
        };
        let printed = port.and_then(|port| port.parse().ok());
        let Some(port) = printed.or(snapshot.port).or_else(from_command) else {
            return "the port it wants is in use: stop the other process, or give it another port".to_owned();
        };
        let home = self.parts.fleet.context().ports.home().to_owned();
        let look = move || procfs::holder(port).map(|holder| holder.described(&home));
        match tokio::task::spawn_blocking(look).await.ok().flatten() {
            Some(holder) => format!("port {port} is held by {holder}"),
            None => format!("port {port} was in use; nobody holds it now, so starting again may just work"),
        }
    }
}

fn build_hint(name: &str, fact: &Fact) -> String {
    let errors = match fact.field("errors") {
        Some("1") => " with 1 error".to_owned(),
        Some(errors) => format!(" with {errors} errors"),
        None => String::new(),
    };
    format!(
        "its last build failed{errors}: see get_errors {{\"name\": \"{name}\"}} or `ostler errors {name}`; what it \
         serves is what was built before, if anything"
    )
}

fn migration_hint(name: &str, count: Option<&str>, run: Option<String>) -> String {
    let waits = match count {
        Some("1") => "1 migration".to_owned(),
        Some(count) => format!("{count} migrations"),
        None => "migrations".to_owned(),
    };
    let run = run.map_or_else(|| "run them".to_owned(), |run| format!("run `{run}`"));
    format!("its database waits for {waits}: {run} in its folder, then restart `{name}`")
}

/// Returns the command that runs migrations, where that of the process tells the framework.
fn migration_command<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut before = None;
    for word in words {
        let program = word.rsplit('/').next().unwrap_or(word);
        let command = match program {
            "manage.py" => match before {
                // Behind whatever runs it: `python`, `.venv/bin/python`, and `uv run`, of which `run` is not enough.
                Some(interpreter) if is_python(interpreter) => format!("{interpreter} {word} migrate"),
                _ => format!("python {word} migrate"),
            },
            "artisan" => format!("php {word} migrate"),
            "rails" => format!("{word} db:migrate"),
            "puma" | "rackup" => "bin/rails db:migrate".to_owned(),
            "mix" => "mix ecto.migrate".to_owned(),
            _ => {
                before = Some(word);
                continue;
            }
        };
        return Some(command.chars().filter(|c| !c.is_control()).take(COMMAND_CHARS).collect());
    }
    None
}

fn is_python(word: &str) -> bool {
    word.rsplit('/').next().is_some_and(|program| program.starts_with("python"))
}

/// Finds what looks like a port among a command's words: `8000`, `--port=8000`, `127.0.0.1:8000`.
fn port_in<'a>(words: impl Iterator<Item = &'a str>) -> Option<u16> {
    let port = |word: &str| word.rsplit([':', '=']).next()?.parse::<u16>().ok().filter(|port| *port >= 80);
    words.filter_map(port).last()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ProcessName, RunId, Time};

    fn fact(kind: &str, fields: &[(&str, &str)]) -> Fact {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let process = ProcessName::new("api").unwrap();
        Fact { run: RunId(1), process, time: Time(0), kind: kind.to_owned(), fields }
    }

    fn build(state: &str) -> Fact {
        fact("build", &[("state", state)])
    }

    #[test]
    fn a_build_has_failed_until_one_succeeds() {
        let failed = |facts: &[Fact]| Standing::of(facts).failed_build.is_some();
        assert!(failed(&[build("ok"), build("started"), build("failed")]));
        assert!(failed(&[build("failed"), build("started")]), "the new one is not over yet");
        assert!(!failed(&[build("failed"), build("started"), build("ok")]));
        assert!(!failed(&[build("started")]));
    }

    #[test]
    fn a_reload_begins_anew_and_says_again_what_is_still_so() {
        let (port, pending) = (fact("port-in-use", &[]), fact("migration-pending", &[("count", "3")]));
        let reload = fact("reload", &[]);
        let facts = [port, build("failed"), pending.clone(), reload.clone()];
        assert_eq!(Standing::of(&facts), Standing::default());
        let facts = [reload, pending];
        assert_eq!(Standing::of(&facts).migration.and_then(|fact| fact.field("count")), Some("3"));
    }

    #[test]
    fn a_port_that_was_found_after_all_is_not_missing() {
        let port = fact("port-in-use", &[("port", "5173")]);
        assert!(Standing::of(std::slice::from_ref(&port)).port_in_use.is_some());
        let facts = [port.clone(), fact("listening", &[("url", "http://localhost:5174/")])];
        assert_eq!(Standing::of(&facts).port_in_use, None);
        let facts = [fact("ready", &[]), port];
        assert!(Standing::of(&facts).port_in_use.is_some(), "uvicorn is ready before it binds");
    }

    #[test]
    fn migrations_are_run_as_the_process_is() {
        let of = |command: &str| migration_command(command.split_whitespace()).unwrap_or_default();
        assert_eq!(of("python manage.py runserver 8000"), "python manage.py migrate");
        assert_eq!(
            of(".venv/bin/python3 shop/manage.py runserver"),
            ".venv/bin/python3 shop/manage.py migrate"
        );
        assert_eq!(of("uv run manage.py runserver"), "python manage.py migrate");
        assert_eq!(of("bin/rails server -p 3000"), "bin/rails db:migrate");
        assert_eq!(of("bundle exec puma"), "bin/rails db:migrate");
        assert_eq!(of("php artisan serve"), "php artisan migrate");
        assert_eq!(of("mix phx.server"), "mix ecto.migrate");
        assert_eq!(of("./server --port 80"), "");
    }

    #[test]
    fn advice_names_what_waits_and_what_to_run() {
        insta::assert_snapshot!(
            migration_hint("api", Some("18"), Some("python manage.py migrate".to_owned())),
            @"its database waits for 18 migrations: run `python manage.py migrate` in its folder, then restart `api`"
        );
        insta::assert_snapshot!(
            migration_hint("api", None, None),
            @"its database waits for migrations: run them in its folder, then restart `api`"
        );
        insta::assert_snapshot!(
            build_hint("web", &fact("build", &[("state", "failed"), ("errors", "2")])),
            @r#"its last build failed with 2 errors: see get_errors {"name": "web"} or `ostler errors web`; what it serves is what was built before, if anything"#
        );
    }

    #[test]
    fn ports_are_found_in_the_usual_places() {
        let find = |command: &str| port_in(command.split_whitespace());
        assert_eq!(find("python manage.py runserver 8000"), Some(8000));
        assert_eq!(find("python manage.py runserver 127.0.0.1:8123"), Some(8123));
        assert_eq!(find("vite --port 5173 --strictPort"), Some(5173));
        assert_eq!(find("npx vite --port=5173"), Some(5173));
        assert_eq!(find("sleep 5"), None);
    }
}
