"""Prints `line 1`, `line 2`, … until told to stop, then exits with the code it was given.

usage: counter.py PROGRESS STOP CODE [PAUSE_MS]

PROGRESS is a file that always holds the last number printed; once the file STOP exists, that number is the last.
"""

import os
import sys
import time
from pathlib import Path

progress, stop, code = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
pause = float(sys.argv[4]) / 1000 if len(sys.argv) > 4 else 0.001

number = 0
with progress.open("w") as counted:
    while not stop.exists():
        number += 1
        os.write(1, b"line %d\n" % number)
        os.pwrite(counted.fileno(), b"%d" % number, 0)
        time.sleep(pause)
sys.exit(code)
