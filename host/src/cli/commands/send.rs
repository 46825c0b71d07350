//! `ostler send`

use std::io::{self, Read};

use super::{Code, Context, Outcome};
use crate::api::SendRequest;
use crate::cli::client::Client;
use crate::cli::exit::CliError;

/// Bytes of standard input passed on at once; less than a process may leave unread.
const PIECE_BYTES: usize = 32 << 10;

/// Writes to a process's standard input
///
/// Words are joined with spaces, and a line end follows. With `-` standard input is passed on as
/// it is, as it comes. What a process does not read is waited for, for 5 seconds.
///
/// Keys are ctrl-a to ctrl-z, enter, tab, space, escape, backspace, delete, up, down, left,
/// right, home, end, page-up, page-down, f1 to f12. Cursor keys are sent as the program has asked
/// its terminal for them (normal or application mode). In a process without a terminal (`pty`)
/// ctrl-c, ctrl-z and ctrl-\ are sent as the signals that a terminal makes of them.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The process's name
    #[arg(value_name = "NAME")]
    name: String,

    /// The text, or - for standard input; put -- before text that begins with a dash
    #[arg(value_name = "TEXT", required_unless_present_any = ["eof", "key"])]
    text: Vec<String>,

    /// Presses a key, after the text if there is any; may be given several times
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,

    /// Adds no line end
    #[arg(long)]
    no_newline: bool,

    /// Closes the process's standard input afterwards
    #[arg(long)]
    eof: bool,
}

/// Sends text.
pub async fn run(args: Args, context: &Context) -> Outcome {
    let mut client = context.client().await?;
    let Args { name, text, key: keys, no_newline, eof } = args;
    if text == ["-"] {
        if !keys.is_empty() {
            return Err(CliError::usage("standard input is passed on as it is, without keys")
                .hint("press them with another `ostler send`"));
        }
        return pass_on(&mut client, &name, eof, io::stdin().lock()).await;
    }
    let text = text.join(" ");
    let enter = !no_newline && !text.is_empty();
    let reply = client.send(SendRequest { name, text, enter, keys, eof }).await?;
    for signal in &reply.signals {
        let name = &reply.process.name;
        context
            .note(&format!("{signal} was sent: `{name}` has no terminal to make it of a key (pty = false)"));
    }
    Ok(Code::Done)
}

/// Passes input on, a piece at a time. Reading blocks: there is nothing else to do meanwhile.
async fn pass_on(client: &mut Client, name: &str, eof: bool, mut input: impl Read) -> Outcome {
    let mut waiting = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match input.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => {
                read.map_err(|error| CliError::failed(format!("standard input cannot be read: {error}")))?
            }
        };
        waiting.extend_from_slice(&piece[..read]);
        let text = take_text(&mut waiting, read == 0)?;
        let last = read == 0;
        if !text.is_empty() || (last && eof) {
            let request =
                SendRequest { name: name.to_owned(), text, enter: false, keys: Vec::new(), eof: last && eof };
            client.send(request).await?;
        }
        if last {
            return Ok(Code::Done);
        }
    }
}

/// Takes what is text, and leaves the beginning of a character that has not come to its end.
fn take_text(waiting: &mut Vec<u8>, last: bool) -> Result<String, CliError> {
    let whole = match std::str::from_utf8(waiting) {
        Ok(text) => text.len(),
        Err(error) if error.error_len().is_none() && !last => error.valid_up_to(),
        Err(_) => {
            return Err(CliError::usage("standard input is not UTF-8 text")
                .hint("only text can be sent; a process that wants other bytes can read a file"));
        }
    };
    let rest = waiting.split_off(whole);
    let text = std::mem::replace(waiting, rest);
    String::from_utf8(text).map_err(|error| CliError::usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_cut_in_two_waits_for_its_rest() {
        let mut waiting = "Gr\u{fc}".as_bytes()[..3].to_vec();
        assert_eq!(take_text(&mut waiting, false).unwrap(), "Gr");
        waiting.push(0xbc);
        assert_eq!(take_text(&mut waiting, true).unwrap(), "\u{fc}");
        assert!(waiting.is_empty());
    }

    #[test]
    fn what_is_not_text_is_refused() {
        assert!(take_text(&mut vec![b'a', 0xff, b'b'], false).is_err());
        assert!(take_text(&mut vec![0xc3], true).is_err());
    }
}
