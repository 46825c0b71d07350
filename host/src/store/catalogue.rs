//! The catalogue: an SQLite file with the runs there were, and what the user wants running.
//!
//! Small, precious facts; lines never go in here. The audit chain lives in the same file, see `audit`. Calls wait
//! for the disk, so they belong on blocking threads.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, TransactionBehavior, named_params};

use crate::model::{Exit, ProcessName, RunId, Time};

use super::checkpoint::Checkpointer;
use super::memo::Memo;
use super::writer::lock;

/// The steps from one format to the next. Never change one that was released: add another.
pub(super) const MIGRATIONS: [&str; 6] = [
    "
    CREATE TABLE runs (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        process     TEXT NOT NULL,
        command     TEXT NOT NULL,
        cwd         TEXT NOT NULL,
        reason      TEXT NOT NULL,
        started_at  INTEGER NOT NULL,
        pid         INTEGER,
        pid_start   INTEGER,
        shim_pid    INTEGER,
        shim_start  INTEGER,
        ended_at    INTEGER,
        exit_code   INTEGER,
        exit_signal INTEGER,
        spawn_error TEXT,
        note        TEXT
    ) STRICT;
    CREATE INDEX runs_by_process ON runs (process, id);
    CREATE INDEX open_runs ON runs (id) WHERE ended_at IS NULL;
    CREATE TABLE wanted (
        process    TEXT PRIMARY KEY,
        up         INTEGER NOT NULL,
        restarts   INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE audit (
        id        INTEGER PRIMARY KEY AUTOINCREMENT,
        time      INTEGER NOT NULL,
        caller    TEXT NOT NULL,
        surface   TEXT NOT NULL,
        verb      TEXT NOT NULL,
        target    TEXT NOT NULL,
        detail    TEXT NOT NULL,
        outcome   TEXT NOT NULL,
        prev_hash BLOB NOT NULL,
        hash      BLOB NOT NULL
    ) STRICT;
    CREATE TRIGGER audit_keeps_entries BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
    CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
",
    super::ports::MIGRATION,
    // What a daemon that takes up a run must know of it; see `memo`.
    "
    ALTER TABLE runs ADD COLUMN boot TEXT;
    ALTER TABLE runs ADD COLUMN stop_asked INTEGER;
    ALTER TABLE runs ADD COLUMN ready INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN rest TEXT;
    ",
    super::additions::MIGRATION,
    super::error_groups::MIGRATION,
    super::alerts::MIGRATION,
];

/// How long a statement waits for another program that has the file open, such as a person's `sqlite3`.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Why the catalogue could not be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("cannot open {}: {source}; {}", path.display(), remedy(source))]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error("cannot use {}: {source}; {}", path.display(), remedy(source))]
    Use { path: PathBuf, source: rusqlite::Error },
    #[error(
        "{} was written by a newer Ostler (format {found}, this one knows up to {known}): use that one, or move the file away and lose the history of runs",
        path.display()
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{}: run {run} is not in the catalogue", path.display())]
    NoSuchRun { path: PathBuf, run: RunId },
}

fn remedy(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free disk space",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "make the state directory writable, or point OSTLER_STATE_DIR at one that is"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "close the other program that has it open"
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "move the file away: the log stays, the history of runs begins anew"
        }
        _ => "check the disk it is on",
    }
}

/// The catalogue of one project.
#[derive(Debug)]
pub struct Catalogue {
    path: PathBuf,
    connection: Mutex<Connection>,
    checkpointer: Checkpointer,
}

/// A run that is about to be spawned.
#[derive(Debug, Clone, Copy)]
pub struct NewRun<'a> {
    pub process: &'a ProcessName,
    /// The command, split into its arguments.
    pub command: &'a [String],
    pub cwd: &'a Path,
    /// Why it is started: `cli`, `mcp`, `restart`, `adopt`.
    pub reason: &'a str,
    pub started_at: Time,
    /// The boot of the machine it is started in, as the kernel names it.
    pub boot: Option<&'a str>,
}

/// A process of the system. The pid alone is not enough, because pids are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessId {
    pub pid: u32,
    /// Start time in clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub start: u64,
}

/// A run as the catalogue knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    pub run: RunId,
    pub process: ProcessName,
    pub command: Vec<String>,
    pub cwd: PathBuf,
    pub reason: String,
    pub started_at: Time,
    pub child: Option<ProcessId>,
    pub ended_at: Option<Time>,
    /// How it ended; `None` while it runs, and when it never was spawned.
    pub exit: Option<Exit>,
    pub spawn_error: Option<String>,
    pub note: Option<String>,
    pub memo: Memo,
}

