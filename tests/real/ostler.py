"""Everything the tests assume about Ostler's surfaces: where the binaries are, arguments, field names, states.

A change of the interface is a change here, and nowhere else in the tests.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import system

WORKSPACE = Path(__file__).resolve().parents[2]
TEST_ID = "OSTLER_TEST_ID"

# ---- words ----

CORE_TOOLS = {
    "list_processes",
    "start_process",
    "stop_process",
    "restart_process",
    "get_logs",
    "get_errors",
    "wait_for",
    "send_input",
    "add_process",
    "diagnose_process",
}
STATES = {"stopped", "starting", "running", "ready", "unhealthy", "stopping", "backoff", "failed", "exited"}
UP = {"running", "ready"}
OVER = {"stopped", "failed", "exited"}
PS_FIELDS = {"name", "state", "pid", "run", "ready", "uptime_ms", "restarts", "exit", "ports"}
LINE_FIELDS = {"seq", "time", "process", "run", "stream", "level", "text"}
# Present only on pieces of a line whose end had not been seen.
LINE_OPTIONAL_FIELDS = {"partial"}
LEVELS = {"unknown", "trace", "debug", "info", "warn", "error", "fatal"}

LINE_BYTES = 1 << 20
# A reply is bounded in tokens; at three to four characters each, this is far past any bound that would deserve it.
REPLY_CHARS = 25_000

NO_RESTART = {"policy": "never"}
USER_PLUGINS = "ostler/plugins"


# ---- binaries ----


def binary() -> Path:
    """Returns the `ostler` under test, or fails saying where it was looked for."""
    path = Path(os.environ.get("OSTLER_BIN", WORKSPACE / "target/debug/ostler")).resolve()
    for program in (path, path.with_name("ostler-shim")):
        if not os.access(program, os.X_OK):
            raise AssertionError(f"{program} is not there: run `cargo build`, or point OSTLER_BIN at a built `ostler`")
    return path


# ---- config ----


def toml_value(value: Any) -> str:
    """Writes a value as TOML; JSON's strings, numbers and booleans are valid TOML already."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, (bool, int, float, str)):
        return json.dumps(value, ensure_ascii=False)
    raise TypeError(f"no TOML for {value!r}")


def process(argv: list[str], **keys: Any) -> dict[str, Any]:
    """Describes a process that is not started again when it ends, unless `keys` say otherwise."""
    return {"command": shlex.join(argv), "restart": NO_RESTART, **keys}


CHILDREN = Path(__file__).resolve().parent / "children"


def child(script: str, *arguments: object, **keys: Any) -> dict[str, Any]:
    """Describes a process that runs one of the scripts in `children/`, unbuffered."""
    return process([sys.executable, "-u", str(CHILDREN / script), *map(str, arguments)], **keys)


