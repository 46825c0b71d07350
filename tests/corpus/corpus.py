"""Reads the two formats of the corpus, logs and expectations. README.md describes them. Judges nothing."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, Iterator, NamedTuple

# ECMA-48: CSI sequences, strings such as OSC, and escapes of two bytes.
ANSI = re.compile(r"\x1b\[[\x20-\x3f]*[\x40-\x7e]|\x1b[\]PX^_].*?(?:\x07|\x1b\\)|\x1b[\x20-\x2f]*[\x30-\x7e]")
LINE = re.compile(r"([oe]) (\S) (\S) \|(.*)")
NOTE = re.compile(r"      ([*:]) (.+)")
PAIR = re.compile(r'([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s"]\S*)(?: |$)')


class LogLine(NamedTuple):
    """A line of a log: its place in the file, `o` or `e`, and its text as an expectation shows it."""

    place: int
    stream: str
    text: str


class Note(NamedTuple):
    place: int
    kind: str
    fields: list[tuple[str, str]]


class Expected(NamedTuple):
    """A line of an expectation: its place in the file, and what is expected."""

    place: int
    stream: str
    level: str
    mark: str
    text: str
    facts: list[Note]
    fields: list[tuple[str, str]]


class Deed(NamedTuple):
    """What a capture did, and its place in the log."""

    place: int
    what: str


class Wrong(Exception):
    pass


def is_blank(text: str) -> bool:
    return not text.strip(" \t␍")


def shown(text: str) -> str:
    """Returns a line without ANSI codes, other control characters than tabs as pictures (`␍` for a return)."""
    text = ANSI.sub("", text)
    text = text.removesuffix("\r")
    return re.sub(r"[\x00-\x08\x0b-\x1f]", lambda match: chr(0x2400 + ord(match.group())), text).replace("\x7f", "␡")


def read_log(path: Path) -> list[LogLine]:
    lines = []
    with path.open(encoding="utf-8", newline="\n") as file:
        records = list(enumerate(file, 1))
    for place, text in records:
        try:
            record = json.loads(text)
        except ValueError as problem:
            raise Wrong(f"{path}:{place}: not JSON: {problem}") from None
        lines += read_record(path, place, record, len(records))
    return lines


def read_record(path: Path, place: int, record: dict[str, Any], count: int) -> list[LogLine]:
    keys = set(record) - {"unended"}
    if place == 1:
        if record.get("corpus") != 1 or not {"about", "command"} <= set(record) <= {"corpus", "about", "command", "pty", "env"}:
            raise Wrong(f'{path}:1: the first record is {{"corpus":1,"about":…,"command":…}}')
        return []
    if keys == {"did"}:
        return []
    if keys == {"exit"}:
        if place != count:
            raise Wrong(f"{path}:{place}: `exit` is the last record")
        return []
    if len(keys) != 1 or not keys <= {"out", "err", "out_base64", "err_base64"}:
        raise Wrong(f"{path}:{place}: unknown keys {sorted(keys)}")
    (key,) = keys
    text = record[key]
    if key.endswith("_base64"):
        text = base64.b64decode(text, validate=True).decode("utf-8", "replace")
    if "\n" in text:
        raise Wrong(f"{path}:{place}: a line end within a line")
    return [LogLine(place, key[0], shown(text))]


def read_deeds(path: Path) -> list[Deed]:
    records = enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n"), 1)
    return [Deed(place, record["did"]) for place, text in records if "did" in (record := json.loads(text))]


def read_expected(path: Path) -> list[Expected]:
    lines: list[Expected] = []
    for place, text in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if text.startswith("#") or not text.strip():
            continue
        if match := NOTE.fullmatch(text):
            if not lines:
                raise Wrong(f"{path}:{place}: a note before the first line")
            take_note(path, place, lines[-1], *match.groups())
        elif match := LINE.fullmatch(text):
            lines.append(Expected(place, *match.groups(), [], []))
        else:
            raise Wrong(f"{path}:{place}: neither `o i + |text` nor `      * fact` nor `      : field=value`")
    return lines


def take_note(path: Path, place: int, line: Expected, sort: str, text: str) -> None:
    if sort == "*":
        kind, _, rest = text.partition(" ")
        line.facts.append(Note(place, kind, list(read_pairs(path, place, rest))))
    else:
        line.fields.extend(read_pairs(path, place, text))


def read_pairs(path: Path, place: int, text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = PAIR.match(text, at)
        if match is None:
            raise Wrong(f"{path}:{place}: {text[at:]!r} is not key=value; values with blanks or quotes are JSON strings")
        key, value = match.groups()
        yield key, json.loads(value) if value.startswith('"') else value
        at = match.end()
