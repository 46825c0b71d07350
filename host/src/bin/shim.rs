//! `ostler-shim RUN_DIR CONTROL_SOCKET`: supervises one child for the daemon that starts it; see [`ostler::shim`].

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [run_dir, socket_path] = args.as_slice() else {
        eprintln!(
            "usage: ostler-shim RUN_DIR CONTROL_SOCKET\nStarted by the ostler daemon; not of use by itself."
        );
        return ExitCode::from(2);
    };
    match ostler::shim::run(Path::new(run_dir), Path::new(socket_path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ostler-shim: {error}");
            ExitCode::FAILURE
        }
    }
}
