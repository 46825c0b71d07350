//! The help of commands that look at things.

use super::help;

#[test]
fn help_of_health() {
    insta::assert_snapshot!(help(&["health"]), @r"
    Makes the health checks of processes now and says what they saw

    A process without a `health` check has its `ready` check made.

    Ends with 1 when a check fails, or when a process that was named does not run.

    Usage: ostler health [OPTIONS] [NAME]...

    Arguments:
      [NAME]...
              The processes' names; all of them without one

    Options:
          --json
              Prints an array of {process, verdict, check, saw, latency_ms, recent}

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_diagnose() {
    insta::assert_snapshot!(help(&["diagnose"]), @r"
    Says why a process is as it is

    Its exit in words, its last runs, its last errors and lines, and what to do next.

    Usage: ostler diagnose [OPTIONS] <NAME>

    Arguments:
      <NAME>
              The process's name

    Options:
          --json
              Prints {process, summary, command, cwd, runs, errors, tail, hints, cursor}

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_status() {
    insta::assert_snapshot!(help(&["status"]), @r"
    Shows where the project, its state, socket and log are, and whether the daemon runs

    Usage: ostler status [OPTIONS]

    Options:
          --json
              Prints {project_dir, config, state_dir, socket, log, daemon}

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help
    ");
}

#[test]
fn help_of_doctor() {
    insta::assert_snapshot!(help(&["doctor"]), @r"
    Says what is in force on this machine, and how to get more

    Cgroups and what they can limit, the kernel's help with processes, limits, disk, sockets, and
    systemd: each with a remedy where something is missing. Starts nothing; where the daemon runs,
    it is asked. Ends with 1 when something fails.

    Usage: ostler doctor [OPTIONS]

    Options:
          --json
              Prints {checks: [{name, health, text, remedy}], fails, warns}

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_plugin() {
    insta::assert_snapshot!(help(&["plugin"]), @r"
    Shows the plugins that understand what processes print

    Usage: ostler plugin [OPTIONS] <COMMAND>

    Commands:
      list   Lists the plugins, and why those are refused that are
      build  Builds a plugin's crate into a component, and runs the plugin's own samples
      help   Print this message or the help of the given subcommand(s)

    Options:
      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help
    ");
}

#[test]
fn help_of_plugin_list() {
    insta::assert_snapshot!(help(&["plugin", "list"]), @r"
    Lists the plugins, and why those are refused that are

    They are those in `.ostler/plugins/` of the project, those in the user's `ostler/plugins/`
    configuration folder, and the built-in ones.

    Usage: ostler plugin list [OPTIONS]

    Options:
          --json
              Prints an array of {name, origin, state, reason, version, kinds, unused_kinds, contract, path, …}

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_summary() {
    insta::assert_snapshot!(help(&["summary"]), @r"
    Sums up the log: lines, rates and errors of processes, and what they said most often

    Numbers are of all lines since then. Messages are those of the newest lines, without what
    differs from one to the next: `job <n> of <q> failed`.

    Usage: ostler summary [OPTIONS] [NAME]...

    Arguments:
      [NAME]...
              Processes and groups; all when none is named

    Options:
          --since <WHEN>
              Since then: restart, change (of a watched file), run:7, file:PATH, 10m, a time, or a cursor

              [default: 15m]

      -n, --limit <N>
              Shows at most this many kinds of errors, and as many messages

          --json
              Prints {from, to, lines, processes: [{process, lines, levels, …}], errors, messages, …}

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_alerts() {
    insta::assert_snapshot!(help(&["alerts"]), @r"
    Shows the alerts that were raised, and goes on with -f

    What raises an alert stands in ostler.toml, in `[alert.NAME]`.

    Usage: ostler alerts [OPTIONS] [NAME]...

    Arguments:
      [NAME]...
              Processes and groups; all when none is named

    Options:
      -f, --follow
              Goes on with those that are raised from now on, until Ctrl-C

          --since <CURSOR|10m>
              Shows those since then: 10m, a time, or a cursor such as alert:7

      -n, --limit <N>
              Shows at most this many, the newest; 50 when left out

          --json
              Prints {alerts: [{id, name, process, time, what, text, …}], more, cursor}; with -f an alert a line

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    ");
}
