//! Owns the frames of the daemon's socket: one JSON object a line, and the line each side begins with.
//!
//! Knows neither what requests mean nor how to connect. Whatever the other side sends, memory stays bounded, and a
//! frame that is too long does not end the conversation.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The version both sides tell each other.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 16 << 10;

/// The first line of a connection, from the client. Fields that a newer client adds are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "hello", rename_all = "lowercase")]
pub enum Hello {
    /// Requests follow, a line each; the daemon answers with a [`HelloReply`] first.
    Cli { version: String },
    /// All that follows is MCP, both ways; the daemon answers nothing of its own.
    Mcp {
        version: String,
        #[serde(default)]
        toolsets: Vec<String>,
    },
}

/// The daemon's answer to [`Hello::Cli`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    pub ok: bool,
    pub version: String,
    pub pid: u32,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The reader is past it: the next call returns the frame after.
    #[error("the line is longer than {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Cuts a stream of bytes into lines of bounded length.
pub struct FrameReader<R> {
    source: R,
    buffer: Vec<u8>,
    /// Bytes of `buffer` known to hold no line end.
    scanned: usize,
    limit: usize,
    /// Within a line that was refused for its length.
    skipping: bool,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Makes a reader of lines of at most `limit` bytes, their ends not counted.
    pub fn new(source: R, limit: usize) -> Self {
        Self { source, buffer: Vec::new(), scanned: 0, limit, skipping: false }
    }

    /// Returns the next line without its end, or `None` when the other side has closed; a line it did not finish
    /// is dropped then. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Returns once the other side has closed its end, or reading fails; lines that come meanwhile are kept for
    /// [`next`](Self::next). Nothing is lost when the future is dropped.
    pub async fn closed(&mut self) {
        while self.buffer.len() <= self.limit {
            if !matches!(self.fill().await, Ok(read) if read > 0) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Returns the source, and what was read from it and is not part of a line that was returned.
    pub fn into_rest(self) -> (R, Vec<u8>) {
        (self.source, self.buffer)
    }

    /// Takes a line out of the buffer.
    fn buffered(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.buffer[self.scanned..]).map(|at| at + self.scanned)
            else {
                return self.unfinished();
            };
            let rest = self.buffer.split_off(end + 1);
            let mut frame = std::mem::replace(&mut self.buffer, rest);
            frame.pop();
            self.scanned = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if frame.len() > self.limit {
                return Err(FrameError::TooLong(self.limit));
            }
            return Ok(Some(frame));
        }
    }

    /// Decides about a buffer without a line end: it goes on, or what there is of it is too long already.
    fn unfinished(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        self.scanned = self.buffer.len();
        if self.skipping {
            self.buffer.clear();
            self.scanned = 0;
        } else if self.buffer.len() > self.limit {
            self.buffer = Vec::new();
            self.scanned = 0;
            self.skipping = true;
            return Err(FrameError::TooLong(self.limit));
        }
        Ok(None)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(READ_BYTES);
        self.source.read_buf(&mut self.buffer).await
    }
}

/// Returns `value` as a frame, its line end included.
pub fn frame(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Reads `bytes` to the end: lines, and `None` for each that was too long.
    async fn frames(bytes: &[u8], limit: usize) -> Vec<Option<Vec<u8>>> {
        let mut reader = FrameReader::new(bytes, limit);
        let mut frames = Vec::new();
        loop {
            match reader.next().await {
                Ok(Some(frame)) => frames.push(Some(frame)),
                Ok(None) => return frames,
                Err(FrameError::TooLong(_)) => frames.push(None),
                Err(FrameError::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn the_hello_lines_are_those_of_the_contract() {
        let cli = Hello::Cli { version: "0.1.0".into() };
        assert_eq!(serde_json::to_string(&cli).unwrap(), r#"{"hello":"cli","version":"0.1.0"}"#);
        let mcp = Hello::Mcp { version: "0.1.0".into(), toolsets: vec!["core".into()] };
        let json = r#"{"hello":"mcp","version":"0.1.0","toolsets":["core"]}"#;
        assert_eq!(serde_json::to_string(&mcp).unwrap(), json);
        let newer = r#"{"hello":"cli","version":"9.0.0","window":7}"#;
        assert_eq!(serde_json::from_str::<Hello>(newer).unwrap(), Hello::Cli { version: "9.0.0".into() });
    }

    #[test]
    fn a_line_that_is_too_long_does_not_end_the_conversation() {
        let frames = run(frames(b"one\ntoo long a line\ntwo\nrest", 8));
        assert_eq!(frames, [Some(b"one".to_vec()), None, Some(b"two".to_vec())]);
    }

    #[test]
    fn an_endless_line_is_not_kept_in_memory() {
        run(async {
            let (mut writer, source) = tokio::io::duplex(64 << 10);
            let endless = tokio::spawn(async move {
                for _ in 0..200 {
                    writer.write_all(&[b'x'; 64 << 10]).await.unwrap();
                }
                writer.write_all(b"\nlast\n").await.unwrap();
            });
            let mut reader = FrameReader::new(source, 1 << 20);
            assert!(matches!(reader.next().await, Err(FrameError::TooLong(_))));
            assert_eq!(reader.next().await.unwrap().unwrap(), b"last");
            assert!(reader.buffer.capacity() < 1 << 20, "the refused line is still held");
            endless.await.unwrap();
        });
    }

    #[test]
    fn watching_for_the_end_keeps_the_lines_that_come() {
        run(async {
            let mut reader = FrameReader::new(&b"one\ntwo\n"[..], 8);
            reader.closed().await;
            assert_eq!(reader.next().await.unwrap().unwrap(), b"one");
            assert_eq!(reader.next().await.unwrap().unwrap(), b"two");
            assert!(reader.next().await.unwrap().is_none());
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_as_a_plain_split_would(bytes in proptest::collection::vec(0u8..14, 0..200)) {
            let limit = 12;
            let mut expected: Vec<Option<Vec<u8>>> = bytes
                .split(|byte| *byte == b'\n')
                .map(|line| (line.len() <= limit).then(|| line.to_vec()))
                .collect();
            // What follows the last line end is unfinished: dropped, unless it was refused for its length already.
            if expected.last().is_some_and(Option::is_some) {
                expected.pop();
            }
            prop_assert_eq!(run(frames(&bytes, limit)), expected);
        }
    }
}
