"""A project of its own for each test, and the proof at its end that nothing of it is left running."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import agent
import apps
import ostler
import system

Connect = Callable[..., agent.Agent]


@pytest.fixture(scope="session")
def shared_cache() -> Iterator[Path]:
    """One cache for all tests, so that plugins are compiled once."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="osc") as path:
        yield Path(path)


@pytest.fixture
def project(tmp_path: Path, shared_cache: Path) -> Iterator[ostler.Project]:
    """An empty project; at the end `ostler down` must leave no process of the test behind."""
    ostler.binary()
    # A socket's path may have 107 bytes, and pytest's own directories are long.
    runtime = Path(tempfile.mkdtemp(dir="/tmp", prefix="os"))
    made = _project(tmp_path, runtime, shared_cache)
    try:
        yield made
        _take_down(made)
    finally:
        for left in made.processes():
            system.kill_now(left.pid)
        shutil.rmtree(runtime, ignore_errors=True)


def _project(tmp: Path, runtime: Path, cache: Path) -> ostler.Project:
    for name in ("project", "state", "home"):
        (tmp / name).mkdir()
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp / "home"),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SHOP_DB": str(tmp / "shop.sqlite3"),
        "OSTLER_STATE_DIR": str(tmp / "state"),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(tmp / "home/.config"),
        "XDG_CACHE_HOME": str(cache),
        ostler.TEST_ID: uuid.uuid4().hex,
    }
    return ostler.Project(tmp / "project", tmp / "state", tmp / "home", env)


def _take_down(project: ostler.Project) -> None:
    if not project.processes():
        return
    try:
        down = project.try_run("down", timeout=40)
    except subprocess.TimeoutExpired:
        pytest.fail(f"`ostler down` does not end; still there: {project.processes()}")
    # A config that was broken on purpose may make `down` complain, but nothing may stay.
    left = _after_goodbye(project)
    assert not left, f"left running after `ostler down`: {left}\n{down}"


def _after_goodbye(project: ostler.Project) -> list[system.Process]:
    """Returns what is still there after the moment that daemon and shims need to leave."""
    try:
        system.eventually(lambda: not project.processes(), "every process of the test is gone", timeout=10)
    except AssertionError:
        return project.processes()
    return []


@pytest.fixture
def connect(project: ostler.Project, tmp_path: Path) -> Iterator[Connect]:
    """Connects agents to the project: `connect()` as the installed client prefers, or with a protocol version."""
    apps.require_mcp()
    with ExitStack() as open_connections:

        def open_connection(*args: str, protocol: str | None = None) -> agent.Agent:
            chosen = protocol or agent.protocols()[0]
            opening = agent.connected(project, chosen, *args, errlog=tmp_path / "mcp-stderr.log")
            return open_connections.enter_context(opening)

        yield open_connection


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds what daemon and `ostler mcp` wrote for people to the report of a failure."""
    report = yield
    tmp = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and tmp:
        for log in sorted([*tmp.rglob("*.log"), *tmp.glob("*stderr*")]):
            if "node_modules" not in log.parts and log.is_file():
                report.sections.append((str(log.name), log.read_text(errors="replace")[-4000:]))
    return report


def pytest_report_header() -> str:
    generation = agent.client_generation()
    client = f"mcp {generation}.x, protocols {agent.protocols()}" if generation else "no mcp package"
    return f"ostler: {os.environ.get('OSTLER_BIN', 'target/debug/ostler')}; client: {client}"
