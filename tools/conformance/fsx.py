# SPDX-License-Identifier: GPL-2.0
"""fsx, without shared writable mappings: 100 000 operations, buffered and direct, the same ones on
both drivers, in runs of 10 000 on a new file each."""

import concurrent.futures
import fnmatch
import subprocess
import time

import mounts
import report

PROGRAM = f"{mounts.BUILD}/fsx"
# Its mapping operations all map shared and writable.
SETTINGS = """flen = 131072
[opsize]
max = 16384
[weights]
mapread = 0
mapwrite = 0
invalidate = 0
close_open = 2
read = 10
write = 10
truncate = 4
fsync = 0.5
fdatasync = 0.5
posix_fallocate = 2
punch_hole = 2
sendfile = 4
posix_fadvise = 2
copy_file_range = 3
"""
MATRIX = [
    ("buffered, cache=auto", "passthrough_ll", ("cache=auto",)),
    ("buffered, cache=always", "passthrough_ll", ("cache=always",)),
    ("direct (FOPEN_DIRECT_IO)", "passthrough_ll", ("cache=never",)),
]
SEED = 20261121
RUN = 10_000


def run_on(driver, daemon, options, operations):
    """(whether all passed, seconds) on one driver."""
    start = time.monotonic()
    with mounts.Mount(driver, daemon, options) as path:
        for first in range(0, operations, RUN):
            done = subprocess.run(
                [PROGRAM, "-f", "/tmp/fsx.toml", "-N", str(min(RUN, operations - first)),
                 "-S", str(SEED + first), "-P", "/tmp", f"{path}/data{first}"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                timeout=3600)
            if done.returncode:
                report.say(f"  {driver}: FAILED, the seed is {SEED + first}\n{done.stdout[-2000:]}")
                return False, time.monotonic() - start
            report.say(f"  {driver}: {min(first + RUN, operations)} operations passed")
    return True, time.monotonic() - start


def run(short, pattern):
    operations = 3000 if short else 100_000
    with open("/tmp/fsx.toml", "w") as f:
        f.write(SETTINGS)
    rows = []
    for name, daemon, options in MATRIX:
        if not fnmatch.fnmatch(name, pattern):
            continue
        report.say(f"fsx {name}, {operations} operations")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            c, rust = pool.map(lambda d: run_on(d, daemon, options, operations), mounts.DRIVERS)
        report.result(rust[0], f"fsx {name}, {operations} operations")
        rows.append([name, operations, "passed" if c[0] else "FAILED", f"{c[1]:.0f}",
                     "passed" if rust[0] else "FAILED", f"{rust[1]:.0f}"])
    head = ["mode", "operations", "C", "seconds", "Rust", "seconds"]
    report.table("fsx", head, rows)
    report.save("fsx", {row[0]: dict(zip(("operations", "c", "c_seconds", "rust",
                                          "rust_seconds"), row[1:])) for row in rows})
