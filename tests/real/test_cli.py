"""The main job from a terminal: what a person types, and what scripts read."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

import apps
import ostler
import system


@pytest.fixture
def speaking(project: ostler.Project) -> ostler.Project:
    """A project whose speaker has said all its lines and waits for input."""
    project.configure(speaker=ostler.child("speaker.py"))
    project.run("up", "-d")
    project.wait_text("^speaking$")
    return project


# ---- a real project from nothing ----


def test_init_finds_django_and_what_it_proposes_works(project: ostler.Project) -> None:
    apps.copy_django(project)
    apps.migrate(project)
    before = system.tree(project.root)
    project.run("init")
    assert set(system.tree(project.root)) - set(before) == {"ostler.toml"}
    proposed = (project.root / "ostler.toml").read_text()
    assert "manage.py runserver 8000" in proposed, proposed
    # Django's usual port may be held by another program of this machine.
    port = system.free_port()
    project.write("ostler.toml", proposed.replace("8000", str(port)))

    project.run("up", "-d")
    [name] = project.ps()
    project.run("wait", name, "--ready", timeout=60)
    assert system.http_get(f"http://127.0.0.1:{port}/") == (200, "the shop is open\n")
    assert port in project.ps()[name]["ports"]
    project.run("down")
    assert system.port_is_free(port)


def test_init_does_not_overwrite_a_config(project: ostler.Project) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    before = system.tree(project.root)
    assert "ostler.toml" in project.fail("init").output
    assert system.tree(project.root) == before


# ---- ps ----


def test_ps_json_has_the_documented_fields_through_a_life(project: ostler.Project) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    entry = project.ps()["speaker"]
    assert set(entry) == ostler.PS_FIELDS
    assert (entry["state"], entry["pid"], entry["exit"], entry["ready"]) == ("stopped", None, None, False)

    project.run("start", "speaker")
    entry = project.wait_state("speaker", ostler.UP)
    assert set(entry) == ostler.PS_FIELDS
    assert system.is_alive(entry["pid"])
    assert isinstance(entry["run"], int) and isinstance(entry["uptime_ms"], int)
    assert (entry["restarts"], entry["exit"], entry["ports"]) == (0, None, [])

    project.run("send", "speaker", "exit 5")
    entry = project.wait_state("speaker", {"exited", "failed"})
    assert entry["exit"] == {"code": 5, "signal": None}
    assert entry["pid"] is None


def test_an_exit_by_signal_is_told_by_its_number(speaking: ostler.Project) -> None:
    os.kill(speaking.ps()["speaker"]["pid"], signal.SIGKILL)
    entry = speaking.wait_state("speaker", {"exited", "failed"})
    assert entry["exit"] == {"code": None, "signal": 9}
    assert "SIGKILL" in speaking.run("diagnose", "speaker").stdout


def test_listening_ports_are_listed(project: ostler.Project) -> None:
    port = system.free_port()
    project.configure(server=ostler.process(["python", "-m", "http.server", str(port), "--bind", "127.0.0.1"]))
    project.run("up", "-d")
    system.eventually(lambda: project.ps()["server"]["ports"] == [port], "the port is listed")


# ---- logs ----


def test_logs_json_has_the_documented_fields(speaking: ostler.Project) -> None:
    lines = speaking.logs("speaker")
    for line in lines:
        assert ostler.LINE_FIELDS <= set(line) <= ostler.LINE_FIELDS | ostler.LINE_OPTIONAL_FIELDS
        assert line["process"] == "speaker"
        assert line["level"] in ostler.LEVELS
        assert line["stream"] in {"ostler", "stdout", "stderr"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    seqs = [line["seq"] for line in lines]
    assert seqs == sorted(set(seqs))
    said = {line["text"]: line["level"] for line in lines if line["stream"] == "stdout"}
    assert said["DEBUG: the shelves are counted"] == "debug"
    assert said["INFO: no error so far, failed deliveries: 0"] == "info"
    assert said["WARNING: the milk is low"] == "warn"
    assert said["ERROR: the till is stuck"] == "error"
    assert said["ERROR: the door is red"] == "error"


def test_logs_can_be_narrowed(speaking: ostler.Project) -> None:
    assert [line["text"] for line in speaking.logs("speaker", last=1)] == ["speaking"]
    assert speaking.texts("--level", "error") == ["ERROR: the till is stuck", "ERROR: the door is red"]
    assert "WARNING: the milk is low" in speaking.texts("--level", "warn")
    assert speaking.texts("--grep", r"the (milk|door)") == ["WARNING: the milk is low", "ERROR: the door is red"]
    assert speaking.texts("speaker", "--since", "10m") == speaking.texts("speaker")


def test_since_a_cursor_nothing_is_repeated_and_nothing_skipped(speaking: ostler.Project) -> None:
    since = ("--since", speaking.cursor("speaker"))
    assert speaking.texts("speaker", *since) == []
    speaking.run("send", "speaker", "one")
    speaking.run("send", "speaker", "two")
    speaking.wait_text("^heard: two$")
    assert speaking.texts("speaker", *since) == ["heard: one", "heard: two"]


def test_logs_follow_and_end_with_ctrl_c(speaking: ostler.Project) -> None:
    with subprocess.Popen(
        speaking.command("logs", "-f", "-n", 1, "speaker"),
        cwd=speaking.root,
        env=speaking.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as follower:
        assert follower.stdout
        reader = system.LineReader(follower.stdout)
        try:
            assert "speaking" in reader.until("speaking")[0]
            for word in ("un", "deux", "trois"):
                speaking.run("send", "speaker", word)
                assert len(reader.until(f"heard: {word}")) == 1
            follower.send_signal(signal.SIGINT)
            assert follower.wait(timeout=10) in (0, 130, -signal.SIGINT)
        finally:
            follower.kill()
    assert speaking.ps()["speaker"]["state"] in ostler.UP, "following is only looking"


# ---- colours ----


def test_pipes_get_no_escape_codes(speaking: ostler.Project) -> None:
    for command in (["logs"], ["ps"], ["diagnose", "speaker"], ["--help"]):
        assert "\x1b" not in speaking.run(*command).output, command


def test_terminals_get_colours_unless_no_color_is_set(speaking: ostler.Project) -> None:
    assert "\x1b[" in _on_a_terminal(speaking, {"TERM": "xterm-256color"}, "logs", "--level", "error")
    plain = _on_a_terminal(speaking, {"TERM": "xterm-256color", "NO_COLOR": "1"}, "logs", "--level", "error")
    assert "the till is stuck" in plain
    assert "\x1b" not in plain


def _on_a_terminal(project: ostler.Project, env: dict[str, str], *args: str) -> str:
    """Returns what `ostler ARGS` writes when its output is a terminal."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        project.command(*args),
        cwd=project.root,
        env={**project.env, **env},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = b""
    deadline = time.monotonic() + 20
    try:
        while select.select([ours], [], [], max(0, deadline - time.monotonic()))[0]:
            try:
                output += os.read(ours, 65536)
            except OSError:  # The other side is closed: that is how a terminal ends.
                break
        assert command.wait(timeout=5) == 0, output
    finally:
        os.close(ours)
        command.kill()
        command.wait()
    return output.decode(errors="replace")


