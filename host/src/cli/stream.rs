//! Owns the frames of a connection that was given over to an attached process: output comes down, input goes up.
//!
//! A frame is its length as a little-endian `u32` (of what follows), a tag, and the rest. Bytes of a process may be
//! anything, so they do not go through JSON. Tags that are not known are passed over; what is too long or cut short ends
//! the conversation.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::bounds;
use crate::model::TerminalSize;

/// Longest frame behind its length, in bytes.
const FRAME_BYTES: usize = bounds::TAIL_RECENT_BYTES + 64;
/// Most bytes of input in one frame.
pub const INPUT_BYTES: usize = 4 << 10;
const LENGTH_BYTES: usize = 4;
/// Bytes asked of the socket at once.
const READ_BYTES: usize = 16 << 10;

/// What the daemon tells one who is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    Output(Vec<u8>),
    /// So many bytes of output are left out here.
    Gap(u64),
    /// Input could not be given, and why.
    Note(String),
    /// The run has ended: the exit code to end with, and the end in words. The last frame.
    Ended {
        code: u8,
        how: String,
    },
}

/// What one who is attached tells the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up {
    Input(Vec<u8>),
    Resize(TerminalSize),
}

mod tag {
    pub const OUTPUT: u8 = 1;
    pub const GAP: u8 = 2;
    pub const NOTE: u8 = 3;
    pub const ENDED: u8 = 4;

    pub const INPUT: u8 = 65;
    pub const RESIZE: u8 = 66;
}

/// A message that goes one way.
pub trait Message: Sized {
    /// Returns the message as a frame.
    fn encode(&self) -> Vec<u8>;

    /// Reads what stands behind a tag; `None` inside when the tag is not known, outside when the rest makes no sense.
    fn decode(tag: u8, body: &[u8]) -> Option<Option<Self>>;
}

impl Message for Down {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Output(bytes) => frame(tag::OUTPUT, &[bytes]),
            Self::Gap(bytes) => frame(tag::GAP, &[&bytes.to_le_bytes()]),
            Self::Note(text) => frame(tag::NOTE, &[clipped(text)]),
            Self::Ended { code, how } => frame(tag::ENDED, &[&[*code], clipped(how)]),
        }
    }

    fn decode(tag: u8, body: &[u8]) -> Option<Option<Self>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Some(match tag {
            tag::OUTPUT => Self::Output(body.to_vec()),
            tag::GAP => Self::Gap(u64::from_le_bytes(body.try_into().ok()?)),
            tag::NOTE => Self::Note(text(body)),
            tag::ENDED => {
                let (code, how) = body.split_first()?;
                Self::Ended { code: *code, how: text(how) }
            }
            _ => return Some(None),
        }))
    }
}

impl Message for Up {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Input(bytes) => frame(tag::INPUT, &[bytes]),
            Self::Resize(size) => {
                frame(tag::RESIZE, &[&size.rows().to_le_bytes(), &size.cols().to_le_bytes()])
            }
        }
    }

    fn decode(tag: u8, body: &[u8]) -> Option<Option<Self>> {
        Some(Some(match tag {
            tag::INPUT => Self::Input(body.to_vec()),
            tag::RESIZE => {
                let [a, b, c, d] = body.try_into().ok()?;
                Self::Resize(TerminalSize::new(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))?)
            }
            _ => return Some(None),
        }))
    }
}

fn frame(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + length);
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes.push(tag);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// Cuts a text to a length that fits into a frame with room to spare.
fn clipped(text: &str) -> &[u8] {
    &text.as_bytes()[..text.floor_char_boundary(FRAME_BYTES / 2)]
}

/// Reads the frames of one direction.
pub struct StreamReader<R> {
    source: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> StreamReader<R> {
    /// Makes a reader of a stream whose first bytes, `begun`, were read already.
    pub fn new(source: R, begun: Vec<u8>) -> Self {
        Self { source, buffer: begun }
    }

    /// Returns the next message, or `None` when the other side has closed. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the stream breaks, or holds what is no message.
    pub async fn next<M: Message>(&mut self) -> io::Result<Option<M>> {
        loop {
            while let Some(message) = self.buffered()? {
                if let Some(message) = message {
                    return Ok(Some(message));
                }
            }
            self.buffer.reserve(READ_BYTES);
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Takes a whole frame out of the buffer; inside is nothing when its tag is not known.
    fn buffered<M: Message>(&mut self) -> io::Result<Option<Option<M>>> {
        let broken = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let Some((length, rest)) = self.buffer.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > FRAME_BYTES {
            return Err(broken("a frame is too long"));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let (tag, body) = frame.split_first().ok_or_else(|| broken("a frame is empty"))?;
        let message = M::decode(*tag, body).ok_or_else(|| broken("a frame is cut short"))?;
        self.buffer.drain(..LENGTH_BYTES + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all<M: Message>(bytes: &[u8], begun: usize) -> io::Result<Vec<M>> {
        let (begun, rest) = bytes.split_at(begun.min(bytes.len()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut reader = StreamReader::new(rest, begun.to_vec());
            let mut messages = Vec::new();
            while let Some(message) = reader.next().await? {
                messages.push(message);
            }
            Ok(messages)
        })
    }

    #[test]
    fn messages_come_back_as_they_went() {
        let down = [
            Down::Output(b"\x1b[1mhi\xff\r\n".to_vec()),
            Down::Gap(7),
            Down::Note("it is full".into()),
            Down::Ended { code: 143, how: "killed by SIGTERM (15)".into() },
        ];
        let bytes: Vec<u8> = down.iter().flat_map(Message::encode).collect();
        for begun in 0..bytes.len() {
            assert_eq!(read_all::<Down>(&bytes, begun).unwrap(), down);
        }
        let up = [Up::Input(b"\x03".to_vec()), Up::Resize(TerminalSize::new(50, 132).unwrap())];
        let bytes: Vec<u8> = up.iter().flat_map(Message::encode).collect();
        assert_eq!(read_all::<Up>(&bytes, 3).unwrap(), up);
    }

    #[test]
    fn what_is_not_known_is_passed_over_and_what_is_broken_refused() {
        let mut bytes = frame(200, &[b"of a later version"]);
        bytes.extend(Up::Input(b"x".to_vec()).encode());
        assert_eq!(read_all::<Up>(&bytes, 0).unwrap(), [Up::Input(b"x".to_vec())]);
        for broken in [frame(tag::RESIZE, &[&[0, 0, 0, 0]]), vec![0; 4], vec![255; 4]] {
            assert!(read_all::<Up>(&broken, 0).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn long_texts_still_fit() {
        let how = "ü".repeat(FRAME_BYTES);
        let Down::Ended { how: told, .. } =
            read_all(&Down::Ended { code: 1, how: how.clone() }.encode(), 0).unwrap().remove(0)
        else {
            panic!("it is an end")
        };
        assert!(how.starts_with(&told) && told.len() > 1000);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read_all::<Up>(&bytes, 0);
            let _ = read_all::<Down>(&bytes, 50);
        }
    }
}
