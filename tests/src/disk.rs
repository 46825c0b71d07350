//! Small disks of a test's own, mounted where nobody else sees them, and what fills them.
//!
//! That takes root; without it a disk cannot be had, and the test says on standard error that it was skipped.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

use tempfile::TempDir;

/// A small disk. Other threads and processes do not see it, and the kernel lets go of it with the last that does.
pub struct Disk {
    mount_point: TempDir,
    /// Holds the image of a disk that is a file.
    _image_dir: Option<TempDir>,
}

/// What fills a disk until it is dropped.
pub struct Filler {
    path: PathBuf,
    file: File,
}

impl Disk {
    /// Mounts a disk of this size in memory; `None` when that cannot be done here.
    pub fn tmpfs(bytes: u64) -> Option<Self> {
        let disk = Self::mounted(None, |mount_point| {
            let size = format!("size={bytes},mode=0700");
            command("mount", &["-t", "tmpfs", "-o", &size, "ostler-test", mount_point])
        });
        disk.map_err(|problem| skip("a disk in memory", &problem)).ok()
    }

    /// Mounts a file of this size as a disk of a kind that can be made to fail; `None` when that cannot be done here.
    pub fn ext4(bytes: u64) -> Option<Self> {
        let image_dir = TempDir::new().expect("a temporary directory");
        let image = image_dir.path().join("image");
        let disk = File::create(&image)
            .and_then(|file| file.set_len(bytes))
            .map_err(|error| error.to_string())
            .and_then(|()| command("mkfs.ext4", &["-q", "-F", &image.display().to_string()]))
            .and_then(|()| {
                Self::mounted(Some(image_dir), |mount_point| {
                    let image = image.display().to_string();
                    command("mount", &["-t", "ext4", "-o", "loop,errors=remount-ro", &image, mount_point])
                })
            });
        disk.map_err(|problem| skip("a disk in a file", &problem)).ok()
    }

    fn mounted(
        image_dir: Option<TempDir>,
        mount: impl FnOnce(&str) -> Result<(), String>,
    ) -> Result<Self, String> {
        leave_others_alone()?;
        let mount_point = tempfile::Builder::new().prefix("ostd").tempdir_in("/tmp");
        let mount_point = mount_point.map_err(|error| error.to_string())?;
        mount(&mount_point.path().display().to_string())?;
        Ok(Self { mount_point, _image_dir: image_dir })
    }

    /// Returns where it is mounted.
    pub fn path(&self) -> &Path {
        self.mount_point.path()
    }

    /// Changes how it is mounted.
    pub fn remount(&self, how: &str) {
        let path = self.path().display().to_string();
        command("mount", &["-o", &format!("remount,{how}"), &path])
            .expect("what was mounted can be remounted");
    }

    /// Returns what fills it: for now nothing.
    pub fn filler(&self) -> Filler {
        let path = self.path().join("filler");
        let file = File::create(&path).expect("there is room for a file");
        Filler { path, file }
    }
}

impl Filler {
    /// Fills the disk until `bytes` are free.
    pub fn leave(&mut self, bytes: u64) -> io::Result<()> {
        let stat = free_bytes(&self.file)?;
        let more = stat.saturating_sub(bytes);
        let length = self.file.metadata()?.len();
        let (offset, more) = (length.cast_signed(), more.cast_signed());
        // SAFETY: takes numbers only, of a file that is open.
        match unsafe { libc::posix_fallocate(self.file.as_raw_fd(), offset, more.max(1)) } {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Fills the disk to the last byte, and returns whether there was room for any.
    pub fn grow(&mut self) -> bool {
        let mut grown = false;
        let mut piece = vec![0; 1 << 20];
        while !piece.is_empty() {
            match self.file.write(&piece) {
                Ok(_) => grown = true,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => piece.truncate(piece.len() / 2),
                Err(error) => panic!("{}: {error}", self.path.display()),
            }
        }
        grown
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let path = CString::new(self.path().as_os_str().as_bytes()).expect("no NUL in a path");
        // SAFETY: the path is a C string that lives across the call.
        let result = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        if result != 0 {
            eprintln!("cannot unmount {}: {}", self.path().display(), io::Error::last_os_error());
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Gives this thread, and what it starts, a view of its own of what is mounted (`mount_namespaces(7)`).
fn leave_others_alone() -> Result<(), String> {
    // SAFETY: takes a flag only, and changes what this thread sees.
    let mut result = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    if result == 0 {
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        // SAFETY: the strings are constants, and the kernel ignores the pointers that are null.
        result = unsafe { libc::mount(c"none".as_ptr(), c"/".as_ptr(), ptr::null(), flags, ptr::null()) };
    }
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error().to_string()) }
}

fn command(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Says that a test is skipped, past the test runner, which shows nothing of tests that pass.
fn skip(what: &str, problem: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(io::stderr(), "\nSKIPPED {test}: {what} cannot be mounted here: {problem}");
}

fn free_bytes(file: &File) -> io::Result<u64> {
    // SAFETY: zeroes are a valid value of this plain structure.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and the structure may be written.
    match unsafe { libc::fstatvfs(file.as_raw_fd(), &mut stat) } {
        0 => Ok(stat.f_bavail * stat.f_frsize),
        _ => Err(io::Error::last_os_error()),
    }
}
