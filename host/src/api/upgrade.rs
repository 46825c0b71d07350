//! Another program in the daemon's place: looked at first, so that the old one is not lost to one that cannot start.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::Api;
use super::gate::Act;
use super::types::{ApiError, Caller, ErrorKind, Surface};

/// How long the other program may take to say that it could start.
const CHECK_WAIT: Duration = Duration::from_secs(30);
/// Most bytes that are read of what it says.
const CHECK_BYTES: u64 = 16 << 10;
/// The link to the program that runs (`proc_pid_exe(5)`).
const OWN_PROGRAM: &str = "/proc/self/exe";
/// What the kernel adds to it when the file is gone.
const DELETED: &str = " (deleted)";

/// What takes the daemon's place; when the reply is read, it has not yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpgradeReply {
    pub pid: u32,
    /// The version that runs.
    pub from: String,
    /// The version that takes its place.
    pub to: String,
    pub program: PathBuf,
}

/// What `ostler daemon --check` prints.
#[derive(Debug, Deserialize)]
struct Checked {
    version: String,
}

impl Api {
    /// Puts `program` in the daemon's place, or the present program as it is on disk now. Processes run on, and are
    /// adopted as after a crash; connections are closed once their requests are answered.
    pub async fn upgrade(&self, caller: &Caller, program: Option<String>) -> Result<UpgradeReply, ApiError> {
        let target = program.clone().unwrap_or_else(|| "the present program".to_owned());
        let act = Act { verb: "upgrade", target: "*".to_owned(), detail: target };
        let api = self.clone();
        let upgrading = async move {
            let program = find(program).await?;
            let to = check(&program, &api.parts.fleet.project().dir).await?;
            Ok(UpgradeReply {
                pid: std::process::id(),
                from: env!("CARGO_PKG_VERSION").to_owned(),
                to,
                program,
            })
        };
        let reply = self.gate.pass(caller, act, upgrading).await?;
        self.parts.upgrade.send_replace(Some(reply.program.clone()));
        Ok(reply)
    }
}

impl Api {
    /// Writes down that a program was to take over, and could not after all: what was asked for was found to be possible,
    /// and is in the audit log as that.
    pub async fn upgrade_failed(&self, why: &str) {
        let caller = Caller { surface: Surface::Daemon, client: "ostler".to_owned() };
        let act = Act { verb: "upgrade", target: "*".to_owned(), detail: String::new() };
        self.gate.record(caller, act, Err(why.to_owned())).await;
    }

    /// Takes back the wish for another program, because it is being tried.
    pub fn forget_upgrade(&self) {
        self.parts.upgrade.send_replace(None);
    }
}

async fn find(program: Option<String>) -> Result<PathBuf, ApiError> {
    let invalid = |message: String| ApiError::new(ErrorKind::Invalid, message);
    let program = match program {
        Some(program) => PathBuf::from(program),
        None => own_path().ok_or_else(|| invalid("the daemon's own program cannot be found".to_owned()))?,
    };
    if !program.is_absolute() {
        return Err(invalid(format!("{} is not an absolute path", program.display())));
    }
    let found = tokio::fs::canonicalize(&program).await;
    found.map_err(|error| invalid(format!("{}: {error}", program.display())))
}

/// Asks the program whether it could look after the project, and returns its version.
async fn check(program: &Path, project: &Path) -> Result<String, ApiError> {
    let refused = |why: String| {
        ApiError::new(ErrorKind::Failed, format!("{} cannot take over: {why}", program.display()))
            .hint("nothing was changed: the present daemon goes on")
    };
    let spawned = Command::new(program)
        .arg("-C")
        .arg(project)
        .args(["daemon", "--check"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| refused(error.to_string()))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(refused("it cannot be heard".to_owned()));
    };
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    let checked = async {
        let (mut stdout, mut stderr) = (stdout.take(CHECK_BYTES), stderr.take(CHECK_BYTES));
        let read = tokio::join!(stdout.read_to_end(&mut said), stderr.read_to_end(&mut complaint));
        read.0.and(read.1)?;
        // What is beyond the bytes it may say is not waited for.
        drop((stdout, stderr));
        child.wait().await
    };
    let status = tokio::time::timeout(CHECK_WAIT, checked)
        .await
        .map_err(|_| refused(format!("`daemon --check` does not end within {} s", CHECK_WAIT.as_secs())))?
        .map_err(|error| refused(error.to_string()))?;
    match serde_json::from_slice::<Checked>(&said) {
        Ok(Checked { version }) if status.success() => Ok(plain(&version, 32)),
        _ => {
            let complaint = String::from_utf8_lossy(&complaint);
            let complaint = plain(complaint.trim(), 600);
            let why =
                if complaint.is_empty() { "it does not understand `daemon --check`" } else { &complaint };
            Err(refused(format!("{why} ({status})")))
        }
    }
}

/// Keeps what is harmless of foreign words, at most so many characters.
fn plain(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

/// Returns where this program was started from.
fn own_path() -> Option<PathBuf> {
    let path = std::fs::read_link(OWN_PROGRAM).ok()?.into_os_string().into_string().ok()?;
    Some(path.strip_suffix(DELETED).unwrap_or(&path).into())
}

/// Says so when the file that this program was started from is another one now.
pub(super) fn replaced_on_disk() -> Option<String> {
    let path = own_path()?;
    let own = std::fs::metadata(OWN_PROGRAM).ok()?;
    let what = match std::fs::metadata(&path) {
        Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => return None,
        Ok(_) => "was replaced",
        Err(_) => "is gone",
    };
    Some(format!(
        "{} {what} since this daemon was started from it; `ostler upgrade` puts the present one in its place, and \
         processes run on",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn script(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        // A child that another test starts just now may hold the file open for writing until it executes its program.
        let busy = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ExecutableFileBusy;
        while std::process::Command::new(&path).output().is_err_and(|error| busy(&error)) {
            std::thread::yield_now();
        }
        path
    }

    #[tokio::test]
    async fn a_program_that_cannot_take_over_is_refused_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        for (text, says) in [
            ("echo 'error: unexpected argument' >&2; exit 2", "error: unexpected argument (exit status: 2)"),
            ("echo not json", "does not understand `daemon --check`"),
            ("echo '{\"version\":\"9\"}'; exit 1", "exit status: 1"),
            ("kill -9 $$", "signal: 9"),
            ("printf 'a\\033[2Jb' >&2; exit 1", "cannot take over: a [2Jb"),
        ] {
            let error = check(&script(dir.path(), text), dir.path()).await.unwrap_err();
            assert!(error.message.contains(says), "{}", error.message);
        }
        let error = check(&dir.path().join("nothing"), dir.path()).await.unwrap_err();
        assert!(error.message.contains("No such file"), "{}", error.message);
        assert!(error.hint.unwrap().contains("goes on"));
    }

    #[tokio::test]
    async fn a_program_that_can_is_named_by_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let text = "test \"$1 $3 $4\" = '-C daemon --check' && echo '{\"version\":\"9.1.0\",\"more\":1}'";
        assert_eq!(check(&script(dir.path(), text), dir.path()).await.unwrap(), "9.1.0");
    }

    #[tokio::test]
    async fn a_path_that_depends_on_where_the_daemon_is_makes_no_sense() {
        let error = find(Some("ostler".to_owned())).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(find(None).await.unwrap().is_absolute());
    }

    #[test]
    fn the_program_of_this_test_is_where_it_was() {
        assert_eq!(replaced_on_disk(), None);
    }
}
