//! Owns the checked values of what is looked for in output: alerts, and the user's rules for secrets.
//!
//! Plain values that compare and clone, as in `types`.

use std::time::Duration;

use crate::model::{Level, ProcessName};

/// One `[alert.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub name: String,
    /// Without replicas, groups resolved to their members; none means all.
    pub processes: Option<Vec<ProcessName>>,
    /// Events of at least this level count: a warning or worse. Without it lines do.
    pub level: Option<Level>,
    /// Known to compile within its bounds.
    pub pattern: Option<String>,
    /// Without one the first event or line is enough.
    pub rate: Option<Rate>,
    /// How long it keeps quiet once it was raised.
    pub window: Duration,
    pub message: Option<String>,
}

/// So many within such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub within: Duration,
}

/// `[secrets]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    pub patterns: Vec<SecretPattern>,
    /// Variables that hold secrets, whatever their names say.
    pub env: Vec<String>,
    /// Variables that hold none.
    pub not_env: Vec<String>,
}

/// One of `[secrets] patterns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPattern {
    pub name: String,
    /// Known to compile within its bounds, and to have the group.
    pub regex: String,
    /// Number or name of the group that is the secret.
    pub group: Option<String>,
}
