//! `mark_error_resolved`: says of a kind of error that it is mended, or is not after all.

use serde_json::{Value, json};

use crate::api::{Api, Caller, MarkError};

use super::super::arguments::{Argument, Arguments, Kind};
use super::super::reply::{Failure, Reply};
use super::super::view;
use super::get_errors::error;
use super::{Effect, Id, Spec, Toolset};

pub const SPEC: Spec = Spec {
    id: Id::MarkErrorResolved,
    name: "mark_error_resolved",
    title: "Mark an error as resolved",
    description: "Note that a kind of error is mended, by its id from get_errors. When it happens again it is listed as \
                  regressed.",
    toolset: Toolset::Logs,
    effect: Effect::Ensures { destructive: false },
    arguments: &[
        Argument { name: "id", kind: Kind::Text, required: true, description: "" },
        Argument::optional("note", Kind::Text, "What mended it"),
        Argument::optional("reopen", Kind::Flag { default: false }, "Take it back"),
    ],
    output: || view::object([("error", json!({"type": "object"}))], []),
};

pub async fn call(api: &Api, caller: &Caller, arguments: &Arguments) -> Result<Reply, Failure> {
    let mark = MarkError {
        id: arguments.required("id").to_owned(),
        note: arguments.text("note").map(str::to_owned),
    };
    let view = if arguments.flag("reopen").unwrap_or(false) {
        api.reopen_error(caller, mark).await?
    } else {
        api.resolve_error(caller, mark).await?
    };
    let mut told = error(&view);
    told.insert("state".to_owned(), view.state.as_str().into());
    Ok(Reply::default().with("error", Value::Object(told)))
}
