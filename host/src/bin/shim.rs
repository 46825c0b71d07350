//! `ostler-shim RUN_DIR CONTROL_SOCKET`: supervises one child for the daemon that starts it; see [`ostler::shim`].

fn main() -> std::process::ExitCode {
    ostler::shim::program::main()
}
