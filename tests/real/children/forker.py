"""Forks and exits with 0, as old daemons do; the child keeps the output and goes on talking.

usage: forker.py PIDFILE
"""

import os
import sys
import time
from pathlib import Path

pidfile = Path(sys.argv[1])
if os.fork():
    # Whoever clears up after this exit may be quick: leave only once the child is known.
    while not pidfile.exists():
        time.sleep(0.01)
    os._exit(0)
pidfile.with_suffix(".new").write_text(str(os.getpid()))
pidfile.with_suffix(".new").rename(pidfile)
number = 0
while True:
    number += 1
    print(f"still here {number}", flush=True)
    time.sleep(0.05)
