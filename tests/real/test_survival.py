"""The daemon dies as badly as it can; children, their output and their exit codes do not go with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import ostler
import system


@dataclass
class Counting:
    """A project with a child that counts until told to stop and then exits with 7."""

    project: ostler.Project
    progress: Path
    stop: Path

    def count(self) -> int:
        return int(self.progress.read_text() or 0) if self.progress.exists() else 0

    def let_it_count(self, more: int) -> None:
        """Returns once the child has printed `more` lines from here on."""
        goal = self.count() + more
        system.eventually(lambda: self.count() >= goal, f"the child counts up to {goal}")

    def check_every_number_is_stored_once(self) -> None:
        last = f"line {self.count()}"
        system.eventually(lambda: last in self.project.texts("counter", last=5), f"`{last}` is stored")
        assert self.project.texts("counter") == [f"line {number}" for number in range(1, self.count() + 1)]


@pytest.fixture
def counting(project: ostler.Project, tmp_path: Path) -> Counting:
    progress, stop = tmp_path / "progress", tmp_path / "stop"
    project.configure(counter=ostler.child("counter.py", progress, stop, 7))
    project.run("up", "-d")
    counting = Counting(project, progress, stop)
    counting.let_it_count(100)
    return counting


def test_a_child_lives_on_through_dead_daemons_and_no_line_is_lost_or_doubled(counting: Counting) -> None:
    project = counting.project
    before = project.ps()["counter"]
    for _ in range(3):
        project.kill_daemon()
        assert system.is_alive(before["pid"])
        counting.let_it_count(500)
        after = project.ps()["counter"]
        assert (after["pid"], after["run"]) == (before["pid"], before["run"])
        assert after["state"] in ostler.UP
        counting.let_it_count(100)

    counting.stop.touch()
    entry = project.wait_state("counter", {"exited", "failed"})
    assert entry["exit"] == {"code": 7, "signal": None}
    counting.check_every_number_is_stored_once()


def test_an_exit_without_a_daemon_is_known_afterwards(counting: Counting) -> None:
    project = counting.project
    before = project.ps()["counter"]
    project.kill_daemon()
    counting.let_it_count(200)
    counting.stop.touch()
    system.eventually(lambda: not system.is_alive(before["pid"]), "the child has left")
    assert not project.daemons()

    entry = project.wait_state("counter", {"exited", "failed"})
    assert entry["exit"] == {"code": 7, "signal": None}
    assert entry["run"] == before["run"]
    counting.check_every_number_is_stored_once()


def test_a_child_killed_without_a_daemon_is_told_by_its_signal(counting: Counting) -> None:
    project = counting.project
    pid = project.ps()["counter"]["pid"]
    project.kill_daemon()
    system.kill_now(pid)
    entry = project.wait_state("counter", {"exited", "failed"})
    assert entry["exit"] == {"code": None, "signal": 9}
    counting.check_every_number_is_stored_once()


def test_the_next_daemon_can_stop_what_the_last_one_started(counting: Counting) -> None:
    project = counting.project
    pid = project.ps()["counter"]["pid"]
    project.kill_daemon()
    project.run("stop", "counter")
    assert not system.is_alive(pid)
    assert project.ps()["counter"]["state"] == "stopped"


def test_input_reaches_a_child_that_changed_daemons(project: ostler.Project) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    project.run("up", "-d")
    project.wait_text("^speaking$")
    project.kill_daemon()
    project.run("send", "speaker", "are you there")
    project.wait_text("^heard: are you there$")
    assert len(project.texts("--grep", "^speaking$")) == 1


def test_a_second_daemon_says_that_there_is_one_and_leaves(counting: Counting) -> None:
    project = counting.project
    first = project.daemon()
    refused = project.fail("daemon", timeout=15)
    assert "already" in refused.output and str(first) in refused.output, refused
    assert project.daemons() == [first]
    assert project.ps()["counter"]["state"] in ostler.UP


def test_many_callers_at_once_get_one_daemon(project: ostler.Project) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    with ThreadPoolExecutor(max_workers=8) as pool:
        results = list(pool.map(lambda _: project.try_run("start", "speaker"), range(8)))
    assert [result.code for result in results] == [0] * 8, "\n".join(map(str, results))
    project.daemon()
    speakers = [p for p in project.processes() if any(part.endswith("speaker.py") for part in p.argv)]
    assert len([p for p in speakers if p.program.startswith("python")]) == 1, speakers


def test_two_directories_are_two_projects(project: ostler.Project, tmp_path: Path) -> None:
    """One in a subdirectory of the other, sharing state and runtime directories, as worktrees of one user do."""
    project.configure(speaker=ostler.child("speaker.py"))
    other = ostler.Project(project.root / "other", project.state, project.home, project.env)
    other.root.mkdir()
    other.configure(speaker=ostler.child("speaker.py"))
    env = {key: value for key, value in project.env.items() if key != "OSTLER_STATE_DIR"}
    env["XDG_STATE_HOME"] = str(tmp_path / "state")
    project.env = other.env = env

    project.run("up", "-d")
    other.run("up", "-d")
    try:
        mine, theirs = project.wait_state("speaker", ostler.UP), other.wait_state("speaker", ostler.UP)
        assert mine["pid"] != theirs["pid"]
        other.run("stop", "speaker")
        assert system.is_alive(mine["pid"])
        assert project.ps()["speaker"]["state"] in ostler.UP
    finally:
        other.run("down")


def test_down_reaches_children_of_a_dead_daemon(counting: Counting) -> None:
    project = counting.project
    pid = project.ps()["counter"]["pid"]
    project.kill_daemon()
    project.run("down")
    assert not system.is_alive(pid)
    system.eventually(lambda: not project.processes(), "shims and daemon have left", timeout=10)


def test_an_old_socket_is_no_obstacle(counting: Counting) -> None:
    project = counting.project
    project.kill_daemon()
    sockets = [path for path in Path(project.env["XDG_RUNTIME_DIR"]).rglob("*") if path.is_socket()]
    assert sockets, "the dead daemon's socket is still there"
    assert project.ps()["counter"]["state"] in ostler.UP
