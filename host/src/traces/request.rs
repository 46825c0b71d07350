//! Access lines of requests that failed: `"GET /orders/17 HTTP/1.1" 500 57`. What failed is the route.

use super::{Frame, Shape, clip, route};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// Reads the line of a request that ended with an error, as servers of the common log format print it, and as
/// development servers of Node.js do (`GET /orders/17 500 12 ms`).
pub(super) fn read(line: &str) -> Option<Shape> {
    let (method, path, status) = quoted(line).or_else(|| bare(line))?;
    if !(400..600).contains(&status) {
        return None;
    }
    let mut function = String::new();
    route::write(method, path, &mut function);
    Some(Shape {
        kind: format!("HTTP {status}"),
        message: clip(&format!("{method} {path}")),
        frames: vec![Frame { function, in_app: true, ..Frame::default() }],
        ..Shape::default()
    })
}

/// `… "METHOD PATH HTTP/1.1" STATUS …`
fn quoted(line: &str) -> Option<(&str, &str, u16)> {
    let (before, after) = line.split_once(" HTTP/")?;
    let (_, request) = before.rsplit_once('"')?;
    let (method, path) = request.split_once(' ').filter(|(method, _)| METHODS.contains(method))?;
    let (_, rest) = after.split_once('"')?;
    Some((method, path, status(rest.split_whitespace().next()?)?))
}

/// `METHOD PATH STATUS …`
fn bare(line: &str) -> Option<(&str, &str, u16)> {
    let mut words = line.split_whitespace();
    let method = words.next().filter(|method| METHODS.contains(method))?;
    let path = words.next().filter(|path| path.starts_with('/'))?;
    Some((method, path, status(words.next()?)?))
}

fn status(word: &str) -> Option<u16> {
    word.parse().ok().filter(|_| word.len() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::{Fingerprint, read as read_text};

    fn of(line: &str) -> Option<(String, String)> {
        read(line).map(|shape| (shape.kind.clone(), shape.place().unwrap_or_default()))
    }

    #[test]
    fn failed_requests_are_known_by_status_and_route() {
        let expected = |status: u16| Some((format!("HTTP {status}"), "GET /orders/:id".to_owned()));
        let django = r#"[20/Nov/2026 08:29:25] "GET /orders/17 HTTP/1.1" 500 57421"#;
        let uvicorn = r#"INFO:     127.0.0.1:46162 - "GET /orders/18?x=1 HTTP/1.1" 404 Not Found"#;
        let morgan = "GET /orders/19 500 13.5 ms - 1016";
        assert_eq!([django, uvicorn, morgan].map(of), [expected(500), expected(404), expected(500)]);
        let print = |line| Fingerprint::of("api", &read_text(line, None));
        assert_eq!(print(django), print(morgan));
        assert_ne!(print(django), print(uvicorn));
    }

    #[test]
    fn what_went_well_or_is_no_request_is_left_to_others() {
        for line in [
            r#""GET / HTTP/1.1" 200 57"#,
            r#""GET / HTTP/1.1" okay"#,
            "GET it done 500 times",
            "GET /x 5000 ms",
            r#"we speak HTTP/1.1" 500"#,
            "",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
