//! What a daemon does with a shim, as far as the tests need it: a connection that is waited on, and a run.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use ostler::model::{Exit, SpoolPosition};
use ostler::shim::{
    ChunkKind, Count, DoneRecord, LaunchSpec, Launched, Report, Request, SpoolReader, launch, read_done,
    read_exit, tree,
};

pub const SHIM: &str = env!("CARGO_BIN_EXE_ostler-shim");
/// Far longer than anything here takes: reached only when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that is waited on, never slept on.
pub struct Control {
    pub socket: UnixStream,
    pub unread: Vec<u8>,
}

impl Control {
    pub fn new(socket: UnixStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, unread: Vec::new() }
    }

    pub fn send(&mut self, request: &Request) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    /// Returns the next report, or `None` when the shim has closed the connection.
    pub fn next(&mut self) -> Option<Report> {
        loop {
            if let Some((report, length)) = Report::decode(&self.unread).unwrap() {
                self.unread.drain(..length);
                return Some(report);
            }
            let mut chunk = [0; 4096];
            match self.socket.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("no report: {error}"),
            }
        }
    }

    pub fn ask(&mut self, request: &Request) -> Report {
        self.send(request);
        self.next().expect("the shim closed the connection")
    }

    /// Skips reports until `pick` takes one.
    pub fn until<T>(&mut self, mut pick: impl FnMut(&Report) -> Option<T>) -> T {
        loop {
            let report = self.next().expect("the shim closed the connection");
            if let Some(picked) = pick(&report) {
                return picked;
            }
        }
    }

    pub fn pid(&mut self) -> i32 {
        match self.next() {
            Some(Report::Started { pid, start_ticks }) => {
                assert!(start_ticks > 0);
                i32::try_from(pid).unwrap()
            }
            other => panic!("expected Started, got {other:?}"),
        }
    }
}

/// A launched run; its tree is killed when the test ends, however it ends.
pub struct Run {
    pub dir: tempfile::TempDir,
    pub launched: Launched,
    pub control: Control,
    pub reader: SpoolReader,
    pub output: String,
    pub gaps: Count,
}

impl Run {
    pub fn launch(spec: &LaunchSpec) -> Self {
        Self::launch_with(Path::new(SHIM), spec)
    }

    pub fn launch_with(shim: &Path, spec: &LaunchSpec) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let launched = launch(shim, dir.path(), &dir.path().join("control"), spec).unwrap();
        let control = Control::new(launched.control.try_clone().unwrap());
        let reader = SpoolReader::open(dir.path(), SpoolPosition::default()).unwrap();
        Self { dir, launched, control, reader, output: String::new(), gaps: Count::default() }
    }

    pub fn sh(script: &str) -> Self {
        Self::launch(&shell(script))
    }

    pub fn connect(&self) -> Control {
        Control::new(UnixStream::connect(self.dir.path().join("control")).unwrap())
    }

    /// Reads what the spool has now.
    pub fn read(&mut self) {
        while let Some(chunk) = self.reader.next_chunk().unwrap() {
            match chunk.kind {
                ChunkKind::Data(data) => self.output += std::str::from_utf8(data).unwrap(),
                ChunkKind::Gap(count) => {
                    self.gaps.bytes += count.bytes;
                    self.gaps.lines += count.lines;
                }
            }
        }
    }

    /// Waits at the doorbell until `is_there` is content with the output.
    pub fn wait_for_output(&mut self, is_there: impl Fn(&str) -> bool) {
        loop {
            self.read();
            if is_there(&self.output) {
                return;
            }
            self.control.send(&Request::Arm { seen: self.reader.position() });
            self.control.until(|report| matches!(report, Report::Doorbell { .. }).then_some(()));
        }
    }

    /// Waits for the run's end and returns the exit and the number of leftovers.
    pub fn finish(&mut self) -> (Exit, u32) {
        let exit = self.control.until(|report| match report {
            Report::Exited { exit, .. } => Some(*exit),
            _ => None,
        });
        let (end, left) = self.control.until(|report| match report {
            Report::Done { end, leftovers, .. } => Some((*end, *leftovers)),
            _ => None,
        });
        assert!(self.launched.shim.wait().unwrap().success());
        self.read();
        assert_eq!(self.reader.position(), end);
        assert_eq!(read_exit(self.dir.path()).unwrap().unwrap().exit, exit);
        match read_done(self.dir.path()).unwrap() {
            Some(DoneRecord::Ended { exit: record, end: at, leftovers, .. }) => {
                assert_eq!((record.exit, at, leftovers), (exit, end, left));
            }
            other => panic!("expected an end, got {other:?}"),
        }
        assert!(!self.dir.path().join("control").exists());
        (exit, left)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let shim = i32::try_from(self.launched.shim.id()).unwrap();
        while let Ok(None) = self.launched.shim.try_wait() {
            for process in tree::descendants(shim) {
                let _ = process.signal(libc::SIGKILL);
            }
        }
    }
}

pub fn shell(script: &str) -> LaunchSpec {
    let mut spec = LaunchSpec::new("/bin/sh", "/");
    spec.args = vec!["-c".into(), script.into()];
    spec.env = vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
    spec.leftover_grace = PATIENCE;
    spec.spool.min_free_bytes = 0;
    spec
}

pub fn code(code: i32) -> Exit {
    Exit { code: Some(code), signal: None }
}

pub fn killed(signal: i32) -> Exit {
    Exit { code: None, signal: Some(signal) }
}

/// Waits for something that no report tells of.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

pub fn numbers(output: &str) -> Vec<i32> {
    output.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

pub fn is_gone(pid: i32) -> bool {
    tree::Process::with_pid(pid).is_none()
}

pub fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
