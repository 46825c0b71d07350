"""Two threads of a program that fail at the same time, one on each stream, line by line in turns."""

import itertools
import sys
import time
import traceback


class KilnCold(Exception):
    pass


def fire(kiln: dict[str, int], pot: str) -> int:
    return kiln[pot]


def glaze() -> None:
    try:
        fire({"bowl": 900}, "vase")
    except KeyError as problem:
        raise KilnCold("no fire for the vase") from problem


def dry() -> float:
    return sum(fire({"jug": 0}, "jug") / hours for hours in (2, 1, 0))


def report(task) -> list[str]:
    try:
        task()
    except Exception:
        return traceback.format_exc().splitlines()
    return []


def tell(stream, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
    # Long enough for a reader of two pipes to see the order.
    time.sleep(0.02)


tell(sys.stdout, "INFO: pottery opens")
tell(sys.stderr, "INFO: kilns are lit")
for left, right in itertools.zip_longest(report(glaze), report(dry)):
    if left is not None:
        tell(sys.stdout, left)
    if right is not None:
        tell(sys.stderr, right)
tell(sys.stdout, "INFO: pottery stays open")
# An error on one stream, ordinary work on the other.
work = itertools.count(1)
for line in report(dry):
    tell(sys.stderr, line)
    tell(sys.stdout, f"pot {next(work)} dried")
tell(sys.stderr, "INFO: kilns are cold")
