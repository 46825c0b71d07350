//! Owns deleting log at a person's word: asks first, because it cannot be had back.

use std::io::{self, BufRead, IsTerminal, Write};

use super::client::Client;
use super::context::Context;
use super::exit::{CliError, Code, Outcome};
use super::render::visible;
use crate::api::ClearLogsRequest;

/// Deletes the lines of `names`, or all; without `yes` only when a person at a terminal says so.
pub async fn clear(names: Vec<String>, yes: bool, client: &mut Client, context: &Context) -> Outcome {
    let whose =
        if names.is_empty() { "all log".to_owned() } else { format!("the log of {}", names.join(", ")) };
    let whose = visible(&whose).into_owned();
    if !yes && !agreed(&whose)? {
        context.note("nothing was deleted");
        return Ok(Code::Done);
    }
    let reply = client.clear_logs(ClearLogsRequest { names }).await?;
    let mebibytes = reply.freed_bytes as f64 / f64::from(1 << 20);
    context.print(&format!("{whose}: {} lines deleted, {mebibytes:.1} MiB freed\n", reply.lines))?;
    Ok(Code::Done)
}

fn agreed(whose: &str) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::usage(format!(
            "nobody is there to ask whether to delete {whose}: add `--yes`"
        )));
    }
    eprint!("Delete {whose} from the disk? It cannot be had back. [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
