//! What was added to a project while it ran, in the catalogue, so that it outlives the daemon.
//!
//! Knows texts under a kind and a name, in the order they came. What they mean is the supervisor's business, which
//! also decides what becomes of one it cannot read: here every row is read, whatever somebody has put into it.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior};

use super::catalogue::{Catalogue, CatalogueError};

/// The step that adds the table, and takes away what was never read; see `MIGRATIONS`.
pub(super) const MIGRATION: &str = "
    CREATE TABLE additions (
        id   INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        UNIQUE (kind, name)
    ) STRICT;
    ALTER TABLE wanted DROP COLUMN restarts;
    ALTER TABLE runs DROP COLUMN shim_pid;
    ALTER TABLE runs DROP COLUMN shim_start;
";

/// Something that was added. Kind and name together are had once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Addition {
    pub kind: String,
    pub name: String,
    pub text: String,
}

impl Catalogue {
    /// Returns what was added, in the order it came.
    pub fn additions(&self) -> Result<Vec<Addition>, CatalogueError> {
        self.with(|connection| Ok(rows(connection)?.into_iter().map(|(_, addition)| addition).collect()))
    }

    /// Makes what stands in the catalogue exactly `additions`, wholly or not at all. What stands there already is not
    /// written again.
    pub fn record_additions(&self, additions: &[Addition]) -> Result<(), CatalogueError> {
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let present = rows(&transaction)?;
            let wanted: HashSet<&Addition> = additions.iter().collect();
            for (id, _) in present.iter().filter(|(_, addition)| !wanted.contains(addition)) {
                transaction.prepare_cached("DELETE FROM additions WHERE id = ?1")?.execute([id])?;
            }
            let present: HashSet<&Addition> = present.iter().map(|(_, addition)| addition).collect();
            for addition in additions.iter().filter(|addition| !present.contains(addition)) {
                let Addition { kind, name, text } = addition;
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO additions (kind, name, text) VALUES (?1, ?2, ?3)",
                    )?
                    .execute((kind, name, text))?;
            }
            transaction.commit()
        })
    }

    /// Returns whether anything that was added stands in the catalogue at `path`, without changing it; one that cannot
    /// be read holds nothing.
    pub fn holds_additions(path: &Path) -> bool {
        let look = || -> rusqlite::Result<bool> {
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            connection.query_row("SELECT EXISTS (SELECT 1 FROM additions)", (), |row| row.get(0))
        };
        look().unwrap_or(false)
    }
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<(i64, Addition)>> {
    let mut statement =
        connection.prepare_cached("SELECT id, kind, name, text FROM additions ORDER BY id")?;
    let rows = statement.query_map((), |row| {
        let addition = Addition { kind: text(row, 1)?, name: text(row, 2)?, text: text(row, 3)? };
        Ok((row.get(0)?, addition))
    })?;
    rows.collect()
}

/// Returns a text as it stands there. What is not UTF-8 was put there by another program, and must not cost more than
/// its own row.
fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        // `STRICT` lets nothing else in.
        _ => String::new(),
    })
}
