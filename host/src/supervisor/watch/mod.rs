//! Watching files: a task per process that has `watch`, from the kernel's events to "these files have changed".
//!
//! ```text
//!  kernel ─▶ notify's thread ── scope: does it count? ──▶ inbox ──▶ follow: quiet for the debounce ──▶ driver
//!                                                           └─ new directories ─▶ walk: watch them too
//! ```
//!
//! Each directory that may hold a file that counts is watched by itself; what lies in others costs nothing. However
//! many files change, the inbox holds a count and a few names. What to do about a change is the driver's business.

mod changes;
mod guard;
mod scope;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind, RemoveKind};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::config::Watch;

pub use changes::Changes;
pub use guard::LoopGuard;
use scope::Scope;

/// Directories that are watched for one process; each costs kernel memory of its user's.
const DIRECTORIES: usize = 50_000;
/// New directories that may wait to be watched; with more, all is looked through again.
const NEW_DIRECTORIES: usize = 1024;
/// How long changes that never pause are collected before they are told.
const LONGEST: Duration = Duration::from_secs(5);

/// What a watch has to tell.
#[derive(Debug)]
pub enum Sight {
    Changed(Changes),
    /// Not all can be watched, for this reason; or all is well again.
    Trouble(Option<String>),
}

/// Watches below `root` until it is dropped.
pub async fn follow(root: PathBuf, watch: Watch, reports: impl Fn(Sight) + Send) {
    let scope = match Scope::new(&root, &watch) {
        Ok(scope) => Arc::new(RwLock::new(scope)),
        Err(error) => return reports(Sight::Trouble(Some(format!("cannot watch files: {error}")))),
    };
    let inbox = Arc::new(Inbox::default());
    let (theirs, whose) = (Arc::clone(&inbox), Arc::clone(&scope));
    let watcher = RecommendedWatcher::new(
        move |event| theirs.take(&whose.read().unwrap_or_else(PoisonError::into_inner), event),
        notify::Config::default().with_follow_symlinks(false),
    );
    let watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return reports(Sight::Trouble(Some(explain(&error, 0)))),
    };
    let mut walker = Walker { watcher, scope, inbox: Arc::clone(&inbox), directories: 0, trouble: None };
    let mut told = None;
    let mut errand = Errand::All;
    loop {
        // Walking reads directories, which may take its time.
        let walked = tokio::task::spawn_blocking(move || {
            walker.walk(errand);
            walker
        });
        let Ok(back) = walked.await else { return };
        walker = back;
        if told != walker.trouble {
            told.clone_from(&walker.trouble);
            reports(Sight::Trouble(told.clone()));
        }
        errand = loop {
            if let Some(errand) = inbox.errand() {
                break errand;
            }
            inbox.settle(watch.debounce).await;
            if inbox.has_errand() {
                continue;
            }
            let changes = inbox.changes();
            if !changes.is_empty() {
                reports(Sight::Changed(changes));
            }
        };
    }
}

/// What there is to look through.
enum Errand {
    /// Everything from the root. Changes that went by unseen are told as unknown already.
    All,
    /// Directories that are new, with what is in them already.
    New(Vec<PathBuf>),
}

/// Where the kernel's events are collected.
#[derive(Default)]
struct Inbox {
    state: Mutex<Collected>,
    bell: Notify,
}

#[derive(Default)]
struct Collected {
    changes: Changes,
    /// When the last change came.
    last: Option<Instant>,
    since: Option<Instant>,
    new: Vec<PathBuf>,
    look_again: bool,
}

impl Inbox {
    /// Takes an event of the kernel's; on notify's thread.
    fn take(&self, scope: &Scope, event: notify::Result<Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return warn!(%error, "watching files"),
        };
        if event.need_rescan() {
            return self.update(|state| {
                state.change(None);
                state.look_again = true;
            });
        }
        if !is_change(event.kind) {
            return;
        }
        let may_be_new = matches!(event.kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_)));
        for path in &event.paths {
            if may_be_new && fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
                self.update(|state| state.add_directory(path));
            } else if scope.is_ignore_file(path) {
                self.update(|state| state.look_again = true);
            } else if event.kind != EventKind::Remove(RemoveKind::Folder)
                && let Some(name) = scope.counts(path)
            {
                self.update(|state| state.change(Some(&name)));
            }
        }
    }

    fn update(&self, change: impl FnOnce(&mut Collected)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_one();
    }

    fn read<T>(&self, look: impl FnOnce(&mut Collected) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn has_errand(&self) -> bool {
        self.read(|state| state.look_again || !state.new.is_empty())
    }

    fn errand(&self) -> Option<Errand> {
        self.read(|state| {
            if std::mem::take(&mut state.look_again) {
                state.new.clear();
                Some(Errand::All)
            } else {
                (!state.new.is_empty()).then(|| Errand::New(std::mem::take(&mut state.new)))
            }
        })
    }

    fn changes(&self) -> Changes {
        self.read(|state| {
            (state.last, state.since) = (None, None);
            std::mem::take(&mut state.changes)
        })
    }

    /// Returns once changes have come and then none for `quiet`, or when there is something to look through.
    async fn settle(&self, quiet: Duration) {
        loop {
            let due = self.read(|state| Some((state.last? + quiet).min(state.since? + LONGEST.max(quiet))));
            match due {
                Some(due) if due <= Instant::now() => return,
                Some(due) => tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.bell.notified() => {}
                },
                None => self.bell.notified().await,
            }
            if self.has_errand() {
                return;
            }
        }
    }
}

