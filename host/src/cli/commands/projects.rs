//! `ostler projects`

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::{Code, Context, Outcome, first_failure};
use crate::cli::client::Client;
use crate::cli::exit::CliError;
use crate::cli::render::{self, Palette, visible};
use crate::daemon::{KnownProject, NotPruned, Paths, known_projects, prune};

/// How long a daemon may take to answer; one that takes longer is shown without its processes.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// Lists all projects with state on this machine, and what runs of them
///
/// A project is listed once a daemon has looked after it. State lies outside the project's
/// directory and stays when that is removed or moved: `--prune` removes the state of projects
/// whose directory does not exist any more and of which nothing runs.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Prints an array of {name, dir, exists, state_dir, daemon, running, processes, left_behind}
    #[arg(long)]
    pub json: bool,

    /// Removes the state of projects whose directory is gone
    #[arg(long)]
    prune: bool,
}

/// A project as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    /// None where no daemon has written it down yet.
    name: Option<String>,
    dir: Option<PathBuf>,
    /// Whether the directory exists.
    exists: Option<bool>,
    state_dir: PathBuf,
    daemon: Option<Running>,
    /// Processes that run, when a daemon was there to ask.
    running: Option<usize>,
    processes: Option<usize>,
    /// Runs that may live on without a daemon.
    left_behind: usize,
}

#[derive(Debug, Serialize)]
struct Running {
    pid: u32,
    version: String,
}

/// Lists projects, or removes state.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let root = Paths::state_root().map_err(|error| CliError::failed(error.to_string()))?;
    let looked = tokio::task::spawn_blocking({
        let root = root.clone();
        move || known_projects(&root)
    });
    let cannot_read = |error: String| CliError::failed(format!("{}: {error}", root.display()));
    let projects =
        looked.await.map_err(|e| cannot_read(e.to_string()))?.map_err(|e| cannot_read(e.to_string()))?;
    if args.prune {
        return remove(&projects, context);
    }
    let mut asked = JoinSet::new();
    for (place, project) in projects.into_iter().enumerate() {
        asked.spawn(async move { (place, list(project).await) });
    }
    let mut listed = asked.join_all().await;
    listed.sort_by_key(|(place, _)| *place);
    let listed: Vec<Listed> = listed.into_iter().map(|(_, project)| project).collect();
    if args.json {
        context.print_json(&listed)?;
    } else if listed.is_empty() {
        context.print(&format!("no project has state in {}\n", root.display()))?;
    } else {
        context.print(&table(context.palette, &listed))?;
    }
    Ok(Code::Done)
}

async fn list(project: KnownProject) -> Listed {
    let socket = project.file.as_ref().map(|file| file.socket.clone());
    let answer = async {
        let stream = UnixStream::connect(socket?).await.ok()?;
        let mut client = Client::greet(stream).await.ok()?;
        let status = client.status().await.ok()?;
        Some((Running { pid: status.pid, version: status.version }, client.list().await.ok()?))
    };
    let answer = tokio::time::timeout(ANSWER_WAIT, answer).await.ok().flatten();
    let (daemon, views) = answer.unzip();
    let running = views.as_ref().map(|views| views.iter().filter(|view| view.state.is_alive()).count());
    let (name, dir) = project.file.map(|file| (file.name, file.dir)).unzip();
    Listed {
        name,
        dir,
        exists: project.exists,
        state_dir: project.state_dir,
        left_behind: if daemon.is_some() { 0 } else { project.open_runs },
        daemon,
        running,
        processes: views.map(|views| views.len()),
    }
}

fn table(palette: Palette, listed: &[Listed]) -> String {
    let rows: Vec<_> = listed.iter().map(|project| project.row().map(Into::into)).collect();
    render::table(palette, ["NAME", "DAEMON", "RUNNING", "VERSION", "DIRECTORY"], &rows)
}

impl Listed {
    fn row(&self) -> [String; 5] {
        let daemon = self.daemon.as_ref();
        let running = match (self.running, self.processes, self.left_behind) {
            (Some(running), Some(all), _) => format!("{running} of {all}"),
            (_, _, 0) => "-".to_owned(),
            (_, _, left) => format!("{left} left behind"),
        };
        let dir = match (&self.dir, self.exists) {
            (Some(dir), Some(false)) => format!("{} (gone)", dir.display()),
            (Some(dir), _) => dir.display().to_string(),
            (None, _) => format!("not known; its state is {}", self.state_dir.display()),
        };
        [
            visible(self.name.as_deref().unwrap_or("?")).into_owned(),
            daemon.map_or_else(|| "-".to_owned(), |daemon| daemon.pid.to_string()),
            running,
            daemon.map_or_else(|| "-".to_owned(), |daemon| visible(&daemon.version).into_owned()),
            visible(&dir).into_owned(),
        ]
    }
}

fn remove(projects: &[KnownProject], context: &Context) -> Outcome {
    let mut code = Code::Done;
    let mut removed = 0;
    for project in projects {
        let dir = project.file.as_ref().map(|file| visible(&file.dir.display().to_string()).into_owned());
        match prune(project) {
            Ok(()) => {
                removed += 1;
                let dir = dir.unwrap_or_default();
                context.print(&format!("removed {} of {dir}\n", project.state_dir.display()))?;
            }
            Err(NotPruned::Exists | NotPruned::Unknown) => {}
            Err(why) => {
                let error = CliError::failed(format!("{} is kept: {why}", project.state_dir.display()));
                code = first_failure(code, context.tell(&error));
            }
        }
    }
    if removed == 0 && code == Code::Done {
        context.print("nothing to remove: every project known has its directory\n")?;
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_what_was_left_and_what_is_gone_are_told_apart() {
        let running = Listed {
            name: Some("shop".into()),
            dir: Some("/srv/shop".into()),
            exists: Some(true),
            state_dir: "/state/shop-1f".into(),
            daemon: Some(Running { pid: 42, version: "0.1.0".into() }),
            running: Some(2),
            processes: Some(3),
            left_behind: 0,
        };
        let gone = Listed {
            name: Some("old".into()),
            dir: Some("/srv/old\u{1b}[2J".into()),
            exists: Some(false),
            daemon: None,
            running: None,
            processes: None,
            left_behind: 1,
            state_dir: "/state/old-2a".into(),
        };
        let unknown = Listed {
            name: None,
            dir: None,
            exists: None,
            daemon: None,
            running: None,
            processes: None,
            left_behind: 0,
            state_dir: "/state/x-3b".into(),
        };
        insta::assert_snapshot!(table(Palette::PLAIN, &[running, gone, unknown]), @r"
        NAME  DAEMON  RUNNING        VERSION  DIRECTORY
        shop  42      2 of 3         0.1.0    /srv/shop
        old   -       1 left behind  -        /srv/old␛[2J (gone)
        ?     -       -              -        not known; its state is /state/x-3b
        ");
    }
}
