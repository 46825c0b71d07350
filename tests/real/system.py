"""What the tests ask of the operating system: ports, processes, HTTP, and waiting for a condition.

Nothing here knows Ostler.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import queue
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02


def eventually(check: Callable[[], T | None], what: str, timeout: float = 20.0) -> T:
    """Returns the first truthy result of `check`; fails after `timeout` seconds with `what` and the last result."""
    deadline = time.monotonic() + timeout
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}; last seen: {result!r}")
        time.sleep(POLL_SECONDS)


# ---- ports and pages ----


def free_port() -> int:
    """Returns a TCP port on the loopback interface that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Returns whether a server could listen on the port now, as servers do: past connections do not matter."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        listener.listen()
        return True


def http_get(url: str, timeout: float = 10.0) -> tuple[int, str]:
    """Returns status and body; raises OSError where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")


class _AlwaysOk(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"somebody else\n")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: pytest's output is for failures."""


@contextlib.contextmanager
def stranger_on_a_port() -> Iterator[int]:
    """Holds a port with a server that answers 200 to everything, so that "somebody answers" is not "ours is ready"."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _AlwaysOk)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


# ---- pipes ----


class LineReader:
    """Reads a child's output line by line, each within a time limit."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._pump, args=(pipe,), daemon=True).start()

    def _pump(self, pipe: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in pipe:
                self._lines.put(line)
        self._lines.put(None)

    def next_line(self, timeout: float = 20.0) -> str:
        """Returns the next line without its end; fails at the end of the output or when none comes in time."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no further line within {timeout} s") from None
        assert line is not None, "the output ended"
        return line.decode(errors="replace").rstrip("\n")

    def until(self, pattern: str, timeout: float = 20.0) -> list[str]:
        """Returns the lines up to and with the first that matches."""
        lines: list[str] = []
        deadline = time.monotonic() + timeout
        while not (lines and re.search(pattern, lines[-1])):
            left = deadline - time.monotonic()
            assert left > 0, f"no line matches {pattern!r} within {timeout} s: {lines[-20:]}"
            lines.append(self.next_line(left))
        return lines


# ---- processes ----


@dataclass(frozen=True)
class Process:
    """A live process; a zombie is not one."""

    pid: int
    argv: tuple[str, ...]

    @property
    def program(self) -> str:
        return Path(self.argv[0]).name if self.argv else ""


def is_alive(pid: int) -> bool:
    """Returns whether the process exists and is more than a zombie that its parent has not collected."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def processes_marked(variable: str, value: str) -> list[Process]:
    """Returns the live processes whose environment holds `variable=value`, however they detached themselves."""
    mark = f"{variable}={value}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            argv = (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if mark in environment and is_alive(int(entry.name)):
            found.append(Process(int(entry.name), tuple(part.decode(errors="replace") for part in argv)))
    return found


def kill_now(pid: int) -> None:
    """Sends SIGKILL and returns once the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(pid), f"process {pid} is gone after SIGKILL")


def tree(root: Path) -> dict[str, bytes | None]:
    """Returns every path below `root` with the content of files, leaving out what symbolic links lead to."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(root.rglob("*"))
    }
