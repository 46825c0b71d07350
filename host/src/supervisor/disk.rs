//! A look at the disk that the state is on: does it take what shims and daemon write?
//!
//! Leaves nothing behind on it, and decides nothing: what becomes of output that finds no room is the shims' business.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Returns what is wrong with the disk that the directory `dir` is on, in words with a remedy; `None` when it takes
/// output. With less than `floor` bytes free it counts as full. Blocks for as long as the disk does.
pub fn disk_trouble(dir: &Path, floor: u64) -> Option<String> {
    let dir_name = dir.display();
    match free_bytes(dir) {
        Ok(free) if free < floor => {
            let (free, floor) = (free >> 20, floor >> 20);
            return Some(format!(
                "the disk is full: it has {free} MiB free, and {dir_name} leaves {floor} MiB to others; processes run \
                 on, what they print is dropped and counted in the log until there is space"
            ));
        }
        Ok(_) => {}
        Err(error) => return Some(format!("{dir_name} cannot be looked at: {error}")),
    }
    let error = write_somewhere(dir).err()?;
    Some(format!(
        "{dir_name} cannot be written: {error}; processes run on, what they print is dropped and counted in the log \
         until it can be"
    ))
}

fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Writes a byte into a file without a name, which is gone once it is closed (`O_TMPFILE`, Linux 3.11). File systems
/// that have none, such as NFS, are believed to be writable.
fn write_somewhere(dir: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(dir) {
        Ok(mut file) => file.write_all(b"\n"),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_room_is_no_trouble_and_nothing_is_left_on_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(disk_trouble(dir.path(), 0), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn less_than_the_floor_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let told = disk_trouble(dir.path(), u64::MAX).unwrap();
        assert!(told.starts_with("the disk is full: "), "{told}");
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named_with_the_reason() {
        let told = disk_trouble(Path::new("/dev/null"), 0).unwrap();
        assert!(told.starts_with("/dev/null cannot be written: Not a directory"), "{told}");
        let told = disk_trouble(Path::new("/nowhere"), 0).unwrap();
        assert!(told.starts_with("/nowhere cannot be looked at: No such file"), "{told}");
    }
}
