"""Children that do what children should not."""

from __future__ import annotations

import os
import time
from pathlib import Path

import ostler
import system
from conftest import Connect

SHORT_GRACE = {"signal": "SIGTERM", "grace": "300ms"}


def test_one_that_ignores_sigterm_is_killed_after_the_grace(project: ostler.Project) -> None:
    project.configure(rock=ostler.child("term_ignorer.py", stop=SHORT_GRACE))
    project.run("up", "-d")
    project.wait_text("^here to stay$")
    pid = project.ps()["rock"]["pid"]
    started = time.monotonic()
    project.run("stop", "rock")
    assert time.monotonic() - started >= 0.3, "it was not given its grace"
    assert not system.is_alive(pid)
    entry = project.ps()["rock"]
    assert (entry["state"], entry["exit"]) == ("stopped", {"code": None, "signal": 9})
    assert "no" in project.texts("rock"), "SIGTERM came first"


def test_one_that_left_the_session_goes_with_the_rest(project: ostler.Project, tmp_path: Path) -> None:
    pidfile = tmp_path / "escapee"
    project.configure(jailer=ostler.child("escapee.py", pidfile, stop=SHORT_GRACE))
    project.run("up", "-d")
    project.wait_text("^let one go$")
    system.eventually(pidfile.exists, "the grandchild has left")
    escapee = int(pidfile.read_text())
    assert os.getsid(escapee) != os.getsid(project.ps()["jailer"]["pid"])
    project.run("stop", "jailer")
    assert not system.is_alive(escapee)


def test_one_that_closes_its_output_is_still_running(project: ostler.Project, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    project.configure(quiet=ostler.child("closer.py", closed))
    project.run("up", "-d")
    system.eventually(closed.exists, "the output is closed")
    project.wait_text("^last words$")
    entry = project.ps()["quiet"]
    assert entry["state"] in ostler.UP and entry["exit"] is None and system.is_alive(entry["pid"])
    project.kill_daemon()
    assert project.ps()["quiet"]["pid"] == entry["pid"]
    project.run("stop", "quiet")
    assert not system.is_alive(entry["pid"])


def test_one_that_forks_and_exits_leaves_nothing_behind_a_stop(project: ostler.Project, tmp_path: Path) -> None:
    pidfile = tmp_path / "forked"
    project.configure(forker=ostler.child("forker.py", pidfile, stop=SHORT_GRACE))
    project.run("up", "-d")
    system.eventually(pidfile.exists, "the child of the child runs")
    system.eventually(lambda: project.ps()["forker"]["pid"] is None, "the child itself has ended")
    project.run("stop", "forker")
    assert not system.is_alive(int(pidfile.read_text()))
    entry = project.ps()["forker"]
    assert entry["state"] in ostler.OVER
    assert entry["exit"] == {"code": 0, "signal": None}, "its own exit is not lost"


def test_a_line_of_20_mib_arrives_whole_in_pieces(project: ostler.Project) -> None:
    project.configure(odd=ostler.child("odd_bytes.py", "long"))
    project.run("up", "-d")
    project.wait_text("^after$", last=5, timeout=60)
    texts = project.texts("odd")
    assert (texts[0], texts[-1]) == ("before", "after")
    pieces = [text for text in texts if text.startswith("x")]
    assert max(map(len, pieces)) <= ostler.LINE_BYTES
    assert sum(map(len, pieces)) == 20 * ostler.LINE_BYTES
    assert set("".join(pieces)) == {"x"}


def test_binary_output_does_no_harm_to_what_is_around_it(project: ostler.Project) -> None:
    project.configure(odd=ostler.child("odd_bytes.py", "binary"))
    project.run("up", "-d")
    project.wait_text("^after$")
    texts = project.texts("odd")
    assert texts[0] == "before"
    assert texts[-2:] == ["whole: grüße ☃", "after"]
    assert "cut \ufffd" in texts
    assert any(text.startswith("nul") and text.endswith("between") for text in texts)
    for_people = project.run("logs", "odd").stdout
    assert "\x1b" not in for_people and "\0" not in for_people


def test_a_prompt_without_newline_is_seen(project: ostler.Project) -> None:
    project.configure(odd=ostler.child("odd_bytes.py", "prompt"))
    project.run("up", "-d")
    project.wait_text(r"^password\? $|^password\?$", timeout=10)
    [prompt] = [line for line in project.logs("odd") if line["text"].startswith("password?")]
    assert prompt["partial"] is True


def test_output_that_never_has_a_newline_is_stored_and_bounded(project: ostler.Project) -> None:
    project.configure(odd=ostler.child("odd_bytes.py", "stream"))
    project.run("up", "-d")
    size = 3 << 20

    def taken_in() -> bool:
        return sum(len(text) for text in project.texts("odd") if text.startswith("y")) == size

    system.eventually(taken_in, "all of it is stored", timeout=30)
    assert max(len(text) for text in project.texts("odd")) <= ostler.LINE_BYTES


def test_an_agent_is_not_hurt_by_any_of_it(project: ostler.Project, connect: Connect) -> None:
    kinds = {"long": "^after$", "binary": "^after$", "stream": "y"}
    project.configure(**{kind: ostler.child("odd_bytes.py", kind) for kind in kinds})
    agent = connect()
    for kind, pattern in kinds.items():
        agent.call("start_process", name=kind).ok()
        agent.reach(kind, "log", pattern=pattern)
        assert ostler.log_lines(agent.logs(kind)), kind
        agent.call("diagnose_process", name=kind)


def test_a_flood_does_not_starve_its_neighbour(project: ostler.Project) -> None:
    project.configure(
        flood=ostler.child("flood.py", 2_000_000),
        speaker=ostler.child("speaker.py"),
    )
    project.run("up", "-d")
    project.wait_text("^speaking$", "speaker")
    project.run("send", "speaker", "still there?")
    project.wait_text("^heard: still there", "speaker", timeout=10)
    project.wait_text("^flooded$", "flood", last=5, timeout=120)
