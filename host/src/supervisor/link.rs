//! The daemon's end of one shim's control socket: requests go down in order, reports come up as they come.
//!
//! Owns the socket and nothing else; what a report means is the driver's business.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::model::RunId;
use crate::shim::control::{Report, Request};

/// Requests that may wait for a shim. It reads promptly or is broken, so a full queue is an error, not a wait.
const QUEUE: usize = 64;
/// Bytes read at once; most reports are small.
const READ_BYTES: usize = 4096;
/// Capacity beyond which a buffer is not kept: reports of output make it grow.
const KEPT_BYTES: usize = 64 << 10;

/// A report, or the end of the connection.
#[derive(Debug)]
pub enum Upward {
    Report(Report),
    /// The shim has closed the socket: it is done, or dead.
    Closed,
}

/// Sends requests to one shim.
#[derive(Clone, Debug)]
pub struct ShimLink {
    requests: mpsc::Sender<Request>,
}

impl ShimLink {
    /// Takes over a connected socket; `upward` is called for each report, in order, `Closed` last.
    pub fn attach(
        run: RunId,
        socket: StdUnixStream,
        upward: impl Fn(Upward) + Send + 'static,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(socket)?.into_split();
        let (requests, queue) = mpsc::channel(QUEUE);
        tokio::spawn(read_reports(run, reader, upward));
        tokio::spawn(write_requests(run, writer, queue));
        Ok(Self { requests })
    }

    /// Queues a request. An error means that the shim is gone or does not read.
    pub fn send(&self, request: Request) -> Result<(), ShimGone> {
        self.requests.try_send(request).map_err(|_| ShimGone)
    }
}

/// The shim cannot be reached.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the shim of this run cannot be reached")]
pub struct ShimGone;

async fn read_reports(run: RunId, mut reader: OwnedReadHalf, upward: impl Fn(Upward)) {
    let mut buffer = Vec::with_capacity(READ_BYTES);
    loop {
        match reader.read_buf(&mut buffer).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                debug!(%run, %error, "control socket broke");
                break;
            }
        }
        let mut taken = 0;
        loop {
            match Report::decode(&buffer[taken..]) {
                Ok(Some((report, length))) => {
                    taken += length;
                    upward(Upward::Report(report));
                }
                Ok(None) => break,
                Err(error) => {
                    warn!(%run, %error, "a shim speaks nonsense");
                    upward(Upward::Closed);
                    return;
                }
            }
        }
        buffer.drain(..taken);
        if buffer.is_empty() && buffer.capacity() > KEPT_BYTES {
            buffer = Vec::with_capacity(READ_BYTES);
        }
    }
    upward(Upward::Closed);
}

async fn write_requests(run: RunId, mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Request>) {
    let mut buffer = Vec::new();
    while let Some(request) = queue.recv().await {
        buffer.clear();
        request.encode(&mut buffer);
        if let Err(error) = writer.write_all(&buffer).await {
            debug!(%run, %error, "cannot write to a shim");
            return;
        }
    }
}
