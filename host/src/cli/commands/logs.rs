//! `ostler logs`

use std::time::Duration;

use super::{Code, Context, Outcome};
use crate::api::{LogsRequest, TailRequest};
use crate::bounds;
use crate::cli::client::Client;
use crate::cli::exit::CliError;
use crate::cli::follow::{Follower, PAGE_LINES};
use crate::cli::printer::Printer;
use crate::cli::{clear, export, render};
use crate::config::parse_duration;
use crate::model::{Level, ProcessName, RunId, Stream};

/// Lines shown when nothing says how many.
const DEFAULT_LINES: usize = 100;
/// How long nothing must follow until lines that were waited for are shown, in milliseconds.
const LINGER_MS: u64 = 200;

/// Shows what processes have printed, and goes on with -f
///
/// Shows the newest 100 lines; with `--since` all lines since then.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Processes and groups to show; all when none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Goes on with what is printed from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,

    /// Shows this many lines: the newest, or with a cursor the first after it
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,

    /// Shows lines at least this serious: trace, debug, info, warn, error or fatal
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<Level>,

    /// Shows lines that match a regular expression
    #[arg(short = 'g', long, value_name = "RE")]
    grep: Option<String>,

    /// Shows lines with this text in them, as it stands here
    #[arg(long, value_name = "TEXT", conflicts_with = "grep")]
    contains: Option<String>,

    /// Shows lines with a field that passes: status=500, 'ms>=200', user.id!=7, 'path~^/api', or a key
    ///
    /// Fields are those of JSON lines, where dots lead into what is nested, and pairs key=value.
    /// The operators are = != > >= < <= and ~ for a regular expression. All filters must hold.
    #[arg(long = "field", value_name = "FILTER", verbatim_doc_comment)]
    fields: Vec<String>,

    /// Shows this many lines before and after each that matches, whether they match or not
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    context: Option<usize>,

    /// Shows this many lines before each that matches
    #[arg(short = 'B', long, value_name = "N", conflicts_with = "follow")]
    before: Option<usize>,

    /// Shows this many lines after each that matches
    #[arg(short = 'A', long, value_name = "N", conflicts_with = "follow")]
    after: Option<usize>,

    /// Shows lines since then: 10m, 2026-11-20T08:00:00Z, now, or a cursor of `--show-cursor`
    #[arg(long, value_name = "CURSOR|10m")]
    since: Option<String>,

    /// Shows lines until then, written as for `--since`
    #[arg(long, value_name = "CURSOR|10m", conflicts_with = "follow")]
    until: Option<String>,

    /// Shows lines of one stream: stdout or stderr
    #[arg(long, value_name = "STREAM", value_parser = stream)]
    stream: Option<Stream>,

    /// Shows lines of one run, by its number in `ps --json` or `diagnose`
    #[arg(long, value_name = "N")]
    run: Option<u64>,

    /// Waits this long for a first line after `--since`, or from now on, and shows what comes
    #[arg(
        long,
        value_name = "10s",
        value_parser = wait,
        conflicts_with_all = ["follow", "context", "before", "after", "until", "export"]
    )]
    wait: Option<Duration>,

    /// Shows how many lines match, of each process and level
    #[arg(
        long,
        conflicts_with_all = ["follow", "lines", "context", "before", "after", "show_cursor", "export", "wait"]
    )]
    count: bool,

    /// Prints the cursor after the last line on standard error, for a later `--since`
    #[arg(long, conflicts_with = "follow")]
    show_cursor: bool,

    /// Writes out everything that matches, the oldest line first: jsonl or text
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = export::format,
        conflicts_with_all = ["follow", "lines", "show_cursor", "json", "context", "before", "after"]
    )]
    export: Option<export::Format>,

    /// Exports to a new file, not to standard output
    #[arg(long, value_name = "FILE", requires = "export")]
    output: Option<std::path::PathBuf>,

    /// Deletes the lines of the named processes, or all, from the disk
    #[arg(
        long,
        conflicts_with_all = [
            "follow", "lines", "level", "grep", "contains", "fields", "context", "before", "after", "since", "until",
            "stream", "run", "wait", "count", "show_cursor", "export", "json"
        ]
    )]
    clear: bool,

    /// Deletes without asking
    #[arg(long, requires = "clear")]
    yes: bool,

    /// Prints one object a line: {seq, time, process, run, stream, level, text}
    #[arg(long)]
    pub json: bool,
}

