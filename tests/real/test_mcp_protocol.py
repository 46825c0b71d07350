"""What holds for every MCP client: the tools, cursors, waits, input, bounds and errors."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import agent as client
import ostler
import system
from conftest import Connect

PROTOCOLS = client.protocols() or ["none installed"]


@pytest.fixture(params=PROTOCOLS)
def any_agent(request: pytest.FixtureRequest, project: ostler.Project, connect: Connect) -> client.Agent:
    """An agent in a project with a speaker, once for each protocol the client can speak."""
    project.configure(speaker=ostler.child("speaker.py"), idle=ostler.child("term_ignorer.py"))
    return connect(protocol=request.param)


def test_client_and_server_settle_on_the_clients_newest_protocol(
    any_agent: client.Agent, request: pytest.FixtureRequest
) -> None:
    assert any_agent.protocol == request.node.callspec.params["any_agent"]
    assert any_agent.server["name"] == "ostler"
    assert re.match(r"\d+\.\d+\.\d+", any_agent.server["version"])


# ---- the list of tools ----


def test_the_core_toolset_is_complete_and_described(any_agent: client.Agent) -> None:
    tools = {tool["name"]: tool for tool in any_agent.tools()}
    assert set(tools) == ostler.CORE_TOOLS
    for name, tool in tools.items():
        assert 20 <= len(tool["description"]) <= 2048, name
        assert tool["inputSchema"]["type"] == "object", name
        assert tool["outputSchema"]["type"] == "object", name
        assert isinstance(tool["annotations"]["readOnlyHint"], bool), name
    for name in ostler.CORE_TOOLS - {"list_processes"}:
        schema = tools[name]["inputSchema"]
        assert schema["properties"]["name"]["type"] == "string", name
        if name not in {"get_logs", "get_errors"}:
            assert "name" in schema["required"], name
    changing = {name for name, tool in tools.items() if not tool["annotations"]["readOnlyHint"]}
    assert changing == {"add_process", "start_process", "stop_process", "restart_process", "send_input"}


def test_schemas_avoid_what_clients_choke_on(any_agent: client.Agent) -> None:
    for tool in any_agent.tools():
        for schema in (tool["inputSchema"], tool["outputSchema"]):
            text = json.dumps(schema)
            assert "$ref" not in text, tool["name"]
            for part in _objects(schema):
                assert not isinstance(part.get("type"), list), (tool["name"], part)
                assert not str(part.get("format", "")).startswith(("int", "uint")), (tool["name"], part)


def _objects(value: Any) -> list[dict[str, Any]]:
    """Returns every object in a JSON value."""
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in _objects(item))]
    if isinstance(value, list):
        return [found for item in value for found in _objects(item)]
    return []


def test_a_larger_toolset_holds_the_core(project: ostler.Project, connect: Connect) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    assert {tool["name"] for tool in connect("--toolsets", "all").tools()} >= ostler.CORE_TOOLS


# ---- work ----


def test_a_wait_for_a_line_returns_it(any_agent: client.Agent) -> None:
    any_agent.call("start_process", name="speaker").ok()
    waited = any_agent.reach("speaker", "log", pattern=r"the till is \w+")
    assert ostler.Shown.read(waited["line"]) == ostler.Shown("error", "ERROR: the till is stuck")


def test_a_wait_that_ends_without_result_says_so_and_is_no_hang(any_agent: client.Agent) -> None:
    any_agent.call("start_process", name="speaker").ok()
    waited = any_agent.wait("speaker", "log", pattern="never said", timeout=1)
    assert ostler.wait_outcome(waited) == "timed-out", waited


def test_input_reaches_the_child_and_its_exit_is_seen(any_agent: client.Agent) -> None:
    any_agent.call("start_process", name="speaker").ok()
    any_agent.reach("speaker", "log", pattern="^speaking$")
    any_agent.call_with("send_input", ostler.input_arguments("speaker", "grüße")).ok()
    any_agent.reach("speaker", "log", pattern="^heard: grüße$")

    any_agent.call_with("send_input", ostler.input_arguments("speaker", "exit 3")).ok()
    ended = any_agent.reach("speaker", "exit")
    assert "exit code 3" in ended["reason"], ended
    diagnosis = any_agent.call("diagnose_process", name="speaker").seen
    assert "exit code 3" in diagnosis, diagnosis
    assert "told to leave" in diagnosis, diagnosis


def test_escape_codes_never_reach_an_agent_but_the_words_do(any_agent: client.Agent) -> None:
    any_agent.call("start_process", name="speaker").ok()
    any_agent.reach("speaker", "log", pattern="^speaking$")
    # Every reply is checked for escape codes on its way here; what they surrounded must have survived.
    [door] = [line for line in ostler.log_lines(any_agent.logs("speaker")) if "the door is red" in line.text]
    assert (door.text, door.level) == ("ERROR: the door is red", "error")


def test_a_cursor_skips_nothing_and_repeats_nothing_while_the_child_writes(
    project: ostler.Project, connect: Connect, tmp_path: Path
) -> None:
    progress, stop = tmp_path / "progress", tmp_path / "stop"
    project.configure(counter=ostler.child("counter.py", progress, stop, 0))
    agent = connect()
    cursor = ostler.log_cursor(agent.logs("counter"))
    agent.call("start_process", name="counter").ok()

    seen: list[str] = []

    def read_on() -> bool:
        nonlocal cursor
        # In full: lines that differ in their number alone are folded otherwise.
        data = agent.logs("counter", cursor=cursor, limit=50, full=True)
        cursor = ostler.log_cursor(data)
        seen.extend(text for text in ostler.log_texts(data) if text.startswith("line "))
        if len(seen) > 500:
            stop.touch()
        return stop.exists() and _all_read(progress, seen)

    system.eventually(read_on, "the reader has caught up with the child", timeout=60)
    last = int(progress.read_text())
    assert seen == [f"line {number}" for number in range(1, last + 1)]


def _all_read(progress: Path, seen: list[str]) -> bool:
    return bool(seen) and seen[-1] == f"line {progress.read_text()}"


def test_a_flood_is_answered_within_bounds(project: ostler.Project, connect: Connect) -> None:
    project.configure(flood=ostler.child("flood.py", 100_000))
    agent = connect()
    agent.call("start_process", name="flood").ok()
    agent.reach("flood", "log", pattern="^flooded$")
    agent.reach("flood", "exit")
    # The bound itself is checked for every reply; here it must bite at the right end, whatever was asked for.
    for limit in (None, 500):
        texts = ostler.log_texts(agent.logs("flood", limit=limit))
        assert any("flooded" in text for text in texts), f"the newest lines are missing: {texts[-3:]}"
    assert "flooded" in ostler.log_texts(agent.logs("flood", grep="^flooded$"))


# ---- errors ----


@pytest.mark.parametrize("tool", sorted(ostler.CORE_TOOLS - {"list_processes", "add_process"}))
def test_an_unknown_process_is_answered_with_those_that_exist(
    project: ostler.Project, connect: Connect, tool: str
) -> None:
    project.configure(speaker=ostler.child("speaker.py"), idle=ostler.child("term_ignorer.py"))
    agent = connect()
    told = agent.call_with(tool, {"name": "spaeker", **_other_arguments(tool)}).error()
    assert "spaeker" in told, told
    assert "speaker" in told and "idle" in told, f"what exists is not named: {told}"


def _other_arguments(tool: str) -> dict[str, Any]:
    match tool:
        case "wait_for":
            given = ostler.wait_arguments("", "exit", timeout=1)
        case "send_input":
            given = ostler.input_arguments("", "hello")
        case _:
            return {}
    return {key: value for key, value in given.items() if key != "name"}


def test_a_missing_argument_is_named(any_agent: client.Agent) -> None:
    told = any_agent.call("start_process").error()
    assert "name" in told and "missing" in told, told


def test_a_mistyped_argument_is_named_with_the_type_it_should_have(any_agent: client.Agent) -> None:
    told = any_agent.call("start_process", name=7).error()
    assert "name" in told and "string" in told, told


def test_an_unknown_argument_is_named_with_those_that_exist(any_agent: client.Agent) -> None:
    told = any_agent.call("start_process", name="speaker", proces="speaker").error()
    assert "proces" in told and "name" in told, told
    assert ostler.listed(any_agent.call("list_processes").ok())["speaker"]["state"] == "stopped", "nothing was done"


def test_a_bad_pattern_is_told_with_what_is_wrong_in_it(any_agent: client.Agent) -> None:
    told = any_agent.call_with("get_logs", ostler.logs_arguments("speaker", grep="(unclosed")).error()
    assert "(unclosed" in told, told


def test_a_made_up_cursor_is_refused(any_agent: client.Agent) -> None:
    told = any_agent.call_with("get_logs", ostler.logs_arguments("speaker", cursor="../../etc")).error()
    assert "../../etc" in told and "cursor" in told, told


def test_an_unknown_tool_leaves_the_connection_usable(any_agent: client.Agent) -> None:
    reply = any_agent.call("make_coffee")
    assert reply.is_error and "make_coffee" in reply.text, reply
    any_agent.call("list_processes").ok()


# ---- by hand, where no client would go ----


def _speak(project: ostler.Project, *messages: str) -> list[dict[str, Any]]:
    """Writes lines to `ostler mcp`, waiting for the answer to each request, and returns all that came back."""
    answers: list[dict[str, Any]] = []
    with subprocess.Popen(
        project.command("mcp"), cwd=project.root, env=project.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdin and server.stdout
        reader = system.LineReader(server.stdout)
        try:
            for message in messages:
                server.stdin.write(message.encode() + b"\n")
                server.stdin.flush()
                while (awaited := _id(message)) and awaited not in [answer.get("id") for answer in answers]:
                    answers.append(json.loads(reader.next_line(timeout=20)))
            server.stdin.close()
            assert server.wait(timeout=10) == 0, "the end of its input is no failure"
        finally:
            server.kill()
    return answers


def _id(message: str) -> int | None:
    """Returns the id of a well-formed request."""
    try:
        parsed = json.loads(message)
    except ValueError:
        return None
    return parsed.get("id") if isinstance(parsed["method"], str) else None


def _request(number: int, method: str, **params: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def _initialize(number: int, version: str) -> str:
    hello = {"capabilities": {}, "clientInfo": {"name": "by-hand", "version": "1"}}
    return _request(number, "initialize", protocolVersion=version, **hello)


INITIALIZED = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_the_handshake_keeps_the_version_it_was_offered(project: ostler.Project, version: str) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    answers = _speak(project, _initialize(1, version), INITIALIZED, _request(2, "tools/list"))
    by_id = {answer["id"]: answer for answer in answers if "id" in answer}
    assert by_id[1]["result"]["protocolVersion"] == version
    assert {tool["name"] for tool in by_id[2]["result"]["tools"]} == ostler.CORE_TOOLS


def test_a_line_that_is_no_json_does_not_end_the_connection(project: ostler.Project) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    answers = _speak(
        project,
        _initialize(1, "2025-11-25"),
        INITIALIZED,
        "this is not JSON",
        '{"jsonrpc": "2.0", "id": 2, "method": 7}',
        _request(3, "tools/list"),
    )
    assert {tool["name"] for a in answers if a.get("id") == 3 for tool in a["result"]["tools"]} == ostler.CORE_TOOLS


def test_a_handshake_may_follow_a_discovery_on_one_connection(project: ostler.Project) -> None:
    project.configure(speaker=ostler.child("speaker.py"))
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "by-hand", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    answers = _speak(
        project,
        _request(1, "server/discover", _meta=meta),
        _initialize(2, "2025-11-25"),
        INITIALIZED,
        _request(3, "tools/list"),
    )
    by_id = {answer["id"]: answer for answer in answers if "id" in answer}
    assert "2026-07-28" in by_id[1]["result"]["supportedVersions"]
    assert by_id[2]["result"]["protocolVersion"] == "2025-11-25"
    assert {tool["name"] for tool in by_id[3]["result"]["tools"]} == ostler.CORE_TOOLS
