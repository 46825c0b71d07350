//! What `ostler` shows as JSON, with the fields that are promised and no others.

use serde::Deserialize;

/// A process as `ps --json` shows it, field by field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    pub name: String,
    pub state: String,
    pub pid: Option<u32>,
    pub run: Option<u64>,
    pub ready: bool,
    pub uptime_ms: Option<u64>,
    pub restarts: u32,
    pub exit: Option<Exit>,
    pub ports: Vec<u16>,
    /// Only where one was given.
    #[serde(default)]
    pub port: Option<u16>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

/// A line as `logs --json` shows it, field by field.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub seq: u64,
    pub time: String,
    pub process: String,
    pub run: u64,
    pub stream: String,
    pub level: String,
    pub text: String,
    #[serde(default)]
    pub partial: bool,
    #[serde(default)]
    pub continues: bool,
}

/// Returns the texts of lines as the process printed them: pieces that were stored apart are put together again.
pub fn whole(lines: &[Line]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in lines {
        match texts.last_mut() {
            Some(text) if goes_on => text.push_str(&line.text),
            _ => texts.push(line.text.clone()),
        }
        goes_on = line.partial;
    }
    texts
}
