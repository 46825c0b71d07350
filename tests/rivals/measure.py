"""Has process managers do the same work and prints what came of it.

Two questions: how long after `kill -9` of a child is its successor there, and what becomes of the children when the
manager itself is killed with `kill -9` and started again. The children are shell scripts that print five times a
second into pipes of their manager; each manager is set up to restart at once and otherwise left as it comes.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOME = Path(os.environ["RIVALS_HOME"])
OSTLER = Path(os.environ["OSTLER_BIN"])
CHILD = HERE / "child.sh"
NAMES = ["a", "b", "c"]
# Kills of a child: as many as fit into the seconds, and at least the second number.
ROUNDS, SECONDS, LEAST = 30, 20, 3


class Manager:
    """A manager with its children in a directory of its own."""

    name = ""

    def __init__(self, home: Path):
        self.home = home
        self.stamps = home / "stamps"
        self.stamps.mkdir()
        self.process = None

    @classmethod
    def program(cls) -> Path:
        raise NotImplementedError

    def start(self):
        """Starts the manager, or the next one after it was killed."""
        raise NotImplementedError

    def pid(self) -> int:
        return self.process.pid

    def stop(self):
        """Ends it and its children in its own way."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def command(self, name: str) -> list[str]:
        return [str(CHILD), str(self.stamps), name]

    def spawn(self, *words):
        log = open(self.home / "manager.log", "ab")
        # A session of its own, or a signal for this one would reach it.
        self.process = subprocess.Popen(
            [str(word) for word in words], cwd=self.home, stdout=log, stderr=log, start_new_session=True
        )

    def run(self, *words, env=None):
        subprocess.run(
            [str(word) for word in words], cwd=self.home, env=env, check=True, timeout=60, capture_output=True
        )

    def children(self) -> dict[str, list[int]]:
        """The living children by name, in the order in which they began."""
        found = {name: [] for name in NAMES}
        for stamp in sorted(self.stamps.iterdir(), key=lambda stamp: stamp.stat().st_mtime_ns):
            name, pid = stamp.name.split(".")
            if is_child(int(pid), str(self.stamps)):
                found[name].append(int(pid))
        return found


class Supervisor(Manager):
    name = "supervisor"

    @classmethod
    def program(cls):
        return HOME / "venv/bin/supervisord"

    def start(self):
        text = f"[supervisord]\nnodaemon=true\nlogfile={self.home}/supervisord.log\npidfile={self.home}/pid\n"
        for name in NAMES:
            text += f"[program:{name}]\ncommand={' '.join(self.command(name))}\nautorestart=true\nstartsecs=0\n"
            text += f"stdout_logfile={self.home}/{name}.log\n"
        (self.home / "supervisord.conf").write_text(text)
        self.spawn(self.program(), "-c", self.home / "supervisord.conf")


class Circus(Manager):
    name = "circus"

    @classmethod
    def program(cls):
        return HOME / "venv/bin/circusd"

    def start(self):
        text = "[circus]\n"
        for key in ["endpoint", "pubsub_endpoint", "stats_endpoint"]:
            text += f"{key} = ipc://{self.home}/{key}\n"
        for name in NAMES:
            text += f"[watcher:{name}]\ncmd = {' '.join(self.command(name))}\n"
            text += f"stdout_stream.class = FileStream\nstdout_stream.filename = {self.home}/{name}.log\n"
        (self.home / "circus.ini").write_text(text)
        self.spawn(self.program(), self.home / "circus.ini")


class Pm2(Manager):
    name = "pm2"

    @classmethod
    def program(cls):
        return HOME / "pm2/node_modules/.bin/pm2"

    def pm2(self, *words):
        self.run(self.program(), *words, env={**os.environ, "PM2_HOME": str(self.home / "pm2")})

    def start(self):
        if self.process is None:
            self.process = "started"
            for name in NAMES:
                _, *args = self.command(name)
                # By default it gives up after sixteen short lives.
                options = ["--interpreter", "/bin/sh", "--name", name, "--max-restarts", "100000"]
                self.pm2("start", CHILD, *options, "--", *args)
            self.pm2("save")
        else:
            self.pm2("resurrect")

    def pid(self):
        return int((self.home / "pm2/pm2.pid").read_text())

    def stop(self):
        self.pm2("kill")


