//! The daemon's side of a launch: starts a shim for a run directory.
//!
//! Owns nothing afterwards: the shim lives by itself, and the caller has its process and its first connection.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::program::NAME;
use super::spec::{LaunchSpec, SpecError};

/// Longest path of a Unix socket: `sun_path` has 108 bytes with the NUL (`unix(7)`).
const SOCKET_PATH_BYTES: usize = 107;

/// A shim that was started; whether its child was, its first report tells.
#[derive(Debug)]
pub struct Launched {
    /// The shim. To be waited for when it ends, or it stays a zombie as long as the daemon lives.
    pub shim: Child,
    /// The first connection; later ones are made to the control socket.
    pub control: UnixStream,
}

/// Why no shim was started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(
        "control socket path {path} has {length} bytes, at most {SOCKET_PATH_BYTES} are possible: \
         point XDG_RUNTIME_DIR at a shorter directory"
    )]
    SocketPath { path: String, length: usize },
    #[error("cannot start the shim {program}: {error}")]
    Shim { program: String, error: io::Error },
}

/// Starts `shim_program` for `spec` in `run_dir`, which must exist, be empty and be open to its owner only.
///
/// The control socket is made at `socket_path` by the shim. Blocks for well under a millisecond.
pub fn launch(
    shim_program: &Path,
    run_dir: &Path,
    socket_path: &Path,
    spec: &LaunchSpec,
) -> Result<Launched, LaunchError> {
    let length = socket_path.as_os_str().as_bytes().len();
    if length > SOCKET_PATH_BYTES {
        return Err(LaunchError::SocketPath { path: socket_path.display().to_string(), length });
    }
    spec.write(run_dir)?;
    spawn_shim(shim_program, run_dir, socket_path)
        .map_err(|error| LaunchError::Shim { program: shim_program.display().to_string(), error })
}

fn spawn_shim(shim_program: &Path, run_dir: &Path, socket_path: &Path) -> io::Result<Launched> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut log = OpenOptions::new();
    let log = log.append(true).create(true).mode(0o600).open(run_dir.join("shim.log"))?;
    // No environment: the child has its own in the spec, and the shim needs none.
    let shim = Command::new(shim_program)
        .arg0(NAME)
        .arg(run_dir)
        .arg(socket_path)
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    Ok(Launched { shim, control: ours })
}
