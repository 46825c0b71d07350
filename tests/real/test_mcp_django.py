"""The main job: a coding agent looks after a real Django project through MCP."""

from __future__ import annotations

import json
import re
from pathlib import Path

import agent as client
import apps
import ostler
import system
from conftest import Connect


def test_an_agent_runs_a_shop_from_start_to_stop(project: ostler.Project, connect: Connect) -> None:
    port = system.free_port()
    apps.copy_django(project)
    apps.migrate(project)
    project.configure(web=apps.runserver(port))
    agent = connect()

    agent.call("start_process", name="web").ok()
    agent.reach("web", "ready")
    assert system.http_get(f"http://127.0.0.1:{port}/") == (200, "the shop is open\n")
    entry = ostler.listed(agent.call("list_processes").ok())["web"]
    assert entry["state"] == "ready"
    assert system.is_alive(entry["pid"])

    status, _ = system.http_get(f"http://127.0.0.1:{port}/boom")
    assert status == 500
    system.eventually(
        lambda: apps.BOOM in ostler.log_texts(agent.logs("web", level="error")),
        "the traceback's last line is among the errors",
    )
    errors = ostler.log_lines(agent.logs("web", level="error"))
    assert {line.level for line in errors} <= {"error", "fatal"}
    assert not [line for line in errors if '"GET / HTTP/1.1" 200' in line.text], errors

    agent.call("stop_process", name="web").ok()
    assert system.port_is_free(port)
    assert not system.is_alive(entry["pid"])
    assert ostler.listed(agent.call("list_processes").ok())["web"]["state"] == "stopped"


def test_unapplied_migrations_are_a_warning_and_no_obstacle(project: ostler.Project, connect: Connect) -> None:
    port = system.free_port()
    apps.copy_django(project)
    project.configure(web=apps.runserver(port))
    agent = connect()

    agent.call("start_process", name="web").ok()
    agent.reach("web", "ready")
    assert system.http_get(f"http://127.0.0.1:{port}/")[0] == 200
    # Its port can make it ready before what it printed is taken in: the first daemon compiles its plugins.
    agent.reach("web", "log", pattern=re.escape(apps.UNAPPLIED))
    warnings = ostler.log_lines(agent.logs("web", level="warn"))
    [unapplied] = [line for line in warnings if apps.UNAPPLIED in line.text]
    assert unapplied.level == "warn"


def test_a_taken_port_is_told_in_the_reply_to_the_wait(project: ostler.Project, connect: Connect) -> None:
    apps.copy_django(project)
    apps.migrate(project)
    with system.stranger_on_a_port() as port:
        project.configure(web=apps.runserver(port))
        agent = connect()

        # Django needs a moment to find out, so the start itself succeeds.
        agent.call("start_process", name="web").ok()
        waited = agent.wait("web", "ready")
        assert ostler.wait_outcome(waited) == "impossible", waited
        assert "exit code 1" in waited["reason"], waited
        assert apps.DJANGO_PORT_TAKEN in json.dumps(waited), waited

        diagnosis = agent.call("diagnose_process", name="web").seen
        assert "exit code 1" in diagnosis, diagnosis
        assert apps.DJANGO_PORT_TAKEN in diagnosis, diagnosis

        # The same in one call: a failure whose text carries the reason, since that is all a model gets to see of it.
        told = agent.call("start_process", name="web", wait_ready=True).error()
        assert "exit code 1" in told and apps.DJANGO_PORT_TAKEN in told, told


def test_levels_come_from_the_header_of_a_line_not_from_words_in_it(project: ostler.Project, connect: Connect) -> None:
    port = system.free_port()
    apps.copy_django(project)
    apps.migrate(project)
    project.configure(web=apps.runserver(port))
    agent = connect()
    agent.call("start_process", name="web").ok()
    agent.reach("web", "ready")

    sent = {
        "debug": "fatal-looking-debug",
        "info": "no-error-here",
        "warning": "critical-of-prices",
        "error": "just-for-information",
        "critical": "debugging-is-over",
    }
    for level, message in sent.items():
        assert system.http_get(f"http://127.0.0.1:{port}/log?level={level}&message={message}")[0] == 200
    # The request's own line holds the message too: look at what the shop's logger wrote.
    last = rf"^CRITICAL:shop:{sent['critical']}$"
    agent.reach("web", "log", pattern=last)
    lines = [line for line in ostler.log_lines(agent.logs("web")) if re.match(r"[A-Z]+:shop:", line.text)]
    levels = {line.text.rpartition(":")[2]: line.level for line in lines}
    expected = ["debug", "info", "warn", "error", "fatal"]
    assert levels == dict(zip(sent.values(), expected, strict=True))


def test_a_restart_serves_again_under_a_new_run(project: ostler.Project, connect: Connect) -> None:
    port = system.free_port()
    apps.copy_django(project)
    apps.migrate(project)
    project.configure(web=apps.runserver(port))
    agent = connect()

    first = ostler.run_of(agent.call("start_process", name="web").ok())
    agent.reach("web", "ready")
    before = ostler.listed(agent.call("list_processes").ok())["web"]
    second = ostler.run_of(agent.call("restart_process", name="web").ok())
    agent.reach("web", "ready")
    after = ostler.listed(agent.call("list_processes").ok())["web"]

    assert second != first
    assert after["pid"] != before["pid"]
    assert not system.is_alive(before["pid"])
    assert system.http_get(f"http://127.0.0.1:{port}/")[0] == 200
    assert ostler.run_of(agent.call("start_process", name="web").ok()) == second, "starting what runs is success"


def test_the_server_outlives_the_agent(project: ostler.Project, connect: Connect, tmp_path: Path) -> None:
    port = system.free_port()
    apps.copy_django(project)
    apps.migrate(project)
    project.configure(web=apps.runserver(port))

    with client.connected(project, client.protocols()[0], errlog=tmp_path / "first-stderr.log") as first:
        first.call("start_process", name="web").ok()
        first.reach("web", "ready")
        pid = ostler.listed(first.call("list_processes").ok())["web"]["pid"]

    assert system.http_get(f"http://127.0.0.1:{port}/")[0] == 200
    second = connect()
    assert ostler.listed(second.call("list_processes").ok())["web"]["pid"] == pid
