//! The program `ostler-shim`: its arguments, and the name it goes by.
//!
//! Where it was not installed beside `ostler`, the daemon starts `ostler` itself under this name: the same shim, at
//! the price of the larger program's memory.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::run::run;

/// The name the shim is started under, whatever file it is in.
pub const NAME: &str = "ostler-shim";

/// Returns whether this process was started as a shim.
pub fn is_called() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    Path::new(&name).file_name() == Some(OsStr::new(NAME))
}

/// Supervises the child described in the run directory that the arguments name.
pub fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [run_dir, socket_path] = args.as_slice() else {
        complain(&format_args!(
            "usage: {NAME} RUN_DIR CONTROL_SOCKET\nStarted by the ostler daemon; not of use by itself."
        ));
        return ExitCode::from(2);
    };
    match run(Path::new(run_dir), Path::new(socket_path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format_args!("{NAME}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard error, which is the run's `shim.log`. When that cannot be written, nobody can be told,
/// and there is no reason to end: `eprintln!` would.
pub(super) fn complain(message: &dyn Display) {
    let _ = writeln!(io::stderr(), "{message}");
}
