//! The audit chain: every act that changes something, who did it, and how it ended.
//!
//! Append-only. Each entry carries a hash over its words and the hash before it, so that changing, removing or
//! inserting one breaks the chain at that place. It makes tampering visible; it does not prevent it: whoever can write
//! the file can rebuild the whole chain.

use rusqlite::{OptionalExtension, Row, TransactionBehavior, named_params};
use sha2::{Digest, Sha256};

use crate::model::Time;

use super::catalogue::{Catalogue, CatalogueError};

/// Longest word of an entry, in bytes; what is longer is cut.
const WORD_BYTES: usize = 4 << 10;
const HASH_BYTES: usize = 32;
/// The hash before the first entry.
const GENESIS: [u8; HASH_BYTES] = [0; HASH_BYTES];

/// One act, as it is entered.
#[derive(Debug, Clone, Copy)]
pub struct AuditEntry<'a> {
    pub time: Time,
    /// Who: a user, or the name a client gave itself.
    pub caller: &'a str,
    /// Through what: `cli`, `mcp`, `http`, `daemon`.
    pub surface: &'a str,
    pub verb: &'a str,
    /// What it was done to, such as a process.
    pub target: &'a str,
    pub detail: &'a str,
    /// `ok`, or why not.
    pub outcome: &'a str,
}

/// One act, as it was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Counts from 1 without holes.
    pub id: u64,
    pub time: Time,
    pub caller: String,
    pub surface: String,
    pub verb: String,
    pub target: String,
    pub detail: String,
    pub outcome: String,
}

/// What walking the chain came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditCheck {
    Intact {
        entries: u64,
    },
    /// The first entry that does not fit the one before it.
    Broken {
        id: u64,
        reason: &'static str,
    },
}

impl Catalogue {
    /// Appends an entry and returns its id.
    pub fn append_audit(&self, entry: AuditEntry<'_>) -> Result<u64, CatalogueError> {
        let entry = entry.cut();
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let last = transaction
                .prepare_cached("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")?
                .query_row((), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))
                .optional()?;
            let (last_id, previous) = last.unwrap_or((0, GENESIS.to_vec()));
            let id = last_id + 1;
            transaction
                .prepare_cached(
                    "INSERT INTO audit
                     VALUES (:id, :time, :caller, :surface, :verb, :target, :detail, :outcome, :prev_hash, :hash)",
                )?
                .execute(named_params! {
                    ":id": id,
                    ":time": entry.time.0,
                    ":caller": entry.caller,
                    ":surface": entry.surface,
                    ":verb": entry.verb,
                    ":target": entry.target,
                    ":detail": entry.detail,
                    ":outcome": entry.outcome,
                    ":prev_hash": previous,
                    ":hash": entry.hash(&previous, id),
                })?;
            transaction.commit()?;
            Ok(id as u64)
        })
    }

    /// Returns the last entries, the newest first.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditRecord>, CatalogueError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT * FROM audit ORDER BY id DESC LIMIT ?1")?;
            statement.query_map([limit], AuditRecord::read)?.collect()
        })
    }

    /// Walks the whole chain.
    pub fn verify_audit(&self) -> Result<AuditCheck, CatalogueError> {
        self.with(|connection| {
            // SQLite counts the ids it has given out, which tells of entries cut off the end.
            let given: i64 = connection
                .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")?
                .query_row((), |row| row.get(0))
                .optional()?
                .unwrap_or(0);
            let mut statement = connection.prepare_cached("SELECT * FROM audit ORDER BY id")?;
            let mut rows = statement.query(())?;
            let (mut previous, mut entries) = (GENESIS.to_vec(), 0u64);
            while let Some(row) = rows.next()? {
                let id = entries + 1;
                if let Some(reason) = misfit(row, id, &previous)? {
                    return Ok(AuditCheck::Broken { id, reason });
                }
                previous = row.get("hash")?;
                entries = id;
            }
            Ok(if entries < given as u64 {
                AuditCheck::Broken { id: entries + 1, reason: "the entry is missing" }
            } else {
                AuditCheck::Intact { entries }
            })
        })
    }
}

/// Returns why the row is not the entry that has to follow.
fn misfit(row: &Row<'_>, id: u64, previous: &[u8]) -> rusqlite::Result<Option<&'static str>> {
    let record = AuditRecord::read(row)?;
    let (prev_hash, hash): (Vec<u8>, Vec<u8>) = (row.get("prev_hash")?, row.get("hash")?);
    Ok(if record.id != id {
        Some("the entry is missing")
    } else if prev_hash != previous {
        Some("it does not follow the entry before it")
    } else if hash != record.entry().hash(previous, id as i64) {
        Some("its words were changed")
    } else {
        None
    })
}

impl AuditRecord {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get::<_, i64>("id")? as u64,
            time: Time(row.get("time")?),
            caller: row.get("caller")?,
            surface: row.get("surface")?,
            verb: row.get("verb")?,
            target: row.get("target")?,
            detail: row.get("detail")?,
            outcome: row.get("outcome")?,
        })
    }

    fn entry(&self) -> AuditEntry<'_> {
        AuditEntry {
            time: self.time,
            caller: &self.caller,
            surface: &self.surface,
            verb: &self.verb,
            target: &self.target,
            detail: &self.detail,
            outcome: &self.outcome,
        }
    }
}

