"""A coding agent's side of the protocol, driven by the public `mcp` package in either of its generations.

`mcp` 1.x knows the `initialize` handshake only; 2.x asks `server/discover` first and can be told to shake hands. The
tests see one face, and every reply passes the checks that hold for all: no escape codes, bounded, not a panic.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import ostler

CALL_SECONDS = 60.0
HANDSHAKE = "2025-11-25"
STATELESS = "2026-07-28"


def client_generation() -> int | None:
    """Returns the major version of the installed `mcp` package, or None without one."""
    try:
        return int(importlib.metadata.version("mcp").split(".")[0])
    except importlib.metadata.PackageNotFoundError:
        return None


def protocols() -> list[str]:
    """Returns the protocol versions the installed client can be made to settle on, its own choice first."""
    match client_generation():
        case None:
            return []
        case 1:
            return [HANDSHAKE]
        case _:
            return [STATELESS, HANDSHAKE]


@dataclass(frozen=True)
class Reply:
    """One answer to a tool call."""

    is_error: bool
    text: str
    data: dict[str, Any] | None
    # The call failed as a JSON-RPC error, which many clients never show to the model.
    protocol_error: bool = False

    @property
    def seen(self) -> str:
        """Returns what the model gets to see: the structured content of a success, the text of a failure."""
        if self.is_error or self.data is None:
            return self.text
        return json.dumps(self.data, ensure_ascii=False)

    def check(self) -> Reply:
        everything = self.text + json.dumps(self.data, ensure_ascii=False)
        assert "\x1b" not in everything and "\\u001b" not in everything, f"an escape code in {everything!r}"
        for part in (self.text, json.dumps(self.data, ensure_ascii=False)):
            assert len(part) <= ostler.REPLY_CHARS, f"a reply of {len(part)} characters: {part[:500]} …"
        assert "panicked at" not in everything, everything
        return self

    def ok(self) -> dict[str, Any]:
        """Returns the structured content of a success."""
        assert not self.is_error, self.text
        assert isinstance(self.data, dict), f"a success without structured content: {self.text}"
        return self.data

    def error(self) -> str:
        """Returns the text of a failure that the model gets to see."""
        assert self.is_error, f"expected a failure: {self.seen}"
        assert not self.protocol_error, f"a protocol error hides its text from the model: {self.text}"
        assert self.text.strip(), "a failure without a word"
        return self.text


class Agent:
    """A connected client. Calls block, and give up after `CALL_SECONDS`."""

    def __init__(self, portal: Any, connection: _Connection) -> None:
        self._portal = portal
        self._connection = connection

    @property
    def protocol(self) -> str:
        return self._connection.protocol

    @property
    def server(self) -> dict[str, Any]:
        return self._connection.server

    def tools(self) -> list[dict[str, Any]]:
        """Returns the tools as they are on the wire."""
        return self._portal.call(self._connection.tools)

    def call(self, tool: str, /, **arguments: Any) -> Reply:
        return self.call_with(tool, arguments)

    def call_with(self, tool: str, arguments: dict[str, Any]) -> Reply:
        return self._portal.call(self._connection.call, tool, arguments).check()

    def logs(self, name: str | None = None, **how: Any) -> dict[str, Any]:
        return self.call_with("get_logs", ostler.logs_arguments(name, **how)).ok()

    def wait(self, name: str, until: str, **how: Any) -> dict[str, Any]:
        """Waits, and returns the reply whatever the outcome."""
        return self.call_with("wait_for", ostler.wait_arguments(name, until, **how)).ok()

    def reach(self, name: str, until: str, **how: Any) -> dict[str, Any]:
        """Waits for what must happen, and returns the reply."""
        data = self.wait(name, until, **how)
        assert ostler.wait_outcome(data) == "met", data
        return data


@dataclass
class _Connection:
    session: Any
    error_type: type[Exception]
    protocol: str
    server: dict[str, Any]

    async def tools(self) -> list[dict[str, Any]]:
        import anyio

        with anyio.fail_after(CALL_SECONDS):
            return [_wire(tool) for tool in (await self.session.list_tools()).tools]

    async def call(self, tool: str, arguments: dict[str, Any]) -> Reply:
        import anyio

        try:
            with anyio.fail_after(CALL_SECONDS):
                result = _wire(await self.session.call_tool(tool, arguments))
        except self.error_type as error:
            return Reply(is_error=True, text=str(error), data=None, protocol_error=True)
        text = "".join(part["text"] for part in result["content"] if part["type"] == "text")
        return Reply(bool(result.get("isError")), text, result.get("structuredContent"))


def _wire(model: Any) -> Any:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


@asynccontextmanager
async def _shake_hands(server: Any, errlog: TextIO) -> AsyncIterator[_Connection]:
    """Connects with `mcp` 1.x."""
    from mcp import ClientSession, McpError
    from mcp.client.stdio import stdio_client

    limit = timedelta(seconds=CALL_SECONDS)
    async with stdio_client(server, errlog) as (read, write), ClientSession(read, write, limit) as session:
        hello = await session.initialize()
        yield _Connection(session, McpError, str(hello.protocolVersion), _wire(hello.serverInfo))


@asynccontextmanager
async def _discover(server: Any, errlog: TextIO, protocol: str) -> AsyncIterator[_Connection]:
    """Connects with `mcp` 2.x; `auto` falls back to the handshake by itself, which the caller gets to see."""
    from mcp import Client, MCPError
    from mcp.client.stdio import stdio_client

    mode = "auto" if protocol == STATELESS else "legacy"
    transport = stdio_client(server, errlog)
    async with Client(transport, mode=mode, read_timeout_seconds=CALL_SECONDS) as client:
        info = client.server_info
        yield _Connection(client, MCPError, client.protocol_version, _wire(info) if info else {})


@contextmanager
def connected(project: ostler.Project, protocol: str, *args: str, errlog: Path) -> Iterator[Agent]:
    """Starts `ostler mcp` in the project as an agent would and speaks `protocol` with it."""
    from anyio.from_thread import start_blocking_portal
    from mcp.client.stdio import StdioServerParameters

    server = StdioServerParameters(
        command=str(ostler.binary()), args=["mcp", *args], env=project.env, cwd=str(project.root)
    )
    with errlog.open("a") as log, start_blocking_portal() as portal:
        if client_generation() == 1:
            opening = _shake_hands(server, log)
        else:
            opening = _discover(server, log, protocol)
        with portal.wrap_async_context_manager(opening) as connection:
            yield Agent(portal, connection)
