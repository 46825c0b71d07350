//! The launch spec: what the daemon wants run, handed to the shim as the file `spec` in the run directory.
//!
//! Owns the file's format and nothing else: whether the program exists is found out by running it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::wire::{Fields, put_bytes};
use crate::bounds;

/// The spec's name in the run directory.
pub const SPEC_FILE: &str = "spec";

const MAGIC: &[u8; 8] = b"OSTLSPEC";
const VERSION: u32 = 1;
const NO_UMASK: u32 = u32::MAX;
/// Longest spec file, in bytes; Linux takes at most 6 MiB of arguments and environment
/// (`execve(2)`, "Limits on size of arguments and environment").
const SPEC_BYTES: u64 = 8 << 20;

/// What to run and how much of its output to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchSpec {
    /// A path, or a name that is looked up in the `PATH` of `env`. A relative path counts from `cwd`.
    pub program: OsString,
    /// The arguments behind the program's name.
    pub args: Vec<OsString>,
    pub cwd: PathBuf,
    /// The whole environment; nothing is inherited.
    pub env: Vec<(OsString, OsString)>,
    /// The child's file mode creation mask; `None` leaves the one the daemon was started with.
    pub umask: Option<u32>,
    pub spool: SpoolLimits,
    /// How long descendants that outlive the main child have between SIGTERM and SIGKILL, to the millisecond.
    pub leftover_grace: Duration,
    /// The child is given a socket to say how it is.
    pub notify: Option<NotifySpec>,
}

/// The socket that a child finds in `NOTIFY_SOCKET` (`sd_notify(3)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifySpec {
    /// Where the shim binds it; at most 107 bytes, and nothing is there yet.
    pub path: PathBuf,
    /// How often the child is to say `WATCHDOG=1`, to the microsecond; told by `WATCHDOG_USEC`.
    pub watchdog: Option<Duration>,
}

/// How much of a run's output may wait on disk; the defaults are those of [`bounds`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Size at which a spool file is closed, in bytes.
    pub file_bytes: u64,
    /// Bytes all spool files of the run may have together.
    pub max_bytes: u64,
    /// Free bytes to leave on the file system.
    pub min_free_bytes: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self {
            file_bytes: bounds::SPOOL_FILE_BYTES,
            max_bytes: bounds::SPOOL_MAX_BYTES,
            min_free_bytes: bounds::SPOOL_MIN_FREE_BYTES,
        }
    }
}

