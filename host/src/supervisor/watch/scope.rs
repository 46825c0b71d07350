//! Which files count: globs, what they leave out, and ignore files. Reads ignore files, watches nothing.
//!
//! A directory is only looked into when a file below it can count, so that no tree of dependencies or build output
//! costs a watch for each of its directories.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::config::Watch;

/// Directories that never count unless a glob names them: records of version control, of Ostler, of package managers
/// and interpreters.
const NEVER_DIRS: [&str; 7] = [".git", ".hg", ".jj", ".svn", ".ostler", "node_modules", "__pycache__"];
/// Files that editors make and remove while they save.
const NEVER_FILES: [&str; 6] = ["**/*~", "**/.*.sw?", "**/.#*", "**/#*#", "**/4913", "**/.DS_Store"];
/// The files that name what does not count, the later ones over the earlier.
const IGNORE_FILES: [&str; 2] = [".gitignore", ".ignore"];
/// Longest ignore file that is read, in bytes.
const IGNORE_FILE_BYTES: u64 = 1 << 20;

/// What is watched of a project's directory.
pub struct Scope {
    root: PathBuf,
    globs: GlobSet,
    left_out: GlobSet,
    /// The globs piece by piece, to tell which directories may hold a match.
    branches: Vec<Vec<Piece>>,
    honours_ignore_files: bool,
    /// By the directory they lie in.
    ignore_files: BTreeMap<PathBuf, Gitignore>,
}

/// What a glob says of one name of a path.
enum Piece {
    Name {
        text: String,
        matcher: GlobMatcher,
    },
    /// `**`, and whatever cannot be taken apart: anything may follow.
    Anything,
}

impl Scope {
    /// Makes the scope of `watch` below `root`.
    ///
    /// # Errors
    /// When a glob makes no sense; the configuration's loader has refused such.
    pub fn new(root: &Path, watch: &Watch) -> Result<Self, globset::Error> {
        let globs: Vec<String> = watch.globs.iter().map(|glob| plain(glob).to_owned()).collect();
        let left_out: Vec<String> = watch.ignore.iter().map(|glob| plain(glob).to_owned()).collect();
        let mut scope = Self {
            root: root.to_owned(),
            globs: set(with_contents(&globs))?,
            left_out: set(with_contents(&left_out).chain(NEVER_FILES.map(str::to_owned)))?,
            branches: with_contents(&globs).map(|glob| pieces(&glob)).collect::<Result<_, _>>()?,
            honours_ignore_files: watch.ignore_files,
            ignore_files: BTreeMap::new(),
        };
        scope.read_ignore_files_above();
        Ok(scope)
    }

    /// Returns the directory everything is relative to.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the name below the root of a file that counts when it changes.
    pub fn counts(&self, path: &Path) -> Option<String> {
        let below = path.strip_prefix(&self.root).ok()?;
        let is_meant = self.globs.is_match(below) && !self.left_out.is_match(below);
        if !is_meant || self.is_ignored(path, false) {
            return None;
        }
        let dirs = path.ancestors().skip(1).take_while(|dir| *dir != self.root);
        dirs.into_iter().all(|dir| !self.is_out(dir)).then(|| below.to_string_lossy().into_owned())
    }

    /// Returns whether a file below this directory can count.
    pub fn may_hold(&self, dir: &Path) -> bool {
        let Ok(below) = dir.strip_prefix(&self.root) else { return false };
        let Some(names) = below.components().map(name_of).collect::<Option<Vec<&str>>>() else {
            return false;
        };
        self.branches.iter().any(|branch| leads_into(branch, &names))
            && (names.is_empty() || !self.is_out(dir))
    }

