"""Says one line at each level, some of them with words that mislead, and then waits to be stopped or told to exit.

Every line of standard input is answered with `heard: LINE`; `exit N` ends with that code after an error line.
"""

import sys

LINES = [
    "DEBUG: the shelves are counted",
    "INFO: no error so far, failed deliveries: 0",
    "WARNING: the milk is low",
    "ERROR: the till is stuck",
    "\x1b[31mERROR\x1b[0m: \x1b[1mthe door is red\x1b[0m",
    "speaking",
]

for line in LINES:
    print(line, flush=True)
for line in sys.stdin:
    text = line.rstrip("\n")
    print(f"heard: {text}", flush=True)
    if text.startswith("exit "):
        print("ERROR: told to leave", file=sys.stderr, flush=True)
        sys.exit(int(text.removeprefix("exit ")))
