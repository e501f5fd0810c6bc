# SPDX-License-Identifier: GPL-2.0
"""Progress, results that tools/lab/count-results counts, tables, and JSON."""

import hashlib
import json
import os
import threading
import time

# What tools/lab/guest and the init of the checking kernels set.
RESULTS = os.environ.get("FUSE_RS_RESULTS", "/fuse_rs/build/results")
MODULE = os.environ["FUSE_RS_MODULE"]
_start = time.monotonic()
_lock = threading.Lock()
_number = 0
program = "conformance"
failures = 0
short = False


def say(text):
    with _lock:
        print(f"{program}: [{time.monotonic() - _start:4.0f}s] {text}", flush=True)


def result(good, name, why=""):
    """Counts one result and prints it as a line of KTAP."""
    global _number, failures
    with _lock:
        _number += 1
        failures += not good
        print(f"{'ok' if good else 'not ok'} {_number} {name}{': ' + why if why else ''}",
              flush=True)


def judge(name, outcome):
    """Counts what ours has done: passed, left out because the driver cannot do it, or else."""
    result(outcome in ("passed", "left out"), name,
           "# SKIP the driver cannot do it" if outcome == "left out" else "")


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


def save(part, rows):
    """Keeps the rows, {name: what was found}, beside those of other runs of the same module."""
    os.makedirs(RESULTS, exist_ok=True)
    path = f"{RESULTS}/conformance-{'short-' if short else ''}{part}.json"
    with open(MODULE, "rb") as f:
        data = {"module": hashlib.sha256(f.read()).hexdigest()[:16], "rows": {}}
    if os.path.exists(path):
        with open(path) as f:
            old = json.load(f)
        if isinstance(old, dict) and old.get("module") == data["module"]:
            data = old
    data["rows"].update(rows)
    with open(path, "w") as f:
        json.dump(data, f, indent=1)
        f.write("\n")
