//! Replies made of the worst that processes, people and clients may give: never more tokens than a reply may have, as a
//! real tokenizer counts them.

use proptest::prelude::*;

use super::super::super::lines::tests::line;
use super::super::super::tokens::tests::real_tokens;
use super::super::super::view::tests::view;
use super::super::*;
use crate::api::{
    self, AddReply, Also, Diagnosis, ErrorsReply, LatestError, LatestErrorsReply, LogsReply, RunEndReply,
    RunReply, RunView, ScaleReply, SendReply, StartReply, StopReply, WaitOutcome, WaitReply,
};
use crate::model::{Level, Line, ProcessName, RunId, Stream, Time};

/// Something a process may print, or a person may write into a configuration.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "\\PC{0,60}",
        1 => "(?s).{0,300}",
        1 => Just("{\"k\": [1, 2], \"\u{1b}[31m\\\"\": null}".repeat(80)),
        1 => Just("\u{1f980}\u{4e00}\u{0434}\u{fffd}\u{202e}".repeat(100)),
        1 => Just("\"\\\n\t\u{0}\u{7f}".repeat(100)),
        1 => Just("xqzjkvwq".repeat(250)),
        1 => Just("a\rb\r".repeat(250)),
        1 => Just("    at f (/srv/node_modules/x/a.js:1:5)\n".repeat(50)),
        1 => Just(" /[;?=&%$#@!]".repeat(100)),
    ]
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let one = (text(), 0u8..7, any::<bool>(), any::<bool>(), 0i64..400);
    prop::collection::vec(one, 0..60).prop_map(|lines| {
        let line =
            |(index, (text, level, continues, partial, second)): (usize, (String, u8, bool, bool, i64))| {
                Line {
                    stream: if index % 3 == 0 { Stream::Stderr } else { Stream::Stdout },
                    run: RunId(index as u64 % 5),
                    continues,
                    partial,
                    ..line(index as u64 + 1, second * 1000, Level::from_u8(level), &text)
                }
            };
        lines.into_iter().enumerate().map(line).collect()
    })
}

/// Names as long as they may be.
fn name(index: usize) -> ProcessName {
    ProcessName::new(format!("{:x<60}{index}", "Worker_1.").as_str()).unwrap()
}

/// What the reply costs, and whether it is a failure.
fn cost(result: rmcp::model::CallToolResult) -> (usize, bool) {
    let failed = result.is_error == Some(true);
    let sent = match &result.structured_content {
        Some(content) => content.to_string(),
        None => serde_json::to_string(&result.content).unwrap(),
    };
    (real_tokens(&sent), failed)
}