/// What the user wants of one process; it outlives the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub process: ProcessName,
    pub up: bool,
    pub updated_at: Time,
}

impl Catalogue {
    /// Opens the catalogue at `path`, creating it or bringing it to the present format.
    ///
    /// # Errors
    /// When the file cannot be used or has a newer format; it is unchanged then.
    pub fn open(path: &Path) -> Result<Self, CatalogueError> {
        // SQLite gives the files it puts next to this one the same mode.
        _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let failed = |source| CatalogueError::Open { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY_WAIT).map_err(failed)?;
        let found = format(&connection).map_err(failed)?;
        let known = MIGRATIONS.len() as i64;
        if found > known {
            return Err(CatalogueError::Newer { path: path.to_owned(), found, known });
        }
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
        // What was added may hold secrets: what is forgotten is to be gone from the file.
        connection.pragma_update(None, "secure_delete", true).map_err(failed)?;
        migrate(&mut connection, &MIGRATIONS).map_err(failed)?;
        let checkpointer = Checkpointer::start(path, &connection).map_err(failed)?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), checkpointer })
    }

    /// Checks without changing anything that this program could open the catalogue at `path`; one that does not exist
    /// could be made.
    ///
    /// # Errors
    /// When the file cannot be read or has a newer format.
    pub fn check(path: &Path) -> Result<(), CatalogueError> {
        if !path.exists() {
            return Ok(());
        }
        let failed = |source| CatalogueError::Open { path: path.to_owned(), source };
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        connection.busy_timeout(BUSY_WAIT).map_err(failed)?;
        let (found, known) = (format(&connection).map_err(failed)?, MIGRATIONS.len() as i64);
        if found > known {
            return Err(CatalogueError::Newer { path: path.to_owned(), found, known });
        }
        Ok(())
    }

    /// Enters a run and returns its id, which is never used twice.
    pub fn begin_run(&self, new: NewRun<'_>) -> Result<RunId, CatalogueError> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO runs (process, command, cwd, reason, started_at, boot)
                     VALUES (:process, :command, :cwd, :reason, :started_at, :boot) RETURNING id",
                )?
                .query_row(
                    named_params! {
                        ":process": new.process.as_str(),
                        ":command": serde_json::Value::from(new.command).to_string(),
                        ":cwd": new.cwd.to_string_lossy(),
                        ":reason": new.reason,
                        ":started_at": new.started_at.0,
                        ":boot": new.boot,
                    },
                    |row| run_id(row, "id"),
                )
        })
    }

    /// Notes the process of the run.
    pub fn run_spawned(&self, run: RunId, child: ProcessId) -> Result<(), CatalogueError> {
        self.update_run(
            run,
            "UPDATE runs SET pid = ?2, pid_start = ?3 WHERE id = ?1",
            (run.0 as i64, child.pid, child.start as i64),
        )
    }

    /// Notes that the run could not be spawned, and why.
    pub fn run_not_spawned(&self, run: RunId, ended_at: Time, error: &str) -> Result<(), CatalogueError> {
        self.update_run(
            run,
            "UPDATE runs SET ended_at = ?2, spawn_error = ?3 WHERE id = ?1 AND ended_at IS NULL",
            (run.0 as i64, ended_at.0, error),
        )
    }

    /// Notes how the run ended. A run ends once: ending it again changes nothing.
    pub fn end_run(
        &self,
        run: RunId,
        ended_at: Time,
        exit: Exit,
        note: Option<&str>,
    ) -> Result<(), CatalogueError> {
        self.update_run(
            run,
            "UPDATE runs SET ended_at = ?2, exit_code = ?3, exit_signal = ?4, note = coalesce(?5, note)
             WHERE id = ?1 AND ended_at IS NULL",
            (run.0 as i64, ended_at.0, exit.code, exit.signal, note),
        )
    }

    /// Returns the runs that have not ended as far as the catalogue knows, the oldest first.
    pub fn open_runs(&self) -> Result<Vec<RunRecord>, CatalogueError> {
        self.runs("SELECT * FROM runs WHERE ended_at IS NULL ORDER BY id", ())
    }

    /// Returns the last runs of a process, the newest first.
    pub fn runs_of(&self, process: &ProcessName, limit: usize) -> Result<Vec<RunRecord>, CatalogueError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.runs(
            "SELECT * FROM runs WHERE process = ?1 ORDER BY id DESC LIMIT ?2",
            (process.as_str(), limit),
        )
    }

    /// Returns one run.
    pub fn run(&self, run: RunId) -> Result<Option<RunRecord>, CatalogueError> {
        Ok(self.runs("SELECT * FROM runs WHERE id = ?1", [run.0 as i64])?.pop())
    }

    /// Notes what the user wants of a process.
    pub fn set_wanted(&self, wanted: &Wanted) -> Result<(), CatalogueError> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO wanted (process, up, updated_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (process) DO UPDATE SET up = ?2, updated_at = ?3",
                )?
                .execute((wanted.process.as_str(), wanted.up, wanted.updated_at.0))
        })
        .map(drop)
    }

    /// Forgets what was wanted of a process that is no longer part of the project.
    pub fn forget_wanted(&self, process: &ProcessName) -> Result<(), CatalogueError> {
        self.with(|connection| {
            connection.prepare_cached("DELETE FROM wanted WHERE process = ?1")?.execute([process.as_str()])
        })
        .map(drop)
    }

    /// Returns what is wanted of all processes, by name.
    pub fn wanted_all(&self) -> Result<Vec<Wanted>, CatalogueError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM wanted ORDER BY process")?;
            let rows = statement.query_map((), |row| {
                Ok(Wanted {
                    process: process_name(row)?,
                    up: row.get("up")?,
                    updated_at: Time(row.get("updated_at")?),
                })
            })?;
            rows.collect()
        })
    }

    /// Runs `work` on the connection; an error names the file.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, CatalogueError> {
        let mut connection: MutexGuard<'_, Connection> = lock(&self.connection);
        self.checkpointer.count();
        work(&mut connection).map_err(|source| CatalogueError::Use { path: self.path.clone(), source })
    }

    pub(super) fn update_run(
        &self,
        run: RunId,
        sql: &str,
        values: impl rusqlite::Params,
    ) -> Result<(), CatalogueError> {
        let known = self.with(|connection| {
            let changed = connection.prepare_cached(sql)?.execute(values)?;
            if changed > 0 {
                return Ok(true);
            }
            let mut statement = connection.prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?;
            Ok(statement.query_row([run.0 as i64], |_| Ok(())).optional()?.is_some())
        })?;
        if known { Ok(()) } else { Err(CatalogueError::NoSuchRun { path: self.path.clone(), run }) }
    }

    fn runs(&self, sql: &str, values: impl rusqlite::Params) -> Result<Vec<RunRecord>, CatalogueError> {
        self.with(|connection| connection.prepare_cached(sql)?.query_map(values, run_record)?.collect())
    }
}

