"""Leaves a file that proves it ran, and ends. usage: touch.py FILE"""

import sys
from pathlib import Path

Path(sys.argv[1]).touch()
