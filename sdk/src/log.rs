//! What a plugin says to the host's log. The host adds the plugin's name, and bounds length and rate.

use crate::Level;

/// Writes one message to the host's log; natively, to standard error.
pub fn write(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    crate::guest::write_log(level, message);
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level}: {message}");
}

/// Writes a formatted message to the host's log: `log!(Level::Warn, "took {count} patterns")`.
#[macro_export]
macro_rules! log {
    ($level:expr, $($message:tt)+) => {
        $crate::log::write($level, &::std::format!($($message)+))
    };
}
