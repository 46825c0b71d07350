//! How things look on a terminal: pure functions from replies to text.
//!
//! Nothing here writes anywhere or asks anybody. Text that a process printed passes [`text::visible`] before it is
//! part of a screen: what runs under Ostler cannot move the cursor of who watches it.

mod alerts;
mod diagnosis;
mod doctor;
mod duration;
mod error;
mod errors;
mod health;
mod inspection;
mod line;
mod plugins;
mod processes;
mod requests;
mod stats;
mod style;
mod summary;
mod table;
mod text;

pub use alerts::{alert, open_alert};
pub use diagnosis::diagnosis;
pub use doctor::doctor;
pub use error::{complaint, complaint_json, note};
pub use errors::{error_group, error_line, errors, latest_errors};
pub use health::health;
pub use inspection::inspection;
pub use line::{Clock, LineFormat};
pub use plugins::plugins;
pub use processes::{one_line, processes, started};
pub use stats::stats;
pub use style::{Palette, Wishes};
pub use summary::{line_counts, summary};
pub use table::table;
pub use text::visible;
