//! What `ostler init` proposes for directories of each kind; whatever it proposes has to load.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::super::{FILE_NAME, Project, detect, load, propose};
use super::read;

/// Lays out files, proposes, and loads the proposal in place.
fn proposal(files: &[(&str, &str)]) -> (String, Project) {
    let dir = tempfile::tempdir().unwrap();
    // The proposal has the directory's name in it.
    let project = dir.path().join("shop");
    std::fs::create_dir(&project).unwrap();
    for (name, text) in files {
        let path = project.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let text = propose(&project).unwrap();
    std::fs::write(project.join(FILE_NAME), &text).unwrap();
    let loaded = load(&project.join(FILE_NAME)).unwrap_or_else(|error| panic!("{error}\n{text}"));
    (text, loaded)
}

fn commands(files: &[(&str, &str)]) -> Vec<String> {
    let (_, project) = proposal(files);
    project.order.iter().map(|name| format!("{name}: {}", project.processes[name].command)).collect()
}

#[test]
fn each_framework_is_known_by_its_files() {
    for (files, expected) in [
        (&[("manage.py", "")][..], "web: python3 manage.py runserver 8000"),
        (&[("manage.py", ""), ("uv.lock", "")], "web: uv run python manage.py runserver 8000"),
        (&[("manage.py", ""), (".venv/bin/python", "")], "web: .venv/bin/python manage.py runserver 8000"),
        (&[("requirements.txt", "Flask==3.1\n")], "web: python3 -m flask run --debug --port 5000"),
        (
            &[("pyproject.toml", "dependencies = [\"fastapi>=0.1\"]\n")],
            "api: python3 -m uvicorn main:app --reload --port 8000",
        ),
        (&[("package.json", r#"{"scripts":{"dev":"vite","start":"x"}}"#)], "frontend: npm run dev"),
        (
            &[("package.json", r#"{"scripts":{"start":"node ."}}"#), ("pnpm-lock.yaml", "")],
            "frontend: pnpm run start",
        ),
        (&[("Gemfile", "gem \"rails\""), ("bin/rails", "")], "web: bin/rails server -p 3000"),
        (&[("artisan", ""), ("composer.json", "{}")], "web: php artisan serve '--port=8000'"),
        (&[("mix.exs", "{:phoenix, \"~> 1.7\"}")], "web: mix phx.server"),
        (&[("go.mod", ""), ("main.go", "")], "app: go run ."),
        (&[("Cargo.toml", "[package]"), ("src/main.rs", "")], "app: cargo run"),
    ] {
        assert_eq!(commands(files), [expected], "{files:?}");
    }
}

#[test]
fn what_is_not_an_application_is_left_alone() {
    for files in [
        &[("package.json", "not json")][..],
        &[("package.json", r#"{"scripts":{"test":"x"}}"#)],
        &[("Cargo.toml", "[package]"), ("src/lib.rs", "")],
        &[("requirements.txt", "flask-lint\n")],
        &[("node_modules/package.json", r#"{"scripts":{"dev":"x"}}"#)],
        &[],
    ] {
        assert_eq!(commands(files), Vec::<String>::new(), "{files:?}");
    }
}

#[test]
fn a_procfile_says_it_all() {
    let procfile = "# comment\nweb: bin/rails s -p $PORT\nworker: bundle exec sidekiq\nbad name: x\n";
    let (text, _) = proposal(&[("Procfile", procfile), ("manage.py", "")]);
    assert_snapshot!(text, @r#"
    # What Ostler runs in this project, as `ostler init` found it. Change what does not fit.

    [project]
    name = "shop"

    # Procfile
    [process.web]
    command = "bin/rails s -p $PORT"
    shell = true
    env = { PORT = "5000" }

    # Procfile
    [process.worker]
    command = "bundle exec sidekiq"
    "#);
}

#[test]
fn two_directories_are_two_processes() {
    let (text, _) = proposal(&[
        ("backend/manage.py", ""),
        ("frontend/package.json", r#"{"scripts":{"dev":"vite"}}"#),
        ("my docs/package.json", r#"{"scripts":{"dev":"next dev"}}"#),
    ]);
    assert_snapshot!(text, @r#"
    # What Ostler runs in this project, as `ostler init` found it. Change what does not fit.

    [project]
    name = "shop"

    # manage.py: Django
    [process.backend]
    command = "python3 manage.py runserver 8000"
    cwd = "backend"
    ready = { tcp = 8000 }

    # package.json has a script `dev`
    [process.frontend]
    command = "npm run dev"
    cwd = "frontend"
    ready = { log = 'ready in \d+' }

    # package.json has a script `dev`
    [process.my-docs]
    command = "npm run dev"
    cwd = "my docs"
    ready = { log = 'Ready in \d+' }
    "#);
}

#[test]
fn nothing_recognised_is_said_with_an_example() {
    let (text, _) = proposal(&[("README", "")]);
    assert_snapshot!(text, @r#"
    # What Ostler runs in this project, as `ostler init` found it. Change what does not fit.

    [project]
    name = "shop"

    # Nothing was recognised here. A process looks like this:
    #
    # [process.web]
    # command = "npm run dev"      # split like a shell would, run without one
    # ready = { tcp = 3000 }        # or log = "a regular expression", or http = "http://…"
    "#);
}

proptest! {
    /// Names and contents are the project's: whatever they are, the proposal is valid.
    #[test]
    fn whatever_is_found_gives_a_text_that_loads(
        procfile in "([a-z\"'\\\\]{0,4}:[ -~]{0,20}\n){0,4}",
        directory in "[ -~é]{1,8}",
        script in "(vite|next|x)[ -~]{0,10}",
    ) {
        let package = serde_json::json!({ "scripts": { "dev": script } }).to_string();
        let directory = directory.replace('/', "-");
        let contents = BTreeMap::from([
            ("Procfile".to_owned(), procfile),
            (format!("{directory}/package.json"), package),
        ]);
        let mut names: BTreeSet<String> = contents.keys().cloned().collect();
        names.insert(format!("{directory}/"));
        let name = Project::empty(Path::new(&directory)).name;
        let text = detect::propose(&name, &names, &|file| contents.get(file).cloned());
        if let Err(error) = read(&text) {
            prop_assert!(false, "{error}\n{text}");
        }
    }
}