# ---- start, wait, restart, stop ----


def test_wait_ready_returns_when_it_is_and_fails_when_it_cannot_be(project: ostler.Project) -> None:
    ready = {"log": "^speaking$"}
    project.configure(
        speaker=ostler.child("speaker.py", ready=ready),
        broken=ostler.process(["python", "-c", "raise SystemExit('ERROR: no milk')"], ready=ready),
    )
    project.run("start", "speaker")
    project.run("wait", "speaker", "--ready")
    entry = project.ps()["speaker"]
    assert (entry["state"], entry["ready"]) == ("ready", True)

    project.try_run("start", "broken")
    failure = project.fail("wait", "broken", "--ready", timeout=30)
    assert "exit code 1" in failure.output and "no milk" in failure.output, failure


def test_a_missing_program_is_named_and_is_a_failed_start(project: ostler.Project) -> None:
    project.configure(
        ghost=ostler.process(["no-such-program-anywhere"]),
        lost=ostler.child("speaker.py", cwd="no/such/directory"),
    )
    assert "no-such-program-anywhere" in project.fail("start", "ghost").output
    assert "no/such/directory" in project.fail("start", "lost").output


def test_diagnose_tells_exit_and_last_errors(speaking: ostler.Project) -> None:
    speaking.run("send", "speaker", "exit 4")
    speaking.wait_state("speaker", {"exited", "failed"})
    assert "told to leave" in speaking.run("diagnose", "speaker", "--json").stdout
    speaking.run("diagnose", "speaker", "--json").json()
    for_people = speaking.run("diagnose", "speaker").stdout
    assert "exit code 4" in for_people and "ERROR: told to leave" in for_people, for_people


def test_restart_all_gives_every_process_a_new_run(project: ostler.Project) -> None:
    project.configure(a=ostler.child("speaker.py"), b=ostler.child("speaker.py"))
    project.run("up", "-d")
    before = {name: project.wait_state(name, ostler.UP) for name in ("a", "b")}
    project.run("restart", "--all")
    for name in ("a", "b"):
        after = project.wait_state(name, ostler.UP)
        assert after["run"] != before[name]["run"] and after["pid"] != before[name]["pid"]
        assert not system.is_alive(before[name]["pid"])


def test_a_failure_is_restarted_where_asked_for(project: ostler.Project, tmp_path: Path) -> None:
    policy = {"policy": "on-failure", "backoff": "50ms..100ms", "max": 100, "window": "60s"}
    project.configure(speaker=ostler.child("speaker.py", restart=policy))
    project.run("up", "-d")
    project.wait_text("^speaking$")
    first = project.ps()["speaker"]
    project.run("send", "speaker", "exit 1")

    def second_life() -> bool:
        entry = project.ps()["speaker"]
        return entry["state"] in ostler.UP and entry["run"] != first["run"] and entry["restarts"] == 1

    system.eventually(second_life, "the speaker is back")


