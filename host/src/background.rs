//! Threads that make room for the user's processes.
//!
//! On a small machine a child that prints as fast as it can, its shim, the pipeline and the packing of the log want more
//! processors than there are, and nobody waits for the packing. Linux has a niceness for each thread (`setpriority(2)`,
//! "C library/kernel differences"); elsewhere this does nothing. The pipeline does not step back: beside a flood it would
//! keep the lines of quiet processes waiting.

/// How much a thread steps back: to a tenth of a turn for each whole turn of others.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Has the calling thread step back, for good. It goes on as it was where the system does not let it.
pub fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "a thread cannot step back");
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The niceness of the calling thread, field 19 of `/proc/thread-self/stat`.
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(19 - 3).unwrap().parse().unwrap()
    }

    #[test]
    fn a_thread_steps_back_and_others_do_not() {
        let before = niceness();
        let there = std::thread::spawn(|| {
            step_back();
            niceness()
        });
        assert_eq!(there.join().unwrap(), (before + NICENESS).min(19));
        assert_eq!(niceness(), before);
    }
}
