//! Kinds of errors in the catalogue: how often each happened, when, in which runs, and what people said of it.
//!
//! Everything about one kind is bounded, and so is the number of kinds. What an error is, and which are the same, is
//! decided by those who write here. A kind that was resolved and happens again is `regressed`: in a run that began
//! afterwards, or in a line that was written afterwards.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params};
use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, CatalogueError, process_name};
use super::error_tally::{ErrorEvent, ErrorSeen, ErrorTally, NANOS_PER_HOUR};
use crate::bounds;
use crate::model::{Level, ProcessName, RunId, Seq, Stream, Time};

/// The step that adds the tables; see `MIGRATIONS`.
pub(super) const MIGRATION: &str = "
    CREATE TABLE error_groups (
        fingerprint  TEXT PRIMARY KEY,
        version      INTEGER NOT NULL,
        process      TEXT NOT NULL,
        level        INTEGER NOT NULL,
        kind         TEXT NOT NULL,
        message      TEXT NOT NULL,
        place        TEXT,
        sample       TEXT NOT NULL,
        count        INTEGER NOT NULL,
        first_time   INTEGER NOT NULL,
        first_seq    INTEGER NOT NULL,
        first_run    INTEGER NOT NULL,
        last_time    INTEGER NOT NULL,
        last_seq     INTEGER NOT NULL,
        last_run     INTEGER NOT NULL,
        state        TEXT NOT NULL,
        changed_at   INTEGER,
        changed_by   TEXT,
        note         TEXT,
        resolved_seq INTEGER,
        resolved_run INTEGER
    ) STRICT;
    CREATE INDEX error_groups_by_last ON error_groups (last_seq);
    CREATE TABLE error_hours (
        fingerprint TEXT NOT NULL,
        hour        INTEGER NOT NULL,
        count       INTEGER NOT NULL,
        first_seq   INTEGER NOT NULL,
        first_time  INTEGER NOT NULL,
        PRIMARY KEY (fingerprint, hour)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE error_runs (
        fingerprint TEXT NOT NULL,
        run         INTEGER NOT NULL,
        count       INTEGER NOT NULL,
        PRIMARY KEY (fingerprint, run)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE error_events (
        fingerprint TEXT NOT NULL,
        first_seq   INTEGER NOT NULL,
        last_seq    INTEGER NOT NULL,
        run         INTEGER NOT NULL,
        process     TEXT NOT NULL,
        stream      INTEGER NOT NULL,
        level       INTEGER NOT NULL,
        time        INTEGER NOT NULL,
        PRIMARY KEY (fingerprint, first_seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX error_events_by_seq ON error_events (first_seq);
";

/// What has become of a kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErrorState {
    Open,
    /// Somebody said that it is mended.
    Resolved,
    /// It happened again after that.
    Regressed,
}

impl ErrorState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Resolved, Self::Regressed];

    /// Returns the word used in JSON, on screens and in the catalogue.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Regressed => "regressed",
        }
    }
}

/// A kind of error as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorGroup {
    pub fingerprint: String,
    pub version: u32,
    pub process: ProcessName,
    pub level: Level,
    pub kind: String,
    pub message: String,
    pub place: Option<String>,
    pub sample: String,
    pub count: u64,
    pub first: ErrorSeen,
    pub last: ErrorSeen,
    pub state: ErrorState,
    /// When its state was changed last, by whom, and what they said.
    pub changed_at: Option<Time>,
    pub changed_by: Option<String>,
    pub note: Option<String>,
}

/// A place in time from which errors count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ErrorsSince {
    #[default]
    Ever,
    /// Lines after this one.
    Line(Seq),
    Time(Time),
    /// This run and all after it.
    Run(RunId),
    /// These runs alone.
    Runs(Vec<RunId>),
}

/// Which kinds of errors are wanted.
#[derive(Debug, Clone, Default)]
pub struct ErrorQuery {
    /// Without numbers of replicas; none means all.
    pub processes: Vec<ProcessName>,
    pub states: Vec<ErrorState>,
    pub min_level: Level,
    pub since: ErrorsSince,
}

