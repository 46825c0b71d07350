//! Which plugins there are: found, checked, compiled, described; and how each has fared since.
//!
//! A file that cannot be loaded is listed with the reason and harms nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::cache::CompileCache;
use super::contract::{self, Described, Indices, Kinds};
use super::engine::PluginEngine;
use super::inspect::{Refusal, Shape, inspect, inspect_interfaces, short};
use super::instance::{CallError, Instance, Prepared};
use super::{REGEX_CLASSIFIER, REGEX_CLASSIFIER_NAME};
use crate::bounds;

/// Where a plugin came from; also the order of the chain, first to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// `.ostler/plugins/` of the project.
    Project,
    /// The user's configuration directory.
    User,
    /// Embedded in this binary.
    BuiltIn,
}

/// A place plugins are looked for.
#[derive(Debug, Clone)]
pub struct Source {
    pub origin: Origin,
    pub dir: PathBuf,
}

/// What the project's configuration says about one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSettings {
    pub enabled: bool,
    /// JSON for the plugin's sessions, or empty.
    pub config: String,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self { enabled: true, config: String::new() }
    }
}

/// One line of `ostler plugin list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    pub name: String,
    pub origin: Origin,
    /// `loaded`, `disabled`, `refused` or `quarantined`.
    pub state: String,
    /// Why it is not in use, or what went wrong last.
    pub reason: Option<String>,
    pub version: Option<String>,
    pub description: Option<String>,
    /// The kinds it serves.
    pub kinds: Vec<String>,
    /// Those of its kinds that this Ostler does not use yet.
    #[serde(default)]
    pub unused_kinds: Vec<String>,
    /// The version of the contract it was built for.
    #[serde(default)]
    pub contract: Option<String>,
    pub path: Option<PathBuf>,
    pub sha256: Option<String>,
    /// Calls that failed since the daemon started.
    pub failures: u64,
}

/// A plugin that may be used.
pub struct Plugin {
    pub info: Described,
    /// What it exports, which is also what it says of itself.
    pub kinds: Kinds,
    /// The version of the contract it was built for.
    pub contract: contract::Version,
    pub origin: Origin,
    pub path: Option<PathBuf>,
    pub sha256: String,
    pub settings: PluginSettings,
    prepared: Prepared,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    failures: u64,
    recent: VecDeque<Instant>,
    last: Option<String>,
    quarantined: bool,
}

impl Plugin {
    /// Returns a fresh instance.
    pub fn instantiate(&self) -> Result<Instance, CallError> {
        Instance::new(&self.prepared)
    }

    /// Returns whether it has failed so often that it is left out.
    pub fn is_quarantined(&self) -> bool {
        self.health().quarantined
    }

    /// Takes down a failed call, and quarantines a repeat offender.
    pub(super) fn record_failure(&self, error: &CallError) {
        let mut health = self.health();
        health.failures += 1;
        health.last = Some(error.to_string());
        let now = Instant::now();
        health.recent.push_back(now);
        while health.recent.front().is_some_and(|at| now - *at > bounds::PLUGIN_TRAP_WINDOW) {
            health.recent.pop_front();
        }
        // A refused configuration will be refused again: the first time is enough.
        let hopeless = matches!(error, CallError::BadConfig(_));
        health.quarantined |= hopeless || health.recent.len() >= bounds::PLUGIN_TRAPS;
        warn!(plugin = %self.info.name, %error, quarantined = health.quarantined, "plugin call failed");
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> PluginStatus {
        let health = self.health();
        let state = match (self.settings.enabled, health.quarantined) {
            (false, _) => "disabled",
            (true, true) => "quarantined",
            (true, false) => "loaded",
        };
        PluginStatus {
            name: self.info.name.clone(),
            origin: self.origin,
            state: state.to_owned(),
            reason: health.last.clone(),
            version: Some(self.info.version.clone()),
            description: Some(self.info.description.clone()),
            kinds: self.kinds.names(),
            unused_kinds: self.kinds.unused().names(),
            contract: Some(self.contract.name().to_owned()),
            path: self.path.clone(),
            sha256: Some(self.sha256.clone()),
            failures: health.failures,
        }
    }
}

/// All plugins of a project.
pub struct Registry {
    plugins: Vec<Arc<Plugin>>,
    refused: Vec<PluginStatus>,
}

impl Registry {
    /// Loads the built-in plugins and those in `sources`. Compiling for the first time takes up to a second a
    /// plugin, so this is called on a thread of its own.
    pub fn load(
        engine: &PluginEngine,
        cache_dir: &Path,
        sources: &[Source],
        settings: &BTreeMap<String, PluginSettings>,
    ) -> Self {
        let mut loader = Loader {
            engine,
            cache: CompileCache::open(cache_dir),
            settings,
            registry: Self { plugins: Vec::new(), refused: Vec::new() },
        };
        // The built-in first, so that no file can take its name; sorted to the end of the chain below.
        loader.load_bytes(Origin::BuiltIn, None, REGEX_CLASSIFIER_NAME, REGEX_CLASSIFIER);
        for source in sources {
            for path in wasm_files(&source.dir) {
                loader.load_file(source.origin, &path);
            }
        }
        let mut registry = loader.registry;
        registry.plugins.sort_by(|a, b| (a.origin, &a.info.name).cmp(&(b.origin, &b.info.name)));
        registry
    }

