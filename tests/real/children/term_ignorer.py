"""Ignores SIGTERM, says that it is there, and stays."""

import signal

signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
print("here to stay", flush=True)
while True:
    signal.pause()
