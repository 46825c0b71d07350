//! Kinds of errors: which there are, what happened last, and what people say of them.

use std::path::Path;
use std::sync::Arc;

use super::error_types::{
    ChangeView, ErrorState, ErrorView, ErrorsReply, ErrorsRequest, LatestError, LatestErrorsReply,
    LatestErrorsRequest, MarkError, SeenView, SinceView,
};
use super::gate::Act;
use super::logs::Since;
use super::types::{ApiError, Caller, ErrorKind};
use super::{Api, cursor_at};
use crate::bounds;
use crate::model::{Level, ProcessName, RunId, Seq, Time};
use crate::store::{
    Catalogue, CatalogueError, ErrorEvent, ErrorGroup, ErrorHit, ErrorQuery, ErrorRemark, ErrorSeen,
    ErrorsSince, LogQuery, Take,
};
use crate::supervisor::{Handle, Snapshot};
use crate::traces;

/// Kinds told of when the request does not say how many.
const LIMIT: usize = 50;
/// Single errors told of when the request does not say how many.
const LATEST: usize = 5;
/// Most single errors of one reply.
const LATEST_MAX: usize = 50;
/// Hours of a trend.
const TREND_HOURS: usize = 24;
/// Lines of one error that are read from the log.
const LINES: usize = 1000;
/// Shortest beginning of a fingerprint that stands for it.
const PREFIX: usize = 3;
/// Runs of a process among which one that a watch started is looked for.
const RUNS: usize = 64;

impl Api {
    /// Returns the kinds of errors there are, those that happened last first.
    pub async fn error_groups(
        &self,
        _caller: &Caller,
        request: ErrorsRequest,
    ) -> Result<ErrorsReply, ApiError> {
        let limit = limited(request.limit, LIMIT, bounds::ERROR_GROUPS)?;
        let query =
            self.error_query(&request.names, request.states, request.level, request.since.as_deref()).await?;
        let asked = query.since != ErrorsSince::Ever;
        let hours = if request.trend { TREND_HOURS } else { 0 };
        let cursor = self.newest_cursor();
        let at = cursor.clone();
        self.of_errors(move |catalogue| {
            let hits = catalogue.errors(&query)?;
            let new = hits.iter().filter(|hit| hit.is_new).count();
            let more = hits.len().saturating_sub(limit);
            let views = hits.into_iter().take(limit).map(|hit| {
                let mut view = view(catalogue, &at, hit.group.clone())?;
                view.since = asked.then(|| since_view(&hit));
                if hours > 0 {
                    view.trend = catalogue.error_trend(&view.id, Time::now(), hours)?;
                }
                Ok(view)
            });
            let errors = views.collect::<Result<_, CatalogueError>>()?;
            Ok(ErrorsReply { errors, more, new, cursor: at.clone() })
        })
        .await
    }

    /// Returns one kind of error with the text of the last one and its trend.
    pub async fn error(&self, _caller: &Caller, id: &str) -> Result<ErrorView, ApiError> {
        let group = self.error_named(id).await?;
        let cursor = self.newest_cursor();
        self.of_errors(move |catalogue| {
            let sample = group.sample.clone();
            let mut view = view(catalogue, &cursor, group)?;
            view.trend = catalogue.error_trend(&view.id, Time::now(), TREND_HOURS)?;
            view.sample = Some(sample);
            Ok(view)
        })
        .await
    }

    /// Returns the errors that happened last, each with its text.
    pub async fn latest_errors(
        &self,
        _caller: &Caller,
        request: LatestErrorsRequest,
    ) -> Result<LatestErrorsReply, ApiError> {
        let limit = limited(request.limit, LATEST, LATEST_MAX)?;
        let query =
            self.error_query(&request.names, Vec::new(), request.level, request.since.as_deref()).await?;
        let cursor = self.newest_cursor();
        let found = self.of_errors(move |catalogue| catalogue.error_events(&query, limit)).await?;
        let project = self.parts.fleet.project().dir.to_str().map(str::to_owned);
        let mut errors = Vec::with_capacity(found.len());
        for (event, group) in found {
            let (text, is_sample) = match self.text_of(&event).await {
                Some(text) => (text, false),
                None => (group.sample, true),
            };
            let text =
                if request.full { text } else { traces::reduce(&text, project.as_deref()).into_owned() };
            errors.push(LatestError {
                id: group.fingerprint,
                process: event.process,
                run: event.run,
                stream: event.stream,
                time: event.time,
                level: event.level,
                state: group.state,
                count: group.count,
                text,
                is_sample,
                cursor: cursor_at(&cursor, before(event.first)),
            });
        }
        Ok(LatestErrorsReply { errors, cursor })
    }

