"""Starts a grandchild in a session of its own, orphaned, without a hold on the output, and stays.

usage: escapee.py PIDFILE
"""

import os
import signal
import sys
from pathlib import Path

pidfile = Path(sys.argv[1])
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        null = os.open("/dev/null", os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        pidfile.with_suffix(".new").write_text(str(os.getpid()))
        pidfile.with_suffix(".new").rename(pidfile)
        while True:
            signal.pause()
    os._exit(0)
os.wait()
print("let one go", flush=True)
while True:
    signal.pause()