def config_text(processes: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the text of an `ostler.toml` with these processes."""
    parts = ['[project]\nname = "tests"\n']
    for name, keys in processes.items():
        lines = [f"{key} = {toml_value(value)}" for key, value in keys.items()]
        parts.append("\n".join([f"[process.{json.dumps(name)}]", *lines, ""]))
    return "\n".join(parts)


# ---- the command line ----


@dataclass(frozen=True)
class Result:
    """What one run of the command line left behind."""

    argv: list[str]
    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def json(self) -> Any:
        return json.loads(self.stdout)

    def json_lines(self) -> list[dict[str, Any]]:
        # Not `splitlines`: a line of log may hold a form feed or a U+2028, which JSON leaves as they are.
        return [json.loads(line) for line in self.stdout.split("\n") if line]

    def __str__(self) -> str:
        return f"$ {shlex.join(self.argv)}\nexit code {self.code}\n{self.stdout}\n--- stderr\n{self.stderr}"


@dataclass
class Project:
    """A project directory of one test, with state, sockets and configuration of its own."""

    root: Path
    state: Path
    home: Path
    env: dict[str, str] = field(repr=False)

    @property
    def test_id(self) -> str:
        return self.env[TEST_ID]

    def configure(self, **processes: Mapping[str, Any]) -> None:
        self.write("ostler.toml", config_text(processes))

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def command(self, *args: object) -> list[str]:
        return [str(binary()), *map(str, args)]

    def try_run(
        self, *args: object, cwd: Path | None = None, timeout: float = 60.0, env: Mapping[str, str] | None = None
    ) -> Result:
        """Runs `ostler ARGS` to its end with standard input closed, whatever its exit code."""
        argv = self.command(*args)
        done = subprocess.run(
            argv,
            cwd=cwd or self.root,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Result(argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def run(self, *args: object, **how: Any) -> Result:
        """Runs `ostler ARGS`, which must succeed."""
        result = self.try_run(*args, **how)
        assert result.code == 0, result
        return result

    def fail(self, *args: object, **how: Any) -> Result:
        """Runs `ostler ARGS`, which must fail by itself, not by a signal, and say something."""
        result = self.try_run(*args, **how)
        assert result.code > 0, f"expected a failure\n{result}"
        assert result.output.strip(), f"failed without a word\n{result}"
        assert "panicked at" not in result.output, result
        return result

    # -- reading --

    def ps(self) -> dict[str, dict[str, Any]]:
        """Returns `ps --json` by name."""
        entries = self.run("ps", "--json").json()
        assert isinstance(entries, list), entries
        return {entry["name"]: entry for entry in entries}

    def logs(self, *args: object, last: int = 100_000, **how: Any) -> list[dict[str, Any]]:
        """Returns `logs --json ARGS`, by default everything that one query gives."""
        return self.run("logs", *args, "--json", "-n", last, **how).json_lines()

    def texts(self, *args: object, last: int = 100_000) -> list[str]:
        """Returns the texts of what the children themselves wrote."""
        return [line["text"] for line in self.logs(*args, last=last) if line["stream"] != "ostler"]

    def cursor(self, name: str) -> str:
        """Returns what `logs --since` takes to go on behind everything stored so far."""
        return str(self.run("diagnose", name, "--json").json()["cursor"])

    def plugins(self) -> dict[str, Plugin]:
        """Returns `plugin list --json` by the name of the file; what is built in has none and goes by its own."""
        entries = self.run("plugin", "list", "--json").json()
        assert isinstance(entries, list), entries
        found = [Plugin.read(entry) for entry in entries]
        return {plugin.key: plugin for plugin in found}

    # -- waiting --

    def wait_state(self, name: str, states: set[str], timeout: float = 20.0) -> dict[str, Any]:
        """Waits until `name` is in one of `states` and returns its `ps` entry."""
        assert states <= STATES, states - STATES

        def entry_if_there() -> dict[str, Any] | None:
            entry = self.ps()[name]
            return entry if entry["state"] in states else None

        return system.eventually(entry_if_there, f"{name} is one of {sorted(states)}", timeout)

    def wait_text(self, pattern: str, *args: object, last: int = 1000, timeout: float = 20.0) -> str:
        """Waits until one of the newest `last` lines matches and returns its text."""

        def matching() -> str | None:
            return next((text for text in self.texts(*args, last=last) if re.search(pattern, text)), None)

        return system.eventually(matching, f"a line that matches {pattern!r} is stored", timeout)

    # -- processes of the test --

    def processes(self) -> list[system.Process]:
        return system.processes_marked(TEST_ID, self.test_id)

    def daemons(self) -> list[int]:
        """Returns the pids of this project's daemons."""
        return [p.pid for p in self.processes() if p.program == "ostler" and "daemon" in p.argv[1:]]

    def daemon(self) -> int:
        """Returns the one daemon; another that found itself to be the second may need a moment to leave."""
        system.eventually(lambda: len(self.daemons()) == 1, f"there is one daemon among {self.processes()}", timeout=5)
        [daemon] = self.daemons()
        return daemon

    def kill_daemon(self) -> None:
        system.kill_now(self.daemon())


@dataclass(frozen=True)
class Plugin:
    """One entry of `plugin list --json`."""

    key: str
    loaded: bool
    reason: str

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Plugin:
        file = entry["path"]
        return cls(
            key=Path(file).name if file else entry["name"],
            loaded=entry["state"] == "loaded",
            reason=entry.get("reason") or "",
        )


# ---- arguments of tools ----


def logs_arguments(
    name: str | None = None,
    *,
    level: str | None = None,
    cursor: str | None = None,
    grep: str | None = None,
    limit: int | None = None,
    full: bool | None = None,
) -> dict[str, Any]:
    given = {"name": name, "level": level, "since": cursor, "grep": grep, "limit": limit, "full": full}
    return {key: value for key, value in given.items() if value is not None}


def wait_arguments(name: str, until: str, *, pattern: str | None = None, timeout: int = 30) -> dict[str, Any]:
    """`until` is `ready`, `exit` or `log`; the last needs a pattern. The timeout is in seconds."""
    arguments: dict[str, Any] = {"name": name, "until": until, "timeout_seconds": timeout}
    if pattern is not None:
        arguments["pattern"] = pattern
    return arguments


def input_arguments(name: str, line: str) -> dict[str, Any]:
    """The end of the line is added by the tool."""
    return {"name": name, "text": line}


# ---- what tools answer ----


@dataclass(frozen=True)
class Shown:
    """A line as an agent reads it: `[TIME ][LEVEL][ PROCESS][ run N]| TEXT[ (×TIMES)]`."""

    level: str
    text: str

    @classmethod
    def read(cls, line: str) -> Shown:
        head, bar, text = line.partition("| ")
        assert bar, f"not a line of log: {line!r}"
        words = [word for word in head.split() if word in LEVELS or word == "ostler"]
        return cls(words[0] if words else "unknown", re.sub(r" \(×[\d,]+\)$", "", text))


def log_lines(data: Mapping[str, Any]) -> list[Shown]:
    """Returns the lines of a `get_logs` reply, without the remarks that lines were left out."""
    return [Shown.read(line) for line in data["lines"] if not line.startswith("… ")]


def log_texts(data: Mapping[str, Any]) -> list[str]:
    return [line.text for line in log_lines(data)]


def log_cursor(data: Mapping[str, Any]) -> str:
    cursor = data["next_cursor"]
    assert isinstance(cursor, str) and cursor, f"a cursor is an opaque text: {cursor!r}"
    return cursor


def wait_outcome(data: Mapping[str, Any]) -> str:
    """Returns `met`, `timed-out`, or `impossible` when the process ended first."""
    return str(data["outcome"])


def listed(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the processes of a `list_processes` reply by name."""
    return {entry["name"]: entry for entry in data["processes"]}


def run_of(data: Mapping[str, Any]) -> int:
    """Returns the run a `start_process` or `restart_process` reply speaks of."""
    return int(data["process"]["run"])
