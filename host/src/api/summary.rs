//! A stretch of the log in numbers and examples: who printed how much of what, which errors there were, and what was
//! said again and again.
//!
//! Numbers are counted over all lines, messages in a sample of the newest. Everything is bounded.

use std::collections::{BTreeMap, HashMap};

use super::alerts::AlertsRequest;
use super::error_types::ErrorsRequest;
use super::errors::limited;
use super::requests::{RequestStats, RequestWindow};
use super::search::levels;
use super::summary_types::{LogSummary, LogSummaryRequest, MessageSummary, ProcessSummary};
use super::types::{ApiError, Caller};
use super::{Api, cursor_before};
use crate::bounds;
use crate::model::{Level, Line, ProcessName, RunId, Stream, Time};
use crate::pipeline::dropped_lines;
use crate::store::{Buckets, ErrorsSince, LogPage, LogQuery, Pattern, ProcessTally, Runs, Take, field_of};
use crate::supervisor::Handle;
use crate::traces;

/// The stretch that is summed up when the request does not say.
const SINCE: &str = "15m";
/// Kinds of errors, and messages, when the request does not say.
const LIMIT: usize = 10;
const LIMIT_MAX: usize = 100;
/// Steps of a trend.
const STEPS: usize = 12;
/// Parts of a step, in the fullest of which the peak is.
const PARTS: usize = 50;
/// Remarks of dropped output that are read.
const GAPS: usize = 1000;
/// Bytes kept of a message's last line.
const SAMPLE_BYTES: usize = 500;
/// Different messages that are counted of a sample.
const TEMPLATES: usize = 2000;
/// The names programs give to what a structured line says.
const MESSAGE_KEYS: [&str; 4] = ["msg", "message", "event", "text"];
const SECOND: i64 = 1_000_000_000;

/// Which lines are summed up.
struct Window {
    query: LogQuery,
    runs: Runs,
    from: Time,
    to: Time,
}

impl Window {
    fn span(&self) -> i64 {
        self.to.0.saturating_sub(self.from.0).max(1)
    }

    /// Returns the stretches that lines are counted in: several to a step, so that the peak shows, and none shorter
    /// than a second, which would make a single burst a rate.
    fn buckets(&self) -> Buckets {
        let width = (self.span() / (STEPS * PARTS) as i64 + 1).max(SECOND);
        let count = usize::try_from(self.span() / width + 1).unwrap_or(1);
        Buckets { begin: self.from, width, count }
    }
}

impl Api {
    /// Sums up a stretch of the log.
    pub async fn log_summary(
        &self,
        caller: &Caller,
        request: LogSummaryRequest,
    ) -> Result<LogSummary, ApiError> {
        let limit = limited(request.limit, LIMIT, LIMIT_MAX)?;
        let cursor = self.parts.store.cursor(self.parts.store.newest()).to_string();
        let window = self.window(&request).await?;
        let buckets = window.buckets();
        let tally = self.tally(window.query.clone(), window.runs.clone(), buckets).await?;
        let dropped = self.dropped(&window).await;
        let (page, messages) = self.messages(&window, &cursor, limit).await?;
        let errors = ErrorsRequest {
            names: request.names.clone(),
            since: Some(request.since.unwrap_or_else(|| SINCE.to_owned())),
            limit: Some(limit),
            ..ErrorsRequest::default()
        };
        let errors = self.error_groups(caller, errors).await?;
        let alerts = AlertsRequest {
            names: request.names,
            since: Some(window.from.to_string()),
            limit: Some(limit.min(bounds::ALERTS_KEPT)),
            ..AlertsRequest::default()
        };
        let step = buckets.count.div_ceil(STEPS).max(1);
        let mut processes: Vec<ProcessSummary> = tally
            .processes
            .iter()
            .map(|(name, tally)| ProcessSummary {
                requests: self.recent_requests(name),
                ..process(name, tally, buckets, step, &dropped)
            })
            .collect();
        processes.sort_by_key(|process| std::cmp::Reverse((serious(process), process.lines)));
        Ok(LogSummary {
            from: window.from,
            to: window.to,
            lines: processes.iter().map(|process| process.lines).sum(),
            processes,
            trend_step_ms: u64::try_from(buckets.width / 1_000_000).unwrap_or(0) * step as u64,
            counts_are_least: !tally.is_whole,
            missing: tally.damaged.max(page.missing),
            errors: errors.errors,
            more_errors: errors.more,
            new_errors: errors.new,
            messages,
            sampled: page.lines.len() as u64,
            alerts: self.alerts(caller, alerts).await?.alerts,
            cursor,
        })
    }

