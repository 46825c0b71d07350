//! Owns addresses: hosts with ports, URLs of plain HTTP, and texts in which `${PORT}` stands for a port that is known
//! only when the process starts.

use std::borrow::Cow;
use std::fmt;

/// How the process's own port is written where it is not known yet.
pub(super) const OWN_PORT: &str = "${PORT}";

/// A host and a port to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address, without brackets; `localhost` stands for both loopback addresses.
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// Reads `127.0.0.1:8000`, `localhost:8000` or `[::1]:8000`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').filter(|inner| inner.contains(':'))?,
            None => Some(host).filter(|host| !host.contains(':'))?,
        };
        let is_host = !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%'));
        let port = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        is_host.then(|| Self { host: host.to_owned(), port })
    }
}

/// As it is written, an IPv6 address in brackets.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An address of plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    pub endpoint: Endpoint,
    /// Path and query, starting with `/`; fit for a request line.
    pub target: String,
}

impl HttpUrl {
    /// Reads `http://127.0.0.1:8000/health`; the port is 80 when there is none.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let target = target.split('#').next().unwrap_or_default();
        let with_port = Endpoint::parse(authority).or_else(|| Endpoint::parse(&format!("{authority}:80")));
        let is_target = target.bytes().all(|byte| byte.is_ascii_graphic());
        let slash = if target.starts_with('/') { "" } else { "/" };
        is_target.then_some(())?;
        Some(Self { endpoint: with_port?, target: format!("{slash}{target}") })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.endpoint, self.target)
    }
}

/// A text of the configuration in which `${PORT}` stands for the process's own port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortText(String);

impl PortText {
    /// Takes the text as it is written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the text says nothing without a port.
    pub fn needs_port(&self) -> bool {
        self.0.contains(OWN_PORT)
    }

    /// Returns the text with `port` where it belongs; without a port, as it is written.
    pub fn with_port(&self, port: Option<u16>) -> Cow<'_, str> {
        match port {
            Some(port) if self.needs_port() => Cow::Owned(self.0.replace(OWN_PORT, &port.to_string())),
            _ => Cow::Borrowed(&self.0),
        }
    }
}

impl fmt::Display for PortText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_strictly() {
        let read = |text| Endpoint::parse(text).map(|endpoint| endpoint.to_string());
        for good in ["127.0.0.1:8000", "localhost:1", "[::1]:8000", "my-db.local:5432"] {
            assert_eq!(read(good).as_deref(), Some(good));
        }
        for bad in ["localhost", "localhost:", ":80", "::1:80", "h:0", "h:65536", "h:+80", "a b:80", "[h]:80"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn urls_are_plain_http_and_fit_a_request_line() {
        let read = |text| HttpUrl::parse(text).map(|url| url.to_string());
        assert_eq!(read("http://localhost:8000").as_deref(), Some("http://localhost:8000/"));
        assert_eq!(read("http://h/a?b=c#d").as_deref(), Some("http://h:80/a?b=c"));
        assert_eq!(read("http://[::1]:3000/up").as_deref(), Some("http://[::1]:3000/up"));
        for bad in ["https://h/", "h:80", "http:///x", "http://h/a b", "http://u:p@h/", "http://h/\r\nX: y"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_port_goes_where_it_is_asked_for() {
        let text = PortText::new("http://127.0.0.1:${PORT}/up");
        assert!(text.needs_port());
        assert_eq!(text.with_port(Some(81)), "http://127.0.0.1:81/up");
        assert_eq!(text.with_port(None), text.as_str());
        assert!(!PortText::new("127.0.0.1:80").needs_port());
    }
}
