"""Real applications, copied into a test's project so that nothing is written into the source tree."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ostler

APPS = Path(__file__).resolve().parent / "apps"
# Where `.ci/real-apps` installs Vite; any directory with it in `node_modules` will do.
VITE_HOME = Path(os.environ.get("OSTLER_VITE_HOME", ostler.WORKSPACE / "target/real/vite"))

DJANGO_PORT_TAKEN = "Error: That port is already in use."
BOOM = "ValueError: the till is empty"
UNAPPLIED = "You have 1 unapplied migration(s)"


def missing(reason: str) -> None:
    """Skips the test visibly, or fails it where everything has to be installed."""
    if os.environ.get("OSTLER_REQUIRE_REAL") == "1":
        pytest.fail(f"OSTLER_REQUIRE_REAL=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def require_django() -> None:
    if importlib.util.find_spec("django") is None:
        missing(f"Django is not installed for {sys.executable}; .ci/real-apps installs it")


def require_vite() -> None:
    if shutil.which("node") is None:
        missing("Node.js is not installed")
    if not (VITE_HOME / "node_modules/.bin/vite").exists():
        missing(f"Vite is not installed in {VITE_HOME}; .ci/real-apps installs it")


def require_mcp() -> None:
    if importlib.util.find_spec("mcp") is None:
        missing(f"the `mcp` package is not installed for {sys.executable}; .ci/real-apps installs it")


# ---- Django ----


def copy_django(project: ostler.Project) -> None:
    """Puts the shop into the project, without its table."""
    require_django()
    shutil.copytree(APPS / "django", project.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def migrate(project: ostler.Project) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=project.root,
        env=project.env,
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=60,
    )


def runserver(port: int, **keys: Any) -> dict[str, Any]:
    """Describes `manage.py runserver`; that it is ready is for Ostler to find out."""
    env = {"PYTHONUNBUFFERED": "1"}
    return ostler.process([sys.executable, "manage.py", "runserver", str(port)], env=env, **keys)


# ---- Vite ----


def copy_vite(project: ostler.Project) -> None:
    """Puts the shop window into the project, with the installed Vite linked in."""
    require_vite()
    for name in ("index.html", "main.js", "package.json"):
        shutil.copy(APPS / "vite" / name, project.root)
    (project.root / "node_modules").symlink_to((VITE_HOME / "node_modules").resolve())


def break_main_js(project: ostler.Project) -> None:
    """Puts a syntax error where the page's script was."""
    shutil.copy(APPS / "vite/main.broken.js", project.root / "main.js")


def vite(port: int, **keys: Any) -> dict[str, Any]:
    """Describes Vite on exactly this port; without `--strictPort` it would move to the next one."""
    argv = ["node_modules/.bin/vite", "--host", "127.0.0.1", "--port", str(port), "--strictPort"]
    return ostler.process(argv, **keys)
