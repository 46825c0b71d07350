"""Runs real programs in a temporary directory and writes down what they print, for the `capture` scripts.

Keeps each line's stream, its bytes and the order in which the lines became whole, and writes neutral names for what
belongs to this machine or this run: directories, the host's name and addresses, process ids, ports. The format and
the list of names stand in README.md. Only the standard library is used.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import pty
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path
from typing import Any, Callable

# How long a program may take until it has said what is waited for.
PATIENCE_SECONDS = 120.0
# A program counts as having said all when nothing has come for so long.
QUIET_SECONDS = 0.7
# Longest wait for quiet, for programs that never are.
QUIET_LIMIT_SECONDS = 15.0

# Few rows, as tools that clear the screen fill it with empty lines first.
TERMINAL_ROWS, TERMINAL_COLUMNS = 8, 100

# What stands in a log instead of the temporary directory, the home directory, and the host's name and addresses.
PLACE = "/srv"
HOME = "/home/dev"
HOST = "devbox"
ADDRESS = "192.0.2.10"
ADDRESS_V6 = "2001:db8::10"
# The first number given to each kind of number that varies.
FIRST_NUMBER = {"pid": 4201, "client-port": 50001, "pin": 100000001}

COLOUR = re.compile(rb"\x1b\[[\x20-\x3f]*[\x40-\x7e]")


class Capture:
    """A temporary directory with what is installed there. Use it with `with`: it ends in its removal."""

    def __init__(self, script: str) -> None:
        self.here = Path(script).resolve().parent
        self.out = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else self.here
        self._temporary = tempfile.TemporaryDirectory(prefix="corpus-")
        self.place = Path(self._temporary.name).resolve()
        self.app = self.place / "app"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place / "home"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
        }
        (self.place / "home").mkdir()
        self._names: list[tuple[str, str]] = [(str(self.place), PLACE)]
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        home = os.path.expanduser("~")
        if home not in ("", "/"):
            self.name(home + "/", HOME + "/")
        self.name(sys.base_prefix + "/", "/usr/")

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *problem: object) -> None:
        self._temporary.cleanup()

    def name(self, text: str, neutral: str) -> None:
        """Writes `neutral` for `text` wherever it stands in a log. Longer texts go first."""
        self._names.append((text, neutral))
        self._names.sort(key=lambda pair: -len(pair[0]))

    def number(self, pattern: str, kind: str) -> None:
        """Numbers what the first group of `pattern` matches, in the order in which the values are met."""
        self._patterns.append((re.compile(pattern), kind))

    def copy_app(self) -> Path:
        """Copies the sample application that lies beside the script."""
        shutil.copytree(self.here / "app", self.app, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        return self.app

    def python(self, *requirements: str) -> Path:
        """Installs packages from PyPI into a virtual environment of its own; returns its programs' directory."""
        venv = self.place / "env"
        self.install([sys.executable, "-m", "venv", str(venv)])
        self.install([str(venv / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *requirements])
        # As an activated environment.
        self.env["PATH"] = f"{venv / 'bin'}:{self.env['PATH']}"
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"
        return venv / "bin"

    def node(self, *packages: str) -> None:
        """Installs packages from npm beside the application."""
        options = ["--no-audit", "--no-fund", "--no-package-lock", "--no-save", "--loglevel=error"]
        self.install(["npm", "install", *options, *packages], cwd=self.app)

    def prepare(self, command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
        """Runs what has to be done before a capture, such as a compilation. Nothing of it is written down."""
        print("+", " ".join(command), file=sys.stderr, flush=True)
        subprocess.run(command, cwd=cwd or self.app, env=env or self.env, stdin=subprocess.DEVNULL, check=True, timeout=900)

    def install(self, command: list[str], cwd: Path | None = None) -> None:
        """Runs a package client, with the user's own settings for it."""
        self.prepare(command, cwd or self.place, dict(os.environ))

    def port(self, wanted: int) -> int:
        """Returns the wanted port if it is free, else another that is written as the wanted one."""
        for port in (wanted, 0):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                free = int(probe.getsockname()[1])
            if free != wanted:
                self.name(str(free), str(wanted))
            return free
        raise SystemExit("no port is free")

    def run(self, log: str, about: str, command: list[str], **options: Any) -> Run:
        """Starts a program; its lines go to the file `log`. Options: `cwd`, `env` (additions), `pty`, `port`."""
        return Run(self, log, about, command, **options)

    def neutral(self, text: str, numbers: dict[tuple[str, str], int]) -> str:
        for name, neutral in self._names + host_names():
            # A name is not replaced amid a longer one.
            edge = r"(?![\w-])" if re.match(r"[\w:]", name[-1]) else ""
            text = re.sub(re.escape(name) + edge, neutral, text)
        for pattern, kind in self._patterns:

            def replace(match: re.Match[str], kind: str = kind) -> str:
                value = (kind, match.group(1))
                if value not in numbers:
                    numbers[value] = FIRST_NUMBER[kind] + sum(known == kind for known, _ in numbers)
                start, end = match.start(1) - match.start(), match.end(1) - match.start()
                return match.group()[:start] + str(numbers[value]) + match.group()[end:]

            text = pattern.sub(replace, text)
        return text


class Run:
    """One life of a program. Use it with `with`: it is ended there, and its log is written."""

    def __init__(
        self,
        capture: Capture,
        log: str,
        about: str,
        command: list[str],
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        pty: bool = False,
        port: int = 0,
        shown: str | None = None,
    ) -> None:
        self.capture = capture
        self.port = port
        self.cwd = cwd or capture.app
        self._log = capture.out / f"{log}.log"
        self._head = {"corpus": 1, "about": about, "command": shown or " ".join(command)}
        if pty:
            self._head["pty"] = True
        if env:
            self._head["env"] = dict(env)
        self._records: list[dict[str, Any]] = []
        self._seen = b""
        self._last = time.monotonic()
        self._lock = threading.Condition()
        self._killed_with = 0
        print(f"+ {self._log.name}: {self._head['command']}", file=sys.stderr, flush=True)
        streams = self._spawn(command, {**capture.env, **(env or {})}, pty)
        self._reader = threading.Thread(target=self._read, args=(streams,), daemon=True)
        self._reader.start()

    def _spawn(self, command: list[str], env: dict[str, str], on_pty: bool) -> dict[int, str]:
        options: dict[str, Any] = {"cwd": self.cwd, "env": env, "start_new_session": True}
        if on_pty:
            parent, child = pty.openpty()
            termios.tcsetwinsize(child, (TERMINAL_ROWS, TERMINAL_COLUMNS))
            self.process = subprocess.Popen(command, stdin=child, stdout=child, stderr=child, **options)
            os.close(child)
            return {parent: "out"}
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes, **options)
        assert self.process.stdout and self.process.stderr
        return {self.process.stdout.fileno(): "out", self.process.stderr.fileno(): "err"}

    def _read(self, streams: dict[int, str]) -> None:
        """Reads until both streams have ended. Order between the streams is that of arrival here."""
        rests = {fd: b"" for fd in streams}
        selector = selectors.DefaultSelector()
        for fd in streams:
            selector.register(fd, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                fd = key.fd
                try:
                    chunk = os.read(fd, 65536)
                except OSError:  # the other side of a terminal is gone
                    chunk = b""
                with self._lock:
                    self._seen += chunk
                    self._last = time.monotonic()
                    *lines, rests[fd] = (rests[fd] + chunk).split(b"\n")
                    self._records += [self._line(streams[fd], line) for line in lines]
                    if not chunk:
                        selector.unregister(fd)
                        if rests[fd]:
                            self._records.append({**self._line(streams[fd], rests[fd]), "unended": True})
                    self._lock.notify_all()

    @staticmethod
    def _line(stream: str, line: bytes) -> dict[str, Any]:
        try:
            return {stream: line.decode("utf-8")}
        except UnicodeDecodeError:
            return {f"{stream}_base64": base64.b64encode(line).decode("ascii")}

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: object, problem: object, trace: object) -> None:
        if self.process.poll() is None:
            if problem is None:
                self.stop()
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
        self._end()
        if problem is not None:
            sys.stderr.write(self._seen.decode("utf-8", "replace"))
            return
        self._write()

    def did(self, what: str) -> None:
        """Notes between the lines what the script did."""
        with self._lock:
            self._records.append({"did": what})
            self._last = time.monotonic()

    def until(self, text: str, count: int = 1) -> None:
        """Waits until the program has printed a text so many times, colours apart, then until it is quiet."""
        wanted = text.encode()
        self._wait(lambda: COLOUR.sub(b"", self._seen).count(wanted) >= count, f"{text!r} ({count} times)")
        self.quiet()

    def exits(self) -> None:
        """Waits for the end of a program that ends by itself."""
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{self._log.name}: the program did not end") from None

    def quiet(self, seconds: float = QUIET_SECONDS) -> None:
        """Waits until nothing has come for so long. Reloaders that look once a second need more than the default."""
        deadline = time.monotonic() + QUIET_LIMIT_SECONDS
        while time.monotonic() < min(self._last + seconds, deadline):
            time.sleep(0.05)

    def _wait(self, is_there: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._lock:
            while not is_there():
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise SystemExit(f"{self._log.name}: it never said {what}")
                self._lock.wait(min(left, 1.0))

    def get(self, path: str, method: str = "GET", host: str = "127.0.0.1") -> str:
        """Asks for a page, waits for quiet, and returns the page."""
        connection = http.client.HTTPConnection(host, self.port, timeout=60)
        with self._lock:
            place = len(self._records)
        status, body = "no answer", b""
        try:
            connection.request(method, path, headers={"Connection": "close"})
            answer = connection.getresponse()
            status, body = str(answer.status), answer.read()
        except (OSError, http.client.HTTPException) as problem:
            status = f"no answer ({type(problem).__name__})"
        finally:
            connection.close()
        # An answer may come before the line that tells of it.
        self._last = time.monotonic()
        self.quiet()
        with self._lock:
            self._records.insert(place, {"did": f"{method} {path}: {status}"})
        return body.decode("utf-8", "replace")

    def edit(self, file: str, old: str, new: str, what: str) -> None:
        """Replaces a text in a file of the application."""
        path = self.cwd / file
        text = path.read_text()
        if old not in text:
            raise SystemExit(f"{file} has no {old!r}")
        self.did(what)
        path.write_text(text.replace(old, new))

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends the program's whole group, as Ctrl-C at a terminal does."""
        self.did(how.name)
        os.killpg(self.process.pid, how)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)

    def _end(self) -> None:
        self.process.wait(15)
        try:  # whatever it left behind
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._reader.join(15)

    def _write(self) -> None:
        code = self.process.returncode
        exit_ = signal.Signals(-code).name if code < 0 else code
        numbers: dict[tuple[str, str], int] = {}
        with self._log.open("w", encoding="utf-8") as log:
            for record in [self._head, *self._records, {"exit": exit_}]:
                text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
                log.write(self._neutral(record, numbers) if "corpus" not in record else self.capture.neutral(text, numbers))
                log.write("\n")

    def _neutral(self, record: dict[str, Any], numbers: dict[tuple[str, str], int]) -> str:
        neutral = {
            key: self.capture.neutral(value, numbers) if isinstance(value, str) else value
            for key, value in record.items()
        }
        # U+2028 and the like end a line for some readers; escaped, nobody stumbles.
        text = json.dumps(neutral, ensure_ascii=False, separators=(",", ":"))
        return re.sub(r"[\x7f-\x9f\u2028\u2029\ufeff]", lambda match: f"\\u{ord(match.group()):04x}", text)


def host_names() -> list[tuple[str, str]]:
    """Returns the host's name and addresses, and what to write for them."""
    global _host_names
    if _host_names is None:
        found = [(socket.gethostname(), HOST)] if len(socket.gethostname()) > 2 else []
        shown = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
        found += [(address, ADDRESS_V6 if ":" in address else ADDRESS) for address in shown]
        _host_names = found
    return _host_names


_host_names: list[tuple[str, str]] | None = None


def busy_port(capture: Capture, wanted: int, host: str = "127.0.0.1") -> tuple[socket.socket, int]:
    """Returns a listening socket and its port, for those that must find their port taken."""
    port = capture.port(wanted)
    holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((host, port))
    holder.listen()
    return holder, port


GO_VERSION = r"go(\d[\d.]+)"


def version(command: list[str], pattern: str = r"(\d[\w.]+)") -> str:
    """Returns the version that a program tells."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    match = re.search(pattern, done.stdout + done.stderr)
    return match.group(1) if match else "?"


def need(program: str, package: str) -> None:
    """Ends the script when a program is missing."""
    if shutil.which(program) is None:
        raise SystemExit(f"{program} is not installed; in Debian it is in {package}")
