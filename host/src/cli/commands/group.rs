//! `ostler group`

use std::time::Duration;

use super::{Code, Context, Outcome};
use crate::api::{CreateGroup, GroupView};
use crate::cli::render;
use crate::config::parse_duration;

/// Lists groups of processes, makes them, and adds to them
///
/// A group's name stands for its members in up, start, stop, restart, logs and wait. Groups of
/// ostler.toml stay; what is made or added here is kept until `ostler down`.
#[derive(Debug, clap::Subcommand)]
#[command(verbatim_doc_comment)]
pub enum Command {
    List(ListArgs),
    Create(CreateArgs),
    Add(AddArgs),
}

/// Lists the groups with their members
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Prints an array of {name, members, start_delay_ms, stop}
    #[arg(long)]
    pub json: bool,
}

/// Makes a group
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// A name for the group
    #[arg(value_name = "GROUP")]
    name: String,

    /// Its members, in the order they are to be started
    #[arg(value_name = "NAME")]
    members: Vec<String>,

    /// Waits this long between the starts of two members
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = delay)]
    start_delay: Duration,

    /// How it is stopped: reverse, parallel or sequential
    #[arg(long, value_name = "STRATEGY")]
    stop: Option<String>,
}

/// Puts processes into a group
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// The group's name
    #[arg(value_name = "GROUP")]
    name: String,

    /// The processes to put into it, last in its order
    #[arg(value_name = "NAME", required = true)]
    members: Vec<String>,
}

/// Lists groups, or changes one.
pub async fn run(command: Command, context: &Context) -> Outcome {
    let mut client = context.client().await?;
    match command {
        Command::List(args) => {
            let groups = client.groups().await?;
            if args.json {
                context.print_json(&groups)?;
            } else {
                for group in &groups {
                    context.print(&line(group))?;
                }
                if groups.is_empty() {
                    context.note("there are no groups: write [group.NAME] into ostler.toml, or use `ostler group create`");
                }
            }
        }
        Command::Create(args) => {
            let start_delay_ms = u64::try_from(args.start_delay.as_millis()).unwrap_or(u64::MAX);
            let (name, members) = (args.name, args.members);
            let group =
                client.create_group(CreateGroup { name, members, start_delay_ms, stop: args.stop }).await?;
            context.print(&line(&group))?;
        }
        Command::Add(args) => {
            let group = client.add_to_group(args.name, args.members).await?;
            context.print(&line(&group))?;
        }
    }
    Ok(Code::Done)
}

fn line(group: &GroupView) -> String {
    let members: Vec<&str> = group.members.iter().map(|member| member.as_str()).collect();
    let members = if members.is_empty() { "no members".to_owned() } else { members.join(", ") };
    let mut details = Vec::new();
    if group.start_delay_ms > 0 {
        details.push(format!("started {:?} apart", Duration::from_millis(group.start_delay_ms)));
    }
    details.push(format!(
        "stopped in {}",
        match group.stop.as_str() {
            "reverse" => "reverse order",
            "sequential" => "the same order",
            _ => "parallel",
        }
    ));
    format!("{}  {members}  ({})\n", render::visible(&group.name), details.join(", "))
}

fn delay(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| format!("{error}: write 500ms or 2s"))
}
