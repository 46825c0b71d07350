//! `ostler signal`

use super::{Code, Context, Outcome};
use crate::api::{SignalRequest, Target};

/// Sends a signal to a process
///
/// What is wanted of the process stays as it is: one that dies of the signal is started again if
/// its restart policy says so. `ostler stop` is how to end one for good.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The process's name
    #[arg(value_name = "NAME")]
    name: String,

    /// The signal, by name or number: HUP, SIGUSR1, 9
    #[arg(value_name = "SIGNAL")]
    signal: String,

    /// Whom it is for; SIGKILL goes to the tree unless this says otherwise, any other signal to main
    #[arg(long, value_enum, value_name = "WHOM")]
    to: Option<Whom>,
}

/// See [`Target`].
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Whom {
    /// The main process alone
    Main,
    /// Its process group
    Group,
    /// Everything it has started
    Tree,
}

/// Sends the signal.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let to = args.to.map(|whom| match whom {
        Whom::Main => Target::Main,
        Whom::Group => Target::Group,
        Whom::Tree => Target::Tree,
    });
    let mut client = context.client().await?;
    let reply = client.signal(SignalRequest { name: args.name, signal: args.signal, to }).await?;
    let whom = match (reply.to, reply.reached) {
        (Target::Main, _) => "its main process".to_owned(),
        (Target::Group, _) => "its process group".to_owned(),
        (Target::Tree, 1) => "1 process".to_owned(),
        (Target::Tree, many) => format!("{many} processes"),
    };
    context.print(&format!("{}  {} sent to {whom}\n", reply.process.name, reply.signal))?;
    Ok(Code::Done)
}
