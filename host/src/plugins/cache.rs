//! The compile cache: native code of components, in a private directory.
//!
//! What is loaded from here runs unchecked, so the directory belongs to the user alone and is never the folder that
//! plugins are dropped into. An entry's name is the hash of the component and of everything that shaped its code.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tracing::{debug, warn};
use wasmtime::component::Component;

use super::engine::PluginEngine;

/// Compiles components, remembering the result.
pub(super) struct CompileCache {
    /// `None` when no private directory could be had: then everything is compiled each time.
    dir: Option<PathBuf>,
}

impl CompileCache {
    /// Opens the cache in `dir`, creating it for the user alone; refuses a directory that others can write to.
    pub(super) fn open(dir: &Path) -> Self {
        match private_dir(dir) {
            Ok(()) => Self { dir: Some(dir.to_owned()) },
            Err(error) => {
                warn!(dir = %dir.display(), %error, "no compile cache; plugins are compiled at each start");
                Self { dir: None }
            }
        }
    }

    /// Returns the component, compiled now or earlier. `digest` is the SHA-256 of `bytes` in hexadecimal.
    pub(super) fn component(
        &self,
        engine: &PluginEngine,
        bytes: &[u8],
        digest: &str,
    ) -> wasmtime::Result<Component> {
        let Some(path) = self.dir.as_ref().map(|dir| dir.join(entry_name(engine, digest))) else {
            return Component::from_binary(engine.wasmtime(), bytes);
        };
        if path.exists() {
            // SAFETY: the file lies in a directory only this user can write to (checked in `private_dir`), under a
            // name that only `store` below gives, after serialising a component of this engine's configuration.
            match unsafe { Component::deserialize_file(engine.wasmtime(), &path) } {
                Ok(component) => return Ok(component),
                Err(error) => debug!(path = %path.display(), %error, "stale compile cache entry"),
            }
        }
        let component = Component::from_binary(engine.wasmtime(), bytes)?;
        if let Err(error) =
            component.serialize().map_err(io::Error::other).and_then(|code| store(&path, &code))
        {
            warn!(path = %path.display(), %error, "cannot write the compile cache");
        }
        Ok(component)
    }
}

fn entry_name(engine: &PluginEngine, digest: &str) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{:016x}.cwasm", hasher.finish())
}

fn private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let metadata = fs::symlink_metadata(dir)?;
    if !metadata.is_dir() {
        return Err(io::Error::other("not a directory"));
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("belongs to another user"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may write to it; make it private with chmod 700"));
    }
    Ok(())
}

/// Writes under a name of its own and renames, so that two daemons never see half a file.
fn store(path: &Path, code: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("tmp{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| io::Write::write_all(&mut file, code))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