    fn recent_requests(&self, name: &ProcessName) -> Option<RequestWindow> {
        let stats = RequestStats::from(self.parts.pipeline.requests(name)?);
        Some(stats.last_15_minutes).filter(|window| window.count > 0)
    }

    /// Finds out which lines are meant, and when they begin.
    async fn window(&self, request: &LogSummaryRequest) -> Result<Window, ApiError> {
        let mut handles = Vec::new();
        for name in &request.names {
            handles.extend(self.handles(name)?);
        }
        let processes = (!request.names.is_empty()).then(|| handles.iter().map(Handle::name).collect());
        if request.names.is_empty() {
            handles = self.parts.fleet.in_order();
        }
        let since = self.errors_since(request.since.as_deref().unwrap_or(SINCE), &handles).await?;
        let to = Time::now();
        let mut query = LogQuery { processes, ..LogQuery::default() };
        let (runs, from) = match since {
            ErrorsSince::Ever => (Runs::All, self.first_time(&query).await.unwrap_or(to)),
            ErrorsSince::Time(time) => {
                query.since = Some(time);
                (Runs::All, time)
            }
            ErrorsSince::Line(seq) => {
                query.after = Some(seq);
                (Runs::All, self.first_time(&query).await.unwrap_or(to))
            }
            ErrorsSince::Run(run) => (Runs::From(run), self.began(&[run]).await.unwrap_or(to)),
            ErrorsSince::Runs(runs) => {
                let began = self.began(&runs).await.unwrap_or(to);
                (Runs::Only(runs.into_iter().collect()), began)
            }
        };
        if runs != Runs::All {
            // No line of a run is older than the run.
            query.since = Some(from);
        }
        Ok(Window { query, runs, from, to: to.max(from) })
    }

    async fn first_time(&self, query: &LogQuery) -> Option<Time> {
        let first = LogQuery { limit: 1, take: Take::Oldest, ..query.clone() };
        self.page(first).await.lines.first().map(|line| line.time)
    }

    /// Returns when the first of these runs began.
    async fn began(&self, runs: &[RunId]) -> Option<Time> {
        let runs = runs.to_vec();
        let began = self.of_errors(move |catalogue| {
            let mut first: Option<Time> = None;
            for run in runs {
                let began = catalogue.run(run)?.map(|run| run.started_at);
                first = first.into_iter().chain(began).min();
            }
            Ok(first)
        });
        began.await.ok().flatten()
    }

    /// Returns how many lines of each process were dropped, as the remarks in the log say.
    async fn dropped(&self, window: &Window) -> BTreeMap<ProcessName, u64> {
        let query = LogQuery {
            stream: Some(Stream::Ostler),
            pattern: Pattern::new("dropped").ok(),
            limit: GAPS,
            ..window.query.clone()
        };
        let mut dropped = BTreeMap::new();
        for line in self.page(query).await.lines {
            if window.runs.contains(line.run)
                && let Some(lines) = dropped_lines(&line.text)
            {
                let sum: &mut u64 = dropped.entry(line.process).or_default();
                *sum = sum.saturating_add(lines);
            }
        }
        dropped
    }

