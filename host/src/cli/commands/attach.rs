//! `ostler attach`

use std::io::{self, IsTerminal, Read, Write};

use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::{Code, Context, Outcome};
use crate::cli::detach::{self, DetachKeys, Watch};
use crate::cli::exit::CliError;
use crate::cli::modes::Modes;
use crate::cli::stream::{Down, INPUT_BYTES, Message, StreamReader, Up};
use crate::cli::terminal::{self, RawMode};
use crate::model::RunId;

/// Pieces of typed input that may wait; typing waits with them.
const PIECES: usize = 4;
/// Lines of recent output shown where the terminal does not say how many it has.
const LINES: usize = 24;

/// Connects the terminal to a process: shows what it prints, and passes on what is typed
///
/// A process with `pty = true` gets every key as it is pressed, and the size of the terminal;
/// ctrl-p ctrl-q leaves, and the process goes on. One without gets whole lines; Ctrl-C and
/// Ctrl-D leave it. When the daemon dies or is upgraded, the next one goes on.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The process's name
    #[arg(value_name = "NAME")]
    name: String,

    /// The keys that leave, such as `ctrl-]` or `ctrl-a d`; `none` for no keys
    #[arg(long, value_name = "KEYS", default_value = detach::DEFAULT, value_parser = DetachKeys::parse)]
    detach_keys: DetachKeys,

    /// Shows what it prints and passes nothing on; Ctrl-C leaves
    #[arg(long)]
    no_stdin: bool,
}

/// How an attachment ended.
enum End {
    /// The person has left.
    Left,
    Ended {
        code: u8,
        how: String,
    },
    /// The connection is lost.
    Lost,
}

/// How what is typed reaches the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Typing {
    /// Each key as it is pressed.
    Keys,
    /// Lines, as the terminal hands them over.
    Lines,
    Nothing,
}

/// Attaches.
pub async fn run(args: Args, context: &Context) -> Outcome {
    if !args.no_stdin && !io::stdin().is_terminal() {
        return Err(CliError::usage("standard input is not a terminal").hint(format!(
            "`--no-stdin` only shows what it prints; `ostler send {} -` passes standard input on",
            args.name
        )));
    }
    let name = args.name;
    let (reply, connection) = context.client().await?.attach(name.clone()).await?;
    let typing = match (args.no_stdin, reply.terminal) {
        (true, _) => Typing::Nothing,
        (false, true) => Typing::Keys,
        (false, false) => Typing::Lines,
    };
    if typing == Typing::Lines {
        context.note(&format!(
            "`{name}` has no terminal (pty = false): what you type is sent line by line; Ctrl-C leaves it running"
        ));
    }
    // Watched before the terminal is changed, so that none of them ends the program while it is.
    let signals =
        Signals::watch().map_err(|error| CliError::failed(format!("signals cannot be watched: {error}")))?;
    let raw = (typing == Typing::Keys)
        .then(RawMode::enter)
        .transpose()
        .map_err(|error| CliError::failed(format!("the terminal cannot be put into raw mode: {error}")))?;
    let mut session = Session {
        input: connection.input,
        typing,
        is_terminal: reply.terminal,
        watch: Watch::new(args.detach_keys),
        modes: Modes::default(),
        begun: false,
        context: context.clone(),
        name: name.clone(),
        run: reply.process.run,
    };
    let end = session.run(connection.output, signals).await;
    let undo = session.modes.undo();
    if reply.terminal && io::stdout().is_terminal() {
        let _ = io::stdout().write_all(undo.as_bytes()).and_then(|()| io::stdout().flush());
    }
    if raw.is_some() {
        // The program's last line is left alone, wherever in it the cursor stands.
        let _ = io::stdout().write_all(b"\r\n");
    }
    drop(raw);
    match end? {
        End::Left => {
            context.note(&format!("left; `{name}` goes on"));
            Ok(Code::Done)
        }
        End::Ended { code, how } => {
            context.note(&format!("`{name}` has ended: {how}"));
            Ok(Code::Child(code))
        }
        End::Lost => {
            Err(CliError::new(Code::Unreachable, "unreachable", "the daemon has ended; processes live on")
                .hint(format!("`ostler attach {name}` attaches again")))
        }
    }
}

/// The signals that concern one who is attached.
struct Signals {
    leave: [Signal; 3],
    resized: Signal,
}