/// A kind of error, and how often it happened since the place that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorHit {
    pub group: ErrorGroup,
    pub since: u64,
    /// It may be more: only the newest events are remembered one by one.
    pub at_least: bool,
    /// It had never happened before that place.
    pub is_new: bool,
}

impl Catalogue {
    /// Adds what was gathered, by fingerprint, in one transaction; regressions are noted.
    pub fn add_errors(&self, tallies: &[(String, ErrorTally)]) -> Result<(), CatalogueError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            for (fingerprint, tally) in tallies {
                add_group(&transaction, fingerprint, tally)?;
                add_details(&transaction, fingerprint, tally)?;
            }
            forget_oldest(&transaction)?;
            transaction.commit()
        })
    }

    /// Returns the kinds of errors that `query` asks for, those that happened last first.
    pub fn errors(&self, query: &ErrorQuery) -> Result<Vec<ErrorHit>, CatalogueError> {
        self.with(|connection| {
            let groups: Vec<ErrorGroup> = connection
                .prepare_cached("SELECT * FROM error_groups WHERE level >= ?1 ORDER BY last_seq DESC")?
                .query_map([query.min_level as u8], group)?
                .collect::<rusqlite::Result<_>>()?;
            let mut hits = Vec::new();
            for group in groups.into_iter().filter(|group| is_wanted(query, group)) {
                let (since, at_least) = count_since(connection, &group, &query.since)?;
                if since > 0 {
                    let is_new = began_since(&group, &query.since);
                    hits.push(ErrorHit { group, since, at_least, is_new });
                }
            }
            Ok(hits)
        })
    }

    /// Returns the newest events of the kinds that `query` asks for, the newest first, each with its kind.
    pub fn error_events(
        &self,
        query: &ErrorQuery,
        limit: usize,
    ) -> Result<Vec<(ErrorEvent, ErrorGroup)>, CatalogueError> {
        self.with(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT * FROM error_events WHERE level >= ?1 ORDER BY first_seq DESC")?;
            let mut rows = statement.query([query.min_level as u8])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let event = event(row)?;
                let of_it: String = row.get("fingerprint")?;
                let is_since = match &query.since {
                    ErrorsSince::Ever => true,
                    ErrorsSince::Line(seq) => event.first > *seq,
                    ErrorsSince::Time(time) => event.time >= *time,
                    ErrorsSince::Run(run) => event.run >= *run,
                    ErrorsSince::Runs(runs) => runs.contains(&event.run),
                };
                if !is_since {
                    continue;
                }
                let group = one_group(connection, &of_it)?.filter(|group| is_wanted(query, group));
                found.extend(group.map(|group| (event, group)));
                if found.len() >= limit {
                    break;
                }
            }
            Ok(found)
        })
    }

    /// Returns the kinds of errors whose fingerprint begins with `prefix`, at most three.
    pub fn errors_named(&self, prefix: &str) -> Result<Vec<ErrorGroup>, CatalogueError> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "SELECT * FROM error_groups WHERE substr(fingerprint, 1, length(?1)) = ?1
                     ORDER BY last_seq DESC LIMIT 3",
                )?
                .query_map([prefix], group)?
                .collect()
        })
    }

    /// Returns how often a kind of error happened in each of the last `hours` hours before `now`, the present one last.
    pub fn error_trend(
        &self,
        fingerprint: &str,
        now: Time,
        hours: usize,
    ) -> Result<Vec<u64>, CatalogueError> {
        let present = now.0.div_euclid(NANOS_PER_HOUR);
        let from = present.saturating_sub(i64::try_from(hours).unwrap_or(i64::MAX)).saturating_add(1);
        self.with(|connection| {
            let mut trend = vec![0; hours];
            let mut statement = connection.prepare_cached(
                "SELECT hour, count FROM error_hours WHERE fingerprint = ?1 AND hour BETWEEN ?2 AND ?3",
            )?;
            let mut rows = statement.query((fingerprint, from, present))?;
            while let Some(row) = rows.next()? {
                let hour: i64 = row.get("hour")?;
                if let Some(counted) =
                    usize::try_from(hour - from).ok().and_then(|place| trend.get_mut(place))
                {
                    *counted = row.get::<_, i64>("count")? as u64;
                }
            }
            Ok(trend)
        })
    }

    /// Returns in how many runs a kind of error happened, as far as that is remembered.
    pub fn error_runs(&self, fingerprint: &str) -> Result<u64, CatalogueError> {
        self.with(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM error_runs WHERE fingerprint = ?1")?
                .query_row([fingerprint], |row| row.get::<_, i64>(0))
                .map(|count| count as u64)
        })
    }

    /// Notes what somebody says of a kind of error. `newest` is the last line of the log by then. Returns the kind as
    /// it is afterwards, or nothing when there is none of this fingerprint.
    pub fn set_error_state(
        &self,
        fingerprint: &str,
        state: ErrorState,
        said: ErrorRemark<'_>,
        newest: Seq,
    ) -> Result<Option<ErrorGroup>, CatalogueError> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "UPDATE error_groups SET state = :state, changed_at = :at, changed_by = :by, note = :note,
                         resolved_seq = :newest, resolved_run = (SELECT coalesce(max(id), 0) FROM runs)
                     WHERE fingerprint = :fingerprint",
                )?
                .execute(named_params! {
                    ":state": state.as_str(),
                    ":at": said.at.0,
                    ":by": said.by,
                    ":note": said.note,
                    ":newest": newest.0 as i64,
                    ":fingerprint": fingerprint,
                })?;
            one_group(connection, fingerprint)
        })
    }
}