    /// Looks at the newest lines and returns them with what is said in them most often.
    async fn messages(
        &self,
        window: &Window,
        cursor: &str,
        limit: usize,
    ) -> Result<(LogPage, Vec<MessageSummary>), ApiError> {
        let query = LogQuery { limit: bounds::SUMMARY_SAMPLE, ..window.query.clone() };
        let mut page = self.page(query).await;
        page.lines.retain(|line| window.runs.contains(line.run));
        let cursor = cursor.to_owned();
        let counting = tokio::task::spawn_blocking(move || {
            let messages = messages(&page.lines, &cursor, limit);
            (page, messages)
        });
        counting.await.map_err(|error| ApiError::new(super::types::ErrorKind::Failed, error.to_string()))
    }
}

fn serious(process: &ProcessSummary) -> u64 {
    [Level::Error, Level::Fatal].iter().filter_map(|level| process.levels.get(level)).sum()
}

fn process(
    name: &ProcessName,
    tally: &ProcessTally,
    buckets: Buckets,
    step: usize,
    dropped: &BTreeMap<ProcessName, u64>,
) -> ProcessSummary {
    let lines = tally.lines();
    let seconds = (tally.last.0.saturating_sub(tally.first.0).max(SECOND)) as f64 / SECOND as f64;
    let per_second = lines as f64 / seconds;
    let fullest = tally.buckets.iter().max().copied().unwrap_or(0);
    let peak = fullest as f64 * SECOND as f64 / buckets.width as f64;
    ProcessSummary {
        process: name.clone(),
        lines,
        levels: levels(&tally.levels),
        bytes: tally.text_bytes,
        per_second: rounded(per_second),
        // What is said in less time than a bucket's is spread over all of it.
        peak_per_second: rounded(peak.max(per_second)),
        trend: tally.buckets.chunks(step).map(|part| part.iter().sum()).collect(),
        first: tally.first,
        last: tally.last,
        dropped: dropped.get(name).copied().unwrap_or(0),
        requests: None,
    }
}

/// Three digits say all there is to say of a rate.
fn rounded(rate: f64) -> f64 {
    (rate * 1000.0).round() / 1000.0
}