fn run_record(row: &Row<'_>) -> rusqlite::Result<RunRecord> {
    let (pid, start): (Option<u32>, Option<i64>) = (row.get("pid")?, row.get("pid_start")?);
    let ended_at: Option<i64> = row.get("ended_at")?;
    let spawn_error: Option<String> = row.get("spawn_error")?;
    let exit = Exit { code: row.get("exit_code")?, signal: row.get("exit_signal")? };
    let command: String = row.get("command")?;
    Ok(RunRecord {
        run: run_id(row, "id")?,
        process: process_name(row)?,
        command: serde_json::from_str(&command).map_err(|error| unfit(row, "command", error))?,
        cwd: row.get::<_, String>("cwd")?.into(),
        reason: row.get("reason")?,
        started_at: Time(row.get("started_at")?),
        child: pid.zip(start).map(|(pid, start)| ProcessId { pid, start: start as u64 }),
        exit: (ended_at.is_some() && spawn_error.is_none()).then_some(exit),
        ended_at: ended_at.map(Time),
        spawn_error,
        note: row.get("note")?,
        memo: Memo::of(row)?,
    })
}

fn run_id(row: &Row<'_>, column: &str) -> rusqlite::Result<RunId> {
    Ok(RunId(row.get::<_, i64>(column)? as u64))
}

pub(super) fn process_name(row: &Row<'_>) -> rusqlite::Result<ProcessName> {
    let name: String = row.get("process")?;
    ProcessName::parse(&name).map_err(|error| unfit(row, "process", error))
}

/// Returns the error for a value that another program must have put there.
fn unfit(
    row: &Row<'_>,
    column: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    let index = row.as_ref().column_index(column).unwrap_or(0);
    rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error))
}

/// Returns the number of the file's format: how many migrations it has seen.
pub(super) fn format(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Takes the steps the file has not seen, each wholly or not at all.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(format(&transaction)?).unwrap_or(0);
    for (number, step) in steps.iter().enumerate().skip(done) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", (number + 1) as i64)?;
    }
    transaction.commit()
}
