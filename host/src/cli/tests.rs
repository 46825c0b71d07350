//! The help of every command, as a person sees it without a terminal's colours.

use clap::CommandFactory;

use super::Cli;

/// Returns the long help of `ostler`, or of one of its commands.
fn help(path: &[&str]) -> String {
    let mut command = Cli::command();
    // Globals are handed down when the command is built.
    command.build();
    let mut found = &mut command;
    for name in path {
        found = found.find_subcommand_mut(name).unwrap_or_else(|| panic!("no command {name}"));
    }
    found.render_long_help().to_string()
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_of_ostler() {
    insta::assert_snapshot!(help(&[]), @"");
}

#[test]
fn help_of_init() {
    insta::assert_snapshot!(help(&["init"]), @"");
}

#[test]
fn help_of_up() {
    insta::assert_snapshot!(help(&["up"]), @"");
}

#[test]
fn help_of_down() {
    insta::assert_snapshot!(help(&["down"]), @"");
}

#[test]
fn help_of_ps() {
    insta::assert_snapshot!(help(&["ps"]), @"");
}

#[test]
fn help_of_start() {
    insta::assert_snapshot!(help(&["start"]), @"");
}

#[test]
fn help_of_stop() {
    insta::assert_snapshot!(help(&["stop"]), @"");
}

#[test]
fn help_of_restart() {
    insta::assert_snapshot!(help(&["restart"]), @"");
}

#[test]
fn help_of_logs() {
    insta::assert_snapshot!(help(&["logs"]), @"");
}

#[test]
fn help_of_wait() {
    insta::assert_snapshot!(help(&["wait"]), @"");
}

#[test]
fn help_of_send() {
    insta::assert_snapshot!(help(&["send"]), @"");
}

#[test]
fn help_of_diagnose() {
    insta::assert_snapshot!(help(&["diagnose"]), @"");
}

#[test]
fn help_of_status() {
    insta::assert_snapshot!(help(&["status"]), @"");
}

#[test]
fn help_of_mcp() {
    insta::assert_snapshot!(help(&["mcp"]), @"");
}

#[test]
fn help_of_daemon() {
    insta::assert_snapshot!(help(&["daemon"]), @"");
}

#[test]
fn help_of_plugin() {
    insta::assert_snapshot!(help(&["plugin"]), @"");
}

#[test]
fn help_of_plugin_list() {
    insta::assert_snapshot!(help(&["plugin", "list"]), @"");
}