/// Everything that tools make of one set of texts and lines.
fn replies(texts: &[String], lines: &[Line], count: usize) -> Vec<(&'static str, Result<Reply, Failure>)> {
    let text = |index: usize| texts[index % texts.len()].clone();
    let status = |name: &str| api::ProcessView {
        status: Some(text(1)),
        ports: (1..900).collect(),
        ..view(name, "ready")
    };
    let views: Vec<_> = (0..count).map(|index| status(name(index).as_str())).collect();
    let started = StartReply {
        process: status("api"),
        already_running: false,
        cursor: text(2),
        warning: Some(text(3)),
        also: views
            .iter()
            .map(|process| Also {
                process: process.clone(),
                why: api::Why::Dependency,
                already_running: false,
            })
            .collect(),
    };
    let waited = |outcome| WaitReply {
        outcome,
        reason: text(4),
        process: status("api"),
        line: lines.first().cloned(),
        tail: lines.to_vec(),
        alert: None,
        cursor: text(5),
    };
    let run = |index: usize| RunView {
        run: RunId(index as u64),
        reason: text(index),
        started: Time(0),
        ended: None,
        exit: None,
        how: text(index + 1),
    };
    let diagnosis = Diagnosis {
        process: status("api"),
        summary: text(0),
        command: text(1),
        cwd: text(2),
        runs: (0..count).map(run).collect(),
        errors: lines.to_vec(),
        tail: lines[lines.len() / 2..].to_vec(),
        hints: texts.to_vec(),
        cursor: text(3),
    };
    let mut error = super::super::get_errors::tests::view();
    (error.kind, error.message, error.place, error.sample) = (text(0), text(1), Some(text(2)), Some(text(3)));
    let latest = LatestError {
        id: text(4),
        process: name(1),
        run: RunId(3),
        stream: Stream::Stderr,
        time: Time(0),
        level: Level::Error,
        state: error.state,
        count: 4,
        text: text(5),
        is_sample: true,
        cursor: text(6),
    };
    let failed = |index: usize| api::Failure { name: name(index), reason: text(index) };
    let scaled = ScaleReply {
        name: name(0),
        replicas: 64,
        started: views.clone(),
        removed: views.clone(),
        failed: (0..count).map(failed).collect(),
        note: Some(text(1)),
    };
    let logs = LogsReply { lines: lines.to_vec(), cursor: text(1), more: true, missing: 3 };
    let once = RunReply { process: status("api"), run: RunId(1), dependencies: Vec::new(), cursor: text(2) };
    let ended = RunEndReply { ended: true, exit: None, how: text(0) };
    let sent = SendReply { process: status("api"), bytes: 1, cursor: text(0), signals: texts.to_vec() };
    let errors = ErrorsReply { errors: vec![error.clone(); count], more: 9, new: 9, cursor: text(2) };
    let mut refused = api::ApiError::new(api::ErrorKind::Failed, text(0)).hint(text(1));
    refused.lines = lines.to_vec();
    let stopped =
        StopReply { process: status("api"), was_running: true, how: Some(text(0)), also: Vec::new() };
    let added = AddReply {
        process: status("api"),
        existed: false,
        keep: text(1),
        cursor: text(2),
        started: None,
        failure: count.is_multiple_of(2).then(|| text(3)),
    };
    vec![
        ("list_processes", Ok(list_processes::render(&views, &[]))),
        ("start_process", Ok(start_process::render(&started))),
        ("start_process late", start_process::render_waited(&started, &waited(WaitOutcome::TimedOut))),
        ("start_process dead", start_process::render_waited(&started, &waited(WaitOutcome::Impossible))),
        ("wait_for", Ok(wait_for::render(&waited(WaitOutcome::Impossible)))),
        ("diagnose_process", Ok(diagnose_process::render(&diagnosis))),
        ("get_errors", Ok(get_errors::render(&errors))),
        ("get_errors of one", Ok(get_errors::render_one(&error))),
        (
            "get_latest_errors",
            Ok(get_latest_errors::render(&LatestErrorsReply { errors: vec![latest; 20], cursor: text(0) })),
        ),
        ("scale_process", Ok(scale_process::render(&scaled))),
        ("run_process", Ok(run_process::render(&once, &ended, &logs))),
        ("send_input", Ok(send_input::render(&sent))),
        ("stop_process", Ok(stop_process::render(&stopped))),
        ("add_process", add_process::render(&added)),
        ("a refusal", Err(refused.into())),
        ("a failure", Err(Failure::new(texts.concat()))),
        // What no tool makes, but could.
        ("anything", Ok(Reply::default().with("names", texts.to_vec()).with("lines", texts.to_vec()))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn no_reply_takes_more_tokens_than_it_may(
        texts in prop::collection::vec(text(), 1..12), lines in lines(), count in 0usize..200,
    ) {
        for (tool, reply) in replies(&texts, &lines, count) {
            let is_failure = reply.is_err();
            let (cost, failed) = cost(reply.map_or_else(Failure::into_result, Reply::into_result));
            prop_assert!(cost <= bounds::REPLY_TOKENS, "{tool}: {cost}");
            prop_assert_eq!(failed, is_failure, "{}", tool);
        }
    }
}
