//! The contract with plugins, in every version this host carries, behind words of the host's own.
//!
//! # Theory of operation
//!
//! ```text
//!   chain, samples, registry            plain words: `Described`, `RunInfo`, `Packed`, `Verdicts` … (`words`)
//!            │
//!       `guest::Guest`                  one live guest; one `match` a call
//!      ┌─────┼──────┐
//!    v0_9   v0_2   v0_1                 generated from `wit/` and `wit/released/`: nothing of it leaves its file
//! ```
//!
//! Only the files `v…` name generated code. Each has the same four parts: the bindings; `add_to_linker`, which gives a
//! guest of that version its imports; `Indices`, found once for each compiled component; `Guest`, whose calls take and
//! return plain words. What an old version cannot say is left empty on the way up and left out on the way down, so the
//! plain words are always those of the newest version.
//!
//! What lines travel in is borrowed on the way down, and levels are moved and never copied on the way up: a version in
//! between costs a batch nothing. Facts are few.
//!
//! **The next version.** When `wit/` becomes 1.0: the text of 0.9 goes to `wit/released/0.9.0`; `v0_9.rs` stays and only
//! its path changes to that folder; a copy of it becomes `v1.rs`; [`Version`] and `guest` get an arm each. The mapping
//! is field by field, so the compiler names what was forgotten.
//!
//! Versions are matched as `wit/README.md` says: `0.9.x` among themselves, later `1.x` among themselves, which is also
//! how wasmtime looks up names.

mod guest;
mod v0_1;
mod v0_2;
mod v0_9;
mod words;

pub(super) use guest::{Guest, Indices, linker};
pub(super) use words::CONTINUES;
pub use words::{Described, LineSample, Note, Packed, RunInfo, Verdicts, Want};

/// The package whose interfaces this host speaks.
const PACKAGE: &str = "ostler:plugin/";

/// A version of the contract that this host carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V0_1,
    V0_2,
    V0_9,
}

impl Version {
    /// The one of `wit/`.
    pub const NEWEST: Self = Self::V0_9;
    /// All of them, the newest first.
    pub const ALL: [Self; 3] = [Self::V0_9, Self::V0_2, Self::V0_1];

    /// Returns the version as its package names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1.0",
            Self::V0_2 => "0.2.0",
            Self::V0_9 => "0.9.0",
        }
    }

    /// Returns the part of the version that tells what fits: major and, within 0.x, minor.
    const fn line(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1",
            Self::V0_2 => "0.2",
            Self::V0_9 => "0.9",
        }
    }

    /// Returns the version of an interface by its full name: `ostler:plugin/log@0.9.3` is of 0.9. `None` for a name of
    /// another package, the name's version itself as an error where this host does not carry it.
    pub fn of(name: &str) -> Option<Result<Self, String>> {
        let rest = name.strip_prefix(PACKAGE)?;
        let version = rest.split_once('@').map_or("without a version", |(_, version)| version);
        let carried =
            line_of(version).and_then(|line| Self::ALL.into_iter().find(|known| known.line() == line));
        Some(carried.ok_or_else(|| version.to_owned()))
    }

    /// Returns all of them in words, for people who built against another.
    pub fn carried() -> String {
        let mut lines = Self::ALL.into_iter().map(Self::line).collect::<Vec<_>>();
        let last = lines.pop().unwrap_or_default();
        format!("{} and {last}", lines.join(", "))
    }
}

/// Returns the name of an interface of ours without package and version: `log`.
pub(super) fn interface(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(PACKAGE)?;
    Some(rest.split_once('@').map_or(rest, |(interface, _)| interface))
}

/// Returns what tells what a version fits: `0.9` of `0.9.3`, `1` of `1.3.0`; `None` where it fits nothing else, as what
/// comes before a release does.
fn line_of(version: &str) -> Option<&str> {
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = version.split('.');
    let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || ![major, minor, patch].into_iter().all(plain) {
        return None;
    }
    Some(if major == "0" { &version[..major.len() + 1 + minor.len()] } else { major })
}

/// The kinds of plugin whose interfaces a component exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds {
    pub classifier: bool,
    pub validator: bool,
    pub adapter: bool,
}

impl Kinds {
    /// Returns the kinds of these interfaces, given by their names without package and version; passes by the others.
    pub(super) fn of<'n>(interfaces: impl IntoIterator<Item = &'n str>) -> Self {
        let mut kinds = Self::default();
        for interface in interfaces {
            match interface {
                "classifier" => kinds.classifier = true,
                "validator" => kinds.validator = true,
                "adapter" => kinds.adapter = true,
                _ => {}
            }
        }
        kinds
    }

    /// Returns each known kind with whether it is there.
    pub(super) fn each(self) -> [(&'static str, bool); 3] {
        [("classifier", self.classifier), ("validator", self.validator), ("adapter", self.adapter)]
    }

    /// Returns the kinds that are there, as words.
    pub(super) fn names(self) -> Vec<String> {
        self.each().into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned()).collect()
    }

    /// Returns those that this host does not use yet.
    pub(super) fn unused(self) -> Self {
        // Where there is an adapter the classifier is for the framework's processes alone, and only the adapter could
        // tell which these are.
        Self { classifier: self.classifier && self.adapter, ..self }
    }

    /// Returns whether lines are shown to it.
    pub(super) fn reads_lines(self) -> bool {
        self.classifier && !self.unused().classifier
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_fit_within_their_line() {
        for (name, version) in [
            ("ostler:plugin/log@0.1.0", Version::V0_1),
            ("ostler:plugin/info@0.2.7", Version::V0_2),
            ("ostler:plugin/classifier@0.9.0", Version::V0_9),
            ("ostler:plugin/something-new@0.9.12", Version::V0_9),
        ] {
            assert_eq!(Version::of(name), Some(Ok(version)), "{name}");
        }
    }

    #[test]
    fn other_versions_are_named_and_other_packages_are_not_ours() {
        for version in
            ["0.3.0", "0.90.0", "9.0.0", "1.0.0", "0.9.0-rc.1", "0.9", "0.9.0.0", "0.9.x", "", "0..9"]
        {
            let name = format!("ostler:plugin/log@{version}");
            assert_eq!(Version::of(&name), Some(Err(version.to_owned())));
        }
        assert_eq!(Version::of("ostler:plugin/log"), Some(Err("without a version".to_owned())));
        assert_eq!(Version::of("wasi:cli/stdout@0.2.6"), None);
        assert_eq!(Version::of("ostler:plugins/log@0.2.0"), None);
        assert_eq!(line_of("1.4.2"), Some("1"));
    }

    #[test]
    fn interfaces_have_short_names() {
        assert_eq!(interface("ostler:plugin/log@0.9.0"), Some("log"));
        assert_eq!(interface("ostler:plugin/log"), Some("log"));
        assert_eq!(interface("wasi:io/poll@0.2.0"), None);
    }

    #[test]
    fn a_frameworks_classifier_is_not_for_every_process() {
        let kinds = |interfaces: &[&str]| Kinds::of(interfaces.iter().copied());
        assert!(kinds(&["info", "classifier"]).reads_lines());
        assert!(kinds(&["classifier", "validator"]).reads_lines());
        assert!(!kinds(&["classifier", "adapter"]).reads_lines());
        assert_eq!(kinds(&["classifier", "validator"]).unused().names(), ["validator"]);
        assert_eq!(kinds(&["adapter", "classifier"]).unused().names(), ["classifier", "adapter"]);
        assert_eq!(kinds(&["classifier-2", "info"]), Kinds::default());
    }
}
