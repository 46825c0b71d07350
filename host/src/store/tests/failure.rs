//! A full and a read-only disk, made with what the kernel offers to a process of its own.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;

/// Names the directory to the copy of this program in which a test's second half runs.
const DIRECTORY: &str = "OSTLER_TEST_LOG_DIRECTORY";

/// Runs one test of this program in a process of its own.
fn child(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "--include-ignored", "--nocapture"])
        .arg(format!("store::tests::failure::{test}"));
    command.env(DIRECTORY, directory);
    command
}

fn assert_passed(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_full_disk_loses_nothing_and_is_got_over() {
    let directory = tempfile::tempdir().unwrap();
    assert_passed(child("in_a_process_with_a_limit_on_file_size", directory.path()));
    let store = open(&directory);
    assert_eq!(texts(&store).len(), 11);
    assert_eq!(store.position(RunId(1)), Some(Sample::new("x", 0).at(11).position));
}

#[test]
#[ignore = "the second half of a_full_disk_loses_nothing_and_is_got_over"]
fn in_a_process_with_a_limit_on_file_size() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    // SAFETY: setting a signal to be ignored runs no code; without it the limit kills instead of failing the write.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let limit = |bytes| {
        let maximum = getrlimit(Resource::Fsize).maximum;
        setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
    };
    let (store, _) = Store::open(Path::new(&directory)).unwrap();
    let sample = |number: u64| Sample::new("api", 1).line(number.to_string().repeat(1000)).at(number);

    // Not even the first segment can be begun.
    limit(Some(100));
    let error = sample(1).append(&store).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("free disk space"), "{error}");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);

    limit(None);
    (1..=10).for_each(|number| _ = sample(number).append(&store).unwrap());
    let before = store.bytes();
    // Room for half a batch: the kernel writes what fits, then fails.
    limit(Some(before + 500));
    for _ in 0..3 {
        let error = sample(11).append(&store).unwrap_err();
        assert!(matches!(error, StoreError::DiskFull { .. }) && error.is_transient(), "{error}");
        assert_eq!(segments(Path::new(&directory))[0].metadata().unwrap().len(), before);
        assert_eq!((store.newest(), store.bytes(), texts(&store).len()), (Seq(10), before, 10));
        assert_eq!(store.position(RunId(1)), Some(sample(10).position));
    }
    limit(None);
    assert_eq!(sample(11).append(&store).unwrap(), (Seq(11), Seq(11)));
}

#[test]
fn a_read_only_log_is_readable_and_says_so_when_written() {
    let directory = tempfile::tempdir().unwrap();
    Sample::new("api", 1).line("one").append(&open(&directory)).unwrap();
    let modes = |file, folder| {
        let set =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        segments(directory.path()).iter().for_each(|path| set(path, file));
        set(directory.path(), folder);
    };
    modes(0o444, 0o555);
    let mut command = child("in_a_process_that_may_not_write", directory.path());
    if rustix::process::geteuid().is_root() {
        // Nothing is read-only to root; to `nobody` it is.
        command.uid(65534).gid(65534);
    }
    assert_passed(command);

    // Once it can be written, it goes on.
    modes(0o644, 0o755);
    let store = open(&directory);
    assert_eq!(Sample::new("api", 1).line("two").append(&store).unwrap().0, Seq(2));
}

#[test]
#[ignore = "the second half of a_read_only_log_is_readable_and_says_so_when_written"]
fn in_a_process_that_may_not_write() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (store, recovery) = Store::open(Path::new(&directory)).unwrap();
    assert_eq!((texts(&store), recovery), (vec!["one".to_owned()], Recovery::default()));
    for _ in 0..2 {
        let error = Sample::new("api", 1).line("two").append(&store).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { .. }) && error.is_transient(), "{error}");
        assert!(error.to_string().contains("OSTLER_STATE_DIR"), "{error}");
        assert_eq!(texts(&store), ["one"]);
    }
    let error = Store::open(&Path::new(&directory).join("deeper")).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
}
