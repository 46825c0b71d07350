//! The ports that were chosen for processes, in the catalogue: a process gets the same one tomorrow.

use std::collections::BTreeMap;

use super::catalogue::{Catalogue, CatalogueError, process_name};
use crate::model::ProcessName;

/// The step that adds the table; see `MIGRATIONS`.
pub(super) const MIGRATION: &str = "
    CREATE TABLE ports (
        process TEXT PRIMARY KEY,
        port    INTEGER NOT NULL
    ) STRICT;
";

impl Catalogue {
    /// Notes the port that was chosen for a process.
    pub fn remember_port(&self, process: &ProcessName, port: u16) -> Result<(), CatalogueError> {
        self.with(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO ports (process, port) VALUES (?1, ?2)
                     ON CONFLICT (process) DO UPDATE SET port = ?2",
                )?
                .execute((process.as_str(), port))
        })
        .map(drop)
    }

    /// Returns the ports that were chosen, by process.
    pub fn ports(&self) -> Result<BTreeMap<ProcessName, u16>, CatalogueError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM ports")?;
            let rows = statement.query_map((), |row| Ok((process_name(row)?, row.get("port")?)))?;
            rows.collect()
        })
    }
}
