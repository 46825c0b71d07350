//! One JSON-RPC message a line on a socket, with bounds in both directions.
//!
//! Owns reading and writing of lines. What a line means is decided in [`lifecycle`](super::lifecycle).
//!
//! A line beyond [`bounds::REQUEST_BYTES`] is answered with an error and ends the connection: where the next one
//! begins cannot be trusted. A client that sends and never reads is not read from any more once
//! [`WAITING_MESSAGES`] wait for it.

use std::io;
use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{ErrorData, ServerJsonRpcMessage};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;

use crate::bounds;

use super::lifecycle::{Admitted, Lifecycle};

/// Messages that may wait for a client to read them before it is no longer listened to.
const WAITING_MESSAGES: usize = 64;

/// A connection, as the protocol library wants it.
pub struct LineTransport {
    read: BufReader<OwnedReadHalf>,
    /// What has come of the next line; kept here because [`Transport::receive`] is dropped and called anew.
    line: Vec<u8>,
    lifecycle: Lifecycle,
    writer: Writer,
    /// An answer of our own on its way; in a task, so that a dropped `receive` cannot tear it in two.
    answering: Option<JoinHandle<()>>,
    refused: bool,
}

enum Read {
    Line,
    TooLong,
    End,
}

impl LineTransport {
    /// Takes a connection over.
    pub fn new(read: BufReader<OwnedReadHalf>, write: OwnedWriteHalf) -> Self {
        let writer = Writer {
            half: Arc::new(Mutex::new(Some(write))),
            places: Arc::new(Semaphore::new(WAITING_MESSAGES)),
        };
        Self {
            read,
            line: Vec::new(),
            lifecycle: Lifecycle::default(),
            writer,
            answering: None,
            refused: false,
        }
    }

    /// Reads on until `self.line` holds a whole line without its end. May be dropped at any time: between a look at
    /// the buffer and its consumption nothing waits.
    async fn read_line(&mut self) -> Read {
        loop {
            let available = match self.read.fill_buf().await {
                Ok(available) => available,
                Err(error) => {
                    tracing::debug!(%error, "cannot read from an agent");
                    return Read::End;
                }
            };
            if available.is_empty() {
                // A last line need not be ended.
                return if self.line.is_empty() { Read::End } else { Read::Line };
            }
            let end = memchr::memchr(b'\n', available);
            let taken = end.unwrap_or(available.len());
            if self.line.len() + taken > bounds::REQUEST_BYTES {
                return Read::TooLong;
            }
            self.line.extend_from_slice(&available[..taken]);
            self.read.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Read::Line;
            }
        }
    }

    fn answer(&mut self, message: ServerJsonRpcMessage) {
        let sending = self.writer.send(message);
        self.answering = Some(tokio::spawn(async move {
            if let Err(error) = sending.await {
                tracing::debug!(%error, "cannot answer an agent");
            }
        }));
    }

    async fn finish_answering(&mut self) {
        if let Some(answering) = &mut self.answering {
            // Its task neither panics nor is aborted; either would mean that there is nothing more to wait for.
            let _ = answering.await;
            self.answering = None;
        }
    }
}

impl Transport<RoleServer> for LineTransport {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.writer.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            self.finish_answering().await;
            if self.refused {
                return None;
            }
            self.writer.has_room().await;
            match self.read_line().await {
                Read::Line => {}
                Read::TooLong => {
                    self.refused = true;
                    self.answer(ServerJsonRpcMessage::error(too_long(), None));
                    continue;
                }
                Read::End => return None,
            }
            let line = std::mem::take(&mut self.line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            match self.lifecycle.admit(&line) {
                Admitted::Pass(message) => return Some(*message),
                Admitted::Answer(message) => self.answer(*message),
                Admitted::Drop => {}
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.writer.half.lock().await.take();
        Ok(())
    }
}

fn too_long() -> ErrorData {
    let most = bounds::REQUEST_BYTES;
    ErrorData::invalid_request(
        format!("a message is longer than {most} bytes; the connection is closed: send smaller ones"),
        None,
    )
}

#[derive(Clone)]
struct Writer {
    half: Arc<Mutex<Option<OwnedWriteHalf>>>,
    /// One place for each message that waits to be written.
    places: Arc<Semaphore>,
}

impl Writer {
    fn send(&self, message: ServerJsonRpcMessage) -> impl Future<Output = io::Result<()>> + Send + 'static {
        // Taken now, not when the future is first polled: that is what `has_room` counts.
        let place = self.places.clone().try_acquire_owned();
        let half = Arc::clone(&self.half);
        async move {
            let _place = place;
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            match half.lock().await.as_mut() {
                Some(half) => half.write_all(&line).await,
                None => Err(io::ErrorKind::NotConnected.into()),
            }
        }
    }

