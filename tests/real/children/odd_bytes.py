"""Writes what logs are not supposed to hold, with readable lines around it. usage: odd_bytes.py KIND

KIND: `long` a line of 20 MiB; `binary` every byte value, broken UTF-8 and NULs; `prompt` a line without an end, then
waits; `stream` 3 MiB without a single newline.
"""

import signal
import sys

out = sys.stdout.buffer


def say(data: bytes) -> None:
    out.write(data)
    out.flush()


say(b"before\n")
match sys.argv[1]:
    case "long":
        for _ in range(20):
            say(b"x" * (1 << 20))
        say(b"\nafter\n")
    case "binary":
        say(bytes(byte for byte in range(256) if byte not in b"\r\n") + b"\n")
        say(b"nul\0between\n")
        say(b"cut \xc3\n" + b"\xff\xfe\xfd\n")
        say("whole: grüße ☃\n".encode() + b"after\n")
    case "prompt":
        say(b"password? ")
    case "stream":
        for _ in range(3 * 1024):
            say(b"y" * 1024)
    case kind:
        sys.exit(f"unknown kind: {kind}")
while True:
    signal.pause()