/// What somebody says of a kind of error.
#[derive(Debug, Clone, Copy)]
pub struct ErrorRemark<'a> {
    pub at: Time,
    pub by: &'a str,
    pub note: Option<&'a str>,
}

fn is_wanted(query: &ErrorQuery, group: &ErrorGroup) -> bool {
    (query.processes.is_empty() || query.processes.contains(&group.process))
        && (query.states.is_empty() || query.states.contains(&group.state))
}

fn began_since(group: &ErrorGroup, since: &ErrorsSince) -> bool {
    match since {
        ErrorsSince::Ever => false,
        ErrorsSince::Line(seq) => group.first.seq > *seq,
        ErrorsSince::Time(time) => group.first.time >= *time,
        ErrorsSince::Run(run) => group.first.run >= *run,
        ErrorsSince::Runs(runs) => runs.contains(&group.first.run),
    }
}

/// Returns how often a kind of error happened since then, and whether that is the least it may be.
fn count_since(
    connection: &Connection,
    group: &ErrorGroup,
    since: &ErrorsSince,
) -> rusqlite::Result<(u64, bool)> {
    let sum = |sql: &str, value: i64| -> rusqlite::Result<u64> {
        let mut statement = connection.prepare_cached(sql)?;
        let count: i64 = statement.query_row((group.fingerprint.as_str(), value), |row| row.get(0))?;
        Ok(count as u64)
    };
    // Hours that began later count as a whole. In the one it falls in events are counted one by one, and of those only
    // the newest are remembered.
    let (hours, events, earlier, value) = match since {
        ErrorsSince::Ever => return Ok((group.count, false)),
        ErrorsSince::Run(run) => {
            let sql = "SELECT coalesce(sum(count), 0) FROM error_runs WHERE fingerprint = ?1 AND run >= ?2";
            return Ok((sum(sql, run.0 as i64)?, false));
        }
        ErrorsSince::Runs(runs) => {
            let sql = "SELECT coalesce(sum(count), 0) FROM error_runs WHERE fingerprint = ?1 AND run = ?2";
            let counts = runs.iter().map(|run| sum(sql, run.0 as i64));
            return Ok((counts.sum::<rusqlite::Result<u64>>()?, false));
        }
        ErrorsSince::Line(seq) if group.last.seq <= *seq => return Ok((0, false)),
        ErrorsSince::Line(seq) if group.first.seq > *seq => return Ok((group.count, false)),
        ErrorsSince::Line(seq) => (
            "SELECT coalesce(sum(count), 0) FROM error_hours WHERE fingerprint = ?1 AND first_seq > ?2",
            "SELECT count(*) FROM error_events WHERE fingerprint = ?1 AND first_seq > ?2 AND first_seq <
                 (SELECT coalesce(min(first_seq), 9223372036854775807) FROM error_hours
                     WHERE fingerprint = ?1 AND first_seq > ?2)",
            "SELECT count(*) FROM error_events WHERE fingerprint = ?1 AND first_seq <= ?2",
            seq.0 as i64,
        ),
        ErrorsSince::Time(time) if group.last.time < *time => return Ok((0, false)),
        ErrorsSince::Time(time) if group.first.time >= *time => return Ok((group.count, false)),
        ErrorsSince::Time(time) => (
            "SELECT coalesce(sum(count), 0) FROM error_hours WHERE fingerprint = ?1 AND first_time >= ?2",
            "SELECT count(*) FROM error_events WHERE fingerprint = ?1 AND time >= ?2 AND time <
                 (SELECT coalesce(min(first_time), 9223372036854775807) FROM error_hours
                     WHERE fingerprint = ?1 AND first_time >= ?2)",
            "SELECT count(*) FROM error_events WHERE fingerprint = ?1 AND time < ?2",
            time.0,
        ),
    };
    Ok((sum(hours, value)? + sum(events, value)?, sum(earlier, value)? == 0))
}

