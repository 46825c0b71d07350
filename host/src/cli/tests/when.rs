//! The help of the commands that act on a process that runs, or runs once.

use super::help;

#[test]
fn help_of_run() {
    insta::assert_snapshot!(help(&["run"]), @r#"
    Runs a process once, in the foreground

    What it depends on is started first and stays up. Its output comes as it is, standard output
    and standard error apart; standard input is passed on unless it is a terminal. Ctrl-C stops it,
    a second one kills it. It is not started again, whatever its restart policy says, and its exit
    code is this command's: 128 and the number of the signal when one killed it.

    Usage: ostler run [OPTIONS] <NAME> [-- <ARGS>...]

    Arguments:
      <NAME>
              The process's name

      [ARGS]...
              Arguments to put behind those of its command; a shell script gets them as "$@"

    Options:
      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    "#);
}

#[test]
fn help_of_reload() {
    insta::assert_snapshot!(help(&["reload"]), @r#"
    Makes processes read their own configuration again

    As their `reload` in ostler.toml says: with a signal to the main process, or with a command,
    whose output goes to the process's log.

    Usage: ostler reload [OPTIONS] <NAME>...

    Arguments:
      <NAME>...
              The processes' names

    Options:
      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    "#);
}

#[test]
fn help_of_signal() {
    insta::assert_snapshot!(help(&["signal"]), @r#"
    Sends a signal to a process

    What is wanted of the process stays as it is: one that dies of the signal is started again if
    its restart policy says so. `ostler stop` is how to end one for good.

    Usage: ostler signal [OPTIONS] <NAME> <SIGNAL>

    Arguments:
      <NAME>
              The process's name

      <SIGNAL>
              The signal, by name or number: HUP, SIGUSR1, 9

    Options:
          --to <WHOM>
              Whom it is for; SIGKILL goes to the tree unless this says otherwise, any other signal to main

              Possible values:
              - main:  The main process alone
              - group: Its process group
              - tree:  Everything it has started

      -C, --project <DIR>
              The project's folder, instead of the current one

          --no-color
              No colours; `NO_COLOR` in the environment means the same

      -h, --help
              Print help (see a summary with '-h')
    "#);
}