/// Counts what lines say. Of an event of several lines the first one counts; what Ostler remarks does not.
fn messages(lines: &[Line], cursor: &str, limit: usize) -> Vec<MessageSummary> {
    let mut counts: HashMap<(&ProcessName, Level, String), (u64, &Line)> = HashMap::new();
    for line in lines {
        if line.continues || line.stream == Stream::Ostler || line.text.trim().is_empty() {
            continue;
        }
        let key = (&line.process, line.level, template(&line.text));
        let is_full = counts.len() >= TEMPLATES;
        match counts.get_mut(&key) {
            Some((count, last)) => (*count, *last) = (*count + 1, line),
            None if is_full => {}
            None => drop(counts.insert(key, (1, line))),
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(key, (count, last))| (std::cmp::Reverse((*count, key.1)), last.seq));
    let told =
        |((process, level, template), (count, last)): ((&ProcessName, Level, String), (u64, &Line))| {
            let end = last.text.floor_char_boundary(SAMPLE_BYTES);
            MessageSummary {
                process: process.clone(),
                level,
                template,
                count,
                sample: last.text[..end].to_owned(),
                cursor: cursor_before(cursor, last.seq),
            }
        };
    counts.into_iter().take(limit).map(told).collect()
}

/// Returns the form of what a line says: of a structured one that of its message.
fn template(text: &str) -> String {
    const REQUESTS: [&str; 7] =
        ["\"GET ", "\"POST ", "\"PUT ", "\"PATCH ", "\"DELETE ", "\"HEAD ", "\"OPTIONS "];
    let message = field_of(text, &MESSAGE_KEYS).filter(|message| !message.trim().is_empty());
    let mut text = message.unwrap_or_else(|| text.to_owned());
    // What is in quotes counts as different each time, but a request is what such a line is about.
    for request in REQUESTS {
        if text.contains(request) {
            text = text.replace(request, &request[1..]);
        }
    }
    traces::template(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seq;

    fn line(seq: u64, level: Level, text: &str) -> Line {
        Line {
            seq: Seq(seq),
            time: Time(seq as i64),
            process: ProcessName::new("api").unwrap(),
            run: RunId(1),
            stream: Stream::Stdout,
            level,
            text: text.to_owned(),
            partial: false,
            continues: false,
        }
    }

    #[test]
    fn lines_that_say_the_same_are_one_message() {
        let mut lines = vec![
            line(1, Level::Info, "[20/Nov/2026 08:29:25] \"GET /orders/7 HTTP/1.1\" 200 57"),
            line(2, Level::Info, "[20/Nov/2026 08:29:26] \"GET /orders/8 HTTP/1.1\" 500 1024"),
            line(3, Level::Info, r#"{"level":"info","msg":"job 7 done","ms":12}"#),
            line(4, Level::Info, r#"{"level":"info","msg":"job 8 done","ms":7}"#),
            line(5, Level::Info, "level=info msg=\"job 9 done\""),
            line(6, Level::Error, "boom"),
            line(7, Level::Error, "    at f (a.js:1:1)"),
            line(8, Level::Info, ""),
        ];
        lines[6].continues = true;
        let told = messages(&lines, "3fa9c1-9", 10);
        let shown: Vec<_> =
            told.iter().map(|told| (told.count, told.level, told.template.as_str())).collect();
        assert_eq!(
            shown,
            [
                (3, Level::Info, "job <n> done"),
                (2, Level::Info, "[<path> <n>] GET <path> HTTP/<n>\" <n> <n>"),
                (1, Level::Error, "boom"),
            ]
        );
        assert_eq!((told[0].cursor.as_str(), told[2].cursor.as_str()), ("3fa9c1-4", "3fa9c1-5"));
        assert_eq!(messages(&lines, "3fa9c1-9", 1).len(), 1);
    }

    #[test]
    fn a_stretch_is_cut_into_parts_of_a_second_at_least() {
        let window = |seconds: i64| Window {
            query: LogQuery::default(),
            runs: Runs::All,
            from: Time(0),
            to: Time(seconds * SECOND),
        };
        assert_eq!(window(0).buckets(), Buckets { begin: Time(0), width: SECOND, count: 1 });
        assert_eq!(window(5).buckets().count, 6);
        let hour = window(3600).buckets();
        assert!(hour.count > 500 && hour.count <= STEPS * PARTS + 1 && hour.width > 5 * SECOND, "{hour:?}");
        let ages = Window { to: Time(i64::MAX), ..window(0) };
        assert!(ages.buckets().count <= STEPS * PARTS + 1);
    }

    #[test]
    fn rates_and_trend_are_those_of_the_buckets() {
        let buckets = Buckets { begin: Time(0), width: 2 * SECOND, count: 24 };
        let mut counts = vec![0; 24];
        (counts[0], counts[1], counts[23]) = (10, 4, 6);
        let tally = ProcessTally {
            levels: [0, 0, 0, 18, 0, 2, 0],
            text_bytes: 99,
            first: Time(0),
            last: Time(40 * SECOND),
            buckets: counts,
        };
        let name = ProcessName::new("api").unwrap();
        let told = process(&name, &tally, buckets, 2, &BTreeMap::from([(name.clone(), 7)]));
        assert_eq!((told.lines, told.per_second, told.peak_per_second, told.dropped), (20, 0.5, 5.0, 7));
        assert_eq!(told.trend, [14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6]);
        assert_eq!(serious(&told), 2);
        assert_eq!(told.levels, BTreeMap::from([(Level::Info, 18), (Level::Error, 2)]));
    }
}