/// Why a launch spec cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    #[error("{what} contains a NUL byte, which no program can be given: remove it")]
    Nul { what: String },
    #[error("the name of an environment variable is empty or contains `=`: {name:?}")]
    EnvName { name: OsString },
    #[error(
        "arguments and environment take {bytes} bytes, more than the {SPEC_BYTES} a program can be given"
    )]
    TooLarge { bytes: u64 },
    #[error("launch spec has version {found}, this shim reads {VERSION}: install daemon and shim together")]
    Version { found: u32 },
    #[error("launch spec is cut short or not one at all")]
    Malformed,
    #[error("launch spec {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl LaunchSpec {
    /// Returns a spec for `program` in `cwd` with no arguments, an empty environment and the default limits.
    pub fn new(program: impl Into<OsString>, cwd: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            cwd: cwd.into(),
            env: Vec::new(),
            umask: None,
            spool: SpoolLimits::default(),
            leftover_grace: Duration::from_secs(2),
            notify: None,
        }
    }

    /// Writes the spec into `run_dir`, readable by its owner only, because environments hold secrets.
    pub fn write(&self, run_dir: &Path) -> Result<(), SpecError> {
        self.check()?;
        let bytes = self.encode();
        if bytes.len() as u64 > SPEC_BYTES {
            return Err(SpecError::TooLarge { bytes: bytes.len() as u64 });
        }
        let path = run_dir.join(SPEC_FILE);
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(&bytes))
            .map_err(|error| SpecError::Io { path, error })
    }

    /// Reads the spec from `run_dir`.
    pub fn read(run_dir: &Path) -> Result<Self, SpecError> {
        let path = run_dir.join(SPEC_FILE);
        let read = || {
            let bytes = std::fs::metadata(&path)?.len();
            if bytes > SPEC_BYTES {
                Ok(Err(SpecError::TooLarge { bytes }))
            } else {
                std::fs::read(&path).map(Ok)
            }
        };
        let bytes = read().map_err(|error: io::Error| SpecError::Io { path: path.clone(), error })??;
        Self::decode(&bytes)
    }

    /// Returns the spec's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        put_bytes(&mut out, self.program.as_bytes());
        put_bytes(&mut out, self.cwd.as_os_str().as_bytes());
        out.extend_from_slice(&self.umask.unwrap_or(NO_UMASK).to_le_bytes());
        for limit in [self.spool.file_bytes, self.spool.max_bytes, self.spool.min_free_bytes] {
            out.extend_from_slice(&limit.to_le_bytes());
        }
        let grace = u64::try_from(self.leftover_grace.as_millis()).unwrap_or(u64::MAX);
        out.extend_from_slice(&grace.to_le_bytes());
        put_list(&mut out, self.args.len(), self.args.iter().map(OsString::as_os_str));
        put_list(
            &mut out,
            self.env.len(),
            self.env.iter().flat_map(|(name, value)| [name.as_os_str(), value]),
        );
        // What came later stands behind, each part behind its tag and length.
        if let Some(notify) = &self.notify {
            put_part(&mut out, part::NOTIFY, &notify.encode());
        }
        out
    }

    /// Reads the bytes of [`LaunchSpec::encode`]; anything else is an error, whatever the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, SpecError> {
        let mut fields = Fields(bytes);
        if fields.take(MAGIC.len()) != Some(MAGIC) {
            return Err(SpecError::Malformed);
        }
        match fields.u32() {
            Some(VERSION) => decode_fields(&mut fields).ok_or(SpecError::Malformed),
            Some(found) => Err(SpecError::Version { found }),
            None => Err(SpecError::Malformed),
        }
    }

    /// Checks what `execve` cannot express, so that the caller hears of it before anything is started.
    fn check(&self) -> Result<(), SpecError> {
        let refuse_nul = |what: &dyn Fn() -> String, text: &OsStr| match text.as_bytes().contains(&0) {
            true => Err(SpecError::Nul { what: what() }),
            false => Ok(()),
        };
        refuse_nul(&|| "the program's name".to_owned(), &self.program)?;
        refuse_nul(&|| "the working directory".to_owned(), self.cwd.as_os_str())?;
        for (index, arg) in self.args.iter().enumerate() {
            refuse_nul(&|| format!("argument {}", index + 1), arg)?;
        }
        for (name, value) in &self.env {
            refuse_nul(&|| "the name of an environment variable".to_owned(), name)?;
            refuse_nul(&|| format!("the environment variable {}", name.display()), value)?;
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return Err(SpecError::EnvName { name: name.clone() });
            }
        }
        Ok(())
    }
}

/// The tags of what follows the fields that every spec has. Readers pass over those they do not know.
mod part {
    pub const NOTIFY: u8 = 1;
}

fn put_part(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_bytes(out, bytes);
}

impl NotifySpec {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, self.path.as_os_str().as_bytes());
        let watchdog = self.watchdog.map_or(0, |every| u64::try_from(every.as_micros()).unwrap_or(u64::MAX));
        out.extend_from_slice(&watchdog.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let path = PathBuf::from(text(&mut fields)?);
        let watchdog = Some(fields.u64()?).filter(|micros| *micros > 0).map(Duration::from_micros);
        Some(Self { path, watchdog })
    }
}

fn put_list<'a>(out: &mut Vec<u8>, count: usize, texts: impl Iterator<Item = &'a OsStr>) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    for text in texts {
        put_bytes(out, text.as_bytes());
    }
}

