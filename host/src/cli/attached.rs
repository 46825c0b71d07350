//! Owns the daemon's side of an attached connection: what the process prints goes down, what is typed comes up.
//!
//! The two directions do not wait for each other: a process that does not read still prints, and a terminal that does
//! not keep up misses output, with a remark, and holds up nobody.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::stream::{Down, Message, StreamReader, Up};
use crate::api::{AttachedInput, AttachedOutput, Attachment, Ended, Piece};
use crate::model::Exit;

/// Remarks about input that may wait for a client that does not read; more are dropped.
const NOTES: usize = 4;
/// Exit codes from here on tell the signal that ended a process, as shells do.
const SIGNAL_BASE: i32 = 128;
/// The exit code when it is not known how the process ended.
const UNKNOWN_CODE: u8 = 255;

/// Serves a connection until the run ends, the client leaves, or the stream breaks.
pub async fn serve<R, W>(attachment: Attachment, reader: StreamReader<R>, writer: W)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Attachment { output, mut input } = attachment;
    let (notes, remarks) = mpsc::channel(NOTES);
    tokio::select! {
        () = pass_down(output, remarks, writer) => {}
        () = pass_up(&mut input, notes, reader) => {}
    }
    input.leave().await;
}

async fn pass_down<W: AsyncWrite + Unpin>(
    mut output: AttachedOutput,
    mut remarks: mpsc::Receiver<String>,
    mut writer: W,
) {
    let recent = std::mem::take(&mut output.recent);
    if writer.write_all(&Down::Output(recent).encode()).await.is_err() {
        return;
    }
    loop {
        let next = tokio::select! {
            Some(remark) = remarks.recv() => Down::Note(remark),
            piece = output.next() => match piece {
                Some(Piece::Output { bytes, .. }) => Down::Output(bytes.to_vec()),
                Some(Piece::Gap { bytes }) => Down::Gap(bytes),
                None => {
                    let Ended { exit, how } = output.ended().await;
                    let _ = writer.write_all(&Down::Ended { code: code_of(exit), how }.encode()).await;
                    return;
                }
            },
        };
        if writer.write_all(&next.encode()).await.is_err() {
            return;
        }
    }
}

async fn pass_up<R: AsyncRead + Unpin>(
    input: &mut AttachedInput,
    notes: mpsc::Sender<String>,
    mut reader: StreamReader<R>,
) {
    while let Ok(Some(message)) = reader.next().await {
        match message {
            Up::Resize(size) => input.resize(size),
            Up::Input(bytes) => {
                if let Err(error) = input.write(bytes).await {
                    let _ = notes.try_send(error.to_string());
                }
            }
        }
    }
}

fn code_of(exit: Option<Exit>) -> u8 {
    let code = match exit {
        Some(Exit { code: Some(code), .. }) => code,
        Some(Exit { signal: Some(signal), .. }) => SIGNAL_BASE + signal,
        _ => return UNKNOWN_CODE,
    };
    u8::try_from(code).unwrap_or(UNKNOWN_CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_become_the_codes_that_shells_give() {
        assert_eq!(code_of(Some(Exit { code: Some(7), signal: None })), 7);
        assert_eq!(code_of(Some(Exit { code: None, signal: Some(15) })), 143);
        assert_eq!(code_of(Some(Exit { code: None, signal: None })), 255);
        assert_eq!(code_of(None), 255);
    }
}
