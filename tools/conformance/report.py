# SPDX-License-Identifier: GPL-2.0
"""Progress, results that tools/lab/count-results counts, tables, and JSON."""

import json
import os
import threading
import time

RESULTS = "/fuse_rs/build/results"
_start = time.monotonic()
_lock = threading.Lock()
_number = 0
failures = 0


def say(text):
    with _lock:
        print(f"conformance: [{time.monotonic() - _start:4.0f}s] {text}", flush=True)


def result(good, name, why=""):
    """Counts one result and prints it as a line of KTAP."""
    global _number, failures
    with _lock:
        _number += 1
        failures += not good
        print(f"{'ok' if good else 'not ok'} {_number} {name}{': ' + why if why else ''}",
              flush=True)


def table(title, head, rows):
    rows = [head, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    print(f"\n{title}")
    for number, row in enumerate(rows):
        print("  " + "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))))
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))
    print(flush=True)


def save(part, data):
    os.makedirs(RESULTS, exist_ok=True)
    with open(f"{RESULTS}/conformance-{part}.json", "w") as f:
        json.dump(data, f, indent=1)
        f.write("\n")
