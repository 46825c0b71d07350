//! Answers to calls: structured content on success, the remedy in words on failure, both bounded in tokens.

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value};

use crate::api::ApiError;
use crate::bounds;
use crate::model::Line;

use super::budget::{self, Cut};
use super::lines;
use super::text::clean_within;

/// Tokens that one text beside the log lines may take: a message, a command, a hint.
pub const TEXT_TOKENS: usize = 250;

/// What a tool answers when it did what was asked.
#[derive(Debug, Clone, Default)]
pub struct Reply(Map<String, Value>);

impl Reply {
    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a field, when there is something to say in it.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Returns how many estimated tokens are left for log lines, when `reserve` are kept for fields still to come.
    pub fn left(&self, reserve: usize) -> usize {
        // Each array of lines brings its name and brackets.
        budget::left(&Value::Object(self.0.clone())).saturating_sub(reserve + 16)
    }

    /// Adds log lines with as many of `given` as fit; none adds nothing.
    #[must_use]
    pub fn with_lines(self, name: &str, given: &[Line], budget: usize) -> Self {
        let rendered = lines::render(given, budget, Cut::OldestAndMildest);
        if rendered.lines.is_empty() { self } else { self.with(name, rendered.lines) }
    }

    /// Returns the reply as the protocol carries it. Clients that only read text find the same JSON there
    /// (2025-11-25, server/tools, "Structured Content").
    pub fn into_result(self) -> CallToolResult {
        CallToolResult::structured(Value::Object(self.0))
    }

    /// Returns the fields.
    #[cfg(test)]
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// What a tool answers when it could not do what was asked: words for the agent, remedy included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// Makes a failure of a text of our own.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Makes a failure of its parts; the log lines take what the others leave.
    pub fn with_lines(message: &str, hint: Option<&str>, given: &[Line]) -> Self {
        let mut text = bounded(message);
        if let Some(hint) = hint {
            text.push_str("\nhint: ");
            text.push_str(&bounded(hint));
        }
        let left = bounds::REPLY_TOKENS.saturating_sub(budget::tokens(&text) + 16);
        let rendered = lines::render(given, left, Cut::OldestAndMildest);
        if !rendered.lines.is_empty() {
            text.push_str("\nlast lines:\n");
            text.push_str(&rendered.lines.join("\n"));
        }
        Self(text)
    }

    /// Returns the failure as the protocol carries it.
    pub fn into_result(self) -> CallToolResult {
        CallToolResult::error(vec![ContentBlock::text(self.0)])
    }

    /// Returns the words.
    #[cfg(test)]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::with_lines(&error.message, error.hint.as_deref(), &error.lines)
    }
}

/// Returns `text` cleaned, and no longer than a text beside the log lines may be.
pub fn bounded(text: &str) -> String {
    clean_within(text, TEXT_TOKENS)
}

#[cfg(test)]
mod tests {
    use crate::api::ErrorKind;
    use crate::model::Level;

    use super::super::lines::tests::line;
    use super::*;

    #[test]
    fn a_failure_carries_message_hint_and_last_lines() {
        let mut error = ApiError::new(ErrorKind::Failed, "`api` exited with exit code 1 before it was ready")
            .hint("free the port, then start it again");
        error.lines = vec![line(1, 0, Level::Error, "Error: That port is already in use.")];
        insta::assert_snapshot!(Failure::from(error).text(), @r"
        `api` exited with exit code 1 before it was ready
        hint: free the port, then start it again
        last lines:
        2026-11-20T08:29:25Z error| Error: That port is already in use.
        ");
    }

    #[test]
    fn a_failure_is_bounded_whatever_its_parts_hold() {
        let mut error = ApiError::new(ErrorKind::Invalid, "\"\\".repeat(100_000)).hint("{}".repeat(100_000));
        error.lines = (1..500).map(|seq| line(seq, seq as i64, Level::Error, &"[;]".repeat(2000))).collect();
        let failure = Failure::from(error);
        assert!(budget::tokens(failure.text()) <= bounds::REPLY_TOKENS, "{}", budget::tokens(failure.text()));
    }
}
