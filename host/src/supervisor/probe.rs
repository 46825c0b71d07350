//! One look at whether a process answers: a TCP connection, or an HTTP request over one. Development servers speak
//! plain HTTP, so a probe needs no client library: it sends one request and reads the status line.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::{Endpoint, HttpUrl};

/// Time for one attempt; attempts repeat until the readiness time-out. Generous, because the first request to a
/// development server may compile something.
const ATTEMPT: Duration = Duration::from_secs(5);
/// A status line and no more is read of an answer.
const STATUS_LINE_BYTES: u64 = 64;

/// Returns whether something accepts connections at `endpoint`.
pub async fn tcp_answers(endpoint: &Endpoint) -> bool {
    matches!(tokio::time::timeout(ATTEMPT, connect(endpoint)).await, Ok(Some(_)))
}

/// Returns whether `url` answers a GET with a status below 400.
pub async fn http_answers(url: &HttpUrl) -> bool {
    let status = tokio::time::timeout(ATTEMPT, http_status(url)).await;
    matches!(status, Ok(Some(status)) if (100..400).contains(&status))
}

async fn http_status(url: &HttpUrl) -> Option<u16> {
    let mut stream = connect(&url.endpoint).await?;
    let (target, endpoint) = (&url.target, &url.endpoint);
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {endpoint}\r\nUser-Agent: ostler\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    stream.take(STATUS_LINE_BYTES).read_to_end(&mut head).await.ok()?;
    let line = std::str::from_utf8(head.get(..head.iter().position(|b| *b == b'\r')?)?).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

async fn connect(endpoint: &Endpoint) -> Option<TcpStream> {
    // What a server binds to is not always what can be connected to.
    let host = match endpoint.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    TcpStream::connect((host, endpoint.port)).await.ok()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn serve_once(answer: &'static str) -> HttpUrl {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        HttpUrl::parse(&format!("http://{address}/health")).unwrap()
    }

    #[tokio::test]
    async fn a_server_error_is_no_answer() {
        assert!(http_answers(&serve_once("HTTP/1.1 200 OK\r\n\r\nhi").await).await);
        assert!(http_answers(&serve_once("HTTP/1.1 302 Found\r\n\r\n").await).await);
        assert!(!http_answers(&serve_once("HTTP/1.1 500 Oops\r\n\r\n").await).await);
        assert!(!http_answers(&serve_once("garbage\r\n\r\n").await).await);
    }

    #[tokio::test]
    async fn a_wildcard_address_is_reached_through_loopback() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(tcp_answers(&Endpoint { host: "0.0.0.0".into(), port }).await);
        drop(listener);
        assert!(!tcp_answers(&Endpoint { host: "0.0.0.0".into(), port }).await);
    }
}
