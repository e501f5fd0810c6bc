# SPDX-License-Identifier: GPL-2.0
"""tools/stress/shared_mapping on passthrough_ll, on both drivers at the same time and with the same
seed: processes that map, write, truncate and read one file, whose contents are compared in the end on
the mount and in the file below it."""

import fnmatch
import os
import re
import subprocess

import mounts
import report

PROGRAM = f"{mounts.CLONE}/tools/stress/shared_mapping"
MODES = {"write-through": ("cache=auto",), "write-back": ("cache=auto", "writeback")}
SEEDS = 3


def run_on(driver, mode, seconds, seed):
    """(outcome, operations in a second) on one driver."""
    with mounts.Mount(driver, "passthrough_ll", MODES[mode]) as path:
        if lacks := mounts.lacking(path, {"mmap", *MODES[mode]} & {"mmap", "writeback"}):
            report.say(f"  {driver}: left out, it cannot do {lacks}")
            return "left out", ""
        try:
            done = subprocess.run(
                [PROGRAM, "-s", str(seed), "-t", str(seconds), f"{path}/file",
                 f"{mounts.source_of(os.path.basename(path))}/file"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                timeout=(2 * seconds + 120) * mounts.SLOWNESS)
        except subprocess.TimeoutExpired:
            return "HANGS", ""
    report.say(f"  {driver}: {done.stdout.strip()}")
    rate = re.search(r"(\d+) in a second", done.stdout)
    return "FAILED" if done.returncode else "passed", rate[1] if rate else ""


def run(short, pattern):
    seconds = 5 if short else 60
    rows = []
    for mode in MODES:
        if not fnmatch.fnmatch(mode, pattern):
            continue
        for seed in range(1, 2 if short else 1 + SEEDS):
            report.say(f"shared-mapping {mode}, {seconds} s, seed {seed}")
            done = mounts.on_each(lambda d: run_on(d, mode, seconds, seed))
            report.judge(f"shared-mapping {mode}, seed {seed}", done["Rust"][0])
            rows.append([f"{mode}, seed {seed}", seconds,
                         *(cell for row in done.values() for cell in row)])
    head = ["mode", "seconds"] + [word for d in mounts.DRIVERS for word in (d, "in a second")]
    report.table("shared-mapping", head, rows)
    report.save("shared-mapping", {row[0]: dict(zip(head[1:2] + [
        word for d in mounts.DRIVERS for word in (d.lower(), f"{d.lower()}_rate")], row[1:]))
        for row in rows})