    /// Loads one component from memory, for checks of a file that is not installed.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn load_one(engine: &PluginEngine, cache_dir: &Path, bytes: &[u8]) -> Result<Plugin, Refusal> {
        let loader = Loader {
            engine,
            cache: CompileCache::open(cache_dir),
            settings: &BTreeMap::new(),
            registry: Self { plugins: Vec::new(), refused: Vec::new() },
        };
        loader.prepare(Origin::Project, None, "plugin", bytes, &hex(&Sha256::digest(bytes)))
    }

    /// Returns the classifiers of every process in the order they are asked, those turned off left out.
    pub fn classifiers(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.iter().filter(|plugin| plugin.settings.enabled && plugin.kinds.reads_lines())
    }

    /// Returns every plugin found, refused ones with the reason.
    pub fn status(&self) -> Vec<PluginStatus> {
        self.plugins.iter().map(|plugin| plugin.status()).chain(self.refused.iter().cloned()).collect()
    }
}

struct Loader<'a> {
    engine: &'a PluginEngine,
    cache: CompileCache,
    settings: &'a BTreeMap<String, PluginSettings>,
    registry: Registry,
}

impl Loader<'_> {
    fn load_file(&mut self, origin: Origin, path: &Path) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match read_bounded(path) {
            Ok(bytes) => self.load_bytes(origin, Some(path), &name, &bytes),
            Err(refusal) => self.refuse(origin, Some(path), &name, None, &refusal),
        }
    }

    fn load_bytes(&mut self, origin: Origin, path: Option<&Path>, file_name: &str, bytes: &[u8]) {
        let sha256 = hex(&Sha256::digest(bytes));
        match self.prepare(origin, path, file_name, bytes, &sha256) {
            Ok(plugin) => {
                info!(plugin = %plugin.info.name, version = %plugin.info.version, ?origin, "plugin loaded");
                self.registry.plugins.push(Arc::new(plugin));
            }
            Err(refusal) => self.refuse(origin, path, file_name, Some(sha256), &refusal),
        }
    }

    fn prepare(
        &self,
        origin: Origin,
        path: Option<&Path>,
        file_name: &str,
        bytes: &[u8],
        sha256: &str,
    ) -> Result<Plugin, Refusal> {
        inspect(bytes)?;
        let invalid = |error: wasmtime::Error| Refusal::Invalid(short(&format!("{error:#}")));
        let component = self.cache.component(self.engine, bytes, sha256).map_err(invalid)?;
        let shape = inspect_interfaces(self.engine, &component)?;
        let Shape { version, kinds } = shape;
        let misfit = |error: wasmtime::Error| Refusal::Misfit(short(&format!("{error:#}")));
        let pre = contract::linker(self.engine, version)
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(misfit)?;
        let indices = Indices::new(&pre, version, kinds).map_err(misfit)?;
        let prepared = Prepared { engine: self.engine.clone(), pre, indices, name: file_name.to_owned() };

        let failed = |error: CallError| match error {
            CallError::Misfit(what) => Refusal::Misfit(short(&what)),
            error => Refusal::FailedStart(error.to_string()),
        };
        let info = Instance::new(&prepared).map_err(failed)?.describe().map_err(failed)?;
        let name = check_info(&info, kinds)?;
        if let Some(other) = self.registry.plugins.iter().find(|plugin| plugin.info.name == name) {
            let from = other.path.as_ref().map_or("this binary".into(), |path| path.display().to_string());
            return Err(Refusal::DuplicateName { name, from });
        }
        let settings = self.settings.get(&name).cloned().unwrap_or_default();
        Ok(Plugin {
            prepared: Prepared { name, ..prepared },
            info,
            kinds,
            contract: version,
            origin,
            path: path.map(Path::to_owned),
            sha256: sha256.to_owned(),
            settings,
            health: Mutex::default(),
        })
    }

    fn refuse(
        &mut self,
        origin: Origin,
        path: Option<&Path>,
        name: &str,
        sha256: Option<String>,
        refusal: &Refusal,
    ) {
        warn!(plugin = name, ?origin, reason = %refusal, "plugin refused");
        self.registry.refused.push(PluginStatus {
            name: name.to_owned(),
            origin,
            state: "refused".to_owned(),
            reason: Some(refusal.to_string()),
            version: None,
            description: None,
            kinds: Vec::new(),
            unused_kinds: Vec::new(),
            contract: None,
            path: path.map(Path::to_owned),
            sha256,
            failures: 0,
        });
    }
}