    /// Notes that a kind of error is mended; when it happens again it is told as regressed.
    pub async fn resolve_error(&self, caller: &Caller, mark: MarkError) -> Result<ErrorView, ApiError> {
        self.mark_error(caller, mark, "resolve_error", ErrorState::Resolved).await
    }

    /// Notes that a kind of error is not mended after all.
    pub async fn reopen_error(&self, caller: &Caller, mark: MarkError) -> Result<ErrorView, ApiError> {
        self.mark_error(caller, mark, "reopen_error", ErrorState::Open).await
    }

    /// Returns what kinds of errors are new in the present run of a process, or the last one, in a sentence.
    pub(super) async fn error_hint(&self, snapshot: &Snapshot) -> Option<String> {
        let query = ErrorQuery {
            processes: vec![snapshot.name.base()],
            states: vec![ErrorState::Open, ErrorState::Regressed],
            min_level: Level::Error,
            since: ErrorsSince::Runs(vec![snapshot.run?]),
        };
        let hits = self.of_errors(move |catalogue| catalogue.errors(&query)).await.ok()?;
        let new: Vec<&ErrorHit> = hits.iter().filter(|hit| hit.is_new).collect();
        let newest = &new.first()?.group;
        let kinds = if new.len() == 1 { "kind" } else { "kinds" };
        let said = match newest.kind.as_str() {
            "" => newest.message.clone(),
            kind => format!("{kind}: {}", newest.message),
        };
        let said: String = said.chars().take(200).collect();
        let place = newest.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        let count = new.len();
        Some(format!(
            "{count} new {kinds} of errors since this start; the newest, {}: {said}{place}",
            newest.fingerprint
        ))
    }

    async fn mark_error(
        &self,
        caller: &Caller,
        mark: MarkError,
        verb: &'static str,
        state: ErrorState,
    ) -> Result<ErrorView, ApiError> {
        let note = mark.note.as_deref().map(str::trim).filter(|note| !note.is_empty());
        // Masked before anything is done with it: it is stored and shown to others.
        let note = note.map(|note| self.parts.secrets.mask(note));
        let act = Act { verb, target: shown(&mark.id), detail: shown(note.as_deref().unwrap_or_default()) };
        let (api, by) = (self.clone(), caller.client.clone());
        let marked = async move {
            if note.as_ref().is_some_and(|note| note.chars().count() > bounds::ERROR_NOTE) {
                let most = bounds::ERROR_NOTE;
                return Err(ApiError::new(
                    ErrorKind::Invalid,
                    format!("a note has at most {most} characters"),
                ));
            }
            // What was printed before is counted before.
            let id = api.error_named(&mark.id).await?.fingerprint;
            let (newest, cursor) = (api.parts.store.newest(), api.newest_cursor());
            api.of_errors(move |catalogue| {
                let said = ErrorRemark { at: Time::now(), by: &by, note: note.as_deref() };
                match catalogue.set_error_state(&id, state, said, newest)? {
                    Some(group) => view(catalogue, &cursor, group).map(Ok),
                    None => Ok(Err(no_such_error(&id))),
                }
            })
            .await?
        };
        self.gate.pass(caller, act, marked).await
    }

