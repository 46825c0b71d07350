//! The task against a real directory: what is told, how often, and what is not.

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::config::WatchAction;

const PATIENCE: Duration = Duration::from_secs(30);

/// A watch at work, and what it tells.
struct Watched {
    sights: UnboundedReceiver<Sight>,
    task: tokio::task::JoinHandle<()>,
    /// The file that showed that the watch stands; it may be told of once more.
    first: String,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watched {
    fn new(root: &Path, globs: &[&str], ignore: &[&str]) -> Self {
        let own = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
        let watch = Watch {
            globs: own(globs),
            ignore: own(ignore),
            ignore_files: true,
            debounce: Duration::from_millis(300),
            action: WatchAction::Restart,
        };
        let (sender, sights) = unbounded_channel();
        let task = tokio::spawn(follow(root.to_owned(), watch, move |sight| drop(sender.send(sight))));
        Self { sights, task, first: String::new() }
    }

    /// Returns the next changes; the watch's own time bounds how many there are.
    async fn next(&mut self) -> Changes {
        loop {
            let sight = tokio::time::timeout(PATIENCE, self.sights.recv()).await.expect("something is told");
            match sight.expect("the watch lives") {
                Sight::Changed(changes) if changes.describe() == self.first => {}
                Sight::Changed(changes) => return changes,
                Sight::Trouble(trouble) => panic!("{trouble:?}"),
            }
        }
    }

    /// Writes `file` again and again until that is told: the watch stands then.
    async fn stands(&mut self, file: &Path) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            fs::write(file, "x").unwrap();
            let told = tokio::time::timeout(Duration::from_secs(1), self.sights.recv()).await;
            if let Ok(Some(Sight::Changed(changes))) = told {
                self.first = changes.describe();
                return;
            }
        }
        panic!("{} was never told of", file.display());
    }
}

fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("src/deep")).unwrap();
    fs::create_dir_all(dir.path().join("node_modules/x")).unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_counts_is_told_and_a_burst_is_told_once() {
    let dir = project();
    let path = |name: &str| dir.path().join(name);
    fs::write(path(".gitignore"), "*.log\n").unwrap();
    let mut watched = Watched::new(dir.path(), &["src/**/*", "*.toml"], &["src/*.tmp"]);
    watched.stands(&path("x.toml")).await;

    // None of these counts, so that the first to be told of is the one that does.
    for name in ["src/server.log", "src/a.tmp", "README", "node_modules/x/a.toml", "src/.a.py.swp"] {
        fs::write(path(name), "x").unwrap();
    }
    fs::write(path("src/deep/a.py"), "x").unwrap();
    fs::write(path("src/b.py"), "x").unwrap();
    let changes = watched.next().await;
    assert_eq!(changes.describe(), "src/deep/a.py changed (+1 more)");

    fs::rename(path("src/b.py"), path("src/c.py")).unwrap();
    assert!(watched.next().await.names().contains(&"src/c.py".to_owned()));
    fs::remove_file(path("src/c.py")).unwrap();
    assert_eq!(watched.next().await.describe(), "src/c.py changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_directory_is_watched_with_what_is_in_it_already() {
    let dir = project();
    let mut watched = Watched::new(dir.path(), &["src/**/*.py", "x"], &[]);
    watched.stands(&dir.path().join("x")).await;

    fs::create_dir_all(dir.path().join("src/new/deep")).unwrap();
    fs::write(dir.path().join("src/new/deep/a.py"), "x").unwrap();
    assert_eq!(watched.next().await.describe(), "src/new/deep/a.py changed");
    fs::write(dir.path().join("src/new/deep/a.py"), "y").unwrap();
    assert_eq!(watched.next().await.describe(), "src/new/deep/a.py changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_files_are_told_in_a_few_words() {
    let dir = project();
    let mut watched = Watched::new(dir.path(), &["src/*.py", "x"], &[]);
    watched.stands(&dir.path().join("x")).await;

    let src = dir.path().join("src");
    let writing = tokio::task::spawn_blocking(move || {
        for index in 0..10_000 {
            fs::write(src.join(format!("{index}.py")), "x").unwrap();
        }
    });
    writing.await.unwrap();
    // Slow writing may be told in parts; lost events are told as unknown.
    let first = watched.next().await;
    assert!(first.describe().len() < 300, "{}", first.describe());
    let mut told = 1;
    while let Ok(Some(Sight::Changed(_))) =
        tokio::time::timeout(Duration::from_secs(2), watched.sights.recv()).await
    {
        told += 1;
    }
    assert!(told <= 20, "told {told} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ignore_file_that_changes_counts_from_then_on() {
    let dir = project();
    let path = |name: &str| dir.path().join(name);
    let mut watched = Watched::new(dir.path(), &["src/*", "x"], &[]);
    watched.stands(&path("x")).await;
    fs::write(path("src/a.out"), "x").unwrap();
    assert_eq!(watched.next().await.describe(), "src/a.out changed");

    fs::write(path("src/.gitignore"), "*.out\n").unwrap();
    // It is taken up after the events before it; until then the file still counts.
    let deadline = Instant::now() + PATIENCE;
    loop {
        fs::write(path("src/a.out"), "y").unwrap();
        fs::write(path("src/b.py"), "y").unwrap();
        let changes = watched.next().await;
        if changes.describe() == "src/b.py changed" {
            return;
        }
        assert!(Instant::now() < deadline, "{}", changes.describe());
    }
}

#[test]
fn limits_of_the_kernel_are_told_with_the_remedy() {
    let told = explain(&notify::Error::new(ErrorKind::MaxFilesWatch), 7);
    assert!(
        told.contains("first 7 directories") && told.contains("sudo sysctl fs.inotify.max_user_watches=")
    );
    let error = std::io::Error::from_raw_os_error(libc::EMFILE);
    let told = explain(&notify::Error::io(error), 0);
    assert!(told.contains("sudo sysctl fs.inotify.max_user_instances="), "{told}");
}
