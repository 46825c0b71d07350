//! The help of every command, as a person sees it without a terminal's colours.

use clap::CommandFactory;

use super::Cli;

mod looking;
mod when;

/// Returns the long help of `ostler`, or of one of its commands, without spaces at the ends of lines.
pub(in crate::cli) fn help(path: &[&str]) -> String {
    let mut command = Cli::command();
    // Globals are handed down when the command is built.
    command.build();
    let mut found = &mut command;
    for name in path {
        found = found.find_subcommand_mut(name).unwrap_or_else(|| panic!("no command {name}"));
    }
    let help = found.render_long_help().to_string();
    help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_of_ostler() {
    insta::assert_snapshot!(help(&[]), @r#"
    Looks after your development processes while you, or your coding agent, do something else.

    The processes are those of the nearest `ostler.toml`, in this folder or one above it. A
    daemon in the background looks after them; commands start it when it does not run, except
    `down`, `init`, `status` and `doctor`.

    Usage: ostler [OPTIONS] <COMMAND>

    Commands:
      init           Writes an ostler.toml for what it finds in the folder
      up             Starts the processes and shows their output until Ctrl-C
      down           Stops every process, dependents first, and the daemon
      ps             Lists the processes and how they are
      start          Starts processes, each by its name
      stop           Stops processes with everything they have started
      restart        Stops processes and starts them again
      run            Runs a process once, in the foreground
      reload         Makes processes read their own configuration again
      signal         Sends a signal to a process
      scale          Changes how many replicas of a process there are
      group          Lists groups of processes, makes them, and adds to them
      add            Adds a process until `ostler down`, and starts it
      remove         Takes away processes that were added
      reload-config  Takes up what has changed in ostler.toml
      logs           Shows what processes have printed, and goes on with -f
      summary        Sums up the log: lines, rates and errors of processes, and what they said most often
      wait           Waits until a process is ready, has ended, has printed something, or has raised an alert
      send           Writes to a process's standard input
      attach         Connects the terminal to a process: shows what it prints, and passes on what is typed
      diagnose       Says why a process is as it is
      errors         Shows the kinds of errors that processes had: how often, where, and whether they are mended
      alerts         Shows the alerts that were raised, and goes on with -f
      health         Makes the health checks of processes now and says what they saw
      inspect        Shows everything about a process: settings in force, environment, ports, its tree, its files
      stats          Shows what processes and the system use: processor, memory, threads, files, disk
      plugin         Shows the plugins that understand what processes print
      status         Shows where the project, its state, socket and log are, and whether the daemon runs
      doctor         Says what is in force on this machine, and how to get more
      projects       Lists all projects with state on this machine, and what runs of them
      upgrade        Puts this version of ostler in the running daemon's place; processes run on
      systemd        Writes a systemd user unit that looks after this project from login on
      mcp            Serves the Model Context Protocol on standard input and output, for coding agents
      daemon         Runs the project's daemon in the foreground
      demo           Shows the main job on a small web shop of its own: needs nothing else, leaves nothing behind
      help           Print this message or the help of the given subcommand(s)

    Options:
      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Errors go to standard error; of a command with `--json`, as one line
    {"error":{"kind":…,"message":…,"hint":…,"lines":[…]}}.

    Exit codes:
        0  done
        1  it failed: a process did not start, what was waited for cannot happen any more
        2  the command line or ostler.toml makes no sense
        3  there is no such process
        4  the daemon cannot be reached or started, or cannot serve just now
      124  a wait ran out of time
    `ostler attach` ends with the exit code of the process, or 128 and the number of the signal
    that killed it, when it ends first.
    `ostler run` ends with the exit code of what it has run, or 128 and the number of the signal
    that killed it.
    "#);
}

#[test]
fn help_of_init() {
    insta::assert_snapshot!(help(&["init"]), @r"
    Writes an ostler.toml for what it finds in the folder

    It looks for files such as `manage.py`, `package.json` and `Procfile`, here and one folder
    below, and proposes a process for each. Read the result and change it: nothing is started.

    Usage: ostler init [OPTIONS]

    Options:
          --dry-run
              Shows what it would write, and writes nothing

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_up() {
    insta::assert_snapshot!(help(&["up"]), @r"
    Starts the processes and shows their output until Ctrl-C

    Starts the named processes and groups, or all with `autostart`, each after those it depends
    on; what runs already is left as it is, and what others only need to have ended well is not run
    again. What has changed in ostler.toml is taken up before.

    Ctrl-C stops everything in order, and the daemon; a second Ctrl-C leaves at once. When every
    process has ended by itself the command ends too, with 1 if one of them failed, and the daemon
    stays to be asked why.

    Usage: ostler up [OPTIONS] [NAME]...

    Arguments:
      [NAME]...
              Processes and groups to start, with what they depend on

    Options:
      -d, --detach
              Leaves them running in the background, and shows how they are

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_down() {
    insta::assert_snapshot!(help(&["down"]), @r"
    Stops every process, dependents first, and the daemon

    Returns once all are gone. When nothing runs that is what was asked for: success.
    What was added, grouped or scaled besides ostler.toml is forgotten.

    Usage: ostler down [OPTIONS]

    Options:
      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_ps() {
    insta::assert_snapshot!(help(&["ps"]), @r"
    Lists the processes and how they are

    A port in parentheses is one that a process was given and does not listen on.

    Usage: ostler ps [OPTIONS]

    Options:
          --json
              Prints an array of {name, state, pid, run, ready, uptime_ms, restarts, exit, ports, port}

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_start() {
    insta::assert_snapshot!(help(&["start"]), @r"
    Starts processes, each by its name

    What a process depends on and does not run is started before it, and told. A process that runs
    is left as it is. Several replicas are started together; a group's name stands for its members.

    Usage: ostler start [OPTIONS] <NAME>...

    Arguments:
      <NAME>...
              The names of processes and groups; `api` is all replicas of it, `api#1` and `api#2` are one

    Options:
          --wait[=<DURATION>]
              Waits until each is ready, as `ostler wait` does; at most so long, 30s unless told

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_stop() {
    insta::assert_snapshot!(help(&["stop"]), @r"
    Stops processes with everything they have started

    Each gets its stop signal, SIGTERM unless configured otherwise, and SIGKILL when its grace is
    over. A process that does not run is left as it is. A group's members are stopped in the order
    of its strategy. The daemon stays; `ostler down` ends it too.

    Usage: ostler stop [OPTIONS] <NAME>...

    Arguments:
      <NAME>...
              The names of processes and groups

    Options:
      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_restart() {
    insta::assert_snapshot!(help(&["restart"]), @r"
    Stops processes and starts them again

    Usage: ostler restart [OPTIONS] [NAME]...

    Arguments:
      [NAME]...
              The names of processes and groups

    Options:
          --all
              Restarts every process that runs

          --wait[=<DURATION>]
              Waits until each is ready, as `ostler wait` does; at most so long, 30s unless told

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help
    ");
}

#[test]
fn help_of_logs() {
    insta::assert_snapshot!(help(&["logs"]), @r"
    Shows what processes have printed, and goes on with -f

    Shows the newest 100 lines; with `--since` all lines since then.

    Usage: ostler logs [OPTIONS] [NAME]...

    Arguments:
      [NAME]...
              Processes and groups to show; all when none is named

    Options:
      -f, --follow
              Goes on with what is printed from now on, until Ctrl-C

      -n, --lines <N>
              Shows this many lines: the newest, or with a cursor the first after it

          --level <LEVEL>
              Shows lines at least this serious: trace, debug, info, warn, error or fatal

      -g, --grep <RE>
              Shows lines that match a regular expression

          --contains <TEXT>
              Shows lines with this text in them, as it stands here

          --field <FILTER>
              Shows lines with a field that passes: status=500, 'ms>=200', user.id!=7, 'path~^/api', or a key

              Fields are those of JSON lines, where dots lead into what is nested, and pairs key=value.
              The operators are = != > >= < <= and ~ for a regular expression. All filters must hold.

          --context <N>
              Shows this many lines before and after each that matches, whether they match or not

      -B, --before <N>
              Shows this many lines before each that matches

      -A, --after <N>
              Shows this many lines after each that matches

          --since <CURSOR|10m>
              Shows lines since then: 10m, 2026-11-20T08:00:00Z, now, or a cursor of `--show-cursor`

          --until <CURSOR|10m>
              Shows lines until then, written as for `--since`

          --stream <STREAM>
              Shows lines of one stream: stdout or stderr

          --run <N>
              Shows lines of one run, by its number in `ps --json` or `diagnose`

          --wait <10s>
              Waits this long for a first line after `--since`, or from now on, and shows what comes

          --count
              Shows how many lines match, of each process and level

          --show-cursor
              Prints the cursor after the last line on standard error, for a later `--since`

          --export <FORMAT>
              Writes out everything that matches, the oldest line first: jsonl or text

          --output <FILE>
              Exports to a new file, not to standard output

          --clear
              Deletes the lines of the named processes, or all, from the disk

          --yes
              Deletes without asking

          --json
              Prints one object a line: {seq, time, process, run, stream, level, text}

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_wait() {
    insta::assert_snapshot!(help(&["wait"]), @r"
    Waits until a process is ready, has ended, has printed something, or has raised an alert

    Ends with 1 as soon as that cannot happen any more, because the process ended before, and with
    124 when time is over; both show its last lines.

    Usage: ostler wait [OPTIONS] <NAME>

    Arguments:
      <NAME>
              The process's name

    Options:
          --ready
              Waits until it is ready; this is the default

          --exit
              Waits until it has ended

          --log <RE>
              Waits for a line, printed since it was started, that matches a regular expression

          --alert[=<ALERT>]
              Waits for an alert of this name, or any, raised since it was started

          --timeout <DURATION>
              Gives up after this long

              [default: 30s]

          --json
              Prints {outcome, reason, process, line, alert, tail, cursor}

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_send() {
    insta::assert_snapshot!(help(&["send"]), @r"
    Writes to a process's standard input

    Words are joined with spaces, and a line end follows. With `-` standard input is passed on as
    it is, as it comes. What a process does not read is waited for, for 5 seconds.

    Keys are ctrl-a to ctrl-z, enter, tab, space, escape, backspace, delete, up, down, left,
    right, home, end, page-up, page-down, f1 to f12. Cursor keys are sent as the program has asked
    its terminal for them (normal or application mode). In a process without a terminal (`pty`)
    ctrl-c, ctrl-z and ctrl-\ are sent as the signals that a terminal makes of them.

    Usage: ostler send [OPTIONS] <NAME> [TEXT]...

    Arguments:
      <NAME>
              The process's name

      [TEXT]...
              The text, or - for standard input; put -- before text that begins with a dash

    Options:
          --key <KEY>
              Presses a key, after the text if there is any; may be given several times

          --no-newline
              Adds no line end

          --eof
              Closes the process's standard input afterwards

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_mcp() {
    insta::assert_snapshot!(help(&["mcp"]), @r#"
    Serves the Model Context Protocol on standard input and output, for coding agents

    Put it into the agent's MCP configuration:

      {"mcpServers": {"ostler": {"command": "ostler", "args": ["mcp"]}}}

    It passes bytes to the project's daemon and back, and starts the daemon when it does not run;
    what the agent starts lives on when the agent ends. When the daemon dies or is upgraded it
    connects to the next one, and the agent goes on.

    Usage: ostler mcp [OPTIONS]

    Options:
          --toolsets <LIST>
              Sets of tools, separated by commas: core, processes, groups, logs or all

              [default: core]

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    "#);
}

#[test]
fn help_of_daemon() {
    insta::assert_snapshot!(help(&["daemon"]), @r"
    Runs the project's daemon in the foreground

    Other commands start it in the background when they need it, so this is for looking into it,
    and for service managers (`ostler systemd`). Its log goes to standard error; `OSTLER_LOG=debug`
    says more. SIGTERM and Ctrl-C end the daemon alone: processes live on, and the next daemon
    takes them up. `ostler down` ends both. Started by a service manager it takes the place of a
    daemon that some command has started.

    Usage: ostler daemon [OPTIONS]

    Options:
          --up
              Starts what has `autostart`, as `ostler up` does, unless the last daemon has died

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn no_help_is_wider_than_a_terminal() {
    let mut command = Cli::command();
    command.build();
    let mut commands = vec![command];
    while let Some(mut command) = commands.pop() {
        let name = command.get_name().to_owned();
        for line in command.render_long_help().to_string().lines() {
            assert!(line.chars().count() <= 110, "in the help of {name}: {line}");
        }
        commands.extend(command.get_subcommands().cloned());
    }
}