impl Collected {
    fn change(&mut self, name: Option<&str>) {
        let now = Instant::now();
        self.since.get_or_insert(now);
        self.last = Some(now);
        match name {
            Some(name) => self.changes.add(name),
            None => self.changes.add_unknown(),
        }
    }

    fn add_directory(&mut self, path: &Path) {
        if self.new.len() < NEW_DIRECTORIES {
            self.new.push(path.to_owned());
        } else {
            self.look_again = true;
        }
    }
}

/// Opening and reading a file, or a change of its mode, is none; that it was closed after it was open for writing is.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Any | EventKind::Other => false,
    }
}

/// Puts watches on directories.
struct Walker {
    watcher: RecommendedWatcher,
    scope: Arc<RwLock<Scope>>,
    inbox: Arc<Inbox>,
    directories: usize,
    trouble: Option<String>,
}

impl Walker {
    fn walk(&mut self, errand: Errand) {
        let (mut left, fresh) = match errand {
            Errand::All => {
                (self.directories, self.trouble) = (0, None);
                (vec![self.scope.read().unwrap_or_else(PoisonError::into_inner).root().to_owned()], false)
            }
            Errand::New(dirs) => (dirs, true),
        };
        while let Some(dir) = left.pop() {
            if self.trouble.is_some() {
                return;
            }
            if !self.scope.read().unwrap_or_else(PoisonError::into_inner).may_hold(&dir) {
                continue;
            }
            self.scope.write().unwrap_or_else(PoisonError::into_inner).read_ignore_files(&dir);
            if self.watch(&dir) {
                self.look_into(&dir, fresh, &mut left);
            }
        }
    }

    /// Watches a directory; returns whether there is one.
    fn watch(&mut self, dir: &Path) -> bool {
        if self.directories >= DIRECTORIES {
            self.trouble = Some(format!(
                "only the first {DIRECTORIES} directories are watched; name fewer in `watch`, or leave some out with \
                 `watch.ignore`"
            ));
            return false;
        }
        match self.watcher.watch(dir, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.directories += 1;
                true
            }
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                self.trouble = Some(explain(&error, self.directories));
                false
            }
            // It is gone again, or may not be read.
            Err(error) => {
                debug!(dir = %dir.display(), %error, "cannot watch a directory");
                false
            }
        }
    }

    /// Goes on with the directories in this one. Files in a directory that is `fresh` may have come before its watch.
    fn look_into(&self, dir: &Path, fresh: bool, left: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() {
                left.push(path);
            } else if fresh {
                let name = self.scope.read().unwrap_or_else(PoisonError::into_inner).counts(&path);
                if let Some(name) = name {
                    self.inbox.update(|state| state.change(Some(&name)));
                }
            }
        }
    }
}

/// Tells why files cannot be watched, and what to do about a limit of the kernel's (`inotify(7)`).
fn explain(error: &notify::Error, watched: usize) -> String {
    let limit = |name: &str| fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).unwrap_or_default();
    let is_out_of_instances =
        matches!(&error.kind, ErrorKind::Io(error) if error.raw_os_error() == Some(libc::EMFILE));
    match &error.kind {
        ErrorKind::MaxFilesWatch => format!(
            "changes are seen in the first {watched} directories only: the kernel's watches are used up \
             (fs.inotify.max_user_watches is {}); raise the limit with `sudo sysctl \
             fs.inotify.max_user_watches=524288`, or watch less",
            limit("max_user_watches").trim()
        ),
        _ if is_out_of_instances => format!(
            "changes are not seen: the kernel's watchers are used up (fs.inotify.max_user_instances is {}); raise \
             the limit with `sudo sysctl fs.inotify.max_user_instances=512`, or end other programs that watch files",
            limit("max_user_instances").trim()
        ),
        _ => format!("changes are not seen: {error}"),
    }
}

#[cfg(test)]
mod tests;
