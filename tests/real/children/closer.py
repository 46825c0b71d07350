"""Says one line, closes both outputs and lives on. usage: closer.py CLOSED; the file CLOSED appears once it has."""

import os
import signal
import sys
from pathlib import Path

print("last words", flush=True)
os.close(1)
os.close(2)
Path(sys.argv[1]).touch()
while True:
    signal.pause()