def test_stop_leaves_the_others_alone(project: ostler.Project) -> None:
    project.configure(a=ostler.child("speaker.py"), b=ostler.child("speaker.py"))
    project.run("up", "-d")
    before = {name: project.wait_state(name, ostler.UP) for name in ("a", "b")}
    project.run("stop", "a")
    after = project.ps()
    assert after["a"]["state"] == "stopped" and not system.is_alive(before["a"]["pid"])
    assert after["b"]["pid"] == before["b"]["pid"] and system.is_alive(before["b"]["pid"])
    project.run("stop", "a")
    assert project.ps()["a"]["state"] == "stopped", "stopping what is stopped is success"


def test_up_in_the_foreground_shows_the_log_and_ctrl_c_takes_all_down(project: ostler.Project) -> None:
    project.configure(a=ostler.child("speaker.py"), b=ostler.child("speaker.py"))
    with subprocess.Popen(
        project.command("up"),
        cwd=project.root,
        env=project.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as up:
        assert up.stdout
        reader = system.LineReader(up.stdout)
        try:
            pids = [project.wait_state(name, ostler.UP)["pid"] for name in ("a", "b")]
            shown = [*reader.until(r"\ba\b.*speaking|\bb\b.*speaking"), *reader.until("speaking")]
            speaking = [line for line in shown if "speaking" in line]
            assert {name for line in speaking for name in re.findall(r"\b[ab]\b", line)} == {"a", "b"}, speaking
            os.killpg(up.pid, signal.SIGINT)
            assert up.wait(timeout=30) in (0, 130)
        finally:
            up.kill()
    assert not [pid for pid in pids if system.is_alive(pid)]


def test_down_takes_everything_down_and_may_be_repeated(speaking: ostler.Project) -> None:
    pid = speaking.ps()["speaker"]["pid"]
    speaking.run("down")
    assert not system.is_alive(pid)
    speaking.run("down")
    assert "speaking" in speaking.texts("speaker"), "the log outlives the processes"


# ---- where ----


def test_the_nearest_config_upwards_is_found_and_c_picks_another(project: ostler.Project, tmp_path: Path) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    deep = project.root / "some/where/below"
    deep.mkdir(parents=True)
    assert [entry["name"] for entry in project.run("ps", "--json", cwd=deep).json()] == ["speaker"]
    elsewhere = project.run("-C", str(project.root), "ps", "--json", cwd=tmp_path)
    assert [entry["name"] for entry in elsewhere.json()] == ["speaker"]
    assert "nowhere" in project.fail("-C", str(tmp_path / "nowhere"), "ps").output


def test_nothing_is_written_into_the_project(speaking: ostler.Project) -> None:
    before = system.tree(speaking.root)
    assert set(before) == {"ostler.toml"}
    speaking.run("restart", "speaker")
    speaking.run("stop", "speaker")
    assert system.tree(speaking.root) == before
    assert any(path.is_file() for path in speaking.state.rglob("*")), "state goes where OSTLER_STATE_DIR says"


def test_what_children_wrote_is_readable_by_their_owner_only(speaking: ostler.Project) -> None:
    readable = [path for path in speaking.state.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
    open_directories = {path.parent for path in readable if not _behind_a_closed_door(path, speaking.state)}
    assert not open_directories, f"others may read {readable}"


def _behind_a_closed_door(path: Path, root: Path) -> bool:
    """Returns whether a directory between `root` and the file keeps others out."""
    doors = [parent for parent in path.parents if parent == root or root in parent.parents]
    return any(not door.stat().st_mode & 0o077 for door in doors)


# ---- mistakes ----


def test_mistakes_fail_with_a_word_about_what_exists(speaking: ostler.Project) -> None:
    for command in (["start"], ["stop"], ["restart"], ["diagnose"], ["logs"], ["wait", "--ready"]):
        told = speaking.fail(*command, "spaeker").output
        assert "spaeker" in told and "speaker`" in told.replace("'", "`").replace('"', "`"), told
    assert "hello" not in speaking.fail("send", "spaeker", "hello").stdout
    assert "(unclosed" in speaking.fail("logs", "--grep", "(unclosed").output
    assert "loud" in speaking.fail("logs", "--level", "loud").output
    assert "never" in speaking.fail("logs", "--since", "never").output


def test_usage_errors_have_a_code_of_their_own(project: ostler.Project) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    usage = project.fail("no-such-command").code
    assert usage == project.fail("ps", "--no-such-flag").code == 2
    assert project.fail("start", "nobody").code != usage


def test_a_directory_without_config_is_told_what_to_do(project: ostler.Project) -> None:
    told = project.fail("up", "-d").output
    assert "ostler.toml" in told and "ostler init" in told, told