    /// Reads the ignore files of a directory, in place of what was known of them.
    pub fn read_ignore_files(&mut self, dir: &Path) {
        if !self.honours_ignore_files {
            return;
        }
        let mut builder = GitignoreBuilder::new(dir);
        let mut any = false;
        for name in IGNORE_FILES {
            let file = dir.join(name);
            // What is no plain file could make the reader wait for ever.
            if fs::metadata(&file).is_ok_and(|meta| meta.is_file() && meta.len() <= IGNORE_FILE_BYTES) {
                // Lines that make no sense are passed over, as git does.
                let _ = builder.add(&file);
                any = true;
            }
        }
        match builder.build() {
            Ok(rules) if any => drop(self.ignore_files.insert(dir.to_owned(), rules)),
            _ => drop(self.ignore_files.remove(dir)),
        }
    }

    /// Returns whether a path is that of a file that names what does not count.
    pub fn is_ignore_file(&self, path: &Path) -> bool {
        self.honours_ignore_files
            && IGNORE_FILES.iter().any(|name| path.file_name().is_some_and(|n| n == *name))
    }

    /// A project may be a part of a repository, whose ignore files lie further up.
    fn read_ignore_files_above(&mut self) {
        let root = self.root.clone();
        if let Some(top) = root.ancestors().position(|dir| dir.join(".git").exists()) {
            for dir in root.ancestors().take(top + 1) {
                self.read_ignore_files(dir);
            }
        }
    }

    /// Returns whether nothing in this directory counts, whatever the globs say of it.
    fn is_out(&self, dir: &Path) -> bool {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_never =
            NEVER_DIRS.contains(&name) && !self.branches.iter().flatten().any(|piece| piece.names(name));
        let below = dir.strip_prefix(&self.root).unwrap_or(dir);
        is_never || self.left_out.is_match(below) || self.is_ignored(dir, true)
    }

    /// Asks the ignore files, the closest first: they may take back what those further up say.
    fn is_ignored(&self, path: &Path, is_dir: bool) -> bool {
        path.ancestors()
            .skip(1)
            .filter_map(|dir| self.ignore_files.get(dir))
            .find_map(|rules| match rules.matched(path, is_dir) {
                Match::Ignore(_) => Some(true),
                Match::Whitelist(_) => Some(false),
                Match::None => None,
            })
            .unwrap_or(false)
    }
}

impl Piece {
    /// Returns whether the glob has this very name in it.
    fn names(&self, name: &str) -> bool {
        matches!(self, Self::Name { text, .. } if text == name)
    }
}

/// Returns whether a path that begins with the directory `names` can match.
fn leads_into(branch: &[Piece], names: &[&str]) -> bool {
    for (index, name) in names.iter().enumerate() {
        match branch.get(index) {
            Some(Piece::Anything) => return true,
            Some(Piece::Name { matcher, .. }) if matcher.is_match(name) => {}
            Some(Piece::Name { .. }) | None => return false,
        }
    }
    branch.len() > names.len()
}

/// Leaves off what makes no difference: `./` in front, `/` at the end.
fn plain(glob: &str) -> &str {
    let glob = glob.trim_end_matches('/');
    glob.strip_prefix("./").unwrap_or(glob)
}

/// Adds to each glob the one for everything below it, since a directory's name means what is in it; and to one that
/// means all of a directory's contents the directory.
fn with_contents(globs: &[String]) -> impl Iterator<Item = String> {
    globs.iter().flat_map(|glob| {
        let dir = glob.strip_suffix("/**").map(str::to_owned);
        [Some(glob.clone()), Some(format!("{glob}/**")), dir].into_iter().flatten()
    })
}

fn set(globs: impl IntoIterator<Item = String>) -> Result<GlobSet, globset::Error> {
    let mut builder = GlobSetBuilder::new();
    for glob in globs {
        builder.add(compile(&glob)?);
    }
    builder.build()
}

fn compile(glob: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(glob).literal_separator(true).build()
}

fn pieces(glob: &str) -> Result<Vec<Piece>, globset::Error> {
    let mut pieces = Vec::new();
    for text in glob.split('/') {
        // Braces may hold a `/`: what follows them is not known piece by piece.
        if text == "**" || text.contains(['{', '}', '\\']) {
            pieces.push(Piece::Anything);
            break;
        }
        pieces.push(Piece::Name { text: text.to_owned(), matcher: compile(text)?.compile_matcher() });
    }
    Ok(pieces)
}

