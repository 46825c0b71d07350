"""The main job with a real Vite project."""

from __future__ import annotations

import json

import apps
import ostler
import system
from conftest import Connect


def test_an_agent_runs_a_shop_window(project: ostler.Project, connect: Connect) -> None:
    port = system.free_port()
    apps.copy_vite(project)
    project.configure(window=apps.vite(port))
    agent = connect()

    agent.call("start_process", name="window").ok()
    agent.reach("window", "ready")
    status, page = system.http_get(f"http://127.0.0.1:{port}/")
    assert (status, "The shop window" in page) == (200, True)
    assert not ostler.log_lines(agent.logs("window", level="error")), "nothing went wrong yet"

    agent.call("stop_process", name="window").ok()
    assert system.port_is_free(port)


def test_a_syntax_error_shows_as_an_error(project: ostler.Project, connect: Connect) -> None:
    port = system.free_port()
    apps.copy_vite(project)
    apps.break_main_js(project)
    project.configure(window=apps.vite(port))
    agent = connect()
    agent.call("start_process", name="window").ok()
    agent.reach("window", "ready")

    assert system.http_get(f"http://127.0.0.1:{port}/main.js")[0] == 500
    agent.reach("window", "log", pattern=r"Internal server error")
    errors = ostler.log_lines(agent.logs("window", level="error"))
    [error] = [line for line in errors if "Internal server error: Failed to parse source" in line.text]
    assert error.level == "error"


def test_a_taken_port_is_told_in_the_reply_to_the_wait(project: ostler.Project, connect: Connect) -> None:
    apps.copy_vite(project)
    with system.stranger_on_a_port() as port:
        project.configure(window=apps.vite(port))
        agent = connect()

        agent.call("start_process", name="window").ok()
        waited = agent.wait("window", "ready")
        assert ostler.wait_outcome(waited) == "impossible", waited
        assert "exit code 1" in waited["reason"], waited
        assert f"Error: Port {port} is already in use" in json.dumps(waited), waited
        diagnosis = agent.call("diagnose_process", name="window").seen
        assert f"Port {port} is already in use" in diagnosis, diagnosis
