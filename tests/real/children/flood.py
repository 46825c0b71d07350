"""Prints COUNT numbered lines as fast as it can, says so, and exits with 0. usage: flood.py COUNT"""

import sys

for number in range(1, int(sys.argv[1]) + 1):
    sys.stdout.write(f"INFO: line {number} of a flood that nobody should have to read in full\n")
print("flooded", flush=True)