    async fn has_room(&self) {
        // The semaphore is never closed, so this waits for a place and gives it back.
        let _ = self.places.acquire().await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::net::UnixStream;
    use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

    use super::*;

    fn connected() -> (LineTransport, BufReader<OwnedReadHalf>, OwnedWriteHalf) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (read, write) = ours.into_split();
        let (their_read, their_write) = theirs.into_split();
        (LineTransport::new(BufReader::new(read), write), BufReader::new(their_read), their_write)
    }

    fn ping(id: u64) -> Vec<u8> {
        let mut line = json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string().into_bytes();
        line.push(b'\n');
        line
    }

    async fn answer(read: &mut BufReader<OwnedReadHalf>) -> Value {
        let mut line = String::new();
        read.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    #[tokio::test]
    async fn a_dropped_receive_loses_nothing() {
        let (mut transport, _read, mut write) = connected();
        let message = ping(1);
        let (head, tail) = message.split_at(10);
        write.write_all(head).await.unwrap();
        // Polls until the half line has been taken in, then drops the future.
        while transport.line.is_empty() {
            tokio::select! {
                biased;
                received = transport.receive() => panic!("received {received:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        write.write_all(tail).await.unwrap();
        assert!(transport.receive().await.is_some());
    }

    #[tokio::test]
    async fn an_oversized_message_is_answered_and_ends_the_connection() {
        let (mut transport, mut read, mut write) = connected();
        let flood = tokio::spawn(async move {
            let _ = write.write_all(&vec![b'x'; bounds::REQUEST_BYTES + 1]).await;
            let _ = write.write_all(&ping(2)).await;
        });
        assert!(transport.receive().await.is_none());
        assert!(transport.receive().await.is_none());
        drop(transport);
        let error = answer(&mut read).await;
        assert_eq!(error["error"]["code"], -32600);
        assert!(error["error"]["message"].as_str().unwrap().contains("4194304 bytes"), "{error}");
        flood.await.unwrap();
    }

    #[tokio::test]
    async fn the_largest_message_passes() {
        let (mut transport, _read, mut write) = connected();
        let mut message = ping(1);
        message.pop();
        message.resize(bounds::REQUEST_BYTES, b' ');
        message.push(b'\n');
        let sent = tokio::spawn(async move { write.write_all(&message).await });
        assert!(transport.receive().await.is_some());
        sent.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn garbage_is_answered_and_the_next_message_read() {
        let (mut transport, mut read, mut write) = connected();
        write.write_all(b"\n{oops\n").await.unwrap();
        write.write_all(&ping(1)).await.unwrap();
        let received = tokio::spawn(async move { transport.receive().await });
        assert_eq!(answer(&mut read).await["error"]["code"], -32700);
        // The library would end a connection that begins with a ping only if it were not a request.
        assert!(received.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_last_message_need_not_be_ended() {
        let (mut transport, _read, mut write) = connected();
        let message = ping(1);
        write.write_all(&message[..message.len() - 1]).await.unwrap();
        drop(write);
        assert!(transport.receive().await.is_some());
        assert!(transport.receive().await.is_none());
    }

    #[tokio::test]
    async fn who_never_reads_is_not_read_from_without_end() {
        let (mut transport, _read, mut write) = connected();
        write.write_all(&ping(1)).await.unwrap();
        let waiting: Vec<_> = (0..WAITING_MESSAGES)
            .map(|_| transport.writer.send(ServerJsonRpcMessage::error(too_long(), None)))
            .collect();
        tokio::select! {
            biased;
            received = transport.receive() => panic!("received {received:?}"),
            () = tokio::task::yield_now() => {}
        }
        drop(waiting);
        assert!(transport.receive().await.is_some());
    }
}