fn add_group(transaction: &Transaction<'_>, fingerprint: &str, tally: &ErrorTally) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO error_groups (fingerprint, version, process, level, kind, message, place, sample, count,
                 first_time, first_seq, first_run, last_time, last_seq, last_run, state)
             VALUES (:fingerprint, :version, :process, :level, :kind, :message, :place, :sample, :count,
                 :first_time, :first_seq, :first_run, :last_time, :last_seq, :last_run, 'open')
             ON CONFLICT (fingerprint) DO UPDATE SET
                 level = max(level, :level), message = :message, place = :place, sample = :sample,
                 count = count + :count, last_time = max(last_time, :last_time),
                 last_run = iif(:last_seq >= last_seq, :last_run, last_run), last_seq = max(last_seq, :last_seq)",
        )?
        .execute(named_params! {
            ":fingerprint": fingerprint,
            ":version": tally.version,
            ":process": tally.process.as_str(),
            ":level": tally.level as u8,
            ":kind": tally.kind,
            ":message": tally.message,
            ":place": tally.place,
            ":sample": tally.sample,
            ":count": tally.count as i64,
            ":first_time": tally.first.time.0,
            ":first_seq": tally.first.seq.0 as i64,
            ":first_run": tally.first.run.0 as i64,
            ":last_time": tally.last.time.0,
            ":last_seq": tally.last.seq.0 as i64,
            ":last_run": tally.last.run.0 as i64,
        })?;
    let newest_run = tally.runs.last_key_value().map_or(0, |(run, _)| run.0);
    transaction
        .prepare_cached(
            "UPDATE error_groups SET state = 'regressed', changed_at = ?4
             WHERE fingerprint = ?1 AND state = 'resolved'
                 AND (?2 > resolved_run OR (?3 > resolved_seq AND ?4 > changed_at))",
        )?
        .execute((fingerprint, newest_run as i64, tally.last.seq.0 as i64, tally.last.time.0))?;
    Ok(())
}