impl AuditEntry<'_> {
    fn words(&self) -> [&str; 6] {
        [self.caller, self.surface, self.verb, self.target, self.detail, self.outcome]
    }

    /// Returns the entry with its words cut to the length that is kept.
    fn cut(self) -> Self {
        let cut = |word| -> &str {
            let word: &str = word;
            &word[..word.floor_char_boundary(WORD_BYTES)]
        };
        Self {
            time: self.time,
            caller: cut(self.caller),
            surface: cut(self.surface),
            verb: cut(self.verb),
            target: cut(self.target),
            detail: cut(self.detail),
            outcome: cut(self.outcome),
        }
    }

    /// Returns the SHA-256 over the hash before, the id, the time, and each word with its length before it, numbers
    /// as eight bytes little-endian: no two entries encode alike.
    fn hash(&self, previous: &[u8], id: i64) -> Vec<u8> {
        let mut hasher = Sha256::new();
        hasher.update(previous);
        hasher.update(id.to_le_bytes());
        hasher.update(self.time.0.to_le_bytes());
        for word in self.words() {
            hasher.update((word.len() as u64).to_le_bytes());
            hasher.update(word);
        }
        hasher.finalize().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    fn entry<'a>(verb: &'a str, detail: &'a str) -> AuditEntry<'a> {
        AuditEntry {
            time: Time(5),
            caller: "agent",
            surface: "mcp",
            verb,
            target: "api",
            detail,
            outcome: "ok",
        }
    }

    fn chain() -> (tempfile::TempDir, Catalogue, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalogue.sqlite");
        let catalogue = Catalogue::open(&path).unwrap();
        for verb in ["start", "stop", "start", "restart"] {
            catalogue.append_audit(entry(verb, "")).unwrap();
        }
        let tamperer = Connection::open(&path).unwrap();
        (directory, catalogue, tamperer)
    }

    #[test]
    fn the_chain_is_intact_and_read_newest_first() {
        let (_directory, catalogue, _) = chain();
        assert_eq!(catalogue.verify_audit().unwrap(), AuditCheck::Intact { entries: 4 });
        let verbs: Vec<_> =
            catalogue.audit(2).unwrap().into_iter().map(|record| (record.id, record.verb)).collect();
        assert_eq!(verbs, [(4, "restart".into()), (3, "start".into())]);
    }

    #[test]
    fn an_empty_chain_is_intact() {
        let directory = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(&directory.path().join("catalogue.sqlite")).unwrap();
        assert_eq!(catalogue.verify_audit().unwrap(), AuditCheck::Intact { entries: 0 });
    }

    #[test]
    fn entries_are_neither_changed_nor_deleted_by_accident() {
        let (_directory, _catalogue, tamperer) = chain();
        for sql in ["DELETE FROM audit", "UPDATE audit SET verb = 'x'"] {
            let error = tamperer.execute(sql, ()).unwrap_err().to_string();
            assert!(error.contains("append-only"), "{error}");
        }
    }

    #[test]
    fn tampering_is_found_at_its_first_entry() {
        let changed = "its words were changed";
        let missing = "the entry is missing";
        let unlinked = "it does not follow the entry before it";
        let cases = [
            ("UPDATE audit SET verb = 'stop' WHERE id = 3", 3, changed),
            ("UPDATE audit SET time = 6 WHERE id = 1", 1, changed),
            ("UPDATE audit SET target = 'ap', detail = 'i' WHERE id = 2", 2, changed),
            ("UPDATE audit SET hash = zeroblob(32) WHERE id = 4", 4, changed),
            ("UPDATE audit SET prev_hash = zeroblob(32) WHERE id = 2", 2, unlinked),
            ("DELETE FROM audit WHERE id = 2", 2, missing),
            ("DELETE FROM audit WHERE id = 4", 4, missing),
            ("DELETE FROM audit", 1, missing),
        ];
        for (sql, id, reason) in cases {
            let (_directory, catalogue, tamperer) = chain();
            tamperer
                .execute_batch("DROP TRIGGER audit_keeps_entries; DROP TRIGGER audit_keeps_words;")
                .unwrap();
            tamperer.execute(sql, ()).unwrap();
            assert_eq!(catalogue.verify_audit().unwrap(), AuditCheck::Broken { id, reason }, "{sql}");
        }
    }

    #[test]
    fn long_words_are_cut_at_a_character() {
        let (_directory, catalogue, _) = chain();
        catalogue.append_audit(entry("send", &"ä€".repeat(5000))).unwrap();
        let detail = catalogue.audit(1).unwrap().remove(0).detail;
        assert!(detail.len() > WORD_BYTES - 4 && detail.len() <= WORD_BYTES);
        assert_eq!(catalogue.verify_audit().unwrap(), AuditCheck::Intact { entries: 5 });
    }
}