fn name_of(component: Component<'_>) -> Option<&str> {
    match component {
        Component::Normal(name) => Some(name.to_str().unwrap_or("\u{fffd}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::WatchAction;

    fn scope(root: &Path, globs: &[&str], ignore: &[&str]) -> Scope {
        let own = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
        let watch = Watch {
            globs: own(globs),
            ignore: own(ignore),
            ignore_files: true,
            debounce: Duration::ZERO,
            action: WatchAction::Restart,
        };
        Scope::new(root, &watch).unwrap()
    }

    fn counts(scope: &Scope, path: &str) -> bool {
        scope.counts(&scope.root().join(path)).is_some()
    }

    fn holds(scope: &Scope, path: &str) -> bool {
        scope.may_hold(&scope.root().join(path))
    }

    #[test]
    fn globs_say_what_counts_and_where_to_look_for_it() {
        let scope =
            scope(Path::new("/p"), &["./backend/**/*.py", "*.toml", "static/*/x.css"], &["**/test_*.py"]);
        for yes in ["backend/a.py", "backend/x/y/a.py", "ostler.toml", "static/v1/x.css"] {
            assert!(counts(&scope, yes), "{yes}");
        }
        for no in
            ["a.py", "backend/a.txt", "x/y.toml", "static/x.css", "backend/test_a.py", "backend/.a.py.swp"]
        {
            assert!(!counts(&scope, no), "{no}");
        }
        for yes in ["", "backend", "backend/deep/er", "static", "static/v1"] {
            assert!(holds(&scope, yes), "{yes}");
        }
        for no in
            ["frontend", "static/v1/deeper", "backend/node_modules", "backend/x/__pycache__", "..", "/other"]
        {
            assert!(!holds(&scope, no), "{no}");
        }
    }

    #[test]
    fn a_directory_means_what_is_in_it() {
        let scope = scope(Path::new("/p"), &["src/", "{a,b/c}/*.rs"], &["src/generated", "src/out/**"]);
        assert!(counts(&scope, "src/a/b.rs") && counts(&scope, "b/c/x.rs"));
        assert!(!counts(&scope, "src/generated/x.rs") && !counts(&scope, "src/out/x"));
        assert!(holds(&scope, "src/a") && holds(&scope, "b/c"));
        assert!(!holds(&scope, "src/generated") && !holds(&scope, "src/out"));
    }

    #[test]
    fn what_never_counts_does_when_it_is_named() {
        let all = scope(Path::new("/p"), &["**/*"], &[]);
        assert!(
            !counts(&all, ".git/index") && !counts(&all, "x/node_modules/y/z.js") && !holds(&all, ".git")
        );
        let named = scope(Path::new("/p"), &["node_modules/shared/*.js"], &[]);
        assert!(counts(&named, "node_modules/shared/a.js") && holds(&named, "node_modules"));
    }

    #[test]
    fn ignore_files_count_from_where_they_lie_and_may_take_back() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("shop");
        fs::create_dir_all(root.join("src/gen")).unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        fs::write(dir.path().join(".gitignore"), "*.tmp\n/shop/dist\n").unwrap();
        fs::write(root.join(".gitignore"), "*.log\n").unwrap();
        fs::write(root.join("src/.ignore"), "gen/\n!keep.log\n[\n").unwrap();
        let mut scope = scope(&root, &["**/*"], &[]);
        scope.read_ignore_files(&root);
        scope.read_ignore_files(&root.join("src"));
        assert!(counts(&scope, "src/a.py") && counts(&scope, "src/keep.log"));
        for no in ["a.tmp", "src/a.tmp", "dist/x.js", "a.log", "src/a.log", "src/gen/a.py"] {
            assert!(!counts(&scope, no), "{no}");
        }
        assert!(!holds(&scope, "src/gen") && !holds(&scope, "dist"));
        fs::remove_file(root.join(".gitignore")).unwrap();
        scope.read_ignore_files(&root);
        assert!(counts(&scope, "a.log"));
    }
}
