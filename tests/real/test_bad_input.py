"""Configs and plugins that are wrong: the place and the remedy are named, nothing starts, all else runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import ostler
import system
from conftest import Connect


def _config(tail: str, marker: Path) -> str:
    """Returns a good config with two processes that would leave a file, and `tail` behind it."""
    good = ostler.config_text({"db": ostler.child("touch.py", marker), "api": ostler.child("touch.py", marker)})
    return good + tail


# Each: what is wrong, written at the end of a good config; the text the error points at; words it must hold.
MISTAKES = {
    "unknown_key": ('[process.web]\ncomand = "true"\n', "comand", ["comand", "command"]),
    "unknown_table": ('[proces.web]\ncommand = "true"\n', "proces.web", ["proces", "process"]),
    "wrong_type": ("[process.web]\ncommand = 5\n", "5", ["command", "string"]),
    "wrong_inner_type": (
        '[process.web]\ncommand = "true"\nstop = { grace = true }\n',
        "true }",
        ["grace"],
    ),
    "unknown_policy": (
        '[process.web]\ncommand = "true"\nrestart = { policy = "on-fialure" }\n',
        '"on-fialure"',
        ["on-fialure", "on-failure"],
    ),
    "bad_duration": (
        '[process.web]\ncommand = "true"\nstop = { grace = "10 parsecs" }\n',
        '"10 parsecs"',
        ["10 parsecs"],
    ),
    "bad_signal": (
        '[process.web]\ncommand = "true"\nstop = { signal = "SIGTREM" }\n',
        '"SIGTREM"',
        ["SIGTREM", "SIGTERM"],
    ),
    "unknown_dependency": (
        '[process.web]\ncommand = "true"\ndepends_on = { dbb = "ready" }\n',
        "dbb",
        ["dbb", "db"],
    ),
    "duplicate_name": ('[process.api]\ncommand = "true"\n', "api", ["api", "twice"]),
    "bad_name": ('[process."../api"]\ncommand = "true"\n', '"../api"', ["../api"]),
    "missing_command": ('[process.web]\ncwd = "."\n', "web", ["command"]),
    "not_toml": ("[process.web\n", "", []),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_config_is_named_with_its_place_and_nothing_starts(
    project: ostler.Project, tmp_path: Path, mistake: str
) -> None:
    tail, pointed_at, words = MISTAKES[mistake]
    marker = tmp_path / "started"
    text = _config(tail, marker)
    project.write("ostler.toml", text)

    for command in (["up", "-d"], ["start", "api"]):
        told = project.fail(*command).output
        assert f"ostler.toml:{_place(text, tail, pointed_at)}" in told, told
        for word in words:
            assert word.lower() in told.lower(), f"{word!r} is missing in: {told}"
    assert not marker.exists()
    children = [p for p in project.processes() if "touch.py" in " ".join(p.argv)]
    assert not children


def _place(text: str, tail: str, pointed_at: str) -> str:
    """Returns line and column, counted from 1, of the last place of `pointed_at`; only the line where it is empty."""
    if not pointed_at:
        return f"{text[: text.rindex(tail)].count(chr(10)) + 1}:"
    offset = text.rindex(tail) + tail.rindex(pointed_at)
    before = text[:offset]
    return f"{before.count(chr(10)) + 1}:{offset - before.rfind(chr(10))}"


def test_a_cycle_of_dependencies_is_told_as_the_way_around(project: ostler.Project, tmp_path: Path) -> None:
    marker = tmp_path / "started"
    project.configure(
        a=ostler.child("touch.py", marker, depends_on={"b": "ready"}),
        b=ostler.child("touch.py", marker, depends_on={"a": "ready"}),
    )
    told = project.fail("up", "-d").output
    assert "a" in told and "b" in told and "cycle" in told.lower(), told
    assert not marker.exists()


def test_an_agent_is_told_the_same_about_a_config(project: ostler.Project, connect: Connect, tmp_path: Path) -> None:
    project.write("ostler.toml", '[process.web]\ncomand = "true"\n')
    try:
        told = connect().call("start_process", name="web").error()
    except Exception:
        # A server that does not even start has its standard error shown by the agent's program.
        told = (tmp_path / "mcp-stderr.log").read_text()
    assert "ostler.toml:2:1" in told and "`command`" in told, told


def test_a_mistake_does_not_touch_what_already_runs(project: ostler.Project) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    project.run("up", "-d")
    pid = project.wait_state("speaker", ostler.UP)["pid"]
    good = (project.root / "ostler.toml").read_text()
    project.write("ostler.toml", good + "[process.web]\ncomand = 1\n")
    project.kill_daemon()
    assert "ostler.toml:" in project.fail("up", "-d").output
    assert system.is_alive(pid)
    project.write("ostler.toml", good)
    assert project.ps()["speaker"]["pid"] == pid


# ---- plugins ----

CORE_MODULE = b"\0asm\x01\0\0\0"
COMPONENT = b"\0asm\x0d\0\x01\0"
OVERSIZE = 1 << 30


def _importing(name: bytes) -> bytes:
    """Returns a component that imports an empty instance called `name` and does nothing else."""
    types = b"\x01\x42\x00"
    imports = b"\x01\x00" + bytes([len(name)]) + name + b"\x05\x00"
    return COMPONENT + b"\x07" + bytes([len(types)]) + types + b"\x0a" + bytes([len(imports)]) + imports


def _half_of_the_default_classifier() -> bytes:
    whole = (ostler.WORKSPACE / "plugins/prebuilt/regex-classifier.wasm").read_bytes()
    return whole[: len(whole) // 2]


def _oversized(path: Path) -> None:
    """Makes a file that claims to be large without taking the space."""
    path.write_bytes(COMPONENT)
    with path.open("r+b") as file:
        file.truncate(OVERSIZE)


BAD_PLUGINS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "text.wasm": (lambda path: path.write_text("I am a plugin, honestly.\n"), ["not WebAssembly"]),
    "empty.wasm": (lambda path: path.write_bytes(b""), ["empty"]),
    "core.wasm": (lambda path: path.write_bytes(CORE_MODULE), ["core module"]),
    "half.wasm": (lambda path: path.write_bytes(_half_of_the_default_classifier()), ["truncated"]),
    "truncated.wasm": (lambda path: path.write_bytes(_importing(b"wasi:cli/environment@0.2.0")[:-4]), ["truncated"]),
    "other_world.wasm": (lambda path: path.write_bytes(COMPONENT), ["world"]),
    "greedy.wasm": (
        lambda path: path.write_bytes(_importing(b"wasi:filesystem/types@0.2.0")),
        ["wasi:filesystem/types"],
    ),
    "oversized.wasm": (_oversized, [str(OVERSIZE)]),
    "directory.wasm": (lambda path: path.mkdir(), ["not a regular file"]),
    # Opening it would wait for a writer that never comes.
    "pipe.wasm": (os.mkfifo, ["not a regular file"]),
    "dangling.wasm": (lambda path: path.symlink_to("nowhere"), []),
}


def test_bad_plugins_are_refused_with_a_reason_and_all_else_runs(project: ostler.Project, connect: Connect) -> None:
    folder = project.root / ".ostler/plugins"
    folder.mkdir(parents=True)
    for name, (make, _) in BAD_PLUGINS.items():
        make(folder / name)
    project.configure(speaker=ostler.child("speaker.py"))
    project.run("up", "-d")
    project.wait_text("^speaking$")
    errors = project.texts("--level", "error")
    assert "ERROR: the till is stuck" in errors, "the default classifier still works"

    plugins = project.plugins()
    for name, (_, words) in BAD_PLUGINS.items():
        assert not plugins[name].loaded, name
        assert plugins[name].reason, name
        for word in words:
            assert word in plugins[name].reason, f"{name}: {plugins[name].reason}"
    assert [plugin.key for plugin in plugins.values() if plugin.loaded], "the built-in classifier is listed"
    listed = project.run("plugin", "list").stdout
    assert "greedy.wasm" in listed and "wasi:filesystem/types" in listed


def test_plugins_of_the_user_are_looked_at_too(project: ostler.Project) -> None:
    folder = Path(project.env["XDG_CONFIG_HOME"]) / ostler.USER_PLUGINS
    folder.mkdir(parents=True)
    (folder / "mine.wasm").write_bytes(CORE_MODULE)
    project.configure(speaker=ostler.child("speaker.py"))
    assert "core module" in project.plugins()["mine.wasm"].reason
