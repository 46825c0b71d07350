//! Answers to calls: structured content on success, the remedy in words on failure, both bounded in tokens.

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value};

use crate::api::ApiError;
use crate::bounds;
use crate::model::Line;

use super::budget::{self, Cut};
use super::text::clean_within;
use super::{bound, lines};

/// Tokens that one text beside the log lines may take: a message, a command, a hint.
pub const TEXT_TOKENS: usize = 250;

/// Said where lines are told in fewer words than there are.
const SHORTENED: &str = "get_logs with full=true shows all frames, and lines that are alike";
/// Estimated tokens kept for it.
const SHORTENED_TOKENS: usize = 25;

/// What a tool answers when it did what was asked.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    fields: Map<String, Value>,
    /// Lines are told in fewer words than there are.
    shortened: bool,
}

impl Reply {
    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
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

    /// Adds a remark on how to go on to those there are.
    #[must_use]
    pub fn with_hint(mut self, remark: &str) -> Self {
        bound::add_hint(&mut self.fields, remark);
        self
    }

    /// Returns how many estimated tokens are left for log lines, when `reserve` are kept for fields still to come.
    pub fn left(&self, reserve: usize) -> usize {
        // Each array of lines brings its name and brackets.
        budget::left(&Value::Object(self.fields.clone())).saturating_sub(reserve + 16)
    }

    /// Adds log lines with as many of `given` as fit; none adds nothing.
    #[must_use]
    pub fn with_lines(self, name: &str, given: &[Line], budget: usize) -> Self {
        let rendered = lines::render(given, budget.saturating_sub(SHORTENED_TOKENS), Cut::OldestAndMildest);
        if rendered.lines.is_empty() {
            return self;
        }
        let shortened = self.shortened || rendered.shortened;
        Self { shortened, ..self.with(name, rendered.lines) }
    }

    /// Returns the reply as the protocol carries it. Clients that only read text find the same JSON there
    /// (2025-11-25, server/tools, "Structured Content").
    pub fn into_result(self) -> CallToolResult {
        CallToolResult::structured(Value::Object(self.finished()))
    }

    /// Returns the fields as they are sent, whatever they hold within the bound of a reply.
    fn finished(mut self) -> Map<String, Value> {
        if self.shortened {
            bound::add_hint(&mut self.fields, SHORTENED);
        }
        bound::within(self.fields, bounds::REPLY_TOKENS)
    }

    /// Returns the fields as they are sent.
    #[cfg(test)]
    pub fn into_value(self) -> Value {
        Value::Object(self.finished())
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
        let hint = hint.map(bounded);
        let fixed = budget::json_string_tokens(&text) + hint.as_deref().map_or(0, budget::json_string_tokens);
        let left = bounds::REPLY_TOKENS.saturating_sub(fixed + SHORTENED_TOKENS + 16);
        let rendered = lines::render(given, left, Cut::OldestAndMildest);
        let shortened = rendered.shortened.then(|| SHORTENED.to_owned());
        let hints: Vec<String> = hint.into_iter().chain(shortened).collect();
        if !hints.is_empty() {
            text.push_str("\nhint: ");
            text.push_str(&hints.join("; "));
        }
        if !rendered.lines.is_empty() {
            text.push_str("\nlast lines:\n");
            text.push_str(&rendered.lines.join("\n"));
        }
        Self(text)
    }

    /// Returns the failure as the protocol carries it.
    pub fn into_result(self) -> CallToolResult {
        CallToolResult::error(vec![ContentBlock::text(bound::text_within(self.0, bounds::REPLY_TOKENS))])
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