fn add_details(transaction: &Transaction<'_>, fingerprint: &str, tally: &ErrorTally) -> rusqlite::Result<()> {
    let mut add_hour = transaction.prepare_cached(
        "INSERT INTO error_hours (fingerprint, hour, count, first_seq, first_time) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (fingerprint, hour) DO UPDATE SET count = count + ?3,
             first_seq = min(first_seq, ?4), first_time = min(first_time, ?5)",
    )?;
    for (hour, counted) in &tally.hours {
        let (seq, time) = (counted.first_seq.0 as i64, counted.first_time.0);
        add_hour.execute((fingerprint, hour, counted.count as i64, seq, time))?;
    }
    let mut add_run = transaction.prepare_cached(
        "INSERT INTO error_runs (fingerprint, run, count) VALUES (?1, ?2, ?3)
         ON CONFLICT (fingerprint, run) DO UPDATE SET count = count + ?3",
    )?;
    for (run, count) in &tally.runs {
        add_run.execute((fingerprint, run.0 as i64, *count as i64))?;
    }
    let mut add_event = transaction.prepare_cached(
        "INSERT OR IGNORE INTO error_events (fingerprint, first_seq, last_seq, run, process, stream, level, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for event in &tally.events {
        add_event.execute((
            fingerprint,
            event.first.0 as i64,
            event.last.0 as i64,
            event.run.0 as i64,
            event.process.as_str(),
            event.stream as u8,
            event.level as u8,
            event.time.0,
        ))?;
    }
    for (table, column, kept) in [
        ("error_hours", "hour", bounds::ERROR_HOURS),
        ("error_runs", "run", bounds::ERROR_RUNS),
        ("error_events", "first_seq", bounds::ERROR_EVENTS),
    ] {
        transaction
            .prepare_cached(&format!(
                "DELETE FROM {table} WHERE fingerprint = ?1 AND {column} <= (SELECT {column} FROM {table}
                     WHERE fingerprint = ?1 ORDER BY {column} DESC LIMIT 1 OFFSET ?2)"
            ))?
            .execute((fingerprint, kept as i64))?;
    }
    Ok(())
}

/// Keeps the number of kinds within its bound: of what is too many, the oldest resolved ones go first.
fn forget_oldest(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let known: i64 = transaction.query_row("SELECT count(*) FROM error_groups", (), |row| row.get(0))?;
    let excess = known - bounds::ERROR_GROUPS as i64;
    if excess <= 0 {
        return Ok(());
    }
    let oldest: Vec<String> = transaction
        .prepare_cached(
            "SELECT fingerprint FROM error_groups ORDER BY state <> 'resolved', last_seq LIMIT ?1",
        )?
        .query_map([excess], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in ["error_groups", "error_hours", "error_runs", "error_events"] {
        let mut delete =
            transaction.prepare_cached(&format!("DELETE FROM {table} WHERE fingerprint = ?1"))?;
        for fingerprint in &oldest {
            delete.execute([fingerprint])?;
        }
    }
    Ok(())
}

fn one_group(connection: &Connection, fingerprint: &str) -> rusqlite::Result<Option<ErrorGroup>> {
    connection
        .prepare_cached("SELECT * FROM error_groups WHERE fingerprint = ?1")?
        .query_row([fingerprint], group)
        .optional()
}

fn group(row: &Row<'_>) -> rusqlite::Result<ErrorGroup> {
    let seen = |time, seq, run| -> rusqlite::Result<ErrorSeen> {
        let (time, seq, run): (i64, i64, i64) = (row.get(time)?, row.get(seq)?, row.get(run)?);
        Ok(ErrorSeen { time: Time(time), seq: Seq(seq as u64), run: RunId(run as u64) })
    };
    let state: String = row.get("state")?;
    let changed_at: Option<i64> = row.get("changed_at")?;
    Ok(ErrorGroup {
        fingerprint: row.get("fingerprint")?,
        version: row.get("version")?,
        process: process_name(row)?,
        level: Level::from_u8(row.get("level")?),
        kind: row.get("kind")?,
        message: row.get("message")?,
        place: row.get("place")?,
        sample: row.get("sample")?,
        count: row.get::<_, i64>("count")? as u64,
        first: seen("first_time", "first_seq", "first_run")?,
        last: seen("last_time", "last_seq", "last_run")?,
        state: ErrorState::ALL.into_iter().find(|known| known.as_str() == state).unwrap_or(ErrorState::Open),
        changed_at: changed_at.map(Time),
        changed_by: row.get("changed_by")?,
        note: row.get("note")?,
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<ErrorEvent> {
    Ok(ErrorEvent {
        process: process_name(row)?,
        run: RunId(row.get::<_, i64>("run")? as u64),
        stream: Stream::from_u8(row.get("stream")?).unwrap_or(Stream::Stderr),
        level: Level::from_u8(row.get("level")?),
        first: Seq(row.get::<_, i64>("first_seq")? as u64),
        last: Seq(row.get::<_, i64>("last_seq")? as u64),
        time: Time(row.get("time")?),
    })
}