    /// Finds the one kind of error whose fingerprint begins with `id`.
    async fn error_named(&self, id: &str) -> Result<ErrorGroup, ApiError> {
        let prefix = id.trim().to_ascii_lowercase();
        if prefix.len() < PREFIX || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(no_such_error(id));
        }
        let mut found = self.of_errors(move |catalogue| catalogue.errors_named(&prefix)).await?;
        match found.as_slice() {
            [] => Err(no_such_error(id)),
            [_] => Ok(found.swap_remove(0)),
            several => {
                let ids: Vec<&str> = several.iter().map(|group| group.fingerprint.as_str()).collect();
                Err(ApiError::new(ErrorKind::Invalid, format!("`{}` begins more than one id", shown(id)))
                    .hint(format!("give one of {} whole", ids.join(", "))))
            }
        }
    }

    /// Writes down what is gathered, so that answers are not older than the question, and runs `work` on the blocking
    /// pool.
    pub(super) async fn of_errors<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Catalogue) -> Result<T, CatalogueError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (groups, catalogue) = (self.parts.errors.clone(), Arc::clone(&self.parts.catalogue));
        let done = tokio::task::spawn_blocking(move || {
            if let Err(error) = groups.flush() {
                tracing::warn!(%error, "answers leave out the newest errors");
            }
            work(&catalogue)
        });
        let unavailable = |error: String| ApiError::new(ErrorKind::Unavailable, error);
        done.await
            .map_err(|error| unavailable(error.to_string()))?
            .map_err(|error| unavailable(error.to_string()))
    }

    async fn error_query(
        &self,
        names: &[String],
        states: Vec<ErrorState>,
        level: Option<Level>,
        since: Option<&str>,
    ) -> Result<ErrorQuery, ApiError> {
        let mut handles = Vec::new();
        for name in names {
            handles.extend(self.handles(name)?);
        }
        let mut processes: Vec<ProcessName> = handles.iter().map(|handle| handle.name().base()).collect();
        processes.dedup();
        if handles.is_empty() && names.is_empty() {
            handles = self.parts.fleet.in_order();
        }
        let since = match since {
            Some(since) => self.errors_since(since, &handles).await?,
            None => ErrorsSince::Ever,
        };
        let states = if states.is_empty() { vec![ErrorState::Open, ErrorState::Regressed] } else { states };
        Ok(ErrorQuery { processes, states, min_level: level.unwrap_or(Level::Error), since })
    }

    /// Returns from where on errors count; `handles` are the processes that are meant.
    pub(super) async fn errors_since(
        &self,
        since: &str,
        handles: &[Handle],
    ) -> Result<ErrorsSince, ApiError> {
        let text = since.trim();
        if text == "restart" {
            let runs = handles.iter().filter_map(|handle| handle.snapshot().run).collect();
            return Ok(ErrorsSince::Runs(runs));
        }
        if text == "change" {
            return self.last_change(handles).await.map(ErrorsSince::Time);
        }
        if let Some(run) = text.strip_prefix("run:") {
            let run = run.parse().map_err(|_| {
                ApiError::new(ErrorKind::Invalid, format!("`{}` is no number of a run", shown(run)))
                    .hint("write run:7; numbers are in diagnose and ps --json")
            })?;
            return Ok(ErrorsSince::Run(RunId(run)));
        }
        if let Some(file) = text.strip_prefix("file:") {
            let (dir, file) = (self.parts.fleet.project().dir.clone(), file.to_owned());
            let changed = tokio::task::spawn_blocking(move || changed_at(&dir, &file)).await;
            let failed = |error: tokio::task::JoinError| ApiError::new(ErrorKind::Failed, error.to_string());
            return changed.map_err(failed)?.map(ErrorsSince::Time);
        }
        match self.since(text) {
            Ok(Since::Cursor(seq)) => Ok(ErrorsSince::Line(seq)),
            Ok(Since::Time(time)) => Ok(ErrorsSince::Time(time)),
            Err(error) => Err(error.hint(
                "since takes restart, change, run:7, file:PATH, a cursor from an earlier reply, a duration such as 10m, \
                 or a time such as 2026-11-20T08:00:00Z",
            )),
        }
    }

    /// Returns when a watch last restarted one of these processes.
    async fn last_change(&self, handles: &[Handle]) -> Result<Time, ApiError> {
        let names: Vec<ProcessName> = handles.iter().map(Handle::name).collect();
        let newest = self.of_errors(move |catalogue| {
            let mut newest = None;
            for name in &names {
                let runs = catalogue.runs_of(name, RUNS)?;
                let changed = runs.iter().find(|run| run.reason.starts_with("watch"));
                newest = newest.max(changed.map(|run| run.started_at));
            }
            Ok(newest)
        });
        newest.await?.ok_or_else(|| {
            ApiError::new(ErrorKind::NotFound, "no watch has restarted any of these processes")
                .hint("use file:PATH for the last change of a file, or restart")
        })
    }

    /// Returns the lines of an event, or nothing when they have been deleted.
    async fn text_of(&self, event: &ErrorEvent) -> Option<String> {
        let query = LogQuery {
            run: Some(event.run),
            stream: Some(event.stream),
            after: Some(before(event.first)),
            limit: LINES,
            take: Take::Oldest,
            ..LogQuery::default()
        };
        let page = self.page(query).await;
        let mut text = String::new();
        for line in page.lines.iter().take_while(|line| line.seq <= event.last) {
            if text.len() + line.text.len() > bounds::TRACE_BYTES {
                text.push_str("\n…");
                break;
            }
            if line.seq != event.first {
                text.push('\n');
            }
            text.push_str(&line.text);
        }
        page.lines.first().is_some_and(|line| line.seq == event.first).then_some(text)
    }

    fn newest_cursor(&self) -> String {
        self.parts.store.cursor(self.parts.store.newest()).to_string()
    }
}

