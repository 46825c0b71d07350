//! One GET over plain HTTP, which is what development servers speak: a request, the status, and as much of the body
//! as a check needs. No client library, because nothing else of HTTP is wanted here.
//!
//! The answer is a stranger's: every read is bounded, and what makes no sense is no answer.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bounds;
use crate::config::{Endpoint, HttpUrl};

/// The part of an answer that a check looks at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The first part of the body, when it was asked for.
    pub(super) body: Vec<u8>,
}

/// Sends one GET and reads the answer's status, and its body when `with_body`. The caller bounds the time.
///
/// # Errors
/// When nobody accepts the connection, it breaks, or the answer is not HTTP (`InvalidData`).
pub(super) async fn get(url: &HttpUrl, with_body: bool) -> io::Result<Answer> {
    let mut stream = connect(&url.endpoint).await?;
    let (target, endpoint) = (&url.target, &url.endpoint);
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {endpoint}\r\nUser-Agent: ostler\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    read_answer(&mut stream, with_body).await
}

/// Connects to what may be the address that a server binds to, which is not always one to connect to.
pub(super) async fn connect(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let host = match endpoint.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    TcpStream::connect((host, endpoint.port)).await
}

async fn read_answer(stream: &mut (impl AsyncRead + Unpin), with_body: bool) -> io::Result<Answer> {
    let mut read = Vec::new();
    let line_end = read_until(stream, &mut read, b"\r\n").await?;
    let status = status(&read[..line_end]).ok_or_else(nonsense)?;
    if !with_body {
        return Ok(Answer { status, body: Vec::new() });
    }
    let head_end = read_until(stream, &mut read, b"\r\n\r\n").await?;
    let head = Head::of(&read[..head_end]);
    let mut body = read.split_off(head_end + 4);
    let wanted = if head.chunked { usize::MAX } else { head.length.unwrap_or(usize::MAX) };
    let wanted = wanted.min(bounds::CHECK_HTTP_BYTES);
    while body.len() < wanted && !(head.chunked && chunks(&body).1) {
        if stream.read_buf(&mut body).await? == 0 {
            break;
        }
    }
    body.truncate(wanted);
    let body = if head.chunked { chunks(&body).0 } else { body };
    Ok(Answer { status, body })
}

/// Reads on until `end` is there, and returns where it begins.
async fn read_until(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut Vec<u8>,
    end: &[u8],
) -> io::Result<usize> {
    loop {
        if let Some(place) = read.windows(end.len()).position(|window| window == end) {
            return Ok(place);
        }
        if read.len() > bounds::CHECK_HTTP_BYTES || stream.read_buf(read).await? == 0 {
            return Err(nonsense());
        }
    }
}

fn status(line: &[u8]) -> Option<u16> {
    std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

/// What the head says of the body.
#[derive(Default)]
struct Head {
    length: Option<usize>,
    chunked: bool,
}

impl Head {
    fn of(bytes: &[u8]) -> Self {
        let mut head = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let Some((name, value)) = line.split_once(':') else { continue };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.trim().parse().ok(),
                "transfer-encoding" => head.chunked = value.to_ascii_lowercase().contains("chunked"),
                _ => {}
            }
        }
        head
    }
}

/// Takes the chunks of a body apart (RFC 9112, section 7.1), as far as they are there, and returns whether the last
/// one was among them.
fn chunks(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(line_end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..line_end]).ok();
        let size = size.and_then(|line| line.split(';').next()).map(str::trim);
        let Some(size) = size.and_then(|size| usize::from_str_radix(size, 16).ok()) else {
            return (body, true);
        };
        if size == 0 {
            return (body, true);
        }
        bytes = &bytes[line_end + 2..];
        body.extend_from_slice(&bytes[..size.min(bytes.len())]);
        match size.checked_add(2).and_then(|next| bytes.get(next..)) {
            Some(rest) => bytes = rest,
            None => break,
        }
    }
    (body, false)
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came back is not HTTP")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn read(answer: &[u8], with_body: bool) -> io::Result<Answer> {
        read_answer(&mut &answer[..], with_body).await
    }

    async fn body(answer: &str) -> String {
        String::from_utf8(read(answer.as_bytes(), true).await.unwrap().body).unwrap()
    }

    #[tokio::test]
    async fn the_status_is_read_without_waiting_for_more() {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"HTTP/1.1 503 Oops\r\nX").await.unwrap();
        assert_eq!(read_answer(&mut ours, false).await.unwrap(), Answer { status: 503, body: Vec::new() });
        for nonsense in
            [&b"garbage\r\n\r\n"[..], b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"", b"HTTP/1.1 200"]
        {
            assert!(read(nonsense, false).await.is_err());
        }
    }

    #[tokio::test]
    async fn bodies_are_read_as_their_heads_say() {
        assert_eq!(body("HTTP/1.0 200 OK\r\n\r\nto the end").await, "to the end");
        assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more").await, "ok");
        let chunked =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\n{\"s\r\n4\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(body(chunked).await, "{\"s\":1}");
    }

    #[tokio::test]
    async fn an_endless_body_is_cut() {
        let endless = ["HTTP/1.1 200 OK\r\n\r\n", &"x".repeat(bounds::CHECK_HTTP_BYTES * 3)].concat();
        assert_eq!(read(endless.as_bytes(), true).await.unwrap().body.len(), bounds::CHECK_HTTP_BYTES);
        let endless = ["HTTP/1.1 200 OK\r\n", &"x".repeat(bounds::CHECK_HTTP_BYTES * 3)].concat();
        assert!(read(endless.as_bytes(), true).await.is_err());
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), size in any::<usize>()) {
            let _ = chunks(&bytes);
            let _ = Head::of(&bytes);
            let _ = chunks(&[format!("{size:x}\r\n").as_bytes(), &bytes].concat());
        }
    }
}
