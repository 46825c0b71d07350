//! Whose code a frame is, and what it is called wherever the project lies.

use super::template::template;
use super::{Frame, clip};

/// Parts of paths under which there is nobody's own code.
const LIBRARIES: [&str; 33] = [
    // Python
    "/site-packages/",
    "/dist-packages/",
    "/lib/python3",
    "/lib/python2",
    "/lib64/python3",
    "/.venv/",
    "<frozen ",
    // JavaScript
    "/node_modules/",
    "node:",
    "internal/modules/",
    "internal/process/",
    "webpack/bootstrap",
    "webpack/runtime",
    // Ruby
    "/gems/",
    "/lib/ruby/",
    "<internal:",
    ") lib/",
    "/rubygems/",
    // Go
    "/pkg/mod/",
    "/usr/lib/go",
    "/usr/local/go/",
    "_testmain.go",
    "_cgo_gotypes.go",
    // Rust
    "/.cargo/registry/",
    "/.cargo/git/",
    "/rustc/",
    "/.rustup/",
    "library/std/src/",
    "library/core/src/",
    // Any
    "/vendor/",
    "/usr/lib/",
    "/usr/share/",
    "/nix/store/",
];

/// Beginnings of the names of classes and modules that come with the language, or are widely used.
const PACKAGES: [&str; 39] = [
    // Java, Kotlin, Scala
    "java.",
    "javax.",
    "jakarta.",
    "jdk.",
    "sun.",
    "com.sun.",
    "kotlin.",
    "kotlinx.",
    "scala.",
    "groovy.",
    "org.springframework.",
    "org.apache.",
    "org.hibernate.",
    "org.junit.",
    "org.eclipse.jetty.",
    "org.slf4j.",
    "io.netty.",
    "io.undertow.",
    "reactor.",
    "com.fasterxml.",
    "com.zaxxer.",
    "com.google.common.",
    "ch.qos.",
    // .NET
    "System.",
    "Microsoft.",
    "Npgsql.",
    "Newtonsoft.",
    // Rust
    "std::",
    "core::",
    "alloc::",
    "<std::",
    "<core::",
    "<alloc::",
    "tokio::",
    "<tokio::",
    "hyper::",
    "axum::",
    "actix_web::",
    "<F as ",
];

/// Functions of runtimes that stand in no module.
const RUNTIME: [&str; 12] = [
    "rust_begin_unwind",
    "rust_panic",
    "__rust_begin_short_backtrace",
    "__rust_end_short_backtrace",
    "_start",
    "__libc_start_main",
    "__libc_start_call_main",
    "start_thread",
    "clone3",
    "__clone3",
    "gopanic",
    "goexit",
];

/// Directories whose next part is a name made up for once.
const TEMPORARY: [&str; 4] = ["/private/tmp/", "/var/tmp/", "/tmp/", "/dev/shm/"];

/// Fills in the module where the trace names only a file, and whose the frame is.
pub(super) fn settle(frame: &mut Frame, project: Option<&str>) {
    let own = frame.file.as_deref().map(|file| below(file, project));
    frame.in_app = match &own {
        Some(Own::Below(path)) => !is_library(path) && !is_packaged(frame),
        Some(Own::Elsewhere(path)) => {
            !is_library(path) && !is_packaged(frame) && !is_of_go_root(path, &frame.module)
        }
        None => !(is_packaged(frame) || frame.module.is_empty() || frame.function.is_empty()),
    };
    if frame.module.is_empty()
        && let Some(own) = own
    {
        frame.module = match own {
            Own::Below(path) => timeless(path),
            Own::Elsewhere(path) => outside(path),
        };
    }
    for text in [&mut frame.function, &mut frame.module] {
        if text.len() > 120 {
            *text = clip(text);
        }
    }
}

/// Where a file lies.
enum Own<'a> {
    /// Below the project's directory, or relative to some directory.
    Below(&'a str),
    Elsewhere(&'a str),
}

fn below<'a>(file: &'a str, project: Option<&str>) -> Own<'a> {
    let below = project
        .map(|project| project.trim_end_matches('/'))
        .filter(|project| !project.is_empty())
        .and_then(|project| file.strip_prefix(project)?.strip_prefix('/'));
    match below {
        Some(path) => Own::Below(path),
        None if file.starts_with('/') || file.contains(":\\") => Own::Elsewhere(file),
        None => Own::Below(file.trim_start_matches("./")),
    }
}

fn is_library(path: &str) -> bool {
    let path = path.replace('\\', "/");
    let from_root = format!("/{}", path.trim_start_matches('/'));
    matches!(path.as_str(), "native" | "<anonymous>" | "<generated>")
        || LIBRARIES.iter().any(|part| {
            // `node:fs` and the like stand at the beginning or not at all.
            if part.ends_with(':') { path.starts_with(part) } else { from_root.contains(part) }
        })
}

fn is_packaged(frame: &Frame) -> bool {
    let module = frame.module.as_str();
    let is_of = |package: &str| module.starts_with(package) || module == package.trim_end_matches(['.', ':']);
    (!module.is_empty() && PACKAGES.iter().any(|package| is_of(package)))
        || module == "runtime"
        || RUNTIME.contains(&frame.function.as_str())
}

/// The standard library of Go lies in `src/` and the name of its package, and no such name has a dot.
fn is_of_go_root(path: &str, package: &str) -> bool {
    let Some((dir, file)) = path.rsplit_once('/') else { return false };
    file.ends_with(".go")
        && !package.is_empty()
        && package != "main"
        && !package.contains('.')
        && dir.strip_suffix(package).is_some_and(|root| root.ends_with("/src/"))
}

/// A path outside of the project by its last two parts, since the same code may be anywhere.
fn outside(path: &str) -> String {
    let path = path.replace('\\', "/");
    let temporary = TEMPORARY.iter().find_map(|dir| path.strip_prefix(dir));
    let path = match temporary.and_then(|rest| rest.split_once('/')) {
        Some((_, rest)) => rest,
        None => &path,
    };
    let mut parts: Vec<&str> = path.rsplit('/').take(2).filter(|part| !part.is_empty()).collect();
    parts.reverse();
    timeless(&parts.join("/"))
}

/// A path without the digests and numbers that builds put into the names of files.
fn timeless(path: &str) -> String {
    let parts = path.split('/').map(template);
    parts.collect::<Vec<_>>().join("/")
}
