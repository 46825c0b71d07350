//! The program `ostler`: the command line, or under the name `ostler-shim` a shim.

fn main() -> std::process::ExitCode {
    if ostler::shim::program::is_called() { ostler::shim::program::main() } else { ostler::cli::main() }
}