/// Checks what a guest says of itself before anybody prints it.
fn check_info(info: &Described, kinds: Kinds) -> Result<String, Refusal> {
    let bad = |what: &str| Err(Refusal::BadInfo(what.to_owned()));
    let name = &info.name;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || name.len() > bounds::PROCESS_NAME_MAX || !name.bytes().all(plain) {
        return bad("`name` must be 1 to 64 lower-case letters, digits and dashes");
    }
    let printable = |text: &str, max: usize| text.len() <= max && !text.chars().any(char::is_control);
    if !printable(&info.version, 64) || !printable(&info.description, 400) {
        return bad("`version` and `description` must be short and without control characters");
    }
    if info.kinds.len() > 8 || !info.kinds.iter().all(|kind| printable(kind, 32)) {
        return bad("`kinds` must be a few short words");
    }
    for (kind, exported) in kinds.each() {
        match (info.kinds.iter().any(|named| named == kind), exported) {
            (false, true) => {
                return bad(&format!("`kinds` does not name `{kind}`, though the interface is exported"));
            }
            (true, false) => {
                return bad(&format!("`kinds` names `{kind}`, but the interface is not exported"));
            }
            _ => {}
        }
    }
    if !info.config_schema.is_empty()
        && serde_json::from_str::<serde_json::Value>(&info.config_schema).is_err()
    {
        return bad("`config-schema` is not JSON");
    }
    let wants: Vec<String> = info.wants.iter().take(8).map(|want| want.capability.clone()).collect();
    if !wants.iter().all(|capability| !capability.is_empty() && printable(capability, 64)) {
        return bad("`wants` must name what is wanted by short words");
    }
    if !wants.is_empty() {
        return Err(Refusal::Ungranted(wants));
    }
    Ok(name.clone())
}

fn wasm_files(dir: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            warn!(dir = %dir.display(), %error, "cannot look for plugins");
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    paths.sort();
    paths
}

/// Reads a file that may be anything: no more than a plugin's size, and never a pipe or a device.
fn read_bounded(path: &Path) -> Result<Vec<u8>, Refusal> {
    let unreadable = |error: std::io::Error| Refusal::Unreadable(error.to_string());
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Refusal::Unreadable("not a regular file".to_owned()));
    }
    if metadata.len() > bounds::PLUGIN_FILE_BYTES {
        return Err(Refusal::TooLarge { size: metadata.len() });
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(bounds::PLUGIN_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
