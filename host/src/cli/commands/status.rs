//! `ostler status`

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::{Code, Context, Outcome};
use crate::api::StatusReply;
use crate::cli::render::{Clock, open_alert, visible};
use crate::daemon::{Paths, open_runs};

/// Shows where the project, its state, socket and log are, and whether the daemon runs
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Prints {project_dir, config, state_dir, socket, log, daemon}
    #[arg(long)]
    pub json: bool,
}

/// What there is to know without a daemon, and what the daemon adds when it runs.
#[derive(Debug, Serialize)]
struct Status {
    project_dir: PathBuf,
    config: Option<PathBuf>,
    state_dir: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    daemon: Option<StatusReply>,
    /// There is no daemon, but there are processes that one has left behind.
    #[serde(skip)]
    left_behind: bool,
}

/// Shows the status; starts nothing.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let paths = context.paths()?;
    let daemon = match context.running_client(&paths).await? {
        Some(mut client) => Some(client.status().await?),
        None => None,
    };
    let status = Status::new(paths, daemon);
    if args.json {
        context.print_json(&status)?;
    } else {
        context.print(&status.text())?;
    }
    Ok(Code::Done)
}

impl Status {
    fn new(paths: Paths, daemon: Option<StatusReply>) -> Self {
        Self {
            left_behind: daemon.is_none() && open_runs(&paths.state_dir).next().is_some(),
            socket: paths.socket(),
            log: paths.daemon_log(),
            project_dir: paths.project_dir,
            config: paths.config_file,
            state_dir: paths.state_dir,
            daemon,
        }
    }

    fn text(&self) -> String {
        let path = |path: &PathBuf| visible(&path.display().to_string()).into_owned();
        let config = self.config.as_ref().map_or_else(|| "none (`ostler init` writes one)".to_owned(), path);
        let daemon = match &self.daemon {
            Some(daemon) => format!("runs (pid {}, version {})", daemon.pid, visible(&daemon.version)),
            None if self.left_behind => {
                "does not run, but its processes may; the next command, such as `ostler ps`, takes them up"
                    .to_owned()
            }
            None => "does not run".to_owned(),
        };
        let mut text = String::new();
        for (title, value) in [
            ("project", path(&self.project_dir)),
            ("config", config),
            ("state", path(&self.state_dir)),
            ("socket", path(&self.socket)),
            ("log", path(&self.log)),
            ("daemon", daemon),
        ] {
            let _ = writeln!(text, "{title:8} {value}");
        }
        for warning in self.daemon.iter().flat_map(|daemon| &daemon.warnings) {
            let _ = writeln!(text, "warning  {}", visible(warning));
        }
        for alert in self.daemon.iter().flat_map(|daemon| &daemon.alerts) {
            let _ = writeln!(text, "alert    {}", open_alert(&Clock::local(), alert));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_shown_with_and_without_a_daemon() {
        let mut status = Status {
            project_dir: "/srv/shop".into(),
            config: None,
            state_dir: "/state/shop-1f".into(),
            socket: "/run/ostler/1f/daemon".into(),
            log: "/state/shop-1f/daemon.log".into(),
            daemon: None,
            left_behind: false,
        };
        insta::assert_snapshot!(status.text(), @r"
        project  /srv/shop
        config   none (`ostler init` writes one)
        state    /state/shop-1f
        socket   /run/ostler/1f/daemon
        log      /state/shop-1f/daemon.log
        daemon   does not run
        ");
        status.daemon = Some(StatusReply {
            version: "0.1.0".into(),
            pid: 42,
            project: "shop".into(),
            dir: "/srv/shop".into(),
            state_dir: "/state/shop-1f".into(),
            config: None,
            started: None,
            warnings: vec!["the disk is full".into()],
            alerts: Vec::new(),
        });
        assert!(
            status.text().ends_with("daemon   runs (pid 42, version 0.1.0)\nwarning  the disk is full\n")
        );
    }
}