/// Returns when a file of the project was changed last.
fn changed_at(dir: &Path, file: &str) -> Result<Time, ApiError> {
    let not_found = |why: String| {
        ApiError::new(ErrorKind::NotFound, format!("file:{}: {why}", shown(file)))
            .hint("name a file below the project's directory, such as file:shop/views.py")
    };
    // Other places are nobody's business here.
    let canonical = |path: &Path| path.canonicalize().map_err(|error| not_found(error.to_string()));
    let path = canonical(&dir.join(file))?;
    if !path.starts_with(canonical(dir)?) {
        return Err(not_found("it is outside of the project".to_owned()));
    }
    let modified = path.metadata().and_then(|metadata| metadata.modified());
    let modified = modified.map_err(|error| not_found(error.to_string()))?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)))
}

fn view(catalogue: &Catalogue, cursor: &str, group: ErrorGroup) -> Result<ErrorView, CatalogueError> {
    let seen = |seen: ErrorSeen| SeenView {
        time: seen.time,
        run: seen.run,
        cursor: cursor_at(cursor, before(seen.seq)),
    };
    let (by, note) = (group.changed_by, group.note);
    Ok(ErrorView {
        runs: catalogue.error_runs(&group.fingerprint)?,
        id: group.fingerprint,
        version: group.version,
        process: group.process,
        level: group.level,
        kind: group.kind,
        message: group.message,
        place: group.place,
        state: group.state,
        count: group.count,
        since: None,
        first: seen(group.first),
        last: seen(group.last),
        changed: group.changed_at.map(|time| ChangeView { time, by, note }),
        trend: Vec::new(),
        sample: None,
    })
}

fn since_view(hit: &ErrorHit) -> SinceView {
    SinceView { count: hit.since, at_least: hit.at_least, new: hit.is_new }
}

fn before(seq: Seq) -> Seq {
    Seq(seq.0.saturating_sub(1))
}

/// Returns a limit within its bounds.
pub(super) fn limited(limit: Option<usize>, default: usize, most: usize) -> Result<usize, ApiError> {
    match limit.unwrap_or(default) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        limit => {
            let message = format!("a limit is between 1 and {most}, not {limit}");
            Err(ApiError::new(ErrorKind::Invalid, message))
        }
    }
}

fn no_such_error(id: &str) -> ApiError {
    ApiError::new(ErrorKind::NotFound, format!("there is no kind of error `{}`", shown(id)))
        .hint("`ostler errors --all` and get_errors list their ids; three of an id's digits are enough")
}

/// Returns words of a caller as they may be repeated.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_one_of_the_projects() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.py"), "x").unwrap();
        let changed = changed_at(dir.path(), "a.py").unwrap();
        assert!(Time::now().since(changed) < std::time::Duration::from_secs(600));
        for outside in ["../", "/etc/passwd", "missing.py"] {
            assert_eq!(changed_at(dir.path(), outside).unwrap_err().kind, ErrorKind::NotFound, "{outside}");
        }
    }

    #[test]
    fn limits_are_kept() {
        assert_eq!(limited(None, 5, 50).unwrap(), 5);
        for bad in [0, 51] {
            assert!(limited(Some(bad), 5, 50).unwrap_err().message.contains("between 1 and 50"));
        }
    }
}