/// Shows lines of log.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut client = context.client().await?;
    if args.clear {
        return clear::clear(args.names, args.yes, &mut client, context).await;
    }
    if args.count {
        return count(args, &mut client, context).await;
    }
    let printer = printer(&args, context, &mut client).await?;
    let mut request = request(&args);
    if let Some(format) = args.export {
        return export::export(request, format, args.output.as_deref(), &mut client, context).await;
    }
    if let Some(wait) = args.wait {
        request.limit = args.lines;
        request.wait_ms = wait.as_millis().try_into().unwrap_or(u64::MAX);
        let reply = client.tail_logs(TailRequest { logs: request, linger_ms: LINGER_MS }).await?;
        printer.print(&reply.lines)?;
        if args.show_cursor {
            context.note(&format!("cursor {}", reply.cursor));
        }
        return Ok(Code::Done);
    }
    // All after a cursor are had page by page; in front of the end there is only one page, the newest lines.
    let paged = args.lines.is_none() && request.since.as_deref().is_some_and(|since| !is_moment(since));
    request.limit = Some(match args.lines {
        Some(lines) if lines > bounds::QUERY_LINES => {
            return Err(CliError::usage(format!("`--lines` is at most {}", bounds::QUERY_LINES)));
        }
        // The daemon has no page of no lines; a follower wants the cursor that comes with one.
        Some(lines) => lines.max(1),
        None if paged => PAGE_LINES,
        None if request.since.is_some() => bounds::QUERY_LINES,
        None => DEFAULT_LINES,
    });
    let cursor = loop {
        let reply = client.logs(request.clone()).await?;
        if reply.missing > 0 {
            context.note(&format!("{} lines after the cursor have been deleted since", reply.missing));
        }
        if args.lines != Some(0) {
            printer.print(&reply.lines)?;
        }
        if !(paged && reply.more) {
            break reply.cursor;
        }
        request.since = Some(reply.cursor);
    };
    if args.show_cursor {
        context.note(&format!("cursor {cursor}"));
    }
    if args.follow {
        let mut follower = Follower::new(context.clone(), client, request, cursor);
        while let Some(reply) = follower.next().await? {
            printer.print(&reply.lines)?;
        }
        context.note("the daemon has ended");
    }
    Ok(Code::Done)
}

fn request(args: &Args) -> LogsRequest {
    LogsRequest {
        names: args.names.clone(),
        run: args.run.map(RunId),
        level: args.level,
        stream: args.stream,
        grep: args.grep.clone(),
        contains: args.contains.clone(),
        fields: args.fields.clone(),
        since: args.since.clone(),
        until: args.until.clone(),
        before: args.before.or(args.context).unwrap_or(0),
        after: args.after.or(args.context).unwrap_or(0),
        ..LogsRequest::default()
    }
}

/// Says how many lines match.
async fn count(args: Args, client: &mut Client, context: &Context) -> Outcome {
    let request = LogsRequest { limit: Some(1), ..request(&args) };
    let reply = client.search_logs(request).await?;
    if args.json {
        let counts = serde_json::json!({
            "lines": reply.counts.iter().map(|count| count.lines).sum::<u64>(),
            "counts": reply.counts,
            "counts_are_least": reply.counts_are_least,
        });
        context.print_json(&counts)?;
    } else if reply.counts.is_empty() {
        context.note("no line matches");
    } else {
        context.print(&render::line_counts(context.palette, &reply.counts))?;
        if reply.counts_are_least {
            context.note("older lines were not counted: there are too many");
        }
    }
    Ok(Code::Done)
}

async fn printer(args: &Args, context: &Context, client: &mut Client) -> Result<Printer, CliError> {
    if args.json {
        return Ok(Printer::Json);
    }
    let views = client.list().await?;
    let is_it = |name: &ProcessName, wanted: &str| name.as_str() == wanted || name.base().as_str() == wanted;
    let names: Vec<_> = views.into_iter().map(|view| view.name).collect();
    // What is no process is a group, which may have any of them in it.
    let all = args.names.iter().any(|wanted| !names.iter().any(|name| is_it(name, wanted)));
    let shown = |name: &&ProcessName| {
        all || args.names.is_empty() || args.names.iter().any(|wanted| is_it(name, wanted))
    };
    Ok(Printer::text(context.palette, names.iter().filter(shown).collect::<Vec<_>>()))
}

/// Returns whether `since` is a time or a duration; anything else is a cursor, or for the daemon to refuse.
fn is_moment(since: &str) -> bool {
    parse_duration(since).is_ok() || since.parse::<jiff::Timestamp>().is_ok()
}

fn level(text: &str) -> Result<Level, String> {
    Level::parse(text)
        .filter(|level| *level != Level::Unknown)
        .ok_or_else(|| "the levels are trace, debug, info, warn, error and fatal".to_owned())
}

fn wait(text: &str) -> Result<Duration, String> {
    let wait = parse_duration(text).map_err(|error| error.to_string())?;
    if wait > bounds::MCP_WAIT {
        return Err(format!("at most {} s are waited for at once", bounds::MCP_WAIT.as_secs()));
    }
    Ok(wait)
}

fn stream(text: &str) -> Result<Stream, &'static str> {
    match text {
        "stdout" => Ok(Stream::Stdout),
        "stderr" => Ok(Stream::Stderr),
        _ => Err("the streams are stdout and stderr"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_moments_and_cursors() {
        assert!(is_moment("10m"));
        assert!(is_moment("2026-11-20T08:00:00Z"));
        assert!(!is_moment("c1f3a-2b"));
    }

    #[test]
    fn levels_are_read_as_people_write_them() {
        assert_eq!(level("WARNING"), Ok(Level::Warn));
        assert!(level("unknown").is_err());
        assert!(level("loud").unwrap_err().contains("fatal"));
    }
}
