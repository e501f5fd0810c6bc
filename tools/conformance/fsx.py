# SPDX-License-Identifier: GPL-2.0
"""fsx: 100 000 operations, buffered, direct, with mappings and with write-back, the same ones on both
drivers, in runs of 10 000 on a new file each."""

import fnmatch
import subprocess
import tempfile

import mounts
import report

PROGRAM = f"{mounts.BUILD}/fsx"
SETTINGS = """flen = {flen}
[opsize]
max = 16384
[weights]
mapread = {map}
mapwrite = {map}
invalidate = {invalidate}
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
# Its mapping operations all map shared and writable.
UNMAPPED = SETTINGS.format(flen=128 << 10, map=0, invalidate=0)
MAPPED = SETTINGS.format(flen=128 << 10, map=8, invalidate=1)
# Of twice as many ranges as the device's window has.
LARGE = SETTINGS.format(flen=32 << 20, map=8, invalidate=1)
# Mode, options of passthrough_ll or a virtio-fs device, settings of fsx, what a driver must be able to
# do.
MATRIX = [
    ("buffered, cache=auto", ("cache=auto",), UNMAPPED, ()),
    ("buffered, cache=always", ("cache=always",), UNMAPPED, ()),
    ("direct (FOPEN_DIRECT_IO)", ("cache=never",), UNMAPPED, ()),
    ("mapped, write-through", ("cache=auto",), MAPPED, ("mmap",)),
    ("write-back, cache=auto", ("cache=auto", "writeback"), UNMAPPED, ("writeback",)),
    ("mapped, write-back, cache=auto", ("cache=auto", "writeback"), MAPPED, ("mmap", "writeback")),
    ("mapped, write-back, cache=always", ("cache=always", "writeback"), MAPPED,
     ("mmap", "writeback")),
    ("virtiofsd, cache=never", "device never", UNMAPPED, ()),
    ("virtiofsd, mapped, cache=auto", "device auto", MAPPED, ("mmap",)),
    ("virtiofsd, mapped, cache=always", "device always", MAPPED, ("mmap",)),
    ("virtiofsd, mapped, write-back, cache=auto", "device writeback", MAPPED, ("mmap", "writeback")),
    ("DAX, mapped", "device dax -o dax=always", LARGE, ("mmap",)),
]
# What a driver cannot do: the C driver warns in the kernel log (fs/dax.c:452), which fails the run.
IMPOSSIBLE = [("C", "DAX, mapped")]
# Only without --short.
LONG = ("virtiofsd, cache=never", "virtiofsd, mapped, cache=always",
        "virtiofsd, mapped, write-back, cache=auto")
SEED = 20261121
RUN = 10_000


def passes(driver, path, settings, operations):
    """Whether all is well on the mount of one driver."""
    for first in range(0, operations, RUN):
        done = subprocess.run(
            [PROGRAM, "-f", settings, "-N", str(min(RUN, operations - first)),
             "-S", str(SEED + first), "-P", "/tmp", f"{path}/data{first}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            timeout=3600 * mounts.SLOWNESS)
        if done.returncode:
            report.say(f"  {driver}: FAILED, the seed is {SEED + first}\n{done.stdout[-2000:]}")
            return False
        report.say(f"  {driver}: {min(first + RUN, operations)} operations passed")
    return True


def run(short, pattern):
    operations = 3000 if short else 100_000
    rows = []
    for name, options, text, needs in MATRIX:
        if not fnmatch.fnmatch(name, pattern) or short and pattern == "*" and name in LONG:
            continue
        report.say(f"fsx {name}, {operations} operations")
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as settings:
            settings.write(text)
            settings.flush()
            daemon, options = mounts.daemon_and_options(options)
            done = mounts.on_each(lambda d: ("left out", 0) if (d, name) in IMPOSSIBLE else
                                  mounts.outcome(d, options, needs, lambda path: passes(
                                      d, path, settings.name, operations), daemon))
        report.judge(f"fsx {name}, {operations} operations", done["Rust"][0])
        row = [name, operations]
        for outcome, seconds in done.values():
            row += [outcome, f"{seconds:.0f}"]
        rows.append(row)
    head, keys = ["mode", "operations"], ["operations"]
    for driver in mounts.DRIVERS:
        head += [driver, "seconds"]
        keys += [driver.lower(), f"{driver.lower()}_seconds"]
    report.table("fsx", head, rows)
    report.save("fsx", {row[0]: dict(zip(keys, row[1:])) for row in rows})
