# SPDX-License-Identifier: GPL-2.0
"""fsx, without shared writable mappings: 100 000 operations, buffered and direct, the same ones on
both drivers."""

import concurrent.futures
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
SEED = "20261121"


def run_on(driver, daemon, options, operations):
    start = time.monotonic()
    with mounts.Mount(driver, daemon, options) as path:
        done = subprocess.run(
            [PROGRAM, "-f", "/tmp/fsx.toml", "-N", str(operations), "-S", SEED,
             "-P", "/tmp", f"{path}/data"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            timeout=3600)
    seconds = time.monotonic() - start
    good = done.returncode == 0
    report.say(f"  {driver}: {'passed' if good else 'FAILED'}, {seconds:.0f} s")
    return good, seconds, done.stdout[-2000:]


def run(short):
    operations = 3000 if short else 100_000
    with open("/tmp/fsx.toml", "w") as f:
        f.write(SETTINGS)
    rows = []
    for name, daemon, options in MATRIX:
        report.say(f"fsx {name}, {operations} operations")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            c, rust = pool.map(lambda d: run_on(d, daemon, options, operations), mounts.DRIVERS)
        if not rust[0]:
            print(rust[2])
        report.result(rust[0], f"fsx {name}, {operations} operations")
        rows.append([name, operations, "passed" if c[0] else "FAILED", f"{c[1]:.0f}",
                     "passed" if rust[0] else "FAILED", f"{rust[1]:.0f}"])
    head = ["mode", "operations", "C", "seconds", "Rust", "seconds"]
    report.table("fsx", head, rows)
    report.save("fsx", [dict(zip(("mode", "operations", "c", "c_seconds", "rust",
                                  "rust_seconds"), row)) for row in rows])
