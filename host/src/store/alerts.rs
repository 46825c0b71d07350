//! Alerts that were raised, in the catalogue: what, when, by which line, and how much came after it.
//!
//! Bounded to the newest [`bounds::ALERTS_KEPT`]. When one is raised is decided by those who write here, who also give
//! it its number: numbers go up and are never used twice.

use rusqlite::{Row, named_params};

use super::catalogue::{Catalogue, CatalogueError, process_name};
use crate::bounds;
use crate::model::{Level, ProcessName, RunId, Seq, Time};

/// The step that adds the table; see `MIGRATIONS`.
pub(super) const MIGRATION: &str = "
    CREATE TABLE alerts (
        id        INTEGER PRIMARY KEY,
        name      TEXT NOT NULL,
        process   TEXT NOT NULL,
        run       INTEGER NOT NULL,
        seq       INTEGER NOT NULL,
        time      INTEGER NOT NULL,
        level     INTEGER NOT NULL,
        what      TEXT NOT NULL,
        text      TEXT NOT NULL,
        message   TEXT,
        meanwhile INTEGER NOT NULL,
        more      INTEGER NOT NULL,
        until     INTEGER NOT NULL
    ) STRICT;
";

/// An alert that was raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRecord {
    pub id: u64,
    /// What the configuration calls it.
    pub name: String,
    /// Whose line raised it.
    pub process: ProcessName,
    pub run: RunId,
    /// That line, or the first one of the event.
    pub seq: Seq,
    /// When that was written.
    pub time: Time,
    /// The level of the event; unknown where lines are counted.
    pub level: Level,
    /// What was counted: `10 events at error within 1m`.
    pub what: String,
    /// What the line said, or the event.
    pub text: String,
    /// What the user has to say of it.
    pub message: Option<String>,
    /// How many came since the alert before this one, which nobody was told of.
    pub meanwhile: u64,
    /// How many came while it kept quiet.
    pub more: u64,
    /// Until when it keeps quiet.
    pub until: Time,
}

/// Which alerts are wanted.
#[derive(Debug, Clone, Default)]
pub struct AlertQuery {
    /// None means all.
    pub processes: Vec<ProcessName>,
    pub since: AlertsSince,
    pub limit: usize,
}

/// A place in time from which alerts count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlertsSince {
    #[default]
    Ever,
    /// Those after this one, the oldest of them first; otherwise the newest are returned.
    Alert(u64),
    /// Those raised by later lines.
    Line(Seq),
    Time(Time),
    Run(RunId),
}

impl Catalogue {
    /// Adds an alert; the oldest go when there are too many. One that is there already stays as it is.
    pub fn add_alert(&self, alert: &AlertRecord) -> Result<(), CatalogueError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            transaction
                .prepare_cached(
                    "INSERT OR IGNORE INTO alerts
                         (id, name, process, run, seq, time, level, what, text, message, meanwhile, more, until)
                     VALUES (:id, :name, :process, :run, :seq, :time, :level, :what, :text, :message, :meanwhile,
                         :more, :until)",
                )?
                .execute(named_params! {
                    ":id": alert.id as i64,
                    ":name": alert.name,
                    ":process": alert.process.as_str(),
                    ":run": alert.run.0 as i64,
                    ":seq": alert.seq.0 as i64,
                    ":time": alert.time.0,
                    ":level": alert.level as u8,
                    ":what": alert.what,
                    ":text": alert.text,
                    ":message": alert.message,
                    ":meanwhile": alert.meanwhile as i64,
                    ":more": alert.more as i64,
                    ":until": alert.until.0,
                })?;
            transaction
                .prepare_cached(
                    "DELETE FROM alerts WHERE id <= (SELECT id FROM alerts ORDER BY id DESC LIMIT 1 OFFSET ?1)",
                )?
                .execute([bounds::ALERTS_KEPT as i64])?;
            transaction.commit()
        })
    }

    /// Notes how many came while an alert kept quiet; one that is forgotten stays so.
    pub fn set_alert_more(&self, id: u64, more: u64) -> Result<(), CatalogueError> {
        self.with(|connection| {
            connection
                .prepare_cached("UPDATE alerts SET more = ?2 WHERE id = ?1")?
                .execute((id as i64, more as i64))
        })
        .map(drop)
    }

    /// Returns alerts in the order they were raised, and whether there are more: the newest ones, or after
    /// [`AlertsSince::Alert`] the oldest.
    pub fn alerts(&self, query: &AlertQuery) -> Result<(Vec<AlertRecord>, bool), CatalogueError> {
        let is_walk = matches!(query.since, AlertsSince::Alert(_));
        let order = if is_walk { "ASC" } else { "DESC" };
        self.with(|connection| {
            let mut statement =
                connection.prepare_cached(&format!("SELECT * FROM alerts ORDER BY id {order}"))?;
            let mut rows = statement.query(())?;
            let mut found = Vec::new();
            let mut more = false;
            while let Some(row) = rows.next()? {
                let alert = alert(row)?;
                if !is_wanted(query, &alert) {
                    continue;
                }
                if found.len() == query.limit {
                    more = true;
                    break;
                }
                found.push(alert);
            }
            if !is_walk {
                found.reverse();
            }
            Ok((found, more))
        })
    }

    /// Returns the number of the alert that was raised last; zero when there is none.
    pub fn newest_alert(&self) -> Result<u64, CatalogueError> {
        self.with(|connection| {
            let newest: i64 =
                connection.query_row("SELECT coalesce(max(id), 0) FROM alerts", (), |row| row.get(0))?;
            Ok(newest as u64)
        })
    }
}

fn is_wanted(query: &AlertQuery, alert: &AlertRecord) -> bool {
    let is_since = match query.since {
        AlertsSince::Ever => true,
        AlertsSince::Alert(id) => alert.id > id,
        AlertsSince::Line(seq) => alert.seq > seq,
        AlertsSince::Time(time) => alert.time >= time,
        AlertsSince::Run(run) => alert.run >= run,
    };
    is_since && (query.processes.is_empty() || query.processes.contains(&alert.process))
}

fn alert(row: &Row<'_>) -> rusqlite::Result<AlertRecord> {
    let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
    Ok(AlertRecord {
        id: number("id")?,
        name: row.get("name")?,
        process: process_name(row)?,
        run: RunId(number("run")?),
        seq: Seq(number("seq")?),
        time: Time(row.get("time")?),
        level: Level::from_u8(row.get("level")?),
        what: row.get("what")?,
        text: row.get("text")?,
        message: row.get("message")?,
        meanwhile: number("meanwhile")?,
        more: number("more")?,
        until: Time(row.get("until")?),
    })
}
