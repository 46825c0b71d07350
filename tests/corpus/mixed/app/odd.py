"""Prints what is no ordinary line: progress in place, other encodings, controls, a line without an end."""

import sys


def tell(*parts: bytes) -> None:
    for part in parts:
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


tell(b"planting 3 rows\r\n")
for done in range(0, 101, 25):
    tell(b"\rrow 1: %3d%%" % done)
tell(b"\n")
tell(b"\x1b[2K\x1b[1G\x1b[33mWARN\x1b[0m  row 2 is \x1b[1mdry\x1b[0m\n")
tell("ERROR: the café is closed\n".encode("latin-1"))
tell("INFO: grüne Äpfel, 林檎, \U0001f34f\u2028still the same line\n".encode())
tell(b"\x1b]0;a title\x07\x1b]8;;http://127.0.0.1/\x1b\\a link\x1b]8;;\x1b\\ and its text\n")
tell(b"a\x00b\x07c\td\x7fe\n")
tell(b"level=info msg=\"" + b"very " * 400 + b"long\" end=true\n")
tell(b"\n", b"   \t\n")
tell(b"ERROR: the last line has no ", b"end")
