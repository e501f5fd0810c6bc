# SPDX-License-Identifier: GPL-2.0
"""fio: what is written has checksums in it, which are compared while it is written, afterwards, and
in the file below the mount; in several ways to write, written through and back, on both drivers with
the same seed."""

import fnmatch
import os
import subprocess

import mounts
import report

# Mode, options of passthrough_ll or a virtio-fs device, what a driver must be able to do.
MODES = [
    ("write-through", ("cache=auto",), ()),
    ("write-back", ("cache=auto", "writeback"), ("writeback",)),
    ("virtiofsd, write-through", "device auto", ()),
    ("virtiofsd, write-back", "device writeback", ("writeback",)),
]
# Only without --short.
LONG = "virtiofsd, write-through"
# Name, options of fio, what a driver must be able to do.
JOBS = [
    ("psync, sequential", ("--ioengine=psync", "--rw=write", "--bsrange=512-64k"), ()),
    ("psync, random", ("--ioengine=psync", "--rw=randwrite", "--bsrange=512-16k"), ()),
    ("mmap, sequential", ("--ioengine=mmap", "--rw=write", "--bs=4k"), ("mmap",)),
    ("mmap, random", ("--ioengine=mmap", "--rw=randwrite", "--bs=1k"), ("mmap",)),
    ("libaio, O_DIRECT, random",
     ("--ioengine=libaio", "--direct=1", "--iodepth=16", "--rw=randwrite", "--bs=4k"), ()),
    ("io_uring, random",
     ("--ioengine=io_uring", "--iodepth=16", "--rw=randwrite", "--bs=4k"), ()),
]
SEED = 20261122
CHECKING = ("--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0")


def fio(path, size, *options):
    """What fio says if it fails, else nothing."""
    done = subprocess.run(
        ["fio", "--name=verify", f"--filename={path}", f"--size={size}", f"--randseed={SEED}",
         "--end_fsync=1", *CHECKING, *options],
        cwd="/tmp", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        timeout=600 * mounts.SLOWNESS)
    return done.stdout if done.returncode else ""


def checked_below(path, size, options):
    """As `fio`, of a file that is there already, and without the driver."""
    kept = [option for option in options if option.startswith(("--rw=", "--bs"))]
    return fio(path, size, "--verify_only=1", *kept)


def finds_a_wrong_byte(size):
    """Whether fio says so if one byte is not what was written."""
    path, options = "/tmp/fio-wrong", JOBS[0][1]
    said = fio(path, size, *options)
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    found = checked_below(path, size, options)
    os.remove(path)
    return not said and "verify" in found


def passes(driver, path, job, needs, size):
    """Whether all is well on the mount of one driver."""
    below = f"{mounts.source_of(os.path.basename(path))}/data"
    if "mmap" in needs:
        # fio would write it before, through a descriptor with which passthrough_ll cannot read, as
        # write-back needs.
        with open(below, "wb") as file:
            file.truncate(size)
    said = (fio(f"{path}/data", size, "--verify_backlog=64", *job) or
            checked_below(below, size, job))
    if said:
        report.say(f"  {driver}: FAILED\n{said[-2000:]}")
    return not said


def run(short, pattern):
    size = (1 if short else 16) << 20
    report.result(finds_a_wrong_byte(size), "fio finds a wrong byte")
    rows = []
    for mode, options, mode_needs in MODES:
        daemon, options = mounts.daemon_and_options(options)
        for name, job, needs in JOBS:
            name = f"{mode}, {name}"
            if not fnmatch.fnmatch(name, pattern) or short and pattern == "*" and mode == LONG:
                continue
            report.say(f"fio {name}, {size >> 20} MiB")
            done = mounts.on_each(lambda d: mounts.outcome(
                d, options, mode_needs + needs, lambda path: passes(d, path, job, needs, size),
                daemon))
            report.judge(f"fio {name}", done["Rust"][0])
            rows.append([name, size >> 20, *(cell for outcome, seconds in done.values()
                                             for cell in (outcome, f"{seconds:.0f}"))])
    head = ["mode", "MiB"] + [word for d in mounts.DRIVERS for word in (d, f"{d} seconds")]
    report.table("fio", head, rows)
    report.save("fio", {row[0]: dict(zip((h.lower() for h in head[1:]), row[1:])) for row in rows})
