//! The one gate every verb passes: scope, rules, validators — then the act, then the audit entry.
//!
//! No rules exist yet, so it lets everything through; what it already does is to write every act that changes
//! something into the audit log, refused ones too.

use std::sync::Arc;

use tracing::error;

use super::types::{ApiError, Caller, ErrorKind};
use crate::model::Time;
use crate::store::{AuditEntry, Catalogue};

/// Something a caller wants to change.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub(super) verb: &'static str,
    /// The process, or `*` for all.
    pub(super) target: String,
    pub(super) detail: String,
}

/// Admits acts and writes them down.
#[derive(Clone)]
pub(super) struct Gate {
    catalogue: Arc<Catalogue>,
}

impl Gate {
    pub(super) fn new(catalogue: Arc<Catalogue>) -> Self {
        Self { catalogue }
    }

    /// Runs `act` if the caller may, and writes the outcome into the audit log. What has begun goes on, and is
    /// written down, even when the caller has gone before its end.
    pub(super) async fn pass<T: Send + 'static>(
        &self,
        caller: &Caller,
        act: Act,
        run: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (gate, caller) = (self.clone(), caller.clone());
        let passed = tokio::spawn(async move {
            let result = run.await;
            let outcome = match &result {
                Ok(_) => "ok".to_owned(),
                Err(error) => format!("failed: {error}"),
            };
            gate.write(caller, act, outcome).await;
            result
        });
        passed.await.unwrap_or_else(|error| Err(ApiError::new(ErrorKind::Failed, error.to_string())))
    }

    async fn write(&self, caller: Caller, act: Act, outcome: String) {
        let catalogue = Arc::clone(&self.catalogue);
        let written = tokio::task::spawn_blocking(move || {
            catalogue.append_audit(AuditEntry {
                time: Time::now(),
                caller: &caller.client,
                surface: caller.surface.as_str(),
                verb: act.verb,
                target: &act.target,
                detail: &act.detail,
                outcome: &outcome,
            })
        })
        .await;
        if let Ok(Err(error)) = written {
            error!(%error, "cannot write the audit log");
        }
    }
}
