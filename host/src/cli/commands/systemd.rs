//! `ostler systemd`

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Code, Context, Outcome};
use crate::cli::exit::CliError;
use crate::cli::render::visible;
use crate::daemon::Paths;

/// Variables that decide where things lie, and so must be the same for the unit as for commands.
const PLACES: [&str; 4] = ["OSTLER_STATE_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"];

/// Writes a systemd user unit that looks after this project from login on
///
/// Shows the unit, or installs it with `--install`. Under it the daemon is started with
/// everything that has `autostart`, is started again when it dies or hangs (processes live on
/// meanwhile), and takes everything down in order when the unit is stopped.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Writes it into the user's unit directory, and says how to enable it
    #[arg(long, conflicts_with = "print")]
    install: bool,

    /// Prints it; this is the default
    #[arg(long)]
    print: bool,
}

/// Shows or installs the unit.
pub fn run(args: &Args, context: &Context) -> Outcome {
    let paths = context.paths()?;
    if paths.config_file.is_none() {
        return Err(crate::cli::context::no_config(&paths));
    }
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("this program cannot be found: {error}")))?;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let text = unit(&paths.project_dir, &program, variable)?;
    if !args.install {
        context.print(&text)?;
        return Ok(Code::Done);
    }
    let (dir, name) = (unit_dir(variable)?, unit_name(&paths));
    let path = dir.join(&name);
    let written = fs::create_dir_all(&dir).and_then(|()| fs::write(&path, text));
    written.map_err(|error| CliError::failed(format!("{} cannot be written: {error}", path.display())))?;
    context.print(&format!(
        "wrote {}\nenable it with: systemctl --user daemon-reload && systemctl --user enable --now {name}\n\
         to have it from boot on, without a login: loginctl enable-linger\n",
        visible(&path.display().to_string())
    ))?;
    Ok(Code::Done)
}

fn unit_dir(variable: impl Fn(&str) -> Option<String>) -> Result<PathBuf, CliError> {
    let config = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let config = config.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")));
    let nowhere =
        || CliError::failed("neither HOME nor XDG_CONFIG_HOME is set, so there is no unit directory");
    Ok(config.ok_or_else(nowhere)?.join("systemd/user"))
}

/// Returns the unit's name: that of the state directory, which is unique among the user's projects.
fn unit_name(paths: &Paths) -> String {
    let name = paths.state_dir.file_name().unwrap_or_default().to_string_lossy();
    format!("ostler-{name}.service")
}

/// Returns the unit. `config/systemd/ostler@.service` is the same for any project, and is kept like it by a test.
fn unit(
    project: &Path,
    program: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, CliError> {
    let (dir, program) = (quoted(project)?, quoted(program)?);
    let name = project.file_name().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    let mut text = format!(
        "# Written by `ostler systemd`. See sd_notify(3) and systemd.service(5) for what the lines mean.\n\
         [Unit]\nDescription=Ostler looks after {}\n\n[Service]\nType=notify\nNotifyAccess=main\n",
        name.replace('%', "%%")
    );
    // A user manager's own PATH is short: what starts in a shell should start here.
    for name in std::iter::once("PATH").chain(PLACES) {
        if let Some(value) = variable(name) {
            let _ = writeln!(text, "Environment={}", quoted(format!("{name}={value}"))?);
        }
    }
    let _ = write!(
        text,
        "WorkingDirectory={}\n\
         ExecStart={program} -C {dir} daemon --up\n\
         ExecReload={program} -C {dir} upgrade\n\
         ExecStop={program} -C {dir} down\n\
         # A daemon that dies leaves its processes to the next one; they must not be killed with it.\n\
         KillMode=process\n\
         Restart=on-failure\n\
         RestartSec=1\n\
         WatchdogSec=30\n\
         TimeoutStartSec=120\n\
         TimeoutStopSec=120\n\
         # So that each process can have a cgroup of its own, with limits.\n\
         Delegate=yes\n\n\
         [Install]\nWantedBy=default.target\n",
        plain(project)?,
    );
    Ok(text)
}

/// Returns a word of a unit's command line: quoted, and with nothing that systemd would replace.
fn quoted(text: impl AsRef<std::ffi::OsStr>) -> Result<String, CliError> {
    let text = checked(text.as_ref())?;
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    Ok(format!("\"{escaped}\""))
}

/// Returns the value of a setting that is a path as it stands.
fn plain(path: &Path) -> Result<String, CliError> {
    Ok(checked(path.as_os_str())?.replace('%', "%%"))
}

fn checked(text: &std::ffi::OsStr) -> Result<&str, CliError> {
    text.to_str().filter(|text| !text.contains(char::is_control)).ok_or_else(|| {
        let text = visible(&text.to_string_lossy()).into_owned();
        CliError::usage(format!(
            "a systemd unit cannot hold {text:?}: it has control characters, or is not UTF-8"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn a_project_with_an_odd_name_cannot_add_lines_or_specifiers() {
        let text = unit(Path::new("/srv/100% \"x\" $HOME\\"), Path::new("/bin/ostler"), nothing).unwrap();
        let start = text.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        assert_eq!(start, r#"ExecStart="/bin/ostler" -C "/srv/100%% \"x\" $$HOME\\" daemon --up"#);
        assert!(text.contains("\nWorkingDirectory=/srv/100%% \"x\" $HOME\\\n"), "{text}");
        assert!(unit(Path::new("/srv/a\nExecStart=/bin/rm"), Path::new("/bin/ostler"), nothing).is_err());
    }

    #[test]
    fn the_environment_that_matters_is_the_same_as_for_commands() {
        let variable = |name: &str| (name != "HOME").then(|| format!("/v/{name}"));
        let text = unit(Path::new("/srv/shop"), Path::new("/bin/ostler"), variable).unwrap();
        assert!(text.contains("Environment=\"PATH=/v/PATH\"\n"), "{text}");
        assert!(text.contains("Environment=\"OSTLER_STATE_DIR=/v/OSTLER_STATE_DIR\"\n"), "{text}");
        assert!(!text.contains("XDG_RUNTIME_DIR"), "the user manager sets it");
    }

    #[test]
    fn the_example_is_the_unit_of_any_project() {
        let example =
            fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/systemd/ostler@.service"));
        let example = example.unwrap();
        let settings = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.contains('=') && !line.starts_with('#'));
            let lines =
                lines.filter(|line| !line.starts_with("Description=") && !line.starts_with("Environment="));
            lines.map(str::to_owned).collect()
        };
        let unit = unit(Path::new("/PROJECT"), Path::new("/PROGRAM"), nothing).unwrap();
        let unit = unit
            .replace("\"/PROGRAM\"", "%h/.cargo/bin/ostler")
            .replace("\"/PROJECT\"", "%f")
            .replace("/PROJECT", "%f");
        assert_eq!(settings(&example), settings(&unit));
    }

    #[test]
    fn units_go_where_systemd_looks() {
        let dir = |set: &'static str, value: &'static str| {
            unit_dir(move |name| (name == set).then(|| value.to_owned()))
                .map(|dir| dir.display().to_string())
                .ok()
        };
        assert_eq!(dir("HOME", "/h").as_deref(), Some("/h/.config/systemd/user"));
        assert_eq!(dir("XDG_CONFIG_HOME", "/c").as_deref(), Some("/c/systemd/user"));
        assert_eq!(dir("X", ""), None);
    }
}
