//! Owns what every command works with: the project, the way to its daemon, and the two output streams.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::client::{Client, ClientError};
use super::exit::{CliError, Code};
use super::launch::{self, RETRY_EVERY};
use super::render::{self, Clock, Palette, Wishes};
use super::wire::VERSION;
use crate::daemon::Paths;

/// How often a connection that is closed at once is made anew: a daemon that is ending does that.
const GREETINGS: usize = 100;

/// See the module.
#[derive(Debug, Clone)]
pub struct Context {
    project: Option<PathBuf>,
    /// Colours on standard output.
    pub palette: Palette,
    /// Colours on standard error.
    errors: Palette,
    json: bool,
}

impl Context {
    /// Makes the context of a command; with `json` errors are told as JSON.
    pub fn new(project: Option<PathBuf>, no_color: bool, json: bool) -> Self {
        let wishes = Wishes::of_environment(no_color);
        Self {
            project,
            palette: Palette::for_stream(&io::stdout(), wishes),
            errors: Palette::for_stream(&io::stderr(), wishes),
            json,
        }
    }

    /// Returns the folder that was named with `-C`.
    pub fn project(&self) -> Option<&PathBuf> {
        self.project.as_ref()
    }

    /// Finds the project.
    pub fn paths(&self) -> Result<Paths, CliError> {
        Paths::find(self.project.as_deref()).map_err(|error| CliError::usage(error.to_string()))
    }

    /// Talks to the daemon of a project with an `ostler.toml`, and starts it when it does not run. In a folder
    /// without one only a daemon that runs already is of use, or one that takes up what such a one has left: there is
    /// nothing that a fresh one could look after.
    pub async fn client(&self) -> Result<Client, CliError> {
        let paths = self.paths()?;
        self.is_a_project(&paths).await?;
        self.client_of(&paths).await
    }

    /// Makes sure that there is something a daemon could look after.
    pub async fn is_a_project(&self, paths: &Paths) -> Result<(), CliError> {
        let is_one = paths.config_file.is_some()
            || launch::connect(paths).await?.is_some()
            || launch::left_anything_behind(paths);
        if is_one { Ok(()) } else { Err(no_config(paths)) }
    }

    /// Talks to the daemon of any folder, and starts it when it does not run.
    pub async fn client_of(&self, paths: &Paths) -> Result<Client, CliError> {
        for _ in 0..GREETINGS {
            let stream = launch::connect_or_start(paths).await?;
            match Client::greet(stream).await {
                // It is ending. Its successor can start once it is gone.
                Err(error) if error.is_lost() => tokio::time::sleep(RETRY_EVERY).await,
                client => return self.greeted(client),
            }
        }
        Err(ClientError::Closed.into())
    }

    /// Talks to the daemon if it runs.
    pub async fn running_client(&self, paths: &Paths) -> Result<Option<Client>, CliError> {
        let Some(stream) = launch::connect(paths).await? else { return Ok(None) };
        match Client::greet(stream).await {
            Err(error) if error.is_lost() => Ok(None),
            client => self.greeted(client).map(Some),
        }
    }

    fn greeted(&self, client: Result<Client, ClientError>) -> Result<Client, CliError> {
        let client = client?;
        if let Some(version) = client.other_version() {
            self.note(&format!(
                "the daemon is version {version}, this command is {VERSION}; `ostler upgrade` renews it, and processes run on"
            ));
        }
        Ok(client)
    }

    /// Writes a reply for programs: one line of JSON.
    pub fn print_json(&self, reply: &impl Serialize) -> Outcome<()> {
        self.print(&format!("{}\n", serde_json::to_string(reply).map_err(io::Error::from)?))
    }

    /// Writes to standard output.
    pub fn print(&self, text: &str) -> Outcome<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Tells an error and returns the exit code that goes with it.
    pub fn tell(&self, error: &CliError) -> Code {
        if let CliError::Told(complaint) = error {
            let text = if self.json {
                render::complaint_json(complaint)
            } else {
                render::complaint(self.errors, Clock::local(), complaint)
            };
            self.print_error(&text);
        }
        error.code()
    }

    /// Tells something that is neither an answer nor an error.
    pub fn note(&self, text: &str) {
        self.print_error(&render::note(self.errors, text));
    }

    /// Writes to standard error; when that is gone there is nobody left to tell.
    fn print_error(&self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

type Outcome<T> = Result<T, CliError>;

/// Makes the error of a folder that is no project.
pub fn no_config(paths: &Paths) -> CliError {
    let dir = paths.project_dir.display();
    CliError::usage(format!("there is no ostler.toml in {dir} or a folder above it"))
        .hint("`ostler init` writes one for what it finds here; `-C DIR` names another folder")
}
