//! The program `ostler`.

fn main() -> std::process::ExitCode {
    ostler::cli::main()
}