class Ostler(Manager):
    name = "ostler"

    @classmethod
    def program(cls):
        return OSTLER

    def ostler(self, *words):
        state = {"OSTLER_STATE_DIR": str(self.home / "state"), "XDG_RUNTIME_DIR": str(self.home)}
        self.run(OSTLER, *words, env={**os.environ, **state})

    def start(self):
        if (self.home / "ostler.toml").exists():
            self.ostler("ps")
            return
        text = ""
        for name in NAMES:
            words = ", ".join(f'"{word}"' for word in self.command(name))
            text += f"[process.{name}]\ncommand = [{words}]\n"
            text += 'restart = { policy = "always", backoff = "0ms..0ms", max = 1000, window = "1s" }\n'
        (self.home / "ostler.toml").write_text(text)
        self.ostler("up", "-d")

    def pid(self):
        for entry in Path("/proc").iterdir():
            words = read(entry / "cmdline").split(b"\0") if entry.name.isdigit() else []
            if b"--report" in words and str(self.home).encode() in words:
                return int(entry.name)
        raise RuntimeError("no daemon runs")

    def stop(self):
        self.ostler("down")


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def is_child(pid: int, stamps: str) -> bool:
    """Whether it lives and is ours: pids are used again."""
    state = read(Path(f"/proc/{pid}/stat")).rpartition(b") ")[2][:1]
    return state not in (b"", b"Z", b"X") and stamps.encode() in read(Path(f"/proc/{pid}/cmdline")).split(b"\0")


def until(what: str, look, seconds=30.0):
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.0005)
    return found


def all_up(manager: Manager):
    until("every child is there", lambda: all(manager.children().values()))


def kill_children(manager: Manager) -> list[float]:
    """Returns the milliseconds from the kill of a child to its successor's first command."""
    took, end = [], time.monotonic() + SECONDS
    while len(took) < LEAST or (len(took) < ROUNDS and time.monotonic() < end):
        victim = until("it is there", lambda: manager.children()["a"])[-1]
        others = {stamp.name for stamp in manager.stamps.glob("a.*")}
        # Not while it starts, and not always at the same moment of the manager's rounds.
        time.sleep(0.3 + 0.05 * (len(took) % 7))
        before = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        until("its successor is there", lambda: {stamp.name for stamp in manager.stamps.glob("a.*")} - others)
        took.append((time.monotonic() - before) * 1000)
    return took


def kill_manager(manager: Manager) -> dict[str, int]:
    """Returns what has become of the children."""
    first = {name: pids[-1] for name, pids in manager.children().items()}
    os.kill(manager.pid(), signal.SIGKILL)
    if hasattr(manager.process, "wait"):
        manager.process.wait()
    # Long enough for every child to print several times, and for whoever looks after children to notice.
    time.sleep(1.5)
    survived = alive(manager, first)
    manager.start()
    twice, end = 0, time.monotonic() + 5
    while time.monotonic() < end:
        twice = max(twice, sum(len(pids) > 1 for pids in manager.children().values()))
        time.sleep(0.01)
    all_up(manager)
    kept = alive(manager, first)
    manager.stop()
    time.sleep(1)
    left = sum(len(pids) for pids in manager.children().values())
    return {"survived_it": survived, "kept_by_the_next": kept, "there_twice": twice, "left_after_stop": left}


def alive(manager: Manager, pids: dict[str, int]) -> int:
    return sum(is_child(pid, str(manager.stamps)) for pid in pids.values())


def clean_up(manager: Manager):
    for pids in manager.children().values():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(manager.home, ignore_errors=True)


def measure(kind) -> list[str]:
    manager = kind(Path(tempfile.mkdtemp(prefix="riv", dir="/tmp")))
    try:
        manager.start()
        all_up(manager)
        took = kill_children(manager)
        figures = [
            f"figure {kind.name}_kill_to_successor_p50 {statistics.median(took):.1f} ms",
            f"figure {kind.name}_kill_to_successor_max {max(took):.1f} ms",
            f"figure {kind.name}_kill_to_successor_rounds {len(took)} kills",
        ]
        all_up(manager)
        fates = kill_manager(manager)
        return figures + [
            f"figure {kind.name}_manager_killed_{what} {count} of {len(NAMES)}" for what, count in fates.items()
        ]
    finally:
        clean_up(manager)


def main():
    kinds = [kind for kind in (Ostler, Supervisor, Circus, Pm2) if not sys.argv[1:] or kind.name in sys.argv[1:]]
    failed = False
    for kind in kinds:
        if not kind.program().exists():
            print(f"rivals: NOT MEASURED: {kind.name}: {kind.program()} is not there", flush=True)
            continue
        try:
            print("\n".join(measure(kind)), flush=True)
        except Exception as error:  # one that does not work must not hide the others
            failed = True
            print(f"rivals: NOT MEASURED: {kind.name}: {error!r}", flush=True)
    sys.exit(failed)


main()