impl Signals {
    fn watch() -> io::Result<Self> {
        Ok(Self {
            leave: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ],
            resized: signal(SignalKind::window_change())?,
        })
    }

    /// Returns once one of those that leave has come.
    async fn leaves(leave: &mut [Signal; 3]) {
        let [interrupt, terminate, hangup] = leave;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// One attachment.
struct Session {
    input: OwnedWriteHalf,
    typing: Typing,
    /// The process has one.
    is_terminal: bool,
    watch: Watch,
    modes: Modes,
    /// Output has come.
    begun: bool,
    context: Context,
    name: String,
    /// The run that is looked on.
    run: Option<RunId>,
}

impl Session {
    async fn run(
        &mut self,
        mut output: StreamReader<OwnedReadHalf>,
        mut signals: Signals,
    ) -> Result<End, CliError> {
        if self.resize().await.is_err() {
            return Ok(End::Lost);
        }
        let mut typed = self.read_typed();
        loop {
            tokio::select! {
                message = output.next::<Down>() => match message {
                    Ok(Some(message)) => if let Some(end) = self.show(message)? {
                        return Ok(end);
                    },
                    Ok(None) | Err(_) => match self.attach_again().await {
                        Some(next) => output = next,
                        None => return Ok(End::Lost),
                    },
                },
                bytes = typed.recv(), if self.typing != Typing::Nothing => {
                    if self.pass_on(bytes).await? {
                        return Ok(End::Left);
                    }
                }
                _ = signals.resized.recv() => if self.resize().await.is_err() {
                    return Ok(End::Lost);
                },
                () = Signals::leaves(&mut signals.leave) => return Ok(End::Left),
            }
        }
    }

    /// Attaches to the same run through the next daemon: the last one was upgraded, or has died.
    async fn attach_again(&mut self) -> Option<StreamReader<OwnedReadHalf>> {
        let mut client = self.context.client().await.ok()?;
        // Asked first, so that nothing is typed to another run.
        let same =
            client.list().await.ok()?.into_iter().any(|view| view.run == self.run && self.run.is_some());
        if !same {
            return None;
        }
        let (_, connection) = client.attach(self.name.clone()).await.ok()?;
        self.input = connection.input;
        self.begun = false;
        let remark = self.remark("another daemon has taken over; the last lines again");
        let _ = io::stdout().lock().write_all(remark.as_bytes());
        self.resize().await.ok()?;
        Some(connection.output)
    }

    /// Shows what has come; returns the end when it was that.
    fn show(&mut self, message: Down) -> Result<Option<End>, CliError> {
        let first = !std::mem::replace(&mut self.begun, true);
        let mut stdout = io::stdout().lock();
        match message {
            Down::Output(bytes) => {
                let shown = if first { last_lines(&bytes, screen_lines()) } else { &bytes };
                self.modes.see(shown);
                stdout.write_all(shown)?;
            }
            Down::Gap(bytes) => {
                stdout
                    .write_all(self.remark(&format!("{bytes} bytes of output were left out")).as_bytes())?;
            }
            Down::Note(text) => stdout.write_all(self.remark(&text).as_bytes())?,
            Down::Ended { code, how } => return Ok(Some(End::Ended { code, how })),
        }
        stdout.flush()?;
        Ok(None)
    }

    /// Returns a remark of Ostler's own between what the process prints.
    fn remark(&self, text: &str) -> String {
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        if self.typing == Typing::Keys {
            format!("\r\n[ostler] {text}\r\n")
        } else {
            format!("\n[ostler] {text}\n")
        }
    }

    /// Passes on what was typed; returns whether the person leaves. Nothing typed any more is leaving too.
    async fn pass_on(&mut self, bytes: Option<Vec<u8>>) -> Result<bool, CliError> {
        let Some(bytes) = bytes else { return Ok(true) };
        let (bytes, leaves) = if self.typing == Typing::Keys {
            let typed = self.watch.take(&bytes);
            (typed.bytes, typed.leaves)
        } else {
            (bytes, false)
        };
        // A connection that is lost is noticed by who reads from it.
        if !bytes.is_empty() {
            let _ = self.input.write_all(&Up::Input(bytes).encode()).await;
        }
        Ok(leaves)
    }

    /// Tells the process's terminal the size of this one.
    async fn resize(&mut self) -> io::Result<()> {
        match terminal::size().filter(|_| self.is_terminal && self.typing == Typing::Keys) {
            Some(size) => self.input.write_all(&Up::Resize(size).encode()).await,
            None => Ok(()),
        }
    }

    /// Reads standard input on a thread of its own, because nothing else can give up on reading it.
    fn read_typed(&self) -> mpsc::Receiver<Vec<u8>> {
        let (sender, typed) = mpsc::channel(PIECES);
        if self.typing != Typing::Nothing {
            std::thread::spawn(move || {
                let mut space = [0; INPUT_BYTES];
                loop {
                    match io::stdin().lock().read(&mut space) {
                        Ok(0) => return,
                        Ok(count) if sender.blocking_send(space[..count].to_vec()).is_err() => return,
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(_) => return,
                    }
                }
            });
        }
        typed
    }
}

fn screen_lines() -> usize {
    terminal::size().map_or(LINES, |size| usize::from(size.rows()))
}

/// Returns the last `lines` lines of `bytes`. What a program draws without line ends is given whole.
fn last_lines(bytes: &[u8], lines: usize) -> &[u8] {
    // The end of the last line begins none.
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    match memchr::memrchr_iter(b'\n', body).nth(lines.saturating_sub(1)) {
        Some(end) => &bytes[end + 1..],
        None => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_a_screen_is_shown_at_first() {
        assert_eq!(last_lines(b"1\n2\n3\n", 2), b"2\n3\n");
        assert_eq!(last_lines(b"1\r\n2\r\nprompt> ", 2), b"2\r\nprompt> ");
        assert_eq!(last_lines(b"1\n", 5), b"1\n");
        assert_eq!(last_lines(b"", 5), b"");
    }
}
