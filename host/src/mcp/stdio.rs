//! The agent's end of `ostler mcp`: standard input and output, each with a plain thread.
//!
//! A read from standard input cannot be taken back, and a runtime that did it would not end before the next byte came.

use std::io::{self, Read, Write};
use std::thread;

use tokio::sync::{mpsc, oneshot};

/// Bytes carried at once.
pub(super) const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that may wait for a slow side; the other one waits with them.
const CHUNKS: usize = 4;

/// The agent's pipes.
pub(super) struct Agent {
    /// What it says; ends when it closes its end.
    pub(super) input: mpsc::Receiver<Vec<u8>>,
    /// What it is told; closed when nobody reads it any more.
    pub(super) output: mpsc::Sender<Vec<u8>>,
    /// Closes once all of it is written.
    pub(super) written: oneshot::Receiver<()>,
}

impl Agent {
    /// Takes over both pipes.
    pub(super) fn new(
        mut input: impl Read + Send + 'static,
        mut output: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let (said, heard) = mpsc::channel(CHUNKS);
        spawn("mcp-up", move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                match input.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(read) if said.blocking_send(chunk[..read].to_vec()).is_err() => return,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        })?;
        let (tell, mut told) = mpsc::channel::<Vec<u8>>(CHUNKS);
        let (done, written) = oneshot::channel();
        spawn("mcp-down", move || {
            let _done: oneshot::Sender<()> = done;
            while let Some(bytes) = told.blocking_recv() {
                if output.write_all(&bytes).and_then(|()| output.flush()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { input: heard, output: tell, written })
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}