fn decode_fields(fields: &mut Fields<'_>) -> Option<LaunchSpec> {
    let program = text(fields)?;
    let cwd = PathBuf::from(text(fields)?);
    let umask = Some(fields.u32()?).filter(|umask| *umask != NO_UMASK);
    let spool =
        SpoolLimits { file_bytes: fields.u64()?, max_bytes: fields.u64()?, min_free_bytes: fields.u64()? };
    let leftover_grace = Duration::from_millis(fields.u64()?);
    // No capacity is taken from the counts: they are foreign, the bytes behind them are what there is.
    let args = (0..fields.u32()?).map(|_| text(fields)).collect::<Option<_>>()?;
    let env = (0..fields.u32()?).map(|_| Some((text(fields)?, text(fields)?))).collect::<Option<_>>()?;
    let mut spec = LaunchSpec { program, args, cwd, env, umask, spool, leftover_grace, notify: None };
    while !fields.0.is_empty() {
        let (tag, bytes) = (fields.u8()?, fields.bytes()?);
        if tag == part::NOTIFY {
            spec.notify = Some(NotifySpec::decode(bytes)?);
        }
    }
    Some(spec)
}

fn text(fields: &mut Fields<'_>) -> Option<OsString> {
    fields.bytes().map(|bytes| OsString::from_vec(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = OsString> {
        proptest::collection::vec(1u8.., 0..20).prop_map(OsString::from_vec)
    }

    fn specs() -> impl Strategy<Value = LaunchSpec> {
        let lists =
            (proptest::collection::vec(texts(), 0..5), proptest::collection::vec((texts(), texts()), 0..5));
        (texts(), texts(), lists, proptest::option::of(0u32..0o1000), any::<[u32; 4]>()).prop_map(
            |(program, cwd, (args, env), umask, numbers)| LaunchSpec {
                program,
                args,
                cwd: cwd.into(),
                env,
                umask,
                spool: SpoolLimits {
                    file_bytes: numbers[0].into(),
                    max_bytes: numbers[1].into(),
                    min_free_bytes: numbers[2].into(),
                },
                leftover_grace: Duration::from_millis(numbers[3].into()),
                notify: None,
            },
        )
    }

    proptest! {
        #[test]
        fn specs_come_back_as_they_went(spec in specs()) {
            prop_assert_eq!(LaunchSpec::decode(&spec.encode()).unwrap(), spec);
        }

        #[test]
        fn what_came_later_comes_back_and_what_comes_yet_is_passed_over(
            spec in specs(), path in texts(), watchdog in proptest::option::of(1u64..u64::MAX / 2),
        ) {
            let notify = NotifySpec { path: path.into(), watchdog: watchdog.map(Duration::from_micros) };
            let spec = LaunchSpec { notify: Some(notify), ..spec };
            let mut bytes = spec.encode();
            put_part(&mut bytes, 250, b"of a later version");
            prop_assert_eq!(LaunchSpec::decode(&bytes).unwrap(), spec);
            bytes.pop();
            prop_assert!(LaunchSpec::decode(&bytes).is_err());
        }

        #[test]
        fn a_spec_cut_short_anywhere_is_refused(spec in specs(), cut in any::<prop::sample::Index>()) {
            let bytes = spec.encode();
            prop_assert!(LaunchSpec::decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut with_head = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
            with_head.extend_from_slice(&bytes);
            let _ = LaunchSpec::decode(&bytes);
            let _ = LaunchSpec::decode(&with_head);
        }
    }

    #[test]
    fn a_spec_is_written_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mut spec = LaunchSpec::new("true", "/");
        spec.env.push(("PATH".into(), "/bin".into()));
        spec.write(dir.path()).unwrap();
        assert_eq!(LaunchSpec::read(dir.path()).unwrap(), spec);
        let mode = std::fs::metadata(dir.path().join(SPEC_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_execve_cannot_express_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut spec = LaunchSpec::new("true", "/");
        spec.args.push("a\0b".into());
        let error = spec.write(dir.path()).unwrap_err().to_string();
        assert!(error.starts_with("argument 1 contains a NUL byte"), "{error}");
        let mut spec = LaunchSpec::new("true", "/");
        spec.env.push(("A=B".into(), "c".into()));
        assert!(matches!(spec.write(dir.path()), Err(SpecError::EnvName { .. })));
    }

    #[test]
    fn another_version_is_refused_by_number() {
        let mut bytes = LaunchSpec::new("true", "/").encode();
        bytes[8] = 9;
        assert!(matches!(LaunchSpec::decode(&bytes), Err(SpecError::Version { found: 9 })));
    }
}
